"""GCL: the log odds of a known Gaussian, the sources of linear mixtures, refusals."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxdis import check, metrics
from jaxdis.systems.gcl import METHOD, Config, make
from jaxdis.systems.gcl.model import FORMS, log_odds
from jaxdis.types import Rows, Spec
from tests.contrast.fits import fit

LINEAR = Config(z_dim=2, encoder=(), form="quadratic", head=(16,), batch=256)
NOISE = 0.7


def test_the_best_log_odds_are_the_log_ratio_of_the_densities():
    """s | a ~ N(a, noise^2) and a ~ N(0, 1), so that s ~ N(0, 1 + noise^2)."""
    rng = np.random.default_rng(0)
    spec = Spec(shape=(2,), a_dim=2, z_dim=2)
    a = rng.normal(size=(20_000, 2))
    s = a + NOISE * rng.normal(size=a.shape)
    rows = Rows(jnp.float32(s @ rng.normal(size=(2, 2))), a=jnp.float32(a))
    system, state = fit(METHOD, LINEAR, spec, rows)
    x, v = rows.x[:2_000], rows.a[:2_000]
    codes = system.encode(state.params, x)
    losses = []
    for pairing in (0, 1):  # real pairs, and others
        given = np.roll(a[:2_000], pairing, 0)
        found = log_odds(
            FORMS["quadratic"],
            LINEAR,
            state.params.head,
            codes,
            jnp.roll(v, pairing, 0),
        )
        own = norm.logpdf(s[:2_000], given, NOISE)
        wanted = (own - norm.logpdf(s[:2_000], 0, np.hypot(1, NOISE))).sum(1)
        seen = np.abs(wanted) < 4  # where there are pairs of both kinds to learn from
        assert np.abs(np.asarray(found) - wanted)[seen].mean() < 0.3
        assert np.corrcoef(found[seen], wanted[seen])[0, 1] > 0.95
        sign = 2 * pairing - 1
        losses.append([np.logaddexp(0, sign * r).mean() for r in (found, wanted)])
    reached, best = np.mean(losses, axis=0)
    assert best - 0.01 < reached < best + 0.02


def test_sources_of_a_linear_mixture_whose_laws_differ_between_domains():
    rng = np.random.default_rng(1)
    spec = Spec(shape=(2,), domains=tuple("abcdefgh"), z_dim=2)
    u = rng.integers(0, 8, 20_000)
    means, stds = rng.uniform(-1, 1, (8, 2)), rng.uniform(0.3, 1.5, (8, 2))
    s = means[u] + stds[u] * rng.normal(size=(len(u), 2))
    x = s @ np.array([[1.0, 0.8], [-0.6, 1.0]])
    rows = Rows(jnp.float32(x), u=jnp.asarray(u), z=jnp.float32(s))
    raw = metrics.mcc(s, x)
    system, state = fit(METHOD, replace(LINEAR, form="network"), spec, rows)
    found = system.report(
        state, jax.tree.map(lambda a: a[:2_000], rows), jax.random.key(0)
    )
    assert raw < 0.9
    assert found["mcc"] > 0.96
    assert found["accuracy"] > 0.55


@pytest.mark.parametrize("form", FORMS)
def test_a_term_sees_its_own_code_alone(form):
    params = FORMS[form].init(jax.random.key(0), LINEAR, 3)
    codes, v = jnp.array([0.3, -1.0]), jnp.array([0.5, 1.0, -2.0])

    def terms(codes, v):
        return FORMS[form].terms(params, LINEAR, codes[None], v[None])[0]

    slope, by_v = map(np.asarray, jax.jacobian(terms, argnums=(0, 1))(codes, v))
    assert (np.diag(slope) != 0).all()
    np.testing.assert_array_equal(slope[~np.eye(2, dtype=bool)], 0)
    assert (by_v != 0).all()


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
    spec = Spec(shape=(2,), a_dim=1, z_dim=2)
    with pytest.raises(ValueError, match="gcl needs actions `a` or domains `u` or lab"):
        check.needs(METHOD.name, METHOD.needs, Spec(shape=(2,)))
    with pytest.raises(ValueError, match=r"config\.batch must be at least 2, got 1"):
        make(replace(LINEAR, batch=1), spec)
    with pytest.raises(ValueError, match="gcl needs labels `y`; this data set"):
        make(replace(LINEAR, auxiliary="y"), spec)
    with pytest.raises(ValueError, match=r"config\.form must be one of 'network'"):
        make(replace(LINEAR, form="cubic"), spec)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"config\.head.* must be at least 1, got 0"):
        make(replace(LINEAR, head=()), spec)
