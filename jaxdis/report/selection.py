"""Ranking the grid points and seeds of a run without truth, and how good that was.

Three criteria: the agreement of seeds (UDR), the held-out objective, and both, which is
the rule of `choice`. Where the true latents are known they judge the criteria, and
nothing is chosen by them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxdis import metrics, statistics
from jaxdis.report.caveats import caveats
from jaxdis.report.choice import Choice, choose, judged_by, objective, side
from jaxdis.report.read import Record, consensus, lived, udr
from jaxdis.report.text import phrase
from jaxdis.types import Score

__all__ = [
    "Judged",
    "Ranking",
    "Selection",
    "alike",
    "correlate",
    "in_turn",
    "places",
    "recommended",
    "select",
    "with_agreement",
]

TIE = 6  # decimals of an agreement that count


class Judged(NamedTuple):
    """How good a choice was by a score that knows the truth.

    Attributes:
      points: the rank correlation of the criterion with the mean score of the points;
        NaN of fewer than two, and where either is the same at all of them.
      seeds: the same over all seeds of all points.
      point_regret: the best mean score of a point less that of the one that is taken.
      seed_regret: the best score of a seed of any point less that of the one taken.
      value: the score of the seed that is taken.
    """

    points: float
    seeds: float
    point_regret: float
    seed_regret: float
    value: float


class Ranking(NamedTuple):
    """What one criterion says of points and seeds.

    Attributes:
      title: the criterion.
      points: the worth of each point, more is better; NaN where it has none.
      seeds: the worth of each seed, likewise.
      point: the point that comes first.
      seed: the number of the seed of it that comes first.
      judged: how good that is; None where no truth is known.
    """

    title: str
    points: Float[np.ndarray, "p"]
    seeds: Float[np.ndarray, "p s"]
    point: int
    seed: int
    judged: Judged | None


class Selection(NamedTuple):
    """What to take of a run, and how the criteria rank it.

    Attributes:
      point: the grid point to take.
      seed: the number of the seed to take.
      criterion: what they were chosen by, in words.
      rankings: by "udr", "objective" and "both"; those that the run allows.
      objective: the held-out objective; None where there is none.
      truth: the score that judges; None where no truth is known.
      notes: what is lacking, in sentences.
    """

    point: int
    seed: int
    criterion: str
    rankings: dict[str, Ranking]
    objective: Score | None
    truth: Score | None
    notes: tuple[str, ...]


def places(worth: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """The place of each by worth, from 1; the same of equal ones, 0 without a worth."""
    known = np.isfinite(worth)
    better = worth[None, :] > worth[:, None]  # NaN is not better
    return np.where(known, 1 + better.sum(1), 0)


def alike(agreement: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Agreement without its last digits: of two seeds each agrees alike."""
    return np.round(agreement, TIE)


def correlate(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """Spearman's rank correlation where both are known; average ranks of equal ones.

    Args:
      a: some numbers; NaN is left out.
      b: as many others.

    Returns:
      A number in [-1, 1]; NaN of fewer than two pairs, and where all of either are
      equal.

    Source: Spearman 1904.
    """
    from scipy.stats import rankdata  # takes a third of a second

    known = np.isfinite(a) & np.isfinite(b)
    ranks = np.stack([rankdata(a[known]), rankdata(b[known])])
    if ranks.shape[1] < 2 or not np.ptp(ranks, 1).all():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def with_agreement(
    record: Record, pairs: Float[np.ndarray, "p s s"], kind: str
) -> Record:
    """The run with another measure of the agreement of its seeds.

    Args:
      record: the run.
      pairs: how well each seed of each point agrees with each.
      kind: what the measure is called.
    """
    found = [
        consensus(own, group.failed)
        for own, group in zip(pairs, record.groups, strict=True)
    ]
    groups = [
        group._replace(final=group.final | {metrics.AGREEMENT.name: seeds})
        for (_, seeds), group in zip(found, record.groups, strict=True)
    ]
    udrs = [value for value, _ in found]
    results = record.results | {"udr": udrs, "udr_kind": kind}
    arrays = record.arrays | {"agreement": pairs}
    return record._replace(groups=groups, results=results, arrays=arrays)


class _Worth(NamedTuple):
    """What one criterion gives points and seeds; NaN where it says nothing."""

    points: Float[np.ndarray, "p"]
    seeds: Float[np.ndarray, "p s"]


def _signed(record: Record, score: Score) -> _Worth:
    """Means of points and values of seeds, more is better."""
    seeds = np.stack([side(score) * lived(g, score.name) for g in record.groups])
    return _Worth(np.atleast_1d(statistics.mean(seeds)), seeds)


def _agreement(record: Record) -> _Worth:
    seeds = np.stack([lived(g, metrics.AGREEMENT.name) for g in record.groups])
    return _Worth(udr(record), alike(seeds))


def in_turn(*keys: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Worth by the first key, of equal ones by the next.

    Args:
      keys: what counts, more is better; NaN counts least.

    Returns:
      0, 1, ... of the worst and those above it; NaN where no key is known.
    """
    there = np.any([np.isfinite(key) for key in keys], axis=0)
    filled = [np.where(np.isfinite(key), key, -np.inf) for key in keys]
    rows = np.stack(filled, 1)
    _, worth = np.unique(rows, axis=0, return_inverse=True)
    return np.where(there, worth.ravel().astype(float), np.nan)


def _by_both(agreement: _Worth, held_out: _Worth, choice: Choice | None) -> _Worth:
    """The rule of the report, as an order of all points and seeds.

    Points that are good enough in the objective come first, and of these the one to
    take, then those whose seeds agree most; the others by the objective. Of the seeds
    of a point those that agree most come first, of equal ones by the objective.
    """
    points = in_turn(agreement.points, held_out.points)
    if choice is not None:
        count = len(points)
        near = np.isin(np.arange(count), choice.near).astype(float)
        taken = (np.arange(count) == choice.point).astype(float)
        within = np.where(near > 0, agreement.points, held_out.points)
        known = np.isfinite(held_out.points)
        keys = (taken, near, within, held_out.points)
        points = np.where(known, in_turn(*keys), np.nan)
    own = [in_turn(a, h) for a, h in zip(agreement.seeds, held_out.seeds, strict=True)]
    size = own[0].size + 1  # seeds never outweigh the order of the points
    return _Worth(points, points[:, None] * size + np.stack(own))


def _regret(values: Float[np.ndarray, "..."], taken: float) -> float:
    known = values[np.isfinite(values)]
    return float(known.max() - taken) if known.size else float("nan")


def _judged(worth: _Worth, truth: _Worth, sign: int, at: tuple[int, int]) -> Judged:
    return Judged(
        points=correlate(worth.points, truth.points),
        seeds=correlate(worth.seeds.ravel(), truth.seeds.ravel()),
        point_regret=_regret(truth.points, float(truth.points[at[0]])),
        seed_regret=_regret(truth.seeds, float(truth.seeds[at])),
        value=sign * float(truth.seeds[at]),
    )


def _first(worth: _Worth, alive: Bool[np.ndarray, "p s"]) -> tuple[int, int] | None:
    """The first point, and the row of its first seed; None where nothing is known.

    Where the seeds of the point have no worth, it is the first that did not fail.
    """
    there = np.isfinite(worth.points) & alive.any(1)
    if len(there) == 1:  # a single point needs no rank among points
        there |= (np.isfinite(worth.seeds) & alive).any(1)
    if not there.any():
        return None
    points = np.where(np.isfinite(worth.points), worth.points, 0.0)
    point = int(np.where(there, points, -np.inf).argmax())
    own = np.where(np.isfinite(worth.seeds[point]), worth.seeds[point], -np.inf)
    # Above what failed, so that argmax takes the first that lived.
    least = np.where(alive[point], np.maximum(own, np.finfo(float).min), -np.inf)
    return point, int(least.argmax())


def _ties(rankings: dict[str, Ranking]) -> list[str]:
    said = []
    for ranking in rankings.values():
        first = int((places(ranking.points) == 1).sum())
        if first > 1 and len(ranking.points) > 1:
            said.append(
                f"{first} points are first alike by {ranking.title}: the first of them "
                "is taken"
            )
    return said


def _conflict(record: Record, rankings: dict[str, Ranking]) -> list[str]:
    """Where the seeds agree most at a point that loses too much in the objective."""
    if "both" not in rankings or rankings["both"].point == rankings["udr"].point:
        return []
    names, (udr_first, both) = record.groups, (rankings["udr"], rankings["both"])
    return [
        f"the seeds agree most at {names[udr_first.point].label}, which loses more in "
        f"{rankings['objective'].title} than the rule allows; "
        f"{names[both.point].label} does not"
    ]


def _criteria(record: Record, held_out: Score | None) -> dict[str, tuple[str, _Worth]]:
    """What each criterion is called and gives: those that say anything.

    Raises:
      ValueError: none does.
    """
    agreement = _agreement(record)
    nothing = _Worth(*(np.full_like(array, np.nan) for array in agreement))
    held = nothing if held_out is None else _signed(record, held_out)
    name = "" if held_out is None else f"held-out {phrase(held_out)}"
    kind = record.results.get("udr_kind")
    udr_name = f"UDR ({kind})" if kind else "UDR"
    titled = {"udr": (udr_name, agreement), "objective": (name, held)}
    alive = ~np.stack([group.failed for group in record.groups])
    known = {n: pair for n, pair in titled.items() if _first(pair[1], alive)}
    if not known:
        raise ValueError(
            "there is nothing to choose by: the run has no UDR (that takes two seeds "
            "with codes of the same rows) and no held-out objective (a score with a "
            "better side that needs no truth)"
        )
    if len(known) > 1:
        known["both"] = ("both", _by_both(agreement, held, choose(record)))
    return known


def recommended(record: Record) -> int | None:
    """The grid point to take; None where there is nothing to choose by."""
    try:
        return select(record).point
    except ValueError:
        return None


def select(record: Record) -> Selection:
    """Ranks the points of a run, and the seeds of each, without truth.

    By UDR, the median agreement of the seeds of a point (of a seed, with the others);
    by the held-out objective, the mean over the seeds of a point of the first score
    with a better side that needs no truth; and by both, the rule of `choice`: of the
    points that are as good in the objective, the one whose seeds agree most. Seeds that
    failed are left out.

    Args:
      record: a finished run.

    Returns:
      The point and the seed to take, by both criteria where there are both; the
      rankings; and where a truth is known the rank correlation of each criterion with
      the first score that needs it, and the regret.

    Raises:
      ValueError: all seeds failed, or there is nothing to choose by.

    Source: Duan et al. 2020 (arXiv 1905.12614), the UDR.
    """
    groups, held_out, truth = record.groups, objective(record), judged_by(record)
    alive = ~np.stack([group.failed for group in groups])
    if not alive.any():
        every = f"all {alive.size} seeds of the run" if alive.size > 1 else "the seed"
        raise ValueError(f"{every} failed: there is nothing to choose from")
    criteria = _criteria(record, held_out)
    judge = None if truth is None else _signed(record, truth)
    rankings = {}
    for key, (title, worth) in criteria.items():
        at = _first(worth, alive)
        assert at is not None
        sign = 1 if truth is None else side(truth)
        judged = None if judge is None else _judged(worth, judge, sign, at)
        seed = groups[at[0]].seeds[at[1]]
        rankings[key] = Ranking(title, *worth, at[0], seed, judged)
    last = list(rankings.values())[-1]
    words = " and ".join(r.title for n, r in rankings.items() if n != "both")
    notes = (*caveats(record, held_out), *_ties(rankings), *_conflict(record, rankings))
    return Selection(last.point, last.seed, words, rankings, held_out, truth, notes)
