"""Shared features: options, scores, adaptation, and the compiled contract."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from jaxdis import heads, runner
from jaxdis.data import factors, tasks
from jaxdis.systems import shared_features as sf

DATA = tasks.Config(
    z_dim=3, x_dim=4, support=12, query=10, shots=(3, 8), test_tasks=6, test_query=20,
    test_rows=40,
)  # fmt: skip
TINY = sf.Config(features=5, hidden=(8,), rounds=2, iters=5, batch=4)
COLLECTIVE = r"= [^=]* (all-gather|all-reduce|all-to-all|collective-permute)"
CLASSES = dataclasses.replace(DATA, labels="classification")


@pytest.fixture(scope="module")
def toy():
    return tasks.load(DATA)


@pytest.fixture(scope="module")
def classes():
    return tasks.load(CLASSES)


def variant(**changes):
    return dataclasses.replace(TINY, **changes)


VARIANTS = {
    "default": TINY,
    "linear": variant(encoder="linear"),
    "adam": variant(solver="adam"),
    "implicit": variant(outer="implicit"),
    "unroll": variant(outer="unroll"),
    "relative": variant(relative=True),
}


def run(data, config, steps=20, seeds=2, first=0, chunk=10, **hyper):
    spec, split = data
    values = sf.default_hyper(config, spec, steps)._replace(**hyper)
    chunks = []
    result = runner.run(
        sf.make(config, spec),
        sf.sampler(split.train, config.batch),
        runner.seed_keys(seeds, first),
        values,
        steps=steps,
        chunk=chunk,
        on_chunk=[chunks.append],
    )
    return result, chunks


def scored(data, config, result, part="test"):
    spec, split = data
    keys = runner.seed_keys(result.rows.skipped.shape[0])
    evaluate = runner.evaluator(sf.make(config, spec), getattr(split, part), keys)
    return evaluate(result.rows.state)


def initial(data, config, **hyper):
    spec, _ = data
    values = sf.default_hyper(config, spec, 10)._replace(**hyper)
    return sf.make(config, spec).init(jax.random.key(0), values), values


def draw(data, config, seed=0):
    return sf.sampler(data[1].train, config.batch)(jax.random.key(seed))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains(toy, name):
    result, chunks = run(toy, VARIANTS[name], steps=60, chunk=20, learning_rate=0.01)
    assert not np.asarray(result.rows.skipped).any()
    assert (chunks[-1].metrics["loss"] < chunks[0].metrics["loss"]).all()
    density = chunks[-1].metrics["density"]
    assert (density == 1).all() if name == "adam" else (density < 1).all()


def test_classes_are_trained_on_and_scored(classes):
    result, chunks = run(classes, TINY, steps=40, chunk=20, learning_rate=0.01)
    assert (chunks[-1].metrics["loss"] < chunks[0].metrics["loss"]).all()
    figures = scored(classes, TINY, result)
    for name in ("score", "few_shot_sparse_8", "few_shot_logistic_8", "raw_ridge_8"):
        assert ((figures[name] >= 0) & (figures[name] <= 1)).all()
    assert figures["few_shot"].shape == (2, 3, 2)
    assert figures["true_raw"].shape == (2, 2, 2)
    np.testing.assert_array_equal(
        figures["few_shot"][:, 2, 1], figures["few_shot_logistic_8"]
    )


# The loss.


def test_loss_is_that_of_the_fitted_heads_on_other_samples(toy):
    """Written out for a linear encoder and heads that are not penalised."""
    spec, _ = toy
    config = variant(encoder="linear", features=3, rounds=4, iters=300)
    state, hyper = initial(toy, config, alpha=0.0, beta=0.0, ridge=0.0)
    batch = draw(toy, config)
    value, (fit, moments) = sf.shared_features_loss(
        state.params, config, spec, batch, hyper
    )
    h = np.asarray(batch.x) @ np.asarray(state.params["params"]["Dense_0"]["kernel"])
    mean, std = h.mean((0, 1)), h.std((0, 1))
    np.testing.assert_allclose(moments.mean, mean, atol=1e-5)
    np.testing.assert_allclose(moments.std, std, rtol=1e-5)
    f, losses = (h - mean) / (std + 1e-5), []
    for t in range(config.batch):
        w = np.linalg.lstsq(f[t, :12], batch.y[t, :12])[0]
        np.testing.assert_allclose(fit.w[t, :, 0], w, atol=1e-3)
        losses.append(0.5 * np.mean((f[t, 12:] @ w - batch.y[t, 12:]) ** 2))
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-3)


def test_scale_of_a_feature_changes_nothing(toy):
    spec, _ = toy
    state, hyper = initial(toy, TINY)
    last = state.params["params"]["Dense_1"]["kernel"]
    scale = jnp.array([10.0, 0.5, -3.0, 2.0, 7.0])
    dense = {"Dense_1": {"kernel": last * scale[None]}}
    scaled = {"params": state.params["params"] | dense}
    assert "bias" not in state.params["params"]["Dense_1"]
    batch = draw(toy, TINY)
    first, (fit, _) = sf.shared_features_loss(state.params, TINY, spec, batch, hyper)
    other, (same, _) = sf.shared_features_loss(scaled, TINY, spec, batch, hyper)
    np.testing.assert_allclose(first, other, rtol=1e-3)
    sign = np.sign(scale)[None, :, None]
    np.testing.assert_allclose(fit.w, same.w * sign, atol=2e-3)


@pytest.mark.parametrize("outer", ["stop_gradient", "implicit"])
def test_dead_features_have_a_finite_gradient(toy, outer):
    spec, split = toy
    config = variant(outer=outer)
    state, hyper = initial(toy, config)
    kernel = state.params["params"]["Dense_1"]["kernel"]
    batch = draw(toy, config)
    for dead in (kernel.at[:, 2].set(0.0), jnp.zeros_like(kernel)):
        dense = {"Dense_1": {"kernel": dead}}
        params = {"params": state.params["params"] | dense}

        def loss(params):
            return sf.shared_features_loss(params, config, spec, batch, hyper)[0]

        value, gradient = jax.jit(jax.value_and_grad(loss))(params)
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
        report = jax.jit(sf.make(config, spec).report)
        figures = report(state._replace(params=params), split.valid, jax.random.key(1))
        assert all(np.isfinite(figures[n]).all() for n in ("mcc", "score", "heads"))


def test_strong_sparsity_empties_the_heads(toy):
    result, chunks = run(toy, TINY, steps=4, chunk=2, alpha=100.0)
    assert (chunks[-1].metrics["density"] == 0).all()
    assert not np.asarray(result.rows.skipped).any()
    assert all(np.isfinite(p).all() for p in jax.tree.leaves(result.rows.state.params))


@pytest.fixture(scope="module")
def stepped(toy):
    """One compiled step, and the state that it starts from."""
    state, hyper = initial(toy, TINY)
    return jax.jit(sf.make(TINY, toy[0]).step), state, hyper


def test_past_usage_counts_from_the_second_step(toy, stepped):
    step, start, hyper = stepped
    batches, key = [draw(toy, TINY, i) for i in (0, 1)], jax.random.key(0)

    def usage(*decays):
        state = start
        for batch, decay in zip(batches, decays, strict=False):
            state, _ = step(state, batch, hyper._replace(usage_decay=decay), key)
        return np.asarray(state.extra.usage)

    first, second = usage(0.0), usage(0.0, 0.0)
    np.testing.assert_allclose(usage(0.9), first, rtol=1e-6)
    np.testing.assert_allclose(usage(0.9, 1.0), first, rtol=1e-5)
    assert not np.allclose(second, first, rtol=1e-2)


def test_running_moments(toy, stepped):
    spec, _ = toy
    step, state, hyper = stepped
    hyper = hyper._replace(learning_rate=0.0)
    seen = []
    for i in range(3):
        batch = draw(toy, TINY, i)
        h = np.asarray(sf.features(state.params, TINY, spec, batch.x))
        seen.append((h.mean((0, 1)), h.var((0, 1))))
        state, _ = step(state, batch, hyper, jax.random.key(0))
    weights = np.array([0.81, 0.09, 0.1])[:, None]
    mean, variance = ((weights * np.array(s)).sum(0) for s in zip(*seen, strict=True))
    np.testing.assert_allclose(state.extra.moments.mean, mean, atol=1e-5)
    np.testing.assert_allclose(state.extra.moments.std**2, variance, rtol=1e-4)


def test_rate_falls_along_a_cosine_to_nothing(toy, stepped):
    step, state, hyper = stepped
    hyper, moved = hyper._replace(decay_steps=2.0), []
    batch = draw(toy, TINY)
    for _ in range(4):
        before = state.params
        state, _ = step(state, batch, hyper, jax.random.key(0))
        change = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, state.params)
        moved.append(max(map(float, jax.tree.leaves(change))))
    # The first step of Adam is as long as the rate; the next one has half of it.
    np.testing.assert_allclose(moved[0], 1e-3, rtol=0.01)
    assert 3e-4 < moved[1] < 7e-4
    assert moved[2:] == [0, 0]


# The report.

ORDER = [3, 0, 4]  # the features that hold the factors, in the order of the factors


def permuted(data):
    """A state whose features 3, 0 and 4 are the factors, and data that are factors.

    The other two features are noise.
    """
    spec, split = data
    kernel = np.zeros((4, 5))
    kernel[:3, ORDER] = np.diag([2.0, -1.0, 0.5])
    kernel[3, [1, 2]] = 0.3, -0.7
    rng, z = np.random.default_rng(0), np.asarray(split.test.z)
    weights = tasks.mixing_weights(
        jax.random.split(jax.random.key(DATA.seed), 3)[0], 3, 4
    )

    def noisy(z):
        noise = rng.normal(size=(*z.shape[:-1], 1))
        return jnp.asarray(np.concatenate([z, noise], -1), jnp.float32)

    def unmixed(x):
        u = x @ np.linalg.pinv(weights[2])
        for w in (weights[1], weights[0]):
            u = u / 1.4
            u = np.where(u < 0, u / 0.3, u) @ np.linalg.pinv(w)
        return noisy(u)

    new = split.test.tasks
    rows = split.test._replace(
        x=noisy(z), tasks=new._replace(x=unmixed(np.asarray(new.x)))
    )
    config = variant(encoder="linear")
    system = sf.make(config, spec)
    state, _ = initial(data, config, alpha=0.02, beta=0.02, adapt_alpha=0.02)
    params = {"params": {"Dense_0": {"kernel": jnp.asarray(kernel, jnp.float32)}}}
    h = sf.features(params, config, spec, rows.tasks.x)
    _, moments = heads.standardise(h)
    extra = state.extra._replace(moments=moments)
    state = state._replace(params=params, extra=extra)
    figures = jax.jit(system.report)(state, rows, jax.random.key(0))
    return {k: np.asarray(v) for k, v in figures.items()}, rows


@pytest.fixture(scope="module")
def recovered(toy):
    return permuted(toy)


def test_features_that_are_the_factors_score_as_such(recovered):
    figures, _ = recovered
    np.testing.assert_allclose(figures["mcc"], 1.0, atol=1e-4)
    assert figures["correlation"].shape == (3, 3)
    np.testing.assert_allclose(np.diag(figures["correlation"]), 1.0, atol=1e-4)
    assert figures["dci_c"] > 0.9
    assert figures["dead"] == 0
    assert figures["score"] > 0.97
    assert figures["kkt"] < 1e-4
    assert figures["query_loss"] < 0.02


def test_heads_have_the_matched_features_first(recovered):
    figures, rows = recovered
    assert figures["heads"].shape == (6, 5)
    assert figures["usage"].shape == (5,)
    np.testing.assert_array_equal(figures["true_supports"], rows.tasks.uses)
    # Factors in their own order, although features have another.
    uses = np.asarray(rows.tasks.uses)
    matched = figures["heads"][:, :3]
    assert matched[~uses].max() < 0.1
    assert (matched[uses] > 0.1).mean() > 0.7
    assert matched[uses].mean() > 8 * matched[~uses].mean()
    np.testing.assert_allclose(figures["usage"].sum(), 1.0, rtol=1e-5)
    assert figures["usage"][:3].sum() > 0.9
    assert figures["usage"][3] >= figures["usage"][4]


def test_table_of_few_shots(recovered, toy):
    _, split = toy
    figures, _ = recovered
    assert figures["few_shot"].shape == (2, 2)
    for i, method in enumerate(("sparse", "ridge")):
        for j, k in enumerate((3, 8)):
            cell = figures[f"few_shot_{method}_{k}"]
            np.testing.assert_array_equal(cell, figures["few_shot"][i, j])
    assert figures["few_shot_sparse_8"] > figures["few_shot_sparse_3"]
    assert figures["few_shot_sparse_8"] > 0.8
    np.testing.assert_array_equal(figures["true_raw"], split.test.raw)
    np.testing.assert_array_equal(figures["raw_ridge_3"], split.test.raw[0, 0])
    assert not any("logistic" in name for name in figures)


@pytest.mark.parametrize("c", [2, 3])
def test_few_shots_are_those_of_scikit_learn(c):
    """Ridge and logistic heads have its default penalties."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 90, 3)).astype(np.float32)
    noisy = x[..., 0] - x[..., 1] + rng.normal(size=(5, 90)) * 0.7
    y = np.digitize(noisy, np.linspace(-0.7, 0.7, c + 1)[1:-1])
    spec = tasks.make_spec(dataclasses.replace(CLASSES, shots=(10, 30)))
    spec = spec._replace(classes=c)
    _, hyper = initial((spec, None), TINY)
    new = tasks.Tasks(jnp.asarray(x), jnp.asarray(y), None, None)
    table = sf._few_shot(spec, hyper, new, new.x)
    for i, model in ((1, RidgeClassifier()), (2, LogisticRegression())):
        for j, k in enumerate((10, 30)):
            scores = [
                model.fit(a[:k], b[:k]).score(a[30:], b[30:])
                for a, b in zip(x, y, strict=True)
            ]
            # Two of 300 may lie on the boundary.
            np.testing.assert_allclose(table[i, j], np.mean(scores), atol=0.007)


# The compiled contract.


def test_solo_run_equals_its_row_of_the_grid(toy):
    """In the loss: Adam magnifies rounding in gradients that are nearly 0."""
    spec, split = toy
    hyper = sf.default_hyper(TINY, spec, 20)
    keys, rows, points = runner.grid(
        runner.seed_keys(3), hyper._replace(alpha=[0.02, 0.05], beta=[0.0, 0.05])
    )
    chunks = []
    runner.run(
        sf.make(TINY, spec),
        sf.sampler(split.train, TINY.batch),
        keys,
        rows,
        steps=20,
        chunk=1,
        on_chunk=[chunks.append],
    )
    grid = np.array([c.metrics["loss"] for c in chunks]).reshape(20, 4, 3)
    one = {"alpha": points[3]["alpha"], "beta": points[3]["beta"]}
    assert one == {"alpha": 0.05, "beta": 0.05}
    chunks = run(toy, TINY, seeds=1, first=2, chunk=1, **one)[1]
    alone = [c.metrics["loss"][0] for c in chunks]
    np.testing.assert_allclose(grid[:, 3, 2], alone, rtol=1e-4)
    # Other points and other seeds are other runs.
    assert np.isclose(grid, grid[:, 3:, 2:], rtol=1e-3).all(0).sum() == 1


def test_one_trace_for_a_grid(toy, monkeypatch):
    spec, split = toy
    traces, loss = [], sf.shared_features_loss
    monkeypatch.setattr(
        sf, "shared_features_loss", lambda *args: traces.append(1) or loss(*args)
    )
    hyper = sf.default_hyper(TINY, spec, 10)
    keys, rows, _ = runner.grid(
        runner.seed_keys(2), hyper._replace(alpha=[0.0, 0.1], beta=[0.0, 0.1])
    )
    result = runner.run(
        sf.make(TINY, spec), sf.sampler(split.train, 4), keys, rows, steps=7, chunk=3
    )
    assert len(traces) == 1
    assert result.devices == 8


def chunk_arguments(data, config, seeds, mesh):
    spec, split = data
    system = sf.make(config, spec)
    keys = runner.seed_keys(seeds)
    hyper = sf.default_hyper(config, spec, 10)
    hyper = jax.tree.map(lambda h: jnp.full(seeds, h, float), hyper)
    rows = runner.init_rows(system, keys, hyper, mesh)
    sample = sf.sampler(split.train, config.batch)
    chunk = runner.make_chunk(system, mesh)
    return chunk, (rows, keys, hyper, sample, jnp.int32(0), jnp.int32(5))


@pytest.mark.parametrize("labels", ["regression", "classification"])
def test_no_collectives(toy, classes, labels):
    mesh = runner.seed_mesh(8)
    assert mesh.size == 8
    data = toy if labels == "regression" else classes
    chunk, arguments = chunk_arguments(data, TINY, 8, mesh)
    text = chunk.lower(*arguments).compile().as_text()
    assert re.findall(COLLECTIVE, text) == []
    assert "while" in text


@pytest.mark.parametrize("name", ["default", "adam", "implicit", "classes"])
def test_training_chunk_exports(toy, classes, name):
    data = classes if name == "classes" else toy
    config = VARIANTS.get(name, TINY)
    chunk, arguments = chunk_arguments(data, config, 2, runner.seed_mesh(1))
    export = jax.export.export(chunk, platforms=["tpu", "cuda"])
    assert export(*arguments).platforms == ("tpu", "cuda")


@pytest.mark.parametrize("labels", ["regression", "classification"])
def test_scores_export_for_every_platform(toy, classes, labels):
    data = toy if labels == "regression" else classes
    spec, split = data
    system = sf.make(TINY, spec)
    state, _ = initial(data, TINY)
    leaves, tree = jax.tree.flatten((state, split.test, jax.random.key(1)))
    report = jax.jit(lambda leaves: system.report(*jax.tree.unflatten(tree, leaves)))
    exported = jax.export.export(report, platforms=["cpu", "tpu", "cuda"])(leaves)
    assert "lapack" not in exported.mlir_module().lower()


# Presets and mistakes.


@pytest.mark.parametrize("name", sf.PRESETS)
def test_presets_fit_their_data(name):
    preset = sf.PRESETS[name]
    spec = sf.make_spec(preset.data)
    hyper = sf.default_hyper(preset.config, spec, preset.steps)
    hyper._replace(**preset.hyper)
    for point in preset.points:
        hyper._replace(**point)
    assert preset.expects
    assert preset.source
    if name == "linear_probe":
        with pytest.raises(ValueError, match=r"data\.file must name an npz") as error:
            sf.make(preset.config, spec)
        assert str(error.value) == tasks.NO_FILE
        return
    sf.check(preset.config, spec)
    system = sf.make(preset.config, spec)
    state = jax.eval_shape(lambda k: system.init(k, hyper), jax.random.key(0))
    x = jax.ShapeDtypeStruct((2, *spec.shape), float)
    code = jax.eval_shape(system.encode, state.params, x)
    assert code.shape == (2, preset.config.features)
    # Scores of the table are among those of the report; an image has no raw ones.
    shots = {f"few_shot_{m}_{k}" for m in spec.methods for k in spec.shots}
    wanted = {n for n in preset.scores if n.startswith("few_shot")}
    assert wanted <= shots
    raw = {f"raw_{m}_{k}" for m in spec.raw_methods for k in spec.shots}
    assert {n for n in preset.scores if n.startswith("raw")} <= raw


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 0}, "config.features must be at least 1"),
        ({"features": 2}, "config.features must be at least the 3 factors"),
        ({"batch": 0}, "config.batch must be at least 1"),
        ({"rounds": 0}, "config.rounds must be at least 1"),
        ({"iters": -1}, "config.iters must be at least 1, got -1"),
        ({"width": 0}, "config.width must be at least 1"),
        ({"hidden": (8, 0)}, "config.hidden must be positive widths, got (8, 0)"),
        ({"encoder": "conv"}, "config.encoder='conv' needs images [h, w, c]"),
    ],
)
def test_bad_configs_are_named(toy, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        sf.make(variant(**changes), toy[0])


def test_images_that_the_encoder_cannot_halve_are_named(toy):
    spec = toy[0]._replace(shape=(24, 64, 1))
    with pytest.raises(ValueError, match="sides that are multiples of 16"):
        sf.make(variant(encoder="conv"), spec)


# Other data.


def test_digits():
    data = tasks.load(
        tasks.Config(
            "digits", "classification", support=12, query=10, shots=(1, 4),
            test_tasks=6, test_query=20, test_rows=50,
        )
    )  # fmt: skip
    result, _ = run(data, TINY, steps=3, chunk=3)
    figures = scored(data, TINY, result)
    assert not np.asarray(result.rows.skipped).any()
    assert figures["few_shot"].shape == (2, 3, 2)
    assert figures["heads"].shape == (2, 6, 5)
    # The features in most use first, where there are no factors.
    assert (np.diff(figures["usage"]) <= 0).all()
    assert not {"mcc", "true_supports", "correlation"} & set(figures)
    assert {"few_shot_logistic_4", "raw_logistic_4", "score"} <= set(figures)


def test_features_of_ones_own(tmp_path):
    """Two source domains, a new one, and labels that follow two of six features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(360, 6))
    domains = np.array(["clip", "photo", "sketch"])[np.arange(360) % 3]
    labels = np.where(x[:, 1] - x[:, 4] > 0, "yes", "no")
    path = tmp_path / "features.npz"
    np.savez(path, features=x, labels=labels, domains=domains)
    data = tasks.load(
        tasks.Config(
            "features", "classification", support=20, query=20, shots=(2, 6),
            test_tasks=5, test_query=10, test_rows=50, file=str(path),
        )
    )  # fmt: skip
    config = variant(encoder="linear", features=4)
    result, chunks = run(data, config, steps=80, chunk=40, learning_rate=0.05)
    assert (chunks[1].metrics["loss"] < chunks[0].metrics["loss"]).all()
    figures = scored(data, config, result)
    assert (figures["score"] > 0.8).all()
    assert (figures["few_shot_sparse_6"] > 0.7).all()
    assert figures["true_raw"].shape == (2, 2, 2)


def test_images_through_the_convolutions():
    rng = np.random.default_rng(0)
    sizes = (4, 3, 5)
    values = np.stack(
        np.unravel_index(np.arange(60), sizes), 1
    ).astype(np.int32)  # fmt: skip
    pixels = rng.integers(0, 256, (60, 16, 16, 1), np.uint8)
    images = factors.LabelledImages(pixels, values, sizes)
    given = dataclasses.replace(
        DATA, name="dsprites", labels="classification", support=5, query=4,
        test_query=5, shots=(3,), test_tasks=2,
    )  # fmt: skip
    spec = tasks.make_spec(given)._replace(shape=(16, 16, 1), factors=3)
    data = spec, tasks.from_images(given, images, (False, True, False))
    config = variant(encoder="conv", width=2, batch=2, features=3, iters=3)
    result, _ = run(data, config, steps=2, chunk=2)
    assert not np.asarray(result.rows.skipped).any()
    figures = scored(data, config, result)
    assert figures["few_shot"].shape == (2, len(spec.methods), 1)
    assert np.isfinite(figures["mcc"]).all()
    assert not any(name.startswith("raw") for name in figures)
    # Bytes are scaled to [0, 1].
    params = jax.tree.map(lambda a: a[0], result.rows.state.params)
    x = data[1].test.x
    np.testing.assert_allclose(
        sf.features(params, config, spec, x),
        sf.features(params, config, spec, x.astype(float) / 255),
        atol=1e-5,
    )
