"""Beta-TCVAE: what each weight weighs, the rows it assumes, and what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import gaussian
from jaxdis.systems.beta_tcvae import default_hyper, make
from jaxdis.systems.beta_tcvae.model import objective
from jaxdis.types import Spec
from jaxdis.vae import build, divergence_parts, elbo_terms, init_params
from tests.systems.beta_tcvae.tiny import SMALL

VECTORS = Spec(shape=(4,), z_dim=2)


@pytest.fixture(scope="module")
def seen():
    """A model, rows, noise, the mean bound and the parts at all draws of the batch."""
    model = build(replace(SMALL, draws=0), VECTORS)
    keys = jax.random.split(jax.random.key(0), 3)
    params = init_params(keys[0], model)
    x, noise = jax.random.normal(keys[1], (8, 4)), jax.random.normal(keys[2], (8, 3))
    terms, q = elbo_terms(params, model, x, noise, 0.5)
    parts = divergence_parts(gaussian.sample(q, noise), q, 100.0)
    bound = terms.reconstruction.mean() + terms.kl.sum(-1).mean()
    return model, params, x, noise, bound, parts


@pytest.mark.parametrize(
    ("alpha", "beta", "gamma"), [(1, 1, 1), (0, 1, 1), (1, 6, 1), (1, 1, 3), (2, 4, 0)]
)
def test_each_part_has_a_weight(seen, alpha, beta, gamma):
    model, params, x, noise, bound, parts = seen
    hyper = default_hyper(SMALL, VECTORS, 1)._replace(
        alpha=alpha, beta=beta, gamma=gamma, noise_std=0.5, rows=100.0
    )
    loss, logged = objective(params, model, x, noise, jnp.zeros((), int), hyper)
    extra = np.array([alpha, beta, gamma]) - 1.0
    np.testing.assert_allclose(loss, bound + extra @ np.array(parts), rtol=1e-5)
    np.testing.assert_allclose(logged["correlation"], parts.correlation, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "rows"),
    [
        (Spec(shape=(4,), rows=900), 900),
        (Spec(shape=(4,), rows=900, steps=3), 2_700),  # every observation of a sequence
        (VECTORS, 8 * 50),  # no end: those that the run draws
    ],
)
def test_training_rows_are_those_of_the_data_or_those_drawn(spec, rows):
    assert default_hyper(SMALL, spec, 50).rows == rows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 1}, r"config\.batch must be at least 2, as the total correlation"),
        ({"draws": 9}, r"config\.draws must be 0 or one of 1 to 8"),
        ({"draws": -1}, r"config\.draws must be 0 or one of 1 to 8"),
        ({"estimate": "exact"}, "config.estimate must be one of 'stratified'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes, said, unchecked):
    with pytest.raises(ValueError, match=said):
        make(replace(SMALL, **changes), VECTORS)
