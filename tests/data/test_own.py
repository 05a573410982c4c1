"""Data of one's own: splits without leaks, scales of the training rows, memory."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from jaxdis import data, log
from jaxdis.data import memory, own
from jaxdis.data.own import OwnFile, OwnRows, as_data_set
from jaxdis.experiment import identity, plan
from jaxdis.types import Label, Names, Rows, Truth

RNG = np.random.default_rng(1)
N = 200
# The first column tells which row it is.
X = np.c_[np.arange(N), RNG.normal(size=(N, 2)) * [3, 1e4]]
U = np.repeat([0, 1, 2], [120, 60, 20])
NAME = "mechanism_sparsity/quickstart"
TINY = {"z_dim": 2, "batch": 16}
BOUND = {"bound_a": 2}
IMAGES = RNG.integers(0, 256, (N, 6, 4, 3)).astype(np.uint8)


def parts_of(rows, **settings):
    """The numbers of the rows in each split; x stays as it is."""
    splits = OwnRows(rows, standardise=False, **settings).load()
    return [np.asarray(part.x[:, 0]).astype(int) for part in splits[:3]]


def test_every_row_is_in_one_split():
    train, valid, test = parts_of(Rows(X), held_out=0.2)
    assert [len(train), len(valid), len(test)] == [120, 40, 40]
    assert sorted([*train, *valid, *test]) == list(range(N))


def test_seed_makes_the_split():
    one, same, other = (parts_of(Rows(X), seed=s)[1] for s in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(other)


def test_no_group_is_in_two_splits():
    group = RNG.permutation(np.arange(N) // 5)
    parts = parts_of(Rows(X, group=group), held_out=0.2)
    groups = [set(group[part].tolist()) for part in parts]
    assert [len(g) for g in groups] == [24, 8, 8]
    assert len(set.union(*groups)) == 40
    assert sum(map(len, parts)) == N


def test_groups_keep_to_their_domain():
    group = np.arange(N) // 4
    parts = parts_of(Rows(X, u=U, group=group), held_out=0.2)
    for part in parts:
        assert set(U[part]) == {0, 1, 2}
    assert len(set.union(*(set(group[p].tolist()) for p in parts))) == 50
    # Episodes that pass through all domains are split as they are.
    mixed = parts_of(Rows(X, u=np.arange(N) % 2, group=group), held_out=0.2)
    assert len(set(group[mixed[0]]) & set(group[mixed[2]])) == 0


def test_domains_are_in_every_split_and_in_every_start_of_one():
    train, valid, test = parts_of(Rows(X, u=U), held_out=0.1)
    for part in (valid, test):
        np.testing.assert_array_equal(np.bincount(U[part]), [12, 6, 2])
        assert sorted(U[part[:3]]) == [0, 1, 2]
        np.testing.assert_allclose(np.bincount(U[part[:10]]), [6, 3, 1], atol=1)
    assert len(train) == 160


def test_splits_that_are_given_are_kept():
    split = RNG.integers(0, 3, N)
    parts = parts_of(Rows(X, split=split))
    for number, part in enumerate(parts):
        np.testing.assert_array_equal(np.sort(part), np.flatnonzero(split == number))


def test_few_rows_are_scored(capsys):
    settings = {"held_out": 0.2, "valid_rows": 10, "test_rows": 30}
    train, valid, test = parts_of(Rows(X), **settings)
    assert [len(train), len(valid), len(test)] == [120, 10, 30]
    assert "10 of 40 valid rows are scored" in capsys.readouterr().out
    whole = parts_of(Rows(X), held_out=0.2)
    np.testing.assert_array_equal(valid, whole[1][:10])
    np.testing.assert_array_equal(train, whole[0])


def test_scales_are_those_of_the_training_rows():
    splits = OwnRows(Rows(X, a=X[:, 1:] ** 2)).load()
    train, _, test = parts_of(Rows(X))
    scaler = StandardScaler().fit(X[train])
    np.testing.assert_allclose(splits.preparation.x.mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(splits.test.x, scaler.transform(X[test]), atol=1e-5)
    scaler = StandardScaler().fit(X[train, 1:] ** 2)
    np.testing.assert_allclose(
        splits.test.a, scaler.transform(X[test, 1:] ** 2), atol=1e-5
    )


def test_spec_of_vectors():
    names = Names(
        x=("row", "p", "q"), u=("A", "B", "C"), y=(Label("age"), Label("kind", 2)),
        k=("left", "right"),
    )  # fmt: skip
    y = np.c_[X[:, 1], np.arange(N) % 2]
    rows = Rows(
        X, a=X[:, 1], u=U, y=y, k=np.arange(N) % 2, z=X[:, :2], names=names
    )  # fmt: skip
    spec = OwnRows(rows, truth=Truth(gz=np.eye(2, dtype=int))).spec()
    assert (spec.shape, spec.steps, spec.a_dim, spec.z_dim) == ((3,), None, 1, 2)
    assert (spec.domains, spec.transformations) == (names.u, names.k)
    assert (spec.labels, spec.rows) == (names.y, 160)
    assert spec.truth.gz is not None
    train = OwnRows(rows).load().train
    assert train.names is train.group is train.split is None
    assert [a.dtype for a in (train.x, train.u, train.y, train.k, train.z)] == [
        jnp.float32, jnp.int32, jnp.float32, jnp.int32, jnp.float32
    ]  # fmt: skip
    np.testing.assert_allclose(train.z, X[parts_of(rows)[0], :2], rtol=1e-6)


def test_names_that_nobody_gave_are_numbers():
    y = np.arange(N)[:, None] % 4
    data_set = OwnRows(Rows(X, u=U, y=y))
    spec = data_set.spec()
    assert spec.domains == ("0", "1", "2")
    assert spec.labels == (Label("0", 4),)
    assert data_set.load().preparation.names.u == ("0", "1", "2")


@pytest.mark.parametrize(
    ("x", "shape", "steps"),
    [
        (X, (3,), None),
        (X.reshape(50, 4, 3), (3,), 4),
        (IMAGES, (6, 4, 3), None),
        (IMAGES.reshape(50, 4, 6, 4, 3) / 255, (6, 4, 3), 4),
        (jnp.asarray(IMAGES), (6, 4, 3), None),
    ],
)
def test_the_rank_of_x_says_what_it_is(x, shape, steps):
    data_set = OwnRows(Rows(x))
    spec, splits = data_set.spec(), data_set.load()
    assert (spec.shape, spec.steps) == (shape, steps)
    assert splits.train.x.shape[1:] == x.shape[1:]
    assert isinstance(splits.train.x, jax.Array)
    if len(shape) == 3:
        assert splits.preparation.x is None
        assert splits.train.x.dtype == (np.uint8 if steps is None else np.float32)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (Truth(mask=np.ones((2, 2), int)), r"mask must have .* = \(3, 2\) of the data"),
        (Truth(gz=np.eye(3, dtype=int)), r"gz must have the shape .* \(2, 2\)"),
        (Truth(ga=np.ones((2, 2), int)), r"ga must have the shape .* \(2, 1\)"),
        (Truth(gz=np.full((2, 2), 0.5)), "gz must be a matrix of 0 and 1, got float64"),
        (Truth(gz=np.eye(2)[None]), r"gz must be a matrix .* shape \(1, 2, 2\)"),
    ],
)
def test_known_graphs_fit_the_rows(truth, message):
    with pytest.raises(ValueError, match=message):
        OwnRows(Rows(X, a=X[:, 1:2], z=X[:, :2]), truth=truth).spec()


def with_one(value, x=X):
    x = np.array(x, float)
    x[7, 1] = value
    return x


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows(X[:, 0]), r"data.x must be vectors .* got shape \(200,\)"),
        (Rows(X[:0]), "data.x must be vectors"),
        (
            Rows(np.full((9, 2), "a")),
            "data.x must be numbers, got words",
        ),
        (
            Rows(with_one(np.nan)),
            r"data.x must be finite; row 7 at \(1,\) is missing \(NaN\)",
        ),
        (
            Rows(with_one(np.inf), names=Names(x=("a", "b", "c"))),
            "must be finite; row 7 of column 'b' is infinite",
        ),
        (
            Rows(with_one(1e300)),
            r"must fit into float32, .* row 7 at \(1,\) is 1e\+300",
        ),
        (Rows(IMAGES[..., 0]), r"grey images have a channel, x\[..., None\]"),
        (
            Rows(np.moveaxis(IMAGES, 3, 1).repeat(2, -1)),
            r"3 channels in front .*moveaxis\(x, -3, -1\)",
        ),
        (Rows(IMAGES / 200), r"data.x are images and must be uint8 or in \[0, 1\]"),
        (Rows(IMAGES.astype(int)), "must be uint8 .* got int64 from"),
        (Rows(X, a=X[1:]), r"data.a must have the 200 rows of data.x, got shape \(199"),
        (Rows(X, z=X[1:]), r"data.z must have the 200 rows"),
        (Rows(X, a=with_one(np.nan)), "data.a must be finite; row 7"),
        (Rows(X, a=X[:, None]), r"data.a must be columns \[n, a\]; got shape"),
        (
            Rows(X.reshape(50, 4, 3), a=np.ones((50, 4, 1))),
            r"data.a must be columns \[n, a\]; got shape \(50, 4, 1\)",
        ),
        (
            Rows(X.reshape(50, 4, 3), z=np.ones((50, 3, 1))),
            r"data.z must be columns \[n, z\], or \[n, 4, z\]; got",
        ),
        (Rows(X, u=np.zeros(N, int)), "at least 2 domains, got only 0"),
        (Rows(X, u=np.zeros(N, int), names=Names(u=("A",))), "2 domains, got only A"),
        (Rows(X, u=2 * (U % 2)), r"without gaps, 0 .. 1 for the 2 of them; 2 is"),
        (Rows(X, u=U * 0.5), "data.u must hold whole numbers from 0, got float64"),
        (Rows(X, u=U - 1), "data.u must hold whole numbers from 0"),
        (Rows(X, u=np.array(["A", "B"])[U % 2]), "whole numbers .*read makes them"),
        (
            Rows(X, u=U, names=Names(u=("A", "B"))),
            "data.u must be below 2, .* names, A, B; got 2",
        ),
        (
            Rows(X, u=np.r_[np.zeros(N - 2, int), 1, 1]),
            "domain '1' of data.u has 2 rows",
        ),
        (
            Rows(X, y=with_one(np.inf)),
            r"data.y must be finite; row 7 at \(1,\) is infinite",
        ),
        (Rows(X, y=X[:, 1:2], names=Names(y=(Label("b", 3),))), "column 'b', .* whole"),
        (
            Rows(X, y=U[:, None], names=Names(y=(Label("b", 2),))),
            "'b', must be below 2",
        ),
        (
            Rows(X, y=X, names=Names(y=(Label("b"),))),
            "as many columns as names, 1; got",
        ),
        (Rows(X[:2]), "the data set has 2 rows, too few"),
        (Rows(X, group=U // 2), "the data set has 2 groups of rows that stay together"),
        (Rows(X, split=U % 2), "none is 2, test"),
        (Rows(X, split=U + 1), "data.split must hold 0 training, 1 valid and 2 test"),
        (
            Rows(X, split=U, group=np.arange(N) // 50),
            "data.split parts the rows of group 2",
        ),
        (
            Rows(X, split=U, u=np.minimum(U, 1)),
            "domain '1' of data.u is missing from the training",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        OwnRows(rows).spec()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out": 0.5}, "data.held_out is the share"),
        ({"valid_rows": 2}, "data.valid_rows must be at least 3, got 2"),
        ({"test_rows": 0}, "data.test_rows must be at least 1, got 0"),
        ({"block": 0}, "data.block must be at least 1, got 0"),
        ({"seed": -1}, "data.seed must be at least 0, got -1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        OwnRows(Rows(X, u=U), **settings).load()


def test_constant_column_is_refused():
    with pytest.raises(ValueError, match=r"data\.x: column 1 never varies"):
        OwnRows(Rows(X * [1, 0, 1])).load()


class TestMemory:
    def test_rows_that_do_not_fit_stay_on_the_host(self, monkeypatch, capsys):
        monkeypatch.setattr(memory, "room", lambda: 640)
        splits = OwnRows(Rows(X)).load()  # 160 rows of 12 bytes
        assert splits.block == 160 * 640 // (2 * 1920)
        assert type(splits.train.x) is np.ndarray
        assert isinstance(splits.valid.x, jax.Array)
        assert isinstance(splits.test.x, jax.Array)
        assert splits.train.group is splits.train.names is None
        said = " ".join(capsys.readouterr().out.split())
        assert "1.92 kB, of 640 bytes for them on each device; they stay" in said
        assert "and 26 go there at a time" in said

    def test_rows_that_fit_are_on_the_device(self, capsys):
        splits = OwnRows(Rows(X)).load()
        assert splits.block is None
        assert isinstance(splits.train.x, jax.Array)
        assert "note: training rows: 1.92 kB, of" in capsys.readouterr().out

    def test_a_block_that_is_asked_for(self):
        splits = OwnRows(Rows(X), block=32).load()
        assert splits.block == 32
        assert type(splits.train.x) is np.ndarray
        whole = OwnRows(Rows(X), block=160).load()
        assert whole.block is None
        np.testing.assert_array_equal(whole.train.x, splits.train.x)

    def test_devices_of_a_cpu_share_its_memory(self):
        found = dict(
            line.split(":") for line in Path("/proc/meminfo").read_text().splitlines()
        )
        total = 1024 * int(found["MemTotal"].split()[0])
        assert 0 < memory.room() <= total / (2 * jax.local_device_count())

    def test_a_container_has_its_own_limit(self, tmp_path, monkeypatch):
        """What it keeps of files does not count."""
        monkeypatch.setattr(memory, "GROUP", tmp_path)
        of_machine = memory.free_memory()
        (tmp_path / "memory.current").write_text("5000\n")
        kept = "anon 2000\ninactive_file 1000\nactive_file 500\n"
        (tmp_path / "memory.stat").write_text(kept)
        (tmp_path / "memory.max").write_text("9000\n")
        assert memory.free_memory() == 5500
        (tmp_path / "memory.max").write_text("max\n")
        assert memory.free_memory() == pytest.approx(of_machine, rel=0.5)


@pytest.fixture
def reader(monkeypatch):
    """Stands in for the reader of files, and remembers what it was asked."""
    asked = []

    def read(source, **columns):
        asked.append((source, columns))
        return Rows(X)

    monkeypatch.setattr(own, "read", read)
    own._read_once.cache_clear()
    yield asked
    own._read_once.cache_clear()


class TestFile:
    def test_is_read_once_until_it_changes(self, reader, tmp_path, unchecked):
        path = tmp_path / "rows.csv"
        path.write_text("x")
        data_set = OwnFile(str(path), a="torque_*", y=["age", "kind"], window=3)
        assert data_set.spec().shape == (3,)
        assert data_set.load().test.x.shape == (20, 3)
        assert len(reader) == 1
        source, columns = reader[0]
        assert source.where == str(path)
        assert columns["a"] == ["torque_*"]
        assert columns["y"] == ["age", "kind"]
        assert columns["x"] is columns["episode"] is None
        assert columns["window"] == 3
        path.write_text("y, longer")
        data_set.spec()
        assert len(reader) == 2

    def test_of_a_folder_that_changes(self, reader, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "1.png").write_text("x")
        OwnFile(str(tmp_path)).spec()
        OwnFile(str(tmp_path)).spec()
        assert len(reader) == 1
        (tmp_path / "a" / "1.png").write_text("other")
        OwnFile(str(tmp_path)).spec()
        assert len(reader) == 2

    def test_settings_of_the_splits_are_passed_on(self, reader, tmp_path):
        path = tmp_path / "rows.csv"
        path.write_text("x")
        settings = {"held_out": 0.2, "seed": 5, "standardise": False}
        splits = OwnFile(str(path), **settings).load()
        same = OwnRows(Rows(X), **settings).load()
        np.testing.assert_array_equal(splits.test.x, same.test.x)

    def test_needs_a_file(self):
        with pytest.raises(ValueError, match=r"data\.file must name a file of yours"):
            OwnFile().spec()

    def test_columns_are_words(self, tmp_path, unchecked):
        with pytest.raises(ValueError, match=r"data\.a must be names of columns"):
            OwnFile(str(tmp_path), a=[[1, 2]]).spec()

    def test_known_graphs_lie_beside_the_rows(self, reader, tmp_path):
        path = tmp_path / "rows.npz"
        np.savez(path, x=X, mask=np.ones((3, 2)), gz=np.eye(2, dtype=bool))
        truth = OwnFile(str(path)).spec().truth
        np.testing.assert_array_equal(truth.mask, np.ones((3, 2)))
        np.testing.assert_array_equal(truth.gz, np.eye(2))
        assert truth.ga is None


class TestAsDataSet:
    def test_rows_and_data_sets(self):
        rows = Rows(X)
        found = as_data_set(rows, OwnFile(held_out=0.3, seed=7, block=4))
        assert isinstance(found, OwnRows)
        assert found.rows is rows
        assert (found.held_out, found.seed, found.block) == (0.3, 7, 4)
        assert as_data_set(found) is found

    @pytest.mark.parametrize("kind", [str, Path])
    def test_paths(self, kind):
        found = as_data_set(kind("rows.csv"), OwnFile(seed=7, x=("p", "q")))
        assert found == OwnFile("rows.csv", seed=7, x=("p", "q"))
        other = as_data_set(kind("rows.csv"), OwnRows(Rows(X), seed=7))
        assert other == OwnFile("rows.csv", seed=7)

    def test_arrays_alone_are_observations(self):
        for array in (X, jnp.asarray(X)):
            assert as_data_set(array).rows.x is array

    def test_arrays_by_name_and_frames_are_read(self, reader):
        pandas = pytest.importorskip("pandas")
        for value in ({"x": X}, pandas.DataFrame({"x": X[:, 0]})):
            assert isinstance(as_data_set(value), OwnRows)
            assert reader[-1][0] is value


class TestPlan:
    def test_rows_replace_the_data_of_a_preset(self):
        rows = Rows(X, a=X[:, 1:])
        found = plan(NAME, data=rows, config=TINY, hyper=BOUND)
        assert isinstance(found.data, OwnRows)

    def test_arrays_by_name_do_so_too(self, reader):
        with pytest.raises(ValueError, match="needs actions"):
            plan(NAME, data={"x": X, "labels": None}, config=TINY)
        assert set(reader[0][0]) == {"x", "labels"}

    def test_a_mapping_of_settings_changes_those(self):
        found = plan(NAME, data={"samples": 700})
        assert found.data.samples == 700
        with pytest.raises(ValueError, match="no field data 'sample'"):
            plan(NAME, data={"sample": 700})

    def test_fewer_rows_than_a_batch(self):
        rows = Rows(X, a=X[:, 1:])
        message = "batch must be at most the number of training rows, 160; got 161"
        with pytest.raises(ValueError, match=message):
            plan(NAME, data=rows, config={"z_dim": 2, "batch": 161})

    def test_what_a_run_records_of_rows(self):
        def recorded(x):
            rows = Rows(x, a=X[:, 1:], names=Names(x=("p", "q", "r")))
            found = plan(NAME, data=rows, config=TINY, hyper=BOUND)
            text = json.dumps(log.jsonable(identity.identity(found)))
            return json.loads(text)["data"]

        one = recorded(X)
        assert one["set"] == "OwnRows"
        assert one["rows"]["x"]["shape"] == [200, 3]
        assert one["rows"]["names"]["x"] == ["p", "q", "r"]
        assert recorded(X.copy()) == one
        assert recorded(with_one(0.5)) != one


def test_from_the_shell_only_files_are_there():
    assert data.find("own_file") is OwnFile
    assert "own_rows" not in data.names()


def test_the_same_rows_of_every_kind_of_file(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = {"p": X[:, 1], "q": X[:, 2], "push_l": X[:, 1] ** 2, "push_r": 2 * X[:, 0]}
    np.savez(tmp_path / "rows.npz", x=X[:, 1:], a=np.c_[X[:, 1] ** 2, 2 * X[:, 0]])
    frame = pandas.DataFrame(table)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    columns = {"x": ("p", "q"), "a": ("push_*",)}
    npz = OwnFile(str(tmp_path / "rows.npz")).load()
    csv = OwnFile(str(tmp_path / "rows.csv"), **columns).load()
    assert csv.preparation.names.a == ("push_l", "push_r")
    for one, other in zip(npz[:3], csv[:3], strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.a, other.a)


def test_windows_of_a_file_leak_into_no_other_split(tmp_path):
    # Ten episodes of 20 rows; the first column is twice the number of the row.
    table = np.c_[2 * X[:, 0], X[:, 1], np.arange(N) // 20]
    np.savetxt(
        tmp_path / "series.csv", table, delimiter=",", header="row,v,run", comments=""
    )
    data_set = OwnFile(
        str(tmp_path / "series.csv"), x=("row", "v"), episode="run", window=5, stride=1,
        held_out=0.2, standardise=False,
    )  # fmt: skip
    spec = data_set.spec()
    assert (spec.shape, spec.steps, spec.rows) == ((2,), 5, 6 * 16)
    seen = [np.asarray(part.x[..., 0]).astype(int) // 2 for part in data_set.load()[:3]]
    for windows in seen:
        np.testing.assert_array_equal(np.diff(windows, axis=1), 1)
        np.testing.assert_array_equal(windows[:, 0] // 20, windows[:, -1] // 20)
    episodes = [set((windows // 20).ravel().tolist()) for windows in seen]
    assert [len(e) for e in episodes] == [6, 2, 2]
    assert len(set.union(*episodes)) == 10


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("sparse_mixing/own", "--data.u COLUMN (u= of jaxdis.read)"),
        (
            "shared_features/own",
            "--data.y or --data.z COLUMN (y= or z= of jaxdis.read)",
        ),
        (
            "mechanism_sparsity/own",
            "--data.a or --data.episode COLUMN (a= or episode= of jaxdis.read)",
        ),
        ("slow_vae/own", "--data.episode COLUMN (episode= of jaxdis.read)"),
        (
            "ivae/own",
            "--data.a or --data.u or --data.y or --data.episode COLUMN (a= or u= or y= "
            "or episode= of jaxdis.read)",
        ),
    ],
)
def test_what_a_method_lacks_is_named_by_an_option(tmp_path, name, option):
    table, path = np.c_[X[:, 1:], U], tmp_path / "mine.csv"
    np.savetxt(path, table, delimiter=",", header="x_0,x_1,site", comments="")
    said = f"this data set has x: say where it is, by {option}"
    for given, source in (
        (str(path), f"; {path} has x_0, x_1, site"),
        (Rows(X[:, 1:]), ""),
    ):
        with pytest.raises(ValueError, match="needs") as error:
            plan(name, data=given)
        assert str(error.value).endswith(said + source)


def test_a_data_set_that_is_no_file_of_ones_own_has_no_columns_to_name():
    with pytest.raises(ValueError, match=r"this data set has x, y$"):
        plan("sparse_mixing/own", data=data.find("digits")())


def test_a_link_to_no_image_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"images that can be read; .*a\.png"):
        OwnFile(str(tmp_path)).spec()
