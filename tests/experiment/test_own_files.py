"""The same numbers from an array and from files of every kind; files may go."""

import numpy as np
import pandas as pd
import pytest

import jaxdis

X = np.random.default_rng(0).normal(3.0, 2.0, (300, 4)).astype(np.float32)
NAMES = [f"x_{i}" for i in range(4)]


def write_npz(path):
    np.savez(path / "mine.npz", x=X)
    return path / "mine.npz"


def write_csv(path):
    pd.DataFrame(X, columns=NAMES).to_csv(path / "mine.csv", index=False)
    return path / "mine.csv"


def write_parquet(path):
    pd.DataFrame(X, columns=NAMES).to_parquet(path / "mine.parquet")
    return path / "mine.parquet"


def train(data, out):
    return jaxdis.train(
        "beta_vae/own",
        data=data,
        seeds=2,
        steps=4,
        chunk=2,
        config={"z_dim": 3, "encoder": (8,), "decoder": (8,), "batch": 16},
        out=out,
    )


@pytest.fixture(scope="module")
def of_arrays(tmp_path_factory):
    out = tmp_path_factory.mktemp("arrays") / "run"
    return train(jaxdis.read({"x": X}), out)


@pytest.mark.parametrize("write", [write_npz, write_csv, write_parquet])
def test_files_train_as_arrays_do_and_are_not_needed_afterwards(
    of_arrays, write, tmp_path
):
    file = write(tmp_path)
    run = train(file, tmp_path / "run")
    assert set(run.scores) == set(of_arrays.scores)
    for name, values in run.scores.items():
        np.testing.assert_array_equal(values, of_arrays.scores[name])
    file.unlink()
    loaded = jaxdis.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.encode(X), of_arrays.encode(X))
