"""Options of the config: that each of them trains, and what is refused."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.systems.flow_factorized import EXACT, METHOD
from jaxdis.systems.flow_factorized.build import build
from jaxdis.systems.flow_factorized.networks import init_params, times
from jaxdis.types import Spec
from tests.systems.flow_factorized.common import (
    DATA,
    RELEASED,
    SPEC,
    TINY,
    batches,
    initial,
    variant,
)

VARIANTS = {
    "exact": TINY,
    "series, start": variant(log_det="series", clock="start", ic="off"),
    "slogdet": variant(log_det="exact"),
    "released first": replace(
        RELEASED, supervision="inferred", index_loss="true_label"
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_learns_a_batch(name):
    config = VARIANTS[name]
    system = METHOD.make(config, SPEC)
    hyper = METHOD.default_hyper(config, SPEC, 30)._replace(learning_rate=3e-3)
    hyper = jax.tree.map(jnp.float32, hyper)
    batch = batches(TINY).sample(jax.random.key(0))

    @jax.jit
    def train(state):
        def step(state, key):
            return system.step(state, batch, hyper, key)

        return jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 30))[1]

    found = train(initial(config))
    assert np.isfinite(found["loss"]).all()
    assert found["reconstruction"][-5:].mean() < 0.9 * found["reconstruction"][0]


@pytest.mark.parametrize("convolutions", ["auto", "lax"])
def test_form_of_convolutions(convolutions):
    model = build(variant(vae="conv", width=2, convolutions=convolutions), SPEC)
    parts = ((model.encoder, SPEC.shape), (model.decoder, (model.z_dim,)))
    for part, shape in parts:
        params = jax.eval_shape(part.init, jax.random.key(0))
        program = str(jax.make_jaxpr(part.apply)(params, jnp.zeros((2, *shape))))
        assert ("conv_general_dilated" in program) == (convolutions == "lax")


def test_codes_and_images():
    system, state = METHOD.make(TINY, SPEC), initial(TINY)
    x = batches(TINY).test.x
    codes = jax.jit(system.encode)(state.params, x)
    assert codes.shape == (*x.shape[:2], 4)
    bytes_ = jnp.round(255 * x).astype(jnp.uint8)
    np.testing.assert_allclose(
        jax.jit(system.encode)(state.params, bytes_), codes, atol=0.05
    )
    drawn = jax.jit(system.decode)(state.params, codes)
    assert drawn.shape == x.shape
    assert drawn.min() > 0
    assert drawn.max() < 1


def test_clock():
    model = build(TINY, SPEC)
    np.testing.assert_array_equal(times(model, 3), [1, 2, 3])
    np.testing.assert_array_equal(times(model, 2, first=5), [5, 6])
    early = build(variant(clock="start", ic="off"), SPEC)
    np.testing.assert_array_equal(times(early, 3), [0, 1, 2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_dim": 7}, "latent size must be even and at least 4"),
        ({"z_dim": 2}, "latent size must be even and at least 4"),
        ({"width": 0}, "config.width must be at least 1"),
        ({"batch": 0}, "config.batch must be at least 1"),
        ({"transformations": 3}, "config.transformations must be 0 for data that name"),
        ({"vae": "deep_conv"}, "config.vae='deep_conv' halves images until 16"),
        ({"clock": "start"}, "config.clock='start' moves the first step"),
        ({"log_det": "rowsum"}, "config.log_det='rowsum' and config.kl="),
        ({"kl": "softmax_dims"}, "config.log_det='rowsum' and config.kl="),
        ({"prior_gradient": "accumulate"}, "config.prior_gradient='accumulate'"),
    ],
)
def test_bad_configs_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        METHOD.make(variant(**changes), SPEC)


def test_images_that_the_strides_do_not_divide_are_named():
    spec = Spec((30, 28, 3), 5, transformations=("scale",))
    with pytest.raises(ValueError, match="4 must divide their sides, and they are 30"):
        METHOD.make(variant(vae="conv"), spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "config.supervision='known' needs the transformation `k` of every"),
        ({"supervision": "inferred"}, "config.transformations must be the number of"),
        (
            {"supervision": "inferred", "transformations": 2, "log_det": "series",
             "index_loss": "true_label"},
            "config.index_loss='true_label' needs the transformation `k`",
        ),
        (
            {"supervision": "inferred", "transformations": -1},
            "config.transformations must be at least 0",
        ),
    ],
)  # fmt: skip
def test_data_that_name_no_transformation(changes, message):
    with pytest.raises(ValueError, match=message):
        METHOD.make(variant(**changes), Spec((8, 8, 1), 5))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec((8, 8, 1), transformations=("a",)), "needs sequences; this data set has"),
        (Spec((64,), 5, transformations=("a",)), "needs images; this data set has"),
        (
            Spec((8, 8, 1), 1, transformations=("a",)),
            "frames of a sequence must be at least 2",
        ),
    ],
)
def test_data_that_are_no_sequences_of_images(spec, message):
    with pytest.raises(ValueError, match=message):
        METHOD.make(TINY, spec)


def test_presets_fit_their_data():
    for name, preset in METHOD.presets.items():
        if name == "own":  # a file of one's own
            continue
        spec = preset.data.spec()
        METHOD.make(preset.config, spec)
        hyper = METHOD.default_hyper(preset.config, spec, preset.steps)
        hyper = hyper._replace(**preset.hyper)
        released = preset.config.kl == "softmax_dims"
        assert hyper.kl_weight == (1 if released else 1 / (spec.steps - 1))
        assert preset.source
    assert METHOD.presets["toy"].config.hj == EXACT.hj


def test_released_sizes_have_the_parameters_of_the_layer_table():
    """MNIST, n = 324, C = 3, s = 7; a potential has 421,525 parameters.

    encoder: conv 4x4 3->n, n->2n: 16*3*n+n + 16*n*2n+2n; dense 49*2n->3n, 3n->2n,
        2n->2n; heads 2n->2*n
    decoder: dense n->n, n->2n, 2n->3n; 3n->49*2n with 2n biases; deconv 4x4 2n->n, n->3
    """
    n = 324
    encoder = 48 * n + n + 32 * n * n + 2 * n
    encoder += 98 * n * 3 * n + 3 * n + 6 * n * n + 2 * n + 4 * n * n + 2 * n
    encoder += 4 * n * n + 2 * n
    decoder = n * n + n + 2 * n * n + 2 * n + 6 * n * n + 3 * n
    decoder += 3 * n * 98 * n + 2 * n + 32 * n * n + n + 48 * n + 3
    preset = METHOD.presets["MNIST"]
    model = build(preset.config, preset.data.spec())
    params = jax.eval_shape(lambda k: init_params(k, model), jax.random.key(0))

    def count(tree):
        return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(tree))

    assert count(params.encoder) == encoder
    assert count(params.decoder) == decoder
    assert round(count(params.encoder) / 1e6 + count(params.decoder) / 1e6, 1) == 70.9
    assert count(params.potentials) == count(params.forces) == 3 * 421_525


def test_data_are_the_rows_that_are_trained_on():
    assert DATA.spec().steps == batches(TINY).test.x.shape[1] == 5
