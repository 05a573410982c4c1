"""What theory promises of the data of a run beside what was reached, in sentences."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from jaxdis import metrics
from jaxdis.identifiability import (
    Graph,
    Promise,
    promise_of_graphs,
    promise_of_mixing,
    promise_of_tasks,
)
from jaxdis.identifiability.promises import in_words
from jaxdis.report import unfinished
from jaxdis.report.averages import over_seeds
from jaxdis.report.choice import points_shown
from jaxdis.report.read import Record, lived

__all__ = [
    "AXES",
    "Given",
    "given",
    "in_short",
    "known",
    "lacking",
    "promised",
    "promised_in_run",
    "reached",
]

AXES = {
    "gz": ("latent", "past latent"),
    "ga": ("latent", "action"),
    "supports": ("task", "latent"),
    "mask": ("observed variable", "latent"),
}
"""What rows and columns are of the matrices that theory speaks of."""

REACHED = (metrics.R_CON, metrics.BLOCK_R2, metrics.MCC)
SENTENCES = 6  # of latents that are not told apart


class Given(NamedTuple):
    """What theory is asked about, and its answer.

    Attributes:
      name: what it is, in a sentence.
      matrices: by their names in `AXES`.
      promise: the answer.
    """

    name: str
    matrices: Mapping[str, Bool[np.ndarray, "r c"]]
    promise: Promise


def given(arrays: Mapping[str, Graph], domains: int | None = None) -> list[Given]:
    """The answers for graphs, supports and a mask, as far as there are any.

    Args:
      arrays: matrices of 0/1 by their names in `AXES`; gz and ga go together.
      domains: the number of domains of a mixing; None for as many as it takes.

    Raises:
      ValueError: one of them is no such matrix.
    """
    found = []
    gz, ga = arrays.get("gz"), arrays.get("ga")
    if gz is not None or ga is not None:
        names = [n for n in ("gz", "ga") if n in arrays]
        words = f"graph{'s' * (len(names) > 1)} {' and '.join(names)}"
        found.append((words, names, promise_of_graphs(gz, ga)))
    if "supports" in arrays:
        answer = promise_of_tasks(arrays["supports"])
        found.append(("supports of tasks", ["supports"], answer))
    if "mask" in arrays:
        words = "mask" if domains is None else f"mask and {domains} domains"
        words = words.replace("1 domains", "1 domain") if domains == 1 else words
        answer = promise_of_mixing(arrays["mask"], domains)
        found.append((words, ["mask"], answer))
    return [
        Given(words, {n: np.asarray(arrays[n]) == 1 for n in names}, answer)
        for words, names, answer in found
    ]


def _usable(record: Record) -> tuple[dict[str, np.ndarray], list[str]]:
    """The matrices that are known, and sentences about those that do not count."""
    truth: Mapping[str, Any] = record.spec.get("truth") or {}
    arrays = {n: np.array(truth[n]) for n in AXES if truth.get(n) is not None}
    # Those of the tasks for testing, which are drawn as those of training are.
    if "supports" in record.arrays and "supports" not in arrays:
        arrays["supports"] = np.asarray(record.arrays["supports"])
    needs = {"gz": ("steps", "sequences"), "ga": ("a_dim", "actions")}
    said = []
    for name, (field, words) in needs.items():
        if name in arrays and not record.spec.get(field):
            said.append(f"The graph {name} is known, but the data have no {words}.")
            del arrays[name]
    return arrays, said


def known(record: Record) -> list[Given]:
    """What is known of how the data of a run were made, with the answers of theory.

    Args:
      record: a run, finished or not.

    Raises:
      ValueError: what is known is damaged.
    """
    domains = max(1, len(record.spec.get("domains") or ()))
    return given(_usable(record)[0], domains)


def reached(record: Record, point: int) -> str:
    """What the seeds of a point have reached by now of what theory speaks of.

    Args:
      record: a run, finished or not.
      point: the grid point.

    Returns:
      Scores in words; "" where there are none.
    """
    group, found = record.groups[point], []
    for score in REACHED:
        title = record.scores.get(score.name, score).title
        values = lived(group, score.name)[~group.failed]
        if record.standing is not None and score.name in group.curves:
            curves = group.curves[score.name][~group.failed]
            seen = np.flatnonzero(np.isfinite(curves).any(0))
            values = curves[:, seen[-1]] if seen.size else values
        if np.isfinite(values).any():
            found.append(f"{title} {over_seeds(values)}")
    return ", ".join(found)


def _reached(record: Record) -> str:
    """The end of a sentence."""
    if all(group.failed.all() for group in record.groups):
        return "nothing was reached, as every seed failed"
    points = [(p, reached(record, p)) for p in points_shown(record)]
    parts = []
    for point, words in points:
        label = record.groups[point].label
        if words:
            parts.append(f"{words} at {label}" if label else words)
    if not parts:
        return "no score was measured that could be set beside it"
    standing = record.standing
    when = "" if standing is None else f" by step {standing.step:,}, on validation rows"
    return f"reached{when}: {'; '.join(parts)}"


def lacking(promise: Promise) -> list[str]:
    """What is missing, in sentences; of very many latents the first ones."""
    said = list(dict.fromkeys(word for word in promise.missing if word))
    more = len(said) - SENTENCES
    shown = said if more <= 1 else said[:SENTENCES]
    rest = [f"and {more} more sentences of the kind"] if more > 1 else []
    # A latent is named as it is written, with a small letter in front.
    return [
        f"{s if s.startswith('z_') else s[0].upper() + s[1:]}." for s in [*shown, *rest]
    ]


def promised(record: Record) -> list[str]:
    """What theory promises of the data of a run, and what was reached, in sentences.

    Args:
      record: a run, finished or not, of any method.
    """
    try:
        return list(_sentences(record))
    except (AttributeError, TypeError, ValueError) as error:
        return [f"What is known of the data is damaged: {error}."]


def promised_in_run(directory: Path) -> list[str]:
    """`promised` of the run in a directory, finished or not.

    Raises:
      ValueError: it is no run, or a file of it is damaged.
    """
    return promised(unfinished.load(directory))


def in_short(record: Record) -> str:
    """The blocks that theory promises; "" where nothing is known of the data.

    Args:
      record: a run, finished or not.
    """
    try:
        return "; ".join(in_words(one.promise) for one in known(record))
    except (AttributeError, TypeError, ValueError):
        return ""


def _sentences(record: Record) -> Iterator[str]:
    every, said = known(record), _usable(record)[1]
    yield from said
    if not every:
        yield (
            "Theory promises nothing here that scores could be set beside: no graph, "
            "supports or mask of these data are known"
            + (", or what it assumes is not given." if said else ".")
        )
    for one in every:
        words, breaks = in_words(one.promise), record.spec.get("breaks")
        verb = "would promise" if breaks else "promises"
        yield f"By the {one.name} theory {verb} {words}; {_reached(record)}."
        yield f"It assumes: {one.promise.assumes}."
        if breaks:
            yield f"Of these data that does not hold, as {breaks}: nothing is promised."
        yield from lacking(one.promise)
        if not one.promise.identified.all() and metrics.MCC.name in record.scores:
            yield (
                f"{metrics.MCC.title} gives each latent one code: that it reaches 1 is "
                "not promised."
            )
