"""Information by nearest neighbours, beside scikit-learn's without its jitter."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.feature_selection._mutual_info import _compute_mi
from sklearn.metrics import mutual_info_score

from jaxdis.metrics import mutual_information

N = 600
SIZES = (7, 4)


@pytest.fixture(scope="module")
def data():
    """Two factors that are classes and two that are numbers; codes of both kinds."""
    rng = np.random.default_rng(0)
    z = np.column_stack(
        [*(rng.integers(0, s, N) for s in SIZES), rng.normal(size=(N, 2)) * 3]
    )
    noise = rng.normal(size=(N, 3))
    codes = np.column_stack(
        [
            z[:, 0] + noise[:, 0],
            z[:, 2] + 2 * noise[:, 1],
            rng.random(N) * 1e3 + z[:, 1],
            (z[:, 2] + noise[:, 2] > 0) * 5.0 - 1,  # classes of 2
            z[:, 1],  # classes of 4
        ]
    )
    return z, codes


def column(x, discrete):
    return np.unique(x, return_inverse=True)[1] if discrete else x / x.std()


def oracle(z, codes, neighbours, kinds, code_kinds, mask=None):
    """scikit-learn's estimate of each pair, on the rows where the label is known."""
    mask = np.ones(z.shape, bool) if mask is None else mask
    return np.array(
        [
            [
                _compute_mi(column(c[m], b), column(f[m], a), b, a, neighbours)
                for f, m, a in zip(z.T, mask.T, kinds, strict=True)
            ]
            for c, b in zip(codes.T, code_kinds, strict=True)
        ]
    )


KINDS = [True, True, False, False]
CODE_KINDS = [False, False, False, True, True]
DISCRETE = [7, 4, False, False]
knn = partial(mutual_information, kind="knn")


class TestKnown:
    @pytest.mark.parametrize("neighbours", [1, 3, 10])
    def test_is_that_of_sklearn(self, data, neighbours):
        z, codes = data
        want = oracle(z, codes, neighbours, KINDS, CODE_KINDS)
        found = knn(z, codes, discrete=KINDS, neighbours=neighbours)
        np.testing.assert_allclose(found, want, atol=1e-6)

    def test_is_that_of_mutual_info_regression(self, data):
        z, codes = data
        f = partial(mutual_info_regression, codes[:, :3], random_state=0)
        want = np.column_stack([f(z[:, j]) for j in (2, 3)])
        found = knn(z[:, 2:], codes[:, :3], discrete=False)
        np.testing.assert_allclose(found, want, atol=5e-5)

    def test_labels_that_are_missing_are_left_out(self, data):
        z, codes = data
        mask = np.random.default_rng(1).random(z.shape) < 0.7
        want = oracle(z, codes, 3, KINDS, CODE_KINDS, mask)
        found = knn(np.where(mask, z, np.nan), codes, discrete=KINDS, mask=mask)
        np.testing.assert_allclose(found, want, atol=1e-6)

    def test_classes_of_one_and_of_few(self, data):
        z, codes = data
        y = z[:, :1].astype(int)
        y[0], y[1:4] = 7, 8  # one sample has no neighbour, three have two
        want = oracle(y, codes[:, :2], 5, [True], [False, False])
        found = knn(y, codes[:, :2], neighbours=5, discrete=True)
        # scikit-learn's distances within a class of three are off by roundings.
        np.testing.assert_allclose(found, want, atol=2 * 3 / N)

    def test_gaussian(self):
        rng = np.random.default_rng(2)
        x = rng.normal(size=(3000, 1))
        for rho in (0.0, 0.5, 0.9):
            y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=x.shape)
            truth = -0.5 * np.log(1 - rho**2)
            found = knn(x, y, discrete=False)[0, 0]
            assert float(found) == pytest.approx(truth, abs=0.04)

    def test_codes_of_few_values_are_counted(self, data):
        z, _ = data
        label = z[:, :1].astype(int)
        h = mutual_info_score(label[:, 0], label[:, 0])
        assert float(knn(label, label * 0.3)[0, 0]) == pytest.approx(h, abs=1e-6)

    def test_codes_that_tie_as_in_mutual_info_classif(self, data):
        z, codes = data
        tied = np.round(codes[:, :3])
        want = [
            [mutual_info_classif(c[:, None], y, random_state=0)[0] for y in z.T[:2]]
            for c in tied.T
        ]
        found = knn(z[:, :2], tied, discrete_codes=False)
        np.testing.assert_allclose(found, want, atol=2e-3)

    @pytest.mark.parametrize("number", [False, True])
    def test_numbers_that_tie(self, data, number):
        # As scikit-learn, which tells them apart by noise.
        z, _ = data
        rng = np.random.default_rng(3)
        half = np.where(rng.random(N) < 0.5, z[:, 0], rng.integers(0, 7, N))
        codes = np.column_stack([z[:, 0] * 0.3, half, rng.integers(0, 9, N)])
        f = z[:, :1] if number else z[:, :1].astype(int)
        counts = mutual_information(z[:, :1].astype(int), codes, discrete_codes=True)
        told = {"discrete": [not number], "discrete_codes": False}
        found = knn(f, codes, **told)
        np.testing.assert_allclose(found, counts, atol=0.06)
        told["discrete"] = [False if number else 7]
        traced = jax.jit(partial(knn, **told))(jnp.asarray(f), jnp.asarray(codes))
        np.testing.assert_allclose(traced, counts, atol=0.06)

    def test_constants_say_nothing(self, data):
        z, codes = data
        flat = np.column_stack([codes[:, 0], np.full(N, 3.0)])
        with pytest.warns(UserWarning, match=r"codes is constant in columns \[1\]"):
            found = knn(z, flat, discrete=KINDS)
        np.testing.assert_array_equal(found[1], 0)
        with pytest.warns(UserWarning, match=r"codes is constant in columns \[1\]"):
            found = knn(z, flat, discrete=KINDS, discrete_codes=False)
        np.testing.assert_allclose(found[1], 0, atol=1e-6)

    def test_scale_and_shift_do_not_matter(self, data):
        z, codes = data
        moved = codes * [-3, 1e9, 1e-9, 1, 1] + 7
        np.testing.assert_allclose(
            knn(z, moved, discrete=KINDS), knn(z, codes, discrete=KINDS), atol=5e-3
        )

    def test_seeds(self, data):
        z, codes = data
        both = np.stack([codes, codes[::-1]])
        broken = np.concatenate([both, both[:1]])
        broken[2, 0, 0] = np.inf
        found = knn(z, broken, discrete=KINDS, failed="nan")
        np.testing.assert_array_equal(found[0], knn(z, codes, discrete=KINDS))
        np.testing.assert_array_equal(found[1], knn(z, codes[::-1], discrete=KINDS))
        assert np.isnan(found[2]).all()


class TestTraced:
    @pytest.mark.parametrize("masked", [False, True])
    def test_is_that_of_the_host(self, data, masked):
        z, codes = data
        codes = codes.astype(np.float32)
        codes[:, 3] = codes[:, 3] > 0
        mask = np.random.default_rng(1).random(z.shape) < 0.7 if masked else None
        told = {
            "discrete": DISCRETE,
            "discrete_codes": [False, False, False, 2, 4],
        }
        f = partial(knn, **told)
        want = f(z, codes, mask=mask)
        found = jax.jit(f)(jnp.asarray(z), jnp.asarray(codes), mask=mask)
        np.testing.assert_allclose(found, want, atol=1e-4)

    def test_over_seeds(self, data):
        z, codes = data
        z, codes = z[:200], np.stack([codes[:200, :2], codes[200:400, :2]])
        f = partial(knn, z, discrete=KINDS)
        traced = partial(knn, z, discrete=DISCRETE)
        found = jax.vmap(traced)(jnp.asarray(codes, jnp.float32))
        np.testing.assert_allclose(found, f(codes), atol=1e-4)
