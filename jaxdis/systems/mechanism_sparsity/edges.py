"""The graphs as learned masks: where they start, how they are drawn and pressed.

Source: Lachapelle et al. 2022 (arXiv 2107.10098), section 4; the constraint of arXiv
2401.04890.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis import losses, masks, parallel
from jaxdis.types import PRNGKey, Scalar

__all__ = [
    "MASK_DRAWS",
    "STARTS",
    "WARMUP_MASKS",
    "Graphs",
    "Limits",
    "MaskDraws",
    "edge_pressure",
    "effective_logits",
    "is_pressed",
]


class Graphs(NamedTuple):
    """One value per graph, None where the data have no such graph.

    Attributes:
      z: the value of G^z `[z, z]`, from past latents.
      a: the value of G^a `[z, a]`, from actions.
    """

    z: Any
    a: Any


def _start_learned(
    shape: tuple[int, int], initial: Scalar, truth: np.ndarray | None
) -> Array:
    return jnp.full(shape, initial)


def _start_dense(
    shape: tuple[int, int], initial: Scalar, truth: np.ndarray | None
) -> Array:
    return masks.frozen(np.ones(shape))


def _start_true(
    shape: tuple[int, int], initial: Scalar, truth: np.ndarray | None
) -> Array:
    return masks.frozen(np.asarray(truth))


STARTS: dict[str, Callable[[tuple[int, int], Scalar, np.ndarray | None], Array]] = {
    "learned": _start_learned,
    "dense": _start_dense,
    "true": _start_true,
}
"""What a graph starts from: `(shape, initial logit, true graph) -> logits`."""


class MaskDraws(NamedTuple):
    """How often masks are drawn in a step.

    Attributes:
      noise: `(key, log_alpha) -> noise`, of one evaluation of the loss.
      mask: `(log_alpha, noise, temperature, relaxation) -> mask`, as `parallel.apply`
        takes it; the relaxation is a key of `masks.RELAXATIONS`.
    """

    noise: Callable[[PRNGKey, Array], Array]
    mask: Callable[[Array, Array, Scalar, Any], Array | parallel.Draws]


def _shared_noise(key: PRNGKey, log_alpha: Array) -> Array:
    return masks.logistic_noise(key, log_alpha.shape)


def _shared_mask(
    log_alpha: Array, noise: Array, temperature: Scalar, relaxation: str
) -> Array:
    return masks.RELAXATIONS[relaxation].sample(log_alpha, noise, temperature)


def _key_itself(key: PRNGKey, log_alpha: Array) -> Array:
    return key


MASK_DRAWS = {
    "batch": MaskDraws(_shared_noise, _shared_mask),
    # To be drawn from the key where they are used.
    "example": MaskDraws(_key_itself, parallel.Draws),
}
"""One mask per step shared by the batch, or one per example."""


def _never(step: Array, warmup: Scalar) -> Bool[Array, ""]:
    return jnp.zeros((), bool)


def _in_warmup(step: Array, warmup: Scalar) -> Bool[Array, ""]:
    return step < warmup


WARMUP_MASKS: dict[str, Callable[[Array, Scalar], Bool[Array, ""]]] = {
    "hold": _never,
    "frozen": _in_warmup,
}
"""Whether all masks are 1 at a step: `(step, steps of the warm-up) -> boolean`."""


class Limits(NamedTuple):
    """What keeps one graph sparse.

    Attributes:
      coeff: the weight of one edge in the loss.
      bound: the number of edges allowed in the end; the number of cells is off.
    """

    coeff: Scalar
    bound: Scalar


def is_pressed(limits: Limits, cells: int) -> Bool[Array, ""]:
    """Whether a penalty or a bound keeps a graph sparse; else it is not learned.

    Args:
      limits: what keeps the graph sparse.
      cells: the size of the graph; as high a bound is none.
    """
    return jnp.asarray((limits.coeff != 0) | (limits.bound < cells))


def effective_logits(
    log_alpha: Float[Array, "z p"], limits: Limits, frozen: Bool[Array, ""]
) -> Float[Array, "z p"]:
    """The logits of a graph; frozen at 1 for a graph that nothing presses on.

    Without this, switching a penalty or bound off would leave the noise of the masks,
    which is a regulariser of its own. Logits that were frozen by hand stay.

    Args:
      log_alpha: the learned logits.
      limits: what keeps the graph sparse.
      frozen: whether the masks are 1 in any case.
    """
    dense = ~is_pressed(limits, log_alpha.size) | frozen
    learned = jnp.abs(log_alpha) < masks.FROZEN
    return jnp.where(dense & learned, masks.FROZEN, log_alpha)


def edge_pressure(
    edges: Float[Array, ""],
    cells: int,
    step: Array,
    limits: Limits,
    multiplier: Scalar,
    *,
    warmup: Scalar,
    descent: Scalar,
    dual_rate: Scalar,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """What one graph adds to the loss, and its next multiplier.

    `c r + mu (r - bound)` with r the expected edges; c and mu are 0 in the warm-up, and
    the bound falls from all cells to its target in the steps after it.

    Args:
      edges: r.
      cells: the size of the graph, where the bound starts.
      step: the number of steps taken so far.
      limits: c, and the edges allowed in the end.
      multiplier: mu.
      warmup: the number of steps before the bound falls.
      descent: the number of steps in which it falls.
      dual_rate: the step of the multiplier's ascent.
    """
    on = step >= warmup
    bound = losses.annealed_bound(step, cells, limits.bound, warmup, descent)
    defect = edges - bound
    ascended = losses.dual_ascent(multiplier, jax.lax.stop_gradient(defect), dual_rate)
    pressure = on * limits.coeff * edges + multiplier * defect
    return pressure, jnp.where(on, ascended, 0.0)
