"""Scores of models that are known to move as the data do, or not at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import flows
from jaxdis.systems.flow_factorized import METHOD
from jaxdis.systems.flow_factorized.build import build
from jaxdis.systems.flow_factorized.heldout import first_of_each
from jaxdis.systems.flow_factorized.indices import matched
from jaxdis.systems.flow_factorized.networks import flow_of, images, mean_and_log_var
from jaxdis.systems.flow_factorized.scores import IWAE_SAMPLES
from jaxdis.types import Label, Spec
from tests.systems.flow_factorized.common import (
    NAMES,
    RELEASED,
    SPEC,
    TINY,
    batches,
    flat,
    initial,
    reported,
    variant,
)

PLAIN = variant(supervision="none")
INFERRED = variant(supervision="inferred")


@pytest.mark.parametrize("config", [TINY, RELEASED, PLAIN], ids=["", "released", "vae"])
def test_scores_of_every_kind(config):
    figures = reported(config, initial(config), batches(config).test)
    by_name = [figures[f"equivariance_error_{n}"] for n in NAMES]
    np.testing.assert_allclose(figures["equivariance_error"], np.mean(by_name), 1e-5)
    # -(D / 2) log(2 pi) with D = 64 pixels: no log likelihood is higher.
    ceiling = -32 * np.log(2 * np.pi)
    assert figures["elbo"] < ceiling
    if config != PLAIN:
        assert figures["elbo"] <= figures["iwae"] < ceiling
    declared = {score.name for score in METHOD.scores(config, SPEC)}
    assert set(figures) <= declared | set(METHOD.arrays)
    # Without longer sequences nothing else is missing.
    assert declared - set(figures) == {
        "equivariance_error_longer", "static_error_longer",
    }  # fmt: skip


def test_a_latent_that_does_not_move_scores_as_such():
    figures = reported(TINY, flat(TINY), batches(TINY).test)
    for name in ("", *(f"_{n}" for n in NAMES), "_but_last"):
        np.testing.assert_allclose(
            figures[f"equivariance_error{name}"],
            figures[f"static_error{name}"],
            rtol=1e-5,
        )
    for name in ("error", "alone"):
        np.testing.assert_allclose(
            figures[f"superposed_{name}"], figures["superposed_static"], rtol=1e-5
        )
    np.testing.assert_allclose(
        figures["switched_error"], figures["switched_static"], rtol=1e-5
    )
    assert figures["invertible"] == 1.0
    # Without gradient and force nothing is left of the residual.
    assert figures["hj_residual"] == 0.0


def without_spread(state):
    """A posterior without spread: log variance -200."""
    dense = dict(state.params.encoder["params"]["Dense_2"])
    dense["bias"] = dense["bias"].at[4:].set(-200.0)
    dense["kernel"] = dense["kernel"].at[:, 4:].set(0.0)
    encoder = {"params": {**state.params.encoder["params"], "Dense_2": dense}}
    return state._replace(params=state.params._replace(encoder=encoder))


def test_scores_of_the_sequence_that_the_decoder_draws():
    """Rows whose frames are what the model decodes have no error at all."""
    model, state = build(TINY, SPEC), without_spread(initial(TINY))
    data, params = batches(TINY).test, state.params

    @jax.jit
    def frames(y):
        x0 = data.x[:, 0]
        z0, _ = mean_and_log_var(model, params, x0)
        at = jnp.arange(1.0, 5.0)
        path = flows.walk(flow_of(model, params), z0, y, at, None)
        drawn = images(model, params, path.z).swapaxes(0, 1)
        return jnp.concatenate([x0[:, None], drawn], 1)

    one, two = (jax.nn.one_hot(k, 2) for k in (data.k, data.other))
    # T = 4: two steps of the first, two of the second.
    one, two = (jnp.stack([y] * 4) for y in (one, two))
    in_turn = jnp.concatenate([one[:2], two[2:]])
    rows = data._replace(
        x=frames(one), superposed=frames(one + two), switched=frames(in_turn)
    )
    figures = reported(TINY, state, rows)
    for name in ("equivariance_error", "superposed_error", "switched_error"):
        np.testing.assert_allclose(figures[name], 0.0, atol=1e-3)
    assert figures["superposed_alone"] > 1e-2
    assert figures["switched_restarted"] > 1e-3
    assert 0 < figures["static_error_but_last"] < figures["static_error"]


def test_indices_are_matched_up_to_a_permutation():
    truth = jnp.array([0, 1, 1, 0, 1])

    def found(names):
        """Of a network that knows: its logits are 50 at names[k]."""
        logits = 50.0 * jax.nn.one_hot(jnp.asarray(names)[truth], 2)
        return matched(logits, truth, jax.random.key(2), jnp.ones(5, bool))

    for names in ([0, 1], [1, 0]):
        y, match, figures = found(names)
        np.testing.assert_array_equal(match, names)
        np.testing.assert_array_equal(y, np.eye(2)[np.asarray(names)[truth]])
        assert figures["index_accuracy"] == figures["index_accuracy_drawn"] == 1.0
        np.testing.assert_array_equal(figures["confusion"], np.eye(2))
    constant = found([0, 0])
    np.testing.assert_allclose(constant.figures["index_accuracy"], 0.6)


def test_another_index_is_another_potential():
    state, data = initial(TINY), batches(TINY).test
    swapped = data._replace(k=1 - data.k, other=1 - data.other)
    right, wrong = (
        reported(TINY, state, rows)["equivariance_error"] for rows in (data, swapped)
    )
    assert abs(right - wrong) > 1e-4


def test_released_figure_adds_what_the_bound_subtracts():
    state, data = flat(RELEASED), batches(RELEASED).test
    figures = reported(RELEASED, state, data)
    # Nothing moves: log q = log N(z_0; mean, var), and the prior's density has lost
    # n log(1 + h) a step, h = 1 / (1 + 1e-5) for scales of 1, n = 4.
    model, n = build(RELEASED, SPEC), len(data.k)

    @jax.jit
    def parts():
        mean, log_var = mean_and_log_var(model, state.params, data.x[:, 0])
        key = jax.random.split(jax.random.key(1))[0]
        eps = jax.random.normal(key, (n, IWAE_SAMPLES, 4))[:, 0]
        z = mean + jnp.exp(0.5 * log_var) * eps
        log_q = jax.scipy.stats.norm.logpdf(z, mean, jnp.exp(0.5 * log_var)).sum(-1)
        log_p = jax.scipy.stats.norm.logpdf(z).sum(-1)
        return log_p, log_q, images(model, state.params, z)

    log_p, log_q, x_hat = map(np.asarray, parts())
    steps = np.arange(1, 4)  # t = 1 .. T - 1
    x = np.asarray(data.x[:, 1:4])
    log_x = -0.5 * ((x - x_hat[:, None]) ** 2 + np.log(2 * np.pi)).sum((-3, -2, -1))
    spread = 4 * steps * np.log(2.0)
    expected = (log_x - (log_p[:, None] - spread[None]) + log_q[:, None]).mean()
    np.testing.assert_allclose(figures["released_loglik"], expected, rtol=1e-4)


@pytest.mark.parametrize("config", [
    variant(supervision="inferred", transformations=3), PLAIN,
], ids=["inferred", "vae"])  # fmt: skip
def test_data_without_transformations(config):
    """Errors are of all sequences together; nothing is compared with a truth."""
    spec = Spec((8, 8, 1), 5)
    data = batches(config if config == PLAIN else TINY).test
    data = data._replace(
        k=jnp.zeros_like(data.k), other=None, superposed=None, switched=None
    )
    if data.fitting is not None:
        fitting = data.fitting._replace(k=jnp.zeros(len(data.fitting.x), int))
        data = data._replace(fitting=fitting)
    figures = reported(config, initial(config, spec), data, spec)
    assert figures["error_by_step"].shape == (1, 5)
    np.testing.assert_allclose(
        figures["equivariance_error"], figures["error_by_step"][0, 1:].sum(), rtol=1e-5
    )
    declared = {score.name for score in METHOD.scores(config, spec)}
    assert set(figures) <= declared | set(METHOD.arrays)
    assert not any("accuracy" in name or "diffusion" in name for name in declared)


def test_declared_scores():
    shown = METHOD.scores(TINY, SPEC)
    assert [s.name for s in shown[:3]] == ["equivariance_error", "elbo", "iwae"]
    titles = {s.name: s.title for s in shown}
    assert titles["static_error_right"] == "Static error, right"
    assert titles["equivariance_error_but_last_down"] == (
        "Equivariance error, down, without the last frame"
    )
    better = {s.name: s.better for s in shown}
    assert better["equivariance_error_down"] == "lower"
    assert better["static_error_down"] is None
    assert {"diffusion_right", "superposed_error"} <= set(titles)

    def names(config, spec=SPEC):
        return {s.name for s in METHOD.scores(config, spec)}

    assert names(INFERRED) - names(TINY) == {"index_accuracy", "index_accuracy_drawn"}
    assert names(RELEASED) - names(TINY) == {"released_loglik"}
    new = names(TINY, SPEC._replace(labels=(Label("new_class", 2),)))
    assert new - names(TINY) == {
        "equivariance_error_new_class",
        "static_error_new_class",
        "elbo_new_class",
        "new_class_rows",
    }
    labelled = names(INFERRED, SPEC._replace(labels=(Label("new_class", 2),)))
    assert "index_accuracy_new_class" in labelled
    assert "iwae" not in names(PLAIN)


def test_rows_of_a_transformation_are_shown_under_its_name():
    k = jnp.array([1, 1, 0, 2, 1, 0])
    # The only row of the third comes again; a cycle of rows stays as it is.
    np.testing.assert_array_equal(first_of_each(k, 3, 2), [[2, 0, 3], [5, 1, 3]])
    cycle = jnp.tile(jnp.arange(3), 2)
    np.testing.assert_array_equal(first_of_each(cycle, 3, 2), [[0, 1, 2], [3, 4, 5]])


NEW_SPEC = SPEC._replace(labels=(Label("new_class", 2),))


@pytest.mark.parametrize("config", [TINY, INFERRED, RELEASED, PLAIN],
                         ids=["", "inferred", "released", "vae"])  # fmt: skip
def test_no_mean_has_rows_of_new_classes_in(config):
    """Rows of new classes are turned into noise, and no score but theirs moves."""
    data, state = batches(config).test, initial(config)
    # One row of each transformation is of a class that training never saw.
    new = jnp.zeros(len(data.k), bool)
    for k in range(2):
        new = new.at[jnp.flatnonzero(data.k == k)[0]].set(True)
    noise = jax.random.uniform(jax.random.key(3), data.x.shape)
    at = new[:, None, None, None, None]
    before = data._replace(new_class=new)
    changed = {"x": jnp.where(at, noise, data.x)}
    if data.other is not None:
        changed["superposed"] = jnp.where(at, noise, data.superposed)
        changed["switched"] = jnp.where(at, 1 - noise, data.switched)
    one = reported(config, state, before, NEW_SPEC)
    two = reported(config, state, before._replace(**changed), NEW_SPEC)
    declared = {score.name for score in METHOD.scores(config, NEW_SPEC)}
    # Which images are shown is no score.
    for name in declared & set(one):
        if name.endswith("_new_class"):
            assert np.isfinite(one[name])
            assert np.isfinite(two[name])
        else:
            np.testing.assert_allclose(one[name], two[name], rtol=1e-5, err_msg=name)
    assert one["elbo_new_class"] != two["elbo_new_class"]
    assert int(one["new_class_rows"]) == 2
    assert set(one) <= declared | set(METHOD.arrays)


def test_transformations_without_rows_leave_the_mean_to_the_others():
    data, state = batches(TINY).test, initial(TINY)
    new = data.k == 1
    found = reported(TINY, state, data._replace(new_class=new), NEW_SPEC)
    assert np.isnan(found[f"equivariance_error_{NAMES[1]}"])
    np.testing.assert_allclose(
        found["equivariance_error"], found[f"equivariance_error_{NAMES[0]}"], rtol=1e-6
    )
    confused = matched(
        jnp.eye(3)[jnp.array([0, 1])], jnp.array([0, 1]), jax.random.key(0),
        jnp.ones(2, bool),
    ).figures["confusion"]  # fmt: skip
    assert np.isfinite(confused).all()
