"""What is measured: features that are the factors, new tasks, few samples."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from jaxdis import heads
from jaxdis.data.features import Features
from jaxdis.data.mixed_factors import draw_mixing
from jaxdis.systems.shared_features import METHOD, make
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.model import build, default_hyper, features, init
from jaxdis.systems.shared_features.scores import few_shot, report, scores
from jaxdis.systems.shared_features.targets import Tasks
from jaxdis.systems.shared_features.tasks import batches
from tests.systems.shared_features.tiny import SMALL, TOY

KEY = jax.random.key(0)
ORDER = [3, 0, 4]  # the features that hold the factors, in the order of the factors
LINEAR = dataclasses.replace(SMALL, encoder=())


@pytest.fixture(scope="module")
def test_rows():
    return batches(LINEAR, TOY.spec(), TOY.load()).test


@pytest.fixture(scope="module")
def reported():
    """`(state, held out) -> report` of a linear encoder of the toy."""
    model = build(LINEAR, TOY.spec())
    return jax.jit(lambda state, rows: report(model, state, rows, KEY))


def state_of(kernel):
    """A linear encoder of these weights."""
    spec = TOY.spec()
    hyper = default_hyper(LINEAR, spec, 10)
    hyper = hyper._replace(alpha=0.02, beta=0.02, adapt_alpha=0.02)
    state = init(build(LINEAR, spec), KEY, hyper)
    params = {"params": {"Dense_0": {"kernel": jnp.asarray(kernel, jnp.float32)}}}
    return state._replace(params=params)


def unmixed(x):
    """The factors of the toy's observations, and a column of noise."""
    mixing = draw_mixing(jax.random.split(jax.random.key(TOY.seed), 3)[0], 3, 4)
    first, second, third = map(np.asarray, mixing)
    u = np.asarray(x) @ np.linalg.pinv(third)
    for w in (second, first):
        u = u / 1.4
        u = np.where(u < 0, u / 0.3, u) @ np.linalg.pinv(w)
    noise = np.random.default_rng(0).normal(size=(*u.shape[:-1], 1))
    return jnp.asarray(np.concatenate([u, noise], -1), jnp.float32)


@pytest.fixture(scope="module")
def recovered(test_rows, reported):
    """A report where features 3, 0 and 4 are the factors and the others are noise."""
    kernel = np.zeros((4, 5))
    kernel[:3, ORDER] = np.diag([2.0, -1.0, 0.5])
    kernel[3, [1, 2]] = 0.3, -0.7
    tasks = test_rows.tasks._replace(x=unmixed(test_rows.tasks.x))
    rows = test_rows._replace(x=unmixed(test_rows.x), tasks=tasks)
    state = state_of(kernel)
    h = features(build(LINEAR, TOY.spec()), state.params, tasks.x)
    extra = state.extra._replace(moments=heads.standardise(h)[1])
    found = reported(state._replace(extra=extra), rows)
    return {k: np.asarray(v) for k, v in found.items()}, rows


def test_features_that_are_the_factors_score_as_such(recovered):
    found, _ = recovered
    np.testing.assert_allclose(found["mcc"], 1.0, atol=1e-4)
    assert found["correlation"].shape == (3, 3)
    np.testing.assert_allclose(np.diag(found["correlation"]), 1.0, atol=1e-4)
    assert found["dci_c"] > 0.9
    assert found["dead"] == 0
    assert found["score"] > 0.97
    assert found["kkt"] < 1e-4
    assert found["query_loss"] < 0.02


def test_heads_have_the_matched_features_first(recovered):
    found, rows = recovered
    assert found["heads"].shape == (6, 5)
    assert found["usage"].shape == (5,)
    np.testing.assert_array_equal(found["supports"], rows.tasks.uses)
    # Factors in their own order, although features have another.
    uses = np.asarray(rows.tasks.uses)
    matched = found["heads"][:, :3]
    assert matched[~uses].max() < 0.1
    assert (matched[uses] > 0.1).mean() > 0.7
    assert matched[uses].mean() > 8 * matched[~uses].mean()
    np.testing.assert_allclose(found["usage"].sum(), 1.0, rtol=1e-5)
    assert found["usage"][:3].sum() > 0.9
    assert found["usage"][3] >= found["usage"][4]


def test_table_of_few_shots(recovered, test_rows):
    found, _ = recovered
    assert found["few_shot"].shape == (2, 2)
    assert found["shots"].tolist() == [3, 8]
    for i, head in enumerate(("sparse", "ridge")):
        for j, k in enumerate((3, 8)):
            cell = found[f"few_shot_{head}_{k}"]
            np.testing.assert_array_equal(cell, found["few_shot"][i, j])
    assert found["few_shot_sparse_8"] > found["few_shot_sparse_3"]
    assert found["few_shot_sparse_8"] > 0.8
    np.testing.assert_array_equal(found["raw"], test_rows.raw)
    np.testing.assert_array_equal(found["raw_ridge_3"], test_rows.raw[0, 0])
    assert not any("logistic" in name for name in found)


def test_a_report_returns_what_is_declared(recovered):
    found, _ = recovered
    declared = {score.name: score for score in scores(LINEAR, TOY.spec())}
    # Tasks of the toy are no label columns.
    arrays = METHOD.arrays.keys() - {"label_heads", "label_scores"}
    assert set(found) == declared.keys() | arrays
    assert declared["few_shot_sparse_8"].title == "Few-shot sparse 8"
    assert declared["raw_ridge_3"].title == "Raw ridge 3"
    assert declared["score"].title == "R²"
    for name in declared:
        assert found[name].shape == ()


def test_dead_features_have_finite_scores(test_rows, reported):
    kernel = np.random.default_rng(0).normal(size=(4, 5))
    for dead in (np.where(np.arange(5) == 2, 0.0, kernel), np.zeros((4, 5))):
        found = reported(state_of(dead), test_rows)
        assert all(np.isfinite(found[n]).all() for n in ("mcc", "score", "heads"))
        assert found["dead"] == (dead == 0).all(0).sum()


@pytest.mark.parametrize("c", [2, 3])
def test_few_shots_are_those_of_scikit_learn(c):
    """Ridge and logistic heads have its default penalties."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 90, 3)).astype(np.float32)
    noisy = x[..., 0] - x[..., 1] + rng.normal(size=(5, 90)) * 0.7
    y = np.digitize(noisy, np.linspace(-0.7, 0.7, c + 1)[1:-1])
    config = dataclasses.replace(SMALL, tasks="thresholds", shots=(10, 30))
    model = build(config, TOY.spec())._replace(classes=c)
    hyper = default_hyper(config, TOY.spec(), 10)
    new = Tasks(jnp.asarray(x), jnp.asarray(y), None, None)
    table = jax.jit(lambda new: few_shot(model, hyper, new, new.x))(new)
    for i, head in ((1, RidgeClassifier()), (2, LogisticRegression())):
        for j, k in enumerate((10, 30)):
            found = [
                head.fit(a[:k], b[:k]).score(a[30:], b[30:])
                for a, b in zip(x, y, strict=True)
            ]
            # Two of 300 may lie on the boundary.
            np.testing.assert_allclose(table[i, j], np.mean(found), atol=0.007)


def test_features_of_ones_own(tmp_path):
    """Two source domains, a new one, and labels that follow two of six features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(360, 6))
    domains = np.array(["clip", "photo", "sketch"])[np.arange(360) % 3]
    labels = np.where(x[:, 1] - x[:, 4] > 0, "yes", "no")
    path = tmp_path / "features.npz"
    np.savez(path, features=x, labels=labels, domains=domains)
    data = Features(file=str(path))
    config = Config(
        z_dim=4, encoder=(), rounds=2, iters=5, batch=4, tasks="labels", support=20,
        query=20, shots=(2, 6), test_tasks=5, test_query=10,
    )  # fmt: skip
    spec, splits = data.spec(), data.load()
    system, made = make(config, spec), batches(config, spec, splits)
    hyper = default_hyper(config, spec, 80)._replace(learning_rate=0.05)

    @jax.jit
    def run(sample, held_out):
        def body(state, i):
            key = jax.random.fold_in(KEY, i)
            return system.step(state, sample(key), hyper, key)

        state, seen = jax.lax.scan(body, system.init(KEY, hyper), jnp.arange(80))
        return seen["loss"], system.report(state, held_out, KEY)

    loss, found = run(made.sample, made.test)
    assert loss[40:].mean() < loss[:40].mean()
    assert found["score"] > 0.8
    assert found["few_shot_sparse_6"] > 0.7
    assert found["few_shot"].shape == (3, 2)
    np.testing.assert_array_equal(found["few_shot"][2, 1], found["few_shot_logistic_6"])
    assert found["raw"].shape == (2, 2)
    # The features in most use first, where there are no factors.
    assert (np.diff(found["usage"]) <= 0).all()
    assert not {"mcc", "supports", "correlation"} & set(found)
    declared = {score.name: score for score in scores(config, spec)}
    assert set(found) <= declared.keys() | METHOD.arrays.keys()
    for name in declared:
        if name.startswith(("few_shot", "raw")) or name == "score":
            assert 0 <= found[name] <= 1
            assert declared[name].range == (0, 1)
