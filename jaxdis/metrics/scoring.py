"""One measure of all rows, of resamples and of permuted factors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdis.metrics.inputs import generator
from jaxdis.metrics.measures import Measure, Setting
from jaxdis.metrics.resampling import Data, draw, place_rows
from jaxdis.types import PRNGKey

__all__ = ["Scored", "Wish", "scores_of"]

Found = list[Float[np.ndarray, "..."]]


class Wish(NamedTuple):
    """How often rows are drawn, how wide intervals are, and with what."""

    bootstrap: int
    null: int
    confidence: float
    key: PRNGKey


class Scored(NamedTuple):
    """One score of all rows, of resamples and of permuted factors."""

    value: Float[np.ndarray, "*s"]
    resampled: Float[np.ndarray, "b *s"]
    permuted: Float[np.ndarray, "p *s"]


def scores_of(
    measure: Measure, host: Data, device: Data, setting: Setting, wish: Wish
) -> list[Scored]:
    """The scores of a measure.

    Args:
      measure: what is scored.
      host: the data as known values.
      device: the same as floats of JAX.
      setting: what it is told besides.
      wish: how often rows are drawn.

    Returns:
      One for each of its scores.

    Raises:
      ValueError: the data do not have what it needs.
    """
    values = [np.asarray(v, float) for v in measure.compute(host, setting)]
    slow = measure.sorts and jax.default_backend() == "cpu"
    by_host = slow or not measure.device
    drawn, data = (_on_host, host) if by_host else (_on_device, device)
    fit = wish._replace(
        null=min(wish.null, measure.nulls),
        bootstrap=wish.bootstrap * measure.bootstrap,
    )
    resampled, permuted = drawn(measure, data, setting, fit)
    empty = [np.full((0, *value.shape), np.nan) for value in values]
    parts = zip(values, resampled or empty, permuted or empty, strict=True)
    return [Scored(*part) for part in parts]


def _on_device(
    measure: Measure, data: Data, setting: Setting, wish: Wish
) -> tuple[Found, Found]:
    if not wish.bootstrap + wish.null:
        return [], []
    n = data.codes.shape[-2]
    parts = () if measure.parts is None else measure.parts(n, setting.key)
    compute = measure.compute
    if measure.redrawn is not None:
        compute = measure.redrawn.compute
        data = jax.tree.map(jnp.asarray, measure.redrawn.prepare(data))
    drawn = draw(
        compute,
        data,
        setting,
        resamples=wish.bootstrap,
        nulls=wish.null,
        key=wish.key,
        place=place_rows(n, parts),
    )
    resampled, permuted = ([np.asarray(a, float) for a in part] for part in drawn)
    return resampled, permuted


def _on_host(
    measure: Measure, data: Data, setting: Setting, wish: Wish
) -> tuple[Found, Found]:
    n, rows = data.codes.shape[-2], np.arange(data.codes.shape[-2])
    rng = generator(wish.key)
    drawn = [rng.integers(0, n, n) for _ in range(wish.bootstrap)]
    permuted = [rng.permutation(n) for _ in range(wish.null)]

    def scores(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Found:
        found = [measure.compute(data.rows(*pair), setting) for pair in pairs]
        return [np.stack(one).astype(float) for one in zip(*found, strict=True)]

    return scores([(at, at) for at in drawn]), scores([(at, rows) for at in permuted])
