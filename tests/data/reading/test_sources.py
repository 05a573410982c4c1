"""Every source gives the same rows."""

import gzip
import re
import sys
from decimal import Decimal
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pandas
import polars
import pytest

import jaxdis
from jaxdis.types import Label, Names, Rows

N = 60
RNG = np.random.default_rng(0)
ARRAYS = {
    "x": RNG.normal(size=(N, 3)),
    "a": RNG.normal(size=(N, 2)),
    "u": np.array(["b", "a", "c"])[np.arange(N) % 3],
    "y_0": RNG.integers(0, 4, N),
    "y_1": np.where(np.arange(N) % 7 == 0, np.nan, RNG.normal(size=N)),
    "k": np.arange(N) % 2 == 0,
    "z": RNG.normal(size=(N, 2)),
    "split": np.array(["train", "valid", "test"])[np.arange(N) % 3],
}


def frame():
    columns = {}
    for name, array in ARRAYS.items():
        if array.ndim == 1:
            columns[name] = array
        else:
            columns |= {f"{name}_{i}": array[:, i] for i in range(array.shape[1])}
    return pandas.DataFrame(columns)


def npz(path):
    np.savez(path / "a.npz", **ARRAYS)
    return path / "a.npz"


def hdf5(path):
    with h5py.File(path / "a.h5", "w") as file:
        for name, array in ARRAYS.items():
            file[name] = array.astype(object) if array.dtype.kind == "U" else array
    return path / "a.h5"


def table(path, suffix, **settings):
    frame().to_csv(path / f"a{suffix}", index=False, **settings)
    return path / f"a{suffix}"


def compressed(path):
    text = table(path, ".csv").read_bytes()
    (path / "b.CSV.gz").write_bytes(gzip.compress(text))
    return path / "b.CSV.gz"


def parquet(path):
    frame().to_parquet(path / "a.parquet")
    return str(path / "a.parquet")


SOURCES = {
    "mapping": lambda path: ARRAYS,
    "lists": lambda path: {name: array.tolist() for name, array in ARRAYS.items()},
    "npz": npz,
    "hdf5": hdf5,
    "csv": lambda path: table(path, ".csv"),
    "tsv": lambda path: table(path, ".tsv", sep="\t"),
    "csv.gz": compressed,
    "parquet": parquet,
    "pandas": lambda path: frame(),
    "polars": lambda path: polars.from_pandas(frame()),
    "rows": lambda path: jaxdis.read(ARRAYS),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_rows(tmp_path, source):
    rows = jaxdis.read(SOURCES[source](tmp_path))
    expected = Rows(
        ARRAYS["x"].astype(np.float32),
        ARRAYS["a"].astype(np.float32),
        np.array([1, 0, 2])[np.arange(N) % 3],
        np.stack([ARRAYS["y_0"], ARRAYS["y_1"]], 1).astype(np.float32),
        ARRAYS["k"].astype(int),
        ARRAYS["z"].astype(np.float32),
        split=np.arange(N) % 3,
    )
    for field, value in expected._asdict().items():
        found = getattr(rows, field)
        if field == "names" or value is None:
            continue
        assert type(found) is np.ndarray
        whole = field in ("u", "k", "split")
        assert found.dtype == (np.int32 if whole else np.float32)
        np.testing.assert_array_equal(found, value)
    assert rows.group is None
    assert rows.names == Names(
        x=("x_0", "x_1", "x_2"),
        a=("a_0", "a_1"),
        u=("a", "b", "c"),
        y=(Label("y_0", 4), Label("y_1")),
        k=("False", "True"),
        z=("z_0", "z_1"),
    )


def test_arrays_of_jax_and_halves():
    x = jnp.asarray(ARRAYS["x"], jnp.bfloat16)
    rows = jaxdis.read({"x": x})
    assert (type(rows.x), rows.x.dtype) == (np.ndarray, np.float32)
    np.testing.assert_array_equal(rows.x, np.asarray(x.astype(jnp.float32)))


def test_npy_is_x(tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS["x"])
    rows = jaxdis.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(rows.x, ARRAYS["x"].astype(np.float32))
    assert rows.a is rows.u is rows.y is rows.split is None


def test_groups_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for i in range(11):
            file[f"arm/joint_{i}"] = np.arange(5.0) * i + i
        file["arm/joint_0"][...] = [3, 1, 4, 1, 5]
    rows = jaxdis.read(tmp_path / "a.hdf5", x="arm/*")
    # In the order of their numbers, not of their letters.
    assert rows.names.x == tuple(f"arm/joint_{i}" for i in range(11))
    np.testing.assert_array_equal(rows.x[:, 10], np.arange(5) * 10 + 10)


def test_csv_numbers_are_exact(tmp_path):
    path, values = tmp_path / "a.csv", np.random.default_rng(1).normal(size=1000)
    pandas.DataFrame({"x": values, "y": values}).to_csv(path, index=False)
    rows = jaxdis.read(path, labels=["y:numbers"])
    np.testing.assert_array_equal(rows.x[:, 0], values.astype(np.float32))
    np.testing.assert_array_equal(rows.y, rows.x)


def test_words_that_come_late_in_a_csv(tmp_path, monkeypatch):
    """A column is one of words if one cell is, however late."""
    from jaxdis.data.reading import tables

    monkeypatch.setattr(tables, "BLOCK", 4)
    words = ["1", "2"] * 9 + ["other"] * 2
    path = tmp_path / "a.csv"
    pandas.DataFrame({"x": range(0, 40, 2), "y": words}).to_csv(path, index=False)
    rows = jaxdis.read(path)
    assert rows.names.y == (Label("y", 3, values=("1", "2", "other")),)
    assert rows.y[:, 0].tolist() == [0, 1] * 9 + [2, 2]
    np.testing.assert_array_equal(rows.x[:, 0], range(0, 40, 2))


def test_quotes_and_blank_lines_of_a_csv(tmp_path):
    path = tmp_path / "a.csv"
    text = '\ufeff"x", "y"\n1.5,"Paris, France"\n\n-2e3,"Rome"\n0,"Rome"\n 7 ,\n'
    path.write_text(text, encoding="utf-8")
    rows = jaxdis.read(path)
    assert rows.x[:, 0].tolist() == [1.5, -2000, 0, 7]
    assert rows.names.y == (Label("y", 2, values=("Paris, France", "Rome")),)
    np.testing.assert_array_equal(rows.y[:, 0], [0, 1, 1, np.nan])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("x,y\n", "no rows below the names of its columns"),
        ("x,y\n1,2\n3\n", "row 1 has 1 cells in place of 2"),
        ("1.0,2.0\n3,4\n", "its first row must name the columns and is 1.0, 2.0"),
        ("x,x\n3,4\n", "several columns that are called x"),
        ("a,b\n3,4\n", "data.x must name the observations, .* has a, b"),
        (
            "x\nabc\n",
            r"data.x must be numbers; column 'x' holds words, as 'abc' in row",
        ),
        ("x\n2020_01_01\n", "column 'x' holds words, as '2020_01_01' in row 0"),
        ("x\n1.5\nbroken\n", "column 'x' holds words, as 'broken' in row 1"),
        ("x\n1\n2\nnan\n", "data.x must be finite; row 2 of column 'x' is missing"),
        ("x\n1\n2\n\n,\n", "row 2 has 2 cells in place of 1"),
        ("x,y\n1,2\n,4\n", "data.x must be finite; row 1 of column 'x' is missing"),
        ("x\n1\n-inf\n", "data.x must be finite; row 1 of column 'x' is infinite"),
        (
            "x\n1\n-1e300\n",
            "must fit into float32, .* row 1 of column 'x' is -1e[+]300",
        ),
        ("x\n1\n1e999\n", "row 1 of column 'x' is infinite"),
        ("x_0;x_1\n1,5;2\n", "must be separated by commas, .* with ';' in it"),
        ('x,y\n1,2\n3,"4\n5,6\n', "unexpected end of data"),
    ],
)
def test_csv_that_does_not_fit(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        jaxdis.read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00x", b"x\n1\n\x00\n", b"\x80\n1\n"])
def test_csv_that_is_no_text(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.(file|x) must"):
        jaxdis.read(tmp_path / "a.csv")


def folder(path):
    (path / "a.csv").mkdir()
    return path / "a.csv"


def workbook(path):
    (path / "a.xlsx").write_bytes(b"PK")
    return path / "a.xlsx"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda path: "s3://bucket/a.csv", "must be a path on this machine, got s3://"),
        (lambda path: Path("s3://bucket/a.csv"), "must be a path on this machine, got"),
        (lambda path: path / "no.csv", "there is no such file or folder: .*no.csv"),
        (lambda path: path / "photos", "there is no such file or folder: .*photos"),
        (lambda path: path / "no.mat", "there is no such file or folder: .*no.mat"),
        (workbook, r"end in .npz, .*; got .*a.xlsx"),
        (folder, "must have images .*; the folder .*a.csv has none"),
        (lambda path: 3, "must be a path, a mapping .*; got int"),
        (lambda path: np.zeros(3), "must be a path, a mapping .*; got ndarray"),
        (lambda path: {}, "must name the observations, .* the mapping has nothing"),
        (lambda path: {"x": [[1, 2], [3]]}, "'x' is of mixed lengths"),
        (lambda path: {"x": 3.0}, "data.x must have rows; 'x' is one value"),
        (lambda path: {"x": np.zeros((0, 3))}, "'x' of the mapping has none"),
        (lambda path: {"x": np.zeros((3, 0))}, r"must not be empty, got shape \(3, 0"),
        (
            lambda path: {"x": np.ones(3), "u": np.ones(4)},
            "data.u must have as many rows as data.x; 'u' has 4 and 'x' 3",
        ),
        (
            lambda path: {"x": np.ones(3, "datetime64[s]")},
            r"must be numbers or words; 'x' holds values of type datetime64\[s\]",
        ),
        (lambda path: {"x": [{}, {}]}, "'x' holds values such as {}, not numbers"),
        (lambda path: {"x": np.ones(3) * 1j}, "data.x must be real; 'x' holds complex"),
        (
            lambda path: pandas.DataFrame([[1, 2]], columns=["x", "x"]),
            "one column of a name; it has several columns that are called x",
        ),
    ],
)
def test_sources_that_do_not_fit(tmp_path, source, message):
    with pytest.raises(ValueError, match=message) as error:
        jaxdis.read(source(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet", ".h5", ".csv.gz"])
def test_files_that_are_something_else(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for content in (b"x,y\n1,2\n", b"\x00" * 100, b"PK\x03\x04" + b"\x00" * 60):
        path.write_bytes(content)
        message = f"data.file must be a readable .*; {re.escape(str(path))}: "
        with pytest.raises(ValueError, match=message) as error:
            jaxdis.read(path)
        assert "\n" not in str(error.value)
        assert "pickle" not in str(error.value)
        assert "Type-check" not in str(error.value)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"must be a file with data; {path} is empty"):
        jaxdis.read(path)


@pytest.mark.parametrize(
    ("source", "cuts", "flips"),
    [
        ("npz", 60, 400), ("csv.gz", 60, 400),
        ("hdf5", 20, 100), ("csv", 20, 100), ("parquet", 20, 100),
    ],
)  # fmt: skip
def test_damaged_files_are_one_sentence(tmp_path, source, cuts, flips):
    """Truncations and flipped bits; archives have sums that tell all of them."""
    path = Path(SOURCES[source](tmp_path))
    good = path.read_bytes()
    rng, messages = np.random.default_rng(0), []
    damaged = [good[:end] for end in np.linspace(0, len(good) - 1, cuts).astype(int)]
    for bit in rng.choice(8 * len(good), flips, replace=False):
        content = bytearray(good)
        content[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(content))
    whole = jaxdis.read(ARRAYS)
    for content in damaged:
        path.write_bytes(content)
        try:
            rows = jaxdis.read(path)
        except ValueError as error:
            messages.append(str(error))
            continue
        if source in ("npz", "csv.gz"):
            np.testing.assert_array_equal(rows.x, whole.x)
            np.testing.assert_array_equal(rows.y, whole.y)
    assert len(messages) >= 20
    for message in messages:
        assert message.startswith("data.")
        assert "\n" not in message
        assert "pickle" not in message
        assert "Type-check" not in message


@pytest.mark.parametrize(
    ("suffix", "package", "extra"),
    [(".parquet", "pandas", "tables"), (".h5", "h5py", "hdf5")],
)
def test_packages_that_are_not_installed(tmp_path, monkeypatch, suffix, package, extra):
    (tmp_path / f"a{suffix}").write_bytes(b"data")
    table(tmp_path, ".csv")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"pip install 'jaxdis\[{extra}\]'"):
        jaxdis.read(tmp_path / f"a{suffix}")
    # A csv needs none of them.
    assert len(jaxdis.read(tmp_path / "a.csv").x) == N


def test_objects_that_are_numbers(tmp_path):
    values = [Decimal("1.5"), Decimal("-2"), None, Decimal("7")] * 5
    frame = pandas.DataFrame({"x": RNG.normal(size=20), "y": values})
    frame.to_parquet(tmp_path / "a.parquet")
    for source in (frame, tmp_path / "a.parquet", polars.from_pandas(frame)):
        rows = jaxdis.read(source)
        assert rows.names.y == (Label("y"),)
        np.testing.assert_array_equal(rows.y[:, 0], [1.5, -2, np.nan, 7] * 5)
    text = {"x": RNG.normal(size=3), "y": ["b", True, 2]}
    assert jaxdis.read(text).names.y[0].values == ("2", "True", "b")


def test_columns_of_other_things(tmp_path):
    frame = pandas.DataFrame({"x": [[1, 2], [3, 4]], "day": ["2020-01-01"] * 2})
    frame["day"] = pandas.to_datetime(frame["day"])
    frame.to_parquet(tmp_path / "a.parquet")
    for source in (frame, tmp_path / "a.parquet", polars.from_pandas(frame)):
        with pytest.raises(ValueError, match=r"data.x must be numbers or words; 'x'"):
            jaxdis.read(source)
        with pytest.raises(ValueError, match=r"'day' holds values of type datetime64"):
            jaxdis.read(source, x="day")


def test_parquet_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    from jaxdis.data import memory

    path = parquet(tmp_path)
    monkeypatch.setattr(memory, "free_memory", lambda: 8 * N * 12 - 1)
    with pytest.raises(ValueError, match=r"readable parquet; .* it takes .* GB"):
        jaxdis.read(path)
    monkeypatch.setattr(memory, "free_memory", lambda: 100)
    path = hdf5(tmp_path)
    with pytest.raises(ValueError, match=r"readable HDF5 file; .* 'x' in it takes"):
        jaxdis.read(path)


def test_arrays_of_other_names_are_said_and_known_truth_is_not(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", x=ARRAYS["x"], actions=ARRAYS["a"], gz=np.eye(2))
    jaxdis.read(tmp_path / "a.npz")
    assert "not read of" in (said := capsys.readouterr().out)
    assert "a.npz: actions. A field" in said
    jaxdis.read(tmp_path / "a.npz", a="actions")
    assert capsys.readouterr().out == ""
