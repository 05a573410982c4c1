"""Training rows on the device and on the host."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data import rows
from jaxdis.types import Rows, Source, Splits, Stream

X = np.arange(60.0).reshape(20, 3)
Y = np.where(np.arange(20)[:, None] % 3, 1.0, np.nan)
FEW = Rows(jnp.ones((2, 3)))


def splits(train, block):
    return Splits(train, FEW, FEW, block=block)


def test_arrays_of_numpy_that_exceed_a_block_stay_on_the_host():
    train = Rows(X, y=Y)
    made = rows.train_sampler(splits(train, 19), 4)
    assert isinstance(made, Stream)
    assert made.rows.x is X
    assert made.block == 19
    key = jax.random.key(1)
    chosen = made.draw(key)
    batch = rows.sampler(train, 4)(key)
    np.testing.assert_array_equal(batch.x, X[np.asarray(chosen)])
    # Another set of the same size is no other program.
    again = rows.train_sampler(splits(Rows(X + 1), 19), 4)
    assert jax.tree.structure(again.draw) == jax.tree.structure(made.draw)


@pytest.mark.parametrize(
    ("train", "block"),
    [
        (Rows(X), None),
        (Rows(X), 20),
        (Rows(jnp.asarray(X)), 5),
        (Source(jax.tree_util.Partial(lambda key, n: FEW)), 5),
    ],
    ids=["no block", "a block of all", "on the device", "drawn"],
)
def test_other_rows_are_on_the_device(train, block):
    assert not isinstance(rows.train_sampler(splits(train, block), 4), Stream)
    rows.resident(splits(train, block), "some_method")


@pytest.mark.parametrize(
    ("block", "batch", "worlds", "message"),
    [
        (0, 4, False, "data.block must be at least 1, got 0"),
        (5, 0, False, "batch must be at least 1, got 0"),
        (5, 4, True, "data.block must be None where every seed has a world"),
    ],
)
def test_what_cannot_be_streamed_is_refused(block, batch, worlds, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        rows.train_sampler(splits(Rows(X), block), batch, worlds=worlds)


def test_a_method_may_need_all_rows():
    with pytest.raises(ValueError, match=r"data\.block: m needs all training rows"):
        rows.resident(splits(Rows(X), 5), "m")


@pytest.mark.parametrize("where", [np.asarray, jnp.asarray], ids=["host", "device"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found(where, bad, monkeypatch):
    monkeypatch.setattr(rows, "_AT_ONCE", 7)  # numbers, of 60
    rows.check_rows(Rows(where(X), y=where(Y)))  # missing labels are no fault
    for field in ("x", "a", "z"):
        spoilt = X.copy()
        spoilt[17, 1] = bad
        arrays = {"x": where(X)} | {field: where(spoilt)}
        with pytest.raises(ValueError, match=f"data.{field} holds NaN or infinite"):
            rows.check_rows(Rows(**arrays))


def test_what_overflows_on_the_device_is_infinite():
    with pytest.raises(ValueError, match=r"data\.x holds NaN or infinite"):
        rows.check_rows(Rows(X + 1e300))


@pytest.mark.parametrize("where", [np.asarray, jnp.asarray], ids=["host", "device"])
def test_infinite_labels_are_no_missing_ones(where):
    with pytest.raises(ValueError, match=r"data\.y holds NaN or infinite"):
        rows.check_rows(Rows(where(X), y=where(np.where(np.isnan(Y), np.inf, Y))))
