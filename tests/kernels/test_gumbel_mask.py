"""The fused layer against its definition, and its noise against the logistic law."""

import itertools
import logging
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxdis import kernels, masks
from jaxdis.kernels import gumbel_mask
from jaxdis.kernels.gumbel_mask import pallas, ref, xla

MASKS = ["soft", "straight_through", "hard_concrete"]
NAMES = ("x", "weight", "log_alpha", "temperature", "key")


def arguments(b=6, n=5, k=3, h=4, dtype=jnp.float32, seed=0):
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


def assert_close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        value = np.asarray(value, np.float64)
        wrong = np.abs(np.asarray(found[name], np.float64) - value).max()
        assert wrong <= tolerance * np.abs(value).max(), name


@pytest.mark.parametrize(
    ("key", "counters", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        (
            (0x13198A2E, 0x03707344),
            (0x243F6A88, 0x85A308D3),
            (0xC4923A9C, 0x483DF7A0),
        ),
    ],
)
def test_threefry_known_answers(key, counters, words):
    """Those that come with Random123, the authors' own code."""
    key, counters = (tuple(map(jnp.uint32, pair)) for pair in (key, counters))
    assert tuple(map(int, ref.threefry(key, *counters))) == words


def test_noise_is_that_of_masks():
    key, (b, k, n) = jax.random.key(3), (6, 3, 5)
    words = jax.random.key_data(key)
    found = np.stack(
        [
            ref.logistic((words[0], words[1]), ref.numbers(b, n, k, 0, latent))
            for latent in range(k)
        ],
        1,
    )
    np.testing.assert_allclose(found, masks.logistic_noise(key, (b, k, n)), atol=1e-6)
    # A block of rows is that part of the whole.
    part = ref.logistic((words[0], words[1]), ref.numbers(2, n, k, 3, 1))
    np.testing.assert_array_equal(part, found[3:5, 1])


def drawn(key, impl, b=64, k=40, n=16):
    """Noise of the layer: with no input but the weights' identity it is read back."""
    eye = jnp.broadcast_to(jnp.eye(n), (k, n, n))
    m = gumbel_mask.masked_product(
        jnp.ones((b, n)), eye, jnp.zeros((k, n)), key, 2.0, impl=impl
    )
    return 2.0 * np.log(m / (1 - m))  # the sigmoid undone


@pytest.mark.parametrize("impl", ["xla", "interpret"])
def test_noise_follows_the_logistic_law(impl):
    noise = drawn(jax.random.key(0), impl)
    assert noise.size == 40_960
    assert stats.kstest(noise.ravel(), "logistic").pvalue > 0.01
    # Independent of each other: neighbours along every axis.
    for axis in range(3):
        one, other = (np.delete(noise, i, axis).ravel() for i in (0, -1))
        assert abs(stats.spearmanr(one, other).statistic) < 4 * one.size**-0.5
    np.testing.assert_array_equal(noise, drawn(jax.random.key(0), impl))
    other = drawn(jax.random.key(1), impl)
    assert abs(stats.spearmanr(noise.ravel(), other.ravel()).statistic) < 0.02


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("impl", ["xla", "interpret"])
def test_layer_is_the_unfused_one(impl, mask):
    given = arguments()
    expected = value_and_gradients(partial(unfused, mask=mask), **given)
    fused = partial(gumbel_mask.masked_product, mask=mask, impl=impl)
    assert_close(value_and_gradients(fused, **given), expected, 1e-5)
    words = jax.random.key_data(given.pop("key"))
    whole = ref.masked_product(*given.values(), words, mask, "highest")
    np.testing.assert_allclose(whole, expected["out"], rtol=1e-5, atol=1e-5)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    b=st.integers(1, 40),
    n=st.integers(1, 9),
    k=st.integers(1, 6),
    h=st.integers(1, 9),
    bf16=st.booleans(),
    seed=st.integers(0, 99),
)
def test_forms_agree_on_odd_sizes(b, n, k, h, bf16, seed):
    given = arguments(b, n, k, h, jnp.bfloat16 if bf16 else jnp.float32, seed)
    expected = value_and_gradients(unfused, **given)
    for impl in ("xla", "interpret"):
        fused = partial(gumbel_mask.masked_product, impl=impl)
        # Gradients in bfloat16 arguments are rounded to it, in another order.
        assert_close(
            value_and_gradients(fused, **given), expected, 0.02 if bf16 else 1e-5
        )


def test_blocks_add_up(monkeypatch):
    """Several blocks of rows and groups of latents, not all as large as can be."""
    monkeypatch.setattr(pallas, "ROWS", 8)
    monkeypatch.setattr(xla, "GROUP", 2 * 24 * 5)
    given = arguments(b=24, k=6)
    assert pallas._rows(24) == 8
    assert xla._group(24, 6, 5) == 2
    expected = value_and_gradients(unfused, **given)
    for impl in ("xla", "interpret"):
        fused = partial(gumbel_mask.masked_product, impl=impl)
        assert_close(value_and_gradients(fused, **given), expected, 1e-5)


BATCHED = [
    some
    for size in range(1, len(NAMES) + 1)
    for some in itertools.combinations(NAMES, size)
]


@pytest.mark.parametrize("some", BATCHED, ids="-".join)
def test_vmap_over_any_arguments(some):
    """Rows of a vmapped layer are what each gives alone, gradients too."""
    rows = [arguments(b=3, n=2, k=2, h=2, seed=seed) for seed in (1, 2)]
    given = {
        name: jnp.stack([r[name] for r in rows]) if name in some else rows[0][name]
        for name in NAMES
    }
    axes = {name: 0 if name in some else None for name in NAMES}

    alone = [
        {name: r[name] if name in some else rows[0][name] for name in NAMES}
        for r in rows
    ]

    @jax.jit
    def all_forms(given, alone):
        found = []
        for impl in ("xla", "interpret"):
            fused = partial(gumbel_mask.masked_product, impl=impl)
            one = partial(value_and_gradients, fused)
            found.append(jax.vmap(lambda g, one=one: one(**g), in_axes=(axes,))(given))
        return found, [value_and_gradients(unfused, **row) for row in alone]

    stacked, expected = all_forms(given, alone)
    for form in stacked:
        for i, row in enumerate(expected):
            assert_close(jax.tree.map(lambda a, i=i: a[i], form), row, 1e-5)


def test_memory_is_a_fraction_of_the_unfused_layers():
    """Forward and backward at batch 1024, 64 latents, 64 inputs and hidden 64."""
    b, k, n, h = 1024, 64, 64, 64
    single = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    given = [single((b, n)), single((k, n, h)), single((k, n)), single(())]
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)

    def needed(product):
        def passes(x, weight, log_alpha, temperature, key, g):
            def of(x, weight, log_alpha, temperature):
                return product(x, weight, log_alpha, key, temperature)

            out, pull = jax.vjp(of, x, weight, log_alpha, temperature)
            return out, pull(g)

        lowered = jax.jit(passes).lower(*given, key, single((k, b, h)))
        return lowered.compile().memory_analysis()

    fused = needed(partial(gumbel_mask.masked_product, impl="xla"))
    plain = needed(unfused)
    assert fused.temp_size_in_bytes <= plain.temp_size_in_bytes / 4
    # With the layer's own output, which both write.
    both = [m.temp_size_in_bytes + m.output_size_in_bytes for m in (fused, plain)]
    assert both[0] <= both[1] / 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rows", [(), (4,)])
@pytest.mark.parametrize(("b", "n", "k", "h"), [(1024, 64, 64, 64), (24, 10, 3, 7)])
def test_kernels_lower_for_tpu(rows, dtype, b, n, k, h):
    of = partial(gumbel_mask.masked_product, impl="pallas_tpu")

    def passes(given):
        return value_and_gradients(of, **given)

    given = jax.eval_shape(partial(arguments, b, n, k, h, dtype))
    given = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((*rows, *a.shape), a.dtype), given
    )
    many = jax.vmap(passes) if rows else passes
    lowered = jax.export.export(jax.jit(many), platforms=["tpu"])(given)
    assert lowered.mlir_module().count("tpu_custom_call") >= 3


def test_any_generator_of_keys():
    given = arguments()
    given["key"] = jax.random.key(0, impl="rbg")
    one = gumbel_mask.masked_product(**given)
    words = jax.random.bits(given["key"], (2,))
    same = given | {"key": jax.random.wrap_key_data(words, impl="threefry2x32")}
    np.testing.assert_array_equal(one, gumbel_mask.masked_product(**same))


def test_sizes_that_do_not_tile_run_in_xla(caplog):
    kernels._say_once.cache_clear()
    given = arguments(b=1021, n=2, k=2, h=2)
    with caplog.at_level(logging.WARNING, "jaxdis.kernels"):
        out = [gumbel_mask.masked_product(**given, impl="interpret") for _ in range(2)]
    (line,) = caplog.messages
    assert line == (
        "gumbel_mask runs in XLA: a batch of 1021 has no divisor that is a multiple of "
        "8"
    )
    np.testing.assert_array_equal(
        out[0], gumbel_mask.masked_product(**given, impl="xla")
    )
    assert pallas.refusal(8, 9_000, 2, 1_000) is not None
    assert pallas.refusal(1024, 64, 64, 64) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"impl": "cuda"}, "impl must be None or one of xla, pallas, .*got 'cuda'"),
        ({"impl": "pallas"}, "impl='pallas': gumbel_mask has a compiled kernel for"),
        ({"mask": "hard"}, "mask must be one of soft, straight_through, .*got hard"),
        ({"x": jnp.ones((6, 4))}, r"x must be \[b, n\] and weight .*\(6, 4\) and"),
        ({"x": jnp.ones(5)}, r"x must be \[b, n\] and weight \[k, n, h\], got \(5,\)"),
        ({"log_alpha": jnp.ones((5, 3))}, r"log_alpha must be .*\(3, 5\); got \(5, 3"),
        ({"x": jnp.ones((6, 5), "int32")}, "float32 or both bfloat16, got int32 and"),
    ],
)
def test_wrong_arguments_are_explained(changes, message):
    with pytest.raises(ValueError, match=message):
        gumbel_mask.masked_product(**arguments() | changes)


def test_too_many_masks_for_their_numbers():
    given = jax.eval_shape(partial(arguments, 2**16, 2**8, 2**8, 1))
    with pytest.raises(ValueError, match=r"below 2\^32.*65536 x 256 x 256"):
        jax.eval_shape(lambda g: gumbel_mask.masked_product(**g), given)
