"""How seeds agree, where codes are hard for a lasso or a seed failed."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from jaxdis.metrics import agreement, udr
from jaxdis.metrics.lasso import exact_lasso, least_norm, traced_lasso
from jaxdis.metrics.ranking import relative_strength


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def standard(x):
    return (x - x.mean(0)) / x.std(0)


def related(rng, rho, shape):
    """Columns that correlate by rho."""
    common = rng.normal(size=(*shape[:-1], 1))
    return np.sqrt(rho) * common + np.sqrt(1 - rho) * rng.normal(size=shape)


def strength(relation):
    def share(vector):
        return vector.max() ** 2 / vector.sum() if vector.sum() > 0 else 0.0

    columns, rows = map(share, relation.T), map(share, relation)
    return (np.mean(list(columns)) + np.mean(list(rows))) / 2


def pair_by_sklearn(a, b):
    model = Lasso(alpha=0.1, tol=1e-10, max_iter=10**6)
    return strength(np.abs(model.fit(standard(a), standard(b)).coef_.T))


class TestLasso:
    @pytest.mark.parametrize(
        ("rho", "k", "alpha"), [(0.5, 10, 0.1), (0.99, 10, 0.1), (0.999, 6, 0.02)]
    )
    def test_matches_sklearn(self, rng, rho, k, alpha):
        codes = standard(related(rng, rho, (500, k)))
        targets = standard(codes @ rng.normal(size=(k, 7)) + rng.normal(size=(500, 7)))
        model = Lasso(alpha=alpha, tol=1e-14, max_iter=10**6)
        expected = model.fit(codes, targets).coef_.T
        assert (expected == 0).any()
        gram, cross = codes.T @ codes / 500, codes.T @ targets / 500
        found = exact_lasso(gram, cross, alpha)
        np.testing.assert_allclose(found, expected, atol=1e-8)
        np.testing.assert_array_equal(found == 0, expected == 0)
        if rho < 0.9:
            traced = jax.jit(traced_lasso, static_argnums=2)(
                jnp.float32(gram), jnp.float32(cross), alpha
            )
            np.testing.assert_allclose(traced, expected, atol=1e-5)

    def test_equal_codes_share_and_the_price_is_paid(self, rng):
        # Two equal columns of correlation b with the target: w1 + w2 = b - alpha.
        gram, cross = np.ones((2, 2)), np.array([[0.8, -0.5], [0.8, -0.5]])
        expected = [[0.35, -0.2], [0.35, -0.2]]
        np.testing.assert_allclose(exact_lasso(gram, cross, 0.1), expected, atol=1e-9)
        nothing = exact_lasso(gram, cross, 0.9)
        np.testing.assert_array_equal(nothing, 0)

    def test_no_code_that_varies(self):
        zero = np.zeros((3, 3))
        np.testing.assert_array_equal(exact_lasso(zero, zero, 0.1), 0)
        np.testing.assert_array_equal(least_norm(zero, zero), 0)

    def test_least_norm_is_that_of_the_pseudo_inverse(self, rng):
        codes = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 9))
        targets = rng.normal(size=(200, 2))
        found = least_norm(codes.T @ codes / 200, codes.T @ targets / 200)
        expected = np.linalg.pinv(codes, rcond=1e-8) @ targets
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("rho", [0.99, 0.999])
def test_udr_of_codes_that_are_almost_alike(rng, rho):
    z = related(rng, rho, (500, 8))
    codes = z @ (np.eye(8) + 0.3 * rng.normal(size=(4, 8, 8)))
    pairs = itertools.permutations(codes, 2)
    expected = [pair_by_sklearn(a, b) for a, b in pairs]
    assert np.ptp(expected) > 1e-3
    matrix = np.asarray(agreement(codes, kind="lasso"))
    apart = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(matrix[apart], expected, atol=1e-6)
    found = float(udr(codes, kind="lasso"))
    assert found == pytest.approx(np.median(expected), abs=1e-6)
    # Of less digits within a program, where known values are not.
    traced = jax.jit(lambda c: udr(c, kind="lasso"))(jnp.float32(codes))
    assert float(traced) == pytest.approx(found, abs=0.02)


def test_seeds_compared_with_others(rng):
    codes = rng.normal(size=(300, 3)) @ (np.eye(3) + 0.4 * rng.normal(size=(5, 3, 3)))
    for kind in ("mcc", "lasso", "spearman"):
        full = agreement(codes, kind=kind)
        part = agreement(codes[:2], kind=kind, to=codes[2:])
        np.testing.assert_allclose(part, full[:2, 2:], atol=1e-6)


@pytest.mark.parametrize("kind", ["mcc", "lasso", "spearman"])
class TestFailedSeeds:
    def test_they_are_refused_or_left_out(self, rng, kind):
        codes = rng.normal(size=(300, 3)) @ (
            np.eye(3) + 0.4 * rng.normal(size=(4, 3, 3))
        )
        expected = float(udr(codes[[0, 2, 3]], kind=kind))
        codes[1, 7, 0] = np.nan
        for score in (udr, agreement):
            with pytest.raises(ValueError, match=r"infinite in seeds \[1\]; leave"):
                score(codes, kind=kind)
        pairs = np.asarray(agreement(codes, kind=kind, failed="nan"))
        assert np.isnan(pairs[1]).all()
        assert np.isnan(pairs[:, 1]).all()
        assert np.isfinite(np.delete(np.delete(pairs, 1, 0), 1, 1)).all()
        found = float(udr(codes, kind=kind, failed="nan"))
        assert found == pytest.approx(expected, abs=1e-6)

    def test_no_pair_is_left(self, rng, kind):
        codes = rng.normal(size=(2, 50, 2))
        codes[0, 0, 0] = np.inf
        assert np.isnan(float(udr(codes, kind=kind, failed="nan")))

    def test_dead_codes_count_0(self, rng, kind):
        codes = rng.normal(size=(1, 200, 3)).repeat(2, 0)
        full = float(udr(codes, kind=kind))
        codes[:, :, 2] = 4.0
        assert float(udr(codes, kind=kind)) == pytest.approx(2 / 3 * full, abs=0.1)


def test_golden_matrices():
    matrices = [
        np.eye(3),
        np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]),
        np.ones((3, 3)),
        np.zeros((3, 3)),
    ]
    found = [float(relative_strength(jnp.float32(m))) for m in matrices]
    assert found == pytest.approx([1, 2 / 3, 1 / 3, 0])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: udr(c[0]), r"codes has shape \(20, 2\); it must be \[s, n, k\]"),
        (lambda c: udr(c[:1]), "codes holds 1 seed; .* at least 2"),
        (lambda c: udr(c, kind="pearson"), "kind must be one of .* 'pearson'"),
        (lambda c: udr(c, failed="drop"), "failed must be one of 'raise', 'nan'"),
        (lambda c: udr(c.astype(complex)), "codes is complex"),
        (lambda c: agreement(c, to=c[:, :9]), r"to has shape \(2, 9, 2\)"),
    ],
)
def test_wrong_arguments_are_refused(rng, call, message):
    with pytest.raises(ValueError, match=message):
        call(rng.normal(size=(2, 20, 2)))
