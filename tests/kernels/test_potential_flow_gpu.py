"""The potential flow's GPU kernels, interpreted and lowered: no GPU is needed."""

import logging
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

from jaxdis import kernels
from jaxdis.kernels import potential_flow
from jaxdis.kernels.potential_flow import mosaic_gpu, ref

NAMES = ("params", "at", "z", "v")

interpreted = partial(mosaic_gpu.derivatives, interpret=InterpretGPUParams())
compiled = partial(potential_flow.derivatives, impl="pallas_gpu")


def arguments(b, n, k, h, directed=True, seed=0):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    params = potential_flow.Potentials(
        w1=draw(k, n, h) / n**0.5, b1=draw(k, h),
        wt=draw(k, n, h), bt=draw(k, h), vt=draw(k, h, h), ct=draw(k, h),
        w2=draw(k, h, h) / h**0.5, b2=draw(k, h),
        w3=draw(k, h) / h**0.5, b3=draw(k),
    )  # fmt: skip
    at = potential_flow.Clock(draw(k, h), draw(k, h))
    v = draw(b, n) if directed else None
    return {"params": params, "at": at, "z": draw(b, n), "v": v}


def passes(given, derivatives, head):
    """Results, and the gradients of a sum of their cubes in every argument."""

    def size(given):
        found = derivatives(**given, head=head)
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
def definition(given, head):
    return passes(given, ref.derivatives, head)


@pytest.mark.parametrize(
    ("sizes", "head", "directed"),
    [
        ((70, 6, 2, 5), "tanh", True),  # several potentials and blocks of rows
        ((3, 4, 1, 64), "linear", True),
        ((1, 64, 1, 7), "tanh", False),
        ((64, 10, 1, 1), "linear", False),
    ],
)
def test_derivatives_are_those_of_the_definition(sizes, head, directed):
    given = arguments(*sizes, directed)
    found = jax.jit(partial(passes, derivatives=interpreted, head=head))(given)
    assert_close(found, definition(given, head))


@pytest.mark.parametrize("some", [("params", "at"), ("z", "v")], ids="-".join)
def test_vmap(some):
    """Rows of a vmapped kernel are what the definition gives alone, gradients too."""
    seeds = [arguments(3, 4, 1, 3, seed=seed) for seed in (1, 2)]
    chosen = [
        {name: (seed if name in some else seeds[0])[name] for name in NAMES}
        for seed in seeds
    ]
    stacked = jax.tree.map(lambda *rows: np.stack(rows), *chosen)
    given = {name: (stacked if name in some else seeds[0])[name] for name in NAMES}
    axes = {name: 0 if name in some else None for name in NAMES}
    of = partial(passes, derivatives=interpreted, head="tanh")
    together = jax.jit(jax.vmap(of, in_axes=(axes,)))(given)
    for i, one in enumerate(chosen):
        found = jax.tree.map(lambda a, i=i: a[i], together)
        assert_close(found, definition(one, "tanh"))


@pytest.mark.parametrize(
    ("sizes", "head", "directed", "seeds"),
    [
        ((512, 64, 4, 64), "tanh", True, ()),
        ((24, 12, 3, 7), "linear", False, (4,)),
    ],
)
def test_kernels_lower_for_cuda(sizes, head, directed, seeds):
    of = partial(passes, derivatives=compiled, head=head)
    many = jax.vmap(of) if seeds else of
    given = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((*seeds, *a.shape), a.dtype),
        arguments(*sizes, directed),
    )
    exported = jax.export.export(jax.jit(many), platforms=["cuda"])(given)
    assert exported.mlir_module().count("mosaic_gpu_v2") == 2
    expected = jax.tree.leaves(jax.eval_shape(many, given))
    assert [a.shape for a in exported.out_avals] == [a.shape for a in expected]


def test_refusals(monkeypatch):
    single = jnp.float32
    assert mosaic_gpu.refusal(512, 64, 4, 64, single) is None
    assert mosaic_gpu.refusal(1, 4, 1, 1, single) is None
    for n, h in ((66, 64), (64, 65)):
        reason = f"n = {n} or h = {h} is above 64"
        assert reason in mosaic_gpu.refusal(512, n, 4, h, single)
    assert "float32, got float16" in mosaic_gpu.refusal(512, 64, 4, 64, jnp.float16)
    assert "70000 latents" in mosaic_gpu.refusal(1, 4, 70_000, 1, single)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for found, allowed in (("8.0", False), ("9.0", True), ("10.0", False)):
        gpu = SimpleNamespace(compute_capability=found)
        monkeypatch.setattr(jax, "devices", lambda gpu=gpu: [gpu])
        reason = mosaic_gpu.refusal(512, 64, 4, 64, single)
        assert reason is None if allowed else f"this GPU is {found}" in reason


def test_sizes_that_are_refused_run_in_xla(caplog):
    kernels._say_once.cache_clear()
    given = arguments(2, 4, 1, 65)
    with caplog.at_level(logging.WARNING, "jaxdis.kernels"):
        found = compiled(**given, head="tanh")
    (line,) = caplog.messages
    assert line.startswith("potential_flow runs in XLA: n = 4 or h = 65 is above 64")
    expected = ref.derivatives(**given, head="tanh")
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_diagonal_has_no_kernel():
    given = arguments(2, 4, 1, 3)
    with pytest.raises(ValueError, match="compiled kernel for tpu and none for gpu"):
        potential_flow.hessian_diagonal(
            given["params"], given["at"].beta, given["z"], "tanh", impl="pallas_gpu"
        )
