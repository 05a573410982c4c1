"""The closed forms against autodiff of the networks, which define them."""

import re
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.kernels import potential_flow

NETS, BATCH = 2, 5
GAINS = np.array([1.0, 3.0, 6.0])
TIMES = np.array([0.0, 1.0, 2.0, 8.0])
HEADS = ["linear", "tanh"]

# Of float32 and each gain: an error of eps |x| before a tanh is one of 2 eps |x| in its
# slope, relative to the slope.
SINGLE = np.array([2e-6, 5e-6, 3e-5])


def draw(n, hidden, seed=0):
    """Networks and points in float32, in numpy."""
    rng = np.random.default_rng(seed)

    def uniform(fan_in, *shape):
        bound = fan_in**-0.5
        return np.float32(rng.uniform(-bound, bound, (NETS, *shape)))

    h = hidden
    params = potential_flow.Potentials(
        w1=uniform(n, n, h),
        b1=uniform(n, h),
        wt=uniform(n, n, h),
        bt=uniform(n, h),
        vt=uniform(h, h, h),
        ct=uniform(h, h),
        w2=uniform(h, h, h),
        b2=uniform(h, h),
        w3=uniform(h, h),
        b3=uniform(h),
    )
    z, v = np.float32(rng.normal(size=(2, BATCH, n)))
    return params, z, v


def scaled(params):
    """The networks with weights and biases times each gain, `[gain, ...]`."""
    return jax.tree.map(lambda w: np.multiply.outer(np.float32(GAINS), w), params)


def as_float64(tree):
    return jax.tree.map(lambda a: jnp.asarray(a, "float64"), tree)


def tanh(x):
    """Whose derivatives, by autodiff of this form, do not cancel at large |x|."""
    return 1 - 2 / (1 + jnp.exp(2 * x))


def network(w, t, z, head):
    """One potential at one point: exact GELU, sinusoidal embedding of time."""
    n = len(z)
    angles = t * jnp.exp(-jnp.arange(n // 2) * jnp.log(1e4) / (n / 2 - 1))
    e = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])
    q = e @ w.wt + w.bt
    tau = 0.5 * q * (1 + jax.lax.erf(q / np.sqrt(2))) @ w.vt + w.ct
    a = tanh((tanh(z @ w.w1 + w.b1) + tau) @ w.w2 + w.b2)
    o = a @ w.w3 + w.b3
    return o if head == "linear" else tanh(o)


def by_autodiff(params, t, z, v, head):
    """Derivatives and Hessian, in `potential_flow`'s shapes."""

    def one(w, z, v):
        def first(z):
            value, found = jax.value_and_grad(network, (1, 2))(w, t, z, head)
            return found[1], (value, *found)

        hessian, found = jax.jacfwd(first, has_aux=True)(z)
        return potential_flow.Derivatives(*found, hessian @ v), hessian

    points = jax.vmap(one, (None, 0, 0))
    return jax.vmap(points, (0, None, None))(params, z, v)


def at_time(params, t):
    return jax.tree.map(lambda a: a[0], potential_flow.clock(params, t[None]))


def by_formula(params, t, z, v, head):
    at = at_time(params, t)
    return (
        potential_flow.derivatives(params, at, z, v, head),
        potential_flow.hessian(params, at.beta, z, head),
    )


def over_everything(function, params, times, z, v, head):
    """`[gain, time, ...]` in one program."""
    each = jax.vmap(
        jax.vmap(partial(function, head=head), (None, 0, None, None)),
        (0, None, None, None),
    )
    return jax.jit(each)(params, times, z, v)


def assert_close(actual, expected, tolerance):
    """Relative to the largest entry, in each row of the leading axis."""
    actual, expected = (jax.tree.leaves(tree) for tree in (actual, expected))
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.shape == theirs.shape
        rows = len(theirs), -1
        error = np.abs(np.float64(ours) - np.float64(theirs)).reshape(rows).max(-1)
        size = np.abs(np.float64(theirs)).reshape(rows).max(-1)
        assert (size > 0).all()
        assert (error <= tolerance * size).all(), error / size


@pytest.mark.parametrize(
    ("n", "hidden", "head"),
    # As many latents as hidden units, fewer, and more.
    [(4, 4, "linear"), (6, 11, "tanh"), (10, 3, "linear")],
)
def test_closed_forms_against_autodiff(n, hidden, head):
    params, z, v = draw(n, hidden)
    params = scaled(params)
    with jax.enable_x64(True):
        arguments = as_float64((params, TIMES, z, v))
        expected = over_everything(by_autodiff, *arguments, head)
        actual = over_everything(by_formula, *arguments, head)
        assert actual[0].value.dtype == "float64"
        # Every gain and time by itself: the saturated ones are small.
        by_both = jax.tree.map(
            lambda a: a.reshape(-1, *a.shape[2:]), (actual, expected)
        )
        assert_close(*by_both, 1e-12)
    # The same numbers in float32, still against float64.
    arguments = jax.tree.map(jnp.float32, (params, TIMES, z, v))
    actual = over_everything(by_formula, *arguments, head)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(actual)} == {"float32"}
    assert_close(actual, expected, SINGLE)


@pytest.mark.parametrize("head", HEADS)
def test_less_may_be_asked(head):
    params, z, v = draw(6, 5)

    @jax.jit
    def ask(params, z, v):
        at = at_time(params, jnp.float32(2.0))
        return (
            potential_flow.derivatives(params, at, z, v, head),
            potential_flow.derivatives(params, at, z, None, head),
            potential_flow.value(params, at.beta, z, head),
        )

    everything, without, value = ask(params, z, v)
    assert everything.product is not None
    assert without.product is None
    assert_close(without[:3], everything[:3], 1e-6)
    assert_close(value, everything.value, 1e-6)


def test_saturated_layers_keep_their_digits():
    # 1 - tanh(9)^2 = 6e-8, one unit in the last place of the float32 below 1.
    exact = 1 - np.tanh(9.0) ** 2
    assert abs((1 - jnp.tanh(jnp.float32(9)) ** 2) / exact - 1) > 0.02
    params, z, v = draw(6, 5)
    far = np.float32([9, -9])[:, None] * np.ones((NETS, 5), np.float32)
    saturated = [{"b1": far}, {"b2": far}, {"b3": far[:, 0]}]
    params = [params._replace(**layer) for layer in saturated]
    params = jax.tree.map(lambda *layers: np.stack(layers), *params)
    t = np.float32(1.0)

    def slopes(params, t, z, v):
        def along(z):
            found = by_formula(params, t, z, v, "tanh")
            return (v[None] * found[0].gradient).sum((1, 2)), found

        reverse, found = jax.jacrev(along, has_aux=True)(z)
        return found[0][1:], found[1:], reverse

    def expected(params, t, z, v):
        found = by_autodiff(params, t, z, v, "tanh")
        return found[0][1:], found[1:], found[0].product

    def each_layer(function):
        return jax.jit(jax.vmap(function, (0, None, None, None)))

    with jax.enable_x64(True):
        exact = each_layer(expected)(*as_float64((params, t, z, v)))
    assert_close(each_layer(slopes)(params, t, z, v), exact, 2e-5)


def test_clock_of_many_times():
    params, _, _ = draw(6, 5)
    with jax.enable_x64(True):
        params, times = as_float64((params, TIMES))
        clock = jax.jit(potential_flow.clock)(params, times)
        assert clock.beta.shape == clock.rate.shape == (len(TIMES), NETS, 5)
        # beta(t) on its own, and its derivative by autodiff.

        @jax.jit
        @jax.vmap
        def both(t):
            def beta(t):
                return potential_flow.clock(params, t[None]).beta[0]

            return jax.jvp(beta, (t,), (jnp.ones_like(t),))

        assert_close(clock, both(times), 1e-13)


def test_gradient_through_the_closed_forms():
    # Training differentiates them once, in reverse; nested autodiff is the oracle.
    params, z, v = draw(4, 5)

    def total(formulas, params, t, z, v):
        leaves = jax.tree.leaves(formulas(params, t, z, v, "tanh"))
        weights = (jnp.cos(jnp.arange(a.size)).reshape(a.shape) for a in leaves)
        return sum((w * a).sum() for w, a in zip(weights, leaves, strict=True))

    def gradient(formulas):
        return jax.jit(jax.grad(partial(total, formulas), (0, 1, 2, 3)))

    with jax.enable_x64(True):
        arguments = as_float64((jax.tree.map(lambda w: 3 * w, params), 2.0, z, v))
        ours = gradient(by_formula)(*arguments)
        theirs = gradient(by_autodiff)(*arguments)
        assert_close(*jax.tree.map(lambda a: a[None], (ours, theirs)), 1e-11)


def pad(array, *shape):
    """Zeros at the end of the axes after the first, until they have this shape."""
    more = zip(shape, array.shape[1:], strict=True)
    return np.pad(array, [(0, 0), *((0, to - size) for to, size in more)])


def test_padding_with_zeros_changes_nothing():
    n, h = 6, 8  # with zeros; 4 and 5 without
    params, z, v = draw(4, 5)
    wide = potential_flow.Potentials(
        w1=pad(params.w1, 4, h),
        b1=pad(params.b1, h),
        wt=pad(params.wt, 4, h),
        bt=pad(params.bt, h),
        vt=pad(params.vt, h, h),
        ct=pad(params.ct, h),
        w2=pad(params.w2, h, h),
        b2=pad(params.b2, h),
        w3=pad(params.w3, h),
        b3=params.b3,
    )
    time = jax.jit(at_time)
    at, wide_at = time(params, jnp.float32(2.0)), time(wide, jnp.float32(2.0))
    assert_close(wide_at, jax.tree.map(lambda a: pad(a, h), at), 1e-6)
    # Latents without weights may hold anything. An embedding of time for more latents
    # would be another one, so the clock stays.
    wide = wide._replace(w1=pad(wide.w1, n, h))
    wide_z, wide_v = (np.c_[a, np.ones((BATCH, n - 4), a.dtype)] for a in (z, v))

    @jax.jit
    def everything(params, at, z, v):
        return (
            potential_flow.derivatives(params, at, z, v, "tanh"),
            potential_flow.hessian(params, at.beta, z, "tanh"),
        )

    d, hessian = everything(params, at, z, v)
    d = d._replace(gradient=pad(d.gradient, BATCH, n), product=pad(d.product, BATCH, n))
    expected = d, pad(hessian, BATCH, n, n)
    assert_close(everything(wide, wide_at, wide_z, wide_v), expected, 2e-6)


def test_seeds_at_once_equal_seeds_one_by_one():
    seeds = [draw(6, 5, seed) for seed in range(3)]
    params, z, v = jax.tree.map(lambda *rows: np.stack(rows), *seeds)
    t = np.float32(2.0)
    form = partial(by_formula, head="tanh")
    together = jax.jit(jax.vmap(form, (0, None, 0, 0)))(params, t, z, v)
    alone = jax.jit(form)
    each = [alone(params, t, z, v) for params, z, v in seeds]
    expected = jax.tree.map(lambda *rows: np.stack(rows), *each)
    assert_close(together, expected, 2e-6)


def test_initial_parameters():
    # Weights and biases U(-b, b) with b = 1 / sqrt(fan_in), the biases with that of
    # their layer: variance b^2 / 3.
    init = partial(potential_flow.init, potentials=3, n=100, hidden=64)
    params = jax.jit(init)(jax.random.key(0, impl="rbg"))  # compiles faster
    fan_ins = potential_flow.Potentials(
        w1=(100, (100, 64)),
        b1=(100, (64,)),
        wt=(100, (100, 64)),
        bt=(100, (64,)),
        vt=(64, (64, 64)),
        ct=(64, (64,)),
        w2=(64, (64, 64)),
        b2=(64, (64,)),
        w3=(64, (64,)),
        b3=(64, ()),
    )
    for values, (fan_in, shape) in zip(params, fan_ins, strict=True):
        assert values.shape == (3, *shape)
        bound = fan_in**-0.5
        assert float(jnp.abs(values).max()) <= bound
        if values.size > 3:
            assert float(jnp.abs(values).max()) > 0.9 * bound
            assert float(values.var()) == pytest.approx(bound**2 / 3, rel=0.25)
    numbers = np.concatenate([np.ravel(values) for values in params])
    assert np.unique(numbers).size > 0.99 * numbers.size  # nothing is drawn twice


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 4, 4), "potentials must be at least 1, got 0"),
        ((1, 5, 4), "latent size must be even .* got 5"),
        ((1, 2, 4), "at least 4, since the time embedding .* got 2"),
        ((1, 4, 0), "hidden must be at least 1, got 0"),
    ],
)
def test_sizes_that_make_no_network(sizes, message):
    with pytest.raises(ValueError, match=message):
        potential_flow.check_sizes(*sizes)
    with pytest.raises(ValueError, match=message):
        potential_flow.init(jax.random.key(0), *sizes)


def test_sizes_that_make_networks():
    for sizes in [(1, 4, 1), (3, 226, 226)]:
        potential_flow.check_sizes(*sizes)
        made = jax.eval_shape(
            lambda key, sizes=sizes: potential_flow.init(key, *sizes), jax.random.key(0)
        )
        assert made.w1.shape == sizes


def gradient_program():
    """Everything that training differentiates, in reverse, and its arguments."""

    def total(params, t, z, v):
        leaves = jax.tree.leaves(by_formula(params, t, z, v, "tanh"))
        return sum((leaf**2).sum() for leaf in leaves)

    params, z, v = draw(6, 5)
    arguments = params, np.float32(1.0), z, v
    return jax.jit(jax.value_and_grad(total, (0, 2, 3))), arguments


def test_every_product_is_float32():
    # Elsewhere than on a CPU, products default to fewer bits than their arguments.
    program, arguments = gradient_program()
    text = program.lower(*arguments).as_text()
    products = re.findall(r"stablehlo\.dot_general.*", text)
    assert len(products) > 20
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_derivatives_and_their_gradient_export(platform):
    program, arguments = gradient_program()
    forward = jax.jit(partial(by_formula, head="tanh"))
    for function in (forward, program):
        exported = jax.export.export(function, platforms=[platform])(*arguments)
        assert exported.platforms == (platform,)
        results = jax.tree.leaves(jax.eval_shape(function, *arguments))
        assert [a.shape for a in exported.out_avals] == [a.shape for a in results]
