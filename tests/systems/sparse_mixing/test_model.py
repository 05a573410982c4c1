"""CG-VAE: its loss, report and options, and the compiled contract."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxdis import cli, runner
from jaxdis.data import domains
from jaxdis.systems import sparse_mixing as sm

DATA = domains.Config(
    z_dim=2, tall=True, domains=3, samples=60, valid_samples=10, test_samples=20,
    worlds=2, mask="nested",
)  # fmt: skip
TINY = sm.Config(hidden=(8,), bins=3, embedding=2, batch=16)
COLLECTIVE = r"= [^=]* (all-gather|all-reduce|all-to-all|collective-permute)"


def variant(**changes):
    return dataclasses.replace(TINY, **changes)


VARIANTS = {
    "default": TINY,
    "affine": variant(prior="affine"),
    "ddsf": variant(prior="ddsf"),
    "columns": variant(jac="columns"),
    "differences": variant(jac="differences", jac_scale="none"),
}


@pytest.fixture(scope="module")
def toy():
    return domains.load(DATA)


def run(data, config, steps=20, seeds=2, first=0, chunk=10, **hyper):
    spec, split = data
    values = sm.default_hyper(config, spec, steps)._replace(**hyper)
    chunks = []
    result = runner.run(
        sm.make(config, spec),
        sm.sampler(split.train, config.batch),
        runner.seed_keys(seeds, first),
        values,
        steps=steps,
        chunk=chunk,
        on_chunk=[chunks.append],
    )
    return result, chunks


def initial(spec, config, seed=0, **hyper):
    values = sm.default_hyper(config, spec, 10)._replace(**hyper)
    return sm.make(config, spec).init(jax.random.key(seed), values), values


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains(toy, name):
    config = VARIANTS[name]
    result, chunks = run(toy, config, steps=60, chunk=20, learning_rate=0.01)
    assert not np.asarray(result.rows.skipped).any()
    assert (chunks[-1].metrics["loss"] < chunks[0].metrics["loss"]).all()


# The loss, of linear networks without a hidden layer.

SPEC = domains.Spec(2, 3, 2, None, 1)
LINEAR = variant(hidden=())


@pytest.fixture(scope="module")
def linear():
    """Encoder [[2, 0, .4, 0], [0, 1, 0, -.8]] for mean and log variance, no bias."""
    state, hyper = initial(SPEC, LINEAR, ramp=0.0)
    encoder = jnp.float32([[2, 0, 0.4, 0], [0, 1, 0, -0.8]])
    decoder = jnp.float32([[0.5, 0.3], [0, -1]])

    def dense(kernel):
        return {"params": {"Dense_0": {"kernel": kernel, "bias": jnp.zeros(4)[
            : kernel.shape[1]
        ]}}}  # fmt: skip

    params = state.params._replace(encoder=dense(encoder), decoder=dense(decoder))
    rng = np.random.default_rng(0)
    x, u = jnp.float32(rng.normal(size=(16, 2))), jnp.arange(16) % 3
    return params, hyper, x, u


def test_parts_of_the_loss(linear):
    params, hyper, x, u = linear
    hyper = hyper._replace(alpha=0.3, beta=0.7, conditioning=0.0)
    total, (terms, z) = sm.cgvae_loss(
        params, LINEAR, SPEC, x, u, hyper, jax.random.key(1)
    )
    x, z = np.asarray(x, float), np.asarray(z, float)
    mean, std = x * [2, 1], np.exp(0.5 * x * [0.4, -0.8])
    decoder = np.array([[0.5, 0.3], [0, -1]])
    np.testing.assert_allclose(
        terms.reconstruction, ((x - z @ decoder) ** 2).sum(1).mean(), rtol=1e-5
    )
    # Without conditioning the prior is N(0, 1).
    kl = norm.logpdf(z, mean, std).sum(1) - norm.logpdf(z).sum(1)
    np.testing.assert_allclose(terms.kl, kl.mean(), rtol=1e-4)
    density = (np.abs(decoder.T).sum(0) * z.std(0)).sum()
    np.testing.assert_allclose(terms.sparsity, density, rtol=1e-4)
    weighed = terms.reconstruction + 0.7 * terms.kl + 0.3 * terms.sparsity
    np.testing.assert_allclose(total, weighed, rtol=1e-6)
    # Draws scatter about the encoder's means as its variances say.
    noise = (z - mean) / std
    assert abs(noise.mean()) < 0.5
    assert 0.6 < noise.std() < 1.4


def test_domains_matter_to_the_prior_alone(linear):
    params, hyper, x, u = linear

    def loss(params, u, conditioning):
        return sm.cgvae_loss(
            params, LINEAR, SPEC, x, u, hyper._replace(conditioning=conditioning),
            jax.random.key(1),
        )[0]  # fmt: skip

    slope = jax.jit(jax.grad(loss))
    off, on = slope(params, u, 0.0), slope(params, u, 1.0)
    assert not any(np.any(g) for g in jax.tree.leaves(off.prior))
    assert any(np.any(g) for g in jax.tree.leaves(on.prior))
    assert loss(params, u, 0.0) == loss(params, (u + 1) % 3, 0.0)
    assert loss(params, u, 1.0) != loss(params, (u + 1) % 3, 1.0)


def test_log_variances_are_clipped(linear):
    params, *_ = linear
    _, log_var = sm.posterior(params, LINEAR, SPEC, jnp.float32([[100, -100]]))
    np.testing.assert_array_equal(log_var, [[10, 10]])
    _, log_var = sm.posterior(params, LINEAR, SPEC, jnp.float32([[-100, 100]]))
    np.testing.assert_array_equal(log_var, [[-10, -10]])


def test_alpha_rises_along_a_line(toy):
    spec, split = toy
    state, hyper = initial(spec, TINY, ramp=4.0, alpha=2.0)
    step = jax.jit(sm.make(TINY, spec).step)
    batch = sm.sampler(split.train, 16)(jax.random.key(0))
    for i, alpha in enumerate((0.0, 0.5, 1.0, 1.5, 2.0, 2.0)):
        state, figures = step(state._replace(step=i), batch, hyper, jax.random.key(i))
        rest = figures["reconstruction"] + hyper.beta * figures["kl"]
        expected = rest + alpha * figures["sparsity"]
        np.testing.assert_allclose(figures["loss"], expected, rtol=1e-4)


def test_every_seed_has_a_world_of_its_own(toy):
    spec, _ = toy
    system = sm.make(TINY, spec)
    hyper = sm.default_hyper(TINY, spec, 10)
    keys, rows, _ = runner.grid(runner.seed_keys(5), hyper._replace(alpha=[0.0, 1.0]))
    state = jax.vmap(system.init)(keys, rows)
    np.testing.assert_array_equal(state.extra.world, 2 * [0, 1, 0, 1, 0])


# The report, of a model that is right.

A = np.array([[2.0, 0.0], [0.5, 1.0], [0.0, -1.0]])  # x = A z


@pytest.fixture(scope="module")
def solved():
    """Codes 3 z_2 and -z_1, in a world of two; the other one is noise."""
    rng = np.random.default_rng(0)
    z, noise = rng.normal(size=(2, 900, 2)) * [[[1.0, 2.0]]]
    x = z @ A.T
    spec = domains.Spec(3, 3, 2, (A != 0).astype(int), 2)
    batch = domains.Domains(
        jnp.float32(np.stack([noise @ rng.normal(size=(2, 3)), x], 1)),
        jnp.arange(900) % 3,
        jnp.float32(np.stack([noise, z], 1)),
    )
    state, _ = initial(spec, LINEAR, seed=1)
    codes = np.array([[0.0, -1.0], [3.0, 0.0]])  # from z
    encoder = np.zeros((3, 4))
    encoder[:, :2] = np.linalg.pinv(A).T @ codes
    networks = {
        "encoder": (encoder, np.r_[0.5, -1, -40, -40]),
        "decoder": (np.linalg.inv(codes) @ A.T, -np.r_[0.5, -1] @ np.linalg.inv(codes)
                    @ A.T),
    }  # fmt: skip
    params = state.params._replace(
        **{
            name: {"params": {"Dense_0": {
                "kernel": jnp.float32(kernel), "bias": jnp.float32(bias),
            }}}
            for name, (kernel, bias) in networks.items()
        }
    )  # fmt: skip
    report = jax.jit(sm.make(LINEAR, spec).report)
    return spec, batch, state._replace(params=params), report, z


def test_a_model_that_is_right_scores_as_such(solved):
    _, batch, state, report, z = solved
    figures = report(state, batch, jax.random.key(0))
    for name in ("mcc", "mcc_spearman", "r2"):
        np.testing.assert_allclose(figures[name], 1.0, atol=1e-4)
    assert figures["wrong_entries"] == 0
    assert figures["dead"] == 0
    assert figures["reconstruction"] < 0.02  # noise of the codes, e^-5 wide
    # A z, column by column as wide as z.
    np.testing.assert_allclose(figures["jacobian"], np.abs(A) * z.std(0), rtol=1e-3)
    np.testing.assert_allclose(figures["correlation"].diagonal(), 1.0, atol=1e-4)
    np.testing.assert_allclose(
        figures["latents"], z[:450] * [1, 3] + [1, 0.5], atol=1e-3
    )
    np.testing.assert_allclose(figures["latents_true"], z[:450], atol=1e-5)
    np.testing.assert_array_equal(figures["true_domains"], np.arange(450) % 3)
    # x_1 is z_1, x_3 is z_2.
    np.testing.assert_allclose(figures["mcc_observed"], 1.0, atol=1e-4)
    np.testing.assert_allclose(
        figures["latent_std"], (z.std(0) * [1, 3]).mean(), rtol=1e-3
    )
    plain = (np.abs(A) / [1, 3]).sum()
    np.testing.assert_allclose(figures["jac_l1"], plain, rtol=1e-3)
    scaled = (np.abs(A) * z.std(0)).sum()
    np.testing.assert_allclose(figures["jac_std_l1"], scaled, rtol=1e-3)


def test_a_wrong_mask_and_another_world_do_not(solved):
    spec, batch, state, report, *_ = solved
    dense = sm.make(LINEAR, spec._replace(mask=np.ones((3, 2), int)))
    figures = dense.report(state, batch, jax.random.key(0))
    assert figures["wrong_entries"] == 2
    # Two latents seen by all need five domains, not three: their block is scored.
    assert figures["block_r2"] > 0.98
    assert "block_r2" not in report(state, batch, jax.random.key(0))
    other = state._replace(extra=state.extra._replace(world=jnp.int32(0)))
    assert report(other, batch, jax.random.key(0))["mcc"] < 0.99


def test_unknown_latents_and_mask(solved):
    spec, batch, state, *_ = solved
    system = sm.make(LINEAR, spec._replace(mask=None))
    figures = system.report(state, batch._replace(worlds_z=None), jax.random.key(0))
    assert not {"mcc", "wrong_entries", "correlation", "latents_true"} & set(figures)
    assert all(np.isfinite(v).all() for v in figures.values())
    assert figures["latents"].shape == (450, 2)


# The compiled contract.


def test_solo_run_equals_its_row_of_the_grid(toy):
    """In the loss: Adam magnifies rounding in gradients that are nearly 0."""
    spec, split = toy
    hyper = sm.default_hyper(TINY, spec, 20)
    keys, rows, points = runner.grid(
        runner.seed_keys(3), hyper._replace(alpha=[0.0, 0.1], beta=[0.1, 1.0])
    )
    chunks = []
    runner.run(
        sm.make(TINY, spec),
        sm.sampler(split.train, TINY.batch),
        keys,
        rows,
        steps=20,
        chunk=1,
        on_chunk=[chunks.append],
    )
    grid = np.array([c.metrics["loss"] for c in chunks]).reshape(20, 4, 3)
    assert (points[2]["alpha"], points[2]["beta"]) == (0.1, 0.1)
    chunks = run(toy, TINY, seeds=1, first=2, chunk=1, alpha=0.1, beta=0.1)[1]
    alone = [c.metrics["loss"][0] for c in chunks]
    np.testing.assert_allclose(grid[:, 2, 2], alone, rtol=1e-4)
    # Other points and other seeds are other runs.
    assert np.isclose(grid, grid[:, 2:3, 2:], rtol=1e-3).all(0).sum() == 1


def test_one_trace_for_a_grid(toy, monkeypatch):
    spec, split = toy
    traces, loss = [], sm.cgvae_loss
    monkeypatch.setattr(sm, "cgvae_loss", lambda *args: traces.append(1) or loss(*args))
    hyper = sm.default_hyper(TINY, spec, 10)
    keys, rows, _ = runner.grid(
        runner.seed_keys(2), hyper._replace(alpha=[0.0, 0.1], beta=[0.01, 0.1])
    )
    sample = sm.sampler(split.train, 16)
    result = runner.run(sm.make(TINY, spec), sample, keys, rows, steps=7, chunk=3)
    assert len(traces) == 1
    assert result.devices == 8


def chunk_arguments(data, config, seeds, mesh):
    spec, split = data
    system = sm.make(config, spec)
    keys = runner.seed_keys(seeds)
    hyper = sm.default_hyper(config, spec, 10)
    hyper = jax.tree.map(lambda h: jnp.full(seeds, h, float), hyper)
    rows = runner.init_rows(system, keys, hyper, mesh)
    sample = sm.sampler(split.train, config.batch)
    chunk = runner.make_chunk(system, mesh)
    return chunk, (rows, keys, hyper, sample, jnp.int32(0), jnp.int32(5))


def test_no_collectives(toy):
    mesh = runner.seed_mesh(8)
    chunk, arguments = chunk_arguments(toy, TINY, 8, mesh)
    text = chunk.lower(*arguments).compile().as_text()
    assert re.findall(COLLECTIVE, text) == []
    assert "while" in text


@pytest.mark.parametrize("name", ["default", "ddsf"])
def test_training_chunk_exports(toy, name):
    chunk, arguments = chunk_arguments(toy, VARIANTS[name], 2, runner.seed_mesh(1))
    export = jax.export.export(chunk, platforms=["tpu", "cuda"])
    assert export(*arguments).platforms == ("tpu", "cuda")


def test_agreement_of_seeds_needs_the_same_observations(toy):
    """UDR is for a single world, such as a table."""
    spec, split = toy
    system = sm.make(TINY, spec)
    hyper = sm.default_hyper(TINY, spec, 10)
    keys, values = runner.lay_out(runner.seed_keys(2), sm.Hyper, [hyper._asdict()])
    rows = runner.init_rows(system, keys, values)

    def agreement(data):
        job = type("Job", (), {"options": type("Options", (), {
            "first_seed": 0, "seeds": 2,
        })})  # fmt: skip
        experiment = cli.Experiment(
            job, system, spec, data, None, keys, values, [hyper._asdict()]
        )
        return cli._udr(experiment, rows)

    assert agreement(split) is None
    single = [s._replace(worlds_x=s.worlds_x[:, :1]) for s in split]
    assert 0 <= agreement(domains.Dataset(*single)) <= 1


# Presets and mistakes.


@pytest.mark.parametrize("name", sm.PRESETS)
def test_presets_fit_their_data(name):
    preset = sm.PRESETS[name]
    spec = sm.make_spec(preset.data)
    hyper = sm.default_hyper(preset.config, spec, preset.steps)
    for point in (preset.hyper, *preset.points):
        hyper._replace(**point)
    assert preset.expects
    if name == "table":
        with pytest.raises(ValueError, match=re.escape(domains.NO_FILE)):
            sm.make(preset.config, spec)
        return
    sm.check(preset.config, spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bins": 0}, "config.bins must be at least 1"),
        ({"embedding": 0}, "config.embedding must be at least 1"),
        ({"hidden": (8, 0)}, "config.hidden must be positive widths, got (8, 0)"),
        ({"jac": "half"}, "config.jac must be one of 'full', 'columns', 'differences'"),
        ({"jac_scale": "max"}, "config.jac_scale must be one of 'std', 'none'"),
        ({"prior": "spline"}, "config.prior must be one of 'rqs', 'affine', 'ddsf'"),
        ({"z_dim": 1}, "config.z_dim must be at least 1 and the number of the data's"),
        ({"columns": 3}, "config.columns must be 1 to 2, the number of latents, got 3"),
        ({"difference": 0.0}, "config.difference must be positive, got 0.0"),
        ({"batch": 1}, "config.jac_scale='std' needs config.batch of at least 2"),
        ({"batch": 0}, "config.batch must be at least 1"),
    ],
)
def test_bad_configs_are_named(toy, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        sm.make(variant(**changes), toy[0])
