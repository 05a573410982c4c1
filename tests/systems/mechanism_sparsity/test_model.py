"""Mechanism sparsity: signs, schedules, options, and what is refused."""

import functools
import re
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import check
from jaxdis.data.processes import CausalProcess
from jaxdis.systems.mechanism_sparsity import METHOD, PRESETS, default_hyper, make
from jaxdis.systems.mechanism_sparsity.build import build, init_params
from jaxdis.systems.mechanism_sparsity.edges import Graphs
from jaxdis.systems.mechanism_sparsity.elbo import (
    draw_noise,
    posterior,
    transition_prior,
    with_time,
)
from jaxdis.systems.mechanism_sparsity.model import adam
from jaxdis.types import Rows, Spec, Truth
from tests.systems.mechanism_sparsity.tiny import SMALL

CELLS = 16  # of a graph of four latents
FROZEN = replace(SMALL, time_graph="dense", action_graph="true", prior_variance="fixed")
DEPENDENT = replace(
    SMALL,
    mask="straight_through",
    prior_variance="dependent",
    prior_variance_init=0.05,
)
PER_EXAMPLE = replace(SMALL, mask="hard_concrete", mask_draws="example")


@functools.cache
def data_of(process):
    data = CausalProcess(process, z_dim=4, x_dim=6, samples=2_000)
    return data.spec(), data.load()


@functools.cache
def made_of(process, config):
    """Initial state, a batch, default hyper-parameters and the compiled step."""
    spec, splits = data_of(process)
    system = make(config, spec)
    hyper = jax.tree.map(jnp.float32, default_hyper(config, spec, 50))
    state = jax.jit(system.init)(jax.random.key(0), hyper)
    batch = jax.tree.map(lambda a: a[:32], splits.train)
    return state, batch, hyper, jax.jit(system.step)


def one_step(hyper, mu=0.0, process="ActionNonDiag", config=SMALL, step=10):
    """The state before one step, the one after it, and what is logged."""
    state, batch, default, take = made_of(process, config)
    hyper = default._replace(**{name: jnp.float32(v) for name, v in hyper.items()})
    multipliers = jax.tree.map(lambda m: m + mu, state.extra.multipliers)
    state = state._replace(
        extra=state.extra._replace(multipliers=multipliers), step=jnp.asarray(step)
    )
    new, metrics = take(state, batch, hyper, jax.random.key(2))
    return state, new, metrics


def logits(*states):
    return [state.params.masks.a for state in states]


@pytest.mark.parametrize(
    "process", ["ActionNonDiag", "TimeNonDiag", "InterventionTime"]
)
def test_loss_falls(process):
    state, batch, hyper, step = made_of(process, SMALL)
    hyper = hyper._replace(learning_rate=jnp.float32(1e-2))
    losses = []
    for i in range(60):
        state, metrics = step(state, batch, hyper, jax.random.key(i))
        losses.append(float(metrics["nll"]))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.1


def test_penalty_lowers_every_edge():
    # A coefficient this large drowns the data term.
    before, after = logits(*one_step({"coeff_a": 1e6})[:2])
    assert (after < before).all()
    before, after = logits(*one_step({"coeff_a": 0.0, "bound_a": 15.95})[:2])
    assert not (after < before).all()


def test_a_graph_without_penalty_or_bound_stays_dense():
    off = {"coeff_a": 0.0, "bound_a": CELLS}
    before, after, _ = one_step(off, mu=3.0)
    chex.assert_trees_all_equal(*logits(before, after))
    # r = 16 = bound: the defect is exactly 0, which is neither ascent nor restart.
    assert float(after.extra.multipliers.a) == 3.0
    # A graph that is frozen at the truth is not opened by switching regularisation off.
    off |= {"coeff_z": 0.0, "bound_z": CELLS}
    _, _, metrics = one_step(off, process="InterventionTime", config=FROZEN)
    assert float(metrics["edges_a"]) == 8.0


def test_multiplier_pushes_edges_down():
    before, after = logits(*one_step({}, mu=1e6)[:2])
    assert (after < before).all()


@pytest.mark.parametrize("mu", [0.0, 2.0])
def test_multiplier_grows_above_the_bound_and_restarts_below(mu):
    # 16 cells at P = sigmoid(5): r = 15.893; the bound has arrived at its target.
    r = CELLS / (1 + np.exp(-5.0))
    arrived = {"descent": 0.0, "warmup": 0.0, "dual_rate": 0.1}
    above = one_step({"bound_a": 8.0, **arrived}, mu)[1].extra.multipliers.a
    np.testing.assert_allclose(above, mu + 0.1 * (r - 8.0), rtol=1e-5)
    below = one_step({"bound_a": 15.95, **arrived}, mu)[1].extra.multipliers.a
    assert float(below) == 0.0


def test_hold_samples_masks_without_pressure_and_frozen_stops_them():
    warm = {"warmup": 100.0, "coeff_a": 1e6, "bound_a": 0.0, "dual_rate": 1.0}
    state, new, _ = one_step(warm)
    before, after = logits(state, new)
    assert float(new.extra.multipliers.a) == 0.0
    assert (after != before).any()  # data move them
    assert not (after < before).all()  # pressure does not
    state, new, _ = one_step(warm, config=replace(SMALL, warmup_masks="frozen"))
    chex.assert_trees_all_equal(*logits(state, new))
    assert float(new.extra.multipliers.a) == 0.0


def test_the_learning_rate_is_constant_and_then_falls_to_zero():
    """Of a gradient that never changes, Adam's step is the rate."""
    spec, _ = data_of("ActionNonDiag")

    def taken(decay, steps=8):
        hyper = default_hyper(replace(SMALL, decay=decay), spec, steps)
        tx, ones = adam(hyper._replace(learning_rate=0.1)), jnp.ones(1)
        state, found = tx.init(ones), []
        for _ in range(steps):
            step, state = tx.update(ones, state)
            found.append(-float(step[0]))
        return found

    np.testing.assert_allclose(taken(0.0), 0.1, rtol=1e-4)
    falling = 0.05 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose(taken(0.5), [0.1] * 4 + [*falling], rtol=1e-4)


def test_both_graphs_have_their_own_multiplier():
    hyper = {"bound_z": CELLS, "bound_a": 4.0, "descent": 0.0}
    multipliers = one_step(hyper, process="InterventionTime")[1].extra.multipliers
    assert float(multipliers.z) == 0.0
    assert float(multipliers.a) > 0.0


def test_frozen_graphs_never_move():
    pressed = {"coeff_a": 100.0, "coeff_z": 100.0}
    before, after, metrics = one_step(
        pressed, mu=1.0, process="InterventionTime", config=FROZEN
    )
    chex.assert_trees_all_equal(before.params.masks, after.params.masks)
    edges = jax.nn.sigmoid(after.params.masks.a)
    np.testing.assert_array_equal(edges, data_of("InterventionTime")[0].truth.ga)
    np.testing.assert_array_equal(jax.nn.sigmoid(after.params.masks.z), 1.0)
    assert np.isfinite(metrics["loss"])


@pytest.mark.parametrize("config", [SMALL, DEPENDENT, PER_EXAMPLE])
def test_every_mask_trains(config):
    before, after, metrics = one_step({}, process="TimeNonDiag", config=config)
    assert (before.params.masks.z != after.params.masks.z).any()
    assert np.isfinite(metrics["loss"])


def test_dependent_variance_starts_where_it_is_told():
    state, new, _ = one_step({}, process="TimeNonDiag", config=DEPENDENT, step=0)
    spec, splits = data_of("TimeNonDiag")
    rows = jax.tree.map(lambda a: a[:32], splits.train)
    model = build(DEPENDENT, spec)

    @jax.jit
    def raw_variance(params, rows):
        noise = draw_noise(jax.random.key(2), model, params.masks, rows)
        drawn = model.relaxation.sample(params.masks.z, noise.masks.z, 1.0)
        mean, var = posterior(params, model, rows.x)
        z0 = (mean + jnp.sqrt(var) * noise.posterior)[:, 0]
        return transition_prior(params, model, z0, None, Graphs(drawn, None))[1]

    shifted = (raw_variance(state.params, rows) + new.extra.shift).mean()
    np.testing.assert_allclose(jax.nn.softplus(shifted), 0.05, rtol=1e-4)
    # Measured once, then kept.
    later = made_of("TimeNonDiag", DEPENDENT)
    kept, _ = later[3](new, later[1], later[2], jax.random.key(6))
    chex.assert_trees_all_equal(kept.extra.shift, new.extra.shift)


@pytest.mark.parametrize(("config", "moves"), [(FROZEN, False), (SMALL, True)])
def test_fixed_variance_stays_and_independent_moves(config, moves):
    before, after, _ = one_step({}, process="InterventionTime", config=config)
    # softplus^-1(1e-4) = log(exp(1e-4) - 1) = -9.2103
    np.testing.assert_allclose(before.params.prior_raw_variance, -9.2103, atol=1e-4)
    moved = after.params.prior_raw_variance != before.params.prior_raw_variance
    assert moved.all() if moves else not moved.any()


def test_vectors_are_sequences_of_one_step():
    state, batch, hyper, step = made_of("ActionNonDiag", SMALL)
    long = with_time(batch)
    assert long.x.shape == (32, 1, 6)
    assert long.z.shape == (32, 1, 4)
    chex.assert_trees_all_equal(with_time(long), long)
    assert with_time(batch._replace(z=None)).z is None
    # Both are accepted, and nothing that is kept depends on which it was.
    key = jax.random.key(2)
    kept = [jax.eval_shape(step, state, rows, hyper, key) for rows in (batch, long)]
    assert kept[0] == kept[1]


def test_codes_and_decodings_keep_leading_axes():
    spec, _ = data_of("TimeNonDiag")
    system = make(SMALL, spec)
    state = made_of("TimeNonDiag", SMALL)[0]
    x = jnp.linspace(-1.0, 1.0, 36).reshape(3, 2, 6)
    codes = jax.jit(system.encode)(state.params, x)
    assert codes.shape == (3, 2, 4)
    one = jax.jit(system.encode)(state.params, x[1, 1])
    np.testing.assert_allclose(codes[1, 1], one, rtol=1e-5, atol=1e-6)
    decoded = jax.eval_shape(system.decode, state.params, codes)
    assert decoded.shape == x.shape


@pytest.mark.parametrize(
    ("config", "process", "message"),
    [
        (
            {"z_dim": 7},
            "ActionNonDiag",
            "config.z_dim must lie between 1 and x_dim = 6",
        ),
        ({"warmup": 1.5}, "ActionNonDiag", "config.warmup is a fraction of the steps"),
        ({"encoder": ()}, "ActionNonDiag", "config.encoder must list positive layer"),
        (
            {"decoder": (8, 0)},
            "ActionNonDiag",
            "config.decoder must be positive widths",
        ),
        ({"z_dim": 3, "time_graph": "true"}, "TimeNonDiag", "config.time_graph='true'"),
        ({"batch": 0}, "ActionNonDiag", "config.batch must be at least 1"),
        (
            {"prior_variance_init": 0.0},
            "ActionNonDiag",
            "config.prior_variance_init must be positive",
        ),
    ],
)
def test_bad_configs_are_named(config, process, message):
    spec, _ = data_of(process)
    with pytest.raises(ValueError, match=re.escape(message)):
        make(replace(SMALL, **config), spec)


ACTIONS = Spec(shape=(6,), a_dim=3)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ACTIONS._replace(steps=3), "has sequences of 3 steps: give one row per step"),
        (Spec(shape=(6,), steps=1), "needs actions `a` or sequences of at least 2"),
    ],
)
def test_data_that_do_not_fit_are_refused(spec, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(SMALL, spec)


def test_data_without_actions_and_pairs_are_refused():
    message = (
        "mechanism_sparsity needs actions `a` or sequences; this data set has x, u"
    )
    with pytest.raises(ValueError, match=message):
        check.needs(METHOD.name, METHOD.needs, Spec(shape=(6,), domains=("p", "q")))
    check.needs(METHOD.name, METHOD.needs, ACTIONS)
    check.needs(METHOD.name, METHOD.needs, Spec(shape=(6,), steps=2))


@pytest.mark.parametrize(
    ("spec", "config", "name"),
    [
        (ACTIONS, {"action_graph": "true"}, "action_graph"),
        (Spec(shape=(6,), steps=2), {"time_graph": "true"}, "time_graph"),
    ],
)
def test_a_graph_that_nobody_knows_cannot_be_the_start(spec, config, name):
    message = f"config.{name}='true' needs the true graph, which this data set does not"
    with pytest.raises(ValueError, match=message):
        make(replace(SMALL, **config), spec)
    # A graph that the model does not have is ignored.
    absent = {"time_graph": "true"} if spec.a_dim else {"action_graph": "true"}
    assert make(replace(SMALL, **absent), spec) is not None


def test_bounds_are_the_true_edges_or_else_all_cells():
    spec, _ = data_of("InterventionTime")
    hyper = default_hyper(SMALL, spec, 10)
    assert (hyper.bound_z, hyper.bound_a) == (16.0, 8.0)
    hyper = default_hyper(SMALL, spec._replace(truth=Truth()), 10)
    assert (hyper.bound_z, hyper.bound_a) == (16.0, 16.0)
    hyper = default_hyper(SMALL, ACTIONS, 10)
    assert (hyper.bound_z, hyper.bound_a) == (0.0, 12.0)


def test_true_latents_and_graphs_are_not_needed_to_train():
    config = replace(SMALL, z_dim=3)
    spec = Spec(shape=(6,), steps=2, a_dim=2)
    system = make(config, spec)
    hyper = default_hyper(config, spec, 10)
    rows = Rows(x=jnp.zeros((5, 2, 6)), a=jnp.zeros((5, 2)))

    def two(key):
        state = system.init(key, hyper)
        return system.step(state, rows, hyper, key)

    _, metrics = jax.eval_shape(two, jax.random.key(0))
    assert {"loss", "edges_z", "edges_a"} <= set(metrics)


def test_presets_ask_for_no_more_edges_than_there_are():
    known = {name: preset for name, preset in PRESETS.items() if name != "own"}
    for preset in known.values():
        truth = preset.data.spec().truth
        hyper = default_hyper(preset.config, preset.data.spec(), preset.steps)
        hyper = hyper._replace(**preset.hyper)
        # "off" is the number of cells.
        for graph, bound in ((truth.gz, hyper.bound_z), (truth.ga, hyper.bound_a)):
            assert bound <= (0 if graph is None else graph.size)
        assert preset.source


def test_full_size_has_the_parameters_of_the_layer_table():
    """d = 10 latents, D = 20 observed, A = 10 actions, hidden layers of 512.

    encoder 20 -> 512 x 6 -> 20:  20*512+512 + 5*(512*512+512) + 512*20+20 = 1,334,292
    decoder 10 -> 512 x 6 -> 20:  10*512+512 + 5*(512*512+512) + 512*20+20 = 1,329,172
    transition, 10 nets 10 -> 512 x 5 -> 1, biases on input and output only:
        10 * (10*512 + 512 + 4*512*512 + 512 + 1)                          = 10,547,210
    prior variances 10, edges 100, decoder variance 1
    """
    preset = PRESETS["ActionNonDiag"]
    spec = preset.data.spec()
    hyper = default_hyper(preset.config, spec, preset.steps)
    model = build(preset.config, spec)
    params = jax.eval_shape(lambda k: init_params(k, model, hyper), jax.random.key(0))
    count = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params))
    assert count == 1_334_292 + 1_329_172 + 10_547_210 + 10 + 100 + 1
