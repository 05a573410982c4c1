"""Sequences of one's own: sizes by the data, the next frames, replaced parts."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxdis import flows
from jaxdis.data.own import OwnRows
from jaxdis.systems.flow_factorized import METHOD, OBJECTIVES, Config, make
from jaxdis.systems.flow_factorized.build import build
from jaxdis.systems.flow_factorized.networks import flow_of
from jaxdis.systems.flow_factorized.presets import PRESETS
from jaxdis.systems.flow_factorized.sizes import sized
from jaxdis.types import Rows, Spec
from tests.systems.flow_factorized.tiny import own_rows

KEY = jax.random.key(0)
KNOWN = OwnRows(own_rows(known=True))
SPEC = KNOWN.spec()
CONFIG = Config(z_dim=4, vae="mlp", width=8, depth=1, batch=6)
INFERRED = replace(CONFIG, supervision="inferred", transformations=3)
UNKNOWN = SPEC._replace(transformations=())


def initial(system, spec=SPEC, config=CONFIG):
    hyper = METHOD.default_hyper(config, spec, 10)
    hyper = jax.tree.map(jnp.float32, hyper)
    return jax.jit(system.init)(KEY, hyper), hyper


@pytest.mark.parametrize(
    ("shape", "names", "expected"),
    [
        ((14, 14, 1), ("a", "b"), ("known", 0, 16, "mlp", 256)),
        ((64, 64, 1), (), ("inferred", 4, 32, "conv", 32)),
        ((33, 47, 3), (), ("inferred", 4, 32, "mlp", 256)),
        ((128, 160, 3), ("a",), ("known", 0, 32, "deep_conv", 32)),
    ],
)
def test_sizes_by_the_data(shape, names, expected):
    spec = Spec(shape, 5, transformations=names)
    found = sized(PRESETS["own"].config, spec)
    names = ("supervision", "transformations", "z_dim", "vae", "width")
    assert tuple(getattr(found, name) for name in names) == expected
    build(found, spec)
    # What was chosen stays.
    assert sized(INFERRED, spec) == INFERRED
    assert sized(Config(), spec) == Config()


def test_next_frames_are_those_of_the_flow():
    """By hand: a posterior mean, moved by the gradients of potentials, decoded."""
    system = make(CONFIG, SPEC)
    state, _ = initial(system)
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 2, 6, 5, 1)), jnp.float32)
    k = jnp.array([0, 1, 1, 0])
    found = jax.jit(system.predict)(state, Rows(x, k=k))
    assert found.shape == (4, 2, 6, 5, 1)
    model = build(CONFIG, SPEC)
    z = system.encode(state.params, x[:, -1])
    flow = flow_of(model, state.params)
    for step in range(2):
        y = jax.nn.one_hot(k, 2)
        z = flows.walk(flow, z, y, jnp.array([step + 1.0]), None).z[0]
        np.testing.assert_allclose(
            found[:, step], system.decode(state.params, z), atol=1e-5
        )
    # The last frame alone matters, and a single one needs no axis of time.
    alone = jax.jit(system.predict)(state, Rows(x[:, -1], k=k))
    np.testing.assert_allclose(alone, found, atol=1e-6)
    other = jax.jit(system.predict)(state, Rows(x, k=1 - k))
    assert np.abs(other - found).max() > 1e-6
    # Two at once are the sum of both.
    both = jax.jit(system.predict)(state, Rows(x, k=jnp.array([[0, 1]] * 4)))
    moved = flows.walk(flow, system.encode(state.params, x[:, -1]), jnp.ones((4, 2)),
                       jnp.array([1.0]), None).z[0]  # fmt: skip
    np.testing.assert_allclose(
        both[:, 0], system.decode(state.params, moved), atol=1e-5
    )


def test_a_transformation_is_inferred_from_a_whole_sequence():
    system = make(INFERRED, UNKNOWN)
    state, _ = initial(system, UNKNOWN, INFERRED)
    x = jnp.asarray(own_rows().x[:8])
    found = jax.jit(system.predict)(state, Rows(x))
    assert found.shape == (8, 2, 6, 5, 1)
    each = [
        np.asarray(jax.jit(system.predict)(state, Rows(x, k=jnp.full(8, k))))
        for k in range(3)
    ]
    same = np.stack([np.isclose(found, e, atol=1e-6).all((1, 2, 3, 4)) for e in each])
    assert same.any(0).all()
    with pytest.raises(
        ValueError, match=r"rows\.k must say .* 0 \.\. 2, or .* 3 frames"
    ):
        system.predict(state, Rows(x[:, :2]))
    with pytest.raises(
        ValueError, match=r"rows\.k must say .* 0 \.\. 1; got none with 3"
    ):
        make(CONFIG, SPEC).predict(initial(make(CONFIG, SPEC))[0], Rows(x))
    plain = replace(CONFIG, supervision="none")
    assert make(plain, SPEC).predict is None


@pytest.mark.parametrize("known", [True, False])
def test_a_report_of_sequences_of_ones_own(known):
    data = OwnRows(own_rows(known=known))
    spec, config = data.spec(), replace(CONFIG, supervision=None)
    config = sized(config, spec)
    made = METHOD.batches(config, spec, data.load())
    system = make(config, spec)
    state, hyper = initial(system, spec, config)
    state, seen = jax.jit(system.step)(state, made.sample(KEY), hyper, KEY)
    assert np.isfinite(seen["loss"])
    report = jax.jit(system.report)(state, made.test, KEY)
    declared = {score.name for score in METHOD.scores(config, spec)}
    assert set(report) <= declared | METHOD.arrays.keys()
    assert np.isfinite(report["equivariance_error"])
    assert ("equivariance_error_down" in report) == known
    # Nobody knows the index, so nothing says whether it is right.
    assert "index_accuracy" not in report


class Flat(nn.Module):
    """A network that no config names."""

    out: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.out)(jnp.cos(x.reshape(len(x), -1)))


def images(width):
    """A decoder as a pair of functions."""

    def init(key, z):
        return {"w": jax.random.normal(key, (z.size, 30))}

    return init, lambda params, z: (z @ params["w"]).reshape(-1, 6, width, 1)


def test_parts_of_ones_own_are_used():
    def loss(*args):
        value, metrics = OBJECTIVES["known"](*args)
        return 3 * value, metrics

    parts = {"encoder": Flat(8), "decoder": images(5)}
    own = make(CONFIG, SPEC, **parts, optimiser=optax.sgd(1e-4), loss=loss)
    plain = make(CONFIG, SPEC, **parts)
    state, hyper = initial(own)
    x = jnp.asarray(own_rows().x[:6, 0]) / 255.0
    dense = state.params.encoder["params"]["Dense_0"]
    mean = (jnp.cos(x.reshape(6, -1)) @ dense["kernel"] + dense["bias"][None])[:, :4]
    np.testing.assert_allclose(own.encode(state.params, x), mean, atol=1e-5)
    pixels = jax.nn.sigmoid(mean @ state.params.decoder["w"]).reshape(6, 6, 5, 1)
    np.testing.assert_allclose(own.decode(state.params, mean), pixels, atol=1e-5)
    batch = METHOD.batches(CONFIG, SPEC, KNOWN.load()).sample(KEY)
    _, seen = jax.jit(own.step)(state, batch, hyper, KEY)
    _, usual = jax.jit(plain.step)(initial(plain)[0], batch, hyper, KEY)
    np.testing.assert_allclose(seen["loss"], 3 * usual["loss"], rtol=1e-5)
    with pytest.raises(ValueError, match=r"encoder must turn .* log variances"):
        make(CONFIG, SPEC, encoder=Flat(4))
    with pytest.raises(ValueError, match="decoder must be a flax module or a pair"):
        make(CONFIG, SPEC, decoder=3)
