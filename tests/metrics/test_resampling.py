"""Intervals and nulls: rows are drawn as they should be, and cover what they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis import metrics
from jaxdis.metrics.resampling import Data, draw, moved_interval, place_rows

KEY = jax.random.key(3)


def rows(data, _):
    """Which rows were drawn, if z and codes number them."""
    return data.z[..., 0], data.codes[..., 0]


def means(data, _):
    return data.codes.mean(-2)


def r2(data, _):
    return metrics.r2(data.z, data.codes)


def correlation(data, _):
    return metrics.mcc(data.z, data.codes)


def numbered(n):
    at = jnp.arange(n, dtype=jnp.float32)[:, None]
    return Data(at, at)


def test_rows_of_resamples_stay_together_and_come_with_replacement():
    z, codes = np.asarray(
        draw(rows, numbered(50), resamples=300, nulls=0, key=KEY).resampled
    )
    np.testing.assert_array_equal(z, codes)
    distinct = np.array([len(np.unique(row)) for row in codes])
    # (1 - 1/n)^n of the rows are in no resample.
    assert distinct.mean() == pytest.approx(50 * (1 - (1 - 1 / 50) ** 50), abs=0.6)
    counts = np.bincount(codes.ravel().astype(int), minlength=50)
    assert stats.chisquare(counts).pvalue > 1e-3
    assert len(np.unique(codes, axis=0)) == 300


def test_the_null_permutes_the_factors_alone():
    z, codes = np.asarray(draw(rows, numbered(20), resamples=0, nulls=40, key=KEY)[1])
    np.testing.assert_array_equal(codes, np.tile(np.arange(20), (40, 1)))
    np.testing.assert_array_equal(np.sort(z, 1), codes)
    assert len(np.unique(z, axis=0)) == 40


def test_a_row_is_replaced_by_one_of_its_own_part():
    parts = np.array([0, 3, 5, 7, 9]), np.array([1, 2, 4, 6, 8])
    place = place_rows(10, parts)
    found = draw(rows, numbered(10), resamples=99, nulls=0, key=KEY, place=place)
    drawn = np.asarray(found.resampled[1]).astype(int)
    first = np.isin(np.arange(10), parts[0])
    np.testing.assert_array_equal(first[drawn], np.tile(first, (99, 1)))
    for part in parts:
        assert set(drawn[:, part].ravel()) == set(part.tolist())


def test_seeds_share_their_resamples_and_keys_repeat_them():
    codes = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    many = Data(jnp.zeros((30, 1)), jnp.asarray(np.stack([codes, codes])))
    found = np.asarray(draw(means, many, resamples=8, nulls=3, key=KEY)[0])
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    again = draw(means, many, resamples=8, nulls=3, key=KEY)[0]
    np.testing.assert_array_equal(found, again)
    other = draw(means, many, resamples=8, nulls=3, key=jax.random.key(4))[0]
    assert not np.array_equal(found, other)


def test_the_interval_of_a_mean_is_that_of_scipy():
    x = np.random.default_rng(1).exponential(size=(60, 1)).astype(np.float32)
    drawn = draw(means, Data(jnp.asarray(x), jnp.asarray(x)), resamples=4000, nulls=0,
                 key=KEY).resampled  # fmt: skip
    low, high = moved_interval(x.mean(0), np.asarray(drawn), 0.9)
    expected = stats.bootstrap(
        (x[:, 0],), np.mean, confidence_level=0.9, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    std = x.std() / np.sqrt(len(x))
    np.testing.assert_allclose([low[0], high[0]], list(expected), atol=0.12 * std)


def test_intervals_of_a_fitted_score_hold_what_new_samples_score():
    """Plain percentiles of a useless code's R2 miss it: copies of rows flatter fits."""
    rng = np.random.default_rng(5)
    values, moved, plain = [], [], []
    for _ in range(100):
        z, codes = rng.normal(size=(2, 60, 3)).astype(np.float32)
        data = Data(jnp.asarray(z), jnp.asarray(codes))
        drawn = np.asarray(draw(r2, data, resamples=100, nulls=0, key=KEY).resampled)
        values.append(float(metrics.r2(z, codes)))
        moved.append(moved_interval(np.array(values[-1]), drawn, 0.9, (0, 1)))
        plain.append(np.quantile(drawn, [0.05, 0.95]))
    truth = 3 / 59  # k / (n - 1)
    assert np.mean(values) == pytest.approx(truth, abs=0.005)

    def covered(intervals):
        low, high = np.array(intervals).T
        return np.mean((low <= truth) & (truth <= high))

    # More than 90 %: what a fit makes of noise varies more among copies.
    assert covered(moved) >= 0.9
    assert covered(plain) < 0.8


def test_intervals_hold_the_correlation_as_often_as_they_say():
    """By exchangeability: a new sample of the same law is in about sqrt(1/2) of it."""
    rng = np.random.default_rng(6)
    inside = []
    for _ in range(120):
        z = rng.normal(size=(100, 1)).astype(np.float32)
        codes = (0.8 * z + 0.6 * rng.normal(size=z.shape)).astype(np.float32)
        data = Data(jnp.asarray(z), jnp.asarray(codes))
        drawn = draw(correlation, data, resamples=200, nulls=0, key=KEY).resampled
        value = np.asarray(metrics.mcc(z, codes), float)
        low, high = moved_interval(value, np.asarray(drawn), 0.9, (0, 1))
        inside.append(low <= 0.8 <= high)
    # 90 %, give or take three deviations of a binomial and the skew of percentiles.
    assert 0.8 <= np.mean(inside) <= 0.98


def test_the_null_of_a_useless_code_has_the_law_of_its_score():
    rng = np.random.default_rng(7)
    z = rng.normal(size=(80, 4)).astype(np.float32)
    useless = rng.normal(size=(150, 80, 4)).astype(np.float32)
    scores = np.asarray(metrics.mcc(z, useless))
    data = Data(jnp.asarray(z), jnp.asarray(useless[0]))
    null = np.asarray(draw(correlation, data, resamples=0, nulls=150, key=KEY).permuted)
    assert stats.ks_2samp(scores, null).pvalue > 0.01
    informed = Data(jnp.asarray(z), jnp.asarray(z[:, ::-1] ** 3))
    null = np.asarray(
        draw(correlation, informed, resamples=0, nulls=150, key=KEY).permuted
    )
    assert abs(null.mean() - scores.mean()) < 4 * scores.std() / np.sqrt(75)


def test_a_failed_seed_has_no_interval_and_its_neighbour_has():
    drawn = np.stack([np.full(9, np.nan), np.linspace(0.1, 0.9, 9)], 1)
    low, high = moved_interval(np.array([np.nan, 0.5]), drawn, 0.5, (0, 1))
    assert np.isnan([low[0], high[0]]).all()
    np.testing.assert_allclose([low[1], high[1]], [0.3, 0.7])
    # Moved by the bias of the resamples, and cut where the range of the score ends.
    low, high = moved_interval(np.array([0.0, 0.9]), drawn[:, [1, 1]], 0.5, (0, 1))
    np.testing.assert_allclose([low, high], [[0.0, 0.7], [0.2, 1.0]])
