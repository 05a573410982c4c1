import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import lstsq
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm, spearmanr
from sklearn.linear_model import Lasso

from jaxdis.metrics import (
    agreement,
    assign,
    correlation_matrix,
    dead,
    mcc,
    moments,
    r,
    standardise,
    udr,
)
from jaxdis.metrics.inputs import halves
from jaxdis.metrics.ranking import relative_strength

KINDS = ["pearson", "spearman"]
GOOD = np.arange(20.0).reshape(10, 2)
HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pearson_oracle(z, z_hat):
    d = z.shape[1]
    return np.abs(np.corrcoef(z, z_hat, rowvar=False)[:d, d:])


def spearman_oracle(z, z_hat):
    d = z.shape[1]
    return np.abs(spearmanr(np.hstack([z, z_hat])).statistic[:d, d:])


ORACLES = {"pearson": pearson_oracle, "spearman": spearman_oracle}


def matched_oracle(matrix):
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    return matrix[rows, columns].sum() / len(matrix)


@pytest.mark.parametrize(
    ("kind", "k"), [("pearson", 3), ("pearson", 4), ("pearson", 8), ("spearman", 4)]
)
def test_matches_numpy_and_scipy(rng, kind, k):
    z = rng.normal(size=(400, 4))
    z_hat = z @ rng.normal(size=(4, k)) + rng.normal(size=(400, k))
    z_hat[:, 0] = z_hat[:, 0].round()  # ties
    expected = ORACLES[kind](z, z_hat)
    matrix = correlation_matrix(z, z_hat, kind=kind)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    np.testing.assert_allclose(
        mcc(z, z_hat, kind=kind), matched_oracle(expected), atol=1e-6
    )


def test_assignment_in_order_of_the_factors():
    # Unsorted answers of the solver must come back as the code of factor 0, 1, 2.
    wide = np.array([[0, 0.1, 0, 0.9], [0.8, 0, 0, 0.1], [0, 0, 0.7, 0.1]])
    assert assign(wide).tolist() == [3, 0, 2]
    assert assign(wide.T).tolist() == [1, -1, 2, 0]


@pytest.mark.parametrize("kind", KINDS)
class TestKnownAnswers:
    def test_perfect(self, rng, kind):
        z = rng.uniform(size=(400, 4))
        order = np.array([2, 0, 3, 1])
        scale = rng.choice([-1, 1], 4) * rng.uniform(0.1, 10, 4)
        z_hat = (z * scale + rng.normal(size=4))[:, order]
        assert float(mcc(z, z_hat, kind=kind)) == pytest.approx(1, abs=1e-6)
        # Code m shows factor order[m]; the factor's code is where that is.
        found = assign(correlation_matrix(z, z_hat, kind=kind))
        assert found.tolist() == np.argsort(order).tolist()

    def test_useless(self, rng, kind):
        z, z_hat = rng.normal(size=(2, 5000, 4))
        assert 0 < float(mcc(z, z_hat, kind=kind)) < 0.05

    def test_hadamard_rotation(self, rng, kind):
        # Every code mixes the 4 factors with weights +-1/2: all correlations are 1/2.
        z = rng.integers(0, 10, (5000, 4))
        score = mcc(z, z @ HADAMARD, kind=kind)
        assert float(score) == pytest.approx(0.5, abs=0.02)


def test_duplicated(rng):
    z = rng.normal(size=(400, 4))
    score = mcc(z, np.hstack([z, z]))
    assert float(score) == pytest.approx(1, abs=1e-6)


def test_missing_codes_score_zero(rng):
    z = rng.normal(size=(400, 4))
    assert float(mcc(z, z[:, 1:])) == pytest.approx(3 / 4, abs=1e-6)


def test_extra_codes_are_ignored(rng):
    z, noise, useless = rng.normal(size=(3, 400, 4))
    z_hat = np.hstack([useless, z + noise])
    all_codes, best = mcc(z, z_hat), mcc(z, z_hat[:, 4:])
    assert float(all_codes) == pytest.approx(float(best), abs=1e-6)


def test_cubes_of_a_uniform_and_a_normal_factor(rng):
    # u uniform on (-1, 1): E u^4 = 1/5, E u^2 = 1/3, E u^6 = 1/7, so
    # corr(u, u^3) = (1/5) / sqrt(1/21) = sqrt(21) / 5.
    grid = (np.arange(5000) + 0.5) / 5000
    grid = np.stack([rng.permutation(grid) for _ in range(4)], 1)
    u = 2 * grid - 1
    assert float(mcc(u, u**3)) == pytest.approx(np.sqrt(21) / 5, abs=1e-5)
    assert float(mcc(u, u**3, kind="spearman")) == pytest.approx(1, abs=1e-6)
    # g standard normal: E g^4 = 3, E g^6 = 15, so corr(g, g^3) = 3 / sqrt(15).
    g = norm.ppf(grid)
    assert float(mcc(g, g**3)) == pytest.approx(3 / np.sqrt(15), abs=0.005)


def test_independent_noise_of_equal_variance(rng):
    # corr(z, z + e) = 1 / sqrt 2.
    z, noise = rng.normal(size=(2, 5000, 4))
    assert float(mcc(z, z + noise)) == pytest.approx(np.sqrt(0.5), abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_invariances(rng, kind):
    z = rng.normal(size=(400, 4))
    z_hat = z @ (np.eye(4) + 0.5 * rng.normal(size=(4, 4)))
    changed = (z_hat * np.array([-3, 2, -0.1, 50]) + 7)[:, [2, 0, 3, 1]]
    score = float(mcc(z, z_hat, kind=kind))
    assert score < 0.98
    assert float(mcc(z, changed, kind=kind)) == pytest.approx(score, abs=1e-6)
    bent = float(mcc(z, np.exp(z_hat), kind=kind))
    assert (bent == pytest.approx(score, abs=1e-6)) == (kind == "spearman")


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1e15, 1e300])
def test_codes_of_extreme_scale_keep_their_score(rng, scale):
    z = rng.normal(size=(400, 4))
    z_hat = z + rng.normal(size=(400, 4))
    expected = pytest.approx(float(mcc(z, z_hat)), abs=1e-6)
    assert float(mcc(z, scale * z_hat)) == expected


def test_a_large_mean_keeps_four_digits(rng):
    z, noise = rng.normal(size=(2, 400, 4))
    z_hat = (100 + 1e-3 * (z + noise)).astype(np.float32)
    expected = matched_oracle(pearson_oracle(z, z_hat.astype(np.float64)))
    assert float(mcc(z, z_hat)) == pytest.approx(expected, abs=1e-4)


class TestDead:
    # float32 means of these constants are rounded, so one centring leaves a residue.
    CONSTANTS = np.array([0.0, 0.1, 100.1, 1e6 + 0.1, -3.3e-5, 1e25])

    def test_constants_are_dead_and_small_codes_are_not(self, rng):
        live = rng.normal(size=(777, 2)) * np.array([1e-6, 1.0])
        codes = np.hstack([np.tile(self.CONSTANTS, (777, 1)), live])
        assert int(dead(codes)) == len(self.CONSTANTS)
        assert dead(np.stack([codes, codes[::-1] + live[:, :1]])).tolist() == [
            len(self.CONSTANTS),
            int(dead(codes[::-1] + live[:, :1])),
        ]

    def test_the_threshold_is_relative_to_the_mean(self, rng):
        noise = np.sign(rng.normal(size=(100, 1)))
        assert int(dead(1e-30 * noise)) == 0
        assert int(dead(1 + 1e-12 * noise)) == 0
        assert int(dead(1 + 1e-14 * noise)) == 1
        # At 1000 a single rounding of 6e-5 in 100 rows is a deviation of 6e-6.
        rounded = np.full((100, 1), 1000, np.float32)
        rounded[3] = np.nextafter(rounded[3], np.float32(2000))
        assert int(dead(rounded)) == 1

    def test_broken_columns_are_not_counted(self):
        codes = np.ones((10, 3))
        codes[4, 1] = np.nan
        codes[4, 2] = np.inf
        assert int(dead(codes)) == 1

    @pytest.mark.parametrize("kind", KINDS)
    def test_they_correlate_zero(self, rng, kind):
        z = rng.normal(size=(400, 4))
        z_hat = np.hstack([np.full((400, 1), 100.1), z[:, 1:]])
        with pytest.warns(UserWarning, match=r"codes is constant in columns \[0\]"):
            matrix = np.asarray(correlation_matrix(z, z_hat, kind=kind))
        np.testing.assert_array_equal(matrix[:, 0], 0)
        with pytest.warns(UserWarning, match=r"codes is constant in columns \[0\]"):
            score = float(mcc(z, z_hat, kind=kind))
        assert score == pytest.approx(3 / 4, abs=1e-6)

    @pytest.mark.parametrize("kind", KINDS)
    def test_rounding_noise_has_no_ranks(self, rng, kind):
        # Ranks would bring a code of a single rounding back to life.
        z = rng.normal(size=(400, 4)).astype(np.float32)
        z_hat = z.copy()
        z_hat[:, 0] = 1000
        z_hat[z[:, 0].argmax(), 0] = np.nextafter(np.float32(1000), np.float32(2000))
        assert float(mcc(z, z_hat, kind=kind)) == pytest.approx(3 / 4, abs=1e-6)

    def test_a_run_of_dead_codes_scores_zero(self, rng):
        with pytest.warns(UserWarning, match=r"codes is .* columns \[0, 1, 2, 3\]"):
            assert float(mcc(rng.normal(size=(400, 4)), np.ones((400, 4)))) == 0

    def test_standardise(self, rng):
        x = rng.normal(3, 2, size=(400, 2))
        columns = np.asarray(standardise(np.hstack([x, np.full((400, 1), 0.1)])))
        expected = (x - x.mean(0)) / x.std(0)
        np.testing.assert_allclose(columns[:, :2], expected, atol=2e-6)
        np.testing.assert_array_equal(columns[:, 2], 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_failed_run_is_nan_and_its_neighbours_stand(rng, kind, value):
    z = rng.normal(size=(400, 4))
    z_hat = z[None] + rng.normal(size=(3, 400, 4))
    expected = np.array(mcc(z, z_hat, kind=kind))
    z_hat[1, 5, 2] = value
    with pytest.raises(ValueError, match=r"codes is NaN .* codes\[1, 5, 2\]"):
        mcc(z, z_hat, kind=kind)
    scores = np.asarray(mcc(z, z_hat, kind=kind, failed="nan"))
    assert np.isfinite(expected).all()
    assert np.isnan(scores[1])
    np.testing.assert_array_equal(scores[[0, 2]], expected[[0, 2]])


class TestConstantFactor:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_scores_zero_with_a_warning(self, rng, kind):
        z = rng.normal(size=(400, 4))
        z_hat = z + rng.normal(size=(400, 4))
        expected = matched_oracle(ORACLES[kind](z[:, [0, 1, 3]], z_hat))
        z[:, 2] = 0.1
        with pytest.warns(UserWarning, match=r"z is constant in columns \[2\]"):
            score = float(mcc(z, z_hat, kind=kind))
        assert score == pytest.approx(3 / 4 * expected, abs=1e-6)

    def test_it_scores_zero_within_jit(self, rng):
        z = rng.normal(size=(400, 4))
        z_hat = z + rng.normal(size=(400, 4))
        expected = matched_oracle(pearson_oracle(z[:, [0, 1, 3]], z_hat))
        z[:, 2] = 0.1
        score = jax.jit(mcc)(z, z_hat)  # values are not known here: no warning
        assert float(score) == pytest.approx(3 / 4 * expected, abs=1e-6)

    def test_none_left(self):
        with pytest.warns(UserWarning, match=r"columns \[0, 1, 2, 3\]"):
            assert float(mcc(np.ones((400, 4)), np.eye(400, 4))) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_seed_axis_jit_and_vmap_equal_a_loop(rng, kind):
    z = jnp.asarray(rng.normal(size=(400, 4)), jnp.float32)
    z_hat = jnp.asarray(rng.normal(size=(3, 400, 4)), jnp.float32)

    def score(z_hat):
        return mcc(z, z_hat, kind=kind)

    loop = [float(score(c)) for c in z_hat]
    assert len(set(loop)) == 3
    np.testing.assert_allclose(score(z_hat), loop, atol=1e-6)
    mapped = jax.jit(jax.vmap(score))
    np.testing.assert_allclose(mapped(z_hat), loop, atol=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcc(GOOD[0], GOOD), r"z has shape \(2,\); it must be \[n, d\]"),
        (
            lambda: mcc(GOOD, GOOD[:, 0]),
            r"codes has shape \(10,\); it must be \[n, k\]",
        ),
        (lambda: mcc(GOOD, GOOD[None, None]), r"codes has shape \(1, 1, 10, 2\)"),
        (lambda: mcc(GOOD, GOOD[:9]), "codes has 9 rows and z has 10"),
        (
            lambda: mcc(GOOD, GOOD, kind="kendall"),
            "kind must be one of 'pearson', 'spearman', got 'kendall'",
        ),
        (
            lambda: mcc(GOOD / [0, 1], GOOD),
            r"z is NaN or infinite at z\[0, 0\], .* and 5 more",
        ),
        (lambda: assign(GOOD[0]), r"matrix has shape \(2,\)"),
        (lambda: standardise(GOOD[0]), r"x has shape \(2,\); it must be \[n, k\]"),
        (lambda: dead(GOOD[0]), r"codes has shape \(2,\)"),
        (lambda: udr(GOOD), r"codes has shape \(10, 2\); it must be \[s, n, k\]"),
        (lambda: agreement(GOOD), r"codes has shape \(10, 2\); it must be \[s, n, k\]"),
        (lambda: udr(GOOD[None]), "codes holds 1 seed; .* at least 2"),
        (lambda: udr(GOOD[None], kind="pearson"), "kind must be one of .* 'pearson'"),
        (lambda: jax.jit(mcc)(GOOD, GOOD[:9]), "codes has 9 rows and z has 10"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_relative_strength_of_golden_matrices():
    jitted = jax.jit(relative_strength)

    def strength(matrix):
        return float(jitted(jnp.asarray(matrix, jnp.float32)))

    assert strength(np.eye(3)) == 1
    # Columns: 1/2, 1/2, 1 from max^2 / sum, mean 2/3; the same for rows.
    pair = [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert strength(pair) == pytest.approx(2 / 3)
    assert strength(np.ones((3, 3))) == pytest.approx(1 / 3)
    assert strength(np.zeros((3, 3))) == 0
    # [[1, 1]]: columns 1 and 1, the row 1 / 2.
    assert strength([[1, 1]]) == pytest.approx(3 / 4)


def strength_oracle(relation):
    def share(vector):
        return vector.max() ** 2 / vector.sum() if vector.sum() > 0 else 0.0

    columns, rows = map(share, relation.T), map(share, relation)
    return (np.mean(list(columns)) + np.mean(list(rows))) / 2


def lasso_oracle(a, b):
    a, b = ((c - c.mean(0)) / c.std(0) for c in (a, b))
    fits = [
        Lasso(alpha=0.1, tol=1e-8, max_iter=100_000).fit(a, column).coef_
        for column in b.T
    ]
    return strength_oracle(np.abs(fits).T)


PAIR_ORACLES = {
    "mcc": lambda a, b: matched_oracle(pearson_oracle(a, b)),
    "lasso": lasso_oracle,
    "spearman": lambda a, b: strength_oracle(spearman_oracle(a, b)),
}


@pytest.mark.parametrize("kind", PAIR_ORACLES)
def test_udr_matches_sklearn_and_scipy(rng, kind):
    mixing = np.eye(10) + 0.4 * rng.normal(size=(5, 10, 10))
    z_hat = rng.normal(size=(1000, 10)) @ mixing
    pairs = itertools.permutations(z_hat, 2)
    scores = [PAIR_ORACLES[kind](a, b) for a, b in pairs]
    assert np.ptp(scores) > 0.01
    matrix = np.asarray(agreement(z_hat, kind=kind))
    apart = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(matrix[apart], scores, atol=1e-4)
    assert float(udr(z_hat, kind=kind)) == pytest.approx(np.median(scores), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "same", "rotated", "noise"),
    [
        ("mcc", (0.99999, 1), (0.53, 0.64), (0.045, 0.065)),
        # One coefficient each: the correlation 1 shrunk by alpha.
        ("lasso", (0.8995, 0.9005), (0.12, 0.19), (0, 1e-6)),
        ("spearman", (0.79, 0.84), (0.11, 0.17), (0.01, 0.02)),
    ],
)
def test_udr_of_agreeing_rotated_and_useless_seeds(rng, kind, same, rotated, noise):
    u = rng.normal(size=(1000, 10))
    orders = np.stack([rng.permutation(10) for _ in range(5)])
    signs = rng.choice([-1, 1], (5, 1, 10))
    rotations = np.linalg.qr(rng.normal(size=(5, 10, 10)))[0]
    agreeing = np.moveaxis(u[:, orders], 1, 0) * signs
    assert same[0] <= float(udr(agreeing, kind=kind)) <= same[1]
    assert rotated[0] <= float(udr(u @ rotations, kind=kind)) <= rotated[1]
    useless = rng.normal(size=(5, 1000, 10))
    assert noise[0] <= float(udr(useless, kind=kind)) <= noise[1]


def test_udr_of_codes_that_are_almost_alike(rng):
    # Plain FISTA is far from the lasso's solution after 300 steps: .178, not .239.
    common = np.sqrt(0.99) * rng.normal(size=(1000, 1))
    z = common + 0.1 * rng.normal(size=(1000, 10))
    z_hat = z @ (np.eye(10) + 0.3 * rng.normal(size=(5, 10, 10)))
    pairs = itertools.permutations(z_hat, 2)
    expected = np.median([lasso_oracle(a, b) for a, b in pairs])
    assert float(udr(z_hat, kind="lasso")) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("kind", PAIR_ORACLES)
def test_udr_of_failed_and_dead_seeds(rng, kind):
    z_hat = rng.normal(size=(5, 1000, 10))
    assert float(udr(np.ones((5, 1000, 10)), kind=kind)) == 0
    z_hat[2, 7, 1] = np.nan
    with pytest.raises(ValueError, match=r"codes is NaN or infinite in seeds \[2\]"):
        udr(z_hat, kind=kind)
    left = float(udr(np.delete(z_hat, 2, 0), kind=kind))
    found = float(udr(z_hat, kind=kind, failed="nan"))
    assert found == pytest.approx(left, abs=1e-6)


def test_agreement_with_a_failed_seed_and_of_a_seed_with_itself(rng):
    z_hat = rng.normal(size=(3, 1000, 4))
    z_hat[0, :, 3] = 0.5  # dead: it has no counterpart
    z_hat[2, 7, 1] = np.nan
    matrix = np.asarray(agreement(z_hat, failed="nan"))
    np.testing.assert_allclose(np.diag(matrix)[:2], [0.75, 1.0], atol=1e-6)
    assert np.isnan(matrix[2]).all()
    assert np.isnan(matrix[:, 2]).all()
    np.testing.assert_allclose(matrix[0, 1], matrix[1, 0], rtol=1e-6)
    assert agreement(z_hat[:1]).shape == (1, 1)


def test_udr_within_jit(rng):
    z_hat = rng.normal(size=(5, 1000, 10))
    assert float(jax.jit(udr)(z_hat)) == pytest.approx(float(udr(z_hat)), abs=1e-6)


# Constant columns are warned of before the rows are found to be too few.
IN_A_PROCESS_OF_ITS_OWN = """
import sys, warnings
from jaxdis import metrics
heavy = {'sklearn', 'matplotlib', 'distrax', 'tensorflow'} & set(sys.modules)
assert not heavy, heavy
import numpy as np
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter('always')
    try:
        metrics.dci_linear(np.ones((3, 1)), np.ones((3, 1)))
    except ValueError:
        pass
assert [w.filename for w in seen] == ['<string>'] * 2, seen
"""


def test_import_is_light_and_a_warning_names_the_caller():
    command = [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_agreement_with_others_is_a_part_of_that_of_all(unchecked):
    z = np.random.default_rng(0).normal(size=(5, 60, 3)).astype(np.float32)
    whole = np.asarray(agreement(z))
    np.testing.assert_allclose(agreement(z[:2], to=z[3:]), whole[:2, 3:], rtol=1e-6)
    with pytest.raises(ValueError, match="to has shape"):
        agreement(z, to=z[:, :30])


def fitted(z, codes, fit):
    """Least squares of the factors on the codes of some rows, by scipy's lstsq."""
    ones = np.ones((len(z), 1))
    found = lstsq(np.hstack([codes, ones])[fit], z[fit])[0]
    return np.hstack([codes, ones]) @ found


class TestWeak:
    def draw(self, rng, k):
        z = rng.normal(size=(500, 4))
        return z, z @ rng.normal(size=(4, k)) + 0.5 * rng.normal(size=(500, k))

    @pytest.mark.parametrize("k", [2, 4, 7])
    @pytest.mark.parametrize("kind", KINDS)
    def test_linear_is_mcc_of_fitted_codes(self, rng, kind, k):
        z, codes = self.draw(rng, k)
        expected = matched_oracle(ORACLES[kind](z, fitted(z, codes, slice(None))))
        score = float(mcc(z, codes, kind=kind, weak="linear"))
        assert score == pytest.approx(expected, abs=1e-6)
        if k == 7 and kind == "pearson":
            assert score == pytest.approx(float(r(z, codes)), abs=1e-6)

    @pytest.mark.parametrize("weak", [None, "linear"])
    def test_out_of_sample(self, rng, weak):
        z, codes = self.draw(rng, 5)
        fit, judge = halves(7, len(z))
        seen = codes if weak is None else fitted(z, codes, fit)
        rows, columns = linear_sum_assignment(
            pearson_oracle(z[fit], seen[fit]), maximize=True
        )
        expected = pearson_oracle(z[judge], seen[judge])[rows, columns].mean()
        options = {"weak": weak, "held_out": True, "key": 7}
        assert float(mcc(z, codes, **options)) == pytest.approx(expected, abs=1e-6)
        jitted = jax.jit(lambda z, c: mcc(z, c, **options))
        assert float(jitted(z, codes)) == pytest.approx(expected, abs=1e-5)
        assert float(mcc(z, codes, **options | {"key": 8})) != expected

    def test_out_of_sample_takes_the_flattery_away(self, rng):
        z, useless = rng.normal(size=(2, 60, 8))
        assert float(mcc(z, useless)) > 0.16
        assert float(mcc(z, useless, held_out=True)) < 0.16

    def test_cca_is_that_of_its_definition(self, rng):
        z, codes = self.draw(rng, 3)
        fit, judge = halves(None, len(z))
        sides = [x - x[fit].mean(0) for x in (z, codes)]
        # Orthonormal bases of both sides, and the singular vectors of their product.
        bases = [np.linalg.qr(x[fit]) for x in sides]
        left, _, right = np.linalg.svd(bases[0].Q.T @ bases[1].Q)
        maps = [
            np.linalg.solve(b.R, v) for b, v in zip(bases, (left, right.T), strict=True)
        ]
        pair = [(x @ m)[judge, :3] for x, m in zip(sides, maps, strict=True)]
        # Three canonical variables of the codes for four factors.
        expected = matched_oracle(pearson_oracle(*pair)) * 3 / 4
        assert float(mcc(z, codes, weak="cca")) == pytest.approx(expected, abs=1e-6)

    def test_cca_of_perfect_useless_duplicated_and_many_codes(self, rng):
        z = rng.normal(size=(2000, 4))
        turned = z @ rng.normal(size=(4, 4))
        for codes in (turned, np.hstack([turned, turned]), turned * 1e-30):
            assert float(mcc(z, codes, weak="cca")) == pytest.approx(1, abs=1e-6)
        assert float(mcc(z, rng.normal(size=(2000, 4)), weak="cca")) < 0.1
        many = rng.normal(size=(2000, 25))
        assert float(mcc(many, many, weak="cca")) == pytest.approx(1, abs=1e-6)
        with pytest.warns(UserWarning, match="codes is constant"):
            assert float(mcc(z, np.ones((2000, 4)), weak="cca")) == 0

    @pytest.mark.parametrize("weak", ["linear", "cca"])
    def test_rotations_do_not_matter_and_failed_seeds_are_nan(self, rng, weak):
        z, codes = self.draw(rng, 4)
        turned = codes @ rng.normal(size=(4, 4))
        broken = codes.copy()
        broken[3, 1] = np.nan
        seeds = np.stack([codes, turned, broken])
        found = np.asarray(mcc(z, seeds, weak=weak, failed="nan"))
        assert found[0] == pytest.approx(float(mcc(z, codes, weak=weak)), abs=1e-6)
        assert found[1] == pytest.approx(found[0], abs=1e-6)
        assert np.isnan(found[2])

    @pytest.mark.usefixtures("unchecked")
    def test_wrong_words_are_refused(self, rng):
        z, codes = self.draw(rng, 4)
        with pytest.raises(ValueError, match="weak must be one of 'linear', 'cca'"):
            mcc(z, codes, weak="pls")
        with pytest.raises(ValueError, match="'cca' is computed on the host"):
            jax.jit(lambda c: mcc(z, c, weak="cca"))(codes)
        with (
            pytest.raises(ValueError, match="z has 3 rows; at least 4"),
            pytest.warns(),
        ):
            mcc(z[:3], codes[:3], held_out=True)


@pytest.mark.parametrize("kind", KINDS)
def test_factors_of_each_seed(rng, kind):
    z = rng.normal(size=(3, 200, 4)).astype(np.float32)
    codes = z + rng.normal(size=z.shape).astype(np.float32)
    alone = [float(mcc(*pair, kind=kind)) for pair in zip(z, codes, strict=True)]
    np.testing.assert_allclose(mcc(z, codes, kind=kind), alone, atol=1e-6)
    jitted = jax.jit(lambda z, c: mcc(z, c, kind=kind))
    np.testing.assert_allclose(jitted(z, codes), alone, atol=1e-6)


def test_large_tables_are_correlated_in_single_precision(rng, monkeypatch):
    z = rng.normal(size=(100, 30)) + 1e6
    codes = np.hstack([z, rng.normal(size=(100, 1000))])
    monkeypatch.setattr(moments, "LARGE", 1)
    with pytest.warns(UserWarning, match="100 samples of 30 factors and 1030 codes"):
        found = np.asarray(correlation_matrix(z, codes))
    np.testing.assert_allclose(found, pearson_oracle(z, codes), atol=1e-5)
