"""The potential-flow kernels, interpreted, against the definition in XLA."""

import itertools
import logging
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdis import kernels
from jaxdis.kernels import potential_flow
from jaxdis.kernels.potential_flow import pallas

HEADS = ["linear", "tanh"]
NAMES = ("params", "at", "z", "v")


def arguments(b=6, n=4, k=2, h=5, seed=0):
    keys = jax.random.split(jax.random.key(seed), 4)
    params = potential_flow.init(keys[0], k, n, h)
    clock = potential_flow.clock(params, jnp.array([2.0]))
    return {
        # Away from zero, where both layers bend.
        "params": jax.tree.map(lambda w: 1.5 * w, params),
        "at": jax.tree.map(lambda a: a[0], clock),
        "z": jax.random.normal(keys[1], (b, n)),
        "v": jax.random.normal(keys[2], (b, n)),
    }


def everything(params, at, z, v, head, impl):
    """Results of both operations, where the second sees only beta."""
    return (
        potential_flow.derivatives(params, at, z, v, head, impl=impl),
        potential_flow.hessian_diagonal(params, at.beta, z, head, impl=impl),
    )


def derivatives(params, at, z, v, head, impl):
    return potential_flow.derivatives(params, at, z, v, head, impl=impl)


def values_and_gradients(given, head, impl, results=everything):
    """Results, and the gradients of a sum of their cubes in every argument."""

    def size(given):
        found = results(**given, head=head, impl=impl)
        return sum((a**3).sum() for a in jax.tree.leaves(found)), found

    (_, found), gradients = jax.value_and_grad(size, has_aux=True)(given)
    return found, gradients


def assert_close(found, expected, tolerance=1e-5):
    """Relative to the largest entry of each array."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    paths = jax.tree_util.tree_flatten_with_path(expected)[0]
    for ours, (path, theirs) in zip(jax.tree.leaves(found), paths, strict=True):
        ours, theirs = np.float64(ours), np.float64(theirs)
        assert ours.shape == theirs.shape, path
        wrong = np.abs(ours - theirs).max()
        assert wrong <= tolerance * np.abs(theirs).max(), path


@partial(jax.jit, static_argnames="head")
def both(given, head):
    return [values_and_gradients(given, head, impl) for impl in ("interpret", "xla")]


@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    b=st.integers(1, 20),
    n=st.sampled_from([4, 6, 10]),
    k=st.integers(1, 4),
    h=st.integers(1, 9),
    head=st.sampled_from(HEADS),
    directed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_forms_agree_on_odd_sizes(b, n, k, h, head, directed, seed):
    given = arguments(b, n, k, h, seed)
    if not directed:
        given["v"] = None
    found, expected = both(given, head)
    assert (found[0][0].product is None) == (not directed)
    assert_close(found, expected)


@pytest.mark.parametrize(("head", "directed"), [("tanh", True), ("linear", False)])
def test_blocks_add_up(monkeypatch, head, directed):
    """Several blocks of rows, whose gradients of weights are summed."""
    monkeypatch.setattr(pallas, "ROWS", 8)
    given = arguments(b=24, k=3)
    if not directed:
        given["v"] = None
    assert pallas._rows(24, 4, 5) == 8
    text = str(
        jax.make_jaxpr(partial(everything, head=head, impl="interpret"))(**given)
    )
    assert text.count("grid=(3, 3)") == 2
    forms = [
        jax.jit(partial(values_and_gradients, head=head, impl=impl))(given)
        for impl in ("interpret", "xla")
    ]
    assert_close(*forms)


def test_unused_results_have_no_part():
    """Gradients of one result alone: the cotangents of the others are zeros."""
    given = arguments()

    @partial(jax.jit, static_argnames="impl")
    def slope(given, impl):
        def size(given):
            found = derivatives(**given, head="tanh", impl=impl)
            return (found.time**2).sum()

        return jax.grad(size)(given)

    found, expected = (slope(given, impl=impl) for impl in ("interpret", "xla"))
    assert_close(found, expected)
    assert not np.any(found["v"])
    assert not np.any(found["params"].wt)  # beta and its rate were given


BATCHED = [
    some
    for size in range(1, len(NAMES) + 1)
    for some in itertools.combinations(NAMES, size)
]


def diagonal(params, at, z, v, head, impl):
    return potential_flow.hessian_diagonal(params, at.beta, z, head, impl=impl)


@pytest.fixture(scope="module")
def alone():
    """The definition's results and gradients for one seed, compiled once each."""
    return {
        results: jax.jit(
            partial(values_and_gradients, head="tanh", impl="xla", results=results)
        )
        for results in (derivatives, diagonal)
    }


@pytest.mark.parametrize(
    ("some", "results", "directed"),
    [
        *((some, derivatives, True) for some in BATCHED),
        *((some, derivatives, False) for some in BATCHED if "v" not in some),
        *((some, diagonal, False) for some in BATCHED if "v" not in some),
    ],
    ids=lambda value: (
        getattr(value, "__name__", None)
        or ("-".join(value) if isinstance(value, tuple) else str(value))
    ),
)
def test_vmap_over_any_arguments(alone, some, results, directed):
    """Rows of a vmapped kernel are what the definition gives alone, gradients too."""
    seeds = [arguments(b=3, k=2, h=3, seed=seed) for seed in (1, 2)]
    if not directed:
        seeds = [seed | {"v": None} for seed in seeds]
    chosen = [
        {name: seed[name] if name in some else seeds[0][name] for name in NAMES}
        for seed in seeds
    ]
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *chosen)
    given = {name: (stacked if name in some else seeds[0])[name] for name in NAMES}
    axes = {name: 0 if name in some else None for name in NAMES}
    kernel = partial(
        values_and_gradients, head="tanh", impl="interpret", results=results
    )
    together = jax.jit(jax.vmap(kernel, in_axes=(axes,)))(given)
    for i, one in enumerate(chosen):
        found = jax.tree.map(lambda a, i=i: a[i], together)
        assert_close(found, alone[results](one))


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seeds", [(), (4,)])
@pytest.mark.parametrize(
    ("b", "n", "k", "h", "head"),
    [(1024, 64, 5, 64, "tanh"), (24, 12, 3, 7, "linear")],
)
def test_kernels_lower_for_tpu(seeds, directed, b, n, k, h, head):
    given = jax.eval_shape(partial(arguments, b, n, k, h))
    given = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((*seeds, *a.shape), a.dtype), given
    )
    if not directed:
        given["v"] = None
    passes = partial(values_and_gradients, head=head, impl="pallas_tpu")
    many = jax.vmap(passes) if seeds else passes
    exported = jax.export.export(jax.jit(many), platforms=["tpu"])(given)
    text = exported.mlir_module()
    assert text.count("tpu_custom_call") >= 4  # two operations in two directions
    expected = jax.tree.leaves(jax.eval_shape(many, given))
    assert [a.shape for a in exported.out_avals] == [a.shape for a in expected]


def test_default_is_xla():
    given = arguments()
    text = str(jax.make_jaxpr(partial(everything, head="tanh", impl=None))(**given))
    assert "pallas_call" not in text


def test_sizes_that_do_not_tile_run_in_xla(caplog):
    kernels._say_once.cache_clear()
    given = arguments(b=1021)
    with caplog.at_level(logging.WARNING, "jaxdis.kernels"):
        found = [everything(**given, head="tanh", impl="interpret") for _ in range(2)]
    (line,) = caplog.messages
    assert line == (
        "potential_flow runs in XLA: a batch of 1021 has no divisor that is a multiple "
        "of 8 and fits"
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        found[0],
        everything(**given, head="tanh", impl="xla"),
    )


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((1024, 12, 32, jnp.float32), None),
        ((1024, 64, 64, jnp.float32), None),
        ((128, 324, 324, jnp.float32), None),
        ((20, 12, 32, jnp.float32), None),
        ((1020, 12, 32, jnp.float32), "batch of 1020 has no divisor"),
        ((128, 64, 2048, jnp.float32), "8 rows with n = 64 and h = 2048 need "),
        ((128, 12, 32, jnp.float64), "its kernels take float32, got float64"),
    ],
)
def test_refusals_say_why(sizes, reason):
    found = pallas.refusal(*sizes)
    assert found == reason or reason in found


@pytest.mark.parametrize(
    ("impl", "message"),
    [
        ("pallas", "impl='pallas': potential_flow has a compiled kernel for tpu and"),
        ("cuda", "impl must be None or one of xla, pallas, .*got 'cuda'"),
    ],
)
@pytest.mark.parametrize("results", [derivatives, diagonal])
def test_wrong_forms_are_explained(results, impl, message):
    with pytest.raises(ValueError, match=message):
        results(**arguments(), head="tanh", impl=impl)
