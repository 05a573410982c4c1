"""Tasks on the latents of a toy and on image factors: fresh ones in every step."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from jaxdis.data.draws import stacked
from jaxdis.data.factor_images import spread
from jaxdis.data.rows import bind
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.targets import (
    Tasks,
    linear_targets,
    split_classes,
    threshold_classes,
    uses_by_coin,
    uses_by_size,
)
from jaxdis.types import PRNGKey, Rows, Sampler, Source, Spec, Splits

__all__ = [
    "FactorTargets",
    "Factors",
    "LatentTargets",
    "classes_of_factors",
    "classes_of_latents",
    "correlated_weights",
    "factor_tasks",
    "latent_tasks",
    "regression_of_factors",
    "regression_of_latents",
]

LatentTargets: TypeAlias = Callable[
    [float, PRNGKey, PRNGKey, Array], tuple[Array, Array]
]
"""`(noise, key of supports, key of targets, z) -> (y, uses)`."""


def _new_task_keys(seed: int) -> list[PRNGKey]:
    """The keys of the new tasks of valid and of test."""
    _, *keys = jax.random.split(jax.random.key(seed), 3)
    # The first halves are those that a toy draws its held-out rows from.
    return [jax.random.split(key)[1] for key in keys]


# The latents of a toy, which draws its rows.


def regression_of_latents(
    noise: float, use_key: PRNGKey, y_key: PRNGKey, z: Float[Array, "t n z"]
) -> tuple[Float[Array, "t n"], Bool[Array, "t z"]]:
    """`w'z + e` on one to three latents.

    Args:
      noise: the standard deviation of e.
      use_key: draws the supports.
      y_key: draws the weights and the noise.
      z: the latents.

    Returns:
      The targets and the supports.
    """
    uses = uses_by_size(use_key, z.shape[0], z.shape[2])
    return linear_targets(y_key, z, uses, noise, relative=False), uses


def classes_of_latents(
    noise: float, use_key: PRNGKey, y_key: PRNGKey, z: Float[Array, "t n z"]
) -> tuple[Int[Array, "t n"], Bool[Array, "t z"]]:
    """Four classes, by thresholds of two latents; without noise.

    Args:
      noise: ignored.
      use_key: ignored.
      y_key: draws the supports and thresholds.
      z: the latents.

    Returns:
      The classes and the supports.
    """
    return threshold_classes(y_key, z)


def _draw_latent_tasks(
    targets: LatentTargets,
    noise: float,
    n: int,
    tasks: int,
    draw: Callable[..., Rows],
    key: PRNGKey,
    world: Int[Array, ""] | None = None,
) -> Tasks:
    z_key, use_key, y_key = jax.random.split(key, 3)
    rows = draw(z_key, tasks * n, *(() if world is None else (world,)))
    assert rows.z is not None  # as `check_tasks` has seen in the spec
    x, z = (a.reshape(tasks, n, *a.shape[1:]) for a in (rows.x, rows.z))
    y, uses = targets(noise, use_key, y_key, z)
    return Tasks(x, y, None, uses)


def latent_tasks(
    targets: LatentTargets, config: Config, spec: Spec, splits: Splits
) -> tuple[Sampler, Tasks, Tasks]:
    """Tasks on latents that the data draw.

    Args:
      targets: what tasks ask of latents.
      config: the settings of tasks.
      spec: whether there are several worlds.
      splits: the data, whose training split is a source of rows.

    Returns:
      The sampler of training tasks, and the new tasks of validation and test, with an
      axis of worlds in front where the rows have one.

    Raises:
      ValueError: training rows that are not drawn, whose latents are for scores alone.
    """
    if not isinstance(splits.train, Source):
        raise ValueError(
            f"config.tasks={config.tasks!r} makes targets of the latents of a toy, and "
            "the latents of these data are for scores alone; take 'labels', or "
            "'factor_regression' for images with factors"
        )
    draw, fixed = splits.train.draw, (targets, config.noise)
    training = bind(
        _draw_latent_tasks, *fixed, config.support + config.query, config.batch
    )
    n = max(config.shots) + config.test_query
    new = partial(_draw_latent_tasks, *fixed, n, config.test_tasks, draw)
    keys = _new_task_keys(config.seed)
    if spec.worlds is None:
        valid, test = (new(key) for key in keys)
    else:
        # The same tasks of the latents of all worlds: what differs is how x shows them.
        worlds = jnp.arange(len(splits.valid.x))
        valid, test = (stacked(partial(new, key), worlds) for key in keys)
    return Partial(training, draw), valid, test


# Factors that are label columns.


class Factors(NamedTuple):
    """What is known of factors before any row is seen.

    Attributes:
      sizes: the number of values of each factor.
      ordered: whether the values of each factor have an order.
    """

    sizes: tuple[int, ...]
    ordered: tuple[bool, ...]


FactorTargets: TypeAlias = Callable[
    [float, Factors, tuple[PRNGKey, PRNGKey, PRNGKey], Array],
    tuple[Array, Array | None, Array],
]
"""`(noise, factors, keys, values) -> (y, allowed, uses)`."""


def regression_of_factors(
    noise: float,
    known: Factors,
    keys: tuple[PRNGKey, PRNGKey, PRNGKey],
    values: Int[Array, "t n z"],
) -> tuple[Float[Array, "t n"], None, Bool[Array, "t z"]]:
    """`w'z + e` on about half of the factors, values spread over their bins.

    Args:
      noise: `|e| / |w'z|` in every task.
      known: the sizes of the factors.
      keys: what draws places in bins, supports, and weights and noise.
      values: the values of the factors.

    Returns:
      The targets, None, and the supports.
    """
    jitter_key, use_key, y_key = keys
    uses = uses_by_coin(use_key, values.shape[0], values.shape[2])
    z = spread(jitter_key, values, known.sizes)
    return linear_targets(y_key, z, uses, noise, relative=True), None, uses


def classes_of_factors(
    noise: float,
    known: Factors,
    keys: tuple[PRNGKey, PRNGKey, PRNGKey],
    values: Int[Array, "t n z"],
) -> tuple[Int[Array, "t n"], Bool[Array, "t c"], Bool[Array, "t z"]]:
    """Up to eight classes, by splits of one to three factors; without noise.

    Args:
      noise: ignored.
      known: the sizes and orders of the factors.
      keys: the last one draws the factors and their splits.
      values: the values of the factors.

    Returns:
      The classes, which of them a task has, and the supports.
    """
    return split_classes(keys[2], values, known.sizes, known.ordered)


def correlated_weights(
    values: Int[np.ndarray, "n z"], sizes: tuple[int, ...], correlation: float
) -> Float[np.ndarray, "n"]:
    """Probabilities proportional to N(z; 0, S), S_ij = correlation off the diagonal.

    Args:
      values: the values of the factors, from 0.
      sizes: the number of values of each factor.
      correlation: the correlation of any two factors.
    """
    size = np.array(sizes, float)
    z = (values - (size - 1) / 2) / np.where(size > 1, np.sqrt((size**2 - 1) / 12), 1.0)
    d = len(sizes)
    covariance = np.full((d, d), correlation) + (1 - correlation) * np.eye(d)
    exponent = -0.5 * np.einsum("ni,ni->n", z @ np.linalg.inv(covariance), z)
    weights = np.exp(exponent - exponent.max())
    return weights / weights.sum()


class _Weighted(NamedTuple):
    """Rows, and the cumulative sum of their probabilities; None if they are equal."""

    x: Array
    y: Int[Array, "n z"]
    cumulative: Float[Array, "n"] | None


def _draw_factor_tasks(
    targets: FactorTargets,
    noise: float,
    known: Factors,
    n: int,
    tasks: int,
    rows: _Weighted,
    key: PRNGKey,
) -> Tasks:
    row_key, *keys = jax.random.split(key, 4)
    shape, count = (tasks, n), rows.x.shape[0]
    if rows.cumulative is None:
        at = jax.random.randint(row_key, shape, 0, count)
    else:
        at = jnp.searchsorted(rows.cumulative, jax.random.uniform(row_key, shape))
        at = jnp.minimum(at, count - 1)
    y, allowed, uses = targets(noise, known, tuple(keys), rows.y[at])
    return Tasks(rows.x[at], y, allowed, uses)


def factor_tasks(
    targets: FactorTargets, config: Config, spec: Spec, splits: Splits
) -> tuple[Sampler, Tasks, Tasks]:
    """Tasks on factors that are the label columns of the rows.

    Args:
      targets: what tasks ask of factors.
      config: the settings of tasks.
      spec: the label columns.
      splits: the rows.

    Returns:
      The sampler of training tasks, and the new tasks of validation and test.

    Raises:
      ValueError: training rows that are drawn.
    """
    if isinstance(splits.train, Source):
        raise ValueError(f"config.tasks={config.tasks!r} needs rows that are given")
    known = Factors(
        tuple(label.classes or 0 for label in spec.labels),
        tuple(label.ordered for label in spec.labels),
    )

    def weighted(rows: Rows) -> _Weighted:
        cumulative = None
        if config.correlation > 0:
            values = np.asarray(rows.y)
            weights = correlated_weights(values, known.sizes, config.correlation)
            cumulative = jnp.asarray(np.cumsum(weights), float)
        return _Weighted(rows.x, jnp.asarray(rows.y), cumulative)

    fixed = targets, config.noise, known
    training = bind(
        _draw_factor_tasks, *fixed, config.support + config.query, config.batch
    )
    n = max(config.shots) + config.test_query
    valid, test = (
        _draw_factor_tasks(*fixed, n, config.test_tasks, weighted(rows), key)
        for rows, key in zip(splits[1:3], _new_task_keys(config.seed), strict=True)
    )
    return Partial(training, weighted(splits.train)), valid, test
