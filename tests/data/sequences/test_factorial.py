import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis.data import factors, tfds
from jaxdis.data.factors import FactorImages, FactorSet
from jaxdis.data.sequences import (
    Falcor3dSequences,
    Isaac3dSequences,
    Shapes3dSequences,
)
from jaxdis.types import Spec
from tests.data.sequences.common import (
    PAIRS,
    drawn,
    forced,
    held_out,
    training_starts,
)

SETS = {
    "shapes3d": Shapes3dSequences,
    "falcor3d": Falcor3dSequences,
    "isaac3d": Isaac3dSequences,
}


@pytest.mark.parametrize("name", SETS)
def test_spec(name):
    known = factors.SETS[name]
    spec = SETS[name]().spec()
    assert spec == Spec(known.shape, known.steps + 1, transformations=known.moving)


@pytest.mark.parametrize(
    ("name", "steps", "message"),
    [
        ("shapes3d", 8, "needs 9 values .*; shapes3d has {'scale': 8}; .* most 7"),
        ("falcor3d", 5, "needs 6 .* {'lighting_intensity': 5}; take at most 4"),
        ("isaac3d", 4, "needs 5 .* {'camera_height': 4, .*; take at most 3"),
    ],
)
def test_steps_beyond_the_values_of_a_factor(name, steps, message):
    with pytest.raises(ValueError, match=f"data.steps is {steps}, which {message}"):
        SETS[name](steps=steps).spec()


def test_steps_beyond_the_values_of_the_slowest_factor():
    # Others carry into a slower factor; five lighting intensities allow four steps.
    with pytest.raises(ValueError, match=r"data.steps .* falcor3d .* at most 4"):
        Falcor3dSequences(steps=5, sequence_rule="carry").spec()


@pytest.mark.parametrize("field", ["sequence_rule", "eval_split"])
def test_unknown_words(field):
    with pytest.raises(ValueError, match=rf"data\.{field} must be one of .*, got 'x'"):
        forced(Isaac3dSequences(), field, "x").spec()


def test_share_that_leaves_nothing_to_train_on():
    with pytest.raises(ValueError, match=r"data\.held_out is the share .* got 0\.6"):
        Isaac3dSequences(held_out=0.6).spec()


@pytest.mark.parametrize("name", ["falcor3d", "isaac3d"])
def test_folder_that_is_not_given(name):
    with pytest.raises(ValueError, match=f"data.directory must name .* {name}"):
        SETS[name]().load()


SIZES = (4, 6, 8)
BASES = (48, 8, 1)
MINI = FactorSet(("a", "b", "c"), SIZES, ("a", "b", "c"), shape=(2, 2, 1), steps=2)
PAGES = np.broadcast_to(
    np.arange(192, dtype=np.uint8)[:, None, None, None], (192, 2, 2, 1)
)


def numbered(x):
    """The flat index that an image of `PAGES` shows, of every frame."""
    shown = np.asarray(jnp.round(255 * x)).astype(int)
    assert (shown == shown[..., :1, :1, :1]).all()
    return shown[..., 0, 0, 0]


@functools.cache
def factor_data(rule, eval_split="heldout", moving=MINI.moving):
    """The spec and the splits of 192 small images."""
    data = Falcor3dSequences(
        directory="anywhere", steps=2, sequence_rule=rule, held_out=0.05,
        eval_split=eval_split, valid_rows=18, test_rows=18, fit_rows=9,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(factors.SETS, "falcor3d", MINI._replace(moving=moving))
        patch.setattr(
            factors, "read_folder", lambda name, directory: FactorImages(PAGES, SIZES)
        )
        return data.spec(), data.load()


def digits(index):
    return np.stack(np.unravel_index(index, SIZES), -1)


def test_shapes_are_read_from_their_directory(monkeypatch):
    asked = []

    def shapes3d(where):
        asked.append(where)
        return FactorImages(PAGES, SIZES)

    monkeypatch.setattr(tfds, "shapes3d", shapes3d)
    monkeypatch.setitem(factors.SETS, "shapes3d", MINI)
    few = {
        "steps": 2, "valid_rows": 6, "test_rows": 6, "fit_rows": 9, "held_out": 0.05,
    }  # fmt: skip
    for directory in (None, "some/folder"):
        splits = Shapes3dSequences(directory=directory, **few).load()
        assert (digits(numbered(splits.test.x))[:, 0].min(1) == 0).all()
    assert asked == [None, Path("some/folder")]


class TestSweep:
    def test_moves_one_factor_from_its_first_value(self):
        spec, splits = factor_data("sweep")
        assert spec == Spec((2, 2, 1), 3, transformations=("a", "b", "c"))
        fitting, _ = splits.controls["fitting"]
        for rows in (drawn(splits, 500), splits.valid, splits.test, fitting):
            values = digits(numbered(rows.x))  # [row, t, factor]
            assert set(np.asarray(rows.k).tolist()) == {0, 1, 2}
            for row, moving in zip(values, np.asarray(rows.k), strict=True):
                np.testing.assert_array_equal(row[:, moving], [0, 1, 2])
                still = np.delete(row, moving, 1)
                np.testing.assert_array_equal(still, still[[0, 0, 0]])

    def test_two_factors(self):
        splits = factor_data("sweep")[1]
        _, (rows, controls) = held_out(splits)
        assert set(controls) == {"superposed", "switched", "fitting"}
        both = np.asarray(controls["superposed"].k)
        assert set(map(tuple, both.tolist())) == PAIRS
        first = digits(numbered(rows.x))[:, 0]
        superposed, switched = (
            digits(numbered(controls[n].x)) for n in ("superposed", "switched")
        )
        for r, (k, other) in enumerate(both):
            (rest,) = {0, 1, 2} - {int(k), int(other)}
            expected = np.zeros((3, 3), int)
            expected[:, rest] = first[r, rest]
            expected[:, k] = expected[:, other] = [0, 1, 2]
            np.testing.assert_array_equal(superposed[r], expected)
            expected[:, k], expected[:, other] = [0, 1, 1], [0, 0, 1]
            np.testing.assert_array_equal(switched[r], expected)

    def test_draws_keep_to_training(self):
        splits = factor_data("sweep")[1]
        batch = drawn(splits, 500)
        first, k = numbered(batch.x)[:, 0], np.asarray(batch.k)
        for i, starts in enumerate(training_starts(splits)):
            assert set(first[k == i].tolist()) == starts
            counts = np.unique(first[k == i], return_counts=True)[1]
            assert stats.chisquare(counts).pvalue > 1e-4

    def test_all_sequences_are_seen_in_training(self):
        splits = factor_data("sweep", eval_split="train")[1]
        train = training_starts(splits)
        assert [len(starts) for starts in train] == [48, 32, 24]
        for k, x in zip(splits.test.k, splits.test.x, strict=True):
            assert int(numbered(x[:1])[0]) in train[int(k)]

    def test_factor_that_never_moves(self):
        spec, splits = factor_data("sweep", moving=("a", "c"))
        assert spec.transformations == ("a", "c")
        values = digits(numbered(splits.controls["superposed"][1].x))
        np.testing.assert_array_equal(values[..., 0], [[0, 1, 2]] * 18)
        np.testing.assert_array_equal(values[..., 2], [[0, 1, 2]] * 18)
        np.testing.assert_array_equal(values[..., 1], values[:, :1, 1].repeat(3, 1))
        assert len(set(values[..., 1].ravel().tolist())) > 1


class TestCarry:
    def test_overflows_into_the_next_factor(self):
        batch = drawn(factor_data("carry", eval_split="train")[1], 500)
        index, k = numbered(batch.x), np.asarray(batch.k)
        # The slowest factor starts at its first value, all others anywhere.
        assert index[:, 0].max() < BASES[0]
        assert len(set(index[:, 0])) > 15
        steps = np.array(BASES)[k][:, None] * np.arange(3)
        np.testing.assert_array_equal(index, index[:, :1] + steps)
        # From (0, 5, 4), two steps of b are (1, 0, 4) and (1, 1, 4).
        overflow = index[(k == 1) & (index[:, 0] >= 40)]
        assert len(overflow)
        np.testing.assert_array_equal(digits(overflow)[:, 1:, 0], 1)
        np.testing.assert_array_equal(
            digits(overflow)[:, 1:, 1], [[0, 1]] * len(overflow)
        )

    def test_two_factors(self):
        _, (_, controls) = held_out(factor_data("carry")[1])
        k, other = np.asarray(controls["superposed"].k).T
        bases, t = np.array(BASES), np.arange(3)
        assert set(zip(k.tolist(), other.tolist(), strict=True)) == PAIRS
        both = (bases[k] + bases[other])[:, None] * t
        index = numbered(controls["superposed"].x)
        np.testing.assert_array_equal(index - index[:, :1], both)
        index = numbered(controls["switched"].x)
        turns = bases[k][:, None] * [0, 1, 1] + bases[other][:, None] * [0, 0, 1]
        np.testing.assert_array_equal(index - index[:, :1], turns)


def frames(start, k):
    return {start + BASES[k] * t for t in range(3)}


@pytest.mark.parametrize("rule", ["sweep", "carry"])
def test_training_shows_no_image_that_is_held_out(rule):
    splits = factor_data(rule)[1]
    shown = set()
    for rows, controls in held_out(splits):
        pairs = (controls["superposed"], controls["switched"])
        shown |= {i for r in (rows, *pairs) for i in numbered(r.x).ravel().tolist()}
    train = training_starts(splits)
    trained = {i for k in range(3) for start in train[k] for i in frames(start, k)}
    assert trained
    assert not trained & shown
    # Nothing is left out of training without need.
    digit = (0, 1, 2) if rule == "sweep" else (0, 0, 0)
    for k in range(3):
        everywhere = {i for i in range(192) if digits(i)[digit[k]] == 0}
        assert train[k] == {i for i in everywhere if not frames(i, k) & shown}


def test_no_sequence_is_held_out_twice():
    splits = factor_data("sweep")[1]
    for k in range(3):
        valid, test = (
            set(numbered(rows.x[np.asarray(rows.k) == k])[:, 0].tolist())
            for rows in (splits.valid, splits.test)
        )
        assert not valid & test


def test_held_out_images_on_every_sequence_are_refused(monkeypatch):
    monkeypatch.setitem(factors.SETS, "falcor3d", MINI)
    found = FactorImages(PAGES, SIZES)
    monkeypatch.setattr(factors, "read_folder", lambda name, directory: found)
    many = Falcor3dSequences(
        directory="anywhere", steps=2, held_out=0.3, valid_rows=60, test_rows=60
    )
    with pytest.raises(ValueError, match="60 and 60, leave no training sequence of"):
        many.load()


# Sequences in which another factor changes as well: those that start at the last T of
# the n values of their factor, T / n of all; the slowest starts at its first.
CONTAMINATED = {
    "falcor3d": [0, *[4 / 6] * 6],
    "isaac3d": [0.375, 0.6, 0.75, 0.75, 0.75, 0.5, 0.75, 0.75],
}


@pytest.mark.parametrize("name", CONTAMINATED)
@pytest.mark.parametrize("rule", ["sweep", "carry"])
def test_sequences_of_published_sets_that_change_two_factors(monkeypatch, name, rule):
    known = factors.SETS[name]
    n = int(np.prod(known.sizes))
    number = np.arange(n)[:, None] // [1, 256, 256**2] % 256  # a pixel tells its index
    found = FactorImages(number.astype(np.uint8)[:, None, None], known.sizes)
    asked = []
    monkeypatch.setattr(
        factors, "read_folder", lambda *which: (asked.append(which), found)[1]
    )
    splits = SETS[name](
        directory="my/files", sequence_rule=rule, eval_split="train", valid_rows=8,
        test_rows=8, fit_rows=8,
    ).load()  # fmt: skip
    assert asked == [(name, Path("my/files"))]
    render, starts, counts, _ = splits.train.draw.args

    @jax.jit
    def rendered(starts, k):
        amounts = (
            jnp.arange(known.steps + 1.0)[:, None]
            * jax.nn.one_hot(k, len(known.moving))[None]
        )
        frames = jax.vmap(jax.vmap(render, (None, 0)), (0, None))(starts, amounts)
        bytes_ = jnp.round(255 * frames[:, :, 0, 0]).astype(int)
        return bytes_ @ jnp.array([1, 256, 256**2])

    shares = []
    for k, factor in enumerate(known.moving):
        index = np.asarray(rendered(starts[k], k))[: counts[k]]
        values = np.stack(np.unravel_index(index, known.sizes))
        moving = known.names.index(factor)
        changes = (values != values[:, :, :1]).any(2)
        assert changes[moving].all()
        changes[moving] = False
        shares.append(changes.any(0).mean())
        first = values[:, :, 0]
        if rule == "sweep":
            assert not first[moving].any()
            assert len(index) == n // known.sizes[moving]
        else:
            assert not first[0].any()
            assert len(index) == n // known.sizes[0]
    expected = CONTAMINATED[name] if rule == "carry" else np.zeros(len(shares))
    np.testing.assert_allclose(shares, expected, atol=1e-12)
