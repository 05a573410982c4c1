"""What a run lacks for a choice among its points and seeds, in sentences."""

from collections.abc import Iterator

import numpy as np

from jaxdis.report.choice import regularising
from jaxdis.report.read import Record, lived, udr
from jaxdis.types import Score

__all__ = ["caveats"]


def caveats(record: Record, held_out: Score | None) -> Iterator[str]:
    """What cannot be ranked or is left out, and why.

    Args:
      record: a finished run.
      held_out: its held-out objective; None where there is none.
    """
    yield from _left_out(record, held_out)
    if len(record.groups) == 1:
        yield "the run has one grid point: only its seeds are ranked"
    if not np.isfinite(udr(record)).any():
        yield _no_udr(record)
        if held_out is not None and regularising(record):
            yield (
                f"{held_out.title} alone takes too little regularisation "
                f"({', '.join(regularising(record))}): all of it costs a little"
            )
    if held_out is None:
        yield _no_objective(record)


def _left_out(record: Record, held_out: Score | None) -> Iterator[str]:
    """How many runs failed, or lack the objective."""
    runs = sum(len(group.seeds) for group in record.groups)
    lost = sum(int(group.failed.sum()) for group in record.groups)
    if lost:
        yield f"{lost} of {runs} runs failed and are left out"
    if held_out is None:
        return
    values = [lived(group, held_out.name) for group in record.groups]
    if lacking := runs - lost - int(np.isfinite(values).sum()):
        yield (
            f"{lacking} runs that did not fail have no finite {held_out.title} and are "
            "left out of its means"
        )


def _no_udr(record: Record) -> str:
    """Why the seeds cannot be compared."""
    if len(record.groups[0].seeds) == 1:
        return "there is one seed: UDR needs two, so that there is none"
    if record.spec.get("worlds") is not None:
        return (
            "there is no UDR: seeds see different draws of the data, and have no codes "
            "of the same rows; train on a single draw (--data.worlds 1) to have one"
        )
    return (
        "there is no UDR: seeds have no codes of the same rows, or fewer than two of "
        "them lived"
    )


def _no_objective(record: Record) -> str:
    """Why there is no held-out objective."""
    scores = dict(record.results.get("scores") or {})
    if not any("truth" in dict(score) for score in scores.values()):
        return (
            "there is no held-out objective: the run is of an earlier version, which "
            "does not say which scores need the truth"
        )
    return (
        "there is no held-out objective: no score of the run has a better side and "
        "needs no truth"
    )
