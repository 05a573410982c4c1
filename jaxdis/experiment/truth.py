"""The codes of a trained run beside the true latents of the same rows."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Shaped

from jaxdis.data import draws
from jaxdis.experiment.again import plan_of
from jaxdis.experiment.model import Model
from jaxdis.experiment.using import in_slices, observations, taken
from jaxdis.types import Rows

__all__ = ["Encoded", "of_rows", "of_test_rows"]

ROWS = 10_000  # at most, of which each step of a sequence is one


class Encoded(NamedTuple):
    """True latents and codes of the same rows; steps of sequences are stacked.

    Attributes:
      z: true latents [n, d], or [seed, n, d] where seeds see different rows.
      codes: codes [point, seed, n, k].
      steps: how many rows in a row are those of one sequence; 1 where each is alone.
    """

    z: Float[np.ndarray, "*seed n d"]
    codes: Float[np.ndarray, "point seed n k"]
    steps: int


def _stacked(
    z: Shaped[np.ndarray, "..."], codes: Shaped[np.ndarray, "p s ..."], own: bool
) -> Encoded:
    """Rows of both, if each code has its latents."""
    lead = z.shape[own:-1]
    if codes.shape[2:-1] != lead:
        raise ValueError(
            f"z has an axis of rows {lead} and the codes have {codes.shape[2:-1]}; "
            "both must hold the same samples"
        )
    seeds = z.shape[:1] if own else ()
    flat = codes.reshape(*codes.shape[:2], -1, codes.shape[-1])
    steps = lead[1] if len(lead) > 1 else 1
    return Encoded(z.reshape(*seeds, -1, z.shape[-1]), flat, steps)


def _encoded(model: Model, x: Any, *, own: bool) -> np.ndarray:
    """Codes [point, seed, n, ...] of prepared observations, each seed's own or not."""
    if model.system.encode is None:
        raise ValueError(f"{model.method.name} has no encoder")
    points = range(len(model.points))
    params = (taken(model, None, point).params for point in points)
    encode = model.system.encode
    return np.stack([in_slices(encode, p, x, shared=not own) for p in params])


def _lacking(where: str) -> ValueError:
    return ValueError(
        f"{where} have no true latents z, which codes are compared with; `jaxdis "
        "select` chooses without them"
    )


def of_rows(model: Model, rows: Rows) -> Encoded:
    """Codes of a user's rows beside their z.

    Args:
      model: the trained model.
      rows: observations and true latents.

    Raises:
      ValueError: z is missing, or x is not what the model was trained on.
    """
    if rows.z is None:
        raise _lacking("these rows")
    codes = _encoded(model, observations(model, rows), own=False)
    return _stacked(np.asarray(rows.z), codes, False)


def of_test_rows(directory: Any, model: Model, parts: Any) -> Encoded:
    """Codes of the held-out rows of the training data beside their true latents.

    At most 10,000 rows, the first; data are drawn or read again.

    Args:
      directory: the directory of the run.
      model: its trained model.
      parts: the parts of the method that were replaced, by name.

    Raises:
      ValueError: there are no true latents, or the data are not there any more.
    """
    plan = plan_of(directory, method=model.method, parts=parts)
    splits, world = draws.load(plan.data, model.spec, plan.seeds)
    test = splits.test
    if test.z is None:
        raise _lacking(f"the data of {directory}")
    own = world is not None
    steps = model.spec.steps or 1
    most = max(1, ROWS // steps)
    x, z = (
        jax.tree.map(lambda a: np.asarray(a[:, :most] if own else a[:most]), part)
        for part in (test.x, test.z)
    )
    if world is not None:
        x, z = x[world], z[world]
    return _stacked(z, _encoded(model, x, own=own), own)
