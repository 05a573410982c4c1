"""Reading files: what is wrong is said in one sentence."""

import re

import numpy as np
import pytest

from jaxdis.data.files import read_npz


def test_all_arrays_are_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3), words=np.array(["a", "b"]))
    found = read_npz(path, ("x",))
    np.testing.assert_array_equal(found["x"], [0, 1, 2])
    assert found["words"].tolist() == ["a", "b"]


def write_text(path):
    path.write_text("x,u\n1,2\n")


def write_array(path):
    with path.open("wb") as stream:
        np.save(stream, np.arange(3))


def write_objects(path):
    np.savez(path, x=np.array([{}, None], object))


def write_damaged(path):
    np.savez_compressed(path, x=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[60:200] = bytes(140)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_text, "it holds no arrays of numbers or strings"),
        (write_objects, "it holds no arrays of numbers or strings"),
        (write_array, "it holds one array without a name"),
        (write_damaged, ""),
        (lambda path: path.write_bytes(b""), ""),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_npz_is_explained(tmp_path, write, reason):
    path = tmp_path / "a.npz"
    write(path)
    with pytest.raises(
        ValueError, match=r"data\.file must be a readable npz of x, u;"
    ) as e:
        read_npz(path, ("x", "u"))
    assert str(path) in str(e.value)
    assert reason in str(e.value)
    assert "pickle" not in str(e.value)


def test_arrays_that_are_missing_are_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3))
    message = f"data.file must hold x, u, z; {path} lacks u, z and has x"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_npz(path, ("x", "u", "z"))
