"""What tasks ask of factors: supports, targets, classes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import identifiability
from jaxdis.systems.shared_features.targets import (
    THRESHOLD,
    linear_targets,
    split_classes,
    threshold_classes,
    uses_by_coin,
    uses_by_size,
)

KEY = jax.random.key(0)
SIZES, ORDERED = (4, 5, 3), (True, False, True)
COMBINATIONS = np.array(list(itertools.product(*map(range, SIZES))), np.int32)

by_size = jax.jit(uses_by_size, static_argnums=(1, 2))
by_coin = jax.jit(uses_by_coin, static_argnums=(1, 2))
linear = jax.jit(linear_targets, static_argnames="relative")
thresholds = jax.jit(threshold_classes)
splits = jax.jit(split_classes, static_argnums=(2, 3))


@pytest.mark.parametrize("draw", [by_size, by_coin])
def test_supports_are_drawn_task_by_task(draw):
    uses = np.asarray(draw(KEY, 64, 5))
    assert len(np.unique(uses, axis=0)) > 8
    assert uses.any(1).all()
    # Enough of them tell all factors apart.
    assert identifiability.support_variability(jnp.asarray(uses)).identified.all()


def test_sizes_of_supports_are_uniform_on_1_to_3():
    uses = np.asarray(by_size(KEY, 9_000, 5))
    shares = np.bincount(uses.sum(1), minlength=6) / 9_000
    np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 3, 1 / 3, 0, 0], atol=0.02)
    np.testing.assert_allclose(uses.mean(0), 2 / 5, atol=0.02)
    assert set(np.asarray(by_size(KEY, 200, 2)).sum(1)) == {1, 2}


@pytest.mark.parametrize("d", [3, 6])
def test_density_of_coins(d):
    """P(on) = 1/2 + 1/2 * 1/d: by its coin, or else by being the forced one."""
    uses = np.asarray(by_coin(KEY, 9_000, d))
    np.testing.assert_allclose(uses.mean(0), 0.5 + 0.5 / d, atol=0.02)
    # One is on: no coin was heads, or only that of the forced one (d 2^-d / d).
    alone = (uses.sum(1) == 1).mean()
    np.testing.assert_allclose(alone, 2 * 2.0**-d, atol=0.015)


def test_targets_are_linear_in_the_support_alone():
    z = jax.random.normal(jax.random.key(1), (8, 30, 5))
    uses = by_size(KEY, 8, 5)
    y = linear(KEY, z, uses, 0.0, relative=False)
    others = jnp.where(uses[:, None], z, -7.0)
    np.testing.assert_array_equal(y, linear(KEY, others, uses, 0.0, relative=False))
    w = np.stack([np.linalg.lstsq(a, b)[0] for a, b in zip(z, y, strict=True)])
    np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(np.abs(w) > 1e-5, uses)


def test_noise_of_targets():
    z = jax.random.normal(jax.random.key(1), (4, 5_000, 5)) * 3.0
    uses = by_size(KEY, 4, 5)

    def noise(level, relative):
        clean, noisy = (
            np.asarray(linear(KEY, z, uses, n, relative=relative)) for n in (0.0, level)
        )
        return clean, noisy - clean

    _, e = noise(0.2, False)
    np.testing.assert_allclose(e.std(1), 0.2, rtol=0.05)
    clean, e = noise(0.1, True)
    length = np.linalg.norm
    np.testing.assert_allclose(length(e, axis=1), 0.1 * length(clean, axis=1), 1e-4)


def test_threshold_classes_change_with_their_two_factors_alone():
    z = jax.random.uniform(jax.random.key(1), (6, 400, 5), minval=-1.7, maxval=1.7)
    y, uses = map(np.asarray, thresholds(KEY, z))
    assert set(np.unique(y)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(uses.sum(1), 2)
    others = jnp.where(uses[:, None], z, 5.0)
    np.testing.assert_array_equal(y, thresholds(KEY, others)[0])
    z = np.asarray(z)
    # Each bit is a threshold on one of the two, and not both on the same.
    for t in range(6):
        split = [None, None]
        for bit in (0, 1):
            on = y[t] // (1 + bit) % 2 == 1
            cuts = [
                j for j in np.flatnonzero(uses[t])
                if z[t, ~on, j].max() < z[t, on, j].min()
            ]  # fmt: skip
            (split[bit],) = cuts
            middle = (z[t, ~on, split[bit]].max() + z[t, on, split[bit]].min()) / 2
            assert abs(middle) < THRESHOLD + 0.05
        assert split[0] != split[1]


def test_split_classes():
    t = 60
    values = jnp.broadcast_to(jnp.asarray(COMBINATIONS)[None], (t, *COMBINATIONS.shape))
    y, allowed, uses = map(np.asarray, splits(KEY, values, SIZES, ORDERED))
    assert set(uses.sum(1)) == {1, 2, 3}
    assert allowed.shape == (t, 8)
    unordered_splits = set()
    for task in range(t):
        k = uses[task].sum()
        # All combinations are there, so all classes are, and no others.
        np.testing.assert_array_equal(np.unique(y[task]), np.arange(2**k))
        np.testing.assert_array_equal(allowed[task], np.arange(8) < 2**k)
        found = set()
        for bit in range(k):
            on = y[task] >> bit & 1
            for j in np.flatnonzero(uses[task]):
                by_value = [on[COMBINATIONS[:, j] == v] for v in range(SIZES[j])]
                if all(len(set(b)) == 1 for b in by_value):
                    found.add(int(j))
                    upper = np.array([b[0] for b in by_value])
                    assert 0 < upper.sum() < SIZES[j]
                    if ORDERED[j]:
                        assert (np.diff(upper) >= 0).all()
                    else:
                        unordered_splits.add(tuple(upper.tolist()))
        assert found == set(np.flatnonzero(uses[task]))
    assert any((np.diff(s) < 0).any() for s in unordered_splits)
    assert len(unordered_splits) > 5
    # What a task does not use changes nothing.
    others = jnp.where(uses[:, None], values, 0)
    np.testing.assert_array_equal(y, splits(KEY, others, SIZES, ORDERED)[0])
