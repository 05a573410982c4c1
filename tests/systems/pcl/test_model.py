"""PCL: its log odds, the best discrimination of known sources, and what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import laplace, norm

from jaxdis import check, metrics
from jaxdis.systems.pcl import METHOD, Config, make
from jaxdis.systems.pcl.model import FORMS, Laplace
from jaxdis.types import Rows, Spec
from tests.contrast.fits import fit

SPEC = Spec(shape=(2,), steps=2, z_dim=2)
LINEAR = Config(z_dim=2, encoder=(), head=(16,), batch=256)
RATE = 4.0


def walks(n, d, seed):
    """Pairs of a start N(0, 1) and a step of a Laplace law."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(n, 1, d))
    moved = first + rng.laplace(scale=1 / RATE, size=(n, 1, d))
    return np.concatenate([first, moved], 1)


def log_ratio(now, past):
    """log p(now | past) - log p(now), the density of now by quadrature."""
    grid = np.linspace(-8, 8, 4_001)
    seen = norm.pdf(grid) * (grid[1] - grid[0])
    points = np.linspace(now.min(), now.max(), 400)
    law = [np.sum(seen * laplace.pdf(p - grid, scale=1 / RATE)) for p in points]
    conditional = laplace.logpdf(now - past, scale=1 / RATE)
    return conditional - np.interp(now, points, np.log(law))


@pytest.mark.parametrize("form", ["laplace", "network"])
def test_the_best_discrimination_of_linear_mixtures_is_that_of_the_sources(form):
    """Its loss is that of the true densities, and its codes are the sources."""
    mixing = np.array([[1.0, 0.8], [-0.6, 1.0]])
    train, test = (walks(n, 2, seed) for n, seed in ((20_000, 0), (4_000, 1)))
    rows, held_out = (
        Rows(jnp.float32(z @ mixing), z=jnp.float32(z)) for z in (train, test)
    )
    system, state = fit(METHOD, replace(LINEAR, form=form), SPEC, rows)
    assert metrics.mcc(test.reshape(-1, 2), (test @ mixing).reshape(-1, 2)) < 0.9
    now, past = test[:, 1], test[:, 0]
    real, other = (log_ratio(now, p).sum(1) for p in (past, np.roll(past, 1, 0)))
    best = (np.logaddexp(0, -real).mean() + np.logaddexp(0, other).mean()) / 2
    found = system.report(state, held_out, jax.random.key(0))
    assert found["mcc"] > 0.99
    assert abs(found["contrast"] - best) < 0.03
    right = ((real > 0).mean() + (other <= 0).mean()) / 2
    assert abs(found["accuracy"] - right) < 0.03


def test_the_form_of_an_autoregressive_source():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(6, 2))
    now, past = rng.normal(size=(2, 5, 2))
    a, b, shift, own, centre, constant = numbers
    wanted = constant + (own * now + centre) ** 2 - np.abs(a * now + b * past + shift)
    params = Laplace(*map(jnp.float32, numbers))
    pair = jnp.float32(now), jnp.float32(past)
    found = FORMS["laplace"].terms(params, LINEAR, *pair)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_term_sees_its_own_code_alone(form):
    params = FORMS[form].init(jax.random.key(0), LINEAR)
    at = jax.random.normal(jax.random.key(1), (2, 2))

    def terms(now, past):
        return FORMS[form].terms(params, LINEAR, now[None], past[None])[0]

    for slope in jax.jacobian(terms, argnums=(0, 1))(*at):
        slope = np.asarray(slope)
        assert (np.diag(slope) != 0).all()
        np.testing.assert_array_equal(slope[~np.eye(2, dtype=bool)], 0)


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="pcl needs sequences; this data set has x"):
        check.needs(METHOD.name, METHOD.needs, Spec(shape=(2,)))
    with pytest.raises(ValueError, match=r"at least 2 observations.*; those .* have 1"):
        make(LINEAR, SPEC._replace(steps=1))
    with pytest.raises(ValueError, match=r"config\.batch must be at least 2, got 1"):
        make(replace(LINEAR, batch=1), SPEC)
    with pytest.raises(ValueError, match=r"config\.form must be one of 'network'"):
        make(replace(LINEAR, form="gauss"), SPEC)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"config\.head.* must be at least 1, got 0"):
        make(replace(LINEAR, head=()), SPEC)
    encoder = (lambda key, x: {}, lambda params, x: x[:, :1])
    with pytest.raises(ValueError, match=r"outputs \('b', 2\), the config\.z_dim"):
        make(LINEAR, SPEC, encoder=encoder)
