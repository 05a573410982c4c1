"""Flow-factorized sequences: terms, options, scores, and the compiled contract."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import flows, nets, runner
from jaxdis.data import sequences
from jaxdis.systems import flow_factorized as ff

DATA = sequences.Config(
    "blobs", size=8, steps=4, valid_rows=8, test_rows=12, fit_rows=40
)
TINY = ff.Config(z_dim=4, vae="mlp", width=12, batch=6)
COLLECTIVE = r"= [^=]* (all-gather|all-reduce|all-to-all|collective-permute)"


@pytest.fixture(scope="module")
def blobs():
    return sequences.load(DATA)


def variant(**changes):
    return dataclasses.replace(TINY, **changes)


RELEASED = dataclasses.replace(ff.FAITHFUL, z_dim=4, vae="mlp", width=12, batch=6)
VARIANTS = {
    "exact": TINY,
    "series": variant(log_det="series"),
    "slogdet": variant(log_det="exact"),
    "start": variant(clock="start", ic="off"),
    "conv": variant(vae="conv", width=2),
    "inferred": variant(supervision="inferred"),
    "vae": variant(supervision="none"),
    "released": RELEASED,
    "released, inferred": dataclasses.replace(RELEASED, supervision="inferred"),
    "released first": dataclasses.replace(
        RELEASED, supervision="inferred", index_loss="true_label"
    ),
}


def run(blobs, config, steps=30, seeds=2, first=0, chunk=15, **hyper):
    spec, data = blobs
    values = ff.default_hyper(config, spec, steps)._replace(learning_rate=3e-3, **hyper)
    chunks = []
    result = runner.run(
        ff.make(config, spec),
        ff.sampler(data.train, config.batch),
        runner.seed_keys(seeds, first),
        values,
        steps=steps,
        chunk=chunk,
        on_chunk=[chunks.append],
    )
    return result, chunks


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains(blobs, name):
    result, chunks = run(blobs, VARIANTS[name], steps=40, chunk=20)
    assert not np.asarray(result.rows.skipped).any()
    first, last = (c.metrics["reconstruction"] for c in chunks)
    assert (last < first).all()


@pytest.mark.parametrize("name", ["exact", "released, inferred", "vae"])
def test_scores_of_every_kind(blobs, name):
    spec, data = blobs
    config = VARIANTS[name]
    result, _ = run(blobs, config, steps=10, chunk=10)
    scores = runner.evaluator(ff.make(config, spec), data.valid, runner.seed_keys(2))
    figures = scores(result.rows.state)
    by_name = [figures[f"equivariance_error_{n}"] for n in spec.names]
    np.testing.assert_allclose(
        figures["equivariance_error"], np.mean(by_name, 0), rtol=1e-5
    )
    # -(D / 2) log(2 pi) with D = 64 pixels: no log likelihood is higher.
    ceiling = -32 * np.log(2 * np.pi)
    assert (figures["elbo"] < ceiling).all()
    if config.supervision != "none":
        assert (figures["elbo"] <= figures["iwae"]).all()
        assert (figures["iwae"] < ceiling).all()


def reported(config, spec, state, rows):
    return jax.jit(ff.make(config, spec).report)(state, rows, jax.random.key(1))


def flat_state(blobs, config, seed=0):
    """An initial state whose potentials and forces are 0: nothing moves."""
    spec, _ = blobs
    hyper = ff.default_hyper(config, spec, 10)
    state = ff.make(config, spec).init(jax.random.key(seed), hyper)
    zero = {"w3": jnp.zeros((2, 4)), "b3": jnp.zeros(2)}
    params = state.params._replace(
        potentials=state.params.potentials._replace(**zero),
        forces=state.params.forces._replace(**zero),
    )
    return state._replace(params=params)


def test_a_latent_that_does_not_move_scores_as_such(blobs):
    spec, data = blobs
    state = flat_state(blobs, TINY)
    figures = reported(TINY, spec, state, data.test)
    for name in ("", *(f"_{n}" for n in spec.names), "_but_last"):
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


def test_scores_of_the_sequence_that_the_decoder_draws(blobs):
    """Rows whose frames are what the model decodes have no error at all."""
    spec, data = blobs
    config = TINY
    hyper = ff.default_hyper(config, spec, 10)
    state = ff.make(config, spec).init(jax.random.key(0), hyper)
    # A posterior without spread: log variance -200.
    dense = dict(state.params.encoder["params"]["Dense_2"])
    dense["bias"] = dense["bias"].at[4:].set(-200.0)
    dense["kernel"] = dense["kernel"].at[:, 4:].set(0.0)
    encoder = {"params": {**state.params.encoder["params"], "Dense_2": dense}}
    params = state.params._replace(encoder=encoder)
    x0 = data.test.x[:, 0]
    z0, _ = ff.posterior(params, config, spec, x0)
    flow = flows.Flow(params.potentials, params.forces, config.head)

    def frames(y):
        path = flows.walk(flow, z0, y, jnp.arange(1.0, 5.0), None)
        z = jnp.concatenate([z0[None], path.z])
        drawn = jax.nn.sigmoid(ff.decode(params, config, spec, z)).swapaxes(0, 1)
        return jnp.concatenate([x0[:, None], drawn[:, 1:]], 1)

    one, two = (jax.nn.one_hot(k, 2) for k in (data.test.k, data.test.other))
    # T = 4: two steps of the first, two of the second.
    in_turn = jnp.stack([one, one, two, two])
    rows = data.test._replace(
        x=frames(one), superposed=frames(one + two), switched=frames(in_turn)
    )
    state = state._replace(params=params)
    figures = reported(config, spec, state, rows)
    for name in ("equivariance_error", "superposed_error", "switched_error"):
        np.testing.assert_allclose(figures[name], 0.0, atol=1e-3)
    assert figures["superposed_alone"] > 1e-2
    assert figures["switched_restarted"] > 1e-3
    # Without the last of four frames of equal error 0, still 0; static is not.
    assert 0 < figures["static_error_but_last"] < figures["static_error"]


def test_inferred_indices_are_matched_up_to_a_permutation(blobs):
    spec, data = blobs
    config = VARIANTS["inferred"]
    state = ff.make(config, spec).init(
        jax.random.key(0), ff.default_hyper(config, spec, 10)
    )
    last = "Dense_2"

    def scored(names):
        """With an index network that knows: its logits are 50 at names[k]."""
        logits = 50.0 * jax.nn.one_hot(jnp.asarray(names)[data.test.k], 2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ff, "_in_blocks", lambda f, x, real=ff._in_blocks: (
                logits if x is data.test.x else real(f, x)
            ))  # fmt: skip
            return ff.report(config, spec, state, data.test, jax.random.key(2))

    assert last in state.params.index_encoder["params"]
    right, swapped = scored([0, 1]), scored([1, 0])
    for figures in (right, swapped):
        assert figures["index_accuracy"] == figures["index_accuracy_drawn"] == 1.0
        np.testing.assert_array_equal(figures["confusion"], np.eye(2))
    # Another potential moves the sequence of a transformation then.
    assert right["equivariance_error"] != swapped["equivariance_error"]
    constant = scored([0, 0])
    np.testing.assert_allclose(constant["index_accuracy"], 0.5)


def test_gumbel_index_is_one_hot_with_the_soft_gradient():
    key = jax.random.key(0)
    logits = jax.random.normal(key, (5, 3))
    gumbel = jax.random.gumbel(jax.random.key(1), (5, 3))
    weights = jax.random.normal(jax.random.key(2), (5, 3))
    y = ff.gumbel_index(logits, gumbel, 0.5)
    np.testing.assert_allclose(y, np.eye(3)[np.argmax(logits + gumbel, -1)], atol=1e-6)

    def hard(logits):
        return jnp.sum(weights * ff.gumbel_index(logits, gumbel, 0.5))

    def soft(logits):
        return jnp.sum(weights * jax.nn.softmax((logits + gumbel) / 0.5))

    np.testing.assert_allclose(jax.grad(hard)(logits), jax.grad(soft)(logits), 1e-5)


def test_index_losses():
    logits = jnp.log(jnp.array([[0.8, 0.2], [0.4, 0.6]]))
    y = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    truth = jnp.array([0, 0])
    # KL to uniform of (.8, .2) is .8 log 1.6 + .2 log .4 = .192745, of (.4, .6) it is
    # .020136, and of the average (.6, .4) as well.
    value = ff.index_term(TINY, logits, y, truth, 20.0)
    np.testing.assert_allclose(
        value, (0.192745 + 0.020136) / 2 + 20 * 0.020136, rtol=1e-4
    )
    # The average of y is (.5, .5).
    released = variant(index_loss="batch_consistency")
    value = ff.index_term(released, logits, y, truth, 20.0)
    np.testing.assert_allclose(value, np.log(2.0), rtol=1e-6)
    # One sequence of two is right: -log(1e-20) / 2 = 23.0259.
    labelled = variant(index_loss="true_label")
    value = ff.index_term(labelled, logits, y, truth, 20.0)
    np.testing.assert_allclose(value, 23.02585, rtol=1e-5)


def test_path_kl_without_flow_is_the_gaussian_one(blobs):
    """With no motion and D -> 0, KL_t in expectation is KL(N(mean, var) || N(0, I))."""
    state = flat_state(blobs, TINY)
    params = state.params._replace(prior=jnp.full(2, -50.0))
    mean, log_var = jnp.array([[0.5, -1.0, 0.0, 2.0]]), jnp.array([[0.0, -1.0, 0.5, 0]])
    n = 40_000
    noise = jax.random.normal(jax.random.key(0), (n, 4))
    z0 = mean + jnp.exp(0.5 * log_var) * noise
    y = jnp.tile(jnp.array([[1.0, 0.0]]), (n, 1))
    flow = flows.Flow(params.potentials, params.forces, "linear")
    path = flows.walk(flow, z0, y, jnp.arange(1.0, 5.0), "series", jnp.ones((4, n, 4)))
    found = ff.path_kl(params, y, jnp.broadcast_to(log_var, (n, 4)), path)
    # 1/2 sum (var + mean^2 - 1 - log var), four steps of it.
    var = np.exp(log_var)
    exact = 4 * 0.5 * np.sum(var + np.asarray(mean) ** 2 - 1 - log_var)
    np.testing.assert_allclose(found, exact, rtol=0.02)


def test_exact_and_released_hamilton_jacobi_sums():
    time = jnp.array([[[1.0, 3.0], [0.0, 0.0]]])  # [t=1, k=2, b=2]
    speed = jnp.array([[[2.0, 6.0], [0.0, 0.0]]])
    force = jnp.array([[[0.0, 1.0], [0.0, 0.0]]])
    z = jnp.zeros((1, 2, 4))
    path = flows.Path(z, jnp.zeros((1, 2)), time, speed, force)
    y = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    # R = 1 + 1 = 2 and 3 + 3 + 1 = 7: (4 + 49) / 2.
    np.testing.assert_allclose(ff.hj_loss(TINY, y, path), 26.5)
    # sum of du/dt 4, half the mean of 8 squares (8 in all) .5: 4.5 and 5.5 with f^2.
    released = (4.5**2 + 5.5**2) / 2
    np.testing.assert_allclose(ff.hj_loss(RELEASED, y, path), released)


def test_initial_condition_pushes_the_gradient_to_zero(blobs):
    spec, _ = blobs
    state = ff.make(TINY, spec).init(
        jax.random.key(0), ff.default_hyper(TINY, spec, 10)
    )
    flow = flows.Flow(state.params.potentials, state.params.forces, "linear")
    z0 = jax.random.normal(jax.random.key(1), (6, 4))
    y = jax.nn.one_hot(jnp.array([0, 1, 0, 1, 0, 1]), 2)
    assert ff.ic_loss(flow, TINY, y, z0) > 0
    assert ff.ic_loss(flow, variant(ic="off"), y, z0) == 0
    # Of an inferred transformation the released condition is the last one's alone.
    last = variant(ic="last_k", hj="batch", supervision="inferred")
    first_only = jnp.tile(jnp.array([[1.0, 0.0]]), (6, 1))
    assert ff.ic_loss(flow, last, first_only, z0) == 0
    assert ff.ic_loss(flow, last, y, z0) > 0
    known = dataclasses.replace(last, supervision="known")
    assert ff.ic_loss(flow, known, first_only, z0) > 0


def test_seeds_with_matmul_convolutions_equal_lax_ones(blobs):
    first, _ = run(blobs, VARIANTS["conv"], steps=5, chunk=5)
    second, _ = run(blobs, variant(vae="conv", width=2, convolutions="lax"), steps=5)
    for a, b in zip(
        jax.tree.leaves(first.rows.state.params),
        jax.tree.leaves(second.rows.state.params),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["exact", "inferred"])
def test_solo_run_equals_its_row_of_the_grid(blobs, name):
    spec, data = blobs
    config = VARIANTS[name]
    system, sample = ff.make(config, spec), ff.sampler(data.train, config.batch)
    hyper = ff.default_hyper(config, spec, 20)._replace(learning_rate=1e-3)
    keys, rows, points = runner.grid(
        runner.seed_keys(3), hyper._replace(kl_weight=[0.25, 1.0])
    )
    grid = runner.run(system, sample, keys, rows, steps=20, chunk=10)
    alone, _ = run(
        blobs, config, steps=20, seeds=1, first=2, chunk=20, kl_weight=1.0
    )  # another rate: must differ
    same = runner.run(
        system,
        sample,
        runner.seed_keys(1, first=2),
        hyper._replace(kl_weight=1.0),
        steps=20,
        chunk=20,
    )
    assert [p["kl_weight"] for p in points] == [0.25, 1.0]

    def weights(result, row):
        return jax.tree.map(lambda a: np.asarray(a[row]), result.rows.state.params)

    for a, b in zip(
        jax.tree.leaves(weights(grid, 5)),
        jax.tree.leaves(weights(same, 0)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert any(
        not np.allclose(a, b, atol=1e-3)
        for a, b in zip(
            jax.tree.leaves(weights(grid, 5)),
            jax.tree.leaves(weights(alone, 0)),
            strict=True,
        )
    )


def test_one_trace_for_chunks_of_any_length(blobs, monkeypatch):
    traces = []
    terms = ff.flow_terms
    monkeypatch.setattr(
        ff, "flow_terms", lambda *args: traces.append(1) or terms(*args)
    )
    run(blobs, TINY, steps=25, chunk=10)
    assert len(traces) == 1


def chunk_arguments(blobs, config, seeds, mesh):
    spec, data = blobs
    system = ff.make(config, spec)
    keys = runner.seed_keys(seeds)
    hyper = ff.default_hyper(config, spec, 10)
    hyper = jax.tree.map(lambda h: jnp.full(seeds, h, float), hyper)
    rows = runner.init_rows(system, keys, hyper, mesh)
    sample = ff.sampler(data.train, config.batch)
    chunk = runner.make_chunk(system, mesh)
    return chunk, (rows, keys, hyper, sample, jnp.int32(0), jnp.int32(5))


@pytest.mark.parametrize("name", ["conv", "inferred"])
def test_no_collectives(blobs, name):
    mesh = runner.seed_mesh(8)
    assert mesh.size == 8
    chunk, arguments = chunk_arguments(blobs, VARIANTS[name], 8, mesh)
    text = chunk.lower(*arguments).compile().as_text()
    assert re.findall(COLLECTIVE, text) == []


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("name", ["conv", "slogdet", "inferred", "released", "vae"])
def test_training_chunk_exports(blobs, platform, name):
    chunk, arguments = chunk_arguments(blobs, VARIANTS[name], 2, runner.seed_mesh(1))
    export = jax.export.export(chunk, platforms=[platform])
    assert export(*arguments).platforms == (platform,)


@pytest.mark.parametrize("name", ["exact", "inferred", "vae"])
def test_scores_export_for_every_platform(blobs, name):
    """Among them the determinants, which are LAPACK's on no platform."""
    spec, data = blobs
    config = VARIANTS[name]
    system = ff.make(config, spec)
    state = system.init(jax.random.key(0), ff.default_hyper(config, spec, 10))
    leaves, tree = jax.tree.flatten((state, data.valid, jax.random.key(1)))
    report = jax.jit(lambda leaves: system.report(*jax.tree.unflatten(tree, leaves)))
    exported = jax.export.export(report, platforms=["cpu", "tpu", "cuda"])(leaves)
    assert "lapack" not in exported.mlir_module().lower()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_dim": 7}, "latent size must be even and at least 4"),
        ({"z_dim": 2}, "latent size must be even and at least 4"),
        ({"width": 0}, "config.width must be at least 1"),
        ({"batch": 0}, "config.batch must be at least 1"),
        ({"vae": "deep_conv"}, "config.vae='deep_conv' halves images until 16"),
        ({"clock": "start"}, "config.clock='start' moves the first step"),
        ({"log_det": "rowsum"}, "config.log_det='rowsum' and config.kl="),
        ({"kl": "softmax_dims"}, "config.log_det='rowsum' and config.kl="),
        ({"prior_gradient": "accumulate"}, "config.prior_gradient='accumulate'"),
    ],
)
def test_bad_configs_are_named(blobs, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ff.make(variant(**changes), blobs[0])


def test_images_that_the_strides_do_not_divide_are_named():
    spec = sequences.Spec((30, 28, 3), 4, ("scale",))
    with pytest.raises(ValueError, match="4 must divide their sides, and they are 30"):
        ff.make(variant(vae="conv"), spec)


def test_no_transformation_is_an_error():
    spec = sequences.Spec((8, 8, 1), 4, ())
    with pytest.raises(ValueError, match=r"spec\.names must name at least one"):
        ff.make(TINY, spec)


def test_presets_fit_their_data():
    for preset in ff.PRESETS.values():
        spec = ff.make_spec(preset.data)
        ff.check(preset.config, spec)
        ff.default_hyper(preset.config, spec, preset.steps)._replace(**preset.hyper)
        assert preset.expects
        assert preset.source


def test_released_sizes_have_the_parameters_of_the_layer_table():
    """MNIST, n = 324, C = 3, s = 7; a potential has 421,525 parameters.

    encoder: conv 4x4 3->n, n->2n: 16*3*n+n + 16*n*2n+2n; dense 49*2n->3n, 3n->2n,
        2n->2n; heads 2n->2*n
    decoder: dense n->n, n->2n, 2n->3n; 3n->49*2n with 2n biases; deconv 4x4 2n->n, n->3
    """
    n = 324
    encoder = 48 * n + n + 32 * n * n + 2 * n
    encoder += 98 * n * 3 * n + 3 * n + 6 * n * n + 2 * n + 4 * n * n + 2 * n
    encoder += 4 * n * n + 2 * n
    decoder = n * n + n + 2 * n * n + 2 * n + 6 * n * n + 3 * n
    decoder += 3 * n * 98 * n + 2 * n + 32 * n * n + n + 48 * n + 3
    preset = ff.PRESETS["MNIST"]
    spec = ff.make_spec(preset.data)
    params = jax.eval_shape(
        lambda k: ff.init_params(k, preset.config, spec), jax.random.key(0)
    )

    def count(tree):
        return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(tree))

    assert count(params.encoder) == encoder
    assert count(params.decoder) == decoder
    assert round(count(params.encoder) / 1e6 + count(params.decoder) / 1e6, 1) == 70.9
    assert count(params.potentials) == count(params.forces) == 3 * 421_525
    assert isinstance(ff._networks(preset.config, spec).encoder, nets.ConvEncoder)


def test_sequences_of_ones_own_are_trained_on_and_scored(blobs):
    """Without pairs and longer sequences, of which nobody knows the truth."""
    _, data = blobs
    given = ff.sampler(data.train, 24)(jax.random.key(0))
    spec, own = sequences.from_frames(given.x, given.k, ["across", "down"])
    assert spec == sequences.Spec((8, 8, 1), 4, ("across", "down"))
    result, _ = run((spec, own), TINY, steps=5, chunk=5)
    figures = runner.evaluator(ff.make(TINY, spec), own.test, runner.seed_keys(2))(
        result.rows.state
    )
    assert np.isfinite(figures["equivariance_error_down"]).all()
    assert not any("superposed" in name or "longer" in name for name in figures)


def test_released_figure_adds_what_the_bound_subtracts(blobs):
    spec, data = blobs
    config = VARIANTS["released"]
    state = flat_state(blobs, config)
    figures = reported(config, spec, state, data.test)
    # Nothing moves: log q = log N(z_0; mean, var), and the prior's density has lost
    # n log(1 + h) a step, h = 1 / (1 + 1e-5) for scales of 1, n = 4.
    rows = np.arange(len(data.test.k))
    mean, log_var = ff.posterior(state.params, config, spec, data.test.x[:, 0])
    eps = jax.random.normal(
        jax.random.split(jax.random.key(1))[0], (len(rows), ff.IWAE_SAMPLES, 4)
    )[:, 0]
    z = mean + jnp.exp(0.5 * log_var) * eps
    log_q = jax.scipy.stats.norm.logpdf(z, mean, jnp.exp(0.5 * log_var)).sum(-1)
    log_p = jax.scipy.stats.norm.logpdf(z).sum(-1)
    x_hat = jax.nn.sigmoid(ff.decode(state.params, config, spec, z))
    steps = np.arange(1, 4)  # t = 1 .. T - 1
    x = data.test.x[:, 1:4]
    log_x = -0.5 * ((x - x_hat[:, None]) ** 2 + np.log(2 * np.pi)).sum((-3, -2, -1))
    spread = 4 * steps * np.log(2.0)
    expected = (log_x - (log_p[:, None] - spread[None]) + log_q[:, None]).mean()
    np.testing.assert_allclose(figures["released_loglik"], expected, rtol=1e-4)
