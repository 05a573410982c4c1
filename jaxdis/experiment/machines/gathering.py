"""Shards brought together: one table of rows that were trained apart.

What is merged is the state of the rows. It is measured as that of a run in one piece,
so its table is the one that such a run has.
"""

import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdis import checkpoint, lock, log, program, runner
from jaxdis.experiment import directory as directories
from jaxdis.experiment import identity, joining, results, stored
from jaxdis.experiment.again import plan_of
from jaxdis.experiment.execution import Part
from jaxdis.experiment.machines.parents import COUNT, shards_there
from jaxdis.experiment.model import hyper_of, seeds_of
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.prepared import Experiment, own_devices, prepare
from jaxdis.experiment.shards import Shard, part
from jaxdis.experiment.trained import Run

__all__ = ["PARTIAL", "Stand", "gather", "stand"]

PARTIAL = "partial"
"""The directory below that of a run with the table of what there is."""
READY = ".merged.tmp"
OWN = ("seeds", "first_seed", "seed_numbers", "hyper")
"""In which parts of one run differ."""
Again = Callable[[Path], Plan]


class Stand(NamedTuple):
    """Where a part of a run stands.

    Attributes:
      directory: its directory.
      finished: whether it is trained and measured.
      words: what else it is, as "killed after step 1,200".
      points, seeds: which rows of the run it holds.
    """

    directory: Path
    finished: bool
    words: str
    points: tuple[dict[str, float], ...]
    seeds: tuple[int, ...]

    @property
    def told(self) -> str:
        """One line of what is missing."""
        row = (
            f"{self.seeds[0]} to {self.seeds[-1]}" if self.seeds[1:] else self.seeds[0]
        )
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {row}"
        return f"{self.directory} ({seeds}): {self.words}"


def stand(directory: Path, plan: Plan) -> Stand:
    """Where a part of a run stands.

    Args:
      directory: its directory.
      plan: its setting.
    """
    found = Stand(directory, False, "never started", plan.points, plan.seeds)
    if not directory.is_dir() or directories.untouched(directory):
        begun = directory.is_dir() and lock.holder(directory)
        return found._replace(words=f"starts now, in {begun}") if begun else found
    step, holder = results.last_step(directory), lock.holder(directory)
    if results.is_measured(directory) and not holder:
        return found._replace(finished=True, words=f"finished after step {step:,}")
    if holder:
        return found._replace(words=f"trains now, in {holder}; step {step:,} is saved")
    return found._replace(
        words=f"stopped or killed after step {step:,}; go on with: "
        f"jaxdis resume {shlex.quote(str(directory))}"
    )


def _of_parent(parent: Path, whole: Plan) -> list[Stand]:
    """Where the shards of a run stand."""
    count = shards_there(parent)
    shards = [Shard(i, count) for i in range(1, count + 1)]
    return [stand(parent / s.directory, part(whole, s)) for s in shards]


def _check_older(parent: Path, stands: Sequence[Stand]) -> None:
    """Whether a run that was merged did not go on since."""
    step = max(
        (results.last_step(one.directory) for one in stands if one.finished), default=0
    )
    if step and results.last_step(parent) > step:
        raise ValueError(
            f"merge: the run in {parent} was merged and went on to step "
            f"{results.last_step(parent):,}, its shards stand at {step:,}; name "
            "another out"
        )


def _of_runs(directories_: Sequence[Path], again: Again) -> tuple[Plan, list[Stand]]:
    """The run that some runs are parts of, and where these stand."""
    plans = [again(directory) for directory in directories_]
    points = list({tuple(p.items()): p for plan in plans for p in plan.points}.values())
    whole = plans[0]._replace(
        points=tuple(points),
        seeds=tuple(sorted({seed for plan in plans for seed in plan.seeds})),
    )
    stands = [stand(*pair) for pair in zip(directories_, plans, strict=True)]
    return whole, stands


def _check_parts(whole: Plan, stands: Sequence[Stand], other_versions: bool) -> None:
    """Whether all parts are of one setting, and no row is there twice."""
    names = [name for name in identity.identity(whole) if name not in OWN]
    for one in stands:
        found = identity.read_settings(one.directory)
        identity.check_same(whole, found, one.directory, names, asked="merge")
        if (hyper_of(found), seeds_of(found)) != (one.points, one.seeds):
            raise ValueError(
                f"merge: {one.directory} holds other seeds or hyper-parameters than "
                "its shard of this run"
            )
        identity.check_environment(
            found, one.directory, other_versions=other_versions, asked="merge"
        )
    rows = Counter(
        (tuple(point.items()), seed)
        for one in stands
        for point in one.points
        for seed in one.seeds
    )
    if twice := sorted({seed for (_, seed), n in rows.items() if n > 1}):
        raise ValueError(
            f"merge: seeds {', '.join(map(str, twice))} are there more than once, in "
            f"{', '.join(str(one.directory) for one in stands)}"
        )


def _rectangle(whole: Plan, stands: Sequence[Stand]) -> Plan:
    """The largest part of a run of which every row is there: all seeds at all points.

    Seeds that some points lack go first; where none is left, such points do.
    """
    there = {
        (tuple(point.items()), seed)
        for one in stands
        for point in one.points
        for seed in one.seeds
    }
    keys = [tuple(point.items()) for point in whole.points]
    rows = np.array([[(key, seed) in there for seed in whole.seeds] for key in keys])
    points = np.flatnonzero(rows.any(1))
    seeds = np.flatnonzero(rows[points].all(0))
    if not seeds.size:
        points, seeds = np.flatnonzero(rows.all(1)), np.arange(len(whole.seeds))
    return whole._replace(
        points=tuple(whole.points[i] for i in points),
        seeds=tuple(whole.seeds[i] for i in seeds),
    )


def _fitting(stands: Sequence[Stand], plan: Plan) -> list[Stand]:
    """The parts that a table has rows of."""
    return [
        one
        for one in stands
        if set(one.seeds) & set(plan.seeds)
        and any(p in plan.points for p in one.points)
    ]


def _check_out(given: Sequence[Path], out: Path | None) -> None:
    """Whether a merge would put its table into the run of other shards."""
    if out is None or not shards_there(out):
        return
    if len(given) > 1 or given[0].resolve() != out.resolve():
        raise ValueError(
            f"out: {out} holds the shards of another run and is never overwritten; "
            "choose another directory"
        )


def gather(
    given: Sequence[Path],
    out: Path | None,
    again: Again = plan_of,
    *,
    partial: bool = False,
    other_versions: bool = False,
    rows_at_once: int | None = None,
) -> Run:
    """Makes one run of shards, with one table.

    Args:
      given: the directory of a run that was trained in shards; or those of runs that
        differ in their seeds or points alone.
      out: where; by default the directory of the run of the shards.
      again: gives the setting of a run in a directory.
      partial: whether the table may lack what is not there, or not finished.
      other_versions: whether parts may be of other versions.
      rows_at_once: how many rows are measured at a time; None for all.

    Returns:
      The merged run; that of a partial table is in `partial` below it.

    Raises:
      ValueError: there is nothing to merge; parts are missing, not finished, of another
        setting, or hold the same rows.
    """
    _check_out(given, out)
    if len(given) == 1 and not shards_there(given[0]):
        identity.read_settings(given[0])
        raise ValueError(
            f"merge: the run in {given[0]} is in one piece; name several runs that "
            "differ in their seeds alone"
        )
    if len(given) == 1:
        whole, target = again(given[0]), out or given[0]
        stands = _of_parent(given[0], whole)
        _check_older(given[0], stands)
    elif out is None:
        raise ValueError("merge: several runs need out, the directory of the whole")
    else:
        (whole, stands), target = _of_runs(given, again), out
    done = [one for one in stands if one.finished]
    _check_parts(whole, done, other_versions)
    missing = [one for one in stands if not one.finished]
    plan = _rectangle(whole, done) if done else whole
    left = [seed for seed in whole.seeds if seed not in plan.seeds]
    complete = not missing and (plan.seeds, plan.points) == (whole.seeds, whole.points)
    if not complete and not (partial and done):
        raise ValueError(_told(missing, len(stands), left, done))
    if not plan.seeds or not plan.points:
        raise ValueError(_told(missing, len(stands), left, done))
    if len(given) == 1 and out is None and not complete:
        target = given[0] / PARTIAL
        if (other := lock.holder(target)) is not None:
            raise lock.refusal(target, other)
        shutil.rmtree(target, ignore_errors=True)  # of what was there before
    kept = _fitting(done, plan)
    more = {
        COUNT: [str(one.directory) for one in kept],
        "missing": [one.told for one in missing],
    }
    return _gathered(plan, kept, target, more, rows_at_once)


def _told(
    missing: Sequence[Stand], count: int, left: Sequence[int], done: Sequence[Stand]
) -> str:
    """What is missing, a line each, and what to do."""
    lines = [f"merge: {len(missing)} of {count} shards are not finished:"]
    if not missing:
        lines = [f"merge: some points lack the seeds {', '.join(map(str, left))}"]
    lines += [f"  {one.told}" for one in missing]
    advice = "--partial (partial=True) makes the table of what there is"
    return "\n".join([*lines, advice] if done else lines)


def _place(plan: Plan, target: Path, like: Path) -> AbstractContextManager[Any]:
    """Holds the lock of the directory of the whole, which may be new."""
    if shards_there(target):
        return lock.held(target)
    settings = identity.read_settings(like)
    known = {n: v for n, v in settings.items() if n not in (*OWN, COUNT)}
    return directories.new(target, plan.name, known | identity.identity(plan))


def _gathered(
    plan: Plan,
    kept: Sequence[Stand],
    target: Path,
    more: Mapping[str, Any],
    rows_at_once: int | None,
) -> Run:
    """Joins finished parts and measures the whole."""
    with _place(plan, target, kept[0].directory):
        ready = target / READY
        shutil.rmtree(ready, ignore_errors=True)
        ready.mkdir()
        try:
            joining.join([one.directory for one in kept], ready, plan)
            _measured(prepare(plan, None, rows_at_once), ready, kept, more)
        except BaseException:
            shutil.rmtree(ready, ignore_errors=True)
            raise
        _settled(ready, target)
    partly = f", and {len(more['missing'])} are missing" if more["missing"] else ""
    log.say(f"merged {len(kept)} shards into {target}{partly}")
    return Run(target.absolute(), plan.method, parts=plan.parts)


def _measured(
    experiment: Experiment,
    ready: Path,
    kept: Sequence[Stand],
    more: Mapping[str, Any],
) -> None:
    """Writes results of joined rows as those of a run in one piece."""
    stored.keep_data(
        ready, experiment.spec, experiment.splits.preparation, experiment.scores
    )
    like = program.row_shapes(experiment.system, experiment.keys, experiment.hyper)
    found = checkpoint.restore(ready / "checkpoints", {"rows": like}, log.note)
    assert found is not None
    parts = [Part(**one) for one in found.record["parts"]]
    result = runner.run(  # which takes no step any more
        experiment.system,
        experiment.batches.sample,
        experiment.keys,
        experiment.hyper,
        steps=found.step,
        chunk=experiment.plan.chunk,
        world=experiment.world,
        mesh=own_devices(experiment),
        rows_at_once=experiment.rows_at_once,
        start=(found.step, found.tree["rows"]),
    )
    results.write(experiment, result, ready, lambda _: parts)
    apart = [results.read(one.directory) for one in kept]
    # They were trained at the same time.
    times = {n: max(r[n] for r in apart) for n in ("wall_s", "compile_s")}
    log.write_json(ready / results.FILE, results.read(ready) | times | dict(more))


def _settled(ready: Path, target: Path) -> None:
    """Puts what was made in its place, the results at the end.

    After a kill between two of them the shards are as they were, and the directory has
    no results: it is merged anew.
    """
    (target / results.FILE).unlink(missing_ok=True)
    for path in sorted(ready.iterdir(), key=lambda path: path.name == results.FILE):
        place = target / path.name
        if place.is_dir():
            shutil.rmtree(place)
        path.replace(place)
    ready.rmdir()
    shutil.rmtree(target / PARTIAL, ignore_errors=True)
