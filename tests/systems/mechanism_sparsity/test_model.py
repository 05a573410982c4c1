"""Mechanism sparsity: signs, schedules, options, and the compiled contract."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import losses, masks, runner
from jaxdis.data import synthetic
from jaxdis.systems import mechanism_sparsity as ms

TINY = ms.Config(
    z_dim=4,
    encoder=(16,),
    decoder=(16,),
    transition=(8,),
    decoder_log_variance_init=-2.0,
    batch=32,
)


def data_config(process="ActionNonDiag", **changes):
    return synthetic.Config(process, z_dim=4, x_dim=6, samples=2_000, **changes)


def setup(process="ActionNonDiag", steps=50, config=TINY, **hyper):
    spec, data = synthetic.draw(data_config(process))
    hyper = ms.default_hyper(config, spec, steps)._replace(**hyper)
    return ms.make(config, spec), spec, data, hyper


def train_tiny(process, steps=50, seeds=2, config=TINY, **hyper):
    system, _, data, hyper = setup(process, steps, config, **hyper)
    sample = ms.sampler(data.train, config.batch)
    chunks = []
    result = runner.run(
        system,
        sample,
        runner.seed_keys(seeds),
        hyper,
        steps=steps,
        chunk=max(steps // 2, 1),
        on_chunk=[chunks.append],
    )
    return result, chunks


@pytest.mark.parametrize(
    "process", ["ActionNonDiag", "TimeNonDiag", "InterventionTime"]
)
def test_loss_falls(process):
    _, chunks = train_tiny(process, steps=300, learning_rate=3e-3)
    assert (chunks[-1].metrics["nll"] < chunks[0].metrics["nll"] - 0.05).all()


def one_step(hyper, mu=0.0, process="ActionNonDiag", config=TINY, step=10):
    """Edge probabilities before and after one step, and the new multipliers."""
    system, _spec, data, hyper = setup(process, config=config, **hyper)
    state = system.init(jax.random.key(0), hyper)
    multipliers = jax.tree.map(lambda m: m + mu, state.extra.multipliers)
    state = state._replace(
        extra=state.extra._replace(multipliers=multipliers),
        step=jnp.asarray(step),
        # Past Adam's first steps, whose size does not depend on the gradient.
    )
    batch = ms.sampler(data.train, 8)(jax.random.key(1))
    new, _ = system.step(state, batch, hyper, jax.random.key(2))
    return state.params.masks, new.params.masks, new.extra.multipliers


def test_penalty_lowers_every_edge():
    # A coefficient this large drowns the data term.
    before, after, _ = one_step({"coeff_a": 1e6})
    assert (after.a < before.a).all()
    _, unpressed, _ = one_step({"coeff_a": 0.0, "bound_a": 15.95})
    assert not (unpressed.a < before.a).all()


def test_a_graph_without_penalty_or_bound_stays_dense():
    off = {"coeff_a": 0.0, "bound_a": 16.0}
    before, after, multipliers = one_step(off, mu=3.0)
    np.testing.assert_array_equal(after.a, before.a)
    # r = 16 = bound: the defect is exactly 0, which is neither ascent nor restart.
    assert float(multipliers.a) == 3.0
    # A graph that is frozen at the truth is not opened by switching regularisation off.
    config = dataclasses.replace(TINY, action_graph="true")
    system, spec, data, hyper = setup(config=config, **off)
    state = system.init(jax.random.key(0), hyper)
    batch = ms.sampler(data.train, 8)(jax.random.key(1))
    _, figures = system.step(state, batch, hyper, jax.random.key(2))
    assert float(figures["edges_a"]) == spec.ga.sum()


def test_multiplier_pushes_edges_down_and_data_pull_them_back():
    before, after, _ = one_step({}, mu=1e6)
    assert (after.a < before.a).all()


@pytest.mark.parametrize("mu", [0.0, 2.0])
def test_multiplier_grows_above_the_bound_and_restarts_below(mu):
    # 16 cells at P = sigmoid(5): r = 15.893; the bound has arrived at its target.
    r = 16 / (1 + np.exp(-5.0))
    arrived = {"descent": 0.0, "warmup": 0.0, "dual_rate": 0.1}
    above = one_step({"bound_a": 8.0, **arrived}, mu)[2].a
    np.testing.assert_allclose(above, mu + 0.1 * (r - 8.0), rtol=1e-5)
    below = one_step({"bound_a": 15.95, **arrived}, mu)[2].a
    assert float(below) == 0.0


def test_hold_samples_masks_without_pressure_and_frozen_stops_them():
    warm = {"warmup": 100.0, "coeff_a": 1e6, "bound_a": 0.0, "dual_rate": 1.0}
    before, after, multipliers = one_step(warm)
    assert float(multipliers.a) == 0.0
    assert (after.a != before.a).any()  # data move them
    assert not (after.a < before.a).all()  # pressure does not
    frozen = dataclasses.replace(TINY, warmup_masks="frozen")
    before, after, multipliers = one_step(warm, config=frozen)
    np.testing.assert_array_equal(after.a, before.a)
    assert float(multipliers.a) == 0.0


def test_both_graphs_have_their_own_multiplier():
    hyper = {"bound_z": 16.0, "bound_a": 4.0, "descent": 0.0}
    _, _, multipliers = one_step(hyper, process="InterventionTime")
    assert float(multipliers.z) == 0.0
    assert float(multipliers.a) > 0.0


@pytest.mark.parametrize(("start", "value"), [("dense", 1.0), ("true", None)])
def test_frozen_graphs_never_move(start, value):
    config = dataclasses.replace(TINY, action_graph=start)
    result, _ = train_tiny("ActionNonDiag", config=config, coeff_a=100.0)
    probability = jax.nn.sigmoid(result.rows.state.params.masks.a)
    truth = synthetic.make_spec(data_config()).ga if value is None else np.ones((4, 4))
    np.testing.assert_array_equal(probability, np.stack([truth, truth]))


@pytest.mark.parametrize("mask", masks.RELAXATIONS)
@pytest.mark.parametrize("draws", ["batch", "example"])
def test_every_mask_trains(mask, draws):
    config = dataclasses.replace(TINY, mask=mask, mask_draws=draws)
    result, chunks = train_tiny("TimeNonDiag", config=config)
    assert not np.asarray(result.rows.failed).any()
    start = train_tiny("TimeNonDiag", steps=1, config=config)[0].rows.state.params.masks
    assert (np.asarray(result.rows.state.params.masks.z) != np.asarray(start.z)).any()
    assert np.isfinite(chunks[-1].metrics["loss"]).all()


def test_reconstruction_term_prefers_better_decodings():
    x = jnp.array([[1.0, -1.0]])
    near = losses.gaussian_reconstruction(x, x + 0.1, jnp.asarray(0.5))
    far = losses.gaussian_reconstruction(x, x + 0.4, jnp.asarray(0.5))
    # Squared errors .02 and .32 over 2 sd^2 = .5: the difference is .6.
    np.testing.assert_allclose(far - near, 0.6, rtol=1e-5)


def test_dependent_variance_starts_where_it_is_told():
    config = dataclasses.replace(
        TINY, prior_variance="dependent", prior_variance_init=0.05
    )
    system, spec, data, hyper = setup("TimeNonDiag", config=config)
    state = system.init(jax.random.key(3), hyper)
    batch = ms.sampler(data.train, 256)(jax.random.key(4))
    new, _ = system.step(state, batch, hyper, jax.random.key(5))
    noise = ms.draw_noise(jax.random.key(5), config, state.params, batch)
    sampled = jax.tree.map(
        lambda m, e: masks.SOFT.sample(m, e, 1.0), state.params.masks, noise.masks
    )
    mean, var = ms.posterior(state.params, config, spec, batch.x)
    z0 = (mean + jnp.sqrt(var) * noise.posterior)[:, 0]
    _, raw = ms.transition_prior(state.params, config, z0, None, sampled)
    shifted = (raw + new.extra.shift).mean()
    np.testing.assert_allclose(jax.nn.softplus(shifted), 0.05, rtol=1e-4)
    # Measured once, then kept.
    later, _ = system.step(new, batch, hyper, jax.random.key(6))
    np.testing.assert_array_equal(later.extra.shift, new.extra.shift)


def test_fixed_variance_stays_and_independent_moves():
    for mode, moves in (("fixed", False), ("independent", True)):
        config = dataclasses.replace(TINY, prior_variance=mode)
        result, _ = train_tiny("ActionNonDiag", config=config)
        raw = np.asarray(result.rows.state.params.prior_raw_variance)
        # softplus^-1(1e-4) = log(exp(1e-4) - 1) = -9.2103
        assert (np.abs(raw + 9.2103) > 1e-3).any() == moves


def test_report_scores_an_encoder_that_knows_the_truth():
    """x = z (identity mixing) and an encoder that returns -x permuted: MCC 1, SHD 0."""
    spec = synthetic.make_spec(
        synthetic.Config("ActionBlockHard", z_dim=6, x_dim=6, samples=100)
    )
    config = dataclasses.replace(TINY, z_dim=6, encoder=(12,), mask="soft")
    hyper = ms.default_hyper(config, spec, 10)
    state = ms.make(config, spec).init(jax.random.key(0), hyper)
    # leaky_relu(x) - leaky_relu(-x) = 1.2 x, so one hidden layer [I, -I] is linear.
    order = np.array([3, 0, 5, 1, 4, 2])  # code k holds latent order[k]
    eye = np.eye(6)
    first = np.concatenate([eye, -eye], axis=1)
    last = np.concatenate([-eye[:, order], eye[:, order]]) / 1.2
    encoder = {
        "params": {
            "Dense_0": {"kernel": jnp.asarray(first), "bias": jnp.zeros(12)},
            "Dense_1": {
                "kernel": jnp.asarray(np.concatenate([last, 0 * last], axis=1)),
                "bias": jnp.zeros(12),
            },
        }
    }
    graph = masks.frozen(np.asarray(spec.ga)[order])
    params = state.params._replace(encoder=encoder, masks=ms.Graphs(None, graph))
    z = jax.random.normal(jax.random.key(1), (500, 1, 6))
    a = jax.random.normal(jax.random.key(2), (500, 3))
    batch = synthetic.Sequences(x=z, a=a, z=z)
    state = state._replace(params=params)
    figures = ms.make(config, spec).report(state, batch, jax.random.key(3))
    for name in ("mcc", "r", "r_con", "r_con_t"):
        np.testing.assert_allclose(figures[name], 1.0, atol=1e-5)
    assert int(figures["shd"]) == int(figures["dead"]) == 0
    np.testing.assert_array_equal(figures["graph_a"], spec.ga)
    np.testing.assert_allclose(np.diag(figures["correlation"]), 1.0, atol=1e-5)
    # One wrong edge is one error.
    wrong = params._replace(masks=ms.Graphs(None, graph.at[0, 0].multiply(-1)))
    figures = ms.make(config, spec).report(
        state._replace(params=wrong), batch, jax.random.key(3)
    )
    assert int(figures["shd"]) == int(figures["missing"] + figures["extra"]) == 1


def test_solo_run_equals_its_row_of_the_grid():
    system, _spec, data, hyper = setup("InterventionTime")
    sample = ms.sampler(data.train, TINY.batch)
    keys, rows, points = runner.grid(
        runner.seed_keys(3), hyper._replace(bound_a=[4.0, 16.0])
    )
    grid = runner.run(system, sample, keys, rows, steps=30, chunk=10)
    alone = runner.run(
        system,
        sample,
        runner.seed_keys(1, first=2),
        hyper._replace(bound_a=16.0),
        steps=30,
        chunk=30,
    )
    assert [p["bound_a"] for p in points] == [4.0, 16.0]
    for whole, single in zip(
        jax.tree.leaves(grid.rows.state.params),
        jax.tree.leaves(alone.rows.state.params),
        strict=True,
    ):
        np.testing.assert_allclose(whole[5], single[0], rtol=2e-4, atol=2e-5)


def chunk_arguments(system, hyper, sample, seeds, mesh):
    keys = runner.seed_keys(seeds)
    hyper = jax.tree.map(lambda h: jnp.full(seeds, h, float), hyper)
    rows = runner.init_rows(system, keys, hyper, mesh)
    return rows, keys, hyper, sample, jnp.int32(0), jnp.int32(5)


@pytest.mark.parametrize("process", ["ActionNonDiag", "InterventionTime"])
def test_no_collectives(process):
    system, _, data, hyper = setup(process)
    mesh = runner.seed_mesh(8)
    assert mesh.size == 8
    arguments = chunk_arguments(system, hyper, ms.sampler(data.train, 32), 8, mesh)
    text = runner.make_chunk(system, mesh).lower(*arguments).compile().as_text()
    collective = r"= [^=]* (all-gather|all-reduce|all-to-all|collective-permute)"
    assert re.findall(collective, text) == []


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("process", ["ActionNonDiag", "TimeNonDiag"])
def test_training_chunk_exports(platform, process):
    system, _, data, hyper = setup(process)
    mesh = runner.seed_mesh(1)
    arguments = chunk_arguments(system, hyper, ms.sampler(data.train, 32), 2, mesh)
    export = jax.export.export(runner.make_chunk(system, mesh), platforms=[platform])
    assert export(*arguments).platforms == (platform,)


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
        ({"z_dim": 3, "time_graph": "true"}, "TimeNonDiag", "config.time_graph='true'"),
        ({"batch": 0}, "ActionNonDiag", "config.batch at least 1"),
    ],
)
def test_bad_configs_are_named(config, process, message):
    spec = synthetic.make_spec(data_config(process))
    with pytest.raises(ValueError, match=re.escape(message)):
        ms.make(dataclasses.replace(TINY, **config), spec)


def test_presets_fit_their_data():
    for preset in ms.PRESETS.values():
        spec = ms.make_spec(preset.data)
        ms.check(preset.config, spec)
        hyper = ms.default_hyper(preset.config, spec, preset.steps)
        hyper = hyper._replace(**preset.hyper)
        # "off" is the number of cells; a bound never asks for more edges than that.
        for graph, bound in ((spec.gz, hyper.bound_z), (spec.ga, hyper.bound_a)):
            assert bound <= (0 if graph is None else graph.size)
        assert preset.expects
        assert preset.source


def test_full_size_has_the_parameters_of_the_layer_table():
    """d = 10 latents, D = 20 observed, A = 10 actions, hidden layers of 512.

    encoder 20 -> 512 x 6 -> 20:  20*512+512 + 5*(512*512+512) + 512*20+20 = 1,334,292
    decoder 10 -> 512 x 6 -> 20:  10*512+512 + 5*(512*512+512) + 512*20+20 = 1,329,172
    transition, 10 nets 10 -> 512 x 5 -> 1, biases on input and output only:
        10 * (10*512 + 512 + 4*512*512 + 512 + 1)                          = 10,547,210
    prior variances 10, edges 100, decoder variance 1
    """
    preset = ms.PRESETS["ActionNonDiag"]
    spec = ms.make_spec(preset.data)
    hyper = ms.default_hyper(preset.config, spec, preset.steps)
    params = jax.eval_shape(
        lambda k: ms.init_params(k, preset.config, spec, hyper), jax.random.key(0)
    )
    count = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params))
    assert count == 1_334_292 + 1_329_172 + 10_547_210 + 10 + 100 + 1
