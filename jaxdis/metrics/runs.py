"""Scores of one run, of all runs: mapped if values are traced, in threads if not."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Num

from jaxdis.devices import cores
from jaxdis.metrics.inputs import as_float, is_known

__all__ = ["each_run", "in_threads", "over_seeds"]


def over_seeds(
    score: Callable[[Array, Array], Any],
    z: Num[Array, "*t n d"],
    codes: Float[Array, "*s n k"],
) -> Any:
    """`score(z, codes)`, mapped over the seeds if there are some.

    Factors that all seeds share are worked on once.

    Args:
      score: the scores of one run, `([n, d], [n, k]) -> tree`.
      z: factors.
      codes: codes.
    """
    if codes.ndim == 2:
        return score(z, codes)
    return jax.vmap(score, (0 if z.ndim == 3 else None, 0))(z, codes)


def each_run(
    score: Callable[[Any, Any], Any],
    z: Any,
    codes: Any,
    prepare: Callable[[Any], Any] = lambda z: z,
) -> Any:
    """As `over_seeds`, for scores that are computed on the host where values are known.

    Args:
      score: the scores of one run, `([n, d], [n, k]) -> tree`.
      z: factors, from `checked_pair`.
      codes: codes, from `checked_pair`.
      prepare: what is done once to known factors that all seeds share.
    """
    if not is_known(z, codes):
        return over_seeds(score, z, codes)
    if codes.ndim == 2:
        return jax.tree.map(as_float, score(prepare(z), codes))
    own = [prepare(f) for f in z] if z.ndim == 3 else [prepare(z)] * len(codes)
    runs = in_threads(score, own, codes)
    return jax.tree.map(lambda *leaves: as_float(np.stack(leaves)), *runs)


def in_threads(score: Callable[..., Any], *runs: Iterable[Any]) -> list[Any]:
    """`list(map(score, *runs))` on all cores, as numpy lets go of the interpreter.

    Args:
      score: what is done to one run, or to whatever else there are several of.
      runs: its arguments, one of each a run.
    """
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(score, *runs))
