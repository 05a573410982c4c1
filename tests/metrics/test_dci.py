import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from jaxdis.metrics import dci_from_importance, dci_linear, dci_trees

HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def dci_oracle(m):
    """D and C as disentanglement_lib computes them."""
    d = 1 - entropy(m.T + 1e-11, base=m.shape[1])
    c = 1 - entropy(m + 1e-11, base=m.shape[0])
    return (d * m.sum(1)).sum() / m.sum(), (c * m.sum(0)).sum() / m.sum()


def linear_oracle(z, z_hat):
    """Importances and held-out R2 by lstsq in float64, with an intercept."""
    z, codes = ((x - x.mean(0)) / x.std(0) for x in (z, z_hat))
    half = len(z) // 2
    z, codes = z - z[:half].mean(0), codes - codes[:half].mean(0)
    weights = np.linalg.lstsq(codes[:half], z[:half], rcond=1e-6)[0]
    rest = z[half:]
    r2 = 1 - ((rest - codes[half:] @ weights) ** 2).sum(0) / (len(rest) * rest.var(0))
    return np.abs(weights), r2.mean()


N, D, K = 1000, 4, 8  # most tests share one compilation


def padded(codes):
    """Codes beside dead ones, K in all."""
    return np.hstack([codes, np.full((N, K - codes.shape[1]), 0.3)])


def close(result, d, c, i, importance, atol=1e-5):
    assert float(result.disentanglement) == pytest.approx(d, abs=atol)
    assert float(result.completeness) == pytest.approx(c, abs=atol)
    assert float(result.informativeness) == pytest.approx(i, abs=atol)
    np.testing.assert_allclose(result.importance, importance, atol=atol)


class TestFromImportance:
    def test_by_hand(self):
        # Code 0 serves factor 0 alone, code 1 both alike: D = 1/3 (1 - 0) + 2/3 (0).
        # Factor 0 needs both codes alike (C_0 = 0, weight 2/3), factor 1 needs code 1.
        d, c = dci_from_importance(jnp.array([[2.0, 0.0], [2.0, 2.0]]))
        assert float(d) == pytest.approx(1 / 3, abs=1e-6)
        assert float(c) == pytest.approx(1 / 3, abs=1e-6)
        # Rows and columns are not alike: D = 1, C = 1/3 (1 - 0) + 2/3 (1 - log_3 2).
        d, c = dci_from_importance(np.array([[1, 0], [1, 0], [0, 1]]))
        assert float(d) == pytest.approx(1, abs=1e-6)
        assert float(c) == pytest.approx(1 / 3 + 2 / 3 * (1 - np.log(2) / np.log(3)))

    @pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
    def test_matches_scipy(self, rng, shape):
        matrices = rng.exponential(size=(6, *shape)) ** 3
        matrices[3:, 1] = 0  # a dead code
        matrices[4:, :, 2] = 0  # a factor that no code needs
        found = np.stack(dci_from_importance(matrices), 1)
        expected = [dci_oracle(m) for m in matrices]
        np.testing.assert_allclose(found, expected, atol=2e-6)
        alone = dci_from_importance(matrices[4])
        np.testing.assert_allclose(alone, found[4], atol=1e-6)

    def test_no_importance(self):
        for shape in [(3, 2), (1, 2), (3, 1), (1, 1)]:
            np.testing.assert_array_equal(dci_from_importance(np.zeros(shape)), 0)

    def test_one_factor_or_one_code(self):
        # A single column cannot be shared out, so D = 1, and C is that of the column.
        d, c = dci_from_importance(np.array([[3.0], [3.0], [0.0]]))
        assert float(d) == 1
        assert float(c) == pytest.approx(1 - np.log(2) / np.log(3), abs=1e-6)
        d, c = dci_from_importance(np.array([[3.0, 3.0, 0.0]]))
        assert float(c) == 1
        assert float(d) == pytest.approx(1 - np.log(2) / np.log(3), abs=1e-6)

    def test_nan(self):
        matrices = np.stack([np.eye(3)] * 3)
        matrices[1, 0, 2] = np.nan
        d, c = np.asarray(dci_from_importance(matrices))
        np.testing.assert_allclose(d, [1, np.nan, 1], atol=1e-6)
        np.testing.assert_allclose(c, [1, np.nan, 1], atol=1e-6)

    @pytest.mark.usefixtures("unchecked")
    def test_wrong_shape(self):
        with pytest.raises(ValueError, match=r"importance has shape \(3,\)"):
            dci_from_importance(np.ones(3))


dead_codes = pytest.mark.filterwarnings("ignore:codes is constant")


@dead_codes
class TestLinear:
    @pytest.mark.parametrize("k", [2, 4, 7])
    def test_matches_lstsq_and_scipy(self, rng, k):
        z = rng.normal(size=(401, 4)) * 3 + 1
        z_hat = z @ rng.normal(size=(4, k)) + rng.normal(size=(401, k)) + 5
        z_hat[200:] += 0.5 * rng.normal(size=k)  # the halves differ
        importance, r2 = linear_oracle(z, z_hat)
        close(dci_linear(z, z_hat), *dci_oracle(importance), r2, importance)

    def test_collinear_codes_share_by_least_norm(self, rng):
        z = rng.normal(size=(N, D))
        for z_hat in (z @ rng.normal(size=(D, K)), np.hstack([z @ HADAMARD, z])):
            z_hat = z_hat.astype(np.float32)
            importance, r2 = linear_oracle(z, z_hat.astype(float))
            result = dci_linear(z, z_hat)
            close(result, *dci_oracle(importance), r2, importance, atol=2e-3)

    def test_nearly_collinear_codes_do_not_share(self, rng):
        z = rng.normal(size=(N, D))
        z_hat = np.hstack([z, z + 0.05 * rng.normal(size=z.shape)])
        result = dci_linear(z, z_hat)
        close(result, 1, 1, 1, np.eye(K, D), atol=1e-3)

    def test_perfect(self, rng):
        z = rng.normal(size=(N, D))
        order = [2, 0, 3, 1]
        z_hat = padded((z * rng.choice([-9, 0.1], D) + 5)[:, order])
        importance = np.vstack([np.eye(D)[order], np.zeros((K - D, D))])
        close(dci_linear(z, z_hat), 1, 1, 1, importance, atol=1e-4)

    def test_useless(self, rng):
        n, k = 2000, 10
        z, z_hat = rng.normal(size=(n, 20)), rng.normal(size=(n, k))
        result = dci_linear(z, z_hat)
        # Half-normal x: H = log d + log E x - E[x log x] / E x = log d - .284.
        found = result.disentanglement, result.completeness
        hand = 0.284 / np.log(20), 0.284 / np.log(10)
        np.testing.assert_allclose(found, hand, atol=0.03)
        # The k coefficients err by 1 / sqrt(n / 2) each, on rows they did not see.
        assert float(result.informativeness) == pytest.approx(-2 * k / n, rel=0.4)

    def test_duplicated(self, rng):
        # Each factor needs its two codes alike: C = 1 - log_8 2 = 2/3 of 8 codes.
        z = rng.normal(size=(N, D))
        result = dci_linear(z, np.hstack([z, z]))
        importance = np.vstack([np.eye(D), np.eye(D)]) / 2
        close(result, 1, 2 / 3, 1, importance, atol=5e-4)

    def test_rotated(self, rng):
        # Every code serves all factors alike, every factor needs all codes alike: C is
        # 1 - log_8 4 of 8 codes, four of them dead.
        white = np.linalg.qr(rng.normal(size=(N // 2, D + 1)))[0]
        white -= white.mean(0)
        white = np.linalg.qr(white)[0][:, :D]
        z = np.vstack([white, white])
        importance = np.vstack([np.full((D, D), 0.5), np.zeros((K - D, D))])
        result = dci_linear(z, padded(z @ HADAMARD))
        close(result, 0, 1 / 3, 1, importance, atol=1e-4)

    def test_even_functions_are_not_seen(self, rng):
        z = rng.normal(size=(N, D))
        assert float(dci_linear(z, padded(z**2)).informativeness) < 0.01


@dead_codes
class TestLinearEdges:
    def test_one_factor_and_one_code(self, rng):
        z = rng.normal(size=(1000, 1))
        close(dci_linear(z, -z), 1, 1, 1, [[1]], atol=1e-4)
        first, second = z[:500], z[500:]
        r2_of_the_mean = -((second.mean() - first.mean()) ** 2) / second.var()
        assert r2_of_the_mean < -1e-3
        nothing = dci_linear(z, np.ones((1000, 1)))
        close(nothing, 0, 0, r2_of_the_mean, [[0]], atol=1e-6)
        two = np.hstack([z, rng.normal(size=(1000, 1))])
        importance, r2 = linear_oracle(two, z)
        close(dci_linear(two, z), *dci_oracle_one_code(importance), r2, importance)

    def test_dead_codes_have_no_importance(self, rng):
        z = rng.normal(size=(N, D))
        z_hat = z + rng.normal(size=z.shape)
        importance, r2 = linear_oracle(z, z_hat)
        found = dci_linear(z, np.hstack([np.full((N, K - D), 100.1), z_hat]))
        np.testing.assert_array_equal(found.importance[: K - D], 0)
        np.testing.assert_allclose(found.importance[K - D :], importance, atol=1e-5)
        d = pytest.approx(dci_oracle(importance)[0], abs=1e-5)
        assert float(found.disentanglement) == d
        assert float(found.informativeness) == pytest.approx(r2, abs=1e-5)

    def test_a_code_that_moves_in_the_second_half_alone(self, rng):
        z = rng.normal(size=(N, D))
        late = np.where(np.arange(N) < N // 2, 0.3, rng.normal(size=N))
        result = dci_linear(z, padded(np.column_stack([z, late])))
        close(result, 1, 1, 1, np.eye(K, D), atol=1e-4)

    def test_a_factor_that_moves_in_the_first_half_alone(self, rng):
        z = rng.normal(size=(N, D))
        z[N // 2 :, 1] = 0.0
        result = dci_linear(z, padded(z))
        assert float(result.informativeness) == pytest.approx(0.75, abs=1e-4)

    def test_a_constant_factor_is_named_in_a_warning(self, rng):
        z = rng.normal(size=(N, D))
        z_hat = z @ rng.normal(size=(D, K)) + rng.normal(size=(N, K))
        importance, r2 = linear_oracle(z[:, :3], z_hat)
        z[:, 3] = 0.1
        with pytest.warns(UserWarning, match=r"z is constant in columns \[3\]"):
            found = dci_linear(z, z_hat)
        np.testing.assert_array_equal(found.importance[:, 3], 0)
        assert float(found.informativeness) == pytest.approx(r2 * 3 / 4, abs=1e-5)
        c = pytest.approx(dci_oracle(importance)[1], abs=1e-5)
        assert float(found.completeness) == c

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_failed_run_is_nan_and_its_neighbours_stand(self, rng, value):
        z = rng.normal(size=(N, D))
        z_hat = np.tile(z, 2)[None] + rng.normal(size=(3, N, K))
        expected = dci_linear(z, z_hat)
        for row in (5, N - 5):  # in either half
            failed = z_hat.copy()
            failed[1, row, 2] = value
            found = dci_linear(z, failed, failed="nan")
            for new, old in zip(found, expected, strict=True):
                assert np.isfinite(old).all()
                assert np.isnan(new[1]).all()
                np.testing.assert_array_equal(new[::2], old[::2])

    def test_seed_axis_jit_and_vmap_equal_a_loop(self, rng):
        z = jnp.asarray(rng.normal(size=(N, D)), jnp.float32)
        z_hat = jnp.asarray(rng.normal(size=(3, N, K)), jnp.float32)
        z_hat = z_hat.at[..., :D].add(z)
        loop = [dci_linear(z, c) for c in z_hat]
        assert len({float(x.disentanglement) for x in loop}) == 3
        expected = jax.tree.map(lambda *leaves: np.stack(leaves), *loop)
        mapped = jax.jit(jax.vmap(dci_linear, (None, 0)))
        for found in (dci_linear(z, z_hat), mapped(z, z_hat)):
            assert found.importance.shape == (3, K, D)
            for new, old in zip(found, expected, strict=True):
                np.testing.assert_allclose(new, old, atol=1e-6)


def dci_oracle_one_code(m):
    """With one code, its entropy to the base 1 counts 0: C = 1."""
    return 1 - entropy(m[0] + 1e-11, base=m.shape[1]), 1


class TestTrees:
    @pytest.mark.parametrize("kind", ["integers", "floats"])
    def test_matches_sklearn_and_the_formulas(self, rng, kind):
        z = rng.integers(0, 2, (120, 2)) + (0 if kind == "integers" else 0.0)
        z_hat = z @ rng.normal(size=(2, 3)) + 0.3 * rng.normal(size=(120, 3))
        model = {
            "integers": GradientBoostingClassifier,
            "floats": GradientBoostingRegressor,
        }[kind]
        fits = [model(random_state=0).fit(z_hat[:80], f[:80]) for f in z.T]
        importance = np.stack([f.feature_importances_ for f in fits], 1)
        score = np.mean(
            [m.score(z_hat[80:], f[80:]) for m, f in zip(fits, z.T, strict=True)]
        )
        assert 0.3 < score < 0.99
        result = dci_trees(z, z_hat)
        close(result, *dci_oracle(importance), score, importance, atol=1e-6)
        np.testing.assert_allclose(result.importance.sum(0), 1, atol=1e-6)

    def test_perfect_and_useless(self, rng):
        z = rng.integers(0, 2, (150, 2))
        close(dci_trees(z, -z[:, ::-1]), 1, 1, 1, np.eye(2)[::-1], atol=1e-6)
        useless = dci_trees(z, rng.normal(size=(150, 2)))
        assert float(useless.disentanglement) < 0.1
        assert float(useless.completeness) < 0.1
        assert float(useless.informativeness) == pytest.approx(1 / 2, abs=0.12)

    def test_sees_even_functions(self, rng):
        z = rng.normal(size=(200, 2))
        z_hat = np.abs(z) + 0.01 * rng.normal(size=z.shape)
        even = np.abs(z) > 0.7
        assert float(dci_trees(even, z_hat).informativeness) > 0.9
        assert float(dci_trees(z_hat, z).informativeness) > 0.9

    def test_classes_that_the_training_rows_lack(self, rng):
        z = rng.integers(0, 2, (90, 2))
        z[:, 1] = np.arange(90) >= 80  # all 0 in training, 20 of 30 in test
        result = dci_trees(z, z)
        np.testing.assert_array_equal(result.importance, [[1, 0], [0, 0]])
        assert float(result.informativeness) == pytest.approx((1 + 2 / 3) / 2)

    def test_a_constant_factor_is_named_in_a_warning(self, rng):
        z = rng.integers(0, 2, (90, 2))
        z_hat = z + rng.normal(size=z.shape)
        expected = dci_trees(z[:, :1], z_hat).informativeness
        assert float(expected) < 1
        z[:, 1] = 3
        with pytest.warns(UserWarning, match=r"z is constant in columns \[1\]"):
            found = dci_trees(z, z_hat)
        assert float(found.informativeness) == pytest.approx((float(expected) + 1) / 2)
        np.testing.assert_array_equal(found.importance[:, 1], 0)

    def test_seed_axis_and_failed_runs(self, rng):
        z = rng.integers(0, 2, (90, 2))
        z_hat = z[None] + rng.normal(size=(3, 90, 2))
        z_hat[1, 4, 0] = np.nan
        found = dci_trees(z, z_hat, failed="nan")
        assert found.importance.shape == (3, 2, 2)
        for leaf in found:
            assert np.isnan(leaf[1]).all()
        for s in (0, 2):
            for new, old in zip(found, dci_trees(z, z_hat[s]), strict=True):
                assert np.isfinite(old).all()
                np.testing.assert_array_equal(new[s], old)

    def test_ties_are_settled_by_the_seed(self, rng):
        z = rng.normal(size=(90, 1))
        z_hat = np.hstack([z, z])
        first = dci_trees(z, z_hat, seed=1).importance
        np.testing.assert_array_equal(dci_trees(z, z_hat, seed=1).importance, first)
        assert np.abs(dci_trees(z, z_hat, seed=2).importance - first).max() > 1e-3


GOOD = np.arange(20.0).reshape(10, 2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("score", [dci_linear, dci_trees])
@pytest.mark.parametrize(
    ("z", "z_hat", "message"),
    [
        (GOOD[0], GOOD, r"z has shape \(2,\)"),
        (GOOD, GOOD[0], r"codes has shape \(2,\)"),
        (GOOD, GOOD[:9], "codes has 9 rows and z has 10"),
        (GOOD[:3], GOOD[:3], "z has 3 rows; at least 4 are needed"),
        (
            np.full((10, 2), np.nan),
            GOOD,
            r"z is NaN or infinite at z\[0, 0\], z\[0, 1\]",
        ),
        (GOOD, np.full((10, 2), np.inf), r"codes is NaN or infinite at codes\[0, 0\]"),
    ],
)
def test_wrong_arguments_are_refused(score, z, z_hat, message):
    with pytest.raises(ValueError, match=message):
        score(z, z_hat)
