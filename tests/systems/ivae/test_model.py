"""iVAE: the bound in closed form, what the prior sees, and what is refused."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxdis import gaussian, vae
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.experiment import plan
from jaxdis.gaussian import Posterior
from jaxdis.systems import beta_vae
from jaxdis.systems.beta_vae.model import objective as beta_objective
from jaxdis.systems.ivae import default_hyper, make
from jaxdis.systems.ivae.auxiliary import AUXILIARIES, chosen
from jaxdis.systems.ivae.model import (
    build,
    elbo_terms,
    init_params,
    marginal,
    objective,
    prior,
)
from jaxdis.types import Label, Rows, Spec
from tests.systems.ivae.tiny import SMALL

LINEAR = replace(SMALL, z_dim=2, encoder=(), decoder=(), prior_net=())
ACTIONS = Spec(shape=(4,), a_dim=3, z_dim=2)
STD = 0.4  # of the decoder's noise
# Every sign of both latents: the first two moments of the noise are exact.
SIGNS = jnp.asarray(list(itertools.product([-1.0, 1.0], repeat=2)))


def layer(params, kernel, bias):
    """The parameters of a network of one layer, by hand."""
    (name,) = params["params"]
    values = {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}
    return {"params": {name: values}}


class Linear:
    """A linear Gaussian model with orthogonal columns, and the encoder that is exact.

    `x = W z + c + noise`, `z ~ N(A u + b, exp(B u + d))`; what x says of z is
    `N(W^T (x - c) / w^2, std^2 / w^2)`.
    """

    def __init__(self, encoding):
        rng = np.random.default_rng(0)
        q, _ = np.linalg.qr(rng.normal(size=(4, 2)))
        size = np.array([1.5, 0.6])
        self.w, self.c = (q * size).T, rng.normal(size=4)
        self.a, self.b = rng.normal(size=(3, 4)), 0.5 * rng.normal(size=4)
        self.u, self.x = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
        inverse = q / size  # from x - c to z
        kernel = np.concatenate([inverse, np.zeros((4, 2))], 1)
        log_var = np.log(STD**2 / size**2)
        bias = np.concatenate([-self.c @ inverse, log_var])
        self.model = build(replace(LINEAR, encoding=encoding), ACTIONS)
        self.elbo = jax.jit(
            lambda params, x, u, noise: elbo_terms(params, self.model, x, u, noise, STD)
        )
        drawn = init_params(jax.random.key(0), self.model)
        inner = vae.ModelParams(
            layer(drawn.vae.encoder, kernel, bias),
            layer(drawn.vae.decoder, self.w, self.c),
        )
        self.params = drawn._replace(
            vae=inner, prior=layer(drawn.prior, self.a, self.b)
        )

    def prior(self):
        mean, log_var = np.split(self.u @ self.a + self.b, 2, axis=1)
        return mean, np.exp(log_var)

    def log_likelihood(self):
        mean, var = self.prior()
        return np.array(
            [
                multivariate_normal.logpdf(
                    x, m @ self.w + self.c, (self.w.T * v) @ self.w + STD**2 * np.eye(4)
                )
                for x, m, v in zip(self.x, mean, var, strict=True)
            ]
        )

    def bound(self, params=None):
        """The ELBO of each row, with the expectation over the draws taken exactly."""
        x, u = (jnp.repeat(jnp.float32(a), 4, 0) for a in (self.x, self.u))
        noise = jnp.tile(SIGNS, (5, 1))
        terms, factor = self.elbo(params or self.params, x, u, noise)
        value = -(terms.reconstruction + terms.kl.sum(1))
        return np.asarray(value).reshape(5, 4).mean(1), factor


def test_the_bound_is_tight_where_the_posterior_is_exact():
    """Joint encoding, linear Gaussians: the ELBO is the log-likelihood of x given u."""
    one = Linear("joint")
    found, factor = one.bound()
    np.testing.assert_allclose(found, one.log_likelihood(), rtol=1e-4)
    # The codes are what x says, the least-squares latents, whatever u says.
    codes = np.linalg.lstsq(one.w.T, (one.x - one.c).T, rcond=None)[0].T
    np.testing.assert_allclose(factor.mean[::4], codes, rtol=1e-3, atol=1e-5)
    worse = jax.tree.map(lambda a: 1.3 * a, one.params.vae.encoder)
    params = one.params._replace(vae=one.params.vae._replace(encoder=worse))
    assert (one.bound(params)[0] < one.log_likelihood() - 1e-3).all()


def test_without_the_prior_the_bound_lacks_the_divergence_of_posteriors():
    """Encoding of x alone: the gap is KL(q(z | x) || p(z | x, u))."""
    one = Linear("x")
    found, q = one.bound()
    mean, var = one.prior()
    w2 = (one.w**2).sum(1)
    exact = 1 / (1 / var + w2 / STD**2)
    centre = exact * (mean / var + (one.x - one.c) @ one.w.T / STD**2)
    q = Posterior(*(np.asarray(part)[::4] for part in q))
    gap = 0.5 * (np.log(exact / q.var) + (q.var + (q.mean - centre) ** 2) / exact - 1)
    assert (gap.sum(1) > 1e-3).all()
    np.testing.assert_allclose(found, one.log_likelihood() - gap.sum(1), rtol=1e-4)


def test_with_a_standard_prior_it_is_the_beta_vae():
    one = Linear("x")
    nothing = jax.tree.map(jnp.zeros_like, one.params.prior)
    x, u, noise = jnp.float32(one.x), jnp.float32(one.u), jnp.ones((5, 2))
    hyper = default_hyper(LINEAR, ACTIONS, 1)._replace(beta=3.0, noise_std=STD)
    params = one.params._replace(prior=nothing)
    loss, _ = objective(params, one.model, x, u, noise, hyper)
    theirs = beta_vae.Hyper(0.0, beta=3.0, noise_std=STD, capacity=0.0, warmup=0.0)
    plain = one.model.vae._replace(config=beta_vae.Config())
    value, _ = beta_objective(params.vae, plain, x, noise, jnp.asarray(0), theirs)
    np.testing.assert_allclose(loss, value, rtol=1e-5)


def test_a_prior_whose_variance_alone_changes():
    model = build(replace(LINEAR, prior="variance"), ACTIONS)
    params = init_params(jax.random.key(0), model)
    rng = np.random.default_rng(0)
    kernel, bias, u = (rng.normal(size=s) for s in ((3, 2), 2, (5, 3)))
    params = params._replace(prior=layer(params.prior, kernel, bias))
    found = prior(params, model, jnp.float32(u))
    np.testing.assert_array_equal(found.mean, np.zeros((5, 2)))
    np.testing.assert_allclose(found.var, np.exp(u @ kernel + bias), rtol=1e-4)


def test_a_code_that_tells_the_domain_alone_is_not_dead():
    """It tells nothing beyond its prior, and much beyond the mean of all rows."""
    x = jax.random.normal(jax.random.key(0), (200, 4))
    domain = jnp.tile(jnp.asarray([-3.0, 3.0]), 100)[:, None]
    model = vae.build(LINEAR, Spec(shape=(4,)))

    def bound(x, domain):
        mean = jnp.concatenate([domain, jnp.zeros_like(domain)], 1)
        zero = jnp.zeros((len(x), 2))
        return vae.Terms(zero[:, 0], zero), Posterior(mean, zero + 1.0)

    params = vae.init_params(jax.random.key(0), model)
    found = jax.jit(
        lambda x, domain: vae.measure(params, model, bound, (x, domain), None, marginal)
    )(x, domain)
    assert found["dead"] == 1
    assert found["kl"] == 0
    np.testing.assert_allclose(found["elbo"], 0)


def test_the_law_of_all_rows_has_their_moments():
    rng = np.random.default_rng(0)
    mean, var = rng.normal(size=(6, 3)), rng.uniform(0.1, 2, (6, 3))
    found = marginal(Posterior(jnp.float32(mean), jnp.float32(var)))
    np.testing.assert_allclose(found.mean, mean.mean(0), rtol=1e-4)
    second = (var + mean**2).mean(0)
    np.testing.assert_allclose(found.var, second - mean.mean(0) ** 2, rtol=1e-4)


LABELS = (Label("kind", 3), Label("price"))


@pytest.mark.parametrize(
    ("name", "spec", "rows", "frames", "given"),
    [
        # Of a sequence, actions move the last frame.
        (
            "a",
            Spec((2,), steps=3, a_dim=2),
            Rows(x=None, a=np.eye(3)[:, :2]),
            lambda x: x[:, -1],
            lambda x: np.eye(3)[:, :2],
        ),
        (
            "u",
            Spec((2,), steps=3, domains=("p", "q")),
            Rows(x=None, u=np.array([1, 0, 1])),
            lambda x: x.reshape(-1, 2),
            lambda x: np.eye(2)[[1, 1, 1, 0, 0, 0, 1, 1, 1]],
        ),
        (
            "y",
            Spec((2,), steps=3, labels=LABELS[1:]),
            Rows(x=None, y=np.array([[4.0], [5.0], [6.0]])),
            lambda x: x.reshape(-1, 2),
            lambda x: np.repeat([4.0, 5.0, 6.0], 3)[:, None],
        ),
        (
            "past",
            Spec((2,), steps=3),
            Rows(x=None),
            lambda x: x[:, 1:].reshape(-1, 2),
            lambda x: x[:, :-1].reshape(-1, 2),
        ),
    ],
)
def test_what_is_seen_of_sequences(name, spec, rows, frames, given):
    """Latents stay with their frames; those without time hold for all of a row's."""
    x = np.arange(18.0).reshape(3, 3, 2)
    rows = jax.tree.map(jnp.asarray, rows._replace(x=x, z=10 * x))
    seen = AUXILIARIES[name].see(spec, rows)
    np.testing.assert_array_equal(seen.x, frames(x))
    np.testing.assert_array_equal(seen.given, given(x))
    np.testing.assert_array_equal(seen.z, 10 * frames(x))
    whole = AUXILIARIES[name].see(spec, rows._replace(z=rows.x[:, 0]))
    np.testing.assert_array_equal(whole.z[:, 0], frames(x)[:, 0] // 6 * 6)


def test_the_past_is_seen_by_its_codes():
    spec = Spec((2,), steps=2)
    model = build(replace(LINEAR, auxiliary="past"), spec)
    params = init_params(jax.random.key(0), model)
    before = jax.random.normal(jax.random.key(1), (5, 2))
    found = prior(params, model, before)
    codes = make(model.config, spec).encode(params, before)
    (net,) = params.prior["params"].values()
    out = np.asarray(codes) @ np.asarray(net["kernel"]) + np.asarray(net["bias"])
    np.testing.assert_allclose(found.mean, out[:, :2], rtol=1e-4, atol=1e-5)
    expected = gaussian.from_log_var(*jnp.split(jnp.float32(out), 2, axis=1))
    np.testing.assert_allclose(found.var, expected.var, rtol=1e-4)


ALL = Spec((2,), steps=3, a_dim=2, domains=("p", "q"), labels=LABELS)


def test_the_first_that_there_is_is_taken():
    assert chosen(None, ALL) == "a"
    assert chosen(None, ALL._replace(a_dim=0)) == "u"
    assert chosen(None, ALL._replace(a_dim=0, domains=())) == "y"
    assert chosen(None, Spec((2,), steps=3)) == "past"
    assert chosen("y", ALL) == "y"
    sizes = {name: one.size(ALL, 7) for name, one in AUXILIARIES.items()}
    assert sizes == {"a": 2, "u": 2, "y": 4, "past": 7}


@pytest.mark.parametrize(
    ("changes", "spec", "said"),
    [
        (
            {},
            Spec((2,), z_dim=2),
            "ivae needs actions `a` or domains `u` or labels `y` or sequences of at "
            "least 2 steps; this data set has x, z",
        ),
        (
            {"auxiliary": "u"},
            ACTIONS,
            "config.auxiliary='u' needs domains `u` and can be 'a' here; this data set "
            "has x, a, z",
        ),
        ({"auxiliary": "k"}, ACTIONS, "config.auxiliary='k' is unknown .* be 'a' here"),
        ({"encoding": "u"}, ACTIONS, "config.encoding must be one of 'x', 'joint'"),
        ({"prior": "mean"}, ACTIONS, "config.prior must be one of 'normal'"),
        ({"prior_net": (0,)}, ACTIONS, "config.prior_net must be positive widths"),
    ],
)
def test_what_does_not_fit_is_refused(changes, spec, said, unchecked):
    with pytest.raises(ValueError, match=said):
        make(replace(SMALL, **changes), spec)


def test_data_with_nothing_else_are_refused_before_anything_is_drawn():
    wanted = "ivae needs actions `a` or domains `u` or labels `y` or sequences; this"
    with pytest.raises(ValueError, match=wanted):
        plan("ivae/quickstart", data=MixedFactors())
