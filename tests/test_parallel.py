import re
from functools import partial
from itertools import pairwise

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import masks as relaxations
from jaxdis import parallel

NETS, BATCH, SIZES, HIDDEN, OUT = 3, 5, (4, 2), (8, 6), 2


def problem(groups=2, hidden=HIDDEN):
    """Parameters with nonzero biases, inputs, and soft masks shared by the batch."""
    rng = np.random.default_rng(groups)

    def normal(*shape):
        return jnp.float32(rng.normal(size=shape))

    sizes = SIZES[:groups]
    params = parallel.ParallelMLP(
        inputs=tuple(normal(NETS, n, hidden[0]) for n in sizes),
        bias=normal(NETS, hidden[0]),
        hidden=tuple(normal(NETS, n, m) for n, m in pairwise(hidden)),
        out=normal(NETS, hidden[-1], OUT),
        out_bias=normal(NETS, OUT),
    )
    inputs = tuple(normal(BATCH, n) for n in sizes)
    shared = tuple(jnp.float32(rng.uniform(size=(NETS, n))) for n in sizes)
    return params, inputs, shared


def one_net(net, inputs, masks, slope=0.2):
    """One network on one example whose inputs are masked copies."""
    first = [(m * x) @ w for m, x, w in zip(masks, inputs, net.inputs, strict=True)]
    h = sum(first) + net.bias
    for weight in (*net.hidden, net.out):
        h = jnp.where(h > 0, h, slope * h) @ weight
    return h + net.out_bias


def one_by_one(params, inputs, masks, **options):
    """Every network on every example by itself; masks are [k, n] or [b, k, n]."""
    net = partial(one_net, **options)
    axes = tuple(None if m.ndim == 2 else 0 for m in masks)
    nets = jax.vmap(net, (0, None, 0))
    return jax.vmap(nets, (None, 0, axes))(params, inputs, masks)


def repeated(mask):
    return jnp.broadcast_to(mask[None], (BATCH, *mask.shape))


def weighted_sum(function):
    """A scalar that depends on every output in its own way."""

    def total(*arguments):
        out = function(*arguments)
        return (jnp.cos(jnp.arange(out.size)).reshape(out.shape) * out).sum()

    return total


def assert_close(actual, expected):
    for ours, theirs in zip(
        jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def values_and_gradients(function, params, inputs, masks):
    @jax.jit
    def both(*arguments):
        return function(*arguments), jax.grad(weighted_sum(function), (0, 1, 2))(
            *arguments
        )

    return both(params, inputs, masks)


@pytest.mark.parametrize("groups", [1, 2])
def test_shared_mask_equals_masked_copies(groups):
    params, inputs, shared = problem(groups)
    ours = values_and_gradients(parallel.apply, params, inputs, shared)
    assert ours[0].shape == (BATCH, NETS, OUT)
    assert_close(ours, values_and_gradients(one_by_one, params, inputs, shared))


def test_repeated_mask_equals_shared_mask():
    params, inputs, shared = problem()
    examples = tuple(map(repeated, shared))
    value, gradient = values_and_gradients(parallel.apply, params, inputs, examples)
    # A shared mask is seen by every example.
    gradient = (*gradient[:2], tuple(m.sum(0) for m in gradient[2]))
    expected = values_and_gradients(parallel.apply, params, inputs, shared)
    assert_close((value, gradient), expected)


def test_masks_of_examples_are_their_own():
    params, inputs, _ = problem()
    rng = np.random.default_rng(7)
    masks = tuple(jnp.float32(rng.uniform(size=(BATCH, NETS, n))) for n in SIZES)
    ours = values_and_gradients(parallel.apply, params, inputs, masks)
    assert_close(ours, values_and_gradients(one_by_one, params, inputs, masks))


def test_one_group_shared_the_other_by_example():
    params, inputs, shared = problem()
    mixed = (repeated(shared[0]), shared[1])
    apply = jax.jit(parallel.apply)
    assert_close(apply(params, inputs, mixed), apply(params, inputs, shared))


def test_a_masked_input_is_not_seen():
    params, inputs, shared = problem()
    binary = tuple(jnp.round(m) for m in shared)
    jacobian = jax.jit(jax.jacobian(parallel.apply, 1))(params, inputs, binary)
    sees = np.abs(jacobian[0]).sum((0, 2, 3)) > 0  # [b, k, o, b', n]
    np.testing.assert_array_equal(sees, np.asarray(binary[0]) == 1)
    assert 0 < sees.sum() < sees.size


def test_networks_are_independent():
    params, inputs, shared = problem()
    jacobian = jax.jit(jax.jacobian(parallel.apply))(params, inputs, shared)
    for leaf in jax.tree.leaves(jacobian):  # [b, k, o, k', ...]
        depends = np.moveaxis(np.abs(leaf), (1, 3), (0, 1)).sum(
            axis=(2, 3, *range(4, leaf.ndim))
        )
        np.testing.assert_array_equal(depends > 0, np.eye(NETS, dtype=bool))


def test_slope():
    apply, expected = (
        jax.jit(partial(f, slope=0.7)) for f in (parallel.apply, one_by_one)
    )
    assert_close(apply(*problem()), expected(*problem()))


def test_initial_parameters():
    # Each input group, hidden layer and output has its own fan-in.
    key = jax.random.key(0, impl="rbg")  # compiles faster
    init = jax.jit(parallel.init, static_argnums=(1, 2, 3, 4))
    params = init(key, 4, (100, 9), (64, 25), 30)
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes == parallel.ParallelMLP(
        inputs=((4, 100, 64), (4, 9, 64)),
        bias=(4, 64),
        hidden=((4, 64, 25),),
        out=(4, 25, 30),
        out_bias=(4, 30),
    )
    np.testing.assert_array_equal(params.bias, 0.0)
    drawn = [*params.inputs, *params.hidden, params.out, params.out_bias]
    for values, fan_in in zip(drawn, [100, 9, 64, 25, 25], strict=True):
        bound = fan_in**-0.5
        assert 0.9 * bound < float(jnp.abs(values).max()) <= bound
        assert float(values.var()) == pytest.approx(bound**2 / 3, rel=0.3)
        assert np.unique(values).size > 0.9 * values.size  # the nets differ


def test_single_hidden_layer():
    init = partial(parallel.init, nets=NETS, inputs=SIZES, hidden=(8,), out=OUT)
    made = jax.eval_shape(init, jax.random.key(0))
    params, inputs, shared = problem(hidden=(8,))
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, params)
    apply, expected = jax.jit(parallel.apply), jax.jit(one_by_one)
    assert_close(apply(params, inputs, shared), expected(params, inputs, shared))


def test_errors():
    with pytest.raises(ValueError, match="at least one layer width"):
        parallel.init(jax.random.key(0), NETS, SIZES, (), OUT)
    params, inputs, shared = problem()
    for arguments in [(inputs[:1], shared), (inputs, shared[:1]), ((), ())]:
        with pytest.raises(ValueError, match=r"zip\(\) argument"):
            parallel.apply(params, *arguments)


@pytest.mark.parametrize("mask", list(relaxations.RELAXATIONS))
def test_draws_are_masks_of_examples(mask):
    """Their noise is `masks.logistic_noise` of the key."""
    params, inputs, _ = problem()
    keys = [jax.random.key(i) for i, _ in enumerate(SIZES)]
    logits = [jnp.linspace(-2.0, 2.0, n * NETS).reshape(NETS, n) for n in SIZES]
    sample = relaxations.RELAXATIONS[mask].sample
    drawn = [
        sample(a, relaxations.logistic_noise(key, (BATCH, *a.shape)), 0.8)
        for a, key in zip(logits, keys, strict=True)
    ]

    @jax.jit
    def apply(logits, keys, drawn):
        draws = [
            parallel.Draws(*each, 0.8, mask) for each in zip(logits, keys, strict=True)
        ]
        return [parallel.apply(params, inputs, masks) for masks in (draws, drawn)]

    assert_close(*apply(logits, keys, drawn))


def program_of(platform, function):
    """The text of the program of a function of `problem()`."""

    def fresh(*arguments):  # not traced before
        return function(*arguments)

    shapes = jax.eval_shape(problem)
    exported = jax.export.export(jax.jit(fresh), platforms=[platform])(*shapes)
    return exported.mlir_module()


def lowered(platform, function):
    """Whether a program has a loop, and the numbers of axes of its products."""
    text = program_of(platform, function)
    products = re.findall(r"dot_general.*?-> tensor<((?:\d+x)+)f32>", text)
    return "stablehlo.while" in text, {shape.count("x") for shape in products}


GRADIENT = jax.grad(weighted_sum(parallel.apply))


@pytest.mark.parametrize("function", [parallel.apply, GRADIENT], ids=["out", "slope"])
def test_large_networks_are_a_loop_on_cpus_alone(monkeypatch, function):
    """Whatever the host is, which is a CPU here."""
    assert lowered("cpu", function) == (False, {3})
    monkeypatch.setattr(parallel, "LARGE", 1)
    assert lowered("tpu", function) == lowered("cuda", function) == (False, {3})
    loops, axes = lowered("cpu", function)
    assert loops
    assert 2 in axes


def test_large_networks_one_after_the_other_are_the_same(monkeypatch):
    params, inputs, shared = problem()

    def found():
        def apply(*arguments):  # not traced before
            return parallel.apply(*arguments)

        return values_and_gradients(apply, params, inputs, shared)

    together = found()
    monkeypatch.setattr(parallel, "LARGE", 1)
    assert_close(found(), together)


def loss_of_one(out, own):
    target, scale = own
    return jnp.sum((scale * out - target) ** 2) + scale


def losses_of_outputs(params, inputs, masks, own):
    out = parallel.apply(params, inputs, masks)
    return sum(map(loss_of_one, out.swapaxes(0, 1), zip(*own, strict=True)))


def own_of_each():
    rng = np.random.default_rng(5)
    target = jnp.float32(rng.normal(size=(NETS, BATCH, OUT)))
    return target, jnp.float32(rng.uniform(size=NETS))


@pytest.mark.parametrize("large", [parallel.LARGE, 1], ids=["small", "large"])
def test_total_is_the_sum_of_the_losses_of_outputs(monkeypatch, large):
    params, inputs, (first, second) = problem()
    arguments = params, inputs, (first, repeated(second)), own_of_each()
    everything = (0, 1, 2, 3)
    expected = jax.jit(jax.value_and_grad(losses_of_outputs, everything))(*arguments)
    monkeypatch.setattr(parallel, "LARGE", large)

    def total(*arguments):
        return 3 * parallel.total(*arguments, loss_of_one)

    found, slopes = jax.jit(jax.value_and_grad(total, everything))(*arguments)
    np.testing.assert_allclose(found, 3 * expected[0], rtol=1e-5)
    assert_close(slopes, jax.tree.map(lambda a: 3 * a, expected[1]))
    np.testing.assert_allclose(jax.jit(total)(*arguments), found, rtol=1e-6)


def test_no_layer_of_a_large_network_outlives_it_on_cpus(monkeypatch):
    monkeypatch.setattr(parallel, "LARGE", 1)
    slope = jax.grad(lambda *given: parallel.total(*given, own_of_each(), loss_of_one))
    layers = [f"tensor<{NETS}x{BATCH}x{width}xf32>" for width in HIDDEN]
    for function, kept in [(slope, False), (GRADIENT, True)]:
        text = program_of("cpu", function)
        assert "stablehlo.while" in text
        assert [layer in text for layer in layers] == [kept, kept]
    assert lowered("tpu", slope) == lowered("cuda", slope) == (False, {3})
