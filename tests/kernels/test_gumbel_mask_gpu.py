"""The fused layer's GPU kernels, interpreted and lowered: no GPU is needed."""

import re
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

from jaxdis import masks
from jaxdis.kernels import gumbel_mask
from jaxdis.kernels.gumbel_mask import mosaic_gpu

NAMES = ("x", "weight", "log_alpha", "temperature", "key")


@pytest.fixture
def interpreted(monkeypatch):
    """The GPU's form of the layer, interpreted."""
    form = mosaic_gpu.form(InterpretGPUParams())
    monkeypatch.setitem(gumbel_mask.FORMS, "pallas_gpu", form)
    return partial(gumbel_mask.masked_product, impl="pallas_gpu")


def arguments(b, n, k, h, dtype=jnp.float32, seed=0):
    keys = jax.random.split(jax.random.key(seed), 4)
    return {
        "x": jax.random.normal(keys[0], (b, n), dtype),
        "weight": jax.random.normal(keys[1], (k, n, h), dtype),
        "log_alpha": jax.random.normal(keys[2], (k, n)),
        "temperature": jnp.float32(0.7),
        "key": keys[3],
    }


def unfused(x, weight, log_alpha, key, temperature, mask="soft"):
    """The layer as arrays of all masks, with JAX's own noise."""
    noise = masks.logistic_noise(key, (len(x), *log_alpha.shape))
    drawn = masks.RELAXATIONS[mask].sample(log_alpha, noise, temperature)
    seen = (drawn * x[:, None]).astype(x.dtype)
    return jnp.einsum(
        "bkn,knh->kbh", seen, weight,
        precision="highest", preferred_element_type=jnp.float32,
    )  # fmt: skip


def value_and_gradients(product, **given):
    """The layer's output and the gradients of a sum of its cubes."""

    def size(floats):
        out = product(**floats, key=given["key"])
        return (out**3).sum(), out

    floats = {name: a for name, a in given.items() if name != "key"}
    (_, out), gradients = jax.value_and_grad(size, has_aux=True)(floats)
    return {"out": out, **gradients}


def error(found, expected):
    """The largest, of the largest value."""
    found, expected = (np.asarray(a, np.float64) for a in (found, expected))
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def assert_close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    wrong = {name: error(found[name], value) for name, value in expected.items()}
    assert all(w <= tolerance for w in wrong.values()), wrong


@pytest.mark.parametrize(
    ("mask", "sizes"),
    [
        ("soft", (70, 20, 3, 5)),
        ("straight_through", (3, 34, 1, 70)),
        ("hard_concrete", (64, 7, 4, 17)),
    ],
)
def test_layer_is_the_unfused_one(interpreted, mask, sizes):
    given = arguments(*sizes)
    expected = value_and_gradients(partial(unfused, mask=mask), **given)
    fused = partial(interpreted, mask=mask)
    assert_close(value_and_gradients(fused, **given), expected, 1e-5)


def test_programs_share_sums(interpreted, monkeypatch):
    """Over rows and over latents, of which each program has a part."""
    given = arguments(512, 5, 8, 3)
    found = []
    real = mosaic_gpu._share
    monkeypatch.setattr(
        mosaic_gpu, "_share", lambda *a: found.append(real(*a)) or found[-1]
    )
    expected = value_and_gradients(unfused, **given)
    assert_close(value_and_gradients(interpreted, **given), expected, 1e-5)
    assert found == [2, 2]


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
    assert mosaic_gpu._share(*share) == expected


def test_bfloat16(interpreted):
    given = arguments(40, 20, 1, 20, jnp.bfloat16)
    expected = value_and_gradients(unfused, **given)
    found = value_and_gradients(interpreted, **given)
    assert {name: a.dtype for name, a in found.items()} == {
        name: a.dtype for name, a in expected.items()
    }
    assert error(found["out"], expected["out"]) < 1e-5
    # Gradients in bfloat16 arguments are rounded to it.
    assert_close(found, expected, 0.02)


def test_precision(interpreted):
    given = arguments(64, 32, 1, 16)
    expected = unfused(**given)
    wrong = {
        name: error(interpreted(**given, precision=name), expected)
        for name in ("highest", "high")
    }
    assert wrong["highest"] < 1e-6
    assert 1e-6 < wrong["high"] < 1e-4
    with jax.default_matmul_precision("highest"):
        default = interpreted(**given, precision=None)
    assert error(default, expected) == wrong["highest"]


@pytest.mark.parametrize("some", [("key",), ("x", "temperature"), NAMES], ids="-".join)
def test_vmap(interpreted, some):
    """Rows of a vmapped layer are what each gives alone, gradients too."""
    rows = [arguments(3, 5, 2, 2, seed=seed) for seed in (1, 2)]
    given = {
        name: jnp.stack([r[name] for r in rows]) if name in some else rows[0][name]
        for name in rows[0]
    }
    axes = {name: 0 if name in some else None for name in given}
    found = jax.vmap(lambda g: value_and_gradients(interpreted, **g), in_axes=(axes,))(
        given
    )
    for i, row in enumerate(rows):
        alone = {name: row[name] if name in some else rows[0][name] for name in row}
        expected = value_and_gradients(unfused, **alone)
        assert_close(jax.tree.map(lambda a, i=i: a[i], found), expected, 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("seeds", [(), (4,)])
@pytest.mark.parametrize(("b", "n", "k", "h"), [(1024, 64, 64, 64), (24, 10, 3, 70)])
def test_kernels_lower_for_cuda(seeds, dtype, b, n, k, h):
    of = partial(gumbel_mask.masked_product, impl="pallas_gpu")

    def passes(given):
        return value_and_gradients(of, **given)

    given = jax.eval_shape(partial(arguments, b, n, k, h, dtype))
    given = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((*seeds, *a.shape), a.dtype), given
    )
    many = jax.vmap(passes) if seeds else passes
    lowered = jax.export.export(jax.jit(many), platforms=["cuda"])(given)
    assert lowered.mlir_module().count("mosaic_gpu_v2") == 3


def test_no_array_is_as_large_as_all_masks():
    b, n, k, h = 2048, 256, 64, 32
    of = partial(gumbel_mask.masked_product, impl="pallas_gpu")
    given = jax.eval_shape(partial(arguments, b, n, k, h))

    def largest(product):
        def passes(given):
            return value_and_gradients(product, **given)

        lowered = jax.export.export(jax.jit(passes), platforms=["cuda"])(given)
        shapes = re.findall(r"tensor<((?:\d+x)+)[a-z]", lowered.mlir_module())
        return max(np.prod([int(d) for d in s.split("x")[:-1]]) for s in shapes)

    assert largest(of) <= b * k * n / 4
    assert largest(unfused) == b * k * n


def test_refusals(monkeypatch):
    assert mosaic_gpu.refusal(1024, 64, 64, 64) is None
    assert mosaic_gpu.refusal(1, 1, 1, 256) is None
    assert "h = 257 is above 256" in mosaic_gpu.refusal(1, 1, 1, 257)
    assert "70000 latents" in mosaic_gpu.refusal(1, 1, 70_000, 1)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for found, allowed in (("8.0", False), ("9.0", True), ("10.0", False)):
        gpu = SimpleNamespace(compute_capability=found)
        monkeypatch.setattr(jax, "devices", lambda gpu=gpu: [gpu])
        reason = mosaic_gpu.refusal(1024, 64, 64, 64)
        assert reason is None if allowed else f"this GPU is {found}" in reason


def test_sizes_that_are_refused_run_in_xla():
    given = arguments(2, 2, 1, 257)
    np.testing.assert_array_equal(
        gumbel_mask.masked_product(**given, impl="pallas_gpu"),
        gumbel_mask.masked_product(**given, impl="xla"),
    )
