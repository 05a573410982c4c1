"""Scores of interventions on factors that are drawn and encoded for the purpose.

What is drawn and how it is encoded are two functions of any library:

    def sample_factors(key, n): return metrics.generator(key).random((n, 5))  # [n, d]
    def codes_of(factors, key): return model.encode(render(factors))          # [n, k]

They are called outside of jit, always with the same number of rows, so that both may be
compiled once. `codes_of` is given an array of numpy's, and a key for what is random in
it; it may return [s, n, k] for s seeds.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from jaxdis import check
from jaxdis.metrics.inputs import Failed, Key, Table, as_key, as_numbers, generator
from jaxdis.metrics.interventions import (
    BATCH,
    TEST,
    THRESHOLD,
    TRAIN,
    check_sizes,
    majority_vote,
    told_apart,
)
from jaxdis.types import PRNGKey

__all__ = ["sampled_beta_vae_score", "sampled_factor_vae_score"]

ROWS = 4096
VARIANCE_ROWS = 10_000


class _World(NamedTuple):
    """What is drawn and encoded, and how many rows at a time."""

    sample_factors: Callable[..., Table]
    codes_of: Callable[..., Table]
    rows: int
    failed: Failed

    def draw(self, key: PRNGKey) -> Num[np.ndarray, "n d"]:
        """Factors of so many rows, which may be written to."""
        z = as_numbers("sample_factors(key, n)", self.sample_factors(key, self.rows))
        if z.ndim != 2 or len(z) != self.rows:
            raise ValueError(
                f"sample_factors(key, {self.rows}) has shape {z.shape}; it must be "
                f"[n, d] with n = {self.rows}"
            )
        return np.array(z)

    def encode(self, factors: np.ndarray, key: PRNGKey) -> Float[np.ndarray, "*s n k"]:
        codes = as_numbers("codes_of(factors, key)", self.codes_of(factors, key))
        if codes.ndim not in (2, 3) or codes.shape[-2] != self.rows:
            raise ValueError(
                f"codes_of(factors, key) has shape {codes.shape}; it must be [n, k], "
                f"or [s, n, k] with an axis of seeds, with n = {self.rows} as factors"
            )
        wide = np.asarray(codes, np.float64)
        if self.failed == "raise" and not np.isfinite(wide).all():
            raise ValueError(
                "codes_of(factors, key) is NaN or infinite; pass failed='nan' to score "
                "such a seed NaN"
            )
        return wide


Vote = Callable[..., tuple[Int[np.ndarray, "v"], Num[np.ndarray, "*s v m"]]]


def _world(
    sample_factors: Callable[..., Table],
    codes_of: Callable[..., Table],
    rows: int,
    batch: int,
    failed: Failed,
) -> _World:
    """Rows at a time are a whole number of batches, at least one."""
    check.count("rows", rows)
    check.one_of("failed", failed, ("raise", "nan"))
    return _World(sample_factors, codes_of, max(rows // batch, 1) * batch, failed)


def _collect(
    vote: Vote, key: PRNGKey, number: int, at_once: int
) -> tuple[Int[np.ndarray, "v"], Num[np.ndarray, "*s v m"]]:
    """So many votes, the factor held in each and what it says."""
    keys = jax.random.split(key, math.ceil(number / at_once))
    held, said = zip(*map(vote, keys), strict=True)
    return np.concatenate(held)[:number], np.concatenate(said, -2)[..., :number, :]


def sampled_factor_vae_score(
    sample_factors: Callable[..., Table],
    codes_of: Callable[..., Table],
    *,
    threshold: float = THRESHOLD,
    train: int = TRAIN,
    test: int = TEST,
    batch: int = BATCH,
    rows: int = ROWS,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """The FactorVAE score of factors that are drawn and encoded for it.

    As `factor_vae_score`, with batches of fresh factors of which a random one is set to
    the same value in all, and variances of 10,000 rows.

    Args:
      sample_factors: `(key, n) -> [n, d]`, independent draws of all factors.
      codes_of: `(factors [n, d], key) -> [n, k]`, or [s, n, k] with an axis of seeds.
      threshold: the least standard deviation of a code in use, in the units of codes.
      train: votes that make the rule.
      test: votes that judge it.
      batch: rows of a vote.
      rows: as many are drawn and encoded at a time, at least a batch.
      key: what is drawn with; see `inputs.as_key`.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better; 0 if no code is in use.

    Raises:
      ValueError: for what is not drawn or encoded as told.

    Note:
      It encodes `batch (train + test)` rows, a million by default: with images, lower
      train and test.

    Source: as `factor_vae_score`.
    """
    check_sizes(train, test, batch, threshold)
    world = _world(sample_factors, codes_of, rows, batch, failed)
    of_variance, of_votes = jax.random.split(as_key(key))
    keys = jax.random.split(of_variance, math.ceil(VARIANCE_ROWS / world.rows))
    parts = [world.encode(world.draw(key), key) for key in keys]
    with np.errstate(invalid="ignore", over="ignore"):
        whole = np.concatenate(parts, -2)
        unit = (whole - whole[..., :1, :]).var(-2, ddof=1)
        used = (np.sqrt(unit) >= threshold) & (unit > 0)
    d = world.draw(keys[0]).shape[1]

    def vote(key: PRNGKey) -> tuple[np.ndarray, np.ndarray]:
        z = world.draw(key).reshape(-1, batch, d)
        held = generator(key).integers(d, size=len(z))
        each = np.arange(len(z))
        z[each, :, held] = z[each, 0, held][:, None]
        codes = world.encode(z.reshape(-1, d), key)
        codes = codes.reshape(*codes.shape[:-2], len(z), batch, -1)
        with np.errstate(invalid="ignore", over="ignore"):
            varies = (codes - codes[..., :1, :]).var(-2)
            relative = varies / np.where(used, unit, 1.0)[..., None, :]
        relative = np.where(used[..., None, :], relative, np.inf)
        return held, relative.argmin(-1)[..., None]

    at_once = world.rows // batch
    held, lowest = _collect(vote, of_votes, train + test, at_once)

    def score(lowest: Int[np.ndarray, "v"]) -> float:
        return float(majority_vote(held, lowest, d, used.shape[-1], train))

    runs = lowest.reshape(-1, train + test)
    scores = np.reshape([score(one) for one in runs], used.shape[:-1])
    scores = np.where(used.any(-1), scores, 0.0)
    broken = ~np.isfinite(whole).all((-2, -1))
    return jnp.asarray(np.where(broken, np.nan, scores), jnp.float32)


def sampled_beta_vae_score(
    sample_factors: Callable[..., Table],
    codes_of: Callable[..., Table],
    *,
    faithful: bool = False,
    train: int = TRAIN,
    test: int = TEST,
    batch: int = BATCH,
    rows: int = ROWS,
    key: Key = None,
    failed: Failed = "raise",
) -> Float[Array, "*s"]:
    """The beta-VAE score of factors that are drawn and encoded for it.

    As `beta_vae_score`, with fresh pairs of which a random factor is set to the same
    value.

    Args:
      sample_factors: `(key, n) -> [n, d]`, independent draws of all factors.
      codes_of: `(factors [n, d], key) -> [n, k]`, or [s, n, k] with an axis of seeds.
      faithful: leaves the differences as they are; see `beta_vae_score`.
      train: points that fit the regression.
      test: points that judge it.
      batch: pairs of a point.
      rows: as many are drawn and encoded at a time, at least a batch.
      key: what is drawn with; see `inputs.as_key`.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      A score in [0, 1] for each run, higher is better.

    Raises:
      ValueError: for what is not drawn or encoded as told.

    Note:
      It encodes `2 batch (train + test)` rows, two million by default.

    Source: as `beta_vae_score`.
    """
    check_sizes(train, test, batch)
    world = _world(sample_factors, codes_of, rows, batch, failed)

    def point(key: PRNGKey) -> tuple[np.ndarray, np.ndarray]:
        one, two = jax.random.split(key)
        first, second = world.draw(one), world.draw(two)
        held = generator(key).integers(first.shape[1], size=len(first) // batch)
        each, column = np.arange(len(first)), np.repeat(held, batch)
        second[each, column] = first[each, column]
        with np.errstate(invalid="ignore", over="ignore"):
            off = np.abs(world.encode(first, one) - world.encode(second, two))
        return held, off.reshape(*off.shape[:-2], len(held), batch, -1).mean(-2)

    held, points = _collect(point, as_key(key), train + test, world.rows // batch)
    return told_apart(held, points, train, faithful)
