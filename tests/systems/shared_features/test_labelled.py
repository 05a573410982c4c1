"""Tasks on labelled rows: two halves of a group, balanced new tasks, too few rows."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data.digits import ATTRIBUTES, Digits
from jaxdis.systems.shared_features.columns import columns_of
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.groups import Group, groups_of
from jaxdis.systems.shared_features.labelled import label_tasks
from jaxdis.systems.shared_features.new_tasks import Asked, draw_episodes
from jaxdis.systems.shared_features.presets import PRESETS
from jaxdis.types import Label, Rows, Source, Spec, Splits

KEY = jax.random.key(0)
SMALL = Config(
    tasks="labels", support=7, query=4, shots=(1,), test_tasks=8, test_query=3, batch=30
)


def rows_of(counts, columns=1, classes=2):
    """Rows of domains; the first feature is the row, the second the domain."""
    u = np.repeat(np.arange(len(counts)), counts)
    n = len(u)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    x[:, 0], x[:, 1] = np.arange(n), u
    y = np.stack([rng.permutation(np.arange(n) % classes) for _ in range(columns)], 1)
    return Rows(jnp.asarray(x), u=jnp.asarray(u), y=jnp.asarray(y))


def spec_of(columns=1, classes=2, domains=("a", "b", "c")):
    labels = tuple(Label(f"label {i}", classes) for i in range(columns))
    return Spec((3,), domains=domains, labels=labels)


def settings(**changes):
    return dataclasses.replace(SMALL, **changes)


def test_draws_keep_support_and_query_apart():
    train = rows_of([11, 20, 13], columns=2)
    held_out = rows_of([40, 40, 40], columns=2)
    sample, *_ = label_tasks(SMALL, spec_of(2), Splits(train, held_out, held_out))
    draws = jax.vmap(sample)(jax.random.split(KEY, 5))
    x = np.asarray(draws.x).reshape(150, 11, 3)
    y = np.asarray(draws.y).reshape(150, 11)
    seen = {}
    for task_x, task_y in zip(x, y, strict=True):
        rows = task_x[:, 0].astype(int)
        assert not set(rows[:7]) & set(rows[7:])
        (domain,) = set(task_x[:, 1].astype(int))
        assert set(rows) <= set(np.flatnonzero(np.asarray(train.u) == domain))
        fits = [c for c in (0, 1) if (np.asarray(train.y)[rows, c] == task_y).all()]
        assert fits
        seen.setdefault(domain, set()).update(rows)
        seen.setdefault((domain, fits[0]), set())
    # Every row and every task comes up.
    assert sum(len(seen[d]) for d in range(3)) == 44
    assert {k for k in seen if isinstance(k, tuple)} == {
        (d, c) for d in range(3) for c in (0, 1)
    }


def test_the_smallest_task_has_a_sample_for_either_half():
    train = rows_of([2])
    train = train._replace(y=jnp.array([[0], [1]]))
    config = settings(batch=8, support=1, query=1)
    splits = Splits(train, rows_of([30]), rows_of([30]))
    sample, *_ = label_tasks(config, spec_of(), splits)
    rows = np.asarray(sample(KEY).x[:, :, 0])
    assert (rows[:, 1:] == 1 - rows[:, :1]).all()
    assert len(set(rows[:, 0])) == 2


def test_new_tasks_are_balanced_and_judged_by_other_rows():
    part = rows_of([60, 90], columns=2, classes=3)
    groups = groups_of(part, np.array([1]), (0, 1))
    rng = np.random.default_rng(0)
    columns, asked = columns_of(spec_of(2, 3)), Asked(4, 3, 20, 7)
    drawn = draw_episodes(part, groups, asked, columns, rng)
    assert drawn.x.shape == (6, 32, 3)  # 7 // 2 of each of two
    for x, y in zip(np.asarray(drawn.x), np.asarray(drawn.y), strict=True):
        rows = x[:, 0].astype(int)
        assert len(set(rows)) == 32
        assert (x[:, 1] == 1).all()
        # Any number of shots is balanced.
        np.testing.assert_array_equal(y[:12], np.tile(np.arange(3), 4))
    column = np.repeat([0, 1], 3)[:, None]
    rows = np.asarray(drawn.x[:, :, 0], int)
    np.testing.assert_array_equal(drawn.y, np.asarray(part.y)[rows, column])
    one, many = (asked._replace(tasks=n) for n in (1, 64))
    assert len(draw_episodes(part, groups, one, columns, rng).x) == 1
    # No more than 20 of one.
    assert len(draw_episodes(part, groups[:1], many, columns, rng).x) == 20


@pytest.mark.parametrize(("shots", "query"), [(30, 10), (3, 83)])
def test_too_few_samples_for_a_new_task_are_named(shots, query):
    part = rows_of([10, 90], classes=3)
    groups = [Group(np.arange(10, 100), 0)]
    asked, columns = Asked(shots, 3, query, 3), columns_of(spec_of(1, 3))
    words = r"config\.shots and config\.test_query must .* 'label 0' has 90 held-out"
    with pytest.raises(ValueError, match=words):
        draw_episodes(part, groups, asked, columns, np.random.default_rng(0))


@pytest.fixture(scope="module")
def digits():
    config = dataclasses.replace(
        PRESETS["digits"].config, test_tasks=28, test_query=20, shots=(2, 4), batch=40
    )
    data = Digits()
    splits = data.load()
    return splits, *label_tasks(config, data.spec(), splits)


def test_new_attributes_of_digits_are_new():
    """None of them is one that is known, or the opposite of one."""
    new = PRESETS["digits"].config.new_labels
    assert set(new) < set(ATTRIBUTES)
    for known in set(ATTRIBUTES) - set(new):
        on = set(ATTRIBUTES[known])
        opposite = set(range(10)) - on
        assert not any(set(ATTRIBUTES[name]) in (on, opposite) for name in new)


def test_tasks_of_digits(digits):
    splits, sample, valid, test = digits
    new = set(PRESETS["digits"].config.new_labels)
    attributes = {
        x.tobytes(): y
        for rows in splits[:3]
        for x, y in zip(np.asarray(rows.x), np.asarray(rows.y), strict=True)
    }

    def names(part):
        """Which attributes each task may ask for, by its images and targets."""
        for x, y in zip(np.asarray(part.x), np.asarray(part.y), strict=True):
            known = np.stack([attributes[a.tobytes()] for a in x])
            fits = (known == y[:, None]).all(0)
            yield {name for name, fit in zip(ATTRIBUTES, fits, strict=True) if fit}

    batch = jax.jit(sample)(KEY)
    assert all(asked - new for asked in names(batch))
    assert len(set.union(*names(batch)) - new) > 8
    assert all(asked - new for asked in names(valid))
    asked = [found & new for found in names(test)]
    assert asked == [{n} for n in ("even", "above 4", "closed loop") for _ in range(9)]
    for part, rows in (
        (batch, splits.train),
        (valid, splits.valid),
        (test, splits.test),
    ):
        seen = {a.tobytes() for a in np.asarray(part.x).reshape(-1, 64)}
        assert seen <= {a.tobytes() for a in np.asarray(rows.x)}


def test_domains_have_tasks_of_their_own():
    """Known domains train and validate, the new one is tested."""
    known, target = rows_of([40, 40], columns=2), rows_of([0, 0, 50], columns=2)
    config = settings(test_tasks=40)
    sample, valid, test = label_tasks(config, spec_of(2), Splits(known, known, target))
    for part, domains in ((sample(KEY), {0, 1}), (valid, {0, 1}), (test, {2})):
        seen = np.asarray(part.x[:, :, 1])
        assert set(seen[:, 0]) == domains
        assert (seen == seen[:, :1]).all()
    assert valid.x.shape == test.x.shape == (40, 5, 3)


def test_query_is_lowered_to_what_validation_has():
    known, target = rows_of([20, 30]), rows_of([0, 0, 50])
    splits = Splits(known, known, target)
    with pytest.warns(UserWarning, match=r"test_query is lowered from 14 to 10"):
        _, valid, test = label_tasks(settings(test_query=14), spec_of(), splits)
    assert valid.y.shape[1] == test.y.shape[1] == 12


def test_a_task_of_one_class_is_named():
    known = rows_of([20, 30])
    y = np.where(np.asarray(known.u)[:, None] == 1, 0, np.asarray(known.y))
    splits = Splits(known._replace(y=jnp.asarray(y)), known, known)
    message = "label column 'label 0' holds one value only in b; a task needs at least"
    # The other domain has the task.
    with pytest.warns(UserWarning, match=f"1 of 2 tasks are left out: {message}"):
        sample, *_ = label_tasks(SMALL, spec_of(), splits)
    assert (sample(KEY).x[:, :, 1] == 0).all()
    alone = rows_of([0, 30])
    wrong = splits._replace(train=alone._replace(y=0 * alone.y))
    with pytest.raises(ValueError, match=message):
        label_tasks(SMALL, spec_of(), wrong)


@pytest.mark.parametrize(
    ("new_labels", "message"),
    [
        (("odd",), "config.new_labels must be one of 'label 0', 'label 1', got 'odd'"),
        (("label 0", "label 1"), "config.new_labels must leave a label column"),
    ],
)
def test_bad_new_labels_are_named(new_labels, message):
    rows = rows_of([30], columns=2)
    with pytest.raises(ValueError, match=re.escape(message)):
        label_tasks(settings(new_labels=new_labels), spec_of(2), Splits(*[rows] * 3))


def test_rows_that_are_drawn_have_no_groups():
    rows = rows_of([30])
    splits = Splits(Source(lambda key, n: rows), rows, rows)
    with pytest.raises(ValueError, match=r"config\.tasks='labels' needs rows"):
        label_tasks(SMALL, spec_of(), splits)
