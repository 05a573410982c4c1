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


@pytest.mark.parametrize("values", [WHOLE, GAPS, [[1.0, 2.0]], [[4.0]]])
def test_median_of_the_seeds_that_did_not_fail(values):
    expected = [np.median(alive(row)) for row in np.array(values)]
    np.testing.assert_array_equal(statistics.median(values), expected)


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1.0, 1e300, 1.7e308])
def test_no_size_of_scores_overflows_or_vanishes(scale):
    # Warnings are errors here. A constant has exactly its mean, and no spread.
    same = np.full(7, scale)
    for name in ("mean", "median", "iqm"):
        assert getattr(statistics, name)(same) == scale
    assert statistics.deviation(same) == 0
    for ends in (statistics.interval(same), statistics.bootstrap_interval(same)):
        assert ends == (scale, scale)
    ends = statistics.bootstrap_interval([-scale, scale, scale], kind="bca")
    assert -scale <= ends[0] <= ends[1] <= scale
    gain = statistics.paired_gain([scale] * 3, [-scale] * 3)
    assert (gain.positive, gain.seeds) == (3, 3)
    assert statistics.permutation_test([scale] * 3, [-scale] * 3) == 0.25


def test_summary_counts_what_is_left_out():
    found = statistics.summary([[1.0, 2.0, 6.0, NAN], [5.0, np.inf, NAN, NAN]])
    np.testing.assert_array_equal(found.mean, [3, 5])
    np.testing.assert_array_equal(found.median, [2, 5])
    np.testing.assert_allclose(found.deviation, [7**0.5, NAN])
    np.testing.assert_array_equal(found.seeds, [3, 1])
    np.testing.assert_array_equal(found.missing, [1, 3])
    np.testing.assert_allclose((found.low[0], found.high[0]), t_interval(ROW_OF_THREE))


ROW_OF_THREE = np.array([1.0, 2.0, 6.0])


@pytest.mark.parametrize(
    ("values", "words"),
    [(["a"], "real numbers"), ([1j], "real numbers"), ([[1.0], [1.0, 2.0]], "array")],
)
def test_what_is_no_number_is_refused(values, words):
    with pytest.raises(ValueError, match=f"values must be.*{words}|values must be"):
        statistics.mean(values)


@pytest.mark.parametrize("confidence", [0, 1, 95, NAN])
def test_confidence_is_a_share(confidence):
    for function in (statistics.interval, statistics.bootstrap_interval):
        with pytest.raises(ValueError, match="confidence must be above 0"):
            function([1.0, 2.0], confidence=confidence)


def test_confidence_of_intervals():
    row = WHOLE[0]
    expected = stats.t.interval(0.8, len(row) - 1, row.mean(), stats.sem(row))
    np.testing.assert_allclose(statistics.interval(row, 0.8), expected)


# Whole 64ths: sums are exact, so that resamples with the sum of the sample are told.
SAMPLE = RNG.integers(-500, 900, 9) / 64
OTHER = RNG.integers(0, 200, 5) / 64
SCIPY = {"percentile": "percentile", "bca": "BCa"}


@pytest.mark.parametrize("kind", statistics.KINDS)
@pytest.mark.parametrize(
    ("statistic", "same"),
    [
        (statistics.mean, lambda x, axis: x.mean(axis)),
        (statistics.median, lambda x, axis: np.median(x, axis)),
        (statistics.iqm, lambda x, axis: stats.trim_mean(x, 0.25, axis)),
    ],
    ids=["mean", "median", "iqm"],
)
def test_bootstrap_is_that_of_scipy_on_the_same_resamples(statistic, same, kind):
    expected = stats.bootstrap(
        (SAMPLE,), same, n_resamples=2_000, confidence_level=0.9, method=SCIPY[kind],
        random_state=np.random.default_rng(7),
    ).confidence_interval  # fmt: skip
    padded = np.insert(SAMPLE, [2, 9], [NAN, np.inf])  # failed seeds
    found = statistics.bootstrap_interval(
        padded, statistic, kind=kind, confidence=0.9, resamples=2_000, seed=7
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", statistics.KINDS)
def test_stratified_bootstrap_is_that_of_scipy_on_the_same_resamples(kind):
    def same(*samples, axis):
        return np.concatenate(samples, axis).mean(axis)

    expected = stats.bootstrap(
        (SAMPLE, OTHER), same, n_resamples=2_000, method=SCIPY[kind], vectorized=True,
        random_state=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    values = np.concatenate([SAMPLE, OTHER])
    found = statistics.bootstrap_interval(
        values, strata=["a"] * 9 + ["b"] * 5, kind=kind, resamples=2_000, seed=3
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    whole = statistics.bootstrap_interval(values, kind=kind, resamples=2_000, seed=3)
    assert np.ptp(found) < np.ptp(whole)  # what is between strata is no chance


def test_rows_of_a_bootstrap_are_those_alone_and_of_its_seed():
    low, high = statistics.bootstrap_interval(GAPS.reshape(2, 3, 9), resamples=200)
    assert low.shape == high.shape == (2, 3)
    alone = statistics.bootstrap_interval(GAPS[4], resamples=200)
    assert alone == (low[1, 1], high[1, 1])
    assert alone != statistics.bootstrap_interval(GAPS[4], resamples=200, seed=1)


@pytest.mark.parametrize("kind", statistics.KINDS)
def test_bootstrap_of_few_seeds_ties_and_odd_statistics(kind):
    def ends(values, statistic=statistics.mean):
        return statistics.bootstrap_interval(
            values, statistic, kind=kind, resamples=500
        )

    for few in ([], [3.0], [NAN, 3.0]):
        assert np.isnan(ends(few)).all()
    assert ends([1.0, 2.0]) == (1, 2)
    assert ends([0.7] * 5) == (0.7, 0.7)
    low, high = ends([1.0] * 7 + [0.0])
    assert 0 <= low < 0.875 < high <= 1
    # Left out in turn, one seed of two has no deviation.
    low, high = ends([1.0, 2.0], statistics.deviation)
    assert low == 0
    assert high == pytest.approx(0.5**0.5)
    # The largest of a sample is never below that of a resample.
    low, high = ends([1.0, 2.0, 3.0, 9.0], lambda x: x.max(-1))
    assert low <= high == 9


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("kind must be one of 'percentile', 'bca', got 'exact'", {"kind": "exact"}),
        ("resamples must be at least 1", {"resamples": 0}),
        ("seed must be at least 0", {"seed": -1}),
        ("strata must name a group for each of the 3 seeds", {"strata": [0, 1]}),
        ("one number for each row", {"statistic": np.mean}),
    ],
)
def test_bootstrap_says_what_is_wrong(words, arguments):
    with pytest.raises(ValueError, match=words):
        statistics.bootstrap_interval([1.0, 2.0, 3.0], **arguments)


def test_interval_of_a_gain_is_that_of_the_paired_t_test():
    a, b = RNG.normal(size=(2, 5, 8))
    gain = statistics.paired_gain(a, b, 0.9)
    expected = stats.ttest_rel(a, b, axis=-1).confidence_interval(0.9)
    np.testing.assert_allclose((gain.low, gain.high), expected)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_permutation_test_is_that_of_scipy(n):
    a, b = RNG.normal(0.5, 1, n), RNG.normal(size=n)

    def difference(x, y, axis):
        return np.mean(x - y, axis)

    expected = 1.0
    if n > 1:
        expected = stats.permutation_test(
            (a, b), difference, permutation_type="samples", n_resamples=np.inf
        ).pvalue
    assert statistics.permutation_test(a, b) == pytest.approx(expected)
    padded = statistics.permutation_test([*a, NAN, 1.0], [*b, 1.0, np.inf])
    assert padded == pytest.approx(expected)


def test_permutation_test_by_hand():
    ones, zeros = np.ones((2, 6)), np.zeros((2, 6))
    np.testing.assert_array_equal(
        statistics.permutation_test(ones, zeros), [2 / 64, 2 / 64]
    )
    # Differences 1, 1, -1: |sum| is 1 or 3, never less than what was found.
    assert statistics.permutation_test([1.0, 1.0, 0.0], [0.0, 0.0, 1.0]) == 1
    # The order in which .1, .2 and .3 are summed does not matter.
    assert statistics.permutation_test([0.1, 0.2, 0.3], [0.0, 0.0, 0.0]) == 0.25
    assert statistics.permutation_test([0.3, 0.2, 0.1], [0.0, 0.0, 0.0]) == 0.25
    assert statistics.permutation_test([1.0, 2.0], [1.0, 2.0]) == 1  # ties
    assert np.isnan(statistics.permutation_test([NAN], [1.0]))
    assert np.isnan(statistics.permutation_test([], []))
    assert statistics.permutation_test(np.ones((0, 3)), np.ones((0, 3))).shape == (0,)


def test_permutation_test_of_many_seeds_draws_signs():
    gain, sums, zeros = RNG.normal(0.4, 1, 21), np.zeros(1), np.zeros(21)
    for one in gain:
        sums = np.add.outer(sums, [one, -one]).ravel()
    exact = (abs(sums) >= abs(gain.sum()) - 1e-9).mean()
    p = statistics.permutation_test(gain, zeros, resamples=20_000)
    assert abs(p - exact) < 5 * (exact / 20_000) ** 0.5
    assert p == statistics.permutation_test(gain, zeros, resamples=20_000)
    # What was found is one of the draws: p is never 0.
    assert statistics.permutation_test(zeros + 1, zeros, resamples=99) == 0.01


P = RNG.random((4, 7)) ** 3


def step_down(row):
    """Holm's own words: reject in order, with m, m - 1, ... times the level."""
    order, found, worst = np.argsort(row), np.empty(len(row)), 0.0
    for left, i in zip(range(len(row), 0, -1), order, strict=True):
        worst = max(worst, min(left * row[i], 1.0))
        found[i] = worst
    return found


def test_corrections():
    np.testing.assert_allclose(
        statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]
    )
    np.testing.assert_allclose(statistics.holm(P), [step_down(row) for row in P])
    np.testing.assert_allclose(
        statistics.benjamini_hochberg(P), [stats.false_discovery_control(r) for r in P]
    )
    np.testing.assert_allclose(statistics.bonferroni(P), np.minimum(P * 7, 1))
    for correct in statistics.CORRECTIONS.values():
        assert correct([0.2]) == [0.2]
        assert correct([]).shape == (0,)


@pytest.mark.parametrize("name", statistics.CORRECTIONS)
def test_corrections_leave_out_what_is_no_p_value(name):
    correct = statistics.CORRECTIONS[name]
    found = correct([0.04, NAN, 0.01, NAN, 0.04])
    np.testing.assert_array_equal(found[[0, 2, 4]], correct([0.04, 0.01, 0.04]))
    assert np.isnan(found[[1, 3]]).all()
    with pytest.raises(ValueError, match=r"probabilities from 0 to 1, got 1\.5"):
        correct([0.1, 1.5])


def test_performance_profile():
    thresholds = [-np.inf, 1.0, 2.0, 3.5, 9.0]
    found = statistics.performance_profile(GAPS.reshape(2, 3, 9), thresholds, 0.9)
    assert found.share.shape == found.low.shape == found.high.shape == (2, 3, 5)
    for i, row in enumerate(GAPS):
        at, row = np.unravel_index(i, (2, 3)), alive(row)
        assert found.seeds[at] == len(row)
        for j, threshold in enumerate(thresholds):
            above = int((row > threshold).sum())
            test = stats.binomtest(above, len(row))
            ends = test.proportion_ci(0.9, method="wilson")
            assert found.share[at][j] == above / len(row)
            assert found.low[at][j] == pytest.approx(ends.low, abs=1e-12)
            assert found.high[at][j] == pytest.approx(ends.high, abs=1e-12)


def test_performance_profile_at_ties_and_without_seeds():
    found = statistics.performance_profile([1.0, 2.0, 2.0, 3.0, NAN], [2.0])
    assert (found.share, found.seeds) == (0.25, 4)
    none = statistics.performance_profile([NAN, NAN], [0.0, 1.0])
    assert np.isnan([none.share, none.low, none.high]).all()
    for wrong in ([[1.0]], [NAN]):
        with pytest.raises(ValueError, match="thresholds must be one row"):
            statistics.performance_profile([1.0], wrong)
