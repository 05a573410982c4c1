import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data.rows import sampler
from jaxdis.data.sequences import GivenSequences
from jaxdis.types import Spec

OWN = np.random.default_rng(0).uniform(size=(20, 4, 3, 5, 2)).astype(np.float32)
OWN_K = np.arange(20) % 2
NAMES = ("left", "right")


def given(frames=OWN, k=OWN_K, names=NAMES, **changes):
    return GivenSequences(frames, k, names, **changes)


def with_one(value):
    """The frames, a single number of which is not one."""
    frames = OWN.copy()
    frames[7, 2, 1, 1, 0] = value
    return frames


def own_rows(x, given):
    """Which of the given sequences each is, frame by frame."""
    same = np.isclose(np.asarray(x)[:, None], given[None], atol=1e-6).all((2, 3, 4, 5))
    assert (same.sum(1) == 1).all()
    return same.argmax(1)


@pytest.mark.parametrize(
    ("form", "dtype", "kept"),
    [
        (np.asarray, np.float32, np.float32),
        (np.asarray, np.float64, np.float32),
        (list, np.uint8, np.uint8),
        (jnp.asarray, np.uint8, np.uint8),
    ],
)
def test_sequences_come_back(form, dtype, kept):
    frames = OWN if dtype != np.uint8 else np.round(255 * OWN)
    data = given(form(frames.astype(dtype)), held_out=0.2)
    assert data.spec() == Spec((3, 5, 2), 4, transformations=NAMES)
    splits = data.load()
    assert splits.controls == {}
    batch = sampler(splits.train, 100)(jax.random.key(0))
    assert batch.x.dtype == kept
    rows = own_rows(batch.x, frames)
    np.testing.assert_array_equal(batch.k, OWN_K[rows])
    # Of ten sequences of each, two are valid and two test.
    parts = []
    for part in (splits.train, splits.valid, splits.test):
        rows = own_rows(part.x, frames)
        np.testing.assert_array_equal(part.k, OWN_K[rows])
        np.testing.assert_array_equal(np.bincount(part.k), [len(rows) // 2] * 2)
        parts.append(set(rows.tolist()))
    assert [len(p) for p in parts] == [12, 4, 4]
    assert len(set.union(*parts)) == 20


def test_without_transformations():
    data = GivenSequences(OWN, held_out=0.25)
    assert data.spec() == Spec((3, 5, 2), 4)
    splits = data.load()
    parts = [
        set(own_rows(part.x, OWN).tolist())
        for part in (splits.train, splits.valid, splits.test)
    ]
    assert [len(p) for p in parts] == [10, 5, 5]
    assert len(set.union(*parts)) == 20
    assert splits.train.k is splits.valid.k is splits.test.k is None


def test_seed_makes_the_split():
    def train(seed):
        return set(own_rows(given(seed=seed).load().train.x, OWN).tolist())

    assert train(0) == train(0)
    assert train(0) != train(1)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (None, "data.frames must be sequences .*, got none"),
        ([*OWN[:19], OWN[19, :3]], r"of one length, got lengths \[3, 4\]: .* to 3"),
        ([*OWN[:19], OWN[19, :, :2]], r"one shape .*\(4, 2, 5, 2\), \(4, 3, 5, 2\)"),
        (OWN[..., 0], r"sequences \[t, h, w, c\] .*\(4, 3, 5\)"),
        (OWN[:, :1], r"t of at least 2, got shapes \[\(1, 3, 5, 2\)\]"),
        ([], r"sequences \[t, h, w, c\] .*\[\]"),
        (
            255 * OWN,
            r"data.frames are images .* in \[0, 1\]; got .* 25\d.*divide by 255",
        ),
        (OWN - 0.5, r"must be uint8 or in \[0, 1\]; got float32 from -0.4\d* to 0.4"),
        (with_one(np.nan), r"data.frames must be finite; row 7 at .* missing"),
        (with_one(np.inf), r"data.frames must be finite; row 7 at .* infinite"),
        (
            (9 * OWN).astype(int),
            r"must be uint8 .* give data.frames.astype\(np.uint8\)",
        ),
        (OWN > 0.5, "must be uint8 or in .*; got bool from 0 to 1"),
        (
            np.zeros((20, 4, 3, 32, 32), np.uint8),
            r"32\), with 3 channels in front of height .* np.moveaxis\(x, -3, -1\)",
        ),
    ],
)
def test_frames_that_do_not_fit(frames, message):
    with pytest.raises(ValueError, match=message):
        given(frames).load()


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (None, r"data.k must hold .* or data.transformations must name none"),
        (OWN_K + 1, r"in 0 .. 1 for each of the 20 .* values \[1, 2\]"),
        (OWN_K - 1, r"in 0 .. 1 for each of the 20 .* values \[-1, 0\]"),
        (OWN_K * 0.5, r"k must hold one number .* values \[0.0, 0.5\]"),
        (OWN_K[1:], r"k must hold one number .* 20 sequences, got shape \(19,\)"),
        (OWN_K[None], r"k must hold one number .* got shape \(1, 20\)"),
        (np.arange(20) > 17, r"every transformation at least 3 .*\['right'\]"),
        (np.zeros(20, int), r"every transformation at least 3 .*\['right'\]"),
    ],
)
def test_transformations_that_do_not_fit(k, message):
    with pytest.raises(ValueError, match=message):
        given(k=k).load()


@pytest.mark.parametrize("held_out", [0.5, 0.7])
def test_share_that_leaves_nothing_to_train_on(held_out):
    with pytest.raises(ValueError, match=f"held_out .*{held_out}"):
        given(held_out=held_out).load()


def test_three_sequences_are_enough():
    splits = given(OWN[:3], [0, 0, 0], ("left",), held_out=0.4).load()
    rows = [
        own_rows(part.x, OWN[:3]) for part in (splits.train, splits.valid, splits.test)
    ]
    assert {frozenset(r.tolist()) for r in rows} == {
        frozenset([0]), frozenset([1]), frozenset([2]),
    }  # fmt: skip
    with pytest.raises(ValueError, match="must be at least 3 sequences, got 2"):
        GivenSequences(OWN[:2]).load()
