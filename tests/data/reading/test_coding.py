"""Classes are numbered in sorted order, and what the numbers mean is kept."""

import numpy as np
import pandas
import pytest

import jaxdis
from jaxdis.data.reading import recode
from jaxdis.types import Label

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2))


def read(**arrays):
    settings = {k: arrays.pop(k) for k in ("labels",) if k in arrays}
    return jaxdis.read({"x": X} | arrays, **settings)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array(["b", "a", "c"] * 20), ("a", "b", "c")),
        (np.array([b"b", b"a", b"c"] * 20), ("a", "b", "c")),
        (np.array([5, 10, -3] * 20), ("-3", "5", "10")),
        (np.array([5.0, 10.0, -3.0] * 20), ("-3", "5", "10")),
        (np.array([True, False, True] * 20), ("False", "True")),
        (pandas.Categorical(["lo", "hi", "mid"] * 20), ("hi", "lo", "mid")),
        (["True", "False", "True"] * 20, ("False", "True")),
    ],
)
def test_domains_and_transformations(values, words):
    for field in "uk":
        rows = read(**{field: values})
        codes = getattr(rows, field)
        assert (codes.shape, codes.dtype) == ((N,), np.int32)
        assert getattr(rows.names, field) == words
        oracle = pandas.factorize(np.asarray(values), sort=True)[0]
        np.testing.assert_array_equal(codes, oracle)


def test_several_transformations_share_a_coding():
    words = np.array(["turn", "none", "flip"])
    first, second = RNG.integers(0, 3, (2, N))
    rows = read(k_0=words[first], k_1=words[second])
    assert rows.names.k == ("flip", "none", "turn")
    assert rows.k.shape == (N, 2)
    names = np.array(rows.names.k)
    np.testing.assert_array_equal(names[rows.k[:, 0]], words[first])
    np.testing.assert_array_equal(names[rows.k[:, 1]], words[second])
    both = read(k=np.stack([first, second], 1))
    np.testing.assert_array_equal(both.k, np.stack([first, second], 1))


@pytest.mark.parametrize(
    ("values", "label"),
    [
        (np.array(["b", "a", "c"] * 20), Label("y", 3, values=("a", "b", "c"))),
        (np.arange(N) % 2 == 0, Label("y", 2, values=("False", "True"))),
        (np.arange(N) % 20, Label("y", 20)),
        (np.arange(N) % 21, Label("y")),
        (np.arange(N) % 3 * 2.0, Label("y", 3, values=("0", "2", "4"))),
        (np.arange(N) % 3 / 2, Label("y")),
        (RNG.normal(size=N), Label("y")),
        (RNG.permutation(N), Label("y")),
        (RNG.permutation(N).astype(float), Label("y")),
    ],
)
def test_what_is_a_class(values, label):
    rows = read(y=values)
    assert rows.names.y == (label,)
    assert rows.y.shape == (N, 1)
    if label.classes is None:
        assert rows.y.dtype == np.float32
        np.testing.assert_array_equal(rows.y[:, 0], values.astype(np.float32))
    else:
        assert rows.y.dtype == np.int32
        oracle = pandas.factorize(values, sort=True)[0]
        np.testing.assert_array_equal(rows.y[:, 0], oracle)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["b", "", "c"] * 20),
        ["b", None, "c"] * 20,
        ["b", float("nan"), "c"] * 20,
        pandas.Series(["b", None, "c"] * 20),
        pandas.Series(["b", pandas.NA, "c"] * 20, dtype="string"),
    ],
)
def test_missing_words_are_nan(values):
    rows = read(y=values)
    assert rows.names.y == (Label("y", 2, values=("b", "c")),)
    np.testing.assert_array_equal(rows.y[:, 0], [0, np.nan, 1] * 20)


@pytest.mark.parametrize(
    "values",
    [
        [2, None, 7] * 20,
        np.array([2, np.nan, 7] * 20),
        pandas.Series([2, None, 7] * 20, dtype="Int64"),
        np.ma.masked_equal([2, 9, 7] * 20, 9),
    ],
)
def test_missing_numbers_are_nan(values):
    rows = read(y=values)
    assert rows.names.y == (Label("y", 2, values=("2", "7")),)
    np.testing.assert_array_equal(rows.y[:, 0], [0, np.nan, 1] * 20)
    rows = read(y=values, labels="y:numbers")
    assert rows.names.y == (Label("y"),)
    np.testing.assert_array_equal(rows.y[:, 0], [2, np.nan, 7] * 20)


def test_kinds_that_are_said():
    age, grade, digit = RNG.integers(20, 60, N), np.arange(N) % 3, np.arange(N) % 30
    for labels in (
        {"y_0": "numbers", "grade": "ordered", "digit": "classes"},
        ("y_0:numbers", "grade:ordered", "digit:classes"),
    ):
        source = {"x": X, "y_0": age % 5, "grade": grade, "digit": digit, "other": age}
        rows = jaxdis.read(source, y=["y_0", "grade", "digit"], labels=labels)
        assert rows.names.y == (
            Label("y_0"), Label("grade", 3, ordered=True), Label("digit", 30),
        )  # fmt: skip
        np.testing.assert_array_equal(rows.y, np.stack([age % 5, grade, digit], 1))
    # A column of an array goes by its number.
    rows = read(y=np.stack([grade, digit], 1), labels=["y_1:classes"])
    assert rows.names.y == (Label("y_0", 3), Label("y_1", 30))


def test_names_with_colons():
    rows = read(**{"y": np.arange(N) % 3, "labels": ["y:numbers"]})
    assert rows.names.y == (Label("y"),)
    source = {"x": X, "a:b": np.arange(N) % 3}
    rows = jaxdis.read(source, y="a:b", labels=["a:b:numbers"])
    assert rows.names.y == (Label("a:b"),)


WORDS = np.array([f"name {i}" for i in range(N)])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"u": RNG.normal(size=N)}, "data.u must be words or whole numbers; 'u' holds"),
        ({"u": WORDS}, "data.u must be classes, and almost .* 60 values in 60 rows"),
        ({"u": np.arange(N)}, "data.u must be classes, and almost every row of 'u'"),
        ({"k": ["a", "", "b"] * 20}, "data.k must not be missing; 'k' is in row 1"),
        ({"u": [0, 1, np.nan] * 20}, "data.u must not be missing; 'u' is in row 2"),
        ({"u": [0, 1, np.inf] * 20}, "data.u must be finite; row 2 of column 'u'"),
        ({"u": np.zeros((N, 2))}, r"data.u must be one column; got u \(60, 2\)"),
        ({"u_0": WORDS, "u_1": WORDS}, r"one column; got u_0 \(60,\), u_1 \(60,\)"),
        ({"k": np.zeros((N, 2, 2))}, r"data.k must be one column; got k \(60, 2, 2\)"),
        ({"u": np.array([2.0**53, 1] * 30)}, "data.u must be .* below 900719925474099"),
        ({"y": [0, 1, np.inf] * 20}, "data.y must be finite; row 2 of column 'y'"),
        ({"y": WORDS}, "data.y must be classes, and almost every row"),
        ({"y": np.arange(N) + 5.0}, "data.y must be measured; 'y' counts the rows"),
        ({"y": RNG.permutation(N), "labels": "y:classes"}, "classes, and almost"),
        ({"y": [None] * N}, "data.y must have labels; 'y' is missing in every row"),
        ({"y": np.r_[RNG.normal(size=N - 1), np.inf]}, "data.y must be finite; row 59"),
        ({"y": np.r_[RNG.normal(size=N - 1), 1e300]}, "float32, .* row 59 .* 1e[+]300"),
        ({"y": np.zeros((N, 2, 2))}, r"labels \[n\] or \[n, l\]; 'y' has shape"),
        ({"y": np.ones(N) * 1j}, "data.y must be real; 'y' holds complex numbers"),
        ({"y": ["a", "b"] * 30, "labels": "y:numbers"}, "y must be numbers; .* 'a'"),
        ({"y": np.arange(N) % 3, "labels": "y:words"}, "of the kinds .* got 'y:words'"),
        ({"y": np.arange(N) % 3, "labels": "numbers"}, "column:kind, .* got 'numbers'"),
        ({"y": np.arange(N) % 3, "labels": "t:numbers"}, "data.labels: there is no"),
        ({"labels": "y:numbers"}, "data.y must name the columns that data.labels"),
        ({"split": ["train", "dev"] * 30}, "hold train, .* row 1 .* holds 'dev'"),
        ({"split": np.arange(N) % 4}, "data.split must hold .* row 3 .* holds '3'"),
        ({"split": ["train", None] * 30}, "split must hold .* row 1 .* holds None"),
    ],
)  # fmt: skip
def test_classes_that_do_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message) as error:
        read(**arrays)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        ["train", "val", "test", "Valid"] * 15,
        ["training", "validation", "TEST", "1"] * 15,
        np.array([0, 1, 2, 1] * 15),
        np.array([0.0, 1.0, 2.0, 1.0] * 15),
    ],
)
def test_splits(values):
    rows = read(split=values)
    np.testing.assert_array_equal(rows.split, [0, 1, 2, 1] * 15)


SEEN = {
    "u": ["b", "a", "c"] * 20,
    "k": [1, 2, 3] * 20,
    "grade": ["low", "mid", "high"] * 20,
    "digit": [3, 7, 9] * 20,
    "age": RNG.normal(size=N),
    "year": RNG.permutation(N),
}
LABELS = ["grade", "digit", "age", "year"]


@pytest.mark.parametrize("some", [[1, 2] * 15, [4, 2], [5]])
def test_new_rows_are_coded_as_those_that_were_trained_on(some):
    """However few they are, and in whichever order their columns come."""
    rows = jaxdis.read({"x": X} | SEEN, y=LABELS)
    few = {name: np.asarray(values)[some] for name, values in SEEN.items()}
    new = jaxdis.read({"x": X[some]} | few, y=LABELS[::-1])
    assert new.names != rows.names
    coded = recode(new, rows.names)
    assert coded.names == rows.names
    for field in ("x", "u", "k", "y"):
        expected = getattr(rows, field)[some]
        np.testing.assert_array_equal(getattr(coded, field), expected)


def test_rows_that_were_trained_on_stay_as_they_are():
    rows = jaxdis.read({"x": X} | SEEN, y=["grade", "digit"])
    again = recode(rows, rows.names)
    assert again.names == rows.names
    for field in ("x", "u", "k", "y"):
        np.testing.assert_array_equal(getattr(again, field), getattr(rows, field))
        assert getattr(again, field).dtype == getattr(rows, field).dtype


def test_labels_that_new_rows_lack_are_missing():
    rows = jaxdis.read({"x": X} | SEEN, y=LABELS)
    grade = [None, *SEEN["grade"][1:]]
    new = jaxdis.read({"x": X, "grade": grade, "t": SEEN["age"]}, y=["t", "grade"])
    coded = recode(new, rows.names)
    assert np.isnan(coded.y[:, 1:]).all()
    assert np.isnan(coded.y[0, 0])
    np.testing.assert_array_equal(coded.y[1:, 0], rows.y[1:, 0])
    with pytest.raises(ValueError, match=r"labels that were trained on, .*; it has t"):
        recode(jaxdis.read({"x": X, "t": SEEN["age"]}, y="t"), rows.names)


def test_classes_that_do_not_occur_are_no_matter():
    rows = jaxdis.read({"x": X, "u": ["a", "b", "d"] * 20})
    old = jaxdis.read({"x": X, "u": ["a", "b", "c"] * 20}).names
    some = rows._replace(x=rows.x[:2], u=rows.u[:2])
    assert recode(some, old).u.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"data.u must be among .*, a, b, c; got d"):
        recode(rows, old)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": [1, 4] * 30}, "data.k must be among those .*, 1, 2, 3; got 4"),
        ({"grade": ["low", "top"] * 30}, "y, 'grade', must .* high, low, mid; got top"),
        ({"digit": RNG.normal(size=N)}, "data.y, 'digit', must be among .*, 3, 7, 9"),
        ({"digit": np.arange(N)[::-1]}, "got 0, 1, 2, 4, .* and"),
        ({"age": ["young", "old"] * 30}, "numbers in 'age', as in .*; got old, young"),
    ],
)  # fmt: skip
def test_new_classes(change, message):
    rows = jaxdis.read({"x": X} | SEEN, y=LABELS)
    with pytest.raises(ValueError, match=message):
        recode(jaxdis.read({"x": X} | SEEN | change, y=LABELS), rows.names)
