"""Folders of images: nothing is squashed, clipped or turned without a word."""

import re

import numpy as np
import pandas
import PIL.Image
import pytest

import jaxdis
from jaxdis.data.reading.pictures import read_images
from jaxdis.types import Label

RNG = np.random.default_rng(0)
COLOURED = RNG.integers(0, 256, (6, 8, 12, 3), np.uint8)
GREY = RNG.integers(0, 256, (6, 8, 12), np.uint8)


def save(path, pixels, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.asarray(pixels)).save(path, **settings)
    return path


def save_all(path, images, names=None):
    names = names or [f"{i}.png" for i in range(len(images))]
    return [save(path / n, image) for n, image in zip(names, images, strict=True)]


NAMES = ["b/0.png", "b/1.png", "a/2.png", "a/3.png", "a/4.png", "c/5.png"]


def test_sub_folders_are_domains(tmp_path):
    save_all(tmp_path, COLOURED, NAMES)
    (tmp_path / "a" / "notes.txt").write_text("of mine")
    (tmp_path / "a" / "._2.png").write_bytes(b"left by a file system")
    (tmp_path / ".thumbnails").mkdir()
    rows = jaxdis.read(tmp_path)
    order = [2, 3, 4, 0, 1, 5]
    np.testing.assert_array_equal(rows.x, COLOURED[order])
    assert rows.names.u == ("a", "b", "c")
    assert rows.u.tolist() == [0, 0, 0, 1, 1, 2]
    assert rows.y is None


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG", ".tif", ".webp"])
def test_images_of_one_folder(tmp_path, suffix, capsys):
    settings = {"lossless": True} if suffix == ".webp" else {}
    for i, image in enumerate(COLOURED):
        save(tmp_path / f"{i}{suffix}", image, **settings)
    rows = jaxdis.read(str(tmp_path))
    assert (rows.x.dtype, rows.u) == (np.uint8, None)
    np.testing.assert_array_equal(rows.x, COLOURED)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_of_labels(tmp_path, suffix, capsys):
    save_all(tmp_path, GREY, NAMES)
    order = [3, 0, 5, 2, 1]
    frame = pandas.DataFrame({
        "file": [NAMES[i] for i in order],
        "kind": [["cat", "dog"][i % 2] for i in order],
        "age": [None if i == 5 else i + 0.5 for i in order],
    })  # fmt: skip
    write = {".parquet": frame.to_parquet}.get(suffix)
    if write is None:
        separator = "," if suffix == ".csv" else "\t"
        frame.to_csv(tmp_path / f"labels{suffix}", sep=separator, index=False)
    else:
        write(tmp_path / f"labels{suffix}")
    rows = jaxdis.read(tmp_path, y=["kind", "age"])
    np.testing.assert_array_equal(rows.x, GREY[order][..., None])
    assert rows.names.y == (Label("kind", 2, values=("cat", "dog")), Label("age"))
    expected = [[1, 3.5], [0, 0.5], [1, np.nan], [0, 2.5], [1, 1.5]]
    np.testing.assert_array_equal(rows.y, np.float32(expected))
    # The sub-folders remain the domains.
    assert rows.names.u == ("a", "b", "c")
    assert rows.u.tolist() == [0, 1, 2, 0, 1]
    assert "1 images" in capsys.readouterr().out
    rows = jaxdis.read(tmp_path, u="kind")
    assert rows.names.u == ("cat", "dog")


def test_frames_of_episodes(tmp_path):
    save_all(tmp_path, GREY)
    text = "file,run,torque\n" + "".join(
        f"{i}.png,{'ab'[i // 3]},{i * i}\n" for i in range(6)
    )
    (tmp_path / "labels.csv").write_text(text)
    rows = jaxdis.read(tmp_path, episode="run", a="torque")
    assert rows.x.shape == (4, 2, 8, 12, 1)
    np.testing.assert_array_equal(rows.x[:, 1, ..., 0], GREY[[1, 2, 4, 5]])
    assert rows.a[:, 0].tolist() == [1, 4, 16, 25]
    assert rows.group.tolist() == [0, 0, 1, 1]


# Of one image each.


def one(tmp_path, pixels, size=None, **settings):
    return read_images([save(tmp_path / "a.png", pixels, **settings)], size)[0]


def test_images_that_are_not_square_are_cropped(tmp_path, capsys):
    image = np.zeros((40, 30, 3), np.uint8)
    image[5:35] = 200  # the central square
    found = one(tmp_path, image, size=32)
    assert found.shape == (32, 32, 3)
    assert (found == 200).all()
    wide = one(tmp_path, np.swapaxes(image, 0, 1), size=12)
    assert (wide == 200).all()
    out = capsys.readouterr().out
    assert "1 of 1 images are cropped to the central square" in out


def test_squares_are_resized_and_nothing_said(tmp_path, capsys):
    found = one(tmp_path, np.full((40, 40), 7, np.uint8), size=32)
    np.testing.assert_array_equal(found, np.full((32, 32, 1), 7))
    image = RNG.integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(one(tmp_path, image, size=32), image)
    assert capsys.readouterr().out == ""


def test_images_of_mixed_sizes(tmp_path):
    a = save(tmp_path / "a.png", np.full((16, 16), 9, np.uint8))
    b = save(tmp_path / "b.png", np.full((8, 12), 5, np.uint8))
    message = f"{a} has 16 x 16 pixels and {b} has 12 x 8"
    with pytest.raises(ValueError, match="data.size .*" + re.escape(message)):
        jaxdis.read(tmp_path)
    rows = jaxdis.read(tmp_path, size=4)
    assert rows.x[:, 0, 0, 0].tolist() == [9, 5]


def test_grey_is_one_channel_unless_any_is_coloured(tmp_path):
    save_all(tmp_path, GREY)
    assert jaxdis.read(tmp_path).x.shape == (6, 8, 12, 1)
    save(tmp_path / "9.png", COLOURED[0])
    x = jaxdis.read(tmp_path).x
    np.testing.assert_array_equal(x[:6], np.repeat(GREY[..., None], 3, -1))
    np.testing.assert_array_equal(x[6], COLOURED[0])


def test_sixteen_bits_are_scaled(tmp_path):
    deep = np.array([[0, 300, 40000, 65535]] * 4, np.uint16)
    found = one(tmp_path, deep)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0, :, 0], [0, 1, 156, 255])
    np.testing.assert_array_equal(found[..., 0], np.round(deep / 257))


def test_a_black_and_white_image(tmp_path):
    found = one(tmp_path, np.eye(4) > 0)
    np.testing.assert_array_equal(found[..., 0], 255 * np.eye(4))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    """The eight orientations of EXIF, each undone."""
    stored = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1), 6: np.rot90,
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2), 8: lambda a: np.rot90(a, 3),
    }  # fmt: skip
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    pixels = np.ascontiguousarray(stored[orientation](COLOURED[0]))
    np.testing.assert_array_equal(one(tmp_path, pixels, exif=exif), COLOURED[0])


def test_alpha_is_put_on_black(tmp_path, capsys):
    alpha = np.full((8, 12, 1), 255, np.uint8)
    opaque = np.concatenate([COLOURED[0], alpha], -1)
    np.testing.assert_array_equal(one(tmp_path, opaque), COLOURED[0])
    grey = np.concatenate([GREY[0][..., None], alpha], -1)
    np.testing.assert_array_equal(one(tmp_path, grey), GREY[0][..., None])
    assert capsys.readouterr().out == ""
    alpha[:, :6] = 0
    alpha[:, 6:9] = 51
    through = np.concatenate([COLOURED[0], alpha], -1)
    expected = np.round(COLOURED[0] * (alpha / 255))
    found = one(tmp_path, through)
    np.testing.assert_allclose(found, expected, atol=1)
    assert not found[:, :6].any()
    assert "1 of 1 images have alpha and are put on black" in capsys.readouterr().out


def test_a_palette(tmp_path, capsys):
    image = PIL.Image.fromarray(COLOURED[0]).quantize(8)
    image.save(tmp_path / "a.png")
    found = read_images([tmp_path / "a.png"], None)
    np.testing.assert_array_equal(found[0], np.asarray(image.convert("RGB")))
    image.save(tmp_path / "b.png", transparency=0)
    found = read_images([tmp_path / "b.png"], None)[0]
    assert not found[np.asarray(image) == 0].any()
    kept = np.asarray(image) != 0
    np.testing.assert_array_equal(found[kept], np.asarray(image.convert("RGB"))[kept])
    assert "alpha" in capsys.readouterr().out


# Bad input.


def test_bombs(tmp_path, monkeypatch):
    save_all(tmp_path, GREY)
    for pixels in (60, 40):  # PIL warns of one and refuses the other
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", pixels)
        message = r"data.file must hold images that can be read; .*0.png: .*bomb"
        with pytest.raises(ValueError, match=message) as error:
            jaxdis.read(tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_damaged_images_are_one_sentence(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", COLOURED[0])
    good, rng, messages = path.read_bytes(), np.random.default_rng(0), []
    damaged = [good[:end] for end in np.linspace(0, len(good) - 1, 30).astype(int)]
    for bit in rng.choice(8 * len(good), 100, replace=False):
        content = bytearray(good)
        content[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(content))
    for content in damaged:
        path.write_bytes(content)
        try:
            read_images([path], 8)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) >= 10
    for message in messages:
        assert message.startswith("data.file must")
        assert "\n" not in message
        assert "Type-check" not in message


def floats(path):
    save(path / "a.tif", np.ones((4, 4), np.float32))


def odd(path):
    save(path / "a.png", np.ones((6, 9), np.uint8))


def both(path):
    save_all(path, GREY[:2], ["a.png", "b/b.png"])


def hole(path):
    save_all(path, GREY[:2], ["a/a.png", "b/b.png"])
    (path / "c").mkdir()


def labelled(*names):
    def write(path):
        save_all(path, GREY[:2])
        for name in names:
            (path / name).write_text("file,y\n0.png,1\nno.png,2\n")

    return write


def no_files(path):
    save_all(path, GREY[:2])
    (path / "labels.csv").write_text("image,y\n0.png,1\n1.png,2\n")


def numbers(path):
    save_all(path, GREY[:2])
    (path / "labels.csv").write_text("file,y\n0,1\n1,2\n")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (floats, "must hold images that can be read; .*: its values are floats"),
        (odd, "data.size must be given for .* multiples of 4: .* has 9 x 6 pixels"),
        (both, "either in the folder or in sub-folders; .* has 1 and 1"),
        (hole, "must have images in every sub-folder; .* has none in c"),
        (lambda path: None, "must have images .*; the folder .* has none"),
        (labelled("labels.csv"), "images of its table; .*no.png is not there .1 of 2"),
        (
            labelled("labels.csv", "labels.tsv"),
            r"must have one table; .*\['labels.csv'",
        ),
        (no_files, "table with a column 'file'; .*labels.csv has image, y"),
        (numbers, "path of an image in every row of 'file'"),
    ],
)
def test_folders_that_do_not_fit(tmp_path, write, message):
    write(tmp_path)
    with pytest.raises(ValueError, match=message):
        jaxdis.read(tmp_path)


@pytest.mark.parametrize("name", ["actions.csv", "frames.tsv", "Labels.parquet"])
def test_a_table_of_another_name_is_told_the_right_one(tmp_path, name, capsys):
    save_all(tmp_path, GREY[:2])
    (tmp_path / name).write_text("file,motor\n0.png,1\n1.png,2\n")
    jaxdis.read(tmp_path)
    assert (
        f"{name}; its table is called labels.csv with a column `file`"
        in capsys.readouterr().out
    )
    with pytest.raises(ValueError, match=r"no table labels.csv with a column `file`"):
        jaxdis.read(tmp_path, a="motor")


def test_size_is_for_folders(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    for source in ({"x": GREY}, tmp_path / "a.npy"):
        with pytest.raises(ValueError, match=r"data.size is for a folder of images"):
            jaxdis.read(source, size=8)
    save_all(tmp_path, GREY)
    with pytest.raises(ValueError, match=r"data.size must be at least 1, got 0"):
        jaxdis.read(tmp_path, size=0)


def test_images_that_do_not_fit_into_memory(tmp_path, monkeypatch):
    from jaxdis.data import memory

    save_all(tmp_path, GREY)
    monkeypatch.setattr(memory, "free_memory", lambda: 575)
    message = "data.file, of 6 images, takes 5.76e-07 GB, and"
    with pytest.raises(ValueError, match=message):
        jaxdis.read(tmp_path)
