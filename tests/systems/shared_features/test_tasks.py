"""What the method makes of rows: kinds of tasks, held-out batches, raw scores."""

import dataclasses
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxdis.data.digits import Digits
from jaxdis.data.factor_images import split_images
from jaxdis.data.factor_tasks import FactorTasks
from jaxdis.data.factors import LabelledImages
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.drawn import correlated_weights
from jaxdis.systems.shared_features.targets import Tasks
from jaxdis.systems.shared_features.tasks import batches, check_tasks, raw_scores
from jaxdis.types import Label, Source, Spec, Splits

KEY = jax.random.key(0)
SMALL = Config(support=6, query=5, shots=(2, 4), test_tasks=3, test_query=10, batch=3)
TOY = MixedFactors(z_dim=5, x_dim=5, test_rows=2_100)
SIZES = (4, 5, 3)
COMBINATIONS = np.array(list(itertools.product(*map(range, SIZES))), np.int32)
IMAGES = Spec(
    shape=(4, 4, 1),
    labels=tuple(
        Label(f"factor {i}", size, ordered=i != 1) for i, size in enumerate(SIZES)
    ),
    z_dim=3,
)


def settings(**changes):
    return dataclasses.replace(SMALL, **changes)


@pytest.fixture(scope="module")
def toy():
    return TOY.load()


def miniature(repeats=1):
    """Images of three factors whose corner pixels are the factors."""
    values = COMBINATIONS.repeat(repeats, 0)
    images = np.random.default_rng(0).integers(0, 256, (len(values), 4, 4, 1), np.uint8)
    images[:, 0, :3, 0] = values
    return LabelledImages(images, values, SIZES)


# The toy.


@pytest.mark.parametrize("tasks", ["regression", "thresholds"])
def test_splits_of_the_toy_have_one_law(toy, tasks):
    config = settings(tasks=tasks, test_tasks=120, batch=120, shots=(4,), test_query=7)
    made = batches(config, TOY.spec(), toy)
    drawn = jax.jit(made.sample)(KEY)
    parts = [drawn, made.valid.tasks, made.test.tasks]
    for part in parts:
        # E |S| / d of both.
        np.testing.assert_allclose(part.uses.mean(), 2 / 5, atol=0.04)
        np.testing.assert_allclose(part.y.mean(), drawn.y.mean(), atol=0.1)
        np.testing.assert_allclose(part.x.std(), drawn.x.std(), rtol=0.05)
        assert len(np.unique(part.uses, axis=0)) > 8
        assert part.x.shape == (120, 11, 5)
        assert part.y.shape == (120, 11)
    assert not np.isclose(parts[1].y, parts[2].y).all(1).any()
    # Between chunks fewer rows are looked at, and scikit-learn is not asked.
    np.testing.assert_array_equal(made.valid.x, toy.valid.x[:2_000])
    np.testing.assert_array_equal(made.valid.z, toy.valid.z[:2_000])
    np.testing.assert_array_equal(made.test.z, toy.test.z)
    assert made.valid.raw is None
    assert made.test.raw.shape == (1 if tasks == "regression" else 2, 1)


def test_every_step_and_seed_draws_other_tasks(toy):
    made = batches(SMALL, TOY.spec(), toy)
    draw = jax.jit(made.sample)
    assert not np.isclose(draw(KEY).y, draw(jax.random.key(1)).y).any()
    other = batches(settings(seed=1), TOY.spec(), toy)
    assert not np.isclose(other.test.tasks.y, made.test.tasks.y).any()
    again = batches(SMALL, TOY.spec(), TOY.load())
    np.testing.assert_array_equal(again.test.tasks.y, made.test.tasks.y)


@pytest.mark.parametrize("data", [TOY, Digits()], ids=["toy", "digits"])
def test_equal_settings_are_traced_once(data):
    traces = []

    @jax.jit
    def f(sample, key):
        traces.append(1)
        return sample(key).y

    config = settings(
        shots=(1,), tasks="labels" if data.spec().labels else "regression"
    )
    for seed in (0, 0, 1):
        splits = dataclasses.replace(data, seed=seed).load()
        f(batches(config, data.spec(), splits).sample, KEY)
    # The third differs in its numbers, and for digits not even in their shapes.
    assert len(traces) == 1
    other = dataclasses.replace(config, batch=4)
    f(batches(other, data.spec(), splits).sample, KEY)
    assert len(traces) == 2


# Image factors.


def test_correlated_weights_are_a_normal_density():
    rho = 0.9
    found = correlated_weights(COMBINATIONS, SIZES, rho)
    size = np.array(SIZES)
    z = (COMBINATIONS - COMBINATIONS.mean(0)) / np.sqrt((size**2 - 1) / 12)
    covariance = np.full((3, 3), rho) + (1 - rho) * np.eye(3)
    density = multivariate_normal(np.zeros(3), covariance).pdf(z)
    np.testing.assert_allclose(found, density / density.sum(), rtol=1e-6)


@pytest.mark.parametrize("tasks", ["factor_regression", "factor_classes"])
def test_tasks_of_images(tasks):
    splits = split_images(miniature(repeats=2), 5_120, seed=0)
    config = settings(tasks=tasks, support=30, query=30, test_tasks=30, batch=40)
    made = batches(config, IMAGES, splits)
    batch = jax.jit(made.sample)(KEY)
    assert batch.x.shape == (40, 60, 4, 4, 1)
    assert batch.x.dtype == made.test.x.dtype == made.test.tasks.x.dtype == jnp.uint8
    assert made.test.raw is None
    assert len(np.unique(batch.uses, axis=0)) > 4
    parts = [batch, made.valid.tasks, made.test.tasks]
    # Density, of the same law in every split: 1/2 + 1/6, or 2/3.
    for part in parts:
        np.testing.assert_allclose(part.uses.mean(), 2 / 3, atol=0.12)
    # Each has rows of its own split alone.
    for part, rows in zip(parts, splits[:3], strict=True):
        seen = {x.tobytes() for x in np.asarray(part.x).reshape(-1, 16)}
        assert seen <= {x.tobytes() for x in np.asarray(rows.x)}
    if tasks == "factor_classes":
        assert batch.allowed.shape == (40, 8)
        chosen = np.take_along_axis(np.asarray(batch.allowed), np.asarray(batch.y), 1)
        assert chosen.all()
    else:
        assert batch.allowed is None
        # Targets belong to the images: standardised factors explain them.
        values = np.asarray(batch.x[:, :, 0, :3, 0], float)
        for v, y in zip(values, np.asarray(batch.y), strict=True):
            design = np.column_stack([v, np.ones(len(v))])
            error = y - design @ np.linalg.lstsq(design, y)[0]
            assert error.var() < 0.4 * y.var()


def test_draws_follow_the_correlation():
    splits = split_images(miniature(), 5_120, seed=0)
    config = settings(
        tasks="factor_regression", correlation=0.8, support=50, query=50, batch=200
    )
    sample = batches(config, IMAGES, splits).sample
    x = np.asarray(jax.jit(sample)(KEY).x).reshape(-1, 16)
    drawn = {
        row.tobytes(): n / len(x)
        for row, n in zip(*np.unique(x, axis=0, return_counts=True), strict=True)
    }
    weights = correlated_weights(np.asarray(splits.train.y), SIZES, 0.8)
    found = [drawn.get(np.asarray(image).tobytes(), 0.0) for image in splits.train.x]
    np.testing.assert_allclose(found, weights, atol=0.006)


# Mistakes.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "config.batch must be at least 1, got 0"),
        ({"support": 0}, "config.support must be at least 1, got 0"),
        ({"query": 0}, "config.query must be at least 1, got 0"),
        ({"test_tasks": 0}, "config.test_tasks must be at least 1, got 0"),
        ({"test_query": 0}, "config.test_query must be at least 1, got 0"),
        ({"shots": ()}, "config.shots must be numbers of samples from 1, got ()"),
        ({"shots": (0, 5)}, "config.shots must be numbers of samples from 1"),
        ({"noise": -0.1}, "config.noise must be at least 0, got -0.1"),
        ({"correlation": 1.0}, "config.correlation must lie in [0, 1), got 1.0"),
        (
            {"tasks": "labels"},
            "config.tasks='labels' needs labels `y`; this data set has",
        ),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_tasks(settings(**changes), TOY.spec())


def test_an_unknown_kind_is_named():
    config = settings()
    object.__setattr__(config, "tasks", "riddles")  # past the check of types
    with pytest.raises(ValueError, match=r"config\.tasks must be one of 'regression'"):
        check_tasks(config, TOY.spec())


@pytest.mark.parametrize(
    ("tasks", "spec", "message"),
    [
        ("thresholds", Spec((3,), z_dim=1), "needs at least 2 latents"),
        ("regression", Spec((3,)), "config.tasks='regression' needs true latents `z`"),
        (
            "factor_classes",
            Spec((3,), labels=(Label("age"),)),
            "needs labels that are classes; 'age' is a number",
        ),
        (
            "labels",
            Spec((3,), labels=(Label("a", 2), Label("b", 1))),
            "label columns that vary; 'b' has one class: leave it out",
        ),
    ],
)
def test_data_that_do_not_fit_are_named(tasks, spec, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_tasks(settings(tasks=tasks), spec)


def test_latents_of_given_rows_are_for_scores_alone(toy):
    given = Splits(toy.valid, toy.valid, toy.test)
    with pytest.raises(ValueError, match="are for scores alone; take 'labels'"):
        batches(SMALL, TOY.spec(), given)
    images = split_images(miniature(), 5_120, seed=0)
    drawn = images._replace(train=Source(lambda key, n: images.train))
    with pytest.raises(ValueError, match="'factor_classes' needs rows that are given"):
        batches(settings(tasks="factor_classes"), IMAGES, drawn)


# Scores on raw observations.


def test_raw_scores_of_easy_and_hopeless_tasks():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 60, 2))

    def scored(y, tasks):
        part = Tasks(jnp.asarray(x), jnp.asarray(y), None, None)
        config = settings(shots=(3, 40), test_query=20, tasks=tasks)
        return np.asarray(raw_scores(config, TOY.spec(), part))

    numbers = scored(x[..., 0] - 2 * x[..., 1], "regression")
    assert numbers.shape == (1, 2)
    assert numbers[0, 0] < numbers[0, 1]
    assert 0.99 < numbers[0, 1] <= 1
    assert scored(rng.normal(size=(3, 60)), "regression")[0, 1] < 0.2
    classes = scored((x[..., 0] > 0).astype(int), "thresholds")
    assert classes.shape == (2, 2)
    assert (classes[:, 1] > 0.85).all()
    # Samples of one class only fit nothing.
    one = np.zeros((3, 60), int)
    one[:, 45] = 1
    assert np.isnan(scored(one, "thresholds")).all()


def test_label_tasks_are_of_rows_of_their_world():
    data = FactorTasks(z_dim=3, x_dim=4, copies=1, samples=80, test_rows=60, worlds=0)
    splits = data.load_worlds((4, 1))
    found = batches(settings(tasks="labels"), data.spec(), splits)
    assert found.test.x.shape == (2, 60, 4)
    drawn = jax.tree.map(
        lambda *worlds: np.stack(worlds),
        *(found.sample(KEY, jnp.asarray(world)) for world in range(2)),
    )
    for rows, tasks in ((splits.train, drawn), (splits.test, found.test.tasks)):
        for x, y, own_x, own_y in zip(
            *map(np.asarray, (rows.x, rows.y, tasks.x, tasks.y)), strict=True
        ):
            for task_x, task_y in zip(own_x, own_y, strict=True):
                at = [int(np.abs(x - one).sum(1).argmin()) for one in task_x]
                np.testing.assert_array_equal(x[at], task_x)
                assert sum(np.allclose(y[at, i], task_y) for i in range(3)) == 1
