"""The closed forms against autodiff of the networks, which define them."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxdis.kernels import potential_flow

NETS, BATCH = 2, 5
GAINS = np.array([1.0, 3.0, 6.0])
TIMES = np.array([0.0, 1.0, 2.0, 8.0])
# Latents and hidden units: the smallest; as many; more; fewer.
SIZES = [(4, 4), (8, 8), (6, 11), (10, 3)]
HEADS = ["linear", "tanh"]

# [gain, time, ...] of everything, in one program.
over_gains_and_times = partial(jax.vmap, in_axes=(0, None, None, None))


def draw(n, hidden, seed=0):
    """Networks and points in float32, in numpy."""
    rng = np.random.default_rng(seed)

    def normal(fan_in, *shape):
        return np.float32(rng.normal(size=(NETS, *shape)) * fan_in**-0.5)

    h = hidden
    params = potential_flow.Potentials(
        w1=normal(n, n, h),
        b1=normal(n, h),
        wt=normal(n, n, h),
        bt=normal(n, h),
        vt=normal(h, h, h),
        ct=normal(h, h),
        w2=normal(h, h, h),
        b2=normal(h, h),
        w3=normal(h, h),
        b3=normal(h),
    )
    z, v = np.float32(rng.normal(size=(2, BATCH, n)))
    return params, z, v


def scaled(params):
    """The networks with weights and biases times each gain, `[gain, ...]`."""
    return jax.tree.map(lambda w: np.multiply.outer(np.float32(GAINS), w), params)


def as_float64(tree):
    return jax.tree.map(lambda a: jnp.asarray(a, "float64"), tree)


def u(params, t, z, head):
    """All potentials at one point: what is differentiated below."""
    beta = potential_flow.clock(params, t[None]).beta[0]
    return potential_flow.value(params, beta, z[None], head)[:, 0]


def by_autodiff(params, t, z, v, head):
    """Derivatives, Hessian and its diagonal, in `potential_flow`'s shapes."""

    def one(z, v):
        hessian = jax.hessian(u, 2)(params, t, z, head)
        return potential_flow.Derivatives(
            u(params, t, z, head),
            jax.jacfwd(u, 1)(params, t, z, head),
            jax.jacrev(u, 2)(params, t, z, head),
            hessian @ v,
        ), hessian

    found, hessian = jax.vmap(one, out_axes=1)(z, v)
    return found, hessian, jnp.diagonal(hessian, axis1=-2, axis2=-1)


def by_formula(params, t, z, v, head):
    at = jax.tree.map(lambda a: a[0], potential_flow.clock(params, t[None]))
    return (
        potential_flow.derivatives(params, at, z, v, head),
        potential_flow.hessian(params, at.beta, z, head),
        potential_flow.hessian_diagonal(params, at.beta, z, head),
    )


def over_everything(function, params, times, z, v, head):
    """`[gain, time, ...]` in one program."""
    each = jax.vmap(
        jax.vmap(partial(function, head=head), (None, 0, None, None)),
        (0, None, None, None),
    )
    return jax.jit(each)(params, times, z, v)


def assert_close(actual, expected, tolerance, leading=2):
    """Relative to the largest entry of each array, one array a gain and time."""
    actual, expected = (jax.tree.leaves(tree) for tree in (actual, expected))
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.shape == theirs.shape
        rows = (*ours.shape[:leading], -1)
        error = np.abs(np.float64(ours) - np.float64(theirs)).reshape(rows).max(-1)
        size = np.abs(np.float64(theirs)).reshape(rows).max(-1)
        assert (error <= tolerance * size).all(), (error / size).max()


def forward(params, t, z, head):
    """The networks in numpy: exact GELU, and a sinusoidal embedding of time."""
    params = jax.tree.map(np.float64, params)
    z, n = np.float64(z), z.shape[-1]
    rates = np.exp(-np.arange(n // 2) * np.log(1e4) / (n / 2 - 1))
    e = np.concatenate([np.sin(t * rates), np.cos(t * rates)])
    values = []
    for k in range(NETS):
        w = jax.tree.map(lambda a, k=k: a[k], params)
        q = e @ w.wt + w.bt
        tau = 0.5 * q * (1 + special.erf(q / np.sqrt(2))) @ w.vt + w.ct
        a = np.tanh((np.tanh(z @ w.w1 + w.b1) + tau) @ w.w2 + w.b2)
        o = a @ w.w3 + w.b3
        values.append(o if head == "linear" else np.tanh(o))
    return np.stack(values)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("n", "hidden"), SIZES)
def test_value_is_the_network(n, hidden, head):
    params, z, _ = draw(n, hidden)
    with jax.enable_x64(True):
        for t in TIMES:
            beta = potential_flow.clock(as_float64(params), jnp.array([t])).beta[0]
            actual = potential_flow.value(
                as_float64(params), beta, jnp.float64(z), head
            )
            expected = forward(params, t, z, head)
            np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("n", "hidden"), SIZES)
def test_closed_forms_against_autodiff(n, hidden, head):
    params, z, v = draw(n, hidden)
    params = scaled(params)
    with jax.enable_x64(True):
        arguments = as_float64((params, TIMES, z, v))
        expected = over_everything(by_autodiff, *arguments, head)
        actual = over_everything(by_formula, *arguments, head)
        assert actual[0].value.dtype == jnp.float64
        assert_close(actual, expected, 1e-10)
    # The same numbers in float32, still against float64.
    arguments = jax.tree.map(jnp.float32, (params, TIMES, z, v))
    actual = over_everything(by_formula, *arguments, head)
    assert {leaf.dtype for leaf in jax.tree.leaves(actual)} == {jnp.dtype("float32")}
    assert_close(actual, expected, 1e-5)
