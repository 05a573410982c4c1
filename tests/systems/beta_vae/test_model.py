"""Beta-VAE: the loss in closed form, what beta does, images, and what is refused."""

import functools
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy.stats import norm

from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.rows import batches
from jaxdis.data.sequences.stills import DigitSequences
from jaxdis.systems.beta_vae import METHOD, default_hyper, make
from jaxdis.systems.beta_vae.model import objective
from jaxdis.types import Rows, Spec
from jaxdis.vae import (
    build,
    decode,
    elbo_terms,
    init_params,
    posterior,
    preferred,
    sized,
)
from tests.systems.beta_vae.tiny import IMAGES, SMALL

VECTORS = Spec(shape=(4,), z_dim=2)
PIXELS = Spec(shape=(8, 8, 3), steps=3)
STEPS = 300


def linear(model, encoder, decoder):
    """Parameters of networks without hidden layers: weights and biases by hand."""
    params = init_params(jax.random.key(0), model)
    (enc,), (dec,) = params.encoder["params"], params.decoder["params"]
    named = ({"kernel": w, "bias": b} for w, b in (encoder, decoder))
    first, second = ({"params": {n: v}} for n, v in zip((enc, dec), named, strict=True))
    return params._replace(encoder=first, decoder=second)


@functools.cache
def by_hand():
    """A linear model of vectors, rows, noise, and both parts of its bound in numpy."""
    model = build(replace(SMALL, z_dim=2, encoder=(), decoder=()), VECTORS)
    rng = np.random.default_rng(0)
    w, b = rng.normal(size=(4, 4)), rng.normal(size=4)
    v, c = rng.normal(size=(2, 4)), rng.normal(size=4)
    x, noise = rng.normal(size=(5, 4)), rng.normal(size=(5, 2))
    mean, log_var = np.split(0.3 * x @ w + b, 2, axis=1)
    z = mean + np.exp(0.5 * log_var) * noise
    error = -norm.logpdf(x, z @ v + c, 0.7).sum(1)
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)
    as_jax = functools.partial(jnp.asarray, dtype=jnp.float32)
    pairs = [tuple(map(as_jax, pair)) for pair in ((0.3 * w, b), (v, c))]
    return model, linear(model, *pairs), as_jax(x), as_jax(noise), error, kl


def hyper_of(config=SMALL, **values):
    hyper = default_hyper(config, VECTORS, 100)._replace(**values)
    return jax.tree.map(jnp.float32, hyper)


def test_both_parts_are_those_of_linear_gaussians():
    model, params, x, noise, error, kl = by_hand()
    terms, q = elbo_terms(params, model, x, noise, 0.7)
    np.testing.assert_allclose(terms.reconstruction, error, rtol=1e-5)
    np.testing.assert_allclose(terms.kl, kl, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_equal(q, posterior(params, model, x))


@pytest.mark.parametrize(
    ("constraint", "step", "price"),
    [
        ("beta", 50, lambda kl: 3 * kl),
        # The capacity of 40 nats has risen to half of it, and then to all.
        ("capacity", 50, lambda kl: 3 * abs(kl - 20)),
        ("capacity", 200, lambda kl: 3 * abs(kl - 40)),
    ],
)
def test_what_beta_weighs(constraint, step, price):
    model, params, x, noise, error, kl = by_hand()
    config = replace(model.config, constraint=constraint)
    hyper = hyper_of(beta=3.0, noise_std=0.7, capacity=40.0)
    loss, logged = objective(
        params, build(config, VECTORS), x, noise, jnp.asarray(step), hyper
    )
    expected = error.mean() + price(kl.sum(1).mean())
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(logged["kl"], kl.sum(1).mean(), rtol=1e-5)


def test_pixels_are_scored_by_cross_entropy():
    dense = replace(
        SMALL, z_dim=2, encoder=(), decoder=(), networks="dense", likelihood="bernoulli"
    )
    model = build(dense, PIXELS)
    rng = np.random.default_rng(1)
    shapes = (192, 4), (4,), (2, 192), (192,)
    w, b, v, c = ((rng.normal(size=s) / 9).astype(np.float32) for s in shapes)
    params = linear(
        model, (jnp.asarray(w), jnp.asarray(b)), (jnp.asarray(v), jnp.asarray(c))
    )
    # Bytes are what they are in [0, 1].
    x = rng.integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    noise = jnp.zeros((5, 2))
    terms, q = elbo_terms(params, model, jnp.asarray(x), noise, 1.0)
    p = 1 / (1 + np.exp(-(np.asarray(q.mean) @ v + c)))
    p, seen = p.reshape(x.shape), x / 255
    expected = -(seen * np.log(p) + (1 - seen) * np.log(1 - p)).sum((1, 2, 3))
    np.testing.assert_allclose(terms.reconstruction, expected, rtol=1e-4)
    np.testing.assert_allclose(decode(params, model, q.mean), p, rtol=1e-4)


@functools.cache
def trained():
    """Scores of three runs in one program, for beta of 0, 1 and 1,000, and the rows."""
    data = MixedFactors(z_dim=2, x_dim=4, test_rows=400)
    config = replace(SMALL, encoder=(16,), decoder=(16,), batch=64)
    spec, splits = data.spec(), data.load()
    system, made = make(config, spec), batches(config, spec, splits)

    def run(beta):
        hyper = hyper_of(beta=beta, learning_rate=1e-2, noise_std=0.1)

        def step(state, i):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(1), i))
            return system.step(state, made.sample(keys[0]), hyper, keys[1])[0], None

        start = system.init(jax.random.key(0), hyper)
        end = jax.lax.scan(step, start, jnp.arange(STEPS))[0]
        return system.report(end, made.test, jax.random.key(2))

    found = jax.jit(jax.vmap(run))(jnp.array([0.0, 1.0, 1_000.0]))
    return jax.device_get(found), made.test.x


def test_without_a_price_it_is_an_autoencoder():
    found, x = trained()
    constant = -norm.logpdf(x, np.mean(x, 0), 0.1).sum(1).mean()
    assert found["reconstruction"][0] < found["reconstruction"][1] < 0.1 * constant
    assert found["kl"][0] > found["kl"][1] > 1.0
    assert found["dead"][0] == 0
    assert found["elbo"][1] > found["elbo"][0]


def test_a_high_price_collapses_the_posterior():
    found, x = trained()
    assert found["kl"][2] < 0.01
    assert found["dead"][2] == SMALL.z_dim
    # What tells nothing earns nothing.
    assert found["mcc"][2] == found["r2"][2] == 0.0
    assert found["r2"][1] > 0.9
    # Nothing is left but the best constant.
    constant = -norm.logpdf(x, np.mean(x, 0), 0.1).sum(1).mean()
    np.testing.assert_allclose(found["reconstruction"][2], constant, rtol=0.1)


def test_the_bound_is_the_sum_of_what_the_latents_tell():
    found, _ = trained()
    np.testing.assert_allclose(found["kl_per_code"].sum(1), found["kl"], rtol=1e-5)
    np.testing.assert_allclose(
        found["elbo"], -found["reconstruction"] - found["kl"], rtol=1e-5
    )


@functools.cache
def frames():
    """Rows of images, the report of an untrained seed, and what the networks make."""
    data = DigitSequences(size=8, steps=2, valid_rows=6, test_rows=6, fit_rows=6)
    spec, rows = data.spec(), data.load().test
    system, model = make(IMAGES, spec), build(IMAGES, spec)

    @jax.jit
    def run(x):
        state = system.init(jax.random.key(0), hyper_of(IMAGES))
        found = system.report(state, rows, jax.random.key(1))
        flat = x.reshape(-1, *spec.shape)
        q = posterior(state.params, model, flat)
        codes = system.encode(state.params, found["originals"])
        # The middle of the first walk has its latent at 0.
        most = jnp.argmax(found["kl_per_code"])
        moved = jnp.concatenate([codes, codes[:1].at[0, most].set(0.0)])
        images = system.decode(state.params, moved)
        return found, system.encode(state.params, x), q, images

    return rows, *jax.device_get(run(rows.x))


def test_every_frame_of_a_sequence_is_a_row():
    _, found, codes, q, _ = frames()
    assert codes.shape == (6, 3, IMAGES.z_dim)
    np.testing.assert_allclose(codes.reshape(18, -1), q.mean, atol=1e-6)
    kl = 0.5 * (q.var + q.mean**2 - 1 - np.log(q.var))
    np.testing.assert_allclose(found["kl_per_code"], kl.mean(0), rtol=1e-3, atol=1e-6)


def test_pictures_are_of_held_out_images():
    rows, found, _, _, images = frames()
    np.testing.assert_array_equal(found["originals"][0], rows.x[0, 0])
    np.testing.assert_array_equal(found["originals"][-1], rows.x[-1, -1])
    np.testing.assert_allclose(found["reconstructions"], images[:-1], atol=1e-5)
    np.testing.assert_allclose(found["traversals"][0, 3], images[-1], atol=1e-5)


def test_no_latents_are_needed():
    found = frames()[1]
    declared = {score.name for score in METHOD.scores(IMAGES, PIXELS)}
    assert declared == {"elbo", "reconstruction", "kl", "dead"}
    assert set(found) - set(METHOD.arrays) == declared


class Mine(nn.Module):
    """Two dense layers and a name."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(6, name="mine")(jnp.tanh(nn.Dense(9)(x)))


MINE = (
    lambda key, z: {"w": 0.1 * jax.random.normal(key, (len(z), 4))},
    lambda params, z: z @ params["w"],
)


def without_draws(params, model, x, noise, step, hyper):
    """The loss of the means of the posteriors, that is, without noise."""
    loss, logged = objective(params, model, x, 0.0 * noise, step, hyper)
    return loss, logged | {"mean": loss}


def test_parts_of_ones_own_are_used():
    system = make(
        SMALL,
        VECTORS,
        encoder=Mine(),
        decoder=MINE,
        optimiser=lambda hyper: optax.sgd(hyper.learning_rate),
        loss=without_draws,
    )
    x = jax.random.normal(jax.random.key(1), (64, 4))
    hyper = hyper_of(learning_rate=1e-2, beta=0.1)

    @jax.jit
    def run(x):
        start = system.init(jax.random.key(0), hyper)
        keys = jax.random.split(jax.random.key(2), 200)
        return start.params, *jax.lax.scan(
            lambda state, key: system.step(state, Rows(x), hyper, key), start, keys
        )

    params, end, logged = run(x)
    assert set(params.encoder["params"]) == {"Dense_0", "mine"}
    assert set(params.decoder) == {"w"}
    assert not jax.tree.leaves(end.opt_state)
    assert logged["mean"][-1] < logged["mean"][0] - 0.1
    # Without noise nothing but the parameters moves it: it falls at every step.
    assert (jnp.diff(logged["loss"]) < 1e-3).all()


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"outputs \('b', 8\), mean and log-variance"):
        make(replace(SMALL, z_dim=4), VECTORS, encoder=Mine())
    with pytest.raises(ValueError, match=r"decoder must turn inputs \('b', 3\)"):
        make(SMALL, Spec(shape=(5,)), decoder=MINE)


@pytest.mark.parametrize(
    ("spec", "z_dim", "likelihood"),
    [(VECTORS, 2, "gaussian"), (PIXELS, 10, "bernoulli"), (Spec((3,)), 3, "gaussian")],
)
def test_sizes_are_by_the_data(spec, z_dim, likelihood):
    config = sized(replace(SMALL, z_dim=0, likelihood=None), spec)
    assert (config.z_dim, config.likelihood) == (z_dim, likelihood)
    assert sized(SMALL, spec) == SMALL


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((10,), "dense"),
        ((28, 28, 3), "convolutional"),
        ((128, 128, 3), "deep"),
        ((132, 132, 1), "convolutional"),
        ((30, 30, 1), "dense"),
    ],
)
def test_networks_fit_the_shape_of_an_observation(shape, kind):
    assert preferred(shape) == kind


@pytest.mark.parametrize(
    ("changes", "spec", "said"),
    [
        ({"likelihood": "bernoulli"}, VECTORS, "takes images, whose numbers lie in"),
        ({"networks": "deep"}, PIXELS, "multiples of 16; an observation of this"),
        ({"networks": "convolutional"}, VECTORS, "multiples of 4"),
        ({"likelihood": "poisson"}, VECTORS, "'gaussian', 'bernoulli'"),
        ({"constraint": "gamma"}, VECTORS, "'beta', 'capacity'"),
        ({"z_dim": -1}, VECTORS, "config.z_dim must be at least 1"),
        ({"encoder": (8, 0)}, VECTORS, "config.encoder must be positive widths"),
        ({"warmup": 2.0}, VECTORS, "config.warmup is a fraction of the steps"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes, spec, said, unchecked):
    with pytest.raises(ValueError, match=said):
        make(replace(SMALL, **changes), spec)
