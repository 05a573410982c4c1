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
from jaxdis.kernels.gumbel_mask import mosaic_gpu as layer_gpu
from jaxdis.kernels.gumbel_mask import pallas as layer_tpu
from jaxdis.kernels.potential_flow import mosaic_gpu as flow_gpu
from jaxdis.kernels.potential_flow import pallas as flow_tpu


def layer(sizes, impl):
    return gumbel_mask.masked_product(*layer_arguments(*sizes), impl=impl)


def flow(sizes, impl):
    return potential_flow.derivatives(*flow_arguments(*sizes), "tanh", impl=impl)


DOUBLE, HALF = jnp.float64, jnp.float16


@pytest.mark.parametrize(
    ("module", "sizes", "reason"),
    [
        (layer_tpu, (1024, 64, 64, 64), None),
        (layer_tpu, (8, 9_000, 2, 1_000), "a block of 8 rows with n = 9000 and"),
        (layer_tpu, (1021, 2, 2, 2), "batch of 1021 has no divisor that is a multiple"),
        (layer_gpu, (1024, 64, 64, 64), None),
        (layer_gpu, (1, 1, 1, 256), None),
        (layer_gpu, (1, 1, 1, 257), "h = 257 is above 256"),
        (layer_gpu, (1, 1, 70_000, 1), "70000 networks"),
        (flow_tpu, (1024, 12, 1, 32), None),
        (flow_tpu, (1024, 64, 1, 64), None),
        (flow_tpu, (128, 324, 1, 324), None),
        (flow_tpu, (20, 12, 1, 32), None),
        (flow_tpu, (1020, 12, 1, 32), "batch of 1020 has no divisor"),
        (flow_tpu, (128, 64, 1, 2048), "8 rows with n = 64 and h = 2048 need "),
        (flow_tpu, (128, 12, 1, 32, DOUBLE), "kernels take float32, got float64"),
        (flow_gpu, (512, 64, 4, 64), None),
        (flow_gpu, (1, 4, 1, 1), None),
        (flow_gpu, (512, 66, 4, 64), "n = 66 or h = 64 is above 64"),
        (flow_gpu, (512, 64, 4, 65), "n = 64 or h = 65 is above 64"),
        (flow_gpu, (512, 64, 4, 64, HALF), "float32, got float16"),
        (flow_gpu, (1, 4, 70_000, 1), "70000 networks"),
    ],
    indirect=["module"],
)
def test_refusals_say_why(module, sizes, reason):
    found = module.refusal(Sizes(*sizes))
    assert found == reason or reason in found


@pytest.mark.parametrize("kernel", [layer_gpu, flow_gpu], ids=["layer", "flow"])
def test_an_old_jax_is_refused(monkeypatch, kernel):
    monkeypatch.setattr(plgpu, "kernel", lambda body, out_shape, scratch_shapes: None)
    reason = kernel.refusal(Sizes(512, 64, 4, 64))
    assert reason.startswith("the kernels for Hopper need jax 0.10.2, and this is ")


@pytest.mark.parametrize(
    "module", [layer_gpu, flow_gpu], indirect=True, ids=["layer", "flow"]
)
@pytest.mark.parametrize(
    ("found", "allowed"), [("8.0", False), ("9.0", True), ("10.0", False)]
)
def test_other_gpus_are_refused(monkeypatch, module, found, allowed):
    gpu = SimpleNamespace(platform="gpu", compute_capability=found)
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    reason = module.refusal(Sizes(512, 64, 4, 64))
    assert reason is None if allowed else f"this GPU is {found}" in reason


@pytest.mark.parametrize(
    ("operation", "impl", "sizes", "reason"),
    [
        (
            layer, "interpret", (1021, 2, 2, 2),
            "gumbel_mask runs in XLA instead of interpret: a batch of 1021 has no "
            "divisor that is a multiple of 8",
        ),
        (
            layer, "pallas_gpu", (2, 2, 1, 257),
            "gumbel_mask runs in XLA instead of pallas_gpu: h = 257 is above 256, more "
            "than the registers of a warpgroup hold",
        ),
        (
            flow, "interpret", (1021, 4, 2, 5),
            "potential_flow runs in XLA instead of interpret: a batch of 1021 has no "
            "divisor that is a multiple of 8 and fits",
        ),
        (
            flow, "pallas_gpu", (2, 4, 1, 65),
            "potential_flow runs in XLA instead of pallas_gpu: n = 4 or h = 65 is "
            "above 64, the size of a kernel's only tile",
        ),
    ],
    indirect=["impl"],
    ids=["layer-tpu", "layer-gpu", "flow-tpu", "flow-gpu"],
)  # fmt: skip
def test_sizes_that_are_refused_run_in_xla(caplog, operation, impl, sizes, reason):
    """And one line of the log says why, however often."""

    def program(impl):
        return str(jax.make_jaxpr(partial(operation, sizes, impl))())

    with caplog.at_level(logging.WARNING, "jaxdis.kernels"):
        found = [program(impl) for _ in range(2)]
    assert caplog.messages == [reason]
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
