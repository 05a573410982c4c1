from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import metrics

SIZES = (4, 5, 7)
HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


def factors(n=1500, sizes=SIZES, seed=0):
    return np.random.default_rng(seed).integers(0, sizes, (n, len(sizes)))


def by_numpy(z, codes, quantile):
    """The definition in plain numpy, classes as they are: the matrix and the score."""
    peaks = np.abs(codes - codes.mean(0)).max(0)
    matrix = np.zeros((codes.shape[1], z.shape[1]))
    for j in range(z.shape[1]):
        moved = []
        for v in np.unique(z[:, j]):
            c = codes[z[:, j] == v]
            moved.append(np.quantile(np.abs(c - c.mean(0)), quantile, axis=0))
        matrix[:, j] = 1 - np.mean(moved, 0) / peaks
    return matrix, np.average(matrix.max(1), weights=peaks)


def mixtures(z, seed=1):
    """A code for each of several degrees of knowing the factors."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(z), 2))
    mixed = z @ rng.normal(size=(z.shape[1], 3))
    return np.concatenate([z**2, mixed, 1e3 * noise, z[:, :1] + noise[:, :1]], 1)


@pytest.mark.parametrize("quantile", [0.99, 1.0, 0.5, 0.0])
def test_is_the_definition(quantile):
    z = factors()
    codes = mixtures(z)
    matrix, score = by_numpy(z, codes, quantile)
    found = metrics.irs_matrix(z, codes, quantile=quantile)
    np.testing.assert_allclose(found, matrix, atol=1e-6)
    np.testing.assert_allclose(
        metrics.irs(z, codes, quantile=quantile), score, atol=1e-6
    )


def test_under_jit_and_over_seeds():
    z = factors()
    codes = np.stack([mixtures(z, seed) for seed in range(3)])
    matrices, scores = zip(*(by_numpy(z, c, 0.99) for c in codes), strict=True)
    np.testing.assert_allclose(metrics.irs_matrix(z, codes), matrices, atol=1e-6)
    np.testing.assert_allclose(metrics.irs(z, codes), scores, atol=1e-6)
    traced = jax.jit(partial(metrics.irs, discrete=SIZES))
    narrow = np.float32(codes)
    np.testing.assert_allclose(traced(z, narrow), scores, atol=2e-6)
    np.testing.assert_allclose(
        jax.vmap(traced, (None, 0))(z, narrow), scores, atol=2e-6
    )


def test_every_seed_may_have_factors_of_its_own():
    z = np.stack([factors(seed=seed) for seed in range(2)])
    codes = np.stack([mixtures(one, 5) for one in z])
    scores = [by_numpy(*pair, 0.99)[1] for pair in zip(z, codes, strict=True)]
    np.testing.assert_allclose(metrics.irs(z, codes), scores, atol=1e-6)
    traced = jax.jit(partial(metrics.irs, discrete=SIZES))
    np.testing.assert_allclose(traced(z, np.float32(codes)), scores, atol=2e-6)


def test_perfect_duplicated_and_useless_codes():
    z = factors(5000)
    useless = np.random.default_rng(3).normal(size=(5000, 3))
    perfect = z[:, [2, 0, 1]] * np.array([-1, 5, 0.1])
    assert metrics.irs(z, perfect) == pytest.approx(1.0, abs=1e-6)
    assert metrics.irs(z, np.tile(perfect, 2)) == pytest.approx(1.0, abs=1e-6)
    permuted = np.random.default_rng(4).permutation(z)
    of_useless, null = float(metrics.irs(z, useless)), metrics.irs(permuted, useless)
    assert 0.25 < of_useless < 0.42
    assert null == pytest.approx(of_useless, abs=0.02)


def test_a_rotation_that_spreads_every_factor_lowers_it():
    z = factors(5000, (10,) * 4)
    assert metrics.irs(z, z @ HADAMARD) == pytest.approx(0.35, abs=0.04)


def test_ignores_order_sign_shift_and_common_scale():
    z = factors()
    codes = mixtures(z)
    expected = metrics.irs(z, codes)
    moved = -1e-12 * codes[:, ::-1] + 1e-9
    np.testing.assert_allclose(metrics.irs(z, moved), expected, atol=1e-6)
    np.testing.assert_allclose(metrics.irs(z, 1e200 * codes), expected, atol=1e-6)
    far = metrics.irs(z, np.float32(codes) + np.float32(1e4))
    np.testing.assert_allclose(far, expected, atol=1e-3)


def test_classes_may_have_any_values():
    z = factors()
    names = np.array([3, -70, 10**12, 5, 6, 8, 9])[z]
    codes = mixtures(z)
    np.testing.assert_allclose(
        metrics.irs_matrix(names, codes), metrics.irs_matrix(z, codes), atol=1e-7
    )


def test_numbers_are_cut_into_bins_and_it_is_said():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 2))
    codes = z + 0.1 * rng.normal(size=z.shape)
    edges = [np.histogram(column, 8)[1] for column in z.T]
    binned = np.stack(
        [np.digitize(c, e[:-1]) for c, e in zip(z.T, edges, strict=True)], 1
    )
    expected = by_numpy(binned, codes, 0.99)[1]
    with pytest.warns(UserWarning, match=r"columns \[0, 1\].*8 bins of equal width"):
        found = metrics.irs(z, codes, bins=8)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    traced = jax.jit(partial(metrics.irs, discrete=False, bins=8))
    np.testing.assert_allclose(traced(z, np.float32(codes)), expected, atol=1e-4)


def test_rows_without_a_label_do_not_count_for_their_factor():
    z = factors().astype(float)
    codes = mixtures(z)
    mask = np.random.default_rng(5).random(z.shape) < 0.7
    mask[0] = True
    peaks = np.abs(codes - codes.mean(0)).max(0)
    expected = np.empty((codes.shape[1], 3))
    for j in range(3):
        there = mask[:, j]
        of_known = by_numpy(z[there, j : j + 1], codes[there], 0.99)[0][:, 0]
        # Its unit is the largest deviation in all rows.
        of_these = np.abs(codes[there] - codes[there].mean(0)).max(0)
        expected[:, j] = 1 - (1 - of_known) * of_these / peaks
    known = np.where(mask, z, np.nan)
    found = metrics.irs_matrix(known, codes, mask=mask)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    traced = jax.jit(partial(metrics.irs_matrix, discrete=SIZES))
    found = traced(jnp.where(mask, z, 0.0), np.float32(codes), mask=mask)
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_constant_columns_score_0():
    z, codes = factors(), np.float64(factors())
    z[:, 1] = 3
    codes[:, 0] = 0.1
    with pytest.warns(UserWarning, match="constant") as said:
        matrix = metrics.irs_matrix(z, codes)
    assert {"z is constant", "codes is constant"} <= {
        str(w.message).partition(" in ")[0] for w in said
    }
    np.testing.assert_array_equal(matrix[0], 0.0)
    np.testing.assert_array_equal(matrix[:, 1], 0.0)
    assert matrix[2, 2] == pytest.approx(1.0)
    with pytest.warns(UserWarning, match="constant"):
        assert metrics.irs(factors(), np.ones((1500, 2))) == 0.0


def test_a_failed_seed_is_refused_or_nan():
    z = factors()
    codes = np.stack([mixtures(z, seed) for seed in range(3)])
    expected = np.array(metrics.irs(z, codes))
    codes[1, 7, 2] = np.nan
    with pytest.raises(ValueError, match=r"codes\[1, 7, 2\]"):
        metrics.irs(z, codes)
    expected[1] = np.nan
    found = metrics.irs(z, codes, failed="nan")
    np.testing.assert_allclose(found, expected, atol=1e-7)
    found = jax.jit(partial(metrics.irs, discrete=SIZES))(z, np.float32(codes))
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantile": 1.5}, "quantile is a fraction of the rows"),
        ({"quantile": float("nan")}, "quantile is a fraction of the rows"),
        ({"bins": 0}, "bins must be at least 1"),
        ({"z": factors()[:-1]}, "rows"),
        ({"z": factors().astype(str)}, "z holds strings"),
        ({"codes": np.full((1500, 2), 1j)}, "codes is complex"),
        ({"discrete": [True]}, "discrete must be"),
    ],
)
def test_refuses_in_words(change, message):
    given = {"z": factors(), "codes": mixtures(factors())} | change
    with pytest.raises(ValueError, match=message):
        metrics.irs(given.pop("z"), given.pop("codes"), **given)


def test_within_jit_the_numbers_of_classes_are_needed():
    with pytest.raises(ValueError, match="how many classes"):
        jax.jit(metrics.irs)(factors(), np.float32(mixtures(factors())))
