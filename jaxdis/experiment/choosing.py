"""What to take of a run: its own agreement of seeds, or another made of its codes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxdis import check
from jaxdis.data.own import Own
from jaxdis.experiment.again import plan_of
from jaxdis.experiment.codes import Kind, encode_rows, pairs_of_seeds
from jaxdis.experiment.prepared import prepare
from jaxdis.report import unfinished
from jaxdis.report.read import Record
from jaxdis.types import DataSet, Method, Params

__all__ = ["KINDS", "agreement_again", "finished"]

KINDS: tuple[Kind, ...] = ("mcc", "lasso", "spearman")


def finished(directory: Path) -> Record:
    """What a run holds that has finished.

    Args:
      directory: its directory.

    Raises:
      ValueError: it was killed or still trains, or a file of it is damaged.
    """
    record = unfinished.load(directory)
    if record.standing is not None:
        told = " ".join(unfinished.said(record.standing))
        raise ValueError(
            f"{directory}: there are no scores of held-out rows to choose by. {told}"
        )
    return record


def agreement_again(
    directory: Path,
    record: Record,
    kind: Kind,
    params: Params,
    *,
    method: Method,
    data: DataSet | Own | None = None,
    parts: Mapping[str, Any],
) -> Float[np.ndarray, "p s s"]:
    """The agreement of the seeds of a run, of codes of its test rows that are made now.

    Args:
      directory: the directory of the run.
      record: what it holds.
      kind: how two seeds are compared; see `metrics.agreement`.
      params: the parameters of all rows.
      method: its method.
      data: its data, where these were given as arrays.
      parts: those parts of the method that were replaced, by name.

    Raises:
      ValueError: there is no such kind, the data are not there any more, or there are
        no codes of the same rows.
    """
    check.one_of("kind", kind, KINDS)
    try:
        planned = plan_of(directory, method=method, data=data, parts=parts)
        experiment = prepare(planned)
    except ValueError as error:
        raise ValueError(
            f"UDR of the kind {kind!r} needs the codes of the test rows, which cannot "
            f"be had again ({error}); that of the kind 'mcc' is in the run"
        ) from error
    codes = encode_rows(experiment, params)
    if codes is None:
        raise ValueError(
            f"there is no UDR of the kind {kind!r}: {experiment.plan.method.name} does "
            "not encode, or its seeds see different observations"
        )
    own = zip(codes, record.groups, strict=True)
    return np.stack([pairs_of_seeds(z, group.failed, kind) for z, group in own])
