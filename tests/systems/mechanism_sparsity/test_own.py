"""Mechanism sparsity on data of one's own: no truth, images, sequences, bounds."""

import functools
from dataclasses import replace
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxdis import experiment
from jaxdis.data.own import OwnRows
from jaxdis.data.processes import CausalProcess
from jaxdis.systems.mechanism_sparsity import METHOD, default_hyper, make
from jaxdis.systems.mechanism_sparsity.build import build, init_params
from jaxdis.systems.mechanism_sparsity.config import sized
from jaxdis.systems.mechanism_sparsity.edges import Graphs
from jaxdis.systems.mechanism_sparsity.elbo import (
    decode,
    elbo_terms,
    posterior,
    transition_prior,
    with_time,
)
from jaxdis.types import Rows, Spec, Truth
from tests.systems.mechanism_sparsity.tiny import SMALL, frames, vectors

IMAGES = replace(SMALL, z_dim=3, channels=2)
PIXELS = Spec(shape=(8, 8, 1), steps=3)


def kl(mean, var, prior_mean, prior_var):
    return 0.5 * (
        np.log(prior_var / var) + (var + (mean - prior_mean) ** 2) / prior_var - 1
    ).sum(-1)


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, float)))


@functools.cache
def film():
    """The model of three frames, what it makes of some, and its report of them."""
    model, system = build(IMAGES, PIXELS), make(IMAGES, PIXELS)
    x = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8, 1)).astype(np.uint8)
    noise = jax.random.normal(jax.random.key(1), (5, 3, 3))
    hyper = default_hyper(IMAGES, PIXELS, 10)
    ones = Graphs(jnp.ones((3, 3)), None)

    @jax.jit
    def run(x):
        state = system.init(jax.random.key(0), hyper)
        params = state.params
        terms = elbo_terms(params, model, Rows(x), noise, ones, jnp.zeros(()))
        q = posterior(params, model, x)
        z = q.mean + jnp.sqrt(q.var) * noise
        priors = [transition_prior(params, model, z[:, t], None, ones) for t in (0, 1)]
        found = system.report(state, Rows(x), jax.random.key(2))
        return params, terms, q, decode(params, model, z), priors, found

    return x, jax.device_get(run(jnp.asarray(x)))


def test_every_pair_of_a_sequence_is_explained():
    x, (params, terms, q, decoded, priors, _) = film()
    std = np.exp(0.5 * params.decoder_log_variance) + 1e-4
    error = -norm.logpdf(x / 255, decoded, std).sum((1, 2, 3, 4))
    np.testing.assert_allclose(terms.reconstruction, error / (3 * 64), rtol=1e-4)
    first = softplus(params.first_raw_variance) + 1e-6
    expected = kl(q.mean[:, 0], q.var[:, 0], params.first_mean, first)
    for t, (mean, raw) in enumerate(priors, 1):
        expected += kl(q.mean[:, t], q.var[:, t], mean, softplus(raw) + 1e-6)
    np.testing.assert_allclose(terms.kl, expected / (3 * 64), rtol=1e-4)


def test_a_report_without_truth_has_what_can_be_known():
    _, (*_, found) = film()
    declared = {score.name for score in METHOD.scores(IMAGES, PIXELS)}
    assert declared == {"nll", "dead"}
    assert set(found) == {"nll", "dead", "graph_z"}
    assert np.isfinite(found["nll"])
    assert int(found["dead"]) == 0
    # Edges at the start: probability sigmoid(5), in the order of the codes.
    np.testing.assert_allclose(found["graph_z"], 1 / (1 + np.exp(-5.0)), rtol=1e-5)


def test_images_are_scored_a_few_at_a_time_as_all_at_once(monkeypatch):
    scores = import_module("jaxdis.systems.mechanism_sparsity.scores")
    monkeypatch.setattr(scores, "BLOCK", 2)
    x, (*_, found) = film()
    system = make(IMAGES, PIXELS)

    @jax.jit
    def report(x):
        state = system.init(jax.random.key(0), default_hyper(IMAGES, PIXELS, 10))
        return system.report(state, Rows(x), jax.random.key(2))

    np.testing.assert_allclose(report(jnp.asarray(x))["nll"], found["nll"], rtol=1e-5)


def test_codes_and_images_keep_leading_axes():
    system = make(IMAGES, PIXELS)
    hyper = default_hyper(IMAGES, PIXELS, 10)

    def both(x):
        params = system.init(jax.random.key(0), hyper).params
        return system.encode(params, x), system.decode(params, x[..., 0, :3, 0])

    shape = jax.ShapeDtypeStruct((5, 3, 8, 8, 1), jnp.float32)
    codes, images = jax.eval_shape(both, shape)
    assert codes.shape == (5, 3, 3)
    assert images.shape == (5, 3, 8, 8, 1)
    # The multipliers of images climb as much slower as their loss is smaller.
    assert build(IMAGES, PIXELS).dual_scale == 20 / 64
    assert build(SMALL, Spec(shape=(6,), a_dim=2)).dual_scale == 1.0


def test_latents_of_a_sequence_hold_for_its_steps():
    rows = with_time(Rows(x=jnp.zeros((4, 3, 6)), z=jnp.arange(8.0).reshape(4, 2)))
    assert rows.z.shape == (4, 3, 2)
    np.testing.assert_array_equal(rows.z[:, 2], jnp.arange(8.0).reshape(4, 2))
    assert with_time(Rows(x=jnp.zeros((4, 8, 8, 1))), 3).x.shape == (4, 1, 8, 8, 1)


@pytest.mark.parametrize(
    ("spec", "z_dim"),
    [
        (Spec(shape=(6,), a_dim=1, z_dim=4), 4),
        (Spec(shape=(6,), a_dim=1, truth=Truth(ga=np.ones((3, 1), int))), 3),
        (Spec(shape=(6,), a_dim=1), 6),
        (Spec(shape=(60,), a_dim=1), 10),
        (Spec(shape=(8, 8, 1), a_dim=1), 10),
    ],
)
def test_latents_are_as_many_as_the_data_say(spec, z_dim):
    config = replace(SMALL, z_dim=0)
    assert sized(config, spec) == replace(SMALL, z_dim=z_dim)
    assert sized(SMALL, spec) is SMALL
    model = build(config, spec)
    params = jax.eval_shape(
        lambda key: init_params(key, model, default_hyper(config, spec, 10)),
        jax.random.key(0),
    )
    assert params.prior_raw_variance.shape == (z_dim,)


ACTIONS = OwnRows(vectors())
FILMS = OwnRows(frames())


def planned(preset="own", data=ACTIONS, config=None, **hyper):
    plan = experiment.plan(
        f"mechanism_sparsity/{preset}", data=data, config=config, hyper=hyper
    )
    return [(p["bound_z"], p["bound_a"], p["coeff_a"]) for p in plan.points]


def test_bounds_that_nobody_knows_are_swept():
    # 6 observed variables, so 6 latents, and 2 actions: 12 cells.
    swept = [(0.0, bound, 0.0) for bound in (12.0, 7.0, 5.0, 3.0, 2.0)]
    assert planned() == swept
    # Of images 10 latents, and 100 cells from the past.
    bounds = [b for b, *_ in planned(data=FILMS)]
    assert bounds == [100.0, 60.0, 40.0, 25.0, 15.0]
    # The bounds that are asked for replace those.
    assert planned(bound_a=[4, 8]) == [(0.0, 4.0, 0.0), (0.0, 8.0, 0.0)]
    # Others do not.
    assert len(planned(beta=[1, 2])) == 10
    assert planned(config={"action_graph": "dense"}) == [(0.0, 12.0, 0.0)]
    # Two graphs have the same share at each point.
    data = CausalProcess("InterventionTime", z_dim=4, x_dim=6, samples=200)
    assert planned(data=data) == [(16.0, 8.0, 0.0)]


@pytest.mark.parametrize(
    "hyper", [{"bound_a": [3]}, {"coeff_a": [2]}, {"bound_a": [12], "coeff_a": [1]}]
)
def test_an_unknown_graph_is_asked_for(hyper):
    small = {"z_dim": 6}
    with pytest.raises(ValueError, match=r"give hyper\.bound_a .* 12 is no bound"):
        planned("quickstart", config=small)
    assert len(planned("quickstart", config=small, **hyper)) == 1
    assert planned("quickstart", config=small | {"action_graph": "dense"})


def test_each_unknown_graph_is_asked_for():
    spec = Spec(shape=(6,), steps=2, a_dim=3)
    with pytest.raises(ValueError, match=r"config\.time_graph='dense'"):
        METHOD.chosen(SMALL, spec, {"bound_a": [3.0]})
    METHOD.chosen(SMALL, spec, {"bound_a": [3.0], "coeff_z": [1.0]})
    known = Truth(gz=np.eye(4, dtype=int))
    METHOD.chosen(SMALL, spec._replace(truth=known), {"bound_a": [3.0]})
