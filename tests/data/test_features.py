"""Files of features: what they hold, how they are split, and what is wrong in them."""

import dataclasses
import os
import re

import numpy as np
import pytest

from jaxdis.data.features import Features, read_features
from jaxdis.types import Label

N = 300


def given(**changes):
    """Arrays of three domains, two label columns of strings, and 4 features."""
    rng = np.random.default_rng(0)
    column = np.stack([rng.permutation(N) % 2 for _ in range(2)], 1)
    return {
        "features": rng.normal(size=(N, 4)) + 3.0,
        "labels": np.array([["cat", "in"], ["dog", "out"]])[column, [0, 1]],
        "domains": np.array(["photo", "art", "sketch"])[np.arange(N) % 3],
    } | changes


def written(tmp_path, **changes):
    """A data set of the arrays in a file."""
    path = tmp_path / "features.npz"
    np.savez(path, **{k: v for k, v in given(**changes).items() if v is not None})
    return Features(file=str(path))


def test_labels_and_domains_are_numbered(tmp_path):
    data, arrays = written(tmp_path), given()
    found = read_features(tmp_path / "features.npz")
    assert found.domains == ("art", "photo", "sketch")
    np.testing.assert_array_equal(found.u == 0, arrays["domains"] == "art")
    np.testing.assert_array_equal(found.y, arrays["labels"] == ["dog", "out"])
    spec = data.spec()
    assert (spec.shape, spec.domains) == ((4,), found.domains)
    labels = [(label.name, label.classes) for label in spec.labels]
    assert labels == [("label 0", 2), ("label 1", 2)]


@pytest.mark.parametrize("target", [None, "art"])
def test_the_target_is_the_test_split(tmp_path, target):
    """Standardised by the source domains; the target is the last by name."""
    data, arrays = written(tmp_path), given()
    splits = dataclasses.replace(data, target=target).load()
    known = arrays["features"].astype(np.float32)
    source = known[arrays["domains"] != (target or "sketch")].astype(float)
    x = ((known - source.mean(0)) / source.std(0)).astype(np.float32)
    where = {a.tobytes(): i for i, a in enumerate(x)}
    seen = []
    for rows in splits[:3]:
        index = [where[a.tobytes()] for a in np.asarray(rows.x)]
        seen.append(index)
        names = np.array(data.spec().domains)[np.asarray(rows.u)]
        np.testing.assert_array_equal(names, arrays["domains"][index])
        dog = arrays["labels"][index] == ["dog", "out"]
        np.testing.assert_array_equal(rows.y, dog)
    assert set(arrays["domains"][seen[2]]) == {target or "sketch"}
    # A fifth of every other domain is valid.
    assert [len(some) for some in seen] == [160, 40, 100]
    _, counts = np.unique(splits.valid.u, return_counts=True)
    assert counts.tolist() == [20, 20]
    assert sorted(np.concatenate(seen)) == list(range(N))


def test_one_column_of_numbers_will_do(tmp_path):
    labels = np.arange(N) // 3 % 3 * 10
    whole = np.random.default_rng(0).integers(0, 9, (N, 4))
    data = written(
        tmp_path, labels=labels, domains=np.arange(N) % 3 - 1, features=whole
    )
    spec = data.spec()
    assert spec.domains == ("-1", "0", "1")
    assert spec.labels == (Label("label", 3),)
    found = read_features(tmp_path / "features.npz")
    np.testing.assert_array_equal(found.y[:, 0], labels // 10)
    assert data.load().test.y.shape == (100, 1)


def test_a_constant_feature_is_named_and_dropped(tmp_path):
    x = np.random.default_rng(0).normal(size=(N, 4))
    x[np.arange(N) % 3 != 2, 1] = 7.0  # in the source domains
    data = written(tmp_path, features=x)
    with pytest.warns(UserWarning, match=r"features \[1\] are constant"):
        test = data.load().test
    assert (test.x[:, 1] == 0).all()
    assert (np.asarray(test.x[:, 0]) != 0).all()


def test_a_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    data = written(tmp_path)
    first = read_features(tmp_path / "features.npz")
    assert read_features(tmp_path / "features.npz") is first
    written(tmp_path, domains=np.array(["b", "a"])[np.arange(N) % 2])
    os.utime(tmp_path / "features.npz", ns=(1, 1))
    assert data.spec().domains == ("a", "b")


NAN = np.where(np.arange(1200).reshape(300, 4) == 7, np.nan, 1.0)
DOMAIN = np.arange(N) % 3
BAD_FILES = {
    "labels missing": ({"labels": None}, "lacks labels and has features, domains"),
    "NaN": ({"features": NAN}, "data.file holds NaN or infinite features"),
    "NaN labels": ({"labels": NAN[:, 3]}, "data.file holds NaN or infinite labels"),
    "one domain": ({"domains": np.zeros(300)}, "at least 2 domains"),
    "one class": ({"labels": np.zeros(300)}, "at least 2, in every column"),
    "other classes": (
        {"labels": np.stack([np.arange(300) % 2, np.arange(300) % 3], 1)},
        "has [2, 3]",
    ),
    "lengths": ({"domains": DOMAIN[1:]}, "has (300, 4), (300, 2) and (299,)"),
    "empty": ({"features": np.zeros((0, 4))}, "has (0, 4)"),
    "rank": ({"features": np.zeros(300)}, "has (300,)"),
    "a number": ({"labels": np.array(1)}, "has (300, 4), () and"),
    "words": ({"features": np.full((300, 4), "a")}, "features that are numbers"),
    "objects": ({"features": np.full((300, 4), None)}, "must be a readable npz"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_one_clear_error(tmp_path, name):
    changes, message = BAD_FILES[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        written(tmp_path, **changes).spec()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 damaged", None, "npy"])
def test_files_that_are_no_npz(tmp_path, content):
    path = tmp_path / "file.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"must be a readable npz of features.*npz: "):
        read_features(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "painting"}, "must be one of art, photo, sketch, got 'painting'"),
        ({"file": None}, "data.file must name an npz with `features`"),
    ],
)
def test_what_a_file_does_not_have(tmp_path, changes, message):
    data = dataclasses.replace(written(tmp_path), **changes)
    for read in (data.spec, data.load):
        with pytest.raises(ValueError, match=re.escape(message)):
            read()
