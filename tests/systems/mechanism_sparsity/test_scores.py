"""What is measured of codes and graphs, and that it is what was declared."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import masks
from jaxdis.data.processes import CausalProcess
from jaxdis.systems.mechanism_sparsity import METHOD, default_hyper, make
from jaxdis.systems.mechanism_sparsity.edges import Graphs
from jaxdis.types import Rows, Truth
from tests.systems.mechanism_sparsity.tiny import SMALL


def known_encoder(order):
    """An encoder that returns -x with code k in the place of `order[k]`.

    leaky_relu(x) - leaky_relu(-x) = 1.2 x, so one hidden layer [I, -I] is linear.
    """
    eye = np.eye(len(order))
    first = np.concatenate([eye, -eye], axis=1)
    last = np.concatenate([-eye[:, order], eye[:, order]]) / 1.2
    zeros = jnp.zeros(2 * len(order))
    return {
        "params": {
            "Dense_0": {"kernel": jnp.asarray(first), "bias": zeros},
            "Dense_1": {
                "kernel": jnp.asarray(np.concatenate([last, 0 * last], axis=1)),
                "bias": zeros,
            },
        }
    }


def test_report_scores_an_encoder_that_knows_the_truth():
    """x = z (identity mixing) and an encoder that returns -x permuted: MCC 1, SHD 0."""
    spec = CausalProcess("ActionBlockHard", z_dim=6, x_dim=6, samples=100).spec()
    config = replace(SMALL, z_dim=6, encoder=(12,))
    system = make(config, spec)
    hyper = default_hyper(config, spec, 10)
    state = jax.jit(system.init)(jax.random.key(0), hyper)
    order = np.array([3, 0, 5, 1, 4, 2])  # code k holds latent order[k]
    graph = masks.frozen(np.asarray(spec.truth.ga)[order])
    params = state.params._replace(
        encoder=known_encoder(order), masks=Graphs(None, graph)
    )
    z = jax.random.normal(jax.random.key(1), (500, 6))
    a = jax.random.normal(jax.random.key(2), (500, 3))
    rows, report = Rows(x=z, a=a, z=z), jax.jit(system.report)
    found = report(state._replace(params=params), rows, jax.random.key(3))
    for name in ("mcc", "r", "r_con", "r_con_t"):
        np.testing.assert_allclose(found[name], 1.0, atol=1e-5)
    assert int(found["shd"]) == int(found["dead"]) == 0
    np.testing.assert_array_equal(found["graph_a"], spec.truth.ga)
    np.testing.assert_array_equal(found["true_graph_a"], spec.truth.ga)
    # The row of latent order[k] is that of code k.
    np.testing.assert_array_equal(np.asarray(found["order"])[order], np.arange(6))
    np.testing.assert_allclose(np.diag(found["correlation"]), 1.0, atol=1e-5)
    # One wrong edge is one error.
    wrong = params._replace(masks=Graphs(None, graph.at[0, 0].multiply(-1)))
    found = report(state._replace(params=wrong), rows, jax.random.key(3))
    assert int(found["shd"]) == int(found["missing"] + found["extra"]) == 1


LATENTS = {"mcc", "r"}
PATTERN = {"r_con", "r_con_t"}
ERRORS = {"shd", "missing", "extra"}
PAIRED = {"correlation", "order"}
GRAPHS = {"graph_z", "graph_a"}
TRUE = {"true_graph_z", "true_graph_a"}
BOTH = CausalProcess("InterventionTime", z_dim=4, x_dim=6, samples=50).spec()
ONLY_ACTIONS = BOTH._replace(truth=Truth(ga=BOTH.truth.ga))


@pytest.mark.parametrize(
    ("spec", "z_dim", "scores", "arrays"),
    [
        (BOTH, 4, LATENTS | PATTERN | ERRORS, GRAPHS | TRUE | PAIRED),
        (BOTH, 3, LATENTS | PATTERN, GRAPHS | {"correlation"}),
        (BOTH, 5, LATENTS | PATTERN, GRAPHS | {"correlation"}),
        (
            ONLY_ACTIONS,
            4,
            LATENTS | PATTERN,
            GRAPHS | {"true_graph_a"} | PAIRED,
        ),
        (BOTH._replace(truth=Truth()), 4, LATENTS, GRAPHS | PAIRED),
        (BOTH._replace(truth=Truth(), z_dim=0), 4, set(), GRAPHS),
        (BOTH._replace(truth=Truth(), z_dim=0, a_dim=0), 4, set(), {"graph_z"}),
    ],
)
def test_scores_are_those_that_the_truth_allows(spec, z_dim, scores, arrays):
    config = replace(SMALL, z_dim=z_dim)
    system = make(config, spec)
    hyper = default_hyper(config, spec, 10)
    rows = Rows(
        x=jnp.zeros((9, 2, 6)),
        a=jnp.zeros((9, spec.a_dim)) if spec.a_dim else None,
        z=jnp.zeros((9, 2, spec.z_dim)) if spec.z_dim else None,
    )

    def report(key, rows):
        return system.report(system.init(key, hyper), rows, key)

    found = jax.eval_shape(report, jax.random.key(0), rows)
    declared = {score.name for score in METHOD.scores(config, spec)}
    assert declared == scores | {"nll", "dead"}
    assert set(found) == declared | arrays
    assert all(found[name].shape == () for name in declared)
    for name in arrays:  # axes but that of seeds, which the runner adds
        axes = METHOD.arrays[name].removeprefix("seed ").split()
        assert found[name].ndim == len(axes)


def hyper_of(config, spec, **changes):
    return default_hyper(config, spec, 10)._replace(**changes)


def errors_of(config, spec, **changes):
    """Declared scores of a fresh seed, and the errors of its graphs."""
    system, hyper = make(config, spec), hyper_of(config, spec, **changes)
    rng = np.random.default_rng(0)
    rows = Rows(
        x=jnp.asarray(rng.normal(size=(30, 2, 6))),
        a=jnp.asarray(rng.normal(size=(30, spec.a_dim))),
        z=jnp.asarray(rng.normal(size=(30, 2, 4))),
    )

    @jax.jit
    def report(key, hyper):
        return system.report(system.init(key, hyper), rows, key)

    found = report(jax.random.key(0), jax.tree.map(jnp.float32, hyper))
    declared = {score.name for score in METHOD.scores(config, spec)}
    return declared, {name: float(found[name]) for name in ERRORS & set(found)}


def test_graphs_that_the_config_freezes_have_no_errors():
    for start in ("dense", "true"):
        config = replace(SMALL, time_graph=start, action_graph=start)
        declared, errors = errors_of(config, BOTH)
        assert not ERRORS & declared
        assert errors == {}


def test_errors_are_those_of_the_graphs_that_are_learned():
    """All edges are there at the start: those that are not true are extra."""
    config = replace(SMALL, time_graph="dense")
    declared, errors = errors_of(config, BOTH, bound_a=1.0)
    extra = float((np.asarray(BOTH.truth.ga) == 0).sum())
    assert declared >= ERRORS
    assert errors == {"shd": extra, "missing": 0.0, "extra": extra}
    # A frozen graph needs no truth.
    known = BOTH._replace(truth=Truth(ga=BOTH.truth.ga))
    assert errors_of(config, known, bound_a=1.0)[1] == errors


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, True),  # the true numbers of edges are bounds
        ({"bound_a": 1e3, "bound_z": 1e3}, False),
        ({"bound_a": 1e3}, False),  # one of the two is not learned
        ({"bound_a": 1e3, "coeff_a": 0.1}, True),
    ],
)
def test_a_graph_that_nothing_presses_on_has_no_errors(changes, known):
    declared, errors = errors_of(SMALL, BOTH, **changes)
    assert declared >= ERRORS
    assert np.isfinite(list(errors.values())).all() == known
    assert np.isnan(list(errors.values())).all() == (not known)
