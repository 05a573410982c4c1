"""New files are read by the names of the columns that were trained on."""

from pathlib import Path

import numpy as np
import pandas
import pytest

from jaxdis.data.preparation import apply as prepared
from jaxdis.data.preparation import apply_x, measure
from jaxdis.data.reading import read
from jaxdis.experiment.reading import OBSERVATIONS, read_again

X = np.random.default_rng(0).normal(size=(9, 3))
NAMES = ("s_1", "s_0", "s_2")
ASKED = dict.fromkeys(("x", "a", "y", "episode", "window", "size"))


def write(path: Path, names: tuple[str, ...]) -> Path:
    columns = {name: X[:, NAMES.index(name)] for name in names}
    if path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix == ".pq":
        pandas.DataFrame(columns).to_parquet(path)
    else:
        pandas.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("new", ["new.npz", "new.pq", "NEW.CSV"])
@pytest.mark.parametrize("old", ["old.npz", "old.pq"])
def test_columns_in_another_order(tmp_path, old, new):
    file = write(tmp_path / old, NAMES)
    found = measure(read(file, x="s_*"))
    data = {"file": str(file), "x": ["s_*"], "episode": None}
    settings = {"data": data | {"window": None, "stride": None, "size": None}}
    again = write(tmp_path / new, ("s_2", "s_0", "s_1"))
    rows = read_again(again, settings, found.names, ASKED, kept=OBSERVATIONS)
    np.testing.assert_allclose(prepared(found, rows).x, apply_x(found, X), atol=1e-5)


def test_what_a_table_lacks_is_not_asked_for(tmp_path):
    file = write(tmp_path / "old.csv", NAMES)
    names = read(file, x=["s_0", "s_1"], a="s_2").names
    data = {"file": str(file), "x": ["s_?"], "a": ["s_2"], "episode": None}
    settings = {"data": data | {"window": None, "stride": None, "size": None}}
    new = write(tmp_path / "new.csv", ("s_1", "s_0"))
    rows = read_again(new, settings, names, ASKED)
    assert (rows.names.x, rows.a) == (("s_0", "s_1"), None)
