"""Settings side by side over the same seeds: how much each gains over one of them."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdis import check, metrics, statistics
from jaxdis.report import alike, unfinished
from jaxdis.report.choice import side
from jaxdis.report.read import Group, Record, lived
from jaxdis.types import Score

__all__ = ["Compared", "Line", "compare"]

IN_FRONT = 3  # scores that are compared where none is named


class Line(NamedTuple):
    """One setting, by one score.

    Attributes:
      setting: what it is called.
      score: the score.
      summary: its mean, sample deviation and so on, over its seeds of those in common.
      lived: how many of these did not fail; where `summary.seeds` is less, seeds that
        did not fail lack the score.
      gain: by how much it is better than the baseline, paired over the seeds: above 0
        is better, also of a score of which less is better; None of the baseline, and
        where runs cannot be ranked.
      p: of this gain, by `statistics.permutation_test`; NaN where there is none.
      corrected: p for all comparisons of the table.
    """

    setting: str
    score: Score
    summary: statistics.Summary
    lived: int
    gain: statistics.Gain | None
    p: float
    corrected: float


class Compared(NamedTuple):
    """Settings side by side.

    Attributes:
      baseline: the setting that the others are compared with.
      seeds: the seeds that all runs have.
      lines: one a score and setting.
      apart: why the runs cannot be ranked, a phrase each: they differ in data, rows or
        steps.
      varied: in what else they differ, which is what is compared.
      notes: what is missing in the runs, in sentences.
      correction: what p-values are corrected by, one of `statistics.CORRECTIONS`.
    """

    baseline: str
    seeds: tuple[int, ...]
    lines: tuple[Line, ...]
    apart: tuple[str, ...]
    varied: tuple[str, ...]
    notes: tuple[str, ...]
    correction: str


def compare(
    runs: Path | str | Sequence[Path | str],
    scores: str | Sequence[str] = (),
    *,
    baseline: int = 0,
    anyway: bool = False,
    correction: str = "holm",
) -> Compared:
    """Compares settings over the same seeds: gains, how often, and by what chance.

    Args:
      runs: directories of runs that have finished, or one; each grid point is a
        setting, in their order.
      scores: the names of the scores, or one; by default the first three that all runs
        have and that have a better side.
      baseline: the number of the setting that others are compared with, from 0.
      anyway: compare runs that differ in data, rows or steps.
      correction: of the p-values, for all comparisons together; one of
        `statistics.CORRECTIONS`.

    Returns:
      The table. Of runs that differ in data, rows or steps it has scores and no gains,
      unless `anyway`.

    Raises:
      ValueError: a directory is no run or is given twice, a run has not finished, there
        is only one setting, a score is not there, or runs have no seed in common.

    Note:
      A seed gives the same data and the same first parameters only where settings have
      them alike; what is paired beyond that is the number of the seed.
    """
    directories = alike.paths_of(runs)
    scores = (scores,) if isinstance(scores, str) else scores
    check.one_of("correction", correction, statistics.CORRECTIONS)
    names = alike.names_of(directories)
    loaded = [unfinished.load(directory) for directory in directories]
    for directory, run in zip(directories, loaded, strict=True):
        _check_finished(directory, run)
    settings = _settings(names, loaded)
    _check_baseline(baseline, settings)
    seeds = _in_common(names, loaded)
    apart = alike.unlike(directories, loaded)
    ranked = anyway or not apart
    lines = [
        line
        for score in _chosen(names, loaded, scores)
        for line in _lines(settings, score, seeds, baseline if ranked else None)
    ]
    p = statistics.CORRECTIONS[correction]([line.p for line in lines])
    return Compared(
        baseline=settings[baseline].label,
        seeds=tuple(seeds),
        lines=tuple(
            line._replace(corrected=float(value))
            for line, value in zip(lines, p, strict=True)
        ),
        apart=tuple(apart),
        varied=tuple(alike.varied(loaded)),
        notes=tuple(_notes(names, loaded)),
        correction=correction,
    )


def _check_finished(directory: Path, run: Record) -> None:
    if run.standing is None:
        return
    if run.settings.get("shards"):
        raise ValueError(
            f"{directory} was trained in shards and has no scores yet; make one run of "
            f"them: jaxdis merge {shlex.quote(str(directory))}"
        )
    raise ValueError(
        f"{directory} has {unfinished.short(run.standing)}; there are no scores to "
        f"compare. Go on with: {run.standing.again}"
    )


def _check_baseline(baseline: int, settings: Sequence[Group]) -> None:
    check.whole("baseline", baseline)
    if len(settings) < 2:
        raise ValueError(
            f"there is one setting, {settings[0].label}, and a comparison needs two: "
            "give a second run, or one of several grid points"
        )
    if not 0 <= baseline < len(settings):
        listed = ", ".join(f"{i} {g.label}" for i, g in enumerate(settings))
        raise ValueError(
            f"baseline must be the number of a setting, of {listed}; got {baseline}"
        )


def _settings(names: Sequence[str], runs: Sequence[Record]) -> list[Group]:
    """All grid points, called by their run where there are several."""
    return [
        group._replace(
            label=", ".join(filter(None, (name if len(runs) > 1 else "", group.label)))
            or name
        )
        for name, run in zip(names, runs, strict=True)
        for group in run.groups
    ]


def _in_common(names: Sequence[str], runs: Sequence[Record]) -> list[int]:
    """The seeds that all runs have."""
    first, *others = [run.groups[0].seeds for run in runs]
    seeds = [s for s in first if all(s in other for other in others)]
    if not seeds:
        every = ", ".join(
            f"{name} {min(run.groups[0].seeds)} to {max(run.groups[0].seeds)}"
            for name, run in zip(names, runs, strict=True)
        )
        parts = alike.of_one_setting(runs)
        raise ValueError(
            f"the runs have no seed in common, of which gains are: {every}. "
            + (f"These are {parts}" if parts else "Train them on the same seeds")
        )
    return seeds


def _chosen(
    names: Sequence[str], runs: Sequence[Record], asked: Sequence[str]
) -> list[Score]:
    """The scores that are compared.

    Raises:
      ValueError: a run lacks one that is asked for, or there is none in common.
    """
    first, *others = [run.scores for run in runs]
    shared = {
        name: score
        for name, score in first.items()
        if all(_same(score, other.get(name)) for other in others)
    }
    for score in asked:
        for name, run in zip(names, runs, strict=True):
            if score not in run.scores:
                more = f"Those of {name} are {', '.join(run.scores)}"
                raise check.unknown("score", score, run.scores, more)
        if score not in shared:
            raise ValueError(f"{score} is not the same score in all of these runs")
    if asked:
        return [shared[name] for name in dict.fromkeys(asked)]
    groups = [group for run in runs for group in run.groups]
    there = [
        score
        for name, score in shared.items()
        # Agreement is of pairs of seeds, so that no seed has one of its own.
        if score.better and name != metrics.AGREEMENT.name
        if all(np.isfinite(lived(group, name)).any() for group in groups)
    ]
    if not there:
        some = "; ".join(
            f"{name}: {', '.join(run.scores) or 'none'}"
            for name, run in zip(names, runs, strict=True)
        )
        raise ValueError(
            "the runs have no score in common that has a better side and is known at "
            f"every point; {some}"
        )
    return there[:IN_FRONT]


def _same(score: Score, other: Score | None) -> bool:
    """Whether two runs mean the same by a name."""
    if other is None:
        return False
    return (score.title, score.better) == (other.title, other.better)


def _values(group: Group, score: Score, seeds: Sequence[int]) -> Float[np.ndarray, "s"]:
    """A score of some seeds; NaN of those that failed or lack it."""
    return lived(group, score.name)[[group.seeds.index(seed) for seed in seeds]]


def _lines(
    settings: Sequence[Group], score: Score, seeds: Sequence[int], baseline: int | None
) -> list[Line]:
    """Every setting by one score; without gains where there is no baseline."""
    values = [_values(group, score, seeds) for group in settings]
    found = []
    for i, (group, own) in enumerate(zip(settings, values, strict=True)):
        failed = sum(bool(group.failed[group.seeds.index(seed)]) for seed in seeds)
        line = Line(
            group.label,
            score,
            statistics.summary(own),
            len(seeds) - failed,
            None,
            np.nan,
            np.nan,
        )
        if baseline is not None and i != baseline:
            better, worse = side(score) * own, side(score) * values[baseline]
            gain = statistics.paired_gain(better, worse)
            p = float(statistics.permutation_test(better, worse))
            line = line._replace(gain=gain, p=p)
        found.append(line)
    return found


def _notes(names: Sequence[str], runs: Sequence[Record]) -> list[str]:
    """What the files of runs lack, and who failed."""
    found = []
    for name, run in zip(names, runs, strict=True):
        told = [*run.notes]
        told += [f"not in this table: {m}" for m in run.results.get("missing") or []]
        lost = dict.fromkeys(
            seed
            for group in run.groups
            for seed, failed in zip(group.seeds, group.failed, strict=True)
            if failed
        )
        if lost:
            told.append(f"left out as failed: seeds {', '.join(map(str, lost))}")
        found += [f"{name}: {sentence}" for sentence in told]
    return found
