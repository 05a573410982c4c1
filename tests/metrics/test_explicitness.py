import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from jaxdis.metrics import explicitness
from jaxdis.metrics.inputs import halves

HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def split(n):
    return halves(None, n, 2 / 3)


def scaled(codes, fit):
    return (codes - codes[fit].mean(0)) / codes[fit].std(0)


def areas(codes, factor):
    fit, judge = split(len(codes))
    codes = scaled(codes, fit)
    model = LogisticRegression(C=1, max_iter=1000).fit(codes[fit], factor[fit])
    chances = model.predict_proba(codes[judge])
    if chances.shape[1] == 2:
        return roc_auc_score(factor[judge], chances[:, 1])
    return roc_auc_score(factor[judge], chances, multi_class="ovr", average="macro")


def share_in_order(codes, factor):
    """Of all pairs of held-out rows with different numbers; ties of fits count half."""
    fit, judge = split(len(codes))
    fits = LinearRegression().fit(codes[fit], factor[fit]).predict(codes[judge])
    found = []
    for (a, x), (b, y) in itertools.combinations(
        zip(factor[judge], fits, strict=True), 2
    ):
        if a != b:
            found.append(0.5 if x == y else float((a < b) == (x < y)))
    return np.mean(found)


def test_matches_sklearn_for_both_kinds(rng):
    n = 240
    z = np.column_stack(
        [rng.integers(0, 4, n), rng.integers(0, 2, n), rng.normal(size=n)]
    )
    codes = z @ rng.normal(size=(3, 5)) + rng.normal(size=(n, 5)) + 3
    expected = [areas(codes, z[:, 0]), areas(codes, z[:, 1])]
    expected.append(share_in_order(codes, z[:, 2]))
    assert min(expected) > 0.55
    assert max(expected) < 0.99
    for j in range(3):
        found = float(explicitness(z[:, j : j + 1], codes))
        assert found == pytest.approx(expected[j], abs=1e-6)
    assert float(explicitness(z, codes)) == pytest.approx(np.mean(expected), abs=1e-6)


def test_numbers_of_few_values_are_ranked_with_ties(rng):
    z = rng.integers(0, 3, (120, 1)) * 1.5
    codes = z + rng.normal(size=z.shape).round()
    expected = share_in_order(codes, z[:, 0])
    found = float(explicitness(z, codes, discrete=False))
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_trio_and_a_rotation(rng):
    z = np.stack([rng.integers(0, k, 2000) for k in (6, 5, 4, 3)], 1)
    u = (z - z.mean(0)) / z.std(0)
    perfect = float(explicitness(z, -u[:, ::-1]))
    assert perfect >= 0.98
    assert float(explicitness(z, u @ HADAMARD)) >= 0.98
    assert float(explicitness(z, np.hstack([u, u]))) >= 0.98
    useless = float(explicitness(z, rng.normal(size=u.shape)))
    assert useless == pytest.approx(0.5, abs=0.03)
    numbers = float(explicitness(z, u @ HADAMARD, discrete=False))
    assert numbers == pytest.approx(1, abs=1e-6)


def test_constant_codes_are_useless_and_constant_factors_score_0(rng):
    z = rng.integers(0, 3, (120, 1))
    with pytest.warns(UserWarning, match="codes is constant"):
        assert float(explicitness(z, np.ones((120, 2)))) == 0.5
    both = np.hstack([z, np.full_like(z, 4)])
    expected = float(explicitness(z, z + 0.0)) / 2
    with pytest.warns(UserWarning, match="z is constant"):
        assert float(explicitness(both, z + 0.0)) == pytest.approx(expected)


class TestClassesThatSomeRowsLack:
    def test_to_fit_on(self, rng):
        judge = split(120)[1]
        z = rng.integers(0, 2, (120, 1))
        z[judge[:5]] = 2
        codes = z + 0.01 * rng.normal(size=z.shape)
        # Class 2 looks like class 1 to a probe that never saw it: .5 by rule, and class
        # 0 is below both, class 1 below class 2.
        count = np.bincount(z[judge, 0])
        first = count[0] / (count[0] + count[2])
        expected = (1 + first + 0.5) / 3
        assert float(explicitness(z, codes)) == pytest.approx(expected, abs=0.01)

    def test_to_judge_on(self, rng):
        fit = split(120)[0]
        z = rng.integers(0, 2, (120, 1))
        z[fit[:5]] = 2
        codes = z + 0.01 * rng.normal(size=z.shape)
        assert 0.7 < float(explicitness(z, codes)) <= 1

    @pytest.mark.parametrize(("rows", "expected"), [(0, 0.5), (1, 0.5)])
    def test_one_class_in_a_part(self, rng, rows, expected):
        z = rng.integers(0, 2, (120, 1))
        z[split(120)[rows]] = 1
        codes = z + 0.01 * rng.normal(size=z.shape)
        assert float(explicitness(z, codes)) == expected
        assert float(explicitness(z, codes, discrete=False)) == expected


def test_seeds_masks_and_failed_runs(rng):
    z = rng.integers(0, 3, (150, 2)).astype(float)
    codes = z[None] + rng.normal(size=(3, 150, 2))
    expected = [float(explicitness(z, c)) for c in codes]
    np.testing.assert_allclose(explicitness(z, codes), expected, atol=1e-7)
    codes[1, 0, 0] = np.nan
    found = np.asarray(explicitness(z, codes, failed="nan"))
    np.testing.assert_allclose(found, [expected[0], np.nan, expected[2]], atol=1e-7)
    both = explicitness(np.stack([z, z]), codes[::2])
    np.testing.assert_allclose(both, expected[::2], atol=1e-7)
    z[::4, 1] = np.nan
    some = float(explicitness(z, codes[0], mask=np.isfinite(z)))
    assert some == pytest.approx(expected[0], abs=0.1)


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_done_is_said(rng):
    z = rng.integers(0, 3, (20, 2))
    with pytest.raises(ValueError, match="explicitness is computed on the host"):
        jax.jit(lambda c: explicitness(z, c))(jnp.ones((20, 2)))
    with pytest.raises(ValueError, match="z has 3 rows; at least 4"):
        explicitness(z[:3], z[:3] + 0.5)
