"""The linear codes as a system: its rows, its step, and what is measured."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Shaped

from jaxdis import linalg, metrics
from jaxdis.data import rows as data_rows
from jaxdis.data.colours import unit
from jaxdis.systems.linear.config import Config, Hyper, check_config, sized
from jaxdis.systems.linear.model import CODES, Params, principal, whitened
from jaxdis.types import (
    Batches,
    Metrics,
    PRNGKey,
    Rows,
    Score,
    Source,
    Spec,
    Splits,
    System,
    TrainState,
)

__all__ = ["ARRAYS", "EXPLAINED", "batches", "make", "report", "scores"]

EXPLAINED = Score("explained", "Explained variance", "higher", (0, 1))
ARRAYS = {"correlation": "seed latent match"}
ROWS_KEY = 0  # of rows that are drawn


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """Those that `report` returns for a config and a data set, in order of interest.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    latents = (metrics.MCC, metrics.R2, metrics.R)
    always = (EXPLAINED, metrics.DEAD)
    return (*latents, *always) if spec.z_dim else always


def _flat(x: Shaped[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "*n x"]:
    """The numbers of each observation in a row; of images, in [0, 1]."""
    seen = unit(x) if len(shape) == 3 else x.astype(float)
    return seen.reshape(*x.shape[: x.ndim - len(shape)], -1)


def _centred(x: Float[Array, "*n x"], mean: Float[Array, "x"]) -> Float[Array, "*n x"]:
    return x - mean.reshape((1,) * (x.ndim - 1) + mean.shape)


def _step(
    config: Config,
    shape: tuple[int, ...],
    state: TrainState,
    batch: Rows,
    hyper: Hyper,
    key: PRNGKey,
) -> tuple[TrainState, Metrics]:
    """One iteration on all rows; `change` is 0 where no component moves any more."""
    x = _flat(batch.x, shape)
    x = x.reshape(-1, x.shape[-1])
    mean = x.mean(0)
    x = _centred(x, mean)
    directions, scale = principal(state.params.directions, x, config.precision)
    params = state.params._replace(mean=mean, directions=directions, scale=scale)
    white = whitened(x, params, config.precision)
    before, alpha = params.rotation, jnp.asarray(hyper.alpha, float)
    turn = CODES[config.codes].turn
    rotation = turn(before, white, alpha, config.precision)
    cosines = jnp.abs(jnp.sum(rotation * before, 1))
    left = 1 - jnp.sum(scale**2) / jnp.maximum(jnp.sum(x**2) / len(x), 1e-30)
    logged = {"loss": left, "change": 1 - cosines.min()}
    params = params._replace(rotation=rotation)
    return state._replace(params=params, step=state.step + 1), logged


def report(
    encode: Callable[[Params, Array], Array],
    decode: Callable[[Params, Array], Array],
    spec: Spec,
    state: TrainState,
    batch: Rows,
    key: PRNGKey,
) -> Metrics:
    """Scores of one seed on held-out rows.

    Args:
      encode: `(params, x) -> codes`.
      decode: `(params, codes) -> x`.
      spec: what is known of the data.
      state: the state of one seed.
      batch: the held-out rows.
      key: a random key, not used.

    Returns:
      The share of the variance of x about the training mean that is `explained`, and
      `dead`; where the true latents are known `mcc`, `r`, `r2` and the matrix
      `correlation`.
    """
    codes = encode(state.params, batch.x)
    x = _centred(_flat(batch.x, spec.shape), state.params.mean)
    made = _centred(_flat(decode(state.params, codes), spec.shape), state.params.mean)
    left = jnp.sum((x - made) ** 2) / jnp.maximum(jnp.sum(x**2), 1e-30)
    codes = codes.reshape(-1, codes.shape[-1])
    found: Metrics = {
        "explained": jnp.clip(1 - left, 0.0, 1.0),
        "dead": metrics.dead(codes),
    }
    if batch.z is None or not spec.z_dim:
        return found
    z = batch.z.reshape(-1, batch.z.shape[-1])
    return found | metrics.latent_scores(z, codes)[0] | {"r2": metrics.r2(z, codes)}


def make(config: Config, spec: Spec) -> System:
    """Builds the system for observations of the given shape.

    Args:
      config: the method's config.
      spec: what is known of the data.

    Raises:
      ValueError: a config that does not fit, as more codes than numbers of x.
    """
    config = sized(config, spec)
    check_config(config, spec)
    codes, k = CODES[config.codes], config.z_dim
    numbers = int(np.prod(spec.shape))

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        first, second = jax.random.split(key)
        params = Params(
            mean=jnp.zeros(numbers),
            directions=linalg.orthonormal(jax.random.normal(first, (numbers, k))),
            scale=jnp.ones(k),
            rotation=linalg.orthonormal(jax.random.normal(second, (k, k))),
        )
        return TrainState(params, (), (), jnp.zeros((), int))

    def encode(params: Params, x: Shaped[Array, "..."]) -> Float[Array, "*n k"]:
        centred = _centred(_flat(x, spec.shape), params.mean)
        return codes.encode(params, centred, config.precision)

    def decode(params: Params, z: Float[Array, "*n k"]) -> Float[Array, "..."]:
        x = _centred(codes.decode(params, z, config.precision), -params.mean)
        return x.reshape(*z.shape[:-1], *spec.shape)

    return System(
        init=init,
        step=partial(_step, config, spec.shape),
        encode=encode,
        decode=decode,
        report=partial(report, encode, decode, spec),
    )


def batches(config: Config, spec: Spec, splits: Splits) -> Batches:
    """At most `config.rows` training rows, the same in every step, evenly spaced.

    Of a source they are drawn once.

    Args:
      config: the method's config.
      spec: what is known of the data.
      splits: their rows.

    Raises:
      ValueError: rows that are not finite, or that stay on the host.
    """
    data_rows.resident(splits, "linear")
    worlds = spec.worlds is not None
    axis = 1 if worlds else 0
    some = (slice(None),) * axis + (slice(data_rows.VALID_ROWS),)
    valid = jax.tree.map(lambda a: a[some], splits.valid)
    train = splits.train
    if isinstance(train, Source):
        sample = Partial(data_rows.bind(_drawn, config.rows), train.draw)
        return Batches(sample, valid, splits.test)
    data_rows.check_rows(train, worlds=worlds)
    n = train.x.shape[axis]
    chosen = np.linspace(0, n - 1, min(n, config.rows)).astype(int)
    seen = Rows(jnp.take(jnp.asarray(train.x), chosen, axis))
    return Batches(Partial(_kept, seen), valid, splits.test)


def _drawn(
    count: int, draw: Callable[..., Rows], key: PRNGKey, *world: Int[Array, ""]
) -> Rows:
    """The same rows in every step, and for every seed of a world."""
    return Rows(draw(jax.random.key(ROWS_KEY), count, *world).x)


def _kept(rows: Rows, key: PRNGKey, *world: Int[Array, ""]) -> Rows:
    return Rows(rows.x[world[0]]) if world else rows
