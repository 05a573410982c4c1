"""Reading files: what is wrong is said in one sentence."""

import io
import re
import zipfile

import numpy as np
import pytest

from jaxdis.data import memory
from jaxdis.data.files import npz_names, read_npy, read_npz, read_npz_arrays


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
        ValueError, match=r"data\.file must be a readable npz( of x)?;"
    ) as e:
        read_npz(path, ("x",))
    assert str(path) in str(e.value)
    assert reason in str(e.value)
    assert "pickle" not in str(e.value)


def test_arrays_that_are_missing_are_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3))
    message = f"data.file must hold x, u, z; {path} lacks u, z and has x"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_npz(path, ("x", "u", "z"))


def test_only_the_arrays_that_are_asked_for_are_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3), objects=np.array([{}, None], object))
    assert npz_names(path) == ("x", "objects")
    found = read_npz_arrays(path, ["x"])
    assert list(found) == ["x"]
    np.testing.assert_array_equal(found["x"], [0, 1, 2])


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, order):
    array = np.asarray(np.arange(12.0).reshape(3, 4), order=order)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), array)


def header(shape, dtype="<f8"):
    stream = io.BytesIO()
    fields = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(10**11, 10), (2**63, 2**63), (-1, -1), (3,)])
def test_an_array_that_declares_more_than_there_is(tmp_path, shape):
    """100 GB are refused before any memory is taken for them."""
    content = header(shape) + bytes(32)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    message = rf"it is damaged: an array of shape {re.escape(str(shape))} .* are 32"
    with pytest.raises(ValueError, match="data.file must be a readable npy; " + ".*"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=message):
        read_npz(tmp_path / "a.npz", ("x",))


def test_an_array_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10_000))
    np.save(tmp_path / "a.npy", np.zeros(10_000))
    assert memory.free_memory() > 80_000
    monkeypatch.setattr(memory, "free_memory", lambda: 79_999)
    for read in (
        lambda: read_npz(tmp_path / "a.npz", ("x",)),
        lambda: read_npy(tmp_path / "a.npy"),
    ):
        with pytest.raises(
            ValueError, match="an array in it takes 8e-05 GB, and 8e-05"
        ):
            read()


def test_two_arrays_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header((4,)) + bytes(32))
        archive.writestr("x", header((4,)) + bytes(32))
    with pytest.raises(ValueError, match="two arrays that are called x"):
        npz_names(tmp_path / "a.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_archive_is_read_right_or_refused(tmp_path, save):
    """60 truncations and 400 flipped bits, in one line each."""
    path, rng = tmp_path / "a.npz", np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(40, 3)), "u": np.array(["a", "b"] * 20)}
    save(path, **arrays)
    good = path.read_bytes()
    ends = np.linspace(0, len(good) - 1, 60).astype(int)
    damaged = [good[:end] for end in ends]
    for bit in rng.choice(8 * len(good), 400, replace=False):
        content = bytearray(good)
        content[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(content))
    messages = []
    for content in damaged:
        path.write_bytes(content)
        try:
            found = read_npz(path, ("x", "u"))
        except ValueError as error:
            messages.append(str(error))
            continue
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    assert len(messages) >= 300
    for message in messages:
        assert message.startswith("data.file must")
        assert "\n" not in message
        assert "pickle" not in message
        assert "Type-check" not in message
