"""Which form of an operation runs: that of the platform of the lowering."""

import logging
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import pytest

from benchmarks.kernels import label
from jaxdis import kernels
from jaxdis.kernels import Form, Sizes

# Each form multiplies by its own number, which the lowered program shows.
FACTORS = {"xla": 2.5, "pallas_tpu": 3.5, "pallas_gpu": 4.5, "interpret": 5.5}


def form(name, platform=None, reason=None):
    return Form(lambda x, setting: x * FACTORS[name], lambda sizes: reason, platform)


ALL = {
    "xla": form("xla"),
    "pallas_tpu": form("pallas_tpu", "tpu"),
    "pallas_gpu": form("pallas_gpu", "cuda"),
    "interpret": form("interpret"),
}
NO_GPU = {name: ALL[name] for name in ("xla", "pallas_tpu", "interpret")}
ODD = ALL | {"pallas_tpu": form("pallas_tpu", "tpu", "too odd")}

ONE = Sizes(1, 1, 1, 1)


def product(forms, impl):
    """An operation of these forms."""
    return lambda x: kernels.run("product", forms, x, None, ONE, impl)


def lowered(function, platform):
    """The forms in a program for a platform."""
    exported = jax.export.export(jax.jit(function), platforms=[platform])
    text = exported(jax.ShapeDtypeStruct((3,), jnp.float32)).mlir_module()
    return [name for name, factor in FACTORS.items() if f"<{factor:e}" in text]


@pytest.mark.parametrize(
    ("platform", "impl", "forms", "expected"),
    [
        ("cpu", None, ALL, "xla"),
        ("tpu", None, ALL, "pallas_tpu"),
        ("cuda", None, ALL, "xla"),
        ("tpu", None, ODD, "xla"),
        ("tpu", "xla", ALL, "xla"),
        ("tpu", "pallas", ALL, "pallas_tpu"),
        ("cuda", "pallas", ALL, "pallas_gpu"),
        ("tpu", "pallas", ODD, "xla"),
        ("cpu", "pallas_gpu", ALL, "pallas_gpu"),
        ("cpu", "interpret", ALL, "interpret"),
    ],
)
def test_form(monkeypatch, platform, impl, forms, expected):
    """Where a kernel was found to be the fastest, on a TPU here, it is the default.

    The form that is said to be in use is the one in the program.
    """
    monkeypatch.setattr(kernels, "FASTEST", {"cpu": "xla", "tpu": "pallas_tpu"})
    assert lowered(product(forms, impl), platform) == [expected]
    assert kernels.in_use("product", forms, ONE, impl, platform) == expected


def test_gradient_is_that_of_the_platform(monkeypatch):
    monkeypatch.setattr(kernels, "FASTEST", {"tpu": "pallas_tpu"})
    slope = jax.grad(lambda x: product(ALL, None)(x).sum())
    assert lowered(slope, "tpu") == ["pallas_tpu"]
    assert lowered(slope, "cpu") == ["xla"]
    assert jax.jit(slope)(jnp.ones(3)).tolist() == [FACTORS["xla"]] * 3


@pytest.mark.parametrize(
    ("platform", "forms", "message"),
    [
        ("cpu", ALL, "a compiled kernel for tpu and cuda and none for cpu; impl='xla'"),
        ("cpu", NO_GPU, "impl='pallas': product has a compiled kernel for tpu and no"),
        ("cuda", NO_GPU, "for tpu and none for cuda; impl='xla' runs everywhere"),
    ],
)
def test_a_platform_without_a_kernel_is_named(platform, forms, message):
    """For values, for gradients, and over seeds."""
    function = product(forms, "pallas")
    slope = jax.grad(lambda x: (function(x) ** 2).sum())
    for program in (function, slope, jax.vmap(slope)):
        shape = (2, 3) if program is not slope and program is not function else (3,)
        exported = jax.export.export(jax.jit(program), platforms=[platform])
        with pytest.raises(ValueError, match=message):
            exported(jax.ShapeDtypeStruct(shape, jnp.float32))
    with pytest.raises(ValueError, match=message):
        kernels.in_use("product", forms, ONE, "pallas", platform)


def test_a_platform_without_a_kernel_is_named_outside_of_programs():
    with pytest.raises(ValueError, match="for tpu and cuda and none for cpu"):
        product(ALL, "pallas")(jnp.ones(3))


@pytest.mark.parametrize("impl", ["mosaic", "pallas_gpu"])
def test_unknown_forms_are_named(unchecked, impl):
    known = "pallas, xla, pallas_tpu, interpret"
    message = f"impl must be None or one of {known}, got {impl!r}"
    with pytest.raises(ValueError, match=message):
        product(NO_GPU, impl)(jnp.ones(3))


def test_form_in_use_on_this_machine():
    """What a benchmark labels its rows with: not what was asked for."""
    size = (64, 8, 2, 16)
    old = ALL | {"pallas_gpu": form("pallas_gpu", "cuda", "another generation")}
    for forms, expected in ((ALL, "pallas_gpu"), (old, "xla")):
        assert label("product", forms, size, "pallas_gpu") == expected
    assert label("product", ALL, size, "arrays") == "arrays"
    assert kernels.in_use("product", ALL, ONE, None) == "xla"


def test_a_refusal_is_logged_once(caplog):
    odd = ALL | {"interpret": form("interpret", None, "too odd for a kernel")}
    with caplog.at_level(logging.WARNING, "jaxdis.kernels"):
        for _ in range(2):
            jax.eval_shape(product(odd, "interpret"), jnp.ones(3))
    (line,) = caplog.messages
    assert line == "product runs in XLA instead of interpret: too odd for a kernel"


def test_what_is_recomputed_is_given_the_arguments_again():
    def backward(x, setting, g):
        return setting * g * x

    double = kernels.recomputed(lambda x, setting: setting * x, backward)
    value, slope = jax.value_and_grad(partial(double, setting=2.0))(jnp.float32(3.0))
    assert (float(value), float(slope)) == (6.0, 6.0)  # not 2: `backward` is asked
