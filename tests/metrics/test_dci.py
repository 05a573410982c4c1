import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.linear_model import Lasso, LinearRegression

from jaxdis.metrics import dci, dci_from_importance, dci_linear
from jaxdis.metrics.inputs import halves
from tests.metrics.oracles import dci_oracle

HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def in_order(x):
    """Rows as they are split: those to fit on in front."""
    return x[np.concatenate(halves(None, len(x)))]


def linear_oracle(z, z_hat):
    """Importances and held-out R2 by lstsq in float64, with an intercept."""
    z, codes = ((in_order(x) - x.mean(0)) / x.std(0) for x in (z, z_hat))
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
            close(result, *dci_oracle(importance), r2, importance, atol=1e-5)

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
        assert float(result.informativeness) == pytest.approx(-2 * k / n, rel=0.6)

    def test_duplicated(self, rng):
        # Each factor needs its two codes alike: C = 1 - log_8 2 = 2/3 of 8 codes.
        z = rng.normal(size=(N, D))
        result = dci_linear(z, np.hstack([z, z]))
        importance = np.vstack([np.eye(D), np.eye(D)]) / 2
        close(result, 1, 2 / 3, 1, importance, atol=1e-6)

    def test_rotated(self, rng):
        # Every code serves all factors alike, every factor needs all codes alike: C is
        # 1 - log_8 4 of 8 codes, four of them dead.
        white = np.linalg.qr(rng.normal(size=(N // 2, D + 1)))[0]
        white -= white.mean(0)
        white = np.linalg.qr(white)[0][:, :D]
        z = np.empty((N, D))
        for rows in halves(None, N):
            z[rows] = white
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
        first, second = z[halves(None, 1000)[0]], z[halves(None, 1000)[1]]
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
        late = rng.normal(size=N)
        late[halves(None, N)[0]] = 0.3
        result = dci_linear(z, padded(np.column_stack([z, late])))
        close(result, 1, 1, 1, np.eye(K, D), atol=1e-4)

    def test_a_factor_that_moves_in_the_first_half_alone(self, rng):
        z = rng.normal(size=(N, D))
        z[halves(None, N)[1], 1] = 0.0
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


GOOD = np.arange(20.0).reshape(10, 2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("score", [dci, dci_linear])
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


def classes(rng, n=1200, sizes=(10, 8, 4, 2)):
    z = np.stack([rng.integers(0, k, n) for k in sizes], 1)
    return z, (z - z.mean(0)) / z.std(0)


def numbers_of(result):
    return [float(x) for x in result[:3]]


class TestLasso:
    @pytest.mark.parametrize("alpha", [0.02, 0.2])
    def test_matches_sklearn(self, rng, alpha):
        z = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)) + 2
        codes = z @ rng.normal(size=(3, 6)) + rng.normal(size=(400, 6))
        result = dci(z, codes, "lasso", alpha=alpha, discrete=False)
        z, codes = ((in_order(x) - x.mean(0)) / x.std(0) for x in (z, codes))
        fit = Lasso(alpha=alpha, tol=1e-12, max_iter=10**6).fit(codes[:200], z[:200])
        importance, r2 = np.abs(fit.coef_.T), fit.score(codes[200:], z[200:])
        assert (importance == 0).any()
        close(result, *dci_oracle(importance), r2, importance, 1e-6)

    def test_equal_codes_share(self, rng):
        z, u = classes(rng)
        result = dci(z, np.hstack([u, -u]), "lasso")
        expected = 1 - np.log(2) / np.log(8)
        assert numbers_of(result) == pytest.approx([1, expected, 1], abs=0.01)


@pytest.mark.parametrize("probe", ["linear", "lasso"])
class TestBothLinearProbes:
    def test_the_trio(self, rng, probe):
        z, u = classes(rng, 5000)
        result = dci(z, -3 * u[:, ::-1] + 1, probe)
        assert numbers_of(result) == pytest.approx([1, 1, 1], abs=1e-3)
        useless = dci(z, rng.normal(size=u.shape), probe, null="permute")
        d, c, i = numbers_of(useless)
        assert d == c == 0
        chance = np.mean([1 / 10, 1 / 8, 1 / 4, 1 / 2])
        assert i == pytest.approx(chance, abs=0.03)
        same = dci(z, u, probe, null="permute")
        assert numbers_of(same) == pytest.approx([1, 1, 1], abs=1e-6)

    def test_hadamard_rotation(self, rng, probe):
        z, u = classes(rng, 5000, (10,) * 4)
        d, c, i = numbers_of(dci(z, u @ HADAMARD, probe))
        assert d <= 0.01
        assert c <= 0.01
        assert i == pytest.approx(1, abs=0.01)

    def test_each_column_by_its_kind(self, rng, probe):
        classes_of = rng.integers(0, 5, 600)
        z = np.column_stack([classes_of, rng.normal(size=600)])  # one float array
        codes = z + 0.5 * rng.normal(size=z.shape)
        both = dci(z, codes, probe, discrete=[True, False])
        number = dci(z, codes, probe, discrete=False)
        assert float(both.informativeness) != float(number.informativeness)
        np.testing.assert_array_equal(both.importance, number.importance)
        # By hand: the fits of one factor are in order, and so are its classes.
        fit, judge = halves(None, 600)
        z, codes = ((x - x.mean(0)) / x.std(0) for x in (z, codes))
        z, codes = z - z[fit].mean(0), codes - codes[fit].mean(0)
        models = {"lasso": Lasso(alpha=0.02, tol=1e-12), "linear": LinearRegression()}
        fits = models[probe].fit(codes[fit], z[fit]).predict(codes)
        means = [fits[fit][classes_of[fit] == v, 0].mean() for v in range(5)]
        nearest = np.abs(fits[judge, :1] - means).argmin(1)
        accuracy = (nearest == classes_of[judge]).mean()
        r2 = 1 - ((z - fits)[judge, 1] ** 2).mean() / z[judge, 1].var()
        expected = (accuracy + r2) / 2
        assert float(both.informativeness) == pytest.approx(expected, abs=1e-6)

    def test_order_of_a_grid_changes_nothing(self, rng, probe):
        grid = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1)
        z = np.repeat(grid.reshape(-1, 3), 3, 0)
        codes = z + 0.3 * rng.normal(size=z.shape)
        order = rng.permutation(len(z))
        sorted_rows, mixed = dci(z, codes, probe), dci(z[order], codes[order], probe)
        close(sorted_rows, *numbers_of(mixed), mixed.importance, atol=0.03)
        other = dci(z, codes, probe, key=1)
        assert numbers_of(other) != numbers_of(sorted_rows)

    def test_labels_that_are_missing(self, rng, probe):
        z, u = classes(rng)
        codes = u + 0.3 * rng.normal(size=u.shape)
        known = rng.random(z.shape) < 0.8
        some = np.where(known, z, np.nan)
        result = dci(some, codes, probe, mask=known)
        assert np.isfinite(numbers_of(result)).all()
        # A column alone is that of the rows that it has.
        for j in range(2):
            rows = known[:, j]
            alone = dci(z[rows, j : j + 1], codes[rows], probe)
            np.testing.assert_allclose(
                result.importance[:, j], alone.importance[:, 0], atol=0.06
            )
        everything = dci(z, codes, probe, mask=np.ones(len(z), bool))
        for new, old in zip(everything, dci(z, codes, probe), strict=True):
            np.testing.assert_array_equal(new, old)

    def test_within_jit(self, rng, probe):
        z, u = classes(rng, 400)
        codes = (u[None] + 0.5 * rng.normal(size=(2, 400, 4))).astype(np.float32)
        sizes = [10, 8, False, 2]

        def score(codes):
            return dci(z, codes, probe, discrete=sizes, null="permute")

        expected = score(codes)
        for new, old in zip(jax.jit(score)(codes), expected, strict=True):
            np.testing.assert_allclose(new, old, atol=1e-4)

    def test_factors_of_each_seed(self, rng, probe):
        z = rng.normal(size=(2, 300, 2))
        codes = z + rng.normal(size=z.shape)
        found = dci(z, codes, probe)
        for s in range(2):
            for new, old in zip(found, dci(z[s], codes[s], probe), strict=True):
                np.testing.assert_array_equal(new[s], old)


class TestNumbersAsTheyAre:
    def test_shift_scale_and_width(self, rng):
        z = rng.normal(size=(400, 3))
        codes = z + 0.1 * rng.normal(size=z.shape)
        expected = dci_linear(z, codes)
        for other in (codes * 1e-9, codes + 1e7, (codes * 3e9).astype(np.int64)):
            close(dci_linear(z, other), *numbers_of(expected), expected.importance)

    def test_exactly_dependent_codes_in_many_dimensions(self, rng):
        z = rng.normal(size=(500, 5))
        codes = np.hstack([z, z @ rng.normal(size=(5, 20))])
        importance, r2 = linear_oracle(z, codes)
        result = dci_linear(z, codes)
        close(result, *dci_oracle(importance), r2, importance, atol=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dci(GOOD, GOOD, "forest"), "probe must be one of 'gbt', .* 'forest'"),
        (lambda: dci(GOOD, GOOD, "lasso", alpha=0), "alpha must be positive, got 0"),
        (
            lambda: dci(GOOD, GOOD, null="shuffle"),
            "null must be one of None,",
        ),
        (
            lambda: dci(GOOD, GOOD, "linear", mask=np.arange(10) < 3),
            r"mask leaves 3 labels of z in columns \[0, 1\]; at least 4",
        ),
        (
            lambda: dci(GOOD, GOOD, "linear", mask=np.ones((9, 2), bool)),
            r"mask has shape \(9, 2\)",
        ),
        (
            lambda: dci(np.stack([GOOD] * 2), GOOD, "linear"),
            r"z has shape \(2, 10, 2\) and codes \(10, 2\)",
        ),
        (
            lambda: jax.jit(lambda c: dci(GOOD, c, discrete=False))(GOOD),
            "dci with probe='gbt' is computed on the host",
        ),
        (
            lambda: jax.jit(lambda z: dci(z, GOOD, "linear"))(GOOD),
            "within jit the values of z are not known",
        ),
    ],
)
def test_what_cannot_be_done_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
