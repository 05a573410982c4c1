"""DCI-ES: how little capacity a probe needs to read the factors from the codes."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float, Int, Num

from jaxdis import check
from jaxdis.metrics.dci import DCI_I, dci_from_importance
from jaxdis.metrics.inputs import Failed, Key, Table, as_key, is_known
from jaxdis.metrics.kinds import Discrete
from jaxdis.metrics.labels import Labels, each, labelled, parts
from jaxdis.metrics.linear import FORMS, Target, centred, in_order, part_scores, targets
from jaxdis.types import PRNGKey, Score

__all__ = ["DCIES", "DCI_E", "DCI_S", "capacity_score", "dci_es"]

CAPACITIES = (0, 8, 32, 128, 512, 1024)  # random features beside the codes
RIDGE, CG_STEPS, SHARE = 1e-3, 300, 0.5
SLOPES = 256  # rows at which slopes are taken

DCI_E = DCI_I._replace(
    name="dci_e",
    title="DCI-E",
    range=(-1, 1),
    source="Eastwood et al. 2023 (arXiv 2210.00364)",
)
DCI_S: Score = DCI_E._replace(name="dci_s", title="DCI-S", range=(0, math.inf))


class DCIES(NamedTuple):
    """Scores of each run, higher is better, and what they come from.

    `losses` are 1 - R2 or error rates of the factors as capacity grows, each the least
    so far.
    """

    explicitness: Float[Array, "*s"]
    size: Float[Array, "*s"]
    disentanglement: Float[Array, "*s"]
    completeness: Float[Array, "*s"]
    informativeness: Float[Array, "*s"]
    importance: Float[Array, "*s k d"]
    losses: Float[Array, "*s t d"]


Numbers: TypeAlias = Array | np.ndarray
Halves: TypeAlias = tuple[Num[Numbers, "_ _"], Num[Numbers, "_ _"]]
"""Rows that fit and rows that judge."""
Fitted: TypeAlias = tuple[Num[Array, "_ _"], Num[Array, "_ _"]]
"""The same, of JAX."""


class _Waves(NamedTuple):
    """Random Fourier features of standardised codes."""

    frequencies: Float[Array, "k m"]
    phases: Float[Array, "m"]


@partial(jax.jit, static_argnames=("k", "most"))
def _waves(key: PRNGKey, k: int, most: int) -> _Waves:
    frequency, phase = jax.random.split(key)
    frequencies = jax.random.normal(frequency, (k, most)) / math.sqrt(k)
    return _Waves(frequencies, jax.random.uniform(phase, (most,), maxval=2 * math.pi))


_product = partial(jnp.matmul, precision="highest")


def _ridges(
    gram: Float[Array, "p p"], cross: Float[Array, "p c"], scales: Float[Array, "t p"]
) -> Float[Array, "t p c"]:
    """Weights of features that are scaled before the ridge is paid, unscaled again.

    Features of scale 0 are left out.
    """
    t, p = scales.shape

    def system(w: Float[Array, "t p c"]) -> Float[Array, "t p c"]:
        columns = (scales[:, :, None] * w).swapaxes(0, 1).reshape(p, -1)
        moved = _product(gram, columns).reshape(p, t, -1).swapaxes(0, 1)
        return scales[:, :, None] * moved + RIDGE * w

    # The ridge keeps it well conditioned, and elimination would take longer.
    right = scales[:, :, None] * cross[None]
    found, _ = cg(system, right, tol=1e-6, maxiter=CG_STEPS)
    return scales[:, :, None] * found


def _slopes(
    codes: Float[Array, "j k"], weights: Float[Array, "p c"], waves: _Waves
) -> Float[Array, "k c"]:
    """Mean absolute slope of the fits in every code, over some rows."""
    k = codes.shape[1]
    turns = _product(codes[:SLOPES], waves.frequencies) + waves.phases[None]

    def at(turn: Float[Array, "m"]) -> Float[Array, "k c"]:
        inner = waves.frequencies * jnp.sin(turn)[None]
        return jnp.abs(weights[:k] - _product(inner, weights[k:]))

    return jax.lax.map(at, turns).mean(0)


@partial(jax.jit, static_argnames=("sizes", "capacities"))
def _curve(
    sizes: tuple[int, ...],
    classes: tuple[Int[Array, "f c"], Int[Array, "j c"]],
    truth: tuple[Float[Array, "f c"], Float[Array, "j c"]],
    codes: tuple[Float[Array, "f k"], Float[Array, "j k"]],
    waves: _Waves,
    capacities: tuple[int, ...],
) -> tuple[Float[Array, "t c"], Float[Array, "t p c"]]:
    """Scores and weights of probes of growing capacity."""
    (n, k), most = codes[0].shape, capacities[-1]

    def features(codes: Float[Array, "n k"]) -> Float[Array, "n p"]:
        turns = _product(codes, waves.frequencies) + waves.phases[None]
        return jnp.concatenate([codes, jnp.cos(turns)], 1)

    fit, judge = features(codes[0]), features(codes[1])
    mean = fit.mean(0)[None]
    fit, judge = fit - mean, judge - mean
    gram, cross = _product(fit.T, fit) / n, _product(fit.T, truth[0]) / n
    grown, place = np.array(capacities)[:, None], np.arange(k + most)[None]
    waves_only = np.where(place < k + grown, np.sqrt(2 / np.maximum(grown, 1)), 0.0)
    scales = jnp.asarray(np.where(place < k, 1.0, waves_only), fit.dtype)
    every = _ridges(gram, cross, scales)

    def scores(weights: Float[Array, "p c"]) -> Float[Array, "c"]:
        fits = _product(fit, weights), _product(judge, weights)
        found = part_scores(FORMS[False], sizes, classes, truth[1], fits)
        return jnp.asarray(found)

    return jax.vmap(scores)(every), every


def capacity_score(
    losses: Float[Array, "t d"], base: Float[Array, "d"], sizes: Float[Array, "t"]
) -> Float[Array, "d"]:
    """1 - twice the area between a falling loss and its least, of the largest area.

    Args:
      losses: of probes of growing capacity, each the least so far.
      base: the loss of a useless probe.
      sizes: the capacities.
    """
    between = (losses[1:] + losses[:-1]) / 2 - losses[-1:]
    width = (sizes[1:] - sizes[:-1])[:, None]
    return 1 - 2 * (between * width).sum(0) / ((sizes[-1] - sizes[0]) * base)


@partial(jax.jit, static_argnames=("sizes", "capacities", "order"))
def _scored(
    curves: list[tuple[Float[Array, "t _"], Float[Array, "t p _"]]],
    values: list[Fitted],
    codes: list[Fitted],
    waves: _Waves,
    sizes: tuple[int, ...],
    capacities: tuple[int, ...],
    order: tuple[int, ...],
) -> DCIES:
    """The scores of one run, of what its parts were fitted by."""
    scores = jnp.concatenate([s for s, _ in curves], 1)
    best = scores.mean(1).argmax()
    slopes = [
        _slopes(own[1], weights[best], waves)
        for own, (_, weights) in zip(codes, curves, strict=True)
    ]
    base = jnp.array([1.0 if size < 2 else 1 - 1 / size for size in sizes])
    # A constant factor is 0 once it is standardised.
    varies = jnp.concatenate([(a != 0).any(0) | (b != 0).any(0) for a, b in values])
    k = codes[0][0].shape[1]
    losses = jax.lax.cummin(1 - scores, axis=0)
    grown = jnp.log(k + jnp.array(capacities, scores.dtype))
    explicitness = jnp.where(varies, capacity_score(losses, base, grown), 0.0).mean()
    score = jnp.where(varies, 1 - losses[-1], 0.0).mean()
    importance = jnp.where(varies[None], jnp.concatenate(slopes, 1), 0.0)
    importance, losses = (x[:, np.array(order)] for x in (importance, losses))
    ratio = jnp.asarray(len(sizes) / k, scores.dtype)
    d, c = dci_from_importance(importance)
    return DCIES(explicitness, ratio, d, c, score, importance, losses)


def _one_run(
    every: list[Target], codes: list[Fitted], waves: _Waves, capacities: tuple[int, ...]
) -> DCIES:
    """The scores of one run.

    Args:
      every: what is fitted.
      codes: of each part, the rows that fit and those that judge.
      waves: the random features.
      capacities: how many of them.
    """
    curves = [
        _curve(t.sizes, t.classes, t.values, own, waves, capacities)
        for t, own in zip(every, codes, strict=True)
    ]
    values = [target.values for target in every]
    sizes = tuple(size for target in every for size in target.sizes)
    order = tuple(in_order([target.part for target in every]).tolist())
    return _scored(curves, values, codes, waves, sizes, capacities, order)


def _narrow(pair: Halves) -> Fitted:
    """For programs of JAX; what is left of a constant column is 0."""
    return jnp.asarray(pair[0]), jnp.asarray(pair[1])


def _over_runs(
    labels: Labels,
    codes: Float[Numbers, "s n k"],
    capacities: tuple[int, ...],
    key: Key,
) -> DCIES:
    """The scores of all runs, one after the other, as features are many."""
    known = is_known(labels.values, codes)
    form, rows = FORMS[known], parts(labels, key, SHARE)
    every = [
        target._replace(values=_narrow(target.values), classes=_narrow(target.classes))
        for target in targets(labels, rows, form)
    ]
    waves = _waves(as_key(key), codes.shape[2], capacities[-1])
    alive = form.xp.isfinite(codes).all((1, 2))
    safe = form.xp.where(alive[:, None, None], codes, 0.0)

    def one(codes: Float[Numbers, "n k"]) -> DCIES:
        halves = [_narrow(centred(form, codes, part)) for part in rows]
        return _one_run(every, halves, waves, capacities)

    if known:
        runs = [one(run) for run in safe]
        found = jax.tree.map(lambda *leaves: jnp.stack(leaves), *runs)
    else:
        found = jax.lax.map(one, safe)

    def living(x: Float[Array, "s ..."]) -> Float[Array, "s ..."]:
        return jnp.where(alive.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.nan)

    return jax.tree.map(living, found)


def dci_es(
    z: Table,
    codes: Table,
    *,
    capacities: Sequence[int] = CAPACITIES,
    discrete: Discrete = "auto",
    mask: Table = None,
    key: Key = None,
    failed: Failed = "raise",
) -> DCIES:
    """How explicitly, and in how few codes, the factors are held, beside D, C and I.

        E = mean_j 1 - 2 sum_t ((l_t + l_t+1) / 2 - l_T) (x_t+1 - x_t) / ((x_T - x_1) l)
        S = d / k

    of ridge regressions on the k codes and M_t random Fourier features of them, with
    capacities x_t = log(k + M_t), l_t the least held-out loss up to there (1 - R2, or
    the error rate of classes, told by the nearest mean fit), and l that of a useless
    probe: 1, or 1 - 1 / the number of classes.

    **Read E only beside I**: it is 1 for any flat curve, that of a useless code too.

    Args:
      z: factors [n, d], or [s, n, d], in any order of rows; constant ones score 0.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      capacities: numbers of random features, rising, at least two.
      discrete: which columns of z are classes; see `kinds.as_factors`. They are fitted
        by their numbers, as if these were in order.
      mask: where labels are known, [n, d] or [n], true or false; it must be known.
      key: what the features are drawn and the rows are split with, a half to fit on;
        None is key 0.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.

    Returns:
      The scores of each run. E lies in [-1, 1]: 1 where the codes themselves say all
      that a larger probe finds, 0 where the loss falls evenly; I at most 1; S > 0 is
      how many factors come to a code. D and C are those of the mean absolute slopes
      [k, d] of the fits at the capacity of best I.

    Raises:
      ValueError: for wrong shapes, values that are not finite, fewer than 4 rows or
        labels of a factor, or capacities that do not rise.

    Note: Eastwood et al. take forests and networks; this probe is fast and the same
      everywhere, but another one. Numbers of different probes do not compare.

    Source: Eastwood et al. 2023 (arXiv 2210.00364); random features: Rahimi and Recht
      2007.
    """
    sizes = tuple(capacities)
    for m in sizes:
        check.whole("capacities", m)
    if len(sizes) < 2 or sizes[0] < 0 or (np.diff(sizes) <= 0).any():
        raise ValueError(
            f"capacities must be at least two rising numbers of features, got {sizes}"
        )

    def one(z: Table, codes: Table) -> DCIES:
        labels, read = labelled(z, codes, discrete, mask, failed)
        many = read.ndim == 3
        found = _over_runs(labels, read if many else read[None], sizes, key)
        return found if many else DCIES(*(leaf[0] for leaf in found))

    return each(one, z, codes)
