"""`jaxdis select`: which grid point and seed of a run to take, without truth."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tyro
from rich.console import Group

from jaxdis import devices, experiment, log, program_cache
from jaxdis.cli import tables
from jaxdis.experiment.codes import Kind
from jaxdis.report.averages import in_words
from jaxdis.report.choice import side
from jaxdis.report.read import Record, compared, lived
from jaxdis.report.selection import Ranking, Selection, places, select
from jaxdis.report.text import fixed, title
from jaxdis.types import Score

__all__ = ["SelectOptions", "select_command"]

FEW = 48  # seeds of all points that are listed without being asked for


@dataclasses.dataclass(frozen=True)
class SelectOptions:
    """Ranks the grid points of a run and their seeds, and names the ones to take.

    By UDR (how well seeds agree), by the held-out objective and by both; the truth is
    not used. Where it is known, the last table says how good the choice was.

    Attributes:
      run: a directory that `jaxdis train` or `jaxdis merge` wrote.
      kind: how two seeds are compared for UDR: "mcc" is in the run; for "lasso" and
        "spearman" its test rows are drawn and encoded again.
      all: list the seeds of all points, however many they are.
      out: a file of JSON to write the selection to.
    """

    run: tyro.conf.Positional[Path]
    kind: Kind = "mcc"
    all: bool = False
    out: Path | None = None


def _ranks(worths: Mapping[str, np.ndarray]) -> list[list[str]]:
    """A column of places by every criterion: its name, then the cells."""
    return [
        [f"by {name}", *(str(place) if place else "–" for place in places(worth))]
        for name, worth in worths.items()
    ]


def _named(record: Record, point: int, seed: int) -> str:
    """A seed of a point, as "bound 5, seed 2"."""
    label = record.groups[point].label
    return f"{label}, seed {seed}" if label else f"seed {seed}"


def _marked(labels: Sequence[str], taken: Sequence[bool]) -> list[str]:
    return [f"> {n}" if t else n for n, t in zip(labels, taken, strict=True)]


def _truths(selection: Selection) -> list[tuple[str, Score]]:
    """Scores that are shown beside the ranks: the objective, and the truth."""
    found = []
    if selection.objective is not None:
        found.append((f"held-out {title(selection.objective)}", selection.objective))
    if selection.truth is not None:
        found.append((f"{title(selection.truth)} (not used)", selection.truth))
    return found


def _point_table(record: Record, selection: Selection) -> Group:
    groups = record.groups
    taken = [i == selection.point for i in range(len(groups))]
    columns = [["point", *_marked([g.label for g in groups], taken)]]
    seeds = [f"{np.sum(~g.failed)} of {len(g.seeds)}" for g in groups]
    columns.append(["seeds that lived", *seeds])
    if (udr := selection.rankings.get("udr")) is not None:
        cells = [
            fixed(value) + f" ({compared(g)} seeds)" * bool(compared(g))
            for value, g in zip(udr.points, groups, strict=True)
        ]
        columns.append([f"{udr.title} ↑", *cells])
    for name, score in _truths(selection):
        columns.append([name, *(in_words(g, score.name) for g in groups)])
    columns += _ranks({r.title: r.points for r in selection.rankings.values()})
    return log.table("Grid points", columns, [selection.point])


def _seed_table(record: Record, selection: Selection, point: int) -> Group:
    group = record.groups[point]
    mine = point == selection.point
    taken = [mine and seed == selection.seed for seed in group.seeds]
    names = [
        f"{s} failed" * bool(f) or str(s)
        for s, f in zip(group.seeds, group.failed, strict=True)
    ]
    columns = [["seed", *_marked(names, taken)]]
    if (udr := selection.rankings.get("udr")) is not None:
        columns.append(["agreement ↑", *map(fixed, udr.seeds[point])])
    for name, score in _truths(selection):
        columns.append([name, *map(fixed, lived(group, score.name))])
    worths = {r.title: r.seeds[point] for r in selection.rankings.values()}
    columns += _ranks(worths)
    label = f"Seeds of {group.label}" if group.label else "Seeds"
    return log.table(label, columns, [i for i, mine in enumerate(taken) if mine])


def _judged(record: Record, ranking: Ranking) -> list[str]:
    judged = ranking.judged
    assert judged is not None
    numbers = (
        judged.value,
        judged.seed_regret,
        judged.point_regret,
        judged.points,
        judged.seeds,
    )
    where = _named(record, ranking.point, ranking.seed)
    return [f"by {ranking.title}", where, *map(fixed, numbers)]


def _judged_table(record: Record, selection: Selection, truth: Score) -> Group:
    """How good each criterion's choice was: regrets, and correlations of ranks.

    Correlations are – where there are fewer than two to rank, or all are alike.
    """
    points = len(record.groups)
    values = np.stack([lived(g, truth.name) for g in record.groups])
    seeds = int(np.isfinite(values).sum())
    head = [
        "",
        "takes",
        f"{truth.title} of it",
        "regret, best seed",
        "regret, best mean",
        f"correlation, {points} points",
        f"correlation, {seeds} seeds",
    ]
    columns = [_judged(record, r) for r in selection.rankings.values()]
    name = f"How good that was, by {truth.title} and its ranks"
    return log.table(name, [head, *columns])


def _best(record: Record, truth: Score) -> str:
    """What could have been reached at most, of which only the truth can tell."""
    values = side(truth) * np.stack([lived(g, truth.name) for g in record.groups])
    if not np.isfinite(values).any():
        return ""
    point, row = np.unravel_index(int(np.nanargmax(values)), values.shape)
    group = record.groups[point]
    where = _named(record, int(point), group.seeds[row])
    best = fixed(side(truth) * float(values[point, row]))
    return (
        f"the best attainable {truth.title} is {best} ({where}), which only the truth "
        "can tell"
    )


def _show(record: Record, selection: Selection, whole: bool) -> None:
    """All tables, and the choice in a sentence."""
    groups = record.groups
    if len(groups) > 1:
        log.show(_point_table(record, selection))
    listed = range(len(groups))
    if not whole and sum(len(g.seeds) for g in groups) > FEW:
        listed = range(selection.point, selection.point + 1)
    for point in listed:
        log.show(_seed_table(record, selection, point))
    if len(listed) < len(groups):
        log.note("--all lists the seeds of the other points, too")
    for told in selection.notes:
        log.note(told)
    if selection.truth is not None:
        log.show(_judged_table(record, selection, selection.truth))
        if told := _best(record, selection.truth):
            log.note(told)
    where = _named(record, selection.point, selection.seed)
    log.say(f"take {where}: chosen by {selection.criterion}, without truth")


def select_command(args: Sequence[str]) -> int:
    """`jaxdis select RUN`; returns the exit code."""
    options = tyro.cli(SelectOptions, prog="jaxdis select", args=args or ["--help"])
    if options.out is not None:
        tables.check_path(options.out, (".json",))
    devices.use_all_cores()
    program_cache.keep_programs()
    directory = options.run
    if experiment.shards_there(directory) and not experiment.is_measured(directory):
        experiment.gather([directory], None)
    record = experiment.finished(directory)
    selection = (
        select(record)
        if options.kind == "mcc"  # which needs neither the method nor the data
        else experiment.load(directory).select(options.kind)
    )
    _show(record, selection, options.all)
    if options.out is not None:
        log.write_json(options.out, {"run": str(directory), **selection._asdict()})
        log.say(f"selection: {options.out}")
    return 0
