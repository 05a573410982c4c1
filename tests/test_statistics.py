import numpy as np
import pytest
from scipy import stats

from jaxdis import statistics

NAN = np.nan
RNG = np.random.default_rng(0)
WHOLE = RNG.normal(3, 2, size=(6, 9))
GAPS = np.where(RNG.random(WHOLE.shape) < 0.3, NAN, WHOLE)
OVER_SEEDS = ("mean", "deviation", "standard_error", "iqm", "interval", "count")


def alive(row):
    return row[np.isfinite(row)]


def t_interval(row):
    return stats.t.interval(0.95, len(row) - 1, row.mean(), stats.sem(row))


ORACLES = {
    "mean": np.mean,
    "deviation": stats.tstd,
    "standard_error": stats.sem,
    "iqm": lambda row: stats.trim_mean(row, 0.25),
    "interval": t_interval,
    "count": len,
}


@pytest.mark.parametrize("values", [WHOLE, GAPS], ids=["whole", "gaps"])
@pytest.mark.parametrize("name", ORACLES)
def test_matches_scipy_over_the_seeds_that_did_not_fail(name, values):
    found = np.stack(np.atleast_2d(getattr(statistics, name)(values)), -1)
    expected = np.array([ORACLES[name](alive(row)) for row in values])
    np.testing.assert_allclose(found.squeeze(), expected, rtol=1e-12)


@pytest.mark.parametrize("n", range(1, 13))
def test_interquartile_mean_of_any_number_of_seeds(n):
    values = RNG.normal(size=n)
    expected = stats.trim_mean(values, 0.25)
    assert statistics.iqm(values) == pytest.approx(expected, rel=1e-12)
    padded = np.append(values, [NAN, NAN])
    assert statistics.iqm(padded) == pytest.approx(expected, rel=1e-12)


def test_by_hand():
    values = [1.0, 2.0, 3.0, 10.0]
    assert statistics.mean(values) == 4
    assert statistics.deviation(values) == pytest.approx(np.sqrt(50 / 3))
    assert statistics.standard_error(values) == pytest.approx(np.sqrt(50 / 3) / 2)
    assert statistics.iqm(values) == 2.5
    # Student's t of one degree of freedom is Cauchy's: t_.975(1) = tan(.475 pi).
    low, high = statistics.interval([0.0, 2.0])
    assert (low, high) == pytest.approx(
        (1 - np.tan(0.475 * np.pi), 1 + np.tan(0.475 * np.pi))
    )


@pytest.mark.parametrize(
    ("values", "left"), [([5.0], 1), ([NAN, 5.0, np.inf], 1), ([NAN, NAN], 0), ([], 0)]
)
def test_too_few_seeds(values, left):
    # Warnings are errors here, so that this is also that there are none.
    assert statistics.count(values) == left
    centre = 5.0 if left else NAN
    np.testing.assert_equal(float(statistics.mean(values)), centre)
    np.testing.assert_equal(float(statistics.iqm(values)), centre)
    assert np.isnan(statistics.deviation(values))
    assert np.isnan(statistics.standard_error(values))
    assert np.isnan(statistics.interval(values)).all()


@pytest.mark.parametrize("name", OVER_SEEDS)
def test_any_axes_in_front_and_any_numbers(name):
    function = getattr(statistics, name)
    deep = np.asarray(function(GAPS.reshape(2, 3, 9)))
    flat = np.asarray(function(GAPS))
    np.testing.assert_array_equal(deep.reshape(flat.shape), flat)
    whole = np.arange(10)
    np.testing.assert_array_equal(function(whole), function(whole.astype(float)))
    np.testing.assert_array_equal(function(whole.tolist()), function(whole))
    np.testing.assert_array_equal(function(np.array(3.0)), function([3.0]))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_deviation_of_extreme_scores(scale):
    values = np.array([1.0, 2.0, 4.0])
    expected = scale * stats.tstd(values)
    assert statistics.deviation(scale * values) == pytest.approx(expected)


def test_paired_gain_by_hand():
    a, b = [[3.0, 5.0, 1.0, NAN], [1.0, NAN, 2.0, 2.0]], [[1.0, 1.0, 1.0, 0.0]] * 2
    gain = statistics.paired_gain(a, b)
    np.testing.assert_array_equal(gain.mean, [2, 1])
    np.testing.assert_allclose(gain.standard_error, [2 / 3**0.5, 1 / 3**0.5])
    np.testing.assert_array_equal(gain.positive, [2, 2])
    np.testing.assert_array_equal(gain.seeds, [3, 3])


def test_paired_gain_matches_the_paired_t_test():
    a, b = RNG.normal(size=(2, 5, 8))
    gain = statistics.paired_gain(a, b)
    test = stats.ttest_rel(a, b, axis=-1)
    np.testing.assert_allclose(gain.mean / gain.standard_error, test.statistic)
    swapped = statistics.paired_gain(b, a)
    np.testing.assert_array_equal(swapped.mean, -gain.mean)
    np.testing.assert_array_equal(swapped.positive, gain.seeds - gain.positive)


def test_paired_gain_of_one_pair_and_of_unequal_seeds():
    gain = statistics.paired_gain([2.0, NAN], [1.0, 1.0])
    assert (gain.mean, gain.positive, gain.seeds) == (1, 1, 1)
    assert np.isnan(gain.standard_error)
    with pytest.raises(ValueError, match=r"a has shape \(3,\) and b \(2,\)"):
        statistics.paired_gain(np.ones(3), np.ones(2))
