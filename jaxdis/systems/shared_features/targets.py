"""What tasks ask of factors: supports, linear targets, and classes.

Supports, weights and thresholds are drawn task by task, by one function for training,
validation and test.

Source: formulas of the image tasks follow Lachapelle, Deleu et al. 2023 (arXiv
2211.14666), with supports drawn for every task and not once for a batch; constants of
the toy are this library's.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdis.types import PRNGKey, Scalar

__all__ = [
    "BITS",
    "THRESHOLD",
    "Tasks",
    "linear_targets",
    "split_classes",
    "threshold_classes",
    "uses_by_coin",
    "uses_by_size",
]

SIZES = (1, 2, 3)  # factors that a task uses
THRESHOLD = 0.6  # of the toy's classes: U(-.6, .6)
BITS = 3  # of the label of an image task


class Tasks(NamedTuple):
    """Samples of several tasks.

    Attributes:
      x: the observations `[t, n, ...]`; bytes for images.
      y: the targets, numbers or classes.
      allowed: the classes that a task has; None if all.
      uses: the factors that each task depends on; None if they are not known.
      numbers: which tasks are regression; None if all are of one kind.
      column: the label column that each task asks for; None if it is none.
    """

    x: Array
    y: Float[Array, "t n"] | Int[Array, "t n"]
    allowed: Bool[Array, "t c"] | None
    uses: Bool[Array, "t z"] | None
    numbers: Bool[Array, "t"] | None = None
    column: Int[Array, "t"] | None = None


def uses_by_size(key: PRNGKey, tasks: int, z_dim: int) -> Bool[Array, "t z"]:
    """|S| uniform on {1, 2, 3}, S uniform given its size.

    Args:
      key: draws the supports.
      tasks: t, their number.
      z_dim: the number of factors.
    """
    size_key, order_key = jax.random.split(key)
    size = jax.random.randint(size_key, (tasks, 1), 1, min(max(SIZES), z_dim) + 1)
    return _ranks(order_key, (tasks, z_dim)) < size


def uses_by_coin(key: PRNGKey, tasks: int, z_dim: int) -> Bool[Array, "t z"]:
    """Every factor with probability 1/2; one, drawn for each task, in any case.

    Args:
      key: draws the supports.
      tasks: t, their number.
      z_dim: the number of factors.
    """
    coin_key, forced_key = jax.random.split(key)
    coins = jax.random.bernoulli(coin_key, 0.5, (tasks, z_dim))
    forced = jax.random.randint(forced_key, (tasks,), 0, z_dim)
    return coins | (forced[:, None] == jnp.arange(z_dim)[None])


def _ranks(key: PRNGKey, shape: tuple[int, ...]) -> Int[Array, "..."]:
    """A random order of the last axis."""
    return jnp.argsort(jnp.argsort(jax.random.uniform(key, shape)))


def linear_targets(
    key: PRNGKey,
    z: Float[Array, "t n z"],
    uses: Bool[Array, "t z"],
    noise: Scalar,
    *,
    relative: bool,
) -> Float[Array, "t n"]:
    """`y = w'z + e`, w standard normal on the support and scaled to norm 1.

    Args:
      key: draws the weights and the noise.
      z: the factors.
      uses: the supports.
      noise: the standard deviation of e ~ N(0, noise^2); if relative,
        `|e| = noise |w'z|` in every task.
      relative: whether the noise counts in units of the targets.
    """
    weight_key, noise_key = jax.random.split(key)
    w = jax.random.normal(weight_key, uses.shape) * uses
    w = w / jnp.linalg.norm(w, axis=1, keepdims=True)
    y = jnp.einsum("tnz,tz->tn", z, w, precision="highest")
    e = jax.random.normal(noise_key, y.shape)
    if relative:
        length = partial(jnp.linalg.norm, axis=1, keepdims=True)
        e = e * length(y) / length(e)
    return y + noise * e


def threshold_classes(
    key: PRNGKey, z: Float[Array, "t n z"]
) -> tuple[Int[Array, "t n"], Bool[Array, "t z"]]:
    """`y = 2 [z_i > tau_i] + [z_j > tau_j]` of two distinct factors; and their support.

    Thresholds are U(-.6, .6).
    """
    order_key, threshold_key = jax.random.split(key)
    t, _, d = z.shape
    rank = _ranks(order_key, (t, d))
    threshold = jax.random.uniform(
        threshold_key, (t, 1, d), minval=-THRESHOLD, maxval=THRESHOLD
    )
    worth = 2 * (rank == 0) + (rank == 1)
    return ((z > threshold) * worth[:, None]).sum(2), rank < 2


def _splits(
    key: PRNGKey, tasks: int, sizes: tuple[int, ...], ordered: tuple[bool, ...]
) -> Bool[Array, "t z v"]:
    """Which values of each factor are on its upper side.

    Values from a threshold U{1 .. v - 1} on; of a factor without order, as many drawn
    at random.
    """
    cut_key, order_key = jax.random.split(key)
    most = max(sizes)
    size = jnp.array(sizes)[None, :, None]
    cut = jax.random.randint(cut_key, (tasks, len(sizes), 1), 1, size)
    shuffled = jax.random.uniform(order_key, (tasks, len(sizes), most))
    values = jnp.broadcast_to(jnp.arange(most)[None, None], shuffled.shape)
    there = values < size
    rank = jnp.argsort(jnp.argsort(jnp.where(there, shuffled, 2.0)))
    by_value = jnp.array(ordered)[None, :, None]
    return (jnp.where(by_value, values, rank) >= cut) & there


def split_classes(
    key: PRNGKey,
    values: Int[Array, "t n z"],
    sizes: tuple[int, ...],
    ordered: tuple[bool, ...],
) -> tuple[Int[Array, "t n"], Bool[Array, "t c"], Bool[Array, "t z"]]:
    """Classes `sum_i 2^i bit_i` of 1 to 3 distinct factors, each split in two.

    Args:
      key: draws the factors and their splits.
      values: the values of the factors, from 0.
      sizes: the number of values of each factor.
      ordered: whether the values of each factor have an order.

    Returns:
      The classes, which of the 8 a task has, and its support.
    """
    count_key, order_key, split_key = jax.random.split(key, 3)
    t, _, d = values.shape
    count = jax.random.randint(count_key, (t, 1), 1, min(BITS, d) + 1)
    rank = _ranks(order_key, (t, d))
    uses = rank < count
    upper = _splits(split_key, t, sizes, ordered)
    bits = jnp.take_along_axis(upper, values.swapaxes(1, 2), 2).swapaxes(1, 2)
    worth = jnp.where(uses, 2**rank, 0)
    allowed = jnp.arange(2**BITS)[None] < 2**count
    return (bits * worth[:, None]).sum(2), allowed, uses
