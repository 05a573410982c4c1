"""The Frechet distance of features, against scipy's matrix square root."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm

from jaxdis import metrics

frechet_distance = jax.jit(metrics.frechet_distance)
over_pairs = jax.jit(jax.vmap(metrics.frechet_distance))
feature_moments = jax.jit(metrics.feature_moments)


def moments(rows, p, seed, rank=None):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, rank or p)) @ rng.normal(size=(rank or p, p))
    x = x * np.geomspace(0.05, 3, p) + rng.normal(size=p)
    return x.mean(0), np.cov(x.T)


def by_scipy(mean1, cov1, mean2, cov2):
    # The root in its symmetric form, which singular covariances have too.
    root = sqrtm(cov1).real
    both = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov2 @ root), 0, None)).sum()
    return ((mean1 - mean2) ** 2).sum() + np.trace(cov1 + cov2) - 2 * both


@pytest.mark.parametrize(("p", "rank"), [(1, None), (32, None), (32, 7)])
def test_distance_is_that_of_scipy(p, rank):
    first, second = moments(400, p, 0), moments(300, p, 1, rank)
    if p == 1:
        first, second = ((m, np.reshape(c, (1, 1))) for m, c in (first, second))
    expected = by_scipy(*first, *second)
    actual = frechet_distance(*map(jnp.float32, (*first, *second)))
    np.testing.assert_allclose(actual, expected, rtol=1e-3)


@pytest.mark.parametrize(("p", "ranks"), [(32, (7, 5)), (32, (32, 10))])
def test_distance_of_few_rows_and_dead_features(p, ranks):
    """Of n rows X and m rows Y, centred: `tr (C1 C2)^(1/2) = |X Y'|_* / sqrt(n m)`.

    Both covariances are singular: by few directions, features that are always zero and
    fewer rows than features.
    """
    rng = np.random.default_rng(0)
    rows = [
        rng.normal(size=(40, rank)) @ rng.normal(size=(rank, p)) + rng.normal(size=p)
        for rank in ranks
    ]
    for x, dead in zip(rows, (3, 9), strict=True):
        x[:, :dead] = 0
    moments = [feature_moments(jnp.float32(x)) for x in rows]
    actual = frechet_distance(*moments[0], *moments[1])
    x, y = (x - x.mean(0) for x in rows)
    both = np.linalg.svd(x @ y.T, compute_uv=False).sum() / 39
    off = ((rows[0].mean(0) - rows[1].mean(0)) ** 2).sum()
    expected = off + ((x**2).sum() + (y**2).sum()) / 39 - 2 * both
    np.testing.assert_allclose(actual, expected, rtol=1e-3)
    other = frechet_distance(*moments[1], *moments[0])
    np.testing.assert_allclose(other, actual, rtol=1e-4)


def test_distance_of_diagonal_gaussians():
    """`|m1 - m2|^2 + sum (s1 - s2)^2`."""
    s1, s2 = jnp.float32([1, 2, 0]), jnp.float32([3, 2, 0.5])
    zero, shift = jnp.zeros(3), jnp.float32([0, 1, 2])
    actual = frechet_distance(zero, jnp.diag(s1**2), shift, jnp.diag(s2**2))
    np.testing.assert_allclose(actual, 5 + 4 + 0 + 0.25, rtol=1e-5)


def test_equal_moments_are_at_no_distance():
    mean, cov = map(jnp.float32, moments(200, 32, 0))
    scale = float(jnp.trace(cov))
    assert frechet_distance(mean, cov, mean, cov) <= 1e-4 * scale
    nothing = jnp.zeros((32, 32))
    np.testing.assert_allclose(
        frechet_distance(mean, nothing, mean, cov), scale, rtol=1e-5
    )
    assert frechet_distance(mean, nothing, mean, nothing) == 0


def test_rounding_makes_no_distance_negative():
    pairs = [moments(50, 8, i) for i in range(20)]
    mean, cov = (jnp.float32(np.stack(a)) for a in zip(*pairs, strict=True))
    distance = over_pairs(mean, cov, mean, cov)
    assert (distance >= 0).all()


def test_seeds_are_scored_together():
    pairs = [(*moments(100, 8, i), *moments(100, 8, i + 99)) for i in range(20)]
    stacked = [jnp.float32(np.stack(a)) for a in zip(*pairs, strict=True)]
    together = over_pairs(*stacked)
    np.testing.assert_allclose(together, [by_scipy(*p) for p in pairs], rtol=1e-3)


def test_moments():
    x = np.random.default_rng(0).normal(size=(50, 3)) * [1, 2, 3] + 100
    mean, cov = feature_moments(jnp.float32(x))
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(cov, np.cov(x.T), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="with at least 2 rows"):
        feature_moments(jnp.ones((1, 3)))


def test_moments_of_whole_numbers():
    x = np.random.default_rng(0).integers(0, 256, (50, 3)).astype(np.uint8)
    mean, cov = metrics.feature_moments(x)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(cov, np.cov(x.T), rtol=1e-4)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((4, 2)) * 1e30, "reach 1e\\+30, of which float32 cannot hold"),
        (np.where(np.eye(4) > 0, np.nan, 1.0), "infinite at row 0, column 0"),
        (np.ones((4, 0)), "must not be empty"),
        (np.ones(4), r"features has shape \(4,\)"),
        (np.full((4, 2), "a"), "features holds strings"),
    ],
)
def test_what_are_no_features_is_refused(features, message):
    with pytest.raises(ValueError, match=message):
        metrics.feature_moments(features)


def test_moments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"mean2 has shape \(3,\); with 2 features"):
        metrics.frechet_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="cov1 is NaN or infinite"):
        metrics.frechet_distance(
            np.zeros(2), np.full((2, 2), np.inf), np.zeros(2), np.eye(2)
        )
