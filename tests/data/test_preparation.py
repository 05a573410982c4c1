"""What is measured on training rows and applied to all others."""

import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from jaxdis import log
from jaxdis.data import preparation
from jaxdis.experiment import stored
from jaxdis.types import Label, Names, Preparation, Rows, Scale

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3)) * [1e-3, 1.0, 1e5] + [5.0, -1.0, 1e6]
A = np.stack([RNG.normal(size=200) * 3 + 1, np.arange(200) % 2], 1)
Y = np.stack([RNG.normal(size=200) * 7 - 2, np.arange(200) % 3], 1)
LABELS = (Label("weight"), Label("kind", 3, values=("cat", "dog", "owl")))
NAMES = Names(x=("p", "q", "r"), a=("push", "on"), u=("A", "B"), y=LABELS)
ROWS = Rows(X, a=A, u=np.arange(200) % 2, y=Y, names=NAMES)


def test_vectors_are_standardised_as_scikit_learn_does():
    found = preparation.measure(ROWS)
    oracle = StandardScaler().fit(X)
    np.testing.assert_allclose(found.x.mean, oracle.mean_, rtol=1e-12)
    np.testing.assert_allclose(found.x.std, oracle.scale_, rtol=1e-9)
    x = preparation.apply(found, ROWS).x
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, oracle.transform(X), rtol=2e-6, atol=1e-6)


def test_offsets_far_larger_than_the_deviation_are_kept():
    # In float32 these numbers would be 1e9, all of them.
    x = 1e9 + RNG.normal(size=(50, 1))
    found = preparation.measure(Rows(x))
    np.testing.assert_allclose(
        preparation.apply_x(found, x), StandardScaler().fit_transform(x), atol=1e-6
    )


def test_labels_far_from_zero_are_kept_too():
    y = 1e9 + RNG.normal(size=(50, 1))
    rows = Rows(X[:50], y=y)
    found = preparation.measure(rows)
    np.testing.assert_allclose(
        preparation.apply(found, rows).y, StandardScaler().fit_transform(y), atol=1e-6
    )


def test_sequences_share_the_scale_of_their_columns():
    x = X[:198].reshape(33, 6, 3)
    found = preparation.measure(Rows(x))
    np.testing.assert_allclose(found.x.mean, x.mean((0, 1)))
    np.testing.assert_allclose(found.x.std, x.std((0, 1)))
    assert preparation.apply_x(found, x).shape == x.shape
    np.testing.assert_array_equal(
        preparation.apply_x(found, x)[4, 2], preparation.apply_x(found, x[4, 2])
    )


def test_many_rows_are_measured_in_parts(monkeypatch):
    whole = preparation.measure(ROWS)
    monkeypatch.setattr(preparation, "CELLS", 21)
    parts = preparation.measure(ROWS)
    np.testing.assert_allclose(parts.x.std, whole.x.std, rtol=1e-12)
    np.testing.assert_allclose(
        preparation.apply_x(parts, X), preparation.apply_x(whole, X), rtol=1e-6
    )


def test_actions_of_0_and_1_and_classes_stay():
    found = preparation.measure(ROWS)
    rows = preparation.apply(found, ROWS)
    np.testing.assert_allclose(
        rows.a[:, 0], StandardScaler().fit_transform(A)[:, 0], atol=1e-6
    )
    np.testing.assert_array_equal(rows.a[:, 1], A[:, 1])
    np.testing.assert_allclose(
        rows.y[:, 0], StandardScaler().fit_transform(Y)[:, 0], atol=1e-6
    )
    np.testing.assert_array_equal(rows.y[:, 1], Y[:, 1])
    one_hot = preparation.measure(Rows(X, a=np.eye(4)[np.arange(200) % 4]))
    assert one_hot.a is None


def test_classes_alone_stay_integers():
    y = (np.arange(200) % 3)[:, None]
    found = preparation.measure(Rows(X, y=y))
    assert found.y is None
    np.testing.assert_array_equal(preparation.apply(found, Rows(X, y=y)).y, y)


def test_missing_labels_count_nowhere():
    y = Y.copy()
    y[::5] = np.nan
    found = preparation.measure(ROWS._replace(y=y))
    assert found.y.mean[0] == pytest.approx(np.nanmean(y[:, 0]))
    assert found.y.std[0] == pytest.approx(np.nanstd(y[:, 0]))
    done = preparation.apply(found, ROWS._replace(y=y)).y
    np.testing.assert_array_equal(np.isnan(done), np.isnan(y))
    np.testing.assert_allclose(preparation.undo_y(found, done), y, rtol=1e-5, atol=1e-5)


def test_images_are_not_standardised():
    x = RNG.integers(0, 256, (5, 4, 6, 3)).astype(np.uint8)
    found = preparation.measure(Rows(x))
    assert found.x is None
    assert preparation.apply_x(found, x).dtype == np.uint8
    floats = preparation.apply_x(found, x / 255)
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, x / 255, atol=1e-7)


def test_images_that_are_all_the_same_are_refused():
    with pytest.raises(
        ValueError, match=r"data.x: the training images are all the same"
    ):
        preparation.measure(Rows(np.zeros((5, 4, 6, 3), np.uint8)))


def test_x_may_stay_as_it_is():
    found = preparation.measure(Rows(X.astype(int)), scale_x=False)
    x = preparation.apply_x(found, X.astype(int))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, X.astype(int))


def test_undo_gives_units_back():
    found = preparation.measure(ROWS)
    x = preparation.apply_x(found, X)
    np.testing.assert_allclose(preparation.undo_x(found, x), X, rtol=1e-6, atol=1e-6)


def test_new_rows_far_out_of_range_are_fine():
    found = preparation.measure(ROWS)
    assert preparation.apply_x(found, X[0] + [1, 0, 0])[0] == pytest.approx(
        (X[0, 0] + 1 - X[:, 0].mean()) / X[:, 0].std(), rel=1e-5
    )


def test_json_keeps_every_digit():
    found = preparation.measure(ROWS)
    text = json.dumps(log.jsonable(stored.plain(found)), allow_nan=False)
    again = stored.rebuilt(Preparation, json.loads(text))
    for name in ("x", "a", "y"):
        for before, after in zip(
            getattr(found, name), getattr(again, name), strict=True
        ):
            assert after.dtype == np.float64
            np.testing.assert_array_equal(before, after)
    assert again.names == found.names == NAMES
    nothing = Preparation()
    assert stored.rebuilt(Preparation, stored.plain(nothing)) == nothing


def test_columns_are_found_by_their_names():
    found = preparation.measure(ROWS)
    other = Rows(
        X[:, [2, 0, 1]], a=A[:, ::-1], names=Names(x=("r", "p", "q"), a=("on", "push"))
    )
    wanted = preparation.apply(found, ROWS)
    rows = preparation.apply(found, other)
    np.testing.assert_array_equal(rows.x, wanted.x)
    np.testing.assert_array_equal(rows.a, wanted.a)


def test_domains_and_classes_are_coded_as_in_training():
    found = preparation.measure(ROWS)
    labels = (
        Label("kind", 2, values=("dog", "owl")),
        Label("age"),
        Label("weight"),
    )
    other = Rows(
        X[:3],
        u=np.array([0, 0, 0]),
        y=np.array([[0, 4, -2], [1, 4, 5], [np.nan, 4, 5]]),
        names=Names(u=("B",), y=labels),
    )
    rows = preparation.apply(found, other)
    np.testing.assert_array_equal(rows.u, [1, 1, 1])
    # What was not trained on is left out.
    weights = preparation.undo_y(found, rows.y)[:, 0]
    np.testing.assert_allclose(weights, [-2, 5, 5], rtol=1e-6)
    np.testing.assert_array_equal(rows.y[:, 1], [1, 2, np.nan])
    assert rows.names == NAMES


def test_labels_that_rows_lack_are_missing():
    found = preparation.measure(ROWS)
    rows = preparation.apply(found, Rows(X, y=Y[:, 1:], names=Names(y=LABELS[1:])))
    assert np.isnan(rows.y[:, 0]).all()
    np.testing.assert_array_equal(rows.y[:, 1], Y[:, 1])


def test_classes_that_are_numbers_keep_them():
    y = (np.arange(200) % 3)[:, None]
    names = Names(y=(Label("n", 3),))
    found = preparation.measure(Rows(X, y=y, names=names))
    # A file of the classes 0 and 2 alone, which a reader numbers 0 and 1.
    other = Names(y=(Label("n", 2, values=("0", "2")),))
    rows = preparation.apply(found, Rows(X[:2], y=np.array([[0], [1]]), names=other))
    np.testing.assert_array_equal(rows.y, [[0], [2]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows(X * [1, 0, 1], names=NAMES), "data.x: column 'q' never varies"),
        (Rows(X * [1, 0, 1] + 0.1), "data.x: column 1 never varies"),
        (Rows(X, a=A * [0, 1], names=NAMES), "data.a: column 'push' never varies"),
        (Rows(X, a=0.3 + 0 * A), "data.a: column 0 never varies"),
        (Rows(X, y=Y * [0, 1], names=NAMES), "data.y: column 'weight' never varies"),
        (Rows(X, y=Y * [np.nan, 1], names=NAMES), "column 'weight' is missing in all"),
        (Rows(np.r_[X, [[0, 1e30, 0]]], names=NAMES), r"column 'q' .* far .* equal"),
        (Rows(np.r_[X, [[0, 1e30, 0], [0, -1e30, 0]]]), "column 1 .* far .* equal"),
    ],
)
def test_columns_that_teach_nothing_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        preparation.measure(rows)


def test_large_and_small_numbers_are_no_outliers():
    x = X / X.std(0) * [1e-200, 1e200, 1e38]
    found = preparation.measure(Rows(x))
    np.testing.assert_allclose(found.x.std, [1e-200, 1e200, 1e38], rtol=1e-9)
    # A rare event is one, too.
    rare = np.zeros((1000, 1))
    rare[7] = 1
    assert preparation.measure(Rows(rare)).x.std[0] == pytest.approx(rare.std())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            Rows(X * [1, np.nan, 1]),
            "data.x must be finite; row 0 of column 'q' is missing",
        ),
        (
            Rows(X * [1, 1, np.inf]),
            "data.x must be finite; row 0 of column 'r' is infinite",
        ),
        (Rows(X[:, :2]), r"data.x must have the 3 columns .* got shape \(200, 2\)"),
        (Rows(X, names=Names(x=("p", "q", "s"))), "data.x lacks the columns r"),
        (
            Rows(X, u=np.full(200, 2)),
            "data.u must be below 2, .* names, A, B; got 2",
        ),
        (
            Rows(X, u=np.ones(200, int), names=Names(u=("A", "C"))),
            "data.u must be among .* A, B; got C",
        ),
        (
            Rows(
                X,
                y=Y,
                names=Names(
                    y=(LABELS[0], Label("kind", 3, values=("cat", "cow", "dog")))
                ),
            ),
            "data.y, 'kind', must be among .* cat, dog, owl; got cow",
        ),
        (Rows(X, y=Y[:, 1:]), r"data.y must have as many columns as names, 2; got"),
        (Rows(X, y=Y * [1, 2]), "data.y, column 'kind', must be below 3, .* got 4"),
        (
            Rows(X, y=Y[:, :1], names=Names(y=(Label("age"),))),
            "data.y must have labels that were trained on, weight, kind; it has age",
        ),
        (
            Rows(X, y=Y, names=Names(y=(Label("weight"), Label("kind")))),
            "data.y, 'kind', must be among .* cat, dog, owl; got 0, 1, 2",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        preparation.apply(preparation.measure(ROWS), rows)


def test_scale_is_that_of_the_training_rows():
    found = Preparation(x=Scale(np.array([10.0]), np.array([2.0])))
    np.testing.assert_array_equal(preparation.apply_x(found, np.array([[14.0]])), [[2]])
