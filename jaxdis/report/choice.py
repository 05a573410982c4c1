"""Which point of a grid to take, without true latents.

The held-out objective alone takes too little regularisation: it pays for every edge, if
little. Points are good enough by it if they are no worse than the best by more than a
standard error, or lose at most half of what the worst of the sweep loses; of these the
seeds say which is identified: the one on which they agree most.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxdis import metrics, statistics
from jaxdis.report.read import Record, lived, over, swept, udr
from jaxdis.report.text import fixed, phrase
from jaxdis.types import Score

__all__ = [
    "Choice",
    "choose",
    "judged_by",
    "objective",
    "points_shown",
    "recommendation",
    "regularising",
    "side",
]

LITTLE = 0.5  # of the loss from the best point to the worst
MANY = 4  # points, beyond which large pictures show only the one to take


class Choice(NamedTuple):
    """What speaks for which point of a grid.

    Attributes:
      score: the held-out objective.
      best: the point with the best mean of it.
      near: the points that are no worse by more than one standard error, paired over
        seeds, or that lose at most half of what the worst loses; `best` is one of them.
      little: whether some of them are worse by more than that error.
      sparsest: of these the most regularised one; None where no hyper-parameter is
        declared to regularise, or all do so alike.
      agreed: of these the one whose seeds agree most; None where none has a UDR.
      udr: the agreement of the seeds of every point; NaN where there is none.
      over: of how many seeds that is, in words; "" where it is of all.
    """

    score: Score
    best: int
    near: tuple[int, ...]
    little: bool
    sparsest: int | None
    agreed: int | None
    udr: Float[np.ndarray, "p"]
    over: tuple[str, ...]

    @property
    def point(self) -> int:
        """The point to take."""
        first = self.sparsest if self.agreed is None else self.agreed
        return self.best if first is None else first


def side(score: Score) -> int:
    """1 or -1: what a score is multiplied by so that the higher is the better."""
    return -1 if score.better == "lower" else 1


def _said(record: Record, name: str) -> bool:
    """Whether the run says if a score needs truth: those of older versions do not."""
    return "truth" in dict(record.results.get("scores", {}).get(name, {}))


def _there(record: Record, score: Score) -> bool:
    finals = [g.final[score.name] for g in record.groups if score.name in g.final]
    return any(np.isfinite(values).any() for values in finals)


def objective(record: Record) -> Score | None:
    """The held-out objective: the first score with a better side that needs no truth.

    Args:
      record: a run; where it does not say which scores need truth there is none.
    """
    for name, score in record.scores.items():
        known = score.better and not score.truth and _said(record, name)
        if known and name != metrics.AGREEMENT.name and _there(record, score):
            return score
    return None


def judged_by(record: Record) -> Score | None:
    """The first score that compares with the truth, has a better side and is there."""
    for score in record.scores.values():
        if score.truth and score.better and _there(record, score):
            return score
    return None


def regularising(record: Record) -> list[str]:
    """The hyper-parameters that are swept and regularise."""
    sparser = dict(record.results.get("sparser") or {})
    return [n for n in swept([g.hyper for g in record.groups]) if n in sparser]


def _strength(record: Record) -> Float[np.ndarray, "p"]:
    """How much each point regularises: ranks of what is swept and does so, summed."""
    hypers = [group.hyper for group in record.groups]
    sparser: dict[str, Any] = dict(record.results.get("sparser") or {})
    total = np.zeros(len(hypers))
    for name in regularising(record):
        values = np.array([hyper[name] for hyper in hypers], float)
        signed = -values if sparser[name] == "lower" else values
        total += np.unique(signed, return_inverse=True)[1]
    return total


def _lose_little(means: Float[np.ndarray, "p"]) -> Bool[np.ndarray, "p"]:
    """Which points lose at most half of what the worst one loses, where that is known.

    Of two points none is between the best and the worst.
    """
    loss = np.nanmax(means) - means
    return np.isfinite(means) & (loss <= LITTLE * np.nanmax(loss))


def choose(record: Record) -> Choice | None:
    """What speaks for which point; None for a single point, or without an objective.

    Args:
      record: a run of several grid points.
    """
    score, groups = objective(record), record.groups
    if score is None or len(groups) < 2:
        return None
    values = np.stack([side(score) * lived(g, score.name) for g in groups])
    means = np.asarray(statistics.mean(values))
    if not np.isfinite(means).any():
        return None
    best = int(np.nanargmax(means))
    gain = statistics.paired_gain(np.broadcast_to(values[best], values.shape), values)
    within = np.asarray(gain.mean) <= np.asarray(gain.standard_error)
    within[best] = True
    little = _lose_little(means)
    near = np.flatnonzero((within | little) & np.isfinite(means))
    strength = _strength(record)
    agreement = udr(record)
    known = near[np.isfinite(agreement[near])]
    return Choice(
        score=score,
        best=best,
        near=tuple(near.tolist()),
        little=bool((little & ~within).any()),
        sparsest=int(near[np.argmax(strength[near])]) if np.ptp(strength) else None,
        agreed=int(known[np.argmax(agreement[known])]) if known.size else None,
        udr=agreement,
        over=tuple(map(over, groups)),
    )


def points_shown(record: Record) -> list[int]:
    """The points that a large picture shows: all, or of many the one to take."""
    choice, points = choose(record), list(range(len(record.groups)))
    if len(points) <= MANY:
        return points
    return points[:MANY] if choice is None else [choice.point]


def recommendation(record: Record) -> str | None:
    """Which point of a grid to take and why, in a sentence.

    Args:
      record: a run; None is said of a single point, or without a held-out objective.
    """
    choice = choose(record)
    if choice is None:
        return None
    names, of = [g.label for g in record.groups], f"held-out {phrase(choice.score)}"
    if len(record.groups[0].seeds) < 2:
        return (
            f"the best {of} is at {names[choice.best]}; several seeds are needed to "
            "say which other points are as good, and where seeds agree"
        )
    if len(choice.near) == 1:
        alone = f"take {names[choice.point]}: no other point has a {of} as good within "
        return (
            alone + "one standard error, paired over seeds" + _elsewhere(choice, names)
        ) + _alone(record, choice)
    among = f"of the {len(choice.near)} points " + (
        f"that lose at most half of what the worst loses in {of} (the best is "
        f"{names[choice.best]})"
        if choice.little
        else f"whose {of} is within one standard error of the best "
        f"({names[choice.best]})"
    )
    taken = f"take {names[choice.point]}: {among}, {_reason(choice, names)}"
    return taken + _alone(record, choice)


def _alone(record: Record, choice: Choice) -> str:
    """That the objective regularises too little, where no seeds were heard."""
    strength = _strength(record)
    if np.isfinite(choice.udr).any() or strength[choice.point] == strength.max():
        return ""
    return (
        "; but the objective alone takes too little regularisation, and seeds that see "
        "different data have no UDR that would say how much: train seeds on the same "
        "data to choose"
    )


def _udr(choice: Choice, point: int) -> str:
    return f"UDR {fixed(float(choice.udr[point]))}{choice.over[point]}"


def _elsewhere(choice: Choice, names: list[str]) -> str:
    """Where the seeds agree most, if that is at another point."""
    if not np.isfinite(choice.udr).any():
        return ""
    most = int(np.nanargmax(choice.udr))
    if most == choice.point:
        return f"; the seeds, too, agree most there ({_udr(choice, most)})"
    here = f"{fixed(float(choice.udr[choice.point]))}{choice.over[choice.point]}"
    other = f"({_udr(choice, most)}, here {here})"
    return f"; but the seeds agree most at {names[most]} {other}"


def _reason(choice: Choice, names: list[str]) -> str:
    """Why this one of the points that are as good."""
    sparsest, agreed = choice.sparsest, choice.agreed
    if agreed is None:
        return "it is the sparsest" if sparsest is not None else "it is the best"
    most = f"the seeds agree most there ({_udr(choice, agreed)})"
    if sparsest is None:
        return most
    if sparsest == agreed:
        return f"it is the sparsest, and {most}"
    return f"{most}; the sparsest is {names[sparsest]} ({_udr(choice, sparsest)})"
