"""Every form of every operation against its definition: no device is needed.

Kernels of TPUs and Hopper GPUs are interpreted where numbers count, and lowered where
the program does.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.kernels import (
    flow_arguments,
    layer_arguments,
    unfused,
)
from jaxdis import kernels
from jaxdis.kernels import Sizes, gumbel_mask, potential_flow
from jaxdis.kernels.gumbel_mask import mosaic_gpu as layer_gpu
from jaxdis.kernels.gumbel_mask import pallas as layer_tpu
from jaxdis.kernels.gumbel_mask import ref as layer_ref
from jaxdis.kernels.gumbel_mask import xla as layer_xla
from jaxdis.kernels.potential_flow import mosaic_gpu as flow_gpu
from jaxdis.kernels.potential_flow import pallas as flow_tpu
from jaxdis.kernels.potential_flow import products as flow_products
from jaxdis.kernels.potential_flow import ref as flow_ref

CALLS = {"pallas_tpu": "tpu_custom_call", "pallas_gpu": "mosaic_gpu_v2"}
PLATFORMS = {"pallas_tpu": "tpu", "pallas_gpu": "cuda"}


class Operation(NamedTuple):
    """An operation as the tests see it; arguments are a dictionary by name.

    Attributes:
      function: the public function, `(**arguments, **setting, impl) -> results`.
      definition: the same without `impl`, by other means.
      arguments: `(b, n, k, h, dtype, seed) -> arguments`.
      setting: what is static, where a test does not ask for more.
      forms: its table.
      compiled: its compiled form's module of each platform.
    """

    function: Callable[..., Any]
    definition: Callable[..., Any]
    arguments: Callable[..., dict[str, Any]]
    setting: dict[str, Any]
    forms: dict[str, Any]
    compiled: dict[str, Any]


def of_a_layer(b, n, k, h, dtype="float32", seed=0):
    names = ("x", "weight", "log_alpha", "key", "temperature")
    return dict(zip(names, layer_arguments(b, n, k, h, dtype, seed), strict=True))


def of_a_flow(b, n, k, h, dtype="float32", seed=0):
    names = ("params", "at", "z", "v")
    return dict(zip(names, flow_arguments(b, n, k, h, seed), strict=True))


def defined(params, at, z, v, head):
    return flow_ref.derivatives(flow_ref.Arguments(params, at, z, v), head)


LAYER = Operation(
    gumbel_mask.masked_product, unfused, of_a_layer, {"mask": "soft"},
    gumbel_mask.FORMS, {"pallas_tpu": layer_tpu, "pallas_gpu": layer_gpu},
)  # fmt: skip
FLOW = Operation(
    potential_flow.derivatives, defined, of_a_flow, {"head": "tanh"},
    potential_flow.FORMS, {"pallas_tpu": flow_tpu, "pallas_gpu": flow_gpu},
)  # fmt: skip

UNDIRECTED = FLOW._replace(arguments=lambda *a, **b: of_a_flow(*a, **b) | {"v": None})
# A full tile of hidden units.
LINEAR = FLOW._replace(
    arguments=lambda b, n, k, h, **seed: of_a_flow(b, n, k, 64, **seed),
    setting={"head": "linear"},
)

both = pytest.mark.parametrize("operation", [LAYER, FLOW], ids=["layer", "flow"])


@pytest.fixture(params=["xla", "interpret", "pallas_gpu"], ids=["xla", "tpu", "gpu"])
def impl(request, monkeypatch):
    """The name of a form; the GPU's kernels are Mosaic's interpreter's."""
    if request.param == "pallas_gpu":
        request.getfixturevalue("mosaic")
        from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

        for operation, module in ((LAYER, layer_gpu), (FLOW, flow_gpu)):
            form = module.form(InterpretGPUParams())
            monkeypatch.setitem(operation.forms, "pallas_gpu", form)
    return request.param


def passes(function, given):
    """Results, and the gradients of a sum of their cubes in every float argument."""

    def size(floats):
        found = function(**given | floats)
        total = sum((a.astype("float32") ** 3).sum() for a in jax.tree.leaves(found))
        return total, found

    floats = {name: a for name, a in given.items() if name != "key"}
    (_, found), gradients = jax.value_and_grad(size, has_aux=True)(floats)
    return found, gradients


def assert_close(found, expected, tolerance=1e-5):
    """Relative to the largest entry of each array."""
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)

    def close(path, ours, theirs):
        ours, theirs = np.float64(ours), np.float64(theirs)
        wrong, size = np.abs(ours - theirs).max(), np.abs(theirs).max()
        assert wrong <= tolerance * size, (path, wrong, size)

    jax.tree_util.tree_map_with_path(close, found, expected)


@cache
def definition(function, setting):
    """A definition's results and gradients, compiled once for all forms."""
    return jax.jit(partial(passes, partial(function, **dict(setting))))


def defined_by(operation, given):
    return definition(operation.definition, (*operation.setting.items(),))(given)


def both_ways(operation, given, impl):
    """Values and gradients of a form and of the definition."""
    form = partial(operation.function, **operation.setting, impl=impl)
    return jax.jit(partial(passes, form))(given), defined_by(operation, given)


# Odd sizes, and every mask; rows and hidden units of more than one tile of a GPU's.
LAYERS = [
    ((70, 20, 2, 5), "soft", "float32"),
    ((3, 34, 1, 70), "straight_through", "float32"),
    ((64, 7, 2, 17), "hard_concrete", "float32"),
    ((40, 20, 1, 20), "soft", "bfloat16"),
]


@pytest.mark.parametrize(("sizes", "mask", "dtype"), LAYERS, ids=str)
def test_layer_is_the_unfused_one(impl, sizes, mask, dtype):
    given = of_a_layer(*sizes, dtype)
    found, expected = both_ways(LAYER._replace(setting={"mask": mask}), given, impl)
    # Gradients in bfloat16 arguments are rounded to it, in another order.
    assert_close(found, expected, 1e-5 if dtype == "float32" else 0.02)
    assert_close(found[0], expected[0])


# Several potentials and blocks of rows; a full tile; one of each. For GPUs a linear
# head with directions is below, over seeds.
FLOWS = [
    ("interpret", (70, 6, 2, 5), "tanh", True),
    ("interpret", (3, 4, 1, 64), "linear", True),
    ("interpret", (1, 64, 1, 7), "tanh", False),
    ("interpret", (64, 10, 1, 1), "linear", False),
    ("pallas_gpu", (70, 6, 2, 5), "tanh", True),
    ("pallas_gpu", (1, 64, 1, 7), "tanh", False),
    ("pallas_gpu", (64, 10, 1, 1), "linear", False),
]


@pytest.mark.parametrize(
    ("impl", "sizes", "head", "directed"), FLOWS, indirect=["impl"], ids=str
)
def test_derivatives_are_those_of_the_definition(impl, sizes, head, directed):
    given = of_a_flow(*sizes)
    if not directed:
        given["v"] = None
    found, expected = both_ways(FLOW._replace(setting={"head": head}), given, impl)
    assert (found[0].product is None) == (not directed)
    assert_close(found, expected)


@pytest.mark.parametrize("impl", ["xla", "interpret"], indirect=True)
def test_blocks_of_the_layer_add_up(monkeypatch, impl):
    """Blocks of rows, inputs and units, all padded, and groups of latents."""
    for name, most in {"ROWS": 32, "INPUTS": 128, "UNITS": 128}.items():
        monkeypatch.setattr(layer_tpu, name, most)
    monkeypatch.setattr(layer_xla, "GROUP", 2 * 35 * 130)
    assert layer_xla.latents_of_a_group(35, 6, 130) == 2
    given = of_a_layer(35, 130, 6, 129)
    form = partial(LAYER.function, impl=impl)
    text = str(jax.make_jaxpr(partial(passes, form))(given))
    # Once each the layer, gradients of weights, and gradients of inputs.
    assert text.count("grid=(6, 2, 2, 2)") == (2 if impl == "interpret" else 0)
    assert text.count("grid=(2, 2, 6, 2)") == (1 if impl == "interpret" else 0)
    assert_close(*both_ways(LAYER, given, impl))


@pytest.mark.parametrize("impl", ["pallas_gpu"], indirect=True)
def test_parts_of_units_add_up(monkeypatch, impl):
    """Gradients of logits, of the temperature and of inputs are sums over them."""
    monkeypatch.setattr(layer_gpu, "most_units", lambda columns, pieces: 64)
    assert_close(*both_ways(LAYER, of_a_layer(3, 5, 2, 130), impl))


@pytest.mark.parametrize("impl", ["interpret"], indirect=True)
def test_blocks_of_the_flow_add_up(monkeypatch, impl):
    """Several blocks of rows, whose gradients of weights are summed."""
    monkeypatch.setattr(flow_tpu, "ROWS", 16)
    given = of_a_flow(35, 4, 2, 5)
    form = partial(FLOW.function, head="tanh", impl=impl)
    text = str(jax.make_jaxpr(partial(passes, form))(given))
    assert text.count("grid=(2, 3)") == 2
    assert_close(*both_ways(FLOW, given, impl))


@pytest.mark.parametrize("impl", ["interpret"], indirect=True)
def test_large_potentials_are_those_of_the_definition(monkeypatch, impl):
    """Product by product, of several tiles, where no potential fits one program."""
    monkeypatch.setattr(flow_tpu, "VECTOR_MEMORY", 0)
    monkeypatch.setattr(flow_products, "SIDE", 128)
    given = of_a_flow(3, 4, 2, 130) | {"v": None}
    assert_close(*both_ways(FLOW, given, impl))


@pytest.mark.parametrize("impl", ["pallas_gpu"], indirect=True)
def test_programs_of_the_layer_share_sums(monkeypatch, impl):
    """Over rows and over latents, of which each program has a part."""
    asked = []
    monkeypatch.setattr(layer_gpu, "share", lambda *a: asked.append(a) or 2)
    assert_close(*both_ways(LAYER, of_a_layer(128, 5, 2, 3), impl))
    # Two blocks of rows and two latents, of one chunk.
    assert asked == [(2, 2, 128 // (4 * 64)), (2, 2, 2 // 4)]


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ((16, 128, 4), 2),  # enough programs
        ((16, 1, 4), 4),  # never enough
        ((6, 100, 5), 3),  # a divisor
        ((7, 1, 5), 1),
        ((16, 1, 0), 1),
    ],
)
def test_share_of_a_sum(share, expected):
    assert layer_gpu.share(*share) == expected


@pytest.mark.parametrize("impl", ["pallas_gpu"], indirect=True)
def test_precision_of_tensor_cores(impl):
    given = of_a_layer(64, 32, 1, 16)
    expected = jax.jit(unfused)(**given)

    def error(precision):
        fused = partial(LAYER.function, precision=precision, impl=impl)
        wrong = np.abs(jax.jit(fused)(**given) - expected).max()
        return wrong / np.abs(expected).max()

    wrong = {name: error(name) for name in ("highest", "high")}
    assert wrong["highest"] < 1e-6
    assert 1e-6 < wrong["high"] < 1e-4
    with jax.default_matmul_precision("highest"):
        assert error(None) == wrong["highest"]


@pytest.mark.parametrize("impl", ["interpret"], indirect=True)
def test_unused_results_have_no_part(impl):
    """Gradients of one result alone: the cotangents of the others are zeros."""
    given = of_a_flow(6, 4, 1, 5)

    def time(function, **given):
        return function(**given, head="tanh").time

    @jax.jit
    def program(given):
        functions = partial(FLOW.function, impl=impl), FLOW.definition
        return [passes(partial(time, f), given) for f in functions]

    found, expected = program(given)
    assert_close(found, expected)
    gradients = found[1]
    assert not np.any(gradients["v"])
    assert not np.any(gradients["params"].wt)  # beta and its rate were given


def subsets(*names):
    """Every argument by itself, and all."""
    return [*((name,) for name in names), names]


PAIR = ("x", "temperature")
EVERYTHING = ("params", "at", "z", "v")
INPUTS = ("x", "weight", "log_alpha", "temperature", "key")
BATCHED = [
    *(("interpret", LAYER, some) for some in subsets(*INPUTS)),
    *(("interpret", FLOW, some) for some in (("params",), ("z", "v"), EVERYTHING)),
    ("interpret", UNDIRECTED, ("at", "z")),
    *(("xla", LAYER, some) for some in (("key",), PAIR, INPUTS)),
    *(("pallas_gpu", LAYER, some) for some in (PAIR, INPUTS)),
    ("pallas_gpu", LINEAR, ("params", "z")),
]


@pytest.mark.parametrize(
    ("impl", "operation", "some"),
    BATCHED,
    indirect=["impl"],
    ids=[f"{i}-{'-'.join(some)}" for i, (*_, some) in enumerate(BATCHED)],
)
def test_vmap_over_any_arguments(impl, operation, some):
    """Rows of a vmapped form are what the definition gives alone, gradients too."""
    seeds = [operation.arguments(3, 4, 1, 3, seed=seed) for seed in (1, 2)]
    chosen = [
        {name: (seed if name in some else seeds[0])[name] for name in seed}
        for seed in seeds
    ]
    given = {
        name: jax.tree.map(lambda *a: jnp.stack(a), *(seed[name] for seed in seeds))
        if name in some
        else seeds[0][name]
        for name in seeds[0]
    }
    axes = {name: 0 if name in some else None for name in given}
    form = partial(operation.function, **operation.setting, impl=impl)
    together = jax.jit(jax.vmap(partial(passes, form), in_axes=(axes,)))(given)
    for i, one in enumerate(chosen):
        found = jax.tree.map(lambda a, i=i: a[i], together)
        assert_close(found, defined_by(operation, one))


@both
def test_default_is_xla(operation):
    form = partial(operation.function, **operation.setting)
    given = operation.arguments(6, 4, 2, 5)
    assert "pallas_call" not in str(jax.make_jaxpr(partial(passes, form))(given))


def test_any_generator_of_keys():
    given = of_a_layer(6, 5, 3, 4)
    given["key"] = jax.random.key(0, impl="rbg")
    layer = jax.jit(LAYER.function)
    words = jax.random.bits(given["key"], (2,))
    same = given | {"key": jax.random.wrap_key_data(words, impl="threefry2x32")}
    np.testing.assert_array_equal(layer(**given), layer(**same))


def test_definition_of_the_layer_is_the_unfused_one():
    """`ref`, of which all forms are made, and JAX's own noise."""
    x, weight, log_alpha, key, tau = layer_arguments(6, 5, 3, 4)
    words = jax.random.key_data(key)
    arguments = layer_ref.Arguments(x, weight, log_alpha, tau, words)
    for mask in ("soft", "straight_through", "hard_concrete"):
        setting = layer_ref.Setting(mask, "highest")
        whole = jax.jit(layer_ref.masked_product, static_argnums=1)(arguments, setting)
        expected = jax.jit(partial(unfused, mask=mask))(x, weight, log_alpha, key, tau)
        np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=1e-5)


@both
def test_names_of_forms(operation):
    """They are those of `kernels.Impl`, and XLA refuses nothing."""
    assert {*operation.forms, "pallas"} == {*kernels.Impl.__args__}
    assert operation.forms["xla"].refusal(Sizes(1, 1, 1, 1)) is None
