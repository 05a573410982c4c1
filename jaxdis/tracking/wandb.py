"""A tracker that sends runs to Weights & Biases, or keeps them until they are synced.

`WANDB_MODE=offline`, `WANDB_PROJECT` and the other variables of wandb do what they do
elsewhere.
"""

import json
import os
import secrets
from contextlib import suppress
from typing import Any

from jaxdis import log
from jaxdis.tracking.protocol import Tracked, Tracker, Values

__all__ = ["open_wandb"]

WISHES = {
    "silent": True,
    "console": "off",  # a process has one output, and as many runs as rows
    "x_disable_stats": True,  # likewise
    "x_disable_meta": True,
    "disable_git": True,
    "disable_code": True,
    "init_timeout": 30.0,  # seconds that a server may be silent before the run begins
    "finish_timeout": 10.0,  # seconds that the end of a run waits for a slow network
}
"""Settings, as far as the installed version has them."""


def open_wandb(tracked: Tracked) -> Tracker:
    """A run a row, all in one group; their ids are kept, so that resuming goes on.

    A step that is known to be there is not logged again. Of a process that was killed
    wandb loses what it has not yet written, a few dozen steps: metrics.jsonl has them.
    """
    import wandb

    tracked.directory.mkdir(parents=True, exist_ok=True)
    path = tracked.directory / "runs.json"
    known: dict[str, dict[str, Any]] = {}
    with suppress(OSError, ValueError):  # the first time, or damaged
        known = dict(json.loads(path.read_text(encoding="utf-8")))
    fields = wandb.Settings.model_fields
    wishes: dict[str, Any] = {n: v for n, v in WISHES.items() if n in fields}
    settings = wandb.Settings(**wishes)
    runs: dict[str, Any] = {}

    def close() -> None:
        for run in runs.values():
            run.finish()
        log.write_json(path, known)  # all of it is there

    try:
        for row in tracked.rows:
            entry = known.setdefault(
                row.name, {"id": secrets.token_hex(4), "step": None}
            )
            runs[row.name] = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "jaxdis"),
                group=tracked.group,
                name=f"{tracked.part}-{row.name}" if tracked.part else row.name,
                id=entry["id"],
                resume="allow",
                reinit="create_new",
                dir=tracked.directory,
                config={
                    **tracked.config,
                    **row.hyper,
                    "point": row.point,
                    "seed": row.seed,
                },
                settings=settings,
            )
    except BaseException:
        close()
        raise
    log.write_json(path, known)

    def write(step: int, values: Values) -> None:
        for i, row in enumerate(tracked.rows):
            last = known[row.name]["step"]
            # A run cannot forget; steps that are taken again give the same numbers.
            if last is None or step > last:
                numbers = {name: float(value[i]) for name, value in values.items()}
                runs[row.name].log(numbers, step=step)
                known[row.name]["step"] = step

    return Tracker(write, close)
