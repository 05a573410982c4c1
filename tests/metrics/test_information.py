"""Mutual information by bins, MIG and modularity."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from jaxdis.metrics import (
    factor_entropies,
    mig,
    mig_from_information,
    modularity,
    modularity_from_information,
    mutual_information,
)

N = 5000
SIZES = (10, 10, 10, 8, 4, 15)
HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


def factors(sizes=SIZES, n=N, seed=0):
    """Independent classes, and the same as standardised columns."""
    rng = np.random.default_rng(seed)
    z = np.stack([rng.integers(0, size, n) for size in sizes], 1)
    return z, (z - z.mean(0)) / z.std(0)


Z, U = factors()


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def binned(x, bins=20):
    """As disentanglement_lib: numpy's histogram, then digitize."""
    return np.digitize(x, np.histogram(x, bins)[1][:-1])


def oracle(labels, codes):
    """scikit-learn's information of classes, codes in rows."""
    return np.array([[mutual_info_score(c, y) for y in labels.T] for c in codes.T])


def plain_mig(information, entropies):
    ordered = np.sort(information, 0)[::-1]
    return ((ordered[0] - ordered[1]) / entropies).mean()


def plain_modularity(information):
    squares = information**2
    best = squares.max(1)
    return (1 - (squares.sum(1) - best) / (best * (squares.shape[1] - 1))).mean()


class TestMutualInformation:
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    @pytest.mark.parametrize("bins", [2, 20, 37])
    def test_is_that_of_sklearn_on_the_bins_of_numpy(self, rng, dtype, bins):
        codes = np.column_stack(
            [
                U[:, 0] + rng.normal(size=N),
                U[:, 1] * 0.1 + 100,
                np.round(U[:, 2] * 4),
                Z[:, 3],  # on the edges of bins
                rng.exponential(size=N) * 1e6,
            ]
        ).astype(dtype)
        found = mutual_information(Z, codes, bins=bins)
        want = oracle(Z, np.column_stack([binned(c, bins) for c in codes.T]))
        assert found.shape == (5, 6)
        np.testing.assert_allclose(found, want, atol=1e-6)

    def test_numbers_are_cut_into_bins_as_codes_are(self, rng):
        z = np.column_stack([Z[:, 0], U[:, 1] + rng.normal(size=N)])
        codes = U[:, :3] + 0.5 * rng.normal(size=(N, 3))
        cut = np.column_stack([binned(c) for c in codes.T])
        want = oracle(np.column_stack([Z[:, 0], binned(z[:, 1])]), cut)
        with pytest.warns(UserWarning, match=r"numbers in columns \[1\], .* 20 bins"):
            found = mutual_information(z, codes)
        np.testing.assert_allclose(found, want, atol=1e-6)
        said = mutual_information(z, codes, discrete=[True, False])  # without a word
        np.testing.assert_array_equal(said, found)

    def test_quantiles_hold_as_many_samples_and_ignore_increasing_maps(self, rng):
        x = rng.normal(size=(1000, 1))
        rank = x[:, 0].argsort().argsort()
        z = (rank * 4 // 1000)[:, None]
        found = mutual_information(z, x, bins=8, binning="quantile")
        assert float(found[0, 0]) == pytest.approx(np.log(4), abs=1e-6)
        cut = (rank * 8 // 1000)[:, None]
        noisy = z + rng.integers(0, 2, z.shape)
        found = mutual_information(noisy, x, bins=8, binning="quantile")
        np.testing.assert_allclose(found, oracle(noisy, cut), atol=1e-6)
        mapped = mutual_information(noisy, np.exp(x), bins=8, binning="quantile")
        np.testing.assert_array_equal(mapped, found)

    def test_codes_of_classes_are_not_binned(self, rng):
        # 40 values far from even: 20 bins of equal width would merge most of them.
        values = np.exp(rng.normal(size=40) * 3)
        labels = rng.integers(0, 40, N)
        codes = np.column_stack([values[labels], U[:, 0]])
        z = np.column_stack([labels // 2, Z[:, 0]])
        found = mutual_information(z, codes, discrete_codes=[True, False])
        want = oracle(z, np.column_stack([labels, binned(U[:, 0])]))
        np.testing.assert_allclose(found, want, atol=1e-6)
        assert float(mutual_information(z, codes)[0, 0]) < 0.5 * want[0, 0]
        every = mutual_information(z, codes, discrete_codes="auto")
        np.testing.assert_allclose(every[0], want[0], atol=1e-6)

    def test_labels_that_are_missing_are_left_out(self, rng):
        mask = rng.random(Z.shape) < 0.6
        codes = U + rng.normal(size=U.shape)
        z = np.where(mask, Z, np.nan)
        found = mutual_information(z, codes, mask=mask)
        want = [
            [
                mutual_info_score(binned(c)[m], y[m])
                for y, m in zip(Z.T, mask.T, strict=True)
            ]
            for c in codes.T
        ]
        np.testing.assert_allclose(found, want, atol=1e-6)
        h = [mutual_info_score(y[m], y[m]) for y, m in zip(Z.T, mask.T, strict=True)]
        np.testing.assert_allclose(factor_entropies(z, mask=mask), h, atol=1e-6)
        rows = rng.random(N) < 0.5
        by_row = mutual_information(z[:, :1], codes, mask=mask[:, :1] & rows[:, None])
        np.testing.assert_allclose(
            mutual_information(Z[:, :1], codes, mask=mask[:, 0] & rows), by_row
        )

    def test_many_codes_in_blocks_and_threads(self, rng):
        # More codes than a block, more factors than a pass, classes of all sizes.
        z = np.column_stack([rng.integers(0, s, 3000) for s in (2, 50, 3, 300, 7, 2)])
        codes = rng.integers(0, 4, (3000, 300)) + z[:, :1]
        found = mutual_information(z, codes, bins=5)
        np.testing.assert_allclose(found[::37], oracle(z, codes[:, ::37]), atol=1e-6)

    def test_seeds(self, rng):
        codes = np.stack([U + i * rng.normal(size=U.shape) for i in range(3)])
        together = mutual_information(Z, codes)
        alone = np.stack([mutual_information(Z, c) for c in codes])
        np.testing.assert_array_equal(together, alone)
        z = np.stack([Z, Z[::-1], Z])
        own = mutual_information(z, codes)
        np.testing.assert_array_equal(own[::2], alone[::2])
        np.testing.assert_array_equal(own[1], mutual_information(Z[::-1], codes[1]))
        assert factor_entropies(z).shape == (3, 6)

    def test_under_jit_and_vmap(self, rng):
        z = np.column_stack([Z[:, :2], U[:, 2] + rng.normal(size=N)])
        codes = np.stack([U + rng.normal(size=U.shape) for _ in range(2)])
        codes = np.round(codes, 4).astype(np.float32)
        codes[..., 1] = Z[:, 1]
        mask = rng.random(z.shape) < 0.8
        told = {
            "discrete": [10, 10, False],
            "discrete_codes": [False, 10] + 4 * [False],
        }
        for more in ({}, {"binning": "quantile"}, {"null": "permute"}):
            f = partial(mutual_information, **told, **more)
            want = f(z, codes, mask=mask)
            traced = jax.jit(f)(jnp.asarray(z), jnp.asarray(codes), mask=mask)
            np.testing.assert_allclose(traced, want, atol=2e-4)
        mapped = jax.vmap(partial(mutual_information, Z[:, :2], discrete=[10, 10]))
        np.testing.assert_allclose(
            mapped(jnp.asarray(codes)), mutual_information(Z[:, :2], codes), atol=2e-4
        )
        with pytest.raises(ValueError, match="how many classes"):
            jax.jit(mutual_information)(jnp.asarray(z), jnp.asarray(codes))

    def test_numbers_of_any_kind(self, rng):
        codes = U + rng.normal(size=U.shape)
        want = mutual_information(Z, codes)
        frame = pytest.importorskip("pandas").DataFrame(codes)
        for given in (codes.tolist(), np.asfortranarray(codes), frame):
            np.testing.assert_array_equal(mutual_information(Z, given), want)
        np.testing.assert_array_equal(
            mutual_information(Z.astype(np.int8), codes), want
        )
        exact = codes * 2.0**40 + 2.0**50  # float32 would lose all digits
        np.testing.assert_allclose(mutual_information(Z, exact), want, atol=5e-3)
        huge = mutual_information(Z, codes / np.abs(codes).max() * 1.7e308)
        np.testing.assert_allclose(huge, want, atol=5e-3)

    def test_null_and_samples_are_drawn_by_the_key(self, rng):
        codes = U + 3 * rng.normal(size=U.shape)
        raw = mutual_information(Z, codes)
        kept = mutual_information(Z, codes, null="permute", key=3)
        assert (np.asarray(kept) == 0).sum() >= 24
        np.testing.assert_array_equal(kept[kept > 0], raw[kept > 0])
        some = [mutual_information(Z, codes, samples=500, key=k) for k in (0, 0, 1)]
        np.testing.assert_array_equal(some[0], some[1])
        assert float(jnp.abs(some[0] - some[2]).max()) > 0.01
        np.testing.assert_array_equal(mutual_information(Z, codes, samples=9999), raw)

    def test_failed_seeds(self, rng):
        codes = np.stack([U, U, U])
        codes[1, 7, 2] = np.nan
        with pytest.raises(ValueError, match="codes is NaN"):
            mutual_information(Z, codes)
        for f in (mig, modularity):
            scores = f(Z, codes, failed="nan")
            assert np.isnan(scores[1])
            np.testing.assert_array_equal(scores[::2], f(Z, U))

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(
        ("more", "match"),
        [
            ({"kind": "tree"}, "kind must be one of 'bins', 'knn'"),
            ({"binning": "even"}, "binning must be one of"),
            ({"bins": 1}, "bins must be at least 2"),
            ({"bins": 2.5}, "bins must be a whole number"),
            ({"null": "shuffle"}, "null must be one of"),
            ({"discrete": [True]}, "discrete must be"),
            ({"discrete_codes": [True]}, "discrete_codes must be"),
            ({"discrete_codes": "none"}, "discrete_codes must be"),
            ({"discrete_codes": [9] * 6}, "column 0 of codes has 9 classes"),
            ({"mask": np.ones((3, 3), bool)}, "mask has shape"),
            ({"samples": 0}, "samples must be at least 1"),
        ],
    )
    def test_wrong_arguments(self, more, match):
        with pytest.raises(ValueError, match=match):
            mutual_information(Z, U, **more)

    @pytest.mark.usefixtures("unchecked")
    def test_wrong_shapes(self):
        for z, codes, match in (
            (Z[:, 0], U, "z has shape"),
            (Z, U[:, 0], "codes has shape"),
            (Z, U[:9], "9 rows"),
            (Z.astype(float) * [np.nan] + U, U, "z is NaN"),
            (np.array([["a"]] * 9), U[:9], "strings"),
        ):
            with pytest.raises(ValueError, match=match):
                mutual_information(z, codes)


class TestScores:
    """The trio of the definitions: perfect, useless and duplicated codes, and more."""

    def test_perfect(self, rng):
        codes = (U * [-3, 0.1, 1, 1, 7, 1])[:, [2, 0, 1, 5, 3, 4]] + 5
        assert float(mig(Z, codes)) >= 0.99
        assert float(modularity(Z, codes)) >= 0.999
        assert float(modularity(Z, codes, null="permute")) >= 0.999
        np.testing.assert_allclose(mig(Z, codes), mig(Z, U), atol=1e-6)

    def test_duplicated(self):
        codes = np.hstack([U, U])
        assert float(mig(Z, codes)) <= 0.005
        assert float(modularity(Z, codes)) >= 0.99

    def test_useless(self, rng):
        codes = rng.normal(size=U.shape)
        assert float(mig(Z, codes)) <= 0.005
        assert 0.6 < float(modularity(Z, codes)) < 0.75
        for key in range(5):
            assert float(modularity(Z, codes, null="permute", key=key)) == 0

    def test_rotated(self):
        z, u = factors((10,) * 4)
        assert float(mig(z, u @ HADAMARD)) <= 0.02
        assert float(modularity(z, u @ HADAMARD)) <= 0.12

    def test_numbers(self, rng):
        z = rng.normal(size=(4000, 5))
        f = partial(mig, discrete=False)
        assert float(f(z, z)) >= 0.97
        assert float(f(z, z**3)) == pytest.approx(0.3, abs=0.08)
        cubed = f(z, z**3, binning="quantile")
        np.testing.assert_allclose(cubed, f(z, z, binning="quantile"), atol=1e-6)
        assert float(f(z, np.hstack([z, z]))) == 0

    def test_in_the_words_of_numpy(self, rng):
        codes = U + rng.normal(size=U.shape)
        information = oracle(Z, np.column_stack([binned(c) for c in codes.T]))
        h = np.array([mutual_info_score(y, y) for y in Z.T])
        np.testing.assert_allclose(factor_entropies(Z), h, atol=1e-6)
        assert float(mig(Z, codes)) == pytest.approx(
            plain_mig(information, h), abs=1e-6
        )
        plain = plain_modularity(information)
        assert float(modularity(Z, codes)) == pytest.approx(plain, abs=1e-6)

    def test_by_hand(self):
        i = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        assert float(modularity_from_information(i)) == pytest.approx(2 / 3)
        both = np.hstack([np.eye(5), np.eye(5)])
        assert float(modularity_from_information(both)) == pytest.approx(1 - 1 / 9)
        i = np.array([[0.6, 0.1], [0.2, 0.4], [0.5, 0.0]])
        assert float(mig_from_information(i, [1.0, 2.0])) == pytest.approx(0.125)
        # A dead code is not alive by a rounding.
        i = np.array([[1.0, 0.0], [0.0, 1.0], [1e-7, 2e-7]])
        assert float(modularity_from_information(i)) == pytest.approx(2 / 3)

    def test_constants_count_0(self):
        z, codes = Z.copy(), U.copy()
        z[:, 1], codes[:, 3] = 4, 2.5
        with pytest.warns(UserWarning, match="constant in columns"):
            score = mig(z, codes)
        h = np.array([mutual_info_score(y, y) for y in z.T])
        information = oracle(z, np.column_stack([binned(c) for c in codes.T]))
        keep = [0, 2, 3, 4, 5]
        plain = plain_mig(information[:, keep], h[keep]) * 5 / 6
        assert float(score) == pytest.approx(plain, abs=1e-6)
        with pytest.warns(UserWarning, match="constant in columns"):
            assert float(modularity(z, np.ones_like(U))) == 0

    def test_one_factor_or_one_code(self):
        assert float(mig(Z[:, :1], U[:, :1])) == pytest.approx(1, abs=1e-5)
        assert float(modularity(Z[:, :1], U)) == 0
        assert float(modularity(Z, U[:, :1])) == pytest.approx(1, abs=1e-3)

    def test_under_jit(self, rng):
        codes = np.stack([U + rng.normal(size=U.shape) for _ in range(2)])
        codes = codes.astype(np.float32)
        for f in (partial(mig, discrete=SIZES), partial(modularity, discrete=SIZES)):
            traced = jax.jit(f)(jnp.asarray(Z), jnp.asarray(codes))
            np.testing.assert_allclose(traced, f(Z, codes), atol=1e-3)

    @pytest.mark.usefixtures("unchecked")
    def test_wrong_matrices(self):
        with pytest.raises(ValueError, match="information has shape"):
            modularity_from_information(np.ones(3))
        with pytest.raises(ValueError, match="entropies has shape"):
            mig_from_information(np.ones((3, 2)), np.ones(3))
