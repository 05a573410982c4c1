import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from jaxdis.metrics import sap, sap_matrix
from jaxdis.metrics.inputs import halves

HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def classes(rng, n, sizes):
    z = np.stack([rng.integers(0, k, n) for k in sizes], 1)
    return z, (z - z.mean(0)) / z.std(0)


def gap(matrix):
    best = np.sort(matrix, 0)
    return (best[-1] - best[-2]).mean()


class TestContinuous:
    def test_matches_numpy(self, rng):
        z = rng.normal(size=(300, 3))
        codes = z @ rng.normal(size=(3, 5)) + rng.normal(size=(300, 5)) + 7
        expected = np.corrcoef(codes, z, rowvar=False)[:5, 5:] ** 2
        np.testing.assert_allclose(sap_matrix(z, codes), expected, atol=1e-6)
        assert float(sap(z, codes)) == pytest.approx(gap(expected), abs=1e-6)

    def test_the_trio(self, rng):
        z, u = classes(rng, 5000, (10, 8, 4, 15))
        assert float(sap(z, -2 * u[:, ::-1] + 1)) >= 0.99
        assert float(sap(z, np.hstack([u, u]))) <= 1e-6
        assert float(sap(z, rng.normal(size=u.shape))) <= 0.005
        z, u = classes(rng, 5000, (10,) * 4)
        assert float(sap(z, u @ HADAMARD)) <= 0.02

    def test_invariances(self, rng):
        z = rng.normal(size=(300, 3))
        codes = z + rng.normal(size=z.shape)
        score = float(sap(z, codes))
        assert 0.05 < score < 0.9
        for other in (codes[:, [2, 0, 1]], codes * [-1, 5, 1e-9], codes + 1e7):
            assert float(sap(z, other)) == pytest.approx(score, abs=1e-6)

    def test_one_code_has_no_next_one(self, rng):
        z = rng.normal(size=(300, 2))
        expected = np.corrcoef(z[:, 0], z[:, 1])[0, 1] ** 2
        assert float(sap(z, z[:, :1])) == pytest.approx((1 + expected) / 2, abs=1e-6)

    def test_missing_labels(self, rng):
        z = rng.normal(size=(300, 2))
        codes = z @ rng.normal(size=(2, 3)) + rng.normal(size=(300, 3))
        known = rng.random(z.shape) < 0.6
        found = sap_matrix(np.where(known, z, np.nan), codes, mask=known)
        for j, rows in enumerate(known.T):
            alone = np.corrcoef(codes[rows], z[rows, j], rowvar=False)[:3, 3] ** 2
            np.testing.assert_allclose(found[:, j], alone, atol=1e-6)

    def test_seeds_jit_and_failed_ones(self, rng):
        z = jnp.float32(rng.normal(size=(200, 2)))
        codes = np.asarray(z)[None] + rng.normal(size=(3, 200, 2)).astype(np.float32)
        loop = [float(sap(z, c)) for c in codes]
        assert len(set(loop)) == 3
        np.testing.assert_allclose(sap(z, codes), loop, atol=1e-6)
        own = sap(np.stack([z] * 3), codes)
        np.testing.assert_allclose(own, loop, atol=1e-6)
        mapped = jax.jit(jax.vmap(lambda c: sap(z, c)))
        np.testing.assert_allclose(mapped(codes), loop, atol=1e-6)
        codes[1, 0, 0] = np.nan
        found = np.asarray(sap(z, codes, failed="nan"))
        np.testing.assert_allclose(found, [loop[0], np.nan, loop[2]], atol=1e-6)


def of_each_code(model, codes, factor):
    fit, judge = halves(None, len(codes), 2 / 3)
    return [
        model.fit(c[fit, None], factor[fit]).score(c[judge, None], factor[judge])
        for c in codes.T
    ]


class TestProbes:
    def test_mixed_factors_match_sklearn(self, rng):
        z = np.column_stack([rng.integers(0, 3, 300), rng.normal(size=300)])
        codes = z @ rng.normal(size=(2, 3)) + 0.3 * rng.normal(size=(300, 3))
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        first = of_each_code(machine, codes, z[:, 0])
        second = np.corrcoef(codes, z[:, 1], rowvar=False)[:3, 3] ** 2
        expected = np.stack([first, second], 1)
        found = sap_matrix(z, codes, "discrete")
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert float(sap(z, codes, "discrete")) == pytest.approx(gap(expected))

        tree = {"max_depth": 5, "random_state": 0}
        first = of_each_code(DecisionTreeClassifier(**tree), codes, z[:, 0])
        second = of_each_code(DecisionTreeRegressor(**tree), codes, z[:, 1])
        expected = np.stack([first, np.maximum(second, 0)], 1)
        found = sap_matrix(z, codes, "tree")
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_perfect_codes_score_low_with_a_linear_rule_and_high_with_a_tree(self, rng):
        z, u = classes(rng, 1500, (10, 8, 4))
        assert 0.1 < float(sap(z, u, "discrete")) < 0.35
        assert float(sap(z, u, "tree")) > 0.7
        for kind in ("discrete", "tree"):
            assert float(sap(z, np.hstack([u, u]), kind)) == 0
            useless = float(sap(z, rng.normal(size=u.shape), kind))
            assert 0 <= useless < 0.05

    def test_seeds_and_failed_ones(self, rng):
        z = rng.integers(0, 2, (90, 2))
        codes = z[None] + rng.normal(size=(3, 90, 2))
        codes[2, 3, 1] = np.inf
        found = np.asarray(sap(z, codes, "tree", failed="nan"))
        expected = [float(sap(z, c, "tree")) for c in codes[:2]]
        np.testing.assert_allclose(found, [*expected, np.nan])
        matrix = sap_matrix(z, codes, "tree", failed="nan")
        assert matrix.shape == (3, 2, 2)
        assert np.isnan(matrix[2]).all()
        none = np.full((2, 90, 3), np.nan)
        assert np.isnan(sap(z, none, "tree", failed="nan")).all()
        assert sap_matrix(z, none, "tree", failed="nan").shape == (2, 3, 2)


@pytest.mark.parametrize("kind", ["continuous", "discrete", "tree"])
def test_constants_are_named_and_score_0(rng, kind):
    z = rng.integers(0, 3, (120, 2))
    codes = z + 0.1 * rng.normal(size=z.shape)
    score = float(sap(z[:, :1], codes, kind))
    z[:, 1] = 2
    with pytest.warns(UserWarning, match=r"z is constant in columns \[1\]"):
        assert float(sap(z, codes, kind)) == pytest.approx(score / 2, abs=1e-6)
    with pytest.warns(UserWarning, match=r"codes is constant in columns \[0, 1\]"):
        assert float(sap(z[:, :1], np.ones((120, 2)), kind)) == 0


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_refused(rng):
    z = rng.integers(0, 3, (20, 2))
    with pytest.raises(ValueError, match="kind must be one of 'continuous'"):
        sap(z, z, "linear")
    with pytest.raises(
        ValueError, match="sap with kind='tree' is computed on the host"
    ):
        jax.jit(lambda c: sap(z, c, "tree"))(jnp.ones((20, 2)))
    with pytest.raises(ValueError, match=r"mask leaves no label of z in columns \[1\]"):
        sap(z, z, mask=np.array([[True, False]] * 20))
