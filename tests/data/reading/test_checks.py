"""Numbers and images that nothing can be learned from are refused by name."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxdis
from jaxdis.data.checking import checked
from jaxdis.data.preparation import apply, measure, undo_x, undo_y
from jaxdis.types import Names, Rows

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
BYTES = RNG.integers(0, 256, (N, 8, 12, 3), np.uint8)


def with_one(value, shape=(N, 3), place=(7, 1)):
    x = RNG.normal(size=shape)
    x[place] = value
    return x


def constant(column, value=4.0):
    x = X.copy()
    x[:, column] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (with_one(np.nan), "data.x must be finite; row 7 of column 'x_1' is missing"),
        (with_one(np.inf), "data.x must be finite; row 7 of column 'x_1' is infinite"),
        (
            with_one(np.inf).astype(np.float16),
            "data.x must be finite; row 7 of column 'x_1' is infinite",
        ),
        (with_one(-1e300), "fit into float32, .*; row 7 of column 'x_1' is -1e[+]300"),
        (
            with_one(np.nan, (N, 4, 3), (7, 2, 1)),
            "data.x must be finite; row 7, step 2, of column 'x_1' is missing",
        ),
        (
            with_one(np.nan, (N, 8, 8, 3), (7, 2, 1, 0)),
            r"data.x must be finite; row 7 at \(2, 1, 0\) is missing",
        ),
        (RNG.normal(size=(N, 2, 4, 4, 1, 1)), r"got shape \(60, 2, 4, 4, 1, 1\)"),
    ],
)
def test_numbers_that_do_not_fit(x, message):
    with pytest.raises(ValueError, match=message):
        jaxdis.read({"x": x})


def test_what_cannot_be_learned_from_can_be_read():
    """A model is asked about rows that are all alike, far away, or a single one."""
    x = np.concatenate([constant(1), 1e30 * X, with_one(1e38)], 1)
    np.testing.assert_array_equal(jaxdis.read({"x": x}).x, x.astype(np.float32))
    rows = jaxdis.read({"x": X[:1], "a": X[:1], "y": ["a"]})
    np.testing.assert_array_equal(rows.a, X[:1].astype(np.float32))


def test_the_place_in_a_large_array(monkeypatch):
    from jaxdis.data import values

    monkeypatch.setattr(values, "BLOCK", 10)
    with pytest.raises(ValueError, match="row 57 of column 'x_2' is missing"):
        jaxdis.read({"x": with_one(np.nan, place=(57, 2))})


def test_rows_that_are_counted():
    source = {"row": np.arange(N), "b": X[:, 0]}
    with pytest.raises(ValueError, match="'row' counts the rows from 0: leave"):
        jaxdis.read(source, x="*")
    assert jaxdis.read(source, x="b").names.x == ("b",)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": X, "a": np.zeros((N, 2, 2))},
            r"data.a must be \[n, a\], the action tha",
        ),
        ({"x": X, "z": RNG.normal(size=(N, 2, 2))}, r"data.z must be latents \[n, z\]"),
        ({"x": RNG.normal(size=(N, 4, 2)), "z": X}, r"data.z must .* \(60, 4, 2\)"),
        ({"x_0": X, "x_1": X[:, 0]}, "one array or several columns; 'x_0' has shape"),
    ],
)
def test_shapes_that_do_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        jaxdis.read(arrays)


# Images.


@pytest.mark.parametrize("steps", [(), (4,)])
def test_images_stay_what_they_are(steps):
    shape = (N, *steps, 8, 12, 3)
    pixels = RNG.integers(0, 256, shape, np.uint8)
    for x in (pixels, jnp.asarray(pixels)):
        rows = jaxdis.read({"x": x})
        assert rows.x.dtype == np.uint8
        np.testing.assert_array_equal(rows.x, pixels)
    rows = jaxdis.read({"x": pixels / 255})
    assert (rows.x.dtype, rows.names) == (np.float32, Names())
    np.testing.assert_array_equal(rows.x, (pixels / 255).astype(np.float32))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (BYTES.astype(float), "in .*; got float64 from 0 to 255: divide by 255"),
        (BYTES.astype(int), r"int64 from 0 to 255: give data.x.astype\(np.uint8\)"),
        (BYTES / 255 - 0.5, r"float64 from -0.5 to 0.5: give numbers in \[0, 1\]"),
        (BYTES > 9, "bool from 0 to 1: give np.float32, or 255 times them"),
        (BYTES.astype(np.uint16) * 257, r"\(data.x / 65535\).astype\(np.float32\)"),
        (np.moveaxis(BYTES, -1, 1), r"\(60, 3, 8, 12\), with 3 channels in front"),
        (np.zeros((9, 5, 1, 28, 28)), r"1 channels in .*: give np.moveaxis\(x"),
        (BYTES[..., 0], r"of bytes .* \(60, 8, 12\): grey images have a channel, x\["),
    ],
)  # fmt: skip
def test_images_that_do_not_fit(x, message):
    with pytest.raises(ValueError, match=message):
        jaxdis.read({"x": x})


@pytest.mark.parametrize(
    ("x", "note"),
    [
        (RNG.uniform(size=(9, 16, 16)), "sequences of 16 vectors; if they are grey"),
        (RNG.uniform(size=(9, 12, 8, 8)), "images of 12 x 8 pixels with 8 channels"),
        (RNG.uniform(size=(9, 16, 16, 3)), ""),
        (RNG.normal(size=(9, 16, 16)), ""),
        (RNG.uniform(size=(9, 4, 4)), ""),
    ],
)
def test_what_may_be_something_else_is_said(x, note, capsys):
    rows = jaxdis.read({"x": x})
    assert rows.x.shape == x.shape
    shown = " ".join(capsys.readouterr().out.split())
    assert bool(shown) == bool(note)
    assert note in shown


# Rows that a user made.


def test_rows_are_checked_and_given_back():
    y = np.where(np.arange(N) % 2, np.nan, 1.0)[:, None]
    given = Rows(jnp.asarray(X), u=jnp.arange(N) % 2, y=y, names=Names(x=("a",)))
    rows = jaxdis.read(given)
    assert type(rows.x) is np.ndarray
    for value, found in zip(given[:-1], rows[:-1], strict=True):
        if value is not None:
            np.testing.assert_array_equal(value, found)
    assert rows.names == given.names


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows(X, a=X[1:]), r"data.a must have the 60 rows of data.x, .* \(59, 3\)"),
        (Rows(X[:0]), r"data.x must be vectors .* got shape \(0, 3\)"),
        (Rows(with_one(np.nan)), r"data.x must be finite; row 7 at \(1,\) is missing"),
        (Rows(X, u=X[:, 0]), "data.u must hold whole numbers from 0"),
        (Rows(X, k=np.arange(N) - 1), "data.k must hold whole numbers from 0"),
        (Rows(X, y=np.full((N, 1), np.inf)), r"data.y must be finite; row 0 at \(0,\)"),
        (Rows(np.moveaxis(BYTES, -1, 1)), "data.x has .* with 3 channels in front"),
    ],
)
def test_rows_that_do_not_fit(rows, message):
    with pytest.raises(ValueError, match=message):
        jaxdis.read(rows)


def test_fields_of_rows_cannot_be_chosen():
    with pytest.raises(ValueError, match="rows already, whose fields cannot be chosen"):
        jaxdis.read(Rows(X), a="b")


def test_columns_far_from_zero_keep_their_digits():
    far = 1e9 + X
    rows = jaxdis.read({"x": far})
    np.testing.assert_array_equal(rows.x, far)
    assert jaxdis.read({"x": X}).x.dtype == np.float32


def test_whole_numbers_and_labels_far_from_zero_keep_their_digits():
    far = 1_700_000_000_000 + RNG.integers(0, 1000, (N, 2))
    rows = jaxdis.read({"x": far, "y": 1.7e9 + X[:, 0]})
    np.testing.assert_array_equal(rows.x, far)
    np.testing.assert_array_equal(rows.y[:, 0], 1.7e9 + X[:, 0])
    assert jaxdis.read({"x": far % 1000, "y": X[:, 0]}).y.dtype == np.float32
    found = measure(rows)
    there = apply(found, rows)
    np.testing.assert_allclose(undo_x(found, there.x), far, atol=1e-3)
    np.testing.assert_allclose(undo_y(found, there.y), rows.y, atol=1e-6)


def test_masked_numbers_of_rows_are_missing():
    mask = np.zeros(X.shape, bool)
    mask[7, 1] = True
    rows = Rows(np.ma.masked_array(X, mask))
    with pytest.raises(ValueError, match=r"data.x must be finite; row 7 .* is missing"):
        jaxdis.read(rows)
    with pytest.raises(ValueError, match=r"data.x must be finite; row 7 .* is missing"):
        checked(rows)
    y = checked(Rows(X, y=np.ma.masked_array(X, mask))).y
    np.testing.assert_array_equal(np.isnan(y), mask)


def test_rows_of_halves_and_without_x():
    halves = jnp.asarray(X, jnp.bfloat16)
    np.testing.assert_array_equal(checked(Rows(halves)).x, np.float32(halves))
    with pytest.raises(ValueError, match=r"data.x must be given"):
        checked(Rows(None))
