"""Tasks: supports, targets, classes, mixing, pools of labelled samples, files."""

import dataclasses
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxdis import identifiability
from jaxdis.data import factors, tasks

SMALL = tasks.Config(
    z_dim=4, x_dim=6, support=6, query=5, shots=(2, 4), test_tasks=3, test_query=10,
    test_rows=20,
)  # fmt: skip
KEY = jax.random.key(0)


def config(**changes):
    return dataclasses.replace(SMALL, **changes)


# What tasks ask of factors.


@pytest.mark.parametrize("draw", [tasks.uses_by_size, tasks.uses_by_coin])
def test_supports_are_drawn_task_by_task(draw):
    uses = np.asarray(draw(KEY, 64, 5))
    assert len(np.unique(uses, axis=0)) > 8
    assert uses.any(1).all()
    # Enough of them tell all factors apart.
    assert identifiability.support_variability(jnp.asarray(uses)).identified.all()


def test_sizes_of_supports_are_uniform_on_1_to_3():
    uses = np.asarray(tasks.uses_by_size(KEY, 9_000, 5))
    shares = np.bincount(uses.sum(1), minlength=6) / 9_000
    np.testing.assert_allclose(shares, [0, 1 / 3, 1 / 3, 1 / 3, 0, 0], atol=0.02)
    np.testing.assert_allclose(uses.mean(0), 2 / 5, atol=0.02)
    assert set(np.asarray(tasks.uses_by_size(KEY, 200, 2)).sum(1)) == {1, 2}


@pytest.mark.parametrize("d", [3, 6])
def test_density_of_coins(d):
    """P(on) = 1/2 + 1/2 * 1/d: by its coin, or else by being the forced one."""
    uses = np.asarray(tasks.uses_by_coin(KEY, 9_000, d))
    np.testing.assert_allclose(uses.mean(0), 0.5 + 0.5 / d, atol=0.02)
    # One is on: no coin was heads, or only that of the forced one (d 2^-d / d).
    alone = (uses.sum(1) == 1).mean()
    np.testing.assert_allclose(alone, 2 * 2.0**-d, atol=0.015)


def test_targets_are_linear_in_the_support_alone():
    z = jax.random.normal(jax.random.key(1), (8, 30, 5))
    uses = tasks.uses_by_size(KEY, 8, 5)
    y = tasks.linear_targets(KEY, z, uses, 0.0, relative=False)
    others = jnp.where(uses[:, None], z, -7.0)
    np.testing.assert_array_equal(
        y, tasks.linear_targets(KEY, others, uses, 0.0, relative=False)
    )
    w = np.stack([np.linalg.lstsq(a, b)[0] for a, b in zip(z, y, strict=True)])
    np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(np.abs(w) > 1e-5, uses)


def test_noise_of_targets():
    z = jax.random.normal(jax.random.key(1), (4, 5_000, 5)) * 3.0
    uses = tasks.uses_by_size(KEY, 4, 5)

    def noise(level, relative):
        clean, noisy = (
            np.asarray(tasks.linear_targets(KEY, z, uses, n, relative=relative))
            for n in (0.0, level)
        )
        return clean, noisy - clean

    _, e = noise(0.2, False)
    np.testing.assert_allclose(e.std(1), 0.2, rtol=0.05)
    clean, e = noise(0.1, True)
    length = np.linalg.norm
    np.testing.assert_allclose(length(e, axis=1), 0.1 * length(clean, axis=1), 1e-4)


def test_threshold_classes_change_with_their_two_factors_alone():
    z = jax.random.uniform(jax.random.key(1), (6, 400, 5), minval=-1.7, maxval=1.7)
    y, uses = map(np.asarray, tasks.threshold_classes(KEY, z))
    assert set(np.unique(y)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(uses.sum(1), 2)
    others = jnp.where(uses[:, None], z, 5.0)
    np.testing.assert_array_equal(y, tasks.threshold_classes(KEY, others)[0])
    z = np.asarray(z)
    # Each bit is a threshold on one of the two, and not both on the same.
    for t in range(6):
        split = [None, None]
        for bit in (0, 1):
            on = y[t] // (1 + bit) % 2 == 1
            cuts = [
                j for j in np.flatnonzero(uses[t])
                if z[t, ~on, j].max() < z[t, on, j].min()
            ]  # fmt: skip
            (split[bit],) = cuts
            middle = (z[t, ~on, split[bit]].max() + z[t, on, split[bit]].min()) / 2
            assert abs(middle) < tasks.THRESHOLD + 0.05
        assert split[0] != split[1]


SIZES, UNORDERED = (4, 5, 3), (False, True, False)
COMBINATIONS = np.array(list(itertools.product(*map(range, SIZES))), np.int32)


def test_split_classes():
    t = 60
    values = jnp.broadcast_to(jnp.asarray(COMBINATIONS)[None], (t, *COMBINATIONS.shape))
    y, allowed, uses = (
        np.asarray(a) for a in tasks.split_classes(KEY, values, SIZES, UNORDERED)
    )
    assert set(uses.sum(1)) == {1, 2, 3}
    assert allowed.shape == (t, 8)
    unordered_splits = set()
    for task in range(t):
        k = uses[task].sum()
        # All combinations are there, so all classes are, and no others.
        np.testing.assert_array_equal(np.unique(y[task]), np.arange(2**k))
        np.testing.assert_array_equal(allowed[task], np.arange(8) < 2**k)
        found = set()
        for bit in range(k):
            on = y[task] >> bit & 1
            for j in np.flatnonzero(uses[task]):
                by_value = [on[COMBINATIONS[:, j] == v] for v in range(SIZES[j])]
                if all(len(set(b)) == 1 for b in by_value):
                    found.add(int(j))
                    upper = np.array([b[0] for b in by_value])
                    assert 0 < upper.sum() < SIZES[j]
                    if UNORDERED[j]:
                        unordered_splits.add(tuple(upper.tolist()))
                    else:
                        assert (np.diff(upper) >= 0).all()
        assert found == set(np.flatnonzero(uses[task]))
    assert any((np.diff(s) < 0).any() for s in unordered_splits)
    assert len(unordered_splits) > 5


def test_split_classes_see_their_factors_only():
    values = jnp.asarray(COMBINATIONS)[None].repeat(5, 0)
    y, _, uses = tasks.split_classes(KEY, values, SIZES, UNORDERED)
    others = jnp.where(uses[:, None], values, 0)
    np.testing.assert_array_equal(
        y, tasks.split_classes(KEY, others, SIZES, UNORDERED)[0]
    )


# The toy.


def test_mixing_is_undone_layer_by_layer():
    weights = tasks.mixing_weights(KEY, 4, 6)
    first, second, third = map(np.asarray, weights)
    np.testing.assert_allclose(first @ first.T, np.eye(4), atol=1e-5)
    for w in (second, third):
        np.testing.assert_allclose(w @ w.T, np.eye(6), atol=1e-5)
    z = np.asarray(jax.random.uniform(KEY, (50, 4), minval=-1.7, maxval=1.7))
    u = np.asarray(tasks.mix(weights, z)) @ np.linalg.pinv(third)
    for w in (second, first):
        u = u / 1.4
        u = np.where(u < 0, u / 0.3, u) @ np.linalg.pinv(w)
    np.testing.assert_allclose(u, z, atol=1e-4)


@pytest.mark.parametrize("labels", ["regression", "classification"])
def test_splits_have_one_law(labels):
    spec, data = tasks.load(
        config(labels=labels, test_tasks=120, z_dim=5, x_dim=5, shots=(4,))
    )
    drawn = tasks.sampler(data.train, 120)(KEY)
    parts = [drawn, data.valid.tasks, data.test.tasks]
    truth = 2 / 5  # E |S| / d of both
    for part in parts:
        np.testing.assert_allclose(part.uses.mean(), truth, atol=0.04)
        np.testing.assert_allclose(part.y.mean(), parts[0].y.mean(), atol=0.1)
        np.testing.assert_allclose(part.x.std(), parts[0].x.std(), rtol=0.05)
        assert len(np.unique(part.uses, axis=0)) > 8
    assert drawn.x.shape == (120, 11, 5)
    assert drawn.y.shape == (120, 11)
    # Nothing held out is drawn twice; x is made by the same mixing.
    assert data.valid.x.shape == data.test.x.shape == (20, 5)
    weights = tasks.mixing_weights(jax.random.split(jax.random.key(0), 3)[0], 5, 5)
    for part in (data.valid, data.test):
        np.testing.assert_allclose(part.x, tasks.mix(weights, part.z), atol=1e-5)
    assert not np.isclose(data.valid.x, data.test.x).any()
    assert spec.classes == (4 if labels == "classification" else None)
    assert data.valid.raw is None
    assert data.test.raw.shape == (len(spec.raw_methods), 1)


def test_every_step_and_seed_of_the_mixing_draws_other_data():
    _, data = tasks.load(SMALL)
    sample = tasks.sampler(data.train, 3)
    a, b = sample(jax.random.key(0)), sample(jax.random.key(1))
    assert not np.isclose(a.y, b.y).any()
    _, other = tasks.load(config(seed=1))
    assert not np.allclose(sample(KEY).x, tasks.sampler(other.train, 3)(KEY).x)
    np.testing.assert_array_equal(tasks.load(SMALL)[1].test.x, data.test.x)


def count_traces(samples):
    traces = []

    @jax.jit
    def f(sample, key):
        traces.append(1)
        return sample(key).y

    for sample in samples:
        f(sample, KEY)
    return len(traces)


@pytest.mark.parametrize("name", ["toy", "digits"])
def test_equal_configs_are_traced_once(name):
    labels = "classification" if name == "digits" else "regression"
    small = config(name=name, labels=labels, shots=(1,))
    data = [tasks.load(dataclasses.replace(small, seed=s))[1] for s in (0, 0, 1)]
    # The third differs in its numbers, and for digits not even in their shapes.
    assert count_traces([tasks.sampler(d.train, 3) for d in data]) == 1
    assert count_traces([tasks.sampler(data[0].train, n) for n in (3, 4)]) == 2


def test_batch_must_hold_a_task():
    with pytest.raises(ValueError, match="batch must be at least 1 task, got 0"):
        tasks.sampler(None, 0)


# Image sets.


def test_spread_has_mean_0_and_variance_1():
    sizes = (3, 1, 40)
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(0, v, 40_000) for v in sizes], 1)
    z = np.asarray(tasks.spread(KEY, jnp.asarray(values), sizes))
    np.testing.assert_allclose(z.mean(0), 0.0, atol=0.03)
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.02)
    # Half the gap between neighbouring values: rounding finds the value.
    back = z * np.array(sizes) / 12**0.5 + (np.array(sizes) - 1) / 2
    np.testing.assert_array_equal(np.round(back), values)


def test_correlated_weights_are_a_normal_density():
    sizes, rho = (4, 5, 3), 0.9
    found = tasks.correlated_weights(COMBINATIONS, sizes, rho)
    size = np.array(sizes)
    z = (COMBINATIONS - COMBINATIONS.mean(0)) / np.sqrt((size**2 - 1) / 12)
    covariance = np.full((3, 3), rho) + (1 - rho) * np.eye(3)
    density = multivariate_normal(np.zeros(3), covariance).pdf(z)
    np.testing.assert_allclose(found, density / density.sum(), rtol=1e-6)


def miniature(side=4, repeats=1):
    """Images of three factors whose corner pixels are the factors."""
    values = COMBINATIONS.repeat(repeats, 0)
    images = np.random.default_rng(0).integers(
        0, 256, (len(values), side, side, 1), np.uint8
    )
    images[:, 0, :3, 0] = values
    return factors.LabelledImages(images, values, SIZES)


IMAGES = config(name="dsprites", test_tasks=30)


@pytest.mark.parametrize("labels", ["regression", "classification"])
def test_tasks_of_images(labels):
    small = dataclasses.replace(IMAGES, labels=labels, support=30, query=30)
    data = tasks.from_images(small, miniature(repeats=2), UNORDERED)
    batch = tasks.sampler(data.train, 40)(KEY)
    assert batch.x.shape == (40, 60, 4, 4, 1)
    assert batch.x.dtype == data.test.x.dtype == data.test.tasks.x.dtype == jnp.uint8
    assert data.test.raw is None
    assert len(np.unique(batch.uses, axis=0)) > 4
    # Density, of the same law in every split: 1/2 + 1/6, or 2/3.
    for part in (batch, data.valid.tasks, data.test.tasks):
        np.testing.assert_allclose(part.uses.mean(), 2 / 3, atol=0.12)
    if labels == "classification":
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


def test_splits_of_images_are_disjoint():
    data = tasks.from_images(config(name="dsprites"), miniature(), UNORDERED)
    rows = [
        {x.tobytes() for x in np.asarray(part.x).reshape(-1, 16)}
        for part in (
            tasks.sampler(data.train, 200)(KEY), data.valid, data.valid.tasks,
            data.test, data.test.tasks,
        )
    ]  # fmt: skip
    train, valid, valid_tasks, test, test_tasks = rows
    assert len(train) == 48
    assert len(valid) == len(test) == 6
    assert not train & (valid | test)
    assert not valid & test
    assert valid_tasks <= valid
    assert test_tasks <= test


def test_draws_follow_the_correlation():
    images = miniature()
    small = dataclasses.replace(IMAGES, correlation=0.8, support=50, query=50)
    data = tasks.from_images(small, images, UNORDERED)
    x = np.asarray(tasks.sampler(data.train, 200)(KEY).x).reshape(-1, 16)
    drawn = {
        row.tobytes(): n / len(x)
        for row, n in zip(*np.unique(x, axis=0, return_counts=True), strict=True)
    }
    order = np.random.default_rng(small.seed).permutation(60)[12:]
    weights = tasks.correlated_weights(COMBINATIONS[order], SIZES, 0.8)
    found = [drawn.get(images.images[i].tobytes(), 0.0) for i in order]
    np.testing.assert_allclose(found, weights, atol=0.006)


def test_cars_are_read_from_a_file(tmp_path, monkeypatch):
    small = factors.FactorSet(
        ("elevation", "azimuth", "object"), SIZES, shape=(4, 4, 1),
        categorical=("object",),
    )  # fmt: skip
    monkeypatch.setitem(factors.SETS, "cars3d", small)
    with pytest.raises(ValueError, match=r"data\.file must name an npz with `images`"):
        tasks.load(config(name="cars3d"))
    images = miniature()
    shuffled = np.random.default_rng(1).permutation(60)
    np.savez(
        tmp_path / "cars.npz",
        images=images.images[shuffled],
        factors=images.factors[shuffled],
    )
    spec, data = tasks.load(config(name="cars3d", file=str(tmp_path / "cars.npz")))
    assert (spec.shape, spec.factors, spec.score) == ((4, 4, 1), 3, "R²")
    size = np.array(SIZES)
    near = np.asarray(data.test.z) * size / 12**0.5 + (size - 1) / 2
    np.testing.assert_array_equal(np.round(near), data.test.x[:, 0, :3, 0])


# Labelled samples.


def pool_of(rows_of_group, columns=1, classes=2, width=3):
    """Samples whose first feature is their number and the second their domain."""
    domain = np.repeat(np.arange(len(rows_of_group)), rows_of_group)
    n = len(domain)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, width)).astype(np.float32)
    x[:, 0], x[:, 1] = np.arange(n), domain
    y = np.stack([rng.permutation(np.arange(n) % classes) for _ in range(columns)], 1)
    names = tuple(f"d{i}" for i in range(len(rows_of_group)))
    return tasks.Pool(x, y, domain, names, classes)


def test_draws_of_a_pool_keep_support_and_query_apart():
    pool = pool_of([9, 20, 13], columns=2)
    groups = [(np.flatnonzero(pool.domain == d), c) for d in range(3) for c in (0, 1)]
    small = config(
        name="digits", labels="classification", shots=(1,), test_query=3, support=7
    )
    data = tasks.from_pool(small, pool, groups, groups[2:4], groups[2:4])
    draws = [tasks.sampler(data.train, 30)(jax.random.key(i)) for i in range(5)]
    x = np.concatenate([d.x for d in draws])
    y = np.concatenate([d.y for d in draws])
    seen = {}
    for task_x, task_y in zip(x, y, strict=True):
        rows = task_x[:, 0].astype(int)
        assert not set(rows[:7]) & set(rows[7:])
        (domain,) = set(task_x[:, 1].astype(int))
        assert set(rows) <= set(np.flatnonzero(pool.domain == domain))
        fits = [c for c in (0, 1) if (pool.y[rows, c] == task_y).all()]
        assert fits
        seen.setdefault(domain, set()).update(rows)
        seen.setdefault((domain, fits[0]), set())
    # Every row and every task comes up.
    assert sum(len(seen[d]) for d in range(3)) == 42
    assert {k for k in seen if isinstance(k, tuple)} == {
        (d, c) for d in range(3) for c in (0, 1)
    }


def test_the_smallest_task_has_a_sample_for_either_half():
    pool = pool_of([2, 30])
    groups = [(np.array([0, 1]), 0)]
    pool.y[:2, 0] = 0, 1
    rest = [(np.arange(2, 32), 0)]
    small = config(name="digits", shots=(1,), test_query=3)
    data = tasks.from_pool(small, pool, groups, rest, rest)
    rows = np.asarray(tasks.sampler(data.train, 8)(KEY).x[:, :, 0])
    assert (rows[:, :6] == rows[:, :1]).all()
    assert (rows[:, 6:] == 1 - rows[:, :1]).all()
    assert len(set(rows[:, 0])) == 2


def test_new_tasks_are_balanced_and_judged_by_other_rows():
    pool = pool_of([60, 90], columns=2, classes=3)
    groups = [(np.flatnonzero(pool.domain == 1), c) for c in (0, 1)]
    small = config(test_tasks=7, shots=(2, 4), test_query=20)
    drawn = tasks._episodes(small, pool, groups, np.random.default_rng(0))
    assert drawn.x.shape == (6, 32, 3)  # 7 // 2 of each of two
    for x, y in zip(np.asarray(drawn.x), np.asarray(drawn.y), strict=True):
        rows = x[:, 0].astype(int)
        assert len(set(rows)) == 32
        assert (pool.domain[rows] == 1).all()
        # Any number of shots is balanced.
        np.testing.assert_array_equal(y[:12], np.tile(np.arange(3), 4))
    column = np.repeat([0, 1], 3)[:, None]
    np.testing.assert_array_equal(
        drawn.y, pool.y[np.asarray(drawn.x[:, :, 0], int), column]
    )
    few = tasks._episodes(
        dataclasses.replace(small, test_tasks=1), pool, groups, np.random.default_rng(0)
    )
    assert len(few.x) == 1


@pytest.mark.parametrize("changes", [{"shots": (30,)}, {"test_query": 83}])
def test_too_few_samples_for_a_new_task_are_named(changes):
    pool = pool_of([10, 90], classes=3)
    groups = [(np.flatnonzero(pool.domain == 1), 0)]
    small = dataclasses.replace(config(shots=(3,)), **changes)
    with pytest.raises(ValueError, match=r"data\.shots and data\.test_query must"):
        tasks._episodes(small, pool, groups, np.random.default_rng(0))


@pytest.fixture(scope="module")
def digits():
    return tasks.load(
        config(name="digits", labels="classification", test_tasks=28, test_rows=10_000)
    )


def test_attributes_of_digits():
    names = list(tasks.ATTRIBUTES)
    assert names[: tasks.NEW_ATTRIBUTES] == ["even", "above 4", "closed loop"]
    has = {
        c: {name for name, on in tasks.ATTRIBUTES.items() if c in on} for c in range(10)
    }
    assert has[8] >= {"even", "above 4", "closed loop", "above 7", "Fibonacci"}
    assert not has[8] & {"prime", "square", "straight stroke", "2 to 6", "below 3"}
    assert has[7] >= {"above 4", "prime", "straight stroke", "horizontal stroke"}
    assert not has[7] & {"even", "closed loop", "only curves", "above 7"}
    numbers = {
        "prime": {2, 3, 5, 7},
        "square": {i * i for i in range(4)},
        "power of 2": {2**i for i in range(4)},
        "multiple of 3": set(range(0, 10, 3)),
        "above 7": {8, 9},
    }
    assert {name: set(tasks.ATTRIBUTES[name]) for name in numbers} == numbers
    # No new attribute is a known one, or the opposite of one.
    kept = [tasks.ATTRIBUTES[name] for name in names[: tasks.NEW_ATTRIBUTES]]
    for known in names[tasks.NEW_ATTRIBUTES :]:
        on = set(tasks.ATTRIBUTES[known])
        assert not any(set(new) in (on, set(range(10)) - on) for new in kept)
    assert len(set(tasks.ATTRIBUTES.values())) == len(names)


def test_tasks_of_digits(digits):
    from sklearn.datasets import load_digits

    spec, data = digits
    assert (spec.shape, spec.classes, spec.factors, spec.shot_size) == ((64,), 2, 0, 2)
    source = load_digits()
    digit = {
        (x / 16).astype(np.float32).tobytes(): c
        for x, c in zip(source.data, source.target, strict=True)
    }
    has = tasks.ATTRIBUTES

    def names(part):
        """Which attribute each task asks for, by the digits on its images."""
        for x, y in zip(np.asarray(part.x), np.asarray(part.y), strict=True):
            asked = [
                {n for n in has if (digit[a.tobytes()] in has[n]) == b}
                for a, b in zip(x, y, strict=True)
            ]
            yield set.intersection(*asked)

    new = set(list(tasks.ATTRIBUTES)[:3])
    batch = tasks.sampler(data.train, 40)(KEY)
    assert all(name - new for name in names(batch))
    assert len(set.union(*names(batch)) - new) > 8
    assert all(name - new for name in names(data.valid.tasks))
    asked = [found & new for found in names(data.test.tasks)]
    assert asked == [{n} for n in list(tasks.ATTRIBUTES)[:3] for _ in range(9)]
    train, valid, test, new_tasks = (
        {a.tobytes() for a in np.asarray(x).reshape(-1, 64)}
        for x in (batch.x, data.valid.x, data.test.x, data.test.tasks.x)
    )
    assert not train & valid
    assert not train & test
    assert not valid & test
    assert new_tasks <= test
    assert data.test.raw.shape == (2, 2)
    assert ((data.test.raw > 0.4) & (data.test.raw <= 1)).all()


# Files of features.


def written(tmp_path, **changes):
    """An npz of three domains, two label columns of strings, and 4 features."""
    rng = np.random.default_rng(0)
    n = 300
    given = {
        "features": rng.normal(size=(n, 4)) + 3.0,
        "labels": np.array([["cat", "in"], ["dog", "out"]])[
            np.stack([rng.permutation(n) % 2 for _ in range(2)], 1), [0, 1]
        ],
        "domains": np.array(["photo", "art", "sketch"])[np.arange(n) % 3],
    } | changes
    path = tmp_path / "features.npz"
    np.savez(path, **{k: v for k, v in given.items() if v is not None})
    return config(
        name="features", labels="classification", file=str(path), shots=(1, 3),
        test_query=5, test_tasks=40,
    ), given  # fmt: skip


def test_features_of_a_file(tmp_path):
    small, given = written(tmp_path)
    spec, data = tasks.load(small)
    assert (spec.shape, spec.classes, spec.factors) == ((4,), 2, 0)
    assert spec.methods == ("sparse", "ridge", "logistic")
    pool = tasks.read_features(tmp_path / "features.npz")
    assert pool.domains == ("art", "photo", "sketch")
    np.testing.assert_array_equal(pool.domain == 0, given["domains"] == "art")
    np.testing.assert_array_equal(pool.y, given["labels"] == ["dog", "out"])
    # Standardised by the source domains; the target is the last by name.
    known = given["features"].astype(np.float32)

    def by_row(target):
        source = known[given["domains"] != target].astype(float)
        x = ((known - source.mean(0)) / source.std(0)).astype(np.float32)
        return {a.tobytes(): d for a, d in zip(x, given["domains"], strict=True)}

    where = by_row("sketch")

    def domains(x):
        return {where[a.tobytes()] for a in np.asarray(x).reshape(-1, 4)}

    batch = tasks.sampler(data.train, 30)(KEY)
    assert domains(batch.x) == domains(data.valid.x) == {"art", "photo"}
    assert domains(data.test.tasks.x) == domains(data.test.x) == {"sketch"}
    assert all(len(domains(x)) == 1 for x in batch.x)
    assert domains(data.valid.tasks.x) == {"art", "photo"}
    seen = {a.tobytes() for a in np.asarray(batch.x).reshape(-1, 4)}
    assert not seen & {a.tobytes() for a in np.asarray(data.valid.x)}
    assert len(data.test.x) == 20  # at most test_rows
    assert data.test.tasks.x.shape == (40, 11, 4)
    other = tasks.load(dataclasses.replace(small, target="art"))[1]
    where = by_row("art")
    assert domains(other.test.x) == {"art"}


def test_one_column_of_numbers_will_do(tmp_path):
    small, given = written(
        tmp_path,
        labels=np.arange(300) // 3 % 3 * 10,
        domains=np.arange(300) % 3 - 1,
        features=np.random.default_rng(0).integers(0, 9, (300, 4)),
    )
    spec, data = tasks.load(small)
    assert (spec.classes, spec.shot_size) == (3, 3)
    pool = tasks.read_features(tmp_path / "features.npz")
    assert pool.domains == ("-1", "0", "1")
    np.testing.assert_array_equal(pool.y[:, 0], given["labels"] // 10)
    assert data.test.tasks.x.shape == (20, 14, 4)  # no more than 20 draws of one


def test_a_constant_feature_is_named_and_dropped(tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 4))
    x[np.arange(300) % 3 != 2, 1] = 7.0  # in the source domains
    small, _ = written(tmp_path, features=x)
    with pytest.warns(UserWarning, match=r"features \[1\] are constant"):
        _, data = tasks.load(small)
    assert (data.test.x[:, 1] == 0).all()
    assert (np.asarray(data.test.x[:, 0]) != 0).all()


def test_query_is_lowered_to_what_validation_has(tmp_path):
    small, _ = written(tmp_path)
    with pytest.warns(UserWarning, match=r"test_query is lowered from 14 to 10"):
        _, data = tasks.load(dataclasses.replace(small, test_query=14, shots=(1,)))
    assert data.valid.tasks.y.shape[1] == data.test.tasks.y.shape[1] == 12


NAN = np.where(np.arange(1200).reshape(300, 4) == 7, np.nan, 1.0)
DOMAIN = np.arange(300) % 3
BAD_FILES = {
    "labels missing": ({"labels": None}, "lacks labels and has features, domains"),
    "NaN": ({"features": NAN}, "data.file holds NaN or infinite features"),
    "NaN labels": ({"labels": NAN[:, 3]}, "data.file holds NaN or infinite labels"),
    "one domain": ({"domains": np.zeros(300)}, "at least 2 domains"),
    "one class": ({"labels": np.zeros(300)}, "at least 2, in every column"),
    "other classes": (
        {"labels": np.stack([np.arange(300) % 2, np.arange(300) % 3], 1)},
        "has [2, 3]",
    ),
    "one class somewhere": (
        {"labels": np.where(DOMAIN == 1, 0, np.arange(300) // 3 % 2)},
        "labels of column 0 hold one class only in art",
    ),
    "lengths": ({"domains": DOMAIN[1:]}, "has (300, 4), (300, 2) and (299,)"),
    "empty": ({"features": np.zeros((0, 4))}, "has (0, 4)"),
    "rank": ({"features": np.zeros(300)}, "has (300,)"),
    "a number": ({"labels": np.array(1)}, "has (300, 4), () and"),
    "words": ({"features": np.full((300, 4), "a")}, "features that are numbers"),
    "objects": ({"features": np.full((300, 4), None)}, "must be a readable npz"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_of_features_are_one_clear_error(tmp_path, name):
    changes, message = BAD_FILES[name]
    small, _ = written(tmp_path, **changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        tasks.load(small)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 damaged", None, "npy"])
def test_files_that_are_no_npz(tmp_path, content):
    path = tmp_path / "file.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"must be a readable npz of features.*npz: "):
        tasks.read_features(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "painting"}, "must be one of art, photo, sketch, got 'painting'"),
        ({"shots": (60,)}, "of each of 2 classes"),
        ({"file": None}, "data.file must name an npz with `features`"),
    ],
)
def test_what_a_file_does_not_have(tmp_path, changes, message):
    small, _ = written(tmp_path)
    with pytest.raises(ValueError, match=re.escape(message)):
        tasks.load(dataclasses.replace(small, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"support": 0}, "data.support must be at least 1, got 0"),
        ({"test_tasks": 0}, "data.test_tasks must be at least 1, got 0"),
        ({"shots": ()}, "data.shots must be numbers of samples from 1, got ()"),
        ({"shots": (0, 5)}, "data.shots must be numbers of samples from 1"),
        ({"noise": -0.1}, "data.noise must not be negative"),
        ({"correlation": 1.0}, "data.correlation lie in [0, 1)"),
        ({"z_dim": 7}, "data.z_dim must not exceed data.x_dim"),
        ({"z_dim": 1, "labels": "classification"}, "data.z_dim must be at least 2"),
    ],
)
def test_bad_configs_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tasks.make_spec(config(**changes))


# Scores on raw observations.


def test_raw_scores_of_easy_and_hopeless_tasks():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 60, 2))
    small = config(shots=(3, 40), test_query=20)

    def scored(y, labels):
        part = tasks.Tasks(jnp.asarray(x), jnp.asarray(y), None, None)
        spec = tasks.make_spec(dataclasses.replace(small, labels=labels))
        return np.asarray(tasks.raw_scores(spec, part, 20))

    linear = scored(x[..., 0] - 2 * x[..., 1], "regression")
    assert linear.shape == (1, 2)
    assert linear[0, 0] < linear[0, 1]
    assert 0.99 < linear[0, 1] <= 1
    assert scored(rng.normal(size=(3, 60)), "regression")[0, 1] < 0.2
    classes = scored((x[..., 0] > 0).astype(int), "classification")
    assert classes.shape == (2, 2)
    assert (classes[:, 1] > 0.85).all()
    # Samples of one class only fit nothing.
    one = np.zeros((3, 60), int)
    one[:, 45] = 1
    assert np.isnan(scored(one, "classification")).all()
