"""Trackers of many rows: what they write is read back by other programs."""

import csv
import json
import struct
import time
from importlib.machinery import ModuleSpec

import numpy as np
import pytest

from jaxdis import tracking
from jaxdis.runner import Chunk
from jaxdis.tracking import Row, Tracked, Tracker

ROWS = tuple(
    Row(point, seed, {"bound": 10.0 * point}) for point in (0, 1) for seed in (3, 4)
)


def values(step):
    """Different numbers in every row; the second score is unknown in some."""
    rows = np.arange(len(ROWS))
    score = np.where(rows % 2, np.nan, step + rows / 8).astype(np.float32)
    return {"loss": rows - step / 3, "mcc": score, "edges": rows}


def follow(name, directory, steps, first=0):
    """A run that logs after some steps, as one part of a run that is resumed."""
    opener = tracking.find([name])[name]
    tracked = Tracked(directory, ROWS, "runs", step=first, config={"preset": "small"})
    tracker = opener(tracked)
    for step in steps:
        tracker.log(step, values(step))
    tracker.close()


def from_jsonl(directory, row):
    lines = (directory / f"{row.name}.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert {(r.pop("point"), r.pop("seed")) for r in records} == {(row.point, row.seed)}
    return [(r.pop("step"), r) for r in records]


def from_csv(directory, row):
    with (directory / f"{row.name}.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    assert {(int(r.pop("point")), int(r.pop("seed"))) for r in records} == {
        (row.point, row.seed)
    }
    return [
        (int(r.pop("step")), {n: float(v) if v else None for n, v in r.items()})
        for r in records
    ]


def from_tensorboard(directory, row):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / row.name))
    events.Reload()
    found = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            value = event.value if np.isfinite(event.value) else None
            assert found.setdefault(event.step, {}).setdefault(name, value) == value
    return list(found.items())


def wandb_records(path):
    """The records of a file of wandb, which has the format of LevelDB's logs."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, block, at, whole = path.read_bytes(), 32768, 7, b""
    assert data[:4] == b":W&B"
    while at < len(data):
        if block - at % block < 7:  # the rest of a block holds no head
            at += block - at % block
            continue
        if at + 7 > len(data):
            return
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def whole_wandb_records(path):
    """As `wandb_records`, once the other process has written the last one."""
    for _ in range(600):
        records = list(wandb_records(path))
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end")


def wandb_runs(directory):
    """What all parts of all runs hold: (group, name, id, config), history."""
    for path in sorted(directory.glob("wandb/offline-run-*/*.wandb")):
        about, history = None, []
        for record in whole_wandb_records(path):
            if record.WhichOneof("record_type") == "run":
                run = record.run
                config = {c.key: json.loads(c.value_json) for c in run.config.update}
                about = run.run_group, run.display_name, run.run_id, config
            elif record.WhichOneof("record_type") == "history":
                items = {
                    item.key or item.nested_key[0]: json.loads(item.value_json)
                    for item in record.history.item
                }
                step = items["_step"]
                items = {n: v for n, v in items.items() if not n.startswith("_")}
                history.append((step, items))
        yield about, history


def from_wandb(directory, row):
    own = [part for part in wandb_runs(directory) if part[0][1] == row.name]
    assert len({about[2] for about, _ in own}) == 1  # one id, so one run once synced
    return [
        (step, {n: None if v == "NaN" or v != v else v for n, v in items.items()})
        for _, history in own
        for step, items in history
    ]


READERS = {
    "jsonl": from_jsonl,
    "csv": from_csv,
    "tensorboard": from_tensorboard,
    "wandb": from_wandb,
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def expected(steps, row):
    i = ROWS.index(row)
    return [
        (s, {n: v[i].item() if v[i] == v[i] else None for n, v in values(s).items()})
        for s in steps
    ]


def check(found, wanted):
    assert [step for step, _ in found] == [step for step, _ in wanted]
    for (_, own), (_, other) in zip(found, wanted, strict=True):
        assert own.keys() == other.keys()
        for name, value in other.items():
            assert own[name] == (None if value is None else pytest.approx(value, 1e-6))


@pytest.mark.parametrize("name", READERS)
def test_every_row_has_its_numbers_once_however_often_it_is_resumed(name, tmp_path):
    assert set(READERS) == set(tracking.TRACKERS)
    # Killed after step 6 when 4 was saved, and again before another one was.
    for first, steps in ((0, (2, 4, 6)), (4, (6, 8)), (4, (6, 8, 10))):
        follow(name, tmp_path / name, steps, first)
        if name == "wandb":  # whose folders are named by the second
            time.sleep(1)
    for row in ROWS:
        wanted = expected((2, 4, 6, 8, 10), row)
        check(READERS[name](tmp_path / name, row), wanted)


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_a_line_that_was_cut_off_is_dropped(name, tmp_path):
    follow(name, tmp_path, (2, 4))
    path = tmp_path / f"{ROWS[0].name}.{name}"
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    follow(name, tmp_path, (4, 6), first=2)
    check(READERS[name](tmp_path, ROWS[0]), expected((2, 4, 6), ROWS[0]))


def test_a_table_gets_a_column_for_a_number_that_comes_later(tmp_path):
    tracker = tracking.open_csv(Tracked(tmp_path, ROWS[:1]))
    tracker.log(1, {"loss": np.array([1.5])})
    tracker.log(2, {"loss": np.array([0.5]), "a, b": np.array([2])})
    tracker.log(3, {"loss": np.array([0.25])})
    text = (tmp_path / "point0-seed3.csv").read_text()
    assert text == (
        'step,point,seed,loss,"a, b"\n1,0,3,1.5,\n2,0,3,0.5,2\n3,0,3,0.25,\n'
    )


def test_event_files_hold_the_hyper_parameters(tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    follow("tensorboard", tmp_path, (2, 4))
    (path,) = (tmp_path / "point1-seed4").iterdir()
    found = {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                for name, number in data.session_start_info.hparams.items():
                    found[name] = number.number_value
    assert found == {"point": 1, "seed": 4, "bound": 10}


def test_runs_of_wandb_are_a_group_with_their_settings(tmp_path):
    follow("wandb", tmp_path, (2,))
    about = {about[1]: about for about, _ in wandb_runs(tmp_path)}
    assert about.keys() == {row.name for row in ROWS}
    for row in ROWS:
        group, _, _, config = about[row.name]
        assert group == "runs"
        wanted = {"preset": "small", "bound": row.hyper["bound"], "seed": row.seed}
        assert wanted.items() <= config.items()


def test_unknown_trackers_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"no tracker 'tensorbord'.*'tensorboard'"):
        tracking.find(["csv", "tensorbord"])
    with pytest.raises(ValueError, match="track must be a list"):
        tracking.find("csv")
    with pytest.raises(ValueError, match=r"track must hold names, .* got 3"):
        tracking.find([3])


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch, tmp_path, capsys):
    for spec in (None, ModuleSpec("wandb", None)):  # nowhere, or a folder of that name
        monkeypatch.setattr(tracking, "find_spec", lambda name, spec=spec: spec)
        with pytest.raises(ValueError, match=r'pip install "jaxdis\[wandb\]"'):
            tracking.find(["csv", "wandb"])
    assert list(tracking.find(["csv", "jsonl"])) == ["csv", "jsonl"]
    (tmp_path / "csv").mkdir()
    (tmp_path / "wandb").mkdir()
    assert tracking.used(tmp_path) == ("csv",)
    assert "wandb is not installed here" in capsys.readouterr().out


def test_a_tracker_that_fails_is_named_once_and_the_others_go_on(tmp_path, capsys):
    seen, closed = [], []

    def fail(step, values):
        if step == 2:
            raise ConnectionError("no network\nat all")
        seen.append(("failing", step))

    good = Tracker(lambda step, values: seen.append(("good", step)))
    bad = Tracker(fail, lambda: closed.append("failing"))
    openers = tracking.find([bad, good])
    openers["broken"] = lambda tracked: open(tmp_path / "nowhere" / "x")  # noqa: SIM115
    one = tracking.together(openers, Tracked(tmp_path, ROWS))
    for step in (1, 2, 3):
        one.log(step, values(step))
    one.close()
    assert seen == [("failing", 1), ("good", 1), ("good", 2), ("good", 3)]
    assert closed == ["failing"]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0].startswith("note: track: broken failed ([Errno 2]")
    assert said[1] == (
        "note: track: track[0] failed (no network); the training goes on without"
    )


def test_a_tracker_is_a_callback():
    seen = []
    tracker = Tracker(lambda step, values: seen.append((step, values)))
    numbers = np.arange(2.0)
    chunk = Chunk(
        6, None, {"loss": numbers, "kl": numbers + 1}, 2, 0.5, {"mcc": numbers + 2}
    )
    assert tracking.callback(tracker)(chunk) is None
    ((step, named),) = seen
    assert step == 6
    assert list(named) == ["loss", "train_kl", "mcc"]
    assert named["train_kl"] is chunk.metrics["kl"]
