"""What kernels and operations refuse, and in which words."""

import logging
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.pallas import mosaic_gpu as plgpu

from benchmarks.kernels import flow_arguments, layer_arguments
from jaxdis.kernels import Sizes, gumbel_mask, potential_flow


def layer(sizes, impl):
    return gumbel_mask.masked_product(*layer_arguments(*sizes), impl=impl)


def flow(sizes, impl):
    return potential_flow.derivatives(*flow_arguments(*sizes), "tanh", impl=impl)


FORMS = {
    "layer_tpu": gumbel_mask.FORMS["pallas_tpu"],
    "layer_gpu": gumbel_mask.FORMS["pallas_gpu"],
    "flow_tpu": potential_flow.FORMS["pallas_tpu"],
    "flow_gpu": potential_flow.FORMS["pallas_gpu"],
}
FLOATS = {"float64": "float32, got float64", "float16": "float32, got float16"}


@pytest.fixture
def form(request):
    """A compiled form that can run."""
    if request.param.endswith("gpu"):
        request.getfixturevalue("mosaic")
    return FORMS[request.param]


@pytest.mark.parametrize("form", FORMS, indirect=True)
@pytest.mark.parametrize(
    "sizes",
    [
        (1024, 10, 10, 512),
        (1024, 64, 64, 512),
        (128, 324, 5, 324),
        (128, 1024, 3, 1024),
        (1021, 9_000, 70_000, 1_001),
        (1, 1, 1, 1),
    ],
    ids=str,
)
def test_no_size_is_refused(form, sizes):
    assert form.refusal(Sizes(*sizes)) is None


@pytest.mark.parametrize("form", ["flow_tpu", "flow_gpu"], indirect=True)
@pytest.mark.parametrize("dtype", FLOATS)
def test_potentials_of_other_types_are_refused(form, dtype):
    sizes = Sizes(128, 64, 4, 64, jnp.dtype(dtype))
    assert FLOATS[dtype] in form.refusal(sizes)


@pytest.mark.parametrize("name", ["layer_gpu", "flow_gpu"])
def test_an_old_jax_is_refused(monkeypatch, name):
    monkeypatch.setattr(plgpu, "kernel", lambda body, out_shape, scratch_shapes: None)
    reason = FORMS[name].refusal(Sizes(512, 64, 4, 64))
    assert reason.startswith("the kernels for Hopper need jax 0.10.2, and this is ")


@pytest.mark.parametrize("form", ["layer_gpu", "flow_gpu"], indirect=True)
@pytest.mark.parametrize(
    ("found", "allowed"), [("8.0", False), ("9.0", True), ("10.0", False)]
)
def test_other_gpus_are_refused(monkeypatch, form, found, allowed):
    gpu = SimpleNamespace(platform="gpu", compute_capability=found)
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    reason = form.refusal(Sizes(512, 64, 4, 64))
    assert reason is None if allowed else f"this GPU is {found}" in reason


@pytest.mark.parametrize("impl", ["pallas_gpu"], indirect=True)
@pytest.mark.parametrize("operation", [layer, flow], ids=["layer", "flow"])
def test_what_is_refused_runs_in_xla(monkeypatch, caplog, operation, impl):
    """And one line of the log says why, however often."""
    gpu = SimpleNamespace(platform="gpu", compute_capability="8.0")
    monkeypatch.setattr(jax, "devices", lambda: [gpu])

    def program(impl):
        return str(jax.make_jaxpr(partial(operation, (2, 4, 1, 65), impl))())

    with caplog.at_level(logging.WARNING, "jaxdis.kernels"):
        found = [program(impl) for _ in range(2)]
    (line,) = caplog.messages
    assert "runs in XLA instead of pallas_gpu: the kernels are for Hopper" in line
    assert found == [program("xla")] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": "hard"}, "mask must be one of soft, straight_through, .*got hard"),
        ({"x": jnp.ones((6, 4))}, r"x must be \[b, n\] and weight .*\(6, 4\) and"),
        ({"x": jnp.ones(5)}, r"x must be \[b, n\] and weight \[k, n, h\], got \(5,\)"),
        ({"log_alpha": jnp.ones((5, 3))}, r"log_alpha must be .*\(3, 5\); got \(5, 3"),
        ({"x": jnp.ones((6, 5), "int32")}, "float32 or both bfloat16, got int32 and"),
    ],
)
def test_wrong_arguments_are_explained(unchecked, changes, message):
    names = ("x", "weight", "log_alpha", "key", "temperature")
    given = dict(zip(names, layer_arguments(6, 5, 3, 4), strict=True))
    with pytest.raises(ValueError, match=message):
        gumbel_mask.masked_product(**given | changes)


def test_too_many_masks_for_their_numbers():
    shapes = (2**16, 2**8), (2**8, 2**8, 1), (2**8, 2**8)
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    key = jax.eval_shape(lambda: jax.random.key(0))
    with pytest.raises(ValueError, match=r"below 2\^32.*65536 x 256 x 256"):
        jax.eval_shape(gumbel_mask.masked_product, *arrays, key, 0.7)
