import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxdis.metrics import assign, correlation_matrix, mcc
from jaxdis.metrics.assignment import ON_DEVICE, matched

on_device = jax.jit(jax.vmap(assign))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def best(matrix):
    """The largest sum, by scipy."""
    wide = matrix.astype(np.float64)
    return wide[linear_sum_assignment(wide, maximize=True)].sum()


def check_exact(matrices, found):
    for matrix, pi in zip(matrices, np.asarray(found), strict=True):
        rows = np.flatnonzero(pi >= 0)
        assert (pi[pi < 0] == -1).all()
        assert len(set(pi[rows])) == len(rows) == min(matrix.shape)
        scale = float(np.abs(matrix).max())
        total = matrix[rows, pi[rows]].sum(dtype=np.float64)
        assert total == pytest.approx(best(matrix), abs=2e-6 * scale)


@pytest.mark.parametrize(
    ("shape", "many"), [((3, 3), 10_000), ((2, 5), 500), ((5, 2), 500), ((12, 12), 50)]
)
def test_in_a_vmap_it_is_exact_for_random_and_tied_matrices(rng, shape, many):
    for draw in (
        rng.normal(size=(many, *shape)),
        rng.integers(0, 3, (many, *shape)),  # many ties
        -rng.integers(0, 2, (many, *shape)) * 1e3,
    ):
        matrices = draw.astype(np.float32)
        check_exact(matrices, on_device(matrices))


def test_degenerate_matrices(rng):
    column, row = rng.random((2, 40)).astype(np.float32)
    matrices = np.stack(
        [
            np.zeros((40, 40), np.float32),
            np.tile(column[:, None], 40),
            np.tile(row, (40, 1)),
            np.outer(column, row),
            np.eye(40, dtype=np.float32),
        ]
    )
    check_exact(matrices, on_device(matrices))
    check_exact(matrices, [assign(m) for m in matrices])
    assert assign(np.ones((1, 1))).tolist() == [0]


@pytest.mark.parametrize("shape", [(300, 300), (500, 260), (2, 4096)])
def test_known_and_large_traced_matrices_go_through_the_host(rng, shape):
    matrix = rng.normal(size=shape).astype(np.float32)
    assert max(shape) > ON_DEVICE
    check_exact([matrix], [assign(matrix)])
    pair = np.stack([matrix, rng.normal(size=shape).astype(np.float32)])
    check_exact(pair, on_device(pair))


def test_entries_that_are_not_finite_count_as_zero_everywhere():
    matrix = np.array([[np.nan, 0.2, 0.9], [0.1, np.inf, 0.8], [0.7, 0.1, -np.inf]])
    # .2 + .8 + .7 is the largest sum of what is left.
    assert assign(matrix).tolist() == [1, 2, 0]
    assert jax.jit(assign)(matrix).tolist() == [1, 2, 0]


def test_what_is_matched_without_a_code_or_with_a_broken_one():
    tall = np.array([[0.5], [0.7]], np.float32)
    broken = np.array([[0.5, np.nan], [0.7, np.nan]], np.float32)
    for matrix in (tall, jnp.asarray(tall)):
        np.testing.assert_allclose(matched(matrix), [0, 0.7], rtol=1e-6)
    for matrix in (broken, jnp.asarray(broken)):
        assert np.isnan(matched(matrix)).all()
    np.testing.assert_allclose(
        matched(np.stack([tall, 2 * tall])), [[0, 0.7], [0, 1.4]]
    )


def test_codes_of_the_size_of_a_dictionary(rng):
    # 1,500 factors among 3,000 codes, which know them up to noise.
    z = rng.normal(size=(300, 1500)).astype(np.float32)
    order = rng.permutation(3000)
    codes = np.concatenate([z, rng.normal(size=z.shape).astype(np.float32)], 1)
    with pytest.warns(UserWarning, match="300 samples of 1500 factors and 3000 codes"):
        found = assign(correlation_matrix(z, codes[:, order]))
    np.testing.assert_array_equal(order[np.asarray(found)], np.arange(1500))
    with pytest.warns(UserWarning, match="300 samples"):
        assert float(mcc(z, codes[:, order])) == pytest.approx(1, abs=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_wrong_matrices_are_refused():
    with pytest.raises(ValueError, match=r"matrix has shape \(2,\); it must be"):
        assign(np.ones(2))
    with pytest.raises(ValueError, match="matrix is complex"):
        assign(np.ones((2, 2)) * 1j)
