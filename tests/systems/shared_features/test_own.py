"""Label columns of one's own: of both kinds, some missing, some kept for tests."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxdis import heads
from jaxdis.data.own import OwnRows
from jaxdis.systems.shared_features import (
    METHOD,
    Config,
    label_scores,
    make,
    shared_features_loss,
)
from jaxdis.systems.shared_features.columns import columns_of, targets_of
from jaxdis.systems.shared_features.label_heads import follow, no_heads, predictions
from jaxdis.systems.shared_features.label_scores import LabelFit, label_figures
from jaxdis.systems.shared_features.model import build
from jaxdis.systems.shared_features.presets import PRESETS
from jaxdis.systems.shared_features.sizes import sized
from jaxdis.systems.shared_features.tasks import batches, raw_scores
from jaxdis.types import Label, Rows, Spec
from tests.systems.shared_features.tiny import OWN, own_rows

KEY = jax.random.key(0)
DATA = OwnRows(own_rows())
SPEC = DATA.spec()
CONFIG = dataclasses.replace(sized(OWN, SPEC), support=12, query=8, shots=(1, 2))
COLUMNS = columns_of(SPEC)


@pytest.fixture(scope="module")
def splits():
    return DATA.load()


@pytest.fixture(scope="module")
def made(splits):
    return batches(CONFIG, SPEC, splits)


def initial(system, config=CONFIG):
    hyper = jax.tree.map(jnp.float32, METHOD.default_hyper(config, SPEC, 10))
    return system.init(KEY, hyper), hyper


def test_columns_of_both_kinds():
    assert COLUMNS.sizes == (2, 3, 0, 0)
    assert COLUMNS.classes == 3
    assert COLUMNS.numbers.tolist() == [False, False, True, True]
    assert COLUMNS.allowed.sum(1).tolist() == [2, 3, 0, 0]
    alike = columns_of(Spec((3,), labels=(Label("a", 2), Label("b", 2))))
    assert alike.allowed is alike.numbers is None
    numbers = columns_of(Spec((3,), labels=(Label("a"),)))
    assert numbers.classes is numbers.numbers is None
    given = np.array([[1.0, np.nan]])
    assert targets_of(given, alike).dtype == np.int32
    assert targets_of(given, numbers).dtype == np.float32


def test_tasks_have_the_rows_whose_label_is_there(made, splits):
    batch = jax.jit(jax.vmap(made.sample))(jax.random.split(KEY, 30))
    x, y = np.asarray(batch.x).reshape(-1, 20, 4), np.asarray(batch.y).reshape(-1, 20)
    column, numbers = np.ravel(batch.column), np.ravel(batch.numbers)
    where = {a.tobytes(): i for i, a in enumerate(np.asarray(splits.train.x))}
    labels = np.asarray(splits.train.y)
    for task in range(len(x)):
        rows = [where[a.tobytes()] for a in x[task]]
        np.testing.assert_array_equal(labels[rows, column[task]], y[task])
        assert not set(rows[:12]) & set(rows[12:])
    assert set(column) == {0, 1, 2}  # the last one is kept for the tests
    np.testing.assert_array_equal(numbers, column == 2)
    allowed = np.asarray(batch.allowed).reshape(-1, 3)
    np.testing.assert_array_equal(allowed, COLUMNS.allowed[column])


def test_new_tasks_ask_for_what_was_kept(made, splits):
    tasks = made.test.tasks
    assert np.asarray(tasks.numbers).all()
    where = {a.tobytes(): i for i, a in enumerate(np.asarray(splits.test.x))}
    gaps = np.asarray(splits.test.y)[:, 3]
    for x, y in zip(np.asarray(tasks.x), np.asarray(tasks.y), strict=True):
        rows = [where[a.tobytes()] for a in x]
        assert len(set(rows)) == len(rows)
        np.testing.assert_array_equal(gaps[rows], y)
    # All that are left judge: no more rows have the label.
    assert tasks.y.shape[1] == (~np.isnan(gaps)).sum()
    known = np.asarray(made.valid.tasks.numbers)
    assert 0 < known.sum() < len(known)
    raw = raw_scores(CONFIG, SPEC, tasks)
    assert raw.shape == (1, 2)
    assert raw[0, 1] > raw[0, 0]


def test_a_step_learns_columns_of_both_kinds_and_answers(made, splits):
    config = dataclasses.replace(CONFIG, batch=12, support=30, query=20, rounds=4)
    system = make(config, SPEC)
    state, hyper = initial(system)
    hyper = hyper._replace(learning_rate=0.01, decay_steps=1e9, alpha=0.01, beta=0.0)
    sample = batches(config, SPEC, splits).sample

    @jax.jit
    def run(state, sample):
        def body(state, i):
            key = jax.random.fold_in(KEY, i)
            return system.step(state, sample(key), hyper, key)

        return jax.lax.scan(body, state, jnp.arange(150))

    state, seen = run(state, sample)
    assert seen["loss"][-30:].mean() < 0.9 * seen["loss"][:30].mean()
    found = np.asarray(jax.jit(system.predict)(state, splits.train))
    assert found.shape == (len(splits.train.x), 3, 4)
    y = np.asarray(splits.train.y)
    for column in (0, 1):
        there = ~np.isnan(y[:, column])
        right = found[there, :, column].argmax(1) == y[there, column]
        assert right.mean() > 0.75
    np.testing.assert_allclose(found[:, :, :2].sum(1), 1.0, rtol=1e-5)
    assert not found[:, 2, 0].any()  # a class that the column does not have
    there = ~np.isnan(y[:, 2])
    assert np.corrcoef(found[there, 0, 2], y[there, 2])[0, 1] > 0.7
    assert np.isnan(found[:, 1:, 2]).all()
    assert np.isnan(found[:, :, 3]).all()  # never a task
    report = jax.jit(system.report)(state, made.test, KEY)
    assert report["label_heads"].shape == (4, CONFIG.z_dim, 3)
    assert report["label_accuracy"] == np.mean(report["label_scores"][:2])
    assert report["label_accuracy"] > 0.6
    declared = {score.name for score in METHOD.scores(CONFIG, SPEC)}
    assert set(report) <= declared | METHOD.arrays.keys()


def test_heads_of_columns_follow_those_of_the_steps():
    old = no_heads(COLUMNS, 2)
    w = jnp.arange(24.0).reshape(4, 2, 3)
    b = jnp.arange(12.0).reshape(4, 3)
    first = follow(old, w, b, jnp.array([2, 0, 2, 2]))
    np.testing.assert_allclose(first.w[0], w[1])
    np.testing.assert_allclose(first.w[2], (w[0] + w[2] + w[3]) / 3, rtol=1e-6)
    assert first.seen.tolist() == [True, False, True, False]
    second = follow(first, -w, -b, jnp.array([0, 1, 0, 0]))
    mean = -(b[0] + b[2] + b[3]) / 3
    np.testing.assert_allclose(second.b[0], 0.95 * b[1] + 0.05 * mean, rtol=1e-5)
    np.testing.assert_array_equal(second.b[1], -b[1])
    np.testing.assert_array_equal(second.w[2], first.w[2])


def test_numbers_alone_are_answered_by_column():
    columns = columns_of(Spec((3,), labels=(Label("a"), Label("b"))))
    found = no_heads(columns, 2)._replace(
        w=jnp.array([[[1.0], [2.0]], [[3.0], [4.0]]]),
        b=jnp.array([[0.0], [1.0]]),
        seen=jnp.array([True, True]),
    )
    seen = jnp.array([[1.0, 0.0], [0.5, 2.0]])
    np.testing.assert_allclose(predictions(columns, found, seen), [[1, 4], [4.5, 10.5]])


def test_rare_labels_are_looked_for_in_all_rows(splits, monkeypatch):
    monkeypatch.setattr(label_scores, "FITTED_ROWS", 20)
    y = np.array(splits.train.y)
    order = np.random.default_rng(CONFIG.seed).permutation(len(y))
    y[:, 1] = np.nan
    y[order[40:42], 1] = 2
    train = splits.train._replace(y=jnp.asarray(y))
    rows = label_scores.label_rows(CONFIG, SPEC, splits._replace(train=train))
    assert len(rows.x) == 22
    assert set(np.asarray(rows.at[1])) == {20, 21}
    np.testing.assert_array_equal(rows.y[1], 2)
    np.testing.assert_array_equal(rows.x[20:], train.x[order[40:42]])


def test_figures_of_columns_are_those_of_the_heads(made):
    """Features that are the labels: as good as can be, and sparse."""
    rows = made.test.labels
    rng = np.random.default_rng(0)
    y = np.asarray(rows.held_out)

    def as_features(y):
        y = np.nan_to_num(y)
        one_hot = y[:, 1, None] == np.arange(3)
        seen = np.concatenate([y[:, :1], one_hot, y[:, 2:]], 1)
        return jnp.asarray(seen + 1e-3 * rng.normal(size=seen.shape), jnp.float32)

    fitted = np.zeros((len(rows.x), 4))
    for column, at in enumerate(np.asarray(rows.at)):
        fitted[at, column] = rows.y[column]
    hyper = METHOD.default_hyper(CONFIG, SPEC, 10)._replace(alpha=0.003, beta=0.0)
    fit = jax.jit(
        lambda *args: label_figures(
            COLUMNS, LabelFit(hyper, CONFIG.relative), rows, *args
        )
    )
    found = fit(as_features(fitted), as_features(y))
    np.testing.assert_allclose(found["label_scores"], 1.0, atol=0.03)
    assert found["label_accuracy"] == 1
    strong = np.abs(np.asarray(found["label_heads"])).max(2).argmax(1)
    assert strong[0] == 0
    assert strong[1] in (1, 2, 3)
    assert strong[2:].tolist() == [4, 5]


class Tall(nn.Module):
    """An encoder that no config names."""

    out: int = CONFIG.z_dim

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.out)(jnp.sin(x))


def test_parts_of_ones_own_are_used(made):
    doubled = []

    def loss(*args):
        doubled.append(True)
        value, rest = shared_features_loss(*args)
        return 2 * value, rest

    plain = make(CONFIG, SPEC, encoder=Tall())
    own = make(CONFIG, SPEC, encoder=Tall(), optimiser=optax.sgd(0.5), loss=loss)
    state, hyper = initial(own)
    x = made.test.x
    dense = state.params["params"]["Dense_0"]
    np.testing.assert_allclose(
        own.encode(state.params, x),
        jnp.sin(x) @ dense["kernel"] + dense["bias"][None],
        atol=1e-5,
    )
    batch = made.sample(KEY)
    moved, seen = jax.jit(own.step)(state, batch, hyper, KEY)
    before, _ = initial(plain)
    _, usual = jax.jit(plain.step)(before, batch, hyper, KEY)
    assert doubled
    np.testing.assert_allclose(seen["loss"], 2 * usual["loss"], rtol=1e-5)
    with pytest.raises(ValueError, match=r"encoder must turn inputs .* config\.z_dim"):
        make(CONFIG, SPEC, encoder=Tall(out=7))
    assert not np.allclose(moved.params["params"]["Dense_0"]["kernel"], dense["kernel"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Spec((40,), labels=(Label("a", 2),) * 12, rows=1_400),
         (12, "mlp", 25, (1, 5, 10))),
        (Spec((6,), labels=(Label("a", 2),) * 3, rows=100), (6, "mlp", 10, (1,))),
        (Spec((32, 32, 3), labels=(Label("a", 10),) * 40, rows=50_000),
         (32, "conv", 50, (1, 5, 10))),
        (Spec((28, 28, 1), labels=(Label("a"),), rows=1_000),
         (8, "mlp", 25, (5, 10, 20, 40))),
    ],
)  # fmt: skip
def test_sizes_by_the_data(spec, expected):
    found = sized(PRESETS["own"].config, spec)
    assert (found.z_dim, found.network, found.support, found.shots) == expected
    assert found.query == found.support
    # What was chosen stays.
    assert sized(Config(), spec) == Config()


def changed(column, values):
    """Rows whose label column is another."""
    rows = own_rows()
    y = np.asarray(rows.y).copy()
    y[:, column] = values
    return rows._replace(y=y)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.where(np.arange(240) < 14, np.arange(240) % 2, np.nan),
         "label column 'sign' has 1"),
        (np.where(np.arange(240) % 40 == 0, 1.0, np.nan), "label column 'sign' has"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_tasks_are_named(values, message):
    data = OwnRows(changed(0, values))
    config = dataclasses.replace(CONFIG, support=40, query=40)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        batches(config, data.spec(), data.load())
    assert "lower them, or leave the column out" in str(error.value)


def test_a_rare_class_is_no_new_task_but_is_learned():
    values = (np.arange(240) % 12 == 0).astype(float)
    data = OwnRows(changed(0, values))
    config = dataclasses.replace(CONFIG, new_labels=(), shots=(2,))
    with pytest.warns(UserWarning, match=r"tasks are left out: .* of its rarest class"):
        made = batches(config, data.spec(), data.load())
    draws = jax.vmap(made.sample)(jax.random.split(KEY, 20))
    assert 0 in np.asarray(draws.column)
    assert 0 in np.asarray(draws.column)[draws.y.max(2) == 1]
    needed = dataclasses.replace(config, new_labels=("sign",))
    with pytest.raises(ValueError, match=r"label column 'sign' has .* rarest class"):
        batches(needed, data.spec(), data.load())


def test_solved_heads_of_a_batch_are_those_of_heads(made):
    """The loss of a batch of both kinds is that of its heads, task by task."""
    batch = made.sample(KEY)
    system = make(CONFIG, SPEC)
    state, hyper = initial(system)
    value, (fit, moments) = jax.jit(
        lambda *args: shared_features_loss(build(CONFIG, SPEC), *args)
    )(state.params, batch, hyper)
    seen = heads.apply_standard(moments, system.encode(state.params, batch.x))
    rest = seen[:, 12:], batch.y[:, 12:], 3, batch.allowed, batch.numbers
    each = heads.head_loss(fit.w, fit.b, *rest)
    np.testing.assert_allclose(value, each.mean(), rtol=1e-5)


def test_rows_of_classes_alone_have_no_score_of_numbers():
    rows = own_rows(missing=0.0)
    classes = Rows(rows.x, y=np.asarray(rows.y)[:, :1].astype(np.int32))
    spec = OwnRows(classes).spec()
    names = {score.name for score in METHOD.scores(CONFIG, spec)}
    assert "label_accuracy" in names
    assert "label_r2" not in names
