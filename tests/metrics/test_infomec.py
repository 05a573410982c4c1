"""InfoM, InfoC and InfoE."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.feature_selection._mutual_info import _compute_mi
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score

from jaxdis.metrics import infomec

N = 1500
SIZES = (5, 4, 3)
HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


def factors(sizes=SIZES, n=N):
    rng = np.random.default_rng(0)
    z = np.stack([rng.integers(0, size, n) for size in sizes], 1)
    return z, (z - z.mean(0)) / z.std(0)


Z, U = factors()


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def focus(rows):
    """Mean largest share of the rows, scaled from 0 to 1."""
    shares = (rows / rows.sum(1, keepdims=True)).max(1).mean()
    return (shares - 1 / rows.shape[1]) / (1 - 1 / rows.shape[1])


def normalised(z, codes, neighbours=10):
    return np.array(
        [
            [
                _compute_mi(c, y, False, True, neighbours) / mutual_info_score(y, y)
                for y in z.T
            ]
            for c in (codes / codes.std(0)).T
        ]
    )


def cross_entropy(x, y):
    probe = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=100)
    return log_loss(y, probe.fit(x, y).predict_proba(x))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_is_that_of_sklearn(rng):
    codes = np.hstack([U + rng.normal(size=U.shape), rng.normal(size=(N, 1))])
    found = infomec(Z, codes)
    n = normalised(Z, codes)
    np.testing.assert_allclose(found.matrix, n, atol=1e-6)
    assert float(found.infom) == pytest.approx(focus(n), abs=1e-5)
    assert float(found.infoc) == pytest.approx(focus(n.T), abs=1e-5)
    x = (codes - codes.mean(0)) / codes.std(0)
    explained = [
        1 - cross_entropy(x, y) / cross_entropy(np.zeros_like(x), y) for y in Z.T
    ]
    assert float(found.infoe) == pytest.approx(np.mean(explained), abs=1e-4)
    assert found.active.all()


def test_perfect(rng):
    noisy = (U + 0.02 * rng.normal(size=U.shape))[:, [2, 0, 1]] * [1, -1, 2] + 3
    found = infomec(Z, noisy)
    assert float(found.infom) >= 0.97
    assert float(found.infoc) >= 0.97
    assert float(found.infoe) >= 0.99
    null = infomec(Z, noisy, null="permute")
    np.testing.assert_allclose([null.infom, null.infoc], 1, atol=1e-6)


def test_codes_that_are_classes(rng):
    # The values have no order that a linear probe could use: each has its column.
    order = np.array([3, 0, 4, 1, 2])
    codes = np.column_stack([order[Z[:, 0]], Z[:, 1:], np.full(N, 2)])
    with pytest.warns(UserWarning, match="constant"):
        found = infomec(Z, codes)
    want = [
        [mutual_info_score(c, y) / mutual_info_score(y, y) for y in Z.T]
        for c in codes.T
    ]
    np.testing.assert_allclose(found.matrix, want, atol=1e-6)
    np.testing.assert_array_equal(found.active, [True, True, True, False])
    assert float(found.infoe) >= 0.99
    assert float(found.infom) >= 0.97


def test_duplicated(rng):
    codes = np.hstack([U, U]) + 0.02 * rng.normal(size=(N, 6))
    found = infomec(Z, codes, null="permute")
    d = len(SIZES)
    want = (1 / 2 - 1 / (2 * d)) / (1 - 1 / (2 * d))
    assert float(found.infoc) == pytest.approx(want, abs=0.02)
    assert float(found.infom) >= 0.99


def test_useless(rng):
    codes = rng.normal(size=U.shape)
    found = infomec(Z, codes)
    assert float(found.infom) > 0.1  # ratios of noise
    assert abs(float(found.infoe)) < 0.02
    for key in range(3):
        null = infomec(Z, codes, null="permute", key=key, neighbours=10)
        assert float(null.infom) == float(null.infoc) == 0


def test_rotated():
    z, _ = factors((10,) * 4, 3000)
    # Even steps: sums that almost tie would tell the factors apart.
    codes = (z - 4.5) @ HADAMARD + 0.02 * np.random.default_rng(0).normal(size=z.shape)
    found = infomec(z, codes)
    assert float(found.infom) <= 0.05
    assert float(found.infoc) <= 0.05
    assert float(found.infoe) >= 0.9


def test_which_codes_are_active(rng):
    codes = rng.uniform(size=(N, 5)) * [1, 0.08, 0.04, 0.06, 0]
    codes[0, 3] = 0.5  # an outlier, which moves a range but no quartile
    with pytest.warns(UserWarning, match="constant"):
        found = {
            rule: infomec(Z, codes, active=rule).active.tolist()
            for rule in ("range/20", "range/8", "quartiles/10", "all")
        }
    assert found == {
        "range/20": [True, True, False, True, False],
        "range/8": [True, False, False, True, False],
        "quartiles/10": [True, False, False, False, False],
        "all": [True, True, True, True, False],
    }
    with pytest.warns(UserWarning, match="constant"):
        one = infomec(Z, np.column_stack([U[:, :1], np.ones(N)]), discrete_codes=False)
    assert float(one.infoc) == 0  # of one active code


def test_numbers(rng):
    z = rng.normal(size=(N, 2))
    codes = np.column_stack([z[:, 0] + 0.3 * rng.normal(size=N), rng.normal(size=N)])
    found = infomec(z, codes, discrete=False)
    r2 = [LinearRegression().fit(codes, y).score(codes, y) for y in z.T]
    assert float(found.infoe) == pytest.approx(np.mean(r2), abs=1e-5)
    assert 0.3 < float(found.matrix[0, 0]) < 0.6
    assert float(found.matrix[0, 1]) < 0.05


def test_labels_that_are_missing(rng):
    codes = U + rng.normal(size=U.shape)
    mask = rng.random(Z.shape) < 0.6
    found = infomec(np.where(mask, Z, np.nan), codes, mask=mask)
    for j in range(3):
        alone = infomec(Z[mask[:, j], j : j + 1], codes[mask[:, j]])
        np.testing.assert_allclose(found.matrix[:, j : j + 1], alone.matrix, atol=1e-6)
    assert 0 < float(found.infoe) < 1


def test_constants_and_failed_seeds(rng):
    codes = np.stack([U + rng.normal(size=U.shape)] * 3)
    codes[1, 0, 0] = np.inf
    found = infomec(Z, codes, failed="nan")
    alone = infomec(Z, codes[0])
    for score, one in zip(found, alone, strict=True):
        assert score.shape == (3, *one.shape)
        np.testing.assert_array_equal(score[0], one)
        np.testing.assert_array_equal(score[2], one)
    assert np.isnan(found.infom[1])
    assert np.isnan(found.infoe[1])
    z = Z.copy()
    z[:, 0] = 1
    with pytest.warns(UserWarning, match="constant"):
        flat = infomec(z, codes[0])
    assert all(np.isfinite(score).all() for score in flat)
    with pytest.warns(UserWarning, match="constant"):
        dead = infomec(Z, np.ones((N, 2)))
    np.testing.assert_allclose([dead.infom, dead.infoc, dead.infoe], 0, atol=1e-9)


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments():
    with pytest.raises(ValueError, match="active must be one of 'range/20'"):
        infomec(Z, U, active="some")
    with pytest.raises(ValueError, match="outside of jit"):
        jax.jit(infomec)(jnp.asarray(Z), jnp.asarray(U))
    with pytest.raises(ValueError, match="rows"):
        infomec(Z, U[:5])
