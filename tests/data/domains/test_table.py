"""Tables of one's own."""

import os
import re

import numpy as np
import pytest

from jaxdis.data.domains import DomainTable
from jaxdis.data.domains import table as tables


def arrays(rows=60):
    rng = np.random.default_rng(0)
    u = np.repeat([0, 1, 2], rows // 3)
    return {
        "x": rng.normal(size=(rows, 4)) * [1, 2, 3, 4] + u[:, None],
        "u": u,
        "z": rng.normal(size=(rows, 2)),
        "mask": np.array([[1, 0], [1, 1], [0, 1], [0, 1]]),
    }


def saved(path, **changes):
    kept = {k: v for k, v in (arrays() | changes).items() if v is not None}
    np.savez(path / "table.npz", **kept)
    return DomainTable(file=str(path / "table.npz"))


def test_table(tmp_path):
    data = saved(tmp_path)
    spec, splits = data.spec(), data.load()
    assert (spec.shape, spec.domains, spec.z_dim) == ((4,), ("0", "1", "2"), 2)
    assert spec.worlds is None
    np.testing.assert_array_equal(spec.truth.mask, arrays()["mask"])
    three = splits[:3]
    assert [len(s.u) for s in three] == [48, 6, 6]
    for split in three:
        # Any prefix of three rows has all domains.
        assert sorted(np.asarray(split.u[:3])) == [0, 1, 2]
        assert np.bincount(split.u).std() == 0
    x, z, u = (np.concatenate([getattr(s, n) for s in three]) for n in "xzu")
    np.testing.assert_allclose(np.mean(splits.train.x, 0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(splits.train.x, 0), 1, atol=1e-5)
    # Every row once, with its own latents and domain.
    places = [np.abs(arrays()["z"] - row[None]).sum(1).argmin() for row in z]
    assert sorted(places) == list(range(60))
    fit = np.polyfit(arrays()["x"][places, 1], x[:, 1], 1)
    fitted = np.polyval(fit, arrays()["x"][places, 1])
    np.testing.assert_allclose(fitted, x[:, 1], atol=1e-6)
    np.testing.assert_array_equal(u, arrays()["u"][places])


def test_table_without_truth(tmp_path):
    data = saved(tmp_path, z=None, mask=None)
    assert (data.spec().z_dim, data.spec().truth.mask) == (0, None)
    assert "z" not in data.spec().offers
    assert data.load().test.z is None


def test_a_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    read, seen = tables.read_npz, []
    monkeypatch.setattr(
        tables, "read_npz", lambda *args: seen.append(args) or read(*args)
    )
    data = saved(tmp_path)
    for _ in range(2):
        data.spec()
        data.load()
    assert len(seen) == 1
    saved(tmp_path, z=None, mask=None)
    os.utime(data.file, ns=(0, 1))
    assert data.spec().z_dim == 0
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"u": np.repeat([0, 1, 3], 20)}, "data.file must hold domains u without gaps"),
        (
            {"u": np.repeat([-1, 0, 1], 20)},
            "must hold domains u that are whole numbers",
        ),
        ({"u": np.full(60, 0.5)}, "must hold domains u that are whole numbers"),
        ({"u": np.zeros(60, int)}, "data.file must hold at least 2 domains"),
        ({"u": np.r_[np.zeros(58, int), 1, 1]}, "domain 1 of data.file has 2 rows"),
        ({"u": np.zeros(59, int)}, "data.file must hold x [n, m] and u [n]"),
        ({"x": np.full((60, 4), np.nan)}, "data.file holds NaN or infinite x"),
        ({"x": np.full((60, 4), "a")}, "data.file must hold x that are numbers"),
        ({"z": np.zeros((59, 2))}, "must hold z [n, k] with the n = 60 rows of x"),
        ({"mask": np.ones((2, 4))}, "must hold a mask [m, k] of the m columns of x"),
        ({"mask": np.full((4, 2), 2)}, "must hold a mask of 0 and 1"),
        ({"x": np.ones((60, 4))}, "of x in data.file is constant"),
        ({"u": None}, "lacks u"),
    ],
)
def test_bad_tables_are_named(changes, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        saved(tmp_path, **changes).load()


def test_table_that_is_not_there(tmp_path):
    data = DomainTable(file=str(tmp_path / "none.npz"))
    with pytest.raises(ValueError, match=r"data\.file must be a readable npz"):
        data.load()
    with pytest.raises(ValueError, match=re.escape(tables.NO_FILE)):
        DomainTable().load()
    with pytest.raises(ValueError, match=re.escape(tables.NO_FILE)):
        DomainTable().spec()


def test_a_share_that_leaves_no_rows_is_named():
    with pytest.raises(ValueError, match=r"data\.held_out is the share of each of two"):
        DomainTable(file="any", held_out=0.5).spec()
