"""Determinants, linear systems and eigenvectors, against LAPACK in numpy."""

import itertools
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxdis import devices, linalg


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def hollow(n, seed=0):
    """Zeros on the diagonal: nothing can be eliminated without changing rows."""
    a = normal(n, n, seed=seed)
    np.fill_diagonal(a, 0)
    return a


# The row order that elimination must find is no order of the diagonal.
SHIFT = np.roll(np.diag([2.0, -3.0, 0.5, 1.0, -1.0]), 2, axis=0)
MATRICES = {
    "number": np.array([[-3.0]]),
    "swap": np.array([[0.0, 2.0], [-5.0, 0.0]]),
    "shift": SHIFT,
    "hollow": hollow(7),
    # Without pivoting, 1e-14 as a pivot loses everything.
    "tiny pivot": np.array([[1e-14, 1.0, 2.0], [1.0, 1.0, 0.0], [3.0, -1.0, 1.0]]),
    "symmetric": hollow(5) + hollow(5).T,
    "large": hollow(40),
}
each_matrix = pytest.mark.parametrize("name", MATRICES)


class Answers(NamedTuple):
    """What the module says of one matrix, and of three right sides."""

    log_det: np.ndarray
    log_det_slope: np.ndarray
    log_det_alone: np.ndarray
    det: np.ndarray
    det_slope: np.ndarray
    solution: np.ndarray


@jax.jit
def answer(a, b):
    log_det, log_det_slope = jax.value_and_grad(linalg.log_abs_det)(a)
    det, det_slope = jax.value_and_grad(linalg.det)(a)
    alone, solution = linalg.log_abs_det(a), linalg.solve(a, b)
    return Answers(log_det, log_det_slope, alone, det, det_slope, solution)


@cache
def answers(name):
    """All answers of one program: every size is compiled once."""
    a = MATRICES[name]
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, answer(jnp.asarray(a), right(a)))


def right(a):
    return normal(len(a), 3, seed=1)


@each_matrix
def test_log_abs_det_and_its_gradient(name):
    # d log |det a| / d a_ij = (a^-1)_ji.
    a, found = MATRICES[name], answers(name)
    expected = np.linalg.slogdet(a)[1]
    for value in (found.log_det, found.log_det_alone):
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        found.log_det_slope, np.linalg.inv(a).T, rtol=1e-9, atol=1e-12
    )


def test_forward_derivative_of_log_abs_det():
    a, da = normal(2, 6, 6)
    with jax.enable_x64(True):
        derive = jax.jit(lambda a, da: jax.jvp(linalg.log_abs_det, (a,), (da,)))
        _, slope = derive(*map(jnp.asarray, (a, da)))
    # A central difference, whose error is of the order of step^2.
    ahead, behind = (np.linalg.slogdet(a + s * da)[1] for s in (1e-5, -1e-5))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6)


@each_matrix
def test_solve(name):
    a = MATRICES[name]
    expected = np.linalg.solve(a, right(a))
    np.testing.assert_allclose(answers(name).solution, expected, rtol=1e-9, atol=1e-11)


@each_matrix
def test_det_and_its_gradient(name):
    # d det a / d a_ij = det a (a^-1)_ji.
    a, found = MATRICES[name], answers(name)
    assert found.det.dtype == a.dtype
    expected = np.linalg.det(a)
    np.testing.assert_allclose(found.det, expected, rtol=1e-11)
    by_inverse = expected * np.linalg.inv(a).T
    scale = np.abs(by_inverse).max()
    np.testing.assert_allclose(
        found.det_slope, by_inverse, rtol=1e-9, atol=1e-12 * scale
    )


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_det_of_permutations(n):
    orders = list(itertools.permutations(range(n)))
    signs = jax.jit(jax.vmap(linalg.det))(jnp.float32(np.eye(n)[np.array(orders)]))
    inversions = [sum(a > b for a, b in itertools.combinations(o, 2)) for o in orders]
    np.testing.assert_array_equal(signs, (-1.0) ** np.array(inversions))


@pytest.mark.parametrize(
    "a", [np.zeros((2, 2)), np.ones((3, 3)), np.diag([0.0, 1, 2]), np.diag([1.0, 2, 0])]
)
def test_det_of_singular_matrices_is_0(a):
    assert jax.jit(linalg.det)(jnp.float32(a)) == 0


def test_float32():
    a, b = np.float32(hollow(40)), np.float32(normal(40, 2, seed=1))
    value, gradient = jax.jit(jax.value_and_grad(linalg.log_abs_det))(a)
    x = jax.jit(linalg.solve)(a, b)
    assert value.dtype == gradient.dtype == x.dtype == "float32"
    a, b = np.float64(a), np.float64(b)
    np.testing.assert_allclose(value, np.linalg.slogdet(a)[1], rtol=1e-5)
    # The condition number, here 200, times the rounding of the entries.
    assert np.linalg.cond(a) < 1000
    np.testing.assert_allclose(gradient, np.linalg.inv(a).T, atol=1e-3)
    np.testing.assert_allclose(a @ np.float64(x), b, atol=1e-3)


def spectrum(eigenvalues):
    """A symmetric matrix of these eigenvalues, and random eigenvectors."""
    q = np.linalg.qr(normal(len(eigenvalues), len(eigenvalues)))[0]
    return (q * np.asarray(eigenvalues)) @ q.T


@pytest.mark.parametrize(
    ("a", "definite"),
    [
        (np.array([[2.0]]), True),
        (np.array([[-2.0]]), False),
        (np.array([[0.0]]), False),
        (spectrum([0.01, 1, 5]), True),
        (spectrum([-0.01, 1, 5]), False),
        (spectrum([-1, -2, 5]), False),  # of positive determinant
        (spectrum([-1, -2, -3, -4]), False),
        (spectrum(np.linspace(0.1, 2, 40)), True),
        (spectrum(np.r_[-0.05, np.linspace(0.1, 2, 39)]), False),
        # Positive on the diagonal is not enough, and not after a zero pivot.
        (np.array([[1.0, 2.0], [2.0, 1.0]]), False),
        (np.array([[0.0, 1.0], [1.0, 1.0]]), False),
        (np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), False),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), False),
        (np.array([[np.nan, 0.0], [0.0, 1.0]]), False),
    ],
)
def test_is_positive_definite(a, definite):
    with jax.enable_x64(True):
        answer = jax.jit(linalg.is_positive_definite)(jnp.asarray(a))
    assert answer.dtype == bool
    assert bool(answer) == definite
    if np.isfinite(a).all():
        assert definite == (np.linalg.eigvalsh(a).min() > 1e-14)


def test_batches():
    # Every matrix has pivots of its own.
    a = np.stack(
        [hollow(6, seed) for seed in range(5)] + [spectrum(np.arange(1.0, 7))] * 2
    )
    a[-1, 0, 0] = -1
    b = normal(7, 6, 2)
    with jax.enable_x64(True):

        @jax.jit
        @jax.vmap
        def together(a, b):
            value, gradient = jax.value_and_grad(linalg.log_abs_det)(a)
            return value, gradient, linalg.solve(a, b), linalg.is_positive_definite(a)

        value, gradient, x, definite = together(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(value, np.linalg.slogdet(a)[1], rtol=1e-10)
    inverse = np.linalg.inv(a)
    np.testing.assert_allclose(gradient, inverse.swapaxes(1, 2), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(definite, [False] * 5 + [True, False])


@pytest.mark.parametrize(
    "a", [np.zeros((2, 2)), np.ones((3, 3)), np.diag([0.0, 1, 2]), np.diag([1.0, 2, 0])]
)
def test_singular_matrices_have_no_finite_log_determinant(a):
    assert not np.isfinite(jax.jit(linalg.log_abs_det)(jnp.float32(a)))


def test_every_device_at_once():
    # One program a device, as many as or more than there are cores.
    mesh = devices.seed_mesh(8)
    assert mesh.size == 8
    spec = PartitionSpec(*mesh.axis_names)
    a = np.stack([hollow(40, seed) for seed in range(32)])

    @jax.jit
    @partial(jax.shard_map, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    @jax.vmap
    def spread(a):
        return jax.value_and_grad(linalg.log_abs_det)(a)

    with jax.enable_x64(True):
        value, gradient = spread(jnp.asarray(a))
        assert len(value.sharding.device_set) == 8
    np.testing.assert_allclose(value, np.linalg.slogdet(a)[1], rtol=1e-10)
    expected = np.linalg.inv(a).swapaxes(1, 2)
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_eigenvectors_of_symmetric_matrices(n):
    a = np.float32(hollow(n) @ hollow(n).T + (n == 1))
    values, vectors = jax.jit(linalg.eigh)(jnp.asarray(a))
    expected = np.linalg.eigvalsh(a.astype(float))[::-1]
    np.testing.assert_allclose(values, expected, atol=1e-6 * expected[0])
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), atol=1e-5)
    made = vectors @ jnp.diag(values) @ vectors.T
    np.testing.assert_allclose(made, a, atol=1e-5 * expected[0])


def test_eigenvectors_of_a_diagonal_matrix_are_its_axes_in_order():
    values, vectors = linalg.eigh(jnp.diag(jnp.array([1.0, 3.0, 2.0])))
    np.testing.assert_array_equal(values, [3, 2, 1])
    np.testing.assert_array_equal(vectors, np.eye(3)[:, [1, 2, 0]])


def test_orthonormal_columns_span_what_the_first_columns_do():
    a = np.float32(normal(9, 4))
    a[:, 1] = a[:, 0] + 1e-3 * a[:, 1]  # nearly dependent
    found = np.asarray(jax.jit(linalg.orthonormal)(a))
    np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-5)
    expected = np.linalg.qr(a.astype(float))[0]
    same = np.abs((found * expected).sum(0))
    np.testing.assert_allclose(same, 1, atol=1e-4)
    empty = linalg.orthonormal(jnp.zeros((3, 2)))
    np.testing.assert_array_equal(empty, np.zeros((3, 2)))


def test_conjugate_gradients():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 6, 6)) * np.array([1, 0.1, 10, 1])[:, None, None]
    a = root @ root.swapaxes(1, 2) + np.eye(6)
    b = rng.normal(size=(4, 6))
    b[3] = 0
    matrix = jnp.asarray(a, jnp.float32)

    def product(x):
        return jnp.einsum("tij,tj->ti", matrix, x, precision="highest")

    run = jax.jit(linalg.conjugate_gradients, static_argnums=(0, 2, 3))
    found = run(product, jnp.float32(b), 100, 1e-6)
    expected = np.linalg.solve(a, b[..., None])[..., 0]
    for row in range(3):
        error = np.linalg.norm(found[row] - expected[row])
        assert error < 1e-4 * np.linalg.norm(expected[row])
    np.testing.assert_array_equal(found[3], 0)
    # A row that is solved does not move while another still does.
    loose = np.asarray([run(product, jnp.float32(b), n, 1e-2) for n in (5, 6, 100)])
    still = np.linalg.norm(np.einsum("tij,ntj->nti", a, loose) - b, axis=2)
    settled = still[0] <= 1e-2 * np.linalg.norm(b, axis=1)
    assert settled[1]
    np.testing.assert_array_equal(loose[0][settled], loose[2][settled])


def test_conjugate_gradients_at_any_scale_and_of_no_matrix():
    diagonal = jnp.float32([[1, 2, 4]] * 6).at[5].set(0)
    sizes = jnp.float32([1e-25, 1e-12, 1e25, jnp.nan, jnp.inf, 1])
    b = sizes[:, None] * jnp.ones((6, 3), jnp.float32)
    found = linalg.conjugate_gradients(lambda x: diagonal * x, b, 100, 1e-6)
    np.testing.assert_allclose(found[:3], b[:3] / diagonal[:3], rtol=1e-5)
    # What is not finite is not answered by zero, and what has no answer by infinity.
    assert np.isnan(found[3:5]).all()
    assert np.isfinite(found[5]).all()
