"""What a run shows that is in conflict, in sentences."""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxdis import metrics
from jaxdis.data.draws import repeated
from jaxdis.report.choice import choose, objective, recommendation, side
from jaxdis.report.read import Group, Record, alive, finite, lived, moments
from jaxdis.report.text import fixed, number, phrase
from jaxdis.types import Score

__all__ = ["below_floor", "findings"]

APART = 0.1  # by which a seed's agreement is below the middle one's, at least,
SPREADS = 4.0  # and in median deviations, where it disagrees with the others
NAMED = 8  # seeds that are named one by one
POOR = 0.5  # UDR below which seeds have found different codes


def below_floor(group: Group, score: Score) -> tuple[str, float] | None:
    """The floor that a mean score is below, its name and mean; the highest of several.

    Differences that are not seen in three decimals do not count.

    Args:
      group: the grid point.
      score: the score.
    """
    mean = moments(group, score.name)[0]
    above = {
        name: float(np.mean(values))
        for name, floor in group.floors.items()
        if score.name in floor
        and (values := finite([floor[score.name]])).size
        and side(score) * (np.mean(values) - mean) > 0
        and fixed(float(np.mean(values))) != fixed(mean)
    }
    best = max(above, key=lambda n: side(score) * above[n], default=None)
    return None if best is None else (best, above[best])


def _listed(numbers: Sequence[int]) -> str:
    """ "3", "3 and 5", "3, 5 and 6"."""
    *rest, last = map(str, numbers)
    return f"{', '.join(rest)} and {last}" if rest else last


def _seeds(numbers: Sequence[int], verb: str, verbs: str) -> str:
    many = len(numbers) > 1
    return f"seed{'s' * many} {_listed(numbers)} {verbs if many else verb}"


def _outliers(group: Group) -> np.ndarray:
    """Rows of the seeds that agree much less with the others than most do."""
    if len(alive(group, metrics.AGREEMENT.name)) < 3:
        return np.empty(0, int)
    known = lived(group, metrics.AGREEMENT.name)
    middle = np.nanmedian(known)
    spread = np.nanmedian(np.abs(known - middle))
    return np.flatnonzero(known < middle - max(APART, SPREADS * spread))


def _of_failures(record: Record, group: Group) -> Iterator[str]:
    if group.failed.all():
        seeds = len(group.seeds)
        who = f"all {seeds} seeds" if seeds > 1 else f"seed {group.seeds[0]}"
        yield f"{who} diverged: nothing was learned, and no score means anything"


def _of_agreement(record: Record, group: Group) -> Iterator[str]:
    name = metrics.AGREEMENT.name
    values = alive(group, name)
    if len(values) < 2:
        return
    middle = float(np.median(values))
    if middle < POOR:
        yield (
            f"the seeds do not agree (agreement {fixed(middle)}): what one of them "
            "found is not what the data alone say"
        )
    rows = _outliers(group)
    if rows.size:
        who = [group.seeds[i] for i in rows]
        least = float(np.median(group.final[name][rows]))
        against = f"(agreement {fixed(least)} against {fixed(middle)})"
        yield f"{_seeds(who, 'disagrees', 'disagree')} with the others {against}"
    score = objective(record)
    if score is None or score.name not in group.final:
        return
    worth = side(score) * lived(group, score.name)
    if rows.size and np.isfinite(worth).any() and np.nanargmax(worth) in rows:
        best = group.seeds[int(np.nanargmax(worth))]
        yield f"seed {best}, best by held-out {phrase(score)}, is one that disagrees"


def _of_missing(record: Record, group: Group) -> Iterator[str]:
    there = int((~group.failed).sum())
    for score in record.scores.values():
        known = len(alive(group, score.name))
        if 0 < known < there:
            rows = ~group.failed & ~np.isfinite(lived(group, score.name))
            who = [group.seeds[i] for i in np.flatnonzero(rows)]
            few = len(who) <= NAMED
            lack = _seeds(who, "has", "have") if few else f"{len(who)} seeds have"
            yield (
                f"{lack} no finite {phrase(score)}, without having failed: its means "
                f"are over {known} of {there} seeds"
            )


def _of_codes(record: Record, group: Group) -> Iterator[str]:
    dead = alive(group, metrics.DEAD.name)
    if not dead.size or not dead.any():
        return
    codes = record.arrays.get("matched_codes")
    of = "" if codes is None else f" of {codes.shape[-1]}"
    low, high = number(dead.min()), number(dead.max())
    if low == high:
        verb = "is" if dead[0] == 1 else "are"
        every = " in every seed" if dead.size > 1 else ""
        word = "codes" if of or dead[0] != 1 else "code"
        yield f"{low}{of} {word} {verb} dead{every}"
    else:
        yield f"between {low} and {high}{of} codes are dead, by seed"


def _of_floors(record: Record, group: Group) -> Iterator[str]:
    for score in record.scores.values():
        if score.floor and (floor := below_floor(group, score)) is not None:
            mean = fixed(moments(group, score.name)[0])
            low = f"{floor[0]} {fixed(floor[1])}"
            yield f"{score.title} {mean} is below its floor: {low}"


def _of_points(record: Record) -> Iterator[str]:
    choice, groups = choose(record), record.groups
    # Where no other point is as good, the recommendation says where seeds agree.
    if choice is None or len(choice.near) < 2 or not np.isfinite(choice.udr).any():
        return
    most = int(np.nanargmax(choice.udr))
    if most not in (choice.best, choice.agreed):
        yield (
            f"held-out {phrase(choice.score)} is best at {groups[choice.best].label}, "
            f"the seeds agree most at {groups[most].label}"
        )


def findings(record: Record) -> list[str]:
    """What to know before a run is believed, a sentence each.

    What is lost of its files; shards that are missing; which point of a grid to take;
    that there are more seeds than draws of the data;
    where all seeds diverged; scores that some seeds lack; where the held-out objective
    and the seeds disagree, seeds that stand apart, dead codes, and scores below their
    floor.

    Args:
      record: a run.
    """
    first = recommendation(record)
    found = [_whole(s) for s in ([first] if first else []) + [*_of_points(record)]]
    lost = record.results.get("missing") or []
    if shared := repeated(record.spec.get("worlds"), record.groups[0].seeds):
        found.append(_whole(shared))
    found = [*record.notes, *(f"Not in this table: {told}." for told in lost), *found]
    for of in (_of_failures, _of_missing, _of_floors, _of_agreement, _of_codes):
        where: dict[str, list[str]] = {}
        for group in record.groups:
            for sentence in of(record, group):
                where.setdefault(sentence, []).append(group.label)
        for sentence, labels in where.items():
            if len(labels) < len(record.groups):
                # A point is named as it is written, with a small letter in front.
                found.append(f"{' and '.join(labels)}: {sentence}.")
            elif len(labels) > 1:
                found.append(f"At every point: {sentence}.")
            else:
                found.append(_whole(sentence))
    return found


def _whole(sentence: str) -> str:
    return f"{sentence[0].upper()}{sentence[1:]}."
