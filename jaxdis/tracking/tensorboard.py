"""A tracker that writes event files for TensorBoard."""

import struct
import time
from pathlib import Path
from typing import Any

from jaxdis.tracking.protocol import Row, Tracked, Tracker, Values

__all__ = ["open_tensorboard"]


def _framed(event: Any) -> bytes:
    """An event as a record of an event file: its length, its bytes, their checksums."""
    from tensorboardX.record_writer import masked_crc32c

    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    return length + sums[0] + data + sums[1]


def _begin(path: Path, step: int, resumed: bool) -> None:
    """The head of an event file; of one that goes on, what is to be forgotten."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    first = [Event(wall_time=time.time(), file_version="brain.Event:2")]
    if resumed:
        start = SessionLog(status=SessionLog.START)
        first.append(Event(wall_time=time.time(), step=step + 1, session_log=start))
    path.write_bytes(b"".join(map(_framed, first)))


def _hyper(row: Row, names: Values) -> bytes:
    """The hyper-parameters of a row, and which numbers they are compared by."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import hparams

    settings = {"point": row.point, "seed": row.seed, **row.hyper}
    # The end of the session, the third part, is known only once it is there.
    said = hparams(settings, dict.fromkeys(names, 0.0))[:2]
    events = (Event(wall_time=time.time(), summary=part) for part in said)
    return b"".join(map(_framed, events))


def open_tensorboard(tracked: Tracked) -> Tracker:
    """A folder of event files a row; `tensorboard --logdir RUN/tracking/tensorboard`.

    Every part of a run that was resumed has a file of its own, which tells readers to
    forget what was logged after its first step. Files are not kept open: there may be
    more rows than a process may have files.
    """
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    paths: list[Path] = []
    for row in tracked.rows:
        folder = tracked.directory / row.name
        folder.mkdir(parents=True, exist_ok=True)
        # Readers take files by the order of their names: clocks may jump.
        part = len(list(folder.glob("*.tfevents.*")))
        paths.append(folder / f"part{part:04d}.tfevents.{time.time():.0f}")
        _begin(paths[-1], tracked.step, resumed=part > 0)
    described = tracked.step > 0

    def write(step: int, values: Values) -> None:
        nonlocal described
        for i, (path, row) in enumerate(zip(paths, tracked.rows, strict=True)):
            shown = Summary(
                value=[
                    Summary.Value(tag=name, simple_value=float(value[i]))
                    for name, value in values.items()
                ]
            )
            event = Event(wall_time=time.time(), step=step, summary=shown)
            with path.open("ab") as file:
                file.write(b"" if described else _hyper(row, values))
                file.write(_framed(event))
        described = True

    return Tracker(write)
