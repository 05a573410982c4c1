"""CG-VAE: its loss, its options, and mistakes."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy.stats import norm

from jaxdis.systems.sparse_mixing import model as cgvae
from jaxdis.systems.sparse_mixing.config import Config, default_hyper, sized
from jaxdis.systems.sparse_mixing.system import batches, make
from jaxdis.types import Rows, Spec, Splits, Truth
from tests.systems.sparse_mixing.tiny import TINY

SPEC = Spec((2,), domains=("a", "b", "c"), z_dim=2)
SMALL = Config(encoder=(8,), decoder=(8,), bins=3, embedding=2, batch=16)


def variant(**changes):
    return dataclasses.replace(SMALL, **changes)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return Rows(jnp.float32(rng.normal(size=(16, 2))), u=jnp.arange(16) % 3)


# The loss, of linear networks without a hidden layer.

LINEAR = cgvae.build(variant(encoder=(), decoder=()), SPEC)
DECODER = np.array([[0.5, 0.3], [0, -1]])


@pytest.fixture(scope="module")
def params():
    """Encoder [[2, 0, .4, 0], [0, 1, 0, -.8]] for mean and log variance, no bias."""
    encoder = np.array([[2, 0, 0.4, 0], [0, 1, 0, -0.8]])

    def dense(kernel):
        bias = jnp.zeros(kernel.shape[1])
        return {"params": {"Dense_0": {"kernel": jnp.float32(kernel), "bias": bias}}}

    init = jax.jit(lambda key: cgvae.init_params(LINEAR, key))
    return init(jax.random.key(0))._replace(
        encoder=dense(encoder), decoder=dense(DECODER)
    )


@jax.jit
def loss(params, batch, hyper):
    return cgvae.cgvae_loss(
        LINEAR, params, batch.x, batch.u, hyper, jax.random.key(1)
    )  # fmt: skip


def hyper(**changes):
    values = default_hyper(LINEAR.config, SPEC, 10)._replace(**changes)
    return jax.tree.map(jnp.float32, values)


def test_parts_of_the_loss(params, batch):
    weights = hyper(alpha=0.3, beta=0.7, conditioning=0.0)
    total, (terms, z) = loss(params, batch, weights)
    x, z = np.asarray(batch.x, float), np.asarray(z, float)
    mean, std = x * [2, 1], np.exp(0.5 * x * [0.4, -0.8])
    np.testing.assert_allclose(
        terms.reconstruction, ((x - z @ DECODER) ** 2).sum(1).mean(), rtol=1e-5
    )
    # Without conditioning the prior is N(0, 1).
    kl = norm.logpdf(z, mean, std).sum(1) - norm.logpdf(z).sum(1)
    np.testing.assert_allclose(terms.kl, kl.mean(), rtol=1e-4)
    density = (np.abs(DECODER.T).sum(0) * z.std(0)).sum()
    np.testing.assert_allclose(terms.sparsity, density, rtol=1e-4)
    weighed = terms.reconstruction + 0.7 * terms.kl + 0.3 * terms.sparsity
    np.testing.assert_allclose(total, weighed, rtol=1e-6)
    # Draws scatter about the encoder's means as its variances say.
    noise = (z - mean) / std
    assert abs(noise.mean()) < 0.5
    assert 0.6 < noise.std() < 1.4
    q = jax.jit(lambda x: cgvae.posterior(LINEAR, params, x))(batch.x)
    np.testing.assert_allclose(q.mean, mean, atol=1e-6)
    np.testing.assert_allclose(q.var, std**2, rtol=1e-5)


def test_domains_matter_to_the_prior_alone(params, batch):
    @jax.jit
    def slope(params, u, conditioning):
        def value(params):
            return loss(params, batch._replace(u=u), hyper(conditioning=conditioning))

        return jax.value_and_grad(value, has_aux=True)(params)

    u = batch.u
    (off, _), still = slope(params, u, 0.0)
    (on, _), moved = slope(params, u, 1.0)
    assert not any(np.any(g) for g in jax.tree.leaves(still.prior))
    assert any(np.any(g) for g in jax.tree.leaves(moved.prior))
    assert off == slope(params, (u + 1) % 3, 0.0)[0][0]
    assert on != slope(params, (u + 1) % 3, 1.0)[0][0]


def test_log_variances_are_clipped(params):
    moments = jax.jit(lambda x: cgvae.moments(LINEAR, params, x))
    _, log_var = moments(jnp.float32([[100, -100], [-100, 100]]))
    np.testing.assert_array_equal(log_var, [[10, 10], [-10, -10]])


@pytest.fixture(scope="module")
def small():
    system = make(SMALL, SPEC)
    return system, jax.jit(system.init)(jax.random.key(0), hyper())


def test_alpha_rises_along_a_line(small, batch):
    system, state = small
    step, weights = jax.jit(system.step), hyper(warmup=4.0, alpha=2.0)
    for i, alpha in enumerate((0.0, 0.5, 1.0, 1.5, 2.0, 2.0)):
        state = state._replace(step=jnp.int32(i))
        state, figures = step(state, batch, weights, jax.random.key(i))
        rest = figures["reconstruction"] + weights.beta * figures["kl"]
        expected = rest + alpha * figures["sparsity"]
        np.testing.assert_allclose(figures["loss"], expected, rtol=1e-4)
        assert state.step == i + 1


def test_the_system_encodes_and_decodes(small, batch):
    """The encoder gives posterior means, whatever axes are in front."""
    system, state = small
    model, x = cgvae.build(SMALL, SPEC), batch.x.reshape(2, 8, 2)
    codes, found = jax.jit(lambda p, x: (system.encode(p, x), system.decode(p, x)))(
        state.params, x
    )
    mean, decoded = jax.jit(
        lambda p, x: (cgvae.moments(model, p, x)[0], cgvae.decode(model, p, x))
    )(state.params, batch.x)
    np.testing.assert_allclose(codes.reshape(16, 2), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.reshape(16, 2), decoded, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TINY)
def test_every_variant_learns(name):
    """The loss, without its warm-up and of the same noise, falls on a fixed batch."""
    config, data, changes = TINY[name]
    spec, rng = data.spec(), np.random.default_rng(0)
    m, domains = math.prod(spec.shape), len(spec.domains)
    x = rng.normal(size=(16, 2)) @ rng.normal(size=(2, m))
    rows = Rows(jnp.float32(x).reshape(16, *spec.shape), u=jnp.arange(16) % domains)
    changes = changes | {"learning_rate": 0.01, "decay_steps": 1e6, "warmup": 0.0}
    weights = default_hyper(config, spec, 10)._replace(**changes)
    weights, system = jax.tree.map(jnp.float32, weights), make(config, spec)

    @jax.jit
    def learn(key):
        def step(state, _):
            state, figures = system.step(state, rows, weights, key)
            return state, figures["loss"]

        return jax.lax.scan(step, system.init(key, weights), None, 40)[1]

    losses = np.asarray(learn(jax.random.key(0)))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


# Mistakes.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bins": 0}, "config.bins must be at least 1"),
        ({"embedding": 0}, "config.embedding must be at least 1"),
        ({"encoder": (8, 0)}, "config.encoder must be positive widths, got (8, 0)"),
        ({"decoder": (0,)}, "config.decoder must be positive widths, got (0,)"),
        ({"jac": "half"}, "config.jac must be one of 'full', 'columns', 'differences'"),
        ({"jac_scale": "max"}, "config.jac_scale must be one of 'std', 'none'"),
        ({"prior": "spline"}, "config.prior must be one of 'rqs', 'affine', 'ddsf'"),
        ({"z_dim": 1}, "config.z_dim must be at least 1 and the number of the data's"),
        ({"columns": 3}, "config.columns must be 1 to 2, the number of latents, got 3"),
        ({"difference": 0.0}, "config.difference must be positive, got 0.0"),
        ({"batch": 1}, "config.jac_scale='std' needs config.batch of at least 2"),
        ({"batch": 0}, "config.batch must be at least 1"),
    ],
)
def test_bad_configs_are_named(changes, message):
    wrong = dataclasses.replace(SMALL)
    for name, value in changes.items():
        # Past the constructor, which tests check for words that are not known.
        object.__setattr__(wrong, name, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        make(wrong, SPEC)


@pytest.mark.parametrize("shape", [{"shape": (8, 8)}, {"steps": 4}])
def test_observations_that_are_no_vectors_or_images_are_refused(shape):
    with pytest.raises(ValueError, match="needs observations that are vectors or imag"):
        make(SMALL, SPEC._replace(**shape))


@pytest.mark.parametrize(
    ("shape", "domains", "changes", "wanted"),
    [
        ((30,), 9, {"z_dim": 5}, 5),  # as many as the data have
        ((30,), 9, {"truth": Truth(mask=np.ones((30, 3), int))}, 3),
        ((30,), 13, {}, 6),  # as many as 13 domains identify by themselves
        ((30,), 3, {}, 4),
        ((5,), 13, {}, 2),  # half of the observed variables
        ((1,), 2, {}, 1),
        ((8, 8, 3), 2, {}, 8),
        ((8, 8, 3), 31, {}, 15),
    ],
)
def test_number_of_latents_by_the_data(shape, domains, changes, wanted):
    spec = Spec(shape, domains=tuple(map(str, range(domains))))._replace(**changes)
    assert sized(Config(), spec).z_dim == wanted
    assert cgvae.build(Config(), spec).z_dim == wanted
    assert sized(Config(z_dim=7), spec).z_dim == 7


def test_jacobian_by_the_size_of_the_data():
    """The whole of it where that is small; what is asked for stays."""
    for shape, wanted in (((50,), "full"), ((32, 32, 3), "columns")):
        spec = Spec(shape, domains=("a", "b", "c"))
        assert sized(Config(batch=64), spec).jac == wanted
        assert sized(Config(jac="differences"), spec).jac == "differences"


# Parts of one's own.


def test_parts_of_ones_own_are_used(batch):
    """Each is seen in what comes out."""

    def init(key, z):
        return {"a": jnp.ones(())}

    def loss(*args):
        value, (terms, z) = cgvae.cgvae_loss(*args)
        return 2 * value + 1, (terms._replace(kl=terms.kl + 5), z)

    weights = hyper(alpha=0.0)
    networks = {
        "encoder": nn.Dense(4, kernel_init=nn.initializers.ones),
        "decoder": (init, lambda params, z: params["a"] * z[:, ::-1]),
    }
    model = cgvae.build(SMALL, SPEC, **networks)
    system = make(
        SMALL,
        SPEC,
        **networks,
        optimiser=lambda hyper: optax.sgd(1e-3 * hyper.learning_rate / 2e-3),
        loss=loss,
    )

    @jax.jit
    def run(key):
        state = system.init(key, weights)
        new, seen = system.step(state, batch, weights, key)
        codes = system.encode(state.params, batch.x)
        slope = jax.grad(lambda p: loss(model, p, batch.x, batch.u, weights, key)[0])(
            state.params
        )
        return state, new, seen, codes, system.decode(state.params, codes), slope

    state, new, seen, codes, decoded, slope = run(jax.random.key(0))
    total = np.asarray(batch.x).sum(1)
    np.testing.assert_allclose(codes, np.stack([total] * 2, 1), rtol=1e-5)
    np.testing.assert_allclose(decoded, codes[:, ::-1])
    rest = seen["reconstruction"] + weights.beta * (seen["kl"] - 5)
    np.testing.assert_allclose(seen["loss"], 2 * rest + 1, rtol=1e-5)
    moved = jax.tree.map(lambda p, g: p - 1e-3 * g, state.params, slope)
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(new.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"encoder": nn.Dense(3)}, "encoder must turn inputs ('b', 2) into outputs "
         "('b', 4), means and then log variances of the latents; it gives ('b', 3)"),
        ({"decoder": nn.Dense(3)}, "decoder must turn inputs ('b', 2) into outputs "
         "('b', 2), the mean of x; it gives ('b', 3)"),
        ({"encoder": 3}, "encoder must be a flax module or a pair of functions"),
        ({"optimiser": 0.1}, "optimiser must be an optax transformation, or a function "
         "of the hyper-parameters that gives one; got float"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_named(part, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(SMALL, SPEC, **part)


def test_bad_rows_are_named(batch):
    bad = {
        "data.u must hold each of the domains 0 .. 2": batch.u + 1,
        "data.u must hold each of the domains 0 .. 2 and no others, got 0, 1": (
            batch.u % 2
        ),
        "data.u must be integers": batch.u * 1.0,
        "data.u must have shape": batch.u[:-1],
    }
    for message, u in bad.items():
        rows = batch._replace(u=u)
        with pytest.raises(ValueError, match=message):
            batches(SMALL, SPEC, Splits(rows, batch, batch))
    rows = batch._replace(x=batch.x.at[0].set(jnp.nan))
    with pytest.raises(ValueError, match=r"data\.x holds NaN or infinite values"):
        batches(SMALL, SPEC, Splits(rows, batch, batch))
