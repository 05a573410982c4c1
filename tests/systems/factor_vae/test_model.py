"""FactorVAE: a known ratio of densities, permuted codes, and two gradients apart."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import multivariate_normal, norm

from jaxdis.systems.factor_vae import default_hyper, make
from jaxdis.systems.factor_vae.model import build
from jaxdis.systems.factor_vae.objective import (
    autoencoder_loss,
    discriminator_loss,
    log_ratio,
    permuted,
)
from jaxdis.types import Rows, Spec
from jaxdis.vae import elbo_terms
from tests.systems.factor_vae.tiny import SMALL

VECTORS = Spec(shape=(4,), z_dim=2)
RHO = 0.8


def drawn(key, n):
    """Pairs of N(0, 1) with a correlation."""
    one, two = jax.random.normal(key, (2, n))
    return jnp.stack([one, RHO * one + (1 - RHO**2) ** 0.5 * two], 1)


def test_permuted_codes_keep_each_latent_and_lose_their_dependence():
    z = drawn(jax.random.key(0), 2_000)
    found = permuted(jax.random.key(1), z)
    chex.assert_trees_all_equal(jnp.sort(found, 0), jnp.sort(z, 0))
    assert abs(np.corrcoef(z.T)[0, 1]) > 0.75
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.1


def test_the_discriminator_learns_a_known_ratio():
    """Its mean logit is the total correlation of a Gaussian, -1/2 log(1 - rho^2)."""
    model = build(replace(SMALL, z_dim=2, discriminator=(32, 32)), VECTORS)
    tx = optax.adam(optax.cosine_decay_schedule(1e-2, 600))

    def learn(carry, i):
        params, state = carry
        keys = jax.random.split(jax.random.fold_in(jax.random.key(2), i))
        z = drawn(keys[0], 512)
        slope = jax.grad(discriminator_loss)(params, model, z, permuted(keys[1], z))
        moves, state = tx.update(slope, state)
        return (optax.apply_updates(params, moves), state), None

    @jax.jit
    def run(z):
        start = model.discriminator.init(jax.random.key(0), jnp.zeros(2))
        (end, _), _ = jax.lax.scan(learn, (start, tx.init(start)), jnp.arange(600))
        return log_ratio(end, model, z)

    z = np.asarray(drawn(jax.random.key(5), 4_000))
    found = run(z)
    joint = multivariate_normal([0, 0], [[1, RHO], [RHO, 1]]).logpdf(z)
    exact = joint - norm.logpdf(z).sum(1)
    np.testing.assert_allclose(found.mean(), -0.5 * np.log(1 - RHO**2), atol=0.06)
    assert np.corrcoef(found, exact)[0, 1] > 0.95


def test_the_losses_are_those_of_the_paper():
    model = build(SMALL, VECTORS)
    params = make(SMALL, VECTORS).init(jax.random.key(0), hyper_of()).params
    x, noise = (jax.random.normal(jax.random.key(i), (8, 5 - i)) for i in (1, 2))
    loss, (z, logged) = autoencoder_loss(*params, model, x, noise, hyper_of(gamma=7.0))
    terms, q = elbo_terms(params.autoencoder, model.autoencoder, x, noise, 1.0)
    np.testing.assert_allclose(z, q.mean + np.sqrt(q.var) * noise, rtol=1e-5)
    logits = np.asarray(log_ratio(params.discriminator, model, z))
    expected = (terms.reconstruction + terms.kl.sum(1) + 7.0 * logits).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(logged["correlation"], logits.mean(), rtol=1e-4)
    shuffled = z[::-1]
    fake = np.asarray(log_ratio(params.discriminator, model, shuffled))
    real, fake = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-fake))
    entropy = -0.5 * (np.log(real) + np.log(1 - fake)).mean()
    found = discriminator_loss(params.discriminator, model, z, shuffled)
    np.testing.assert_allclose(found, entropy, rtol=1e-5)


def hyper_of(**values):
    hyper = default_hyper(SMALL, VECTORS, 1)._replace(**values)
    return jax.tree.map(jnp.float32, hyper)


@pytest.fixture(scope="module")
def moved():
    """The parameters at the start, and after a step of some hyper-parameters."""
    system = make(SMALL, VECTORS)
    start = system.init(jax.random.key(0), hyper_of())
    rows = Rows(jax.random.normal(jax.random.key(1), (8, 4)))
    step = jax.jit(system.step)

    def move(state=start, **values):
        return step(state, rows, hyper_of(**values), jax.random.key(2))[0].params

    return start, move


def test_each_network_follows_its_own_rate(moved):
    start, move = moved
    still = move(learning_rate=0.0)
    chex.assert_trees_all_equal(still.autoencoder, start.params.autoencoder)
    changed = still.discriminator["params"]["Dense_1"]["bias"]
    assert changed != start.params.discriminator["params"]["Dense_1"]["bias"]
    still = move(discriminator_rate=0.0)
    chex.assert_trees_all_equal(still.discriminator, start.params.discriminator)


def test_the_gradient_of_one_does_not_reach_the_other(moved):
    start, move = moved
    # What the autoencoder pays for its codes does not move the discriminator.
    free, priced = move(gamma=0.0), move(gamma=1e3)
    chex.assert_trees_all_equal(free.discriminator, priced.discriminator)
    # Without a price the discriminator does not move the autoencoder.
    other = jax.tree.map(lambda a: a + 1.0, start.params.discriminator)
    params = start.params._replace(discriminator=other)
    swapped = move(start._replace(params=params), gamma=0.0)
    chex.assert_trees_all_equal(free.autoencoder, swapped.autoencoder)
    # With one it does, but through what it says of the codes alone.
    assert not np.array_equal(
        jax.flatten_util.ravel_pytree(free.autoencoder)[0],
        jax.flatten_util.ravel_pytree(priced.autoencoder)[0],
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 1}, r"config\.batch must be at least 2, .* a single row .*; got 1"),
        ({"discriminator": (8, 0)}, "config.discriminator must be positive widths"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes, said, unchecked):
    with pytest.raises(ValueError, match=said):
        make(replace(SMALL, **changes), VECTORS)
