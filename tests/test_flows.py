import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import flows, losses
from jaxdis.kernels import potential_flow

NETS, BATCH, N, HIDDEN, STEPS = 2, 3, 4, 5, 3
# Each potential by itself, and a mixture of both.
Y = np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]])


def networks(rng, gain=1.0):
    """Potentials of random weights, in numpy."""
    shapes = jax.eval_shape(
        lambda key: potential_flow.init(key, NETS, N, HIDDEN), jax.random.key(0)
    )
    return jax.tree.map(lambda a: gain * rng.normal(size=a.shape), shapes)


def problem(seed=0, scale=1.0, head="linear"):
    """A flow and its starting points; with the linear head H is as large as `scale`."""
    rng = np.random.default_rng(seed)
    potentials, forces = networks(rng, 0.7), networks(rng, 0.7)
    potentials = potentials._replace(w3=scale * potentials.w3)
    flow = flows.Flow(as_jax(potentials), as_jax(forces), head)
    return flow, jnp.asarray(rng.normal(size=(BATCH, N)))


def as_jax(tree):
    return jax.tree.map(jnp.asarray, tree)


def probes(log_det, steps=STEPS):
    return flows.probe(log_det, jax.random.key(0), steps, BATCH, N)


def mixed_potential(flow, y, t, z):
    """`sum_k y_k u^k(z, t)` of one point."""
    beta = potential_flow.clock(flow.potentials, t[None]).beta[0]
    u = potential_flow.value(flow.potentials, beta, z[None], flow.head)[:, 0]
    return jnp.sum(y * u)


def of_a_flow(function, **static):
    """`function(flow, *arguments, **static)`, compiled once for each head and shape."""

    @partial(jax.jit, static_argnums=2)
    def program(potentials, forces, head, arguments):
        return function(flows.Flow(potentials, forces, head), *arguments, **static)

    return lambda flow, *arguments: program(*flow, arguments)


def moved_jacobian(flow, y, t, z):
    """I + H of every point by autodiff."""
    hessian = jax.hessian(mixed_potential, 3)
    each = jax.vmap(lambda y, z: jnp.eye(N) + hessian(flow, y, t, z))
    return each(y, z)


def one_step(flow, z, y, t, v=None, *, log_det):
    """A step of `flows.walk` on the kernels' values."""
    clock, beta = (
        jax.tree.map(lambda a: a[0], potential_flow.clock(params, t[None]))
        for params in (flow.potentials, flow.forces)
    )
    d = potential_flow.derivatives(flow.potentials, clock, z, v, flow.head)
    force = potential_flow.value(flow.forces, beta.beta, z, flow.head)
    if log_det is None:
        change = jnp.zeros(len(z))
    elif log_det == "exact":
        change = jnp.linalg.slogdet(moved_jacobian(flow, y, t, z))[1]
    else:
        product = sum(y[:, k, None] * d.product[k] for k in range(NETS))
        change = flows.estimated_log_det(log_det, v, product)
    z = z + sum(y[:, k, None] * d.gradient[k] for k in range(NETS))
    return flows.Path(z, change, d.time, jnp.sum(jnp.square(d.gradient), -1), force)


def walking(log_det):
    """`flows.walk` of one measure, a program."""

    def walk(flow, z, y, times, v=None):
        return flows.walk(flow, z, y, times, log_det, v)

    return of_a_flow(walk)


# Compiled once for all tests that ask for the same shapes.
WALK = {log_det: walking(log_det) for log_det in (None, *flows.LOG_DETS)}
JACOBIAN = of_a_flow(moved_jacobian)


def assert_close(actual, expected, tolerance):
    """Relative to the largest entry of each array."""
    for ours, theirs in zip(
        jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
    ):
        scale = max(np.abs(theirs).max(), 1e-300)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def counted(steps=STEPS):
    return jnp.arange(1.0, steps + 1)


# The Hamilton-Jacobi equation.


def residual(u, t, z, force=0.0):
    """Of a potential in closed form, by autodiff."""

    def one(z):
        gradient = jax.grad(u, 1)(t, z)
        return losses.hamilton_jacobi_residual(
            jax.grad(u)(t, z), gradient @ gradient, jnp.asarray(force)
        )

    return np.asarray(jax.jit(jax.vmap(one))(z))


def expanding(t, z):
    return z @ z / (2 * (t + 0.7))


def quadratic(t, z):
    """u = z' A z / 2 with A = A0 (I + t A0)^-1, so that dA/dt = -A^2."""
    root = np.random.default_rng(1).normal(size=(N, N)) / 3
    start = jnp.asarray(root + root.T)
    # A0 and I + t A0 commute.
    return z @ jnp.linalg.solve(jnp.eye(N) + t * start, start @ z) / 2


@pytest.mark.parametrize("u", [expanding, quadratic])
def test_hamilton_jacobi_holds_for_free_motion(u):
    with jax.enable_x64(True):
        z, t = jnp.asarray(np.random.default_rng(0).normal(size=(9, N))), 0.4
        np.testing.assert_allclose(residual(u, t, z), 0, atol=1e-13)
        # Twice the potential is not a solution: -2 |g|^2 / 2 + 4 |g|^2 / 2 = |g|^2.
        doubled = residual(lambda t, z: 2 * u(t, z), t, z)
        speed = jax.vmap(lambda z: jnp.sum(jax.grad(u, 1)(t, z) ** 2))(z)
        assert float(speed.min()) > 1e-3
        np.testing.assert_allclose(doubled, speed, rtol=1e-10)


def test_hamilton_jacobi_with_a_force():
    # u = a . z - (|a|^2 / 2 + f^2) t moves everything along a.
    with jax.enable_x64(True):
        z = jnp.asarray(np.random.default_rng(0).normal(size=(9, N)))
        a, f = jnp.arange(1.0, N + 1), 0.6
        assert float(a @ a) == 30.0

        def u(t, z):
            return a @ z - (15 + f**2) * t

        np.testing.assert_allclose(residual(u, 0.3, z, f), 0, atol=1e-13)
        np.testing.assert_allclose(residual(u, 0.3, z, -f), 0, atol=1e-13)
        np.testing.assert_allclose(residual(u, 0.3, z), -(f**2), rtol=1e-12)


# Densities.


def log_densities(flow, after, y):
    """After a step with the change of volume, and with row sums instead."""
    weights, times = jnp.broadcast_to(y[None], (len(after), NETS)), jnp.ones(1)
    gradient = jax.vmap(jax.grad(mixed_potential, 3), (None, 0, None, 0))
    # Where the step came from; a contraction, as the Hessian is small enough.
    z = jax.lax.fori_loop(
        0, 60, lambda _, z: after - gradient(flow, weights, times[0], z), after
    )
    ones = jnp.ones((1, *z.shape))
    exact = flows.walk(flow, z, weights, times, "exact")
    rows = flows.walk(flow, z, weights, times, "rowsum", ones)
    start = -0.5 * jnp.sum(z[:, :2] ** 2, -1) - np.log(2 * np.pi)
    ends = start - exact.log_det[0], start - rows.log_det[0].sum(-1)
    return ends, exact.z[0], moved_jacobian(flow, weights, times[0], z)


LOG_DENSITIES = of_a_flow(log_densities)


@pytest.mark.parametrize("y", [(1.0, 0.0), (0.4, 0.6)])
def test_density_after_a_step_integrates_to_one(y):
    """Over the two latents that move.

    The potentials do not see the other two, which are independent of the first and stay
    as they are, so that their factor of the density integrates to 1 by itself.
    """
    rng = np.random.default_rng(4)
    params = networks(rng, gain=0.4)
    params.w1[:, 2:] = 0
    # The trapezoidal rule converges exponentially for what is smooth and has no ends.
    axis = np.linspace(-8, 8, 129)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    with jax.enable_x64(True):
        flow = flows.Flow(as_jax(params), as_jax(networks(rng)), "linear")
        after = jnp.asarray(np.c_[grid, np.zeros_like(grid)])
        ends, there, jacobian = LOG_DENSITIES(flow, after, jnp.asarray(y))
    np.testing.assert_allclose(there, after, atol=1e-12)
    smallest = np.linalg.eigvalsh(np.asarray(jacobian)).min()
    assert 0.2 < smallest < 0.9  # one to one, and far from the identity
    exact, rows = (np.exp(log_q).sum() * (axis[1] - axis[0]) ** 2 for log_q in ends)
    assert exact == pytest.approx(1, abs=1e-9)
    assert abs(rows - 1) > 1e-3  # row sums of the Hessian are no determinant


def test_exact_log_det_against_numpy():
    with jax.enable_x64(True):
        flow, z = problem(scale=2.0)
        y, t = jnp.asarray(Y), jnp.float64(1.0)

        @of_a_flow
        def at_once(flow):
            beta = potential_flow.clock(flow.potentials, t[None]).beta[0]
            return flows.hessian(flow, z, y, beta)

        hessian, jacobian = map(np.asarray, (at_once(flow), JACOBIAN(flow, y, t, z)))
        np.testing.assert_allclose(hessian, jacobian - np.eye(N), atol=1e-11)
        signs, expected = np.linalg.slogdet(jacobian)
        assert set(signs) == {-1.0, 1.0}  # the volume counts, not the orientation
        log_det = jax.jit(flows.exact_log_det)
        np.testing.assert_allclose(log_det(hessian), expected, rtol=1e-11)
        # With any number of leading axes.
        twice = log_det(np.stack([hessian, hessian[::-1]]))
        np.testing.assert_allclose(twice, [expected, expected[::-1]], rtol=1e-11)


# Estimates of the log-determinant.


def symmetric(norm, n=40):
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n))
    h = root + root.T + 0.3 * np.sqrt(n) * np.eye(n)  # whose trace is not about 0
    return norm * h / np.linalg.norm(h, 2)


@pytest.mark.parametrize("norm", [0.05, 0.1])
@pytest.mark.parametrize("log_det", ["hutch_diag", "series"])
def test_mean_estimate_is_the_log_determinant_to_second_order(log_det, norm):
    h = symmetric(norm)
    draws = 40_000
    v = flows.probe(log_det, jax.random.key(1), 1, draws, len(h))[0]
    product = jnp.matmul(v, jnp.float32(h), precision="highest")
    estimates = np.float64(flows.estimated_log_det(log_det, v, product))
    error = estimates.std() / np.sqrt(draws)
    second = np.trace(h) - np.square(h).sum() / 2
    exact = np.linalg.slogdet(np.eye(len(h)) + h)[1]
    # log det = tr H - |H|^2 / 2 + tr H^3 / 3 - ...: what is left is small here.
    assert abs(exact - second) < 3 * error
    assert abs(estimates.mean() - second) < 3 * error
    assert abs(np.trace(h) - second) > 5 * error  # and the second order is not


def test_estimates_of_a_diagonal_hessian():
    # v_i (H v)_i = h_i whatever the signs, so that hutch_diag is exact.
    h = np.array([-0.5, 0.2, 3.0, -2.5])
    v = flows.probe("hutch_diag", jax.random.key(0), 1, 6, 4)[0]
    product = v * jnp.float32(h)[None]
    estimate = flows.estimated_log_det("hutch_diag", v, product)
    np.testing.assert_allclose(estimate, np.log(0.5 * 1.2 * 4 * 1.5), rtol=1e-5)
    series = flows.estimated_log_det("series", v, product)
    np.testing.assert_allclose(series, (h - h**2 / 2).sum(), rtol=1e-5)


def test_row_sums_of_the_hessian():
    with jax.enable_x64(True):
        flow, z = problem(scale=2.0)
        times, y = counted(), jnp.asarray(Y)
        path = WALK["rowsum"](flow, z, y, times, probes("rowsum"))
        jacobian = JACOBIAN(flow, y, times[0], z)
        total = (np.asarray(jacobian) - np.eye(N)).sum(-1)
        assert (total < -1).any()  # in absolute value
        expected = np.log(np.abs(1 + total))
        np.testing.assert_allclose(path.log_det[0], expected, rtol=1e-9)


def test_probes():
    key = jax.random.key(0)
    assert flows.probe("exact", key, 3, 4, 5) is None
    np.testing.assert_array_equal(
        flows.probe("rowsum", key, 3, 4, 5), np.ones((3, 4, 5))
    )
    for log_det in ("hutch_diag", "series"):
        signs = np.asarray(flows.probe(log_det, key, 50, 40, 30))
        assert signs.dtype == "float32"
        assert set(np.unique(signs)) == {-1.0, 1.0}
        # Fresh for every sample and step: no two alike, and none has a mean.
        assert len(np.unique(signs.reshape(-1, 30), axis=0)) == 50 * 40
        assert abs(signs.mean()) < 4 / np.sqrt(signs.size)
        for axis in (0, 1):
            assert np.abs(signs.mean(axis)).max() < 1


# Walks.


@pytest.mark.parametrize(
    ("log_det", "head"),
    [
        (None, "linear"),
        ("rowsum", "linear"),
        ("series", "tanh"),
        ("exact", "tanh"),
    ],
)
def test_walk_is_a_loop_over_steps(log_det, head):
    with jax.enable_x64(True):
        flow, z = problem(head=head)
        y, times = jnp.asarray(Y), jnp.array([1.0, 2.0, 5.0])
        v = None if log_det is None else probes(log_det)

        ours = WALK[log_det](flow, z, y, times, v)
        step, at, path = of_a_flow(one_step, log_det=log_det), z, []
        for i, t in enumerate(times):
            path.append(step(flow, at, y, t, None if v is None else v[i]))
            at = path[-1].z
        expected = jax.tree.map(lambda *leaves: np.stack(leaves), *path)
        each = (N,) if log_det == "rowsum" else ()
        assert ours.log_det.shape == (STEPS, BATCH, *each)
        assert ours.z.shape == (STEPS, BATCH, N)
        assert ours.time.shape == ours.speed.shape == (STEPS, NETS, BATCH)
        assert ours.force.shape == (STEPS, NETS, BATCH)
        assert_close(ours, expected, 1e-10)
        assert bool(jnp.any(ours.log_det != 0)) == (log_det is not None)


def test_gradient_through_a_walk():
    """Against differences along a direction of every argument."""
    rng = np.random.default_rng(5)
    times = np.array([1.0, 5.0])

    @jax.jit
    def total(arguments):
        potentials, forces, z, y = arguments
        flow = flows.Flow(potentials, forces, "linear")
        path = flows.walk(flow, z, y, jnp.asarray(times), "exact")
        hj = losses.hamilton_jacobi_residual(path.time, path.speed, path.force)
        return (path.z**2).sum() + (path.log_det * times[:, None]).sum() + hj.sum()

    with jax.enable_x64(True):
        flow, z = problem()
        arguments = (flow.potentials, flow.forces, z, jnp.asarray(Y))
        leaves, tree = jax.tree.flatten(jax.tree.map(np.asarray, arguments))
        gradients = jax.jit(jax.grad(total))(arguments)

        def moved(i, step):
            changed = [a + step if i == j else a for j, a in enumerate(leaves)]
            return float(total(jax.tree.unflatten(tree, changed)))

        for i, gradient in enumerate(jax.tree.leaves(gradients)):
            way = rng.normal(size=leaves[i].shape)
            slope = (moved(i, 1e-5 * way) - moved(i, -1e-5 * way)) / 2e-5
            expected = (np.asarray(gradient) * way).sum()
            np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)
    # Where the potential's zero lies makes no difference; all else does.
    moves = jax.tree.map(lambda a: bool(np.any(np.asarray(a) != 0)), gradients)
    assert not moves[0].b3
    assert all(jax.tree.leaves((moves[0]._replace(b3=True), moves[1:])))


def test_weights_of_every_step_are_walks_one_after_the_other():
    with jax.enable_x64(True):
        flow, z = problem()
        first, second = jnp.asarray(Y), jnp.asarray(Y[::-1] ** 2)
        times, v = counted(4), probes("hutch_diag", steps=4)

        y = jnp.stack([first, first, second, second])
        path = WALK["hutch_diag"](flow, z, y, times, v)
        walk = WALK["hutch_diag"]
        start = walk(flow, z, first, times[:2], v[:2])
        end = walk(flow, start.z[-1], second, times[2:], v[2:])
        in_turn = jax.tree.map(lambda *a: np.concatenate(a), start, end)
        assert_close(path, in_turn, 1e-13)

        @of_a_flow
        def third_step(flow):
            clock = potential_flow.clock(flow.potentials, times[2:3])
            clock = jax.tree.map(lambda a: a[0], clock)
            return potential_flow.derivatives(
                flow.potentials, clock, path.z[1], None, flow.head
            ).gradient

        # The second weights count from the third step on.
        step = np.einsum("bk,kbn->bn", second, third_step(flow))
        np.testing.assert_allclose(path.z[2] - path.z[1], step, atol=1e-12)


def test_seeds_at_once_equal_seeds_one_by_one():
    with jax.enable_x64(True):
        seeds = []
        for seed in range(2):
            flow, z = problem(seed)
            seeds.append((flow.potentials, flow.forces, z))
        y, times = jnp.asarray(Y), counted()

        def walk(potentials, forces, z):
            flow = flows.Flow(potentials, forces, "linear")
            path = flows.walk(flow, z, y, times, "exact")
            starts = jnp.concatenate([z[None], path.z[:-1]])
            return path, flows.is_invertible(flow, starts, y, times)

        stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *seeds)
        together = jax.jit(jax.vmap(walk))(*stacked)
        alone = jax.jit(walk)
        each = [alone(*seed) for seed in seeds]
        expected = jax.tree.map(lambda *rows: jnp.stack(rows), *each)
        assert_close(together, expected, 1e-12)


def test_every_product_is_float32():
    # Elsewhere than on a CPU, products default to fewer bits than their arguments.
    with jax.enable_x64(False):
        flow, z = problem()
        y, times = jnp.float32(Y), counted()

        def total(potentials, z):
            moved = flow._replace(potentials=potentials)
            exact = flows.walk(moved, z, y, times, "exact")
            series = flows.walk(moved, z, y, times, "series", probes("series"))
            return sum((leaf**2).sum() for leaf in jax.tree.leaves((exact, series)))

        text = jax.jit(jax.grad(total, (0, 1))).lower(flow.potentials, z).as_text()
        products = re.findall(r"stablehlo\.dot_general.*", text)
        assert len(products) > 20
        short = [line for line in products if "[HIGHEST, HIGHEST]" not in line]
        assert short == []


# Invertibility.


def test_invertible_where_all_eigenvalues_are_positive():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        batch = 40
        # A linear head's Hessian is proportional to the output weights.
        flow, _ = problem()
        z = jnp.asarray(rng.normal(size=(STEPS, batch, N)))
        y = jnp.asarray(rng.dirichlet([1, 1], size=batch))
        times = counted()

        @jax.jit
        def look(scale):
            w3 = scale * flow.potentials.w3
            scaled = flow._replace(potentials=flow.potentials._replace(w3=w3))
            jacobian = jax.vmap(partial(moved_jacobian, scaled, y))(times, z)
            return flows.is_invertible(scaled, z, y, times), jacobian

        seen = []
        for scale in (0.05, 1.0, -3.0, 8.0):
            actual, jacobian = look(scale)
            eigenvalues = np.linalg.eigvalsh(np.asarray(jacobian))
            assert np.abs(eigenvalues).min() > 1e-6  # nothing on the edge
            np.testing.assert_array_equal(actual, eigenvalues.min(-1) > 0)
            seen.append((actual.mean(), (eigenvalues < 0).sum(-1).max()))
        assert seen[0][0] == 1
        assert 0 < seen[1][0] < 1
        assert 0 < seen[2][0] < 1
        assert seen[3][1] >= 2  # where the determinant may be positive


def test_not_invertible_where_the_potential_is_not_a_number():
    flow, z = problem()
    flow = flow._replace(
        potentials=flow.potentials._replace(w3=jnp.nan * flow.potentials.w3)
    )
    look = jax.jit(partial(flows.is_invertible, flow))
    actual = look(z[None], jnp.float32(Y), jnp.ones(1))
    np.testing.assert_array_equal(actual, np.zeros((1, BATCH)))


# The prior.


@pytest.mark.parametrize("diffusion", [0.2, 1.5])
def test_prior_solves_the_heat_equation(diffusion):
    with jax.enable_x64(True):

        def density(t, z):
            v = flows.heat_variance(t, jnp.float64(diffusion))
            return jnp.exp(-z @ z / (2 * v)) / (2 * jnp.pi * v) ** (len(z) / 2)

        t, z = (
            jnp.float64(0.8),
            jnp.asarray(np.random.default_rng(0).normal(size=(9, 3))),
        )

        @jax.jit
        @jax.vmap
        def both_sides(z):
            laplacian = jnp.trace(jax.hessian(density, 1)(t, z))
            return jax.grad(density)(t, z), laplacian

        rate, laplacian = both_sides(z)
        np.testing.assert_allclose(rate, diffusion * laplacian, rtol=1e-11)
        assert float(np.abs(rate).min()) > 1e-6
        assert float(flows.heat_variance(0 * t, jnp.float64(diffusion))) == 1


def test_variance_of_every_time_and_sample():
    # 1 + 2 D t.
    variance = flows.heat_variance(jnp.float32([0, 1, 4]), jnp.float32([0.5, 2.0]))
    np.testing.assert_allclose(variance, [[1, 1], [2, 5], [5, 17]], rtol=1e-6)
