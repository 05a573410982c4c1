import itertools
import math
import os
import re

import numpy as np
import pytest
from PIL import Image

from jaxdis.data import factors
from jaxdis.data.factors import (
    SETS,
    FactorImages,
    FactorSet,
    bases,
    by_factors,
    labelled,
    read_folder,
)

SIZES = (2, 3, 2)
N = 12
MINI = FactorSet(("a", "b", "c"), SIZES, ("b", "c"), shape=(8, 8, 3), steps=1)
COMBINATIONS = np.array(list(itertools.product(*map(range, SIZES))))
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, 8, 8, 3), np.uint8)


def write_pngs(folder, images, name="{:06}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / name.format(i))


def files(folder):
    return sorted(path.name for path in folder.iterdir())


PUBLISHED = {  # as on the pages of the downloads
    "shapes3d": (480_000, (48000, 4800, 480, 60, 15, 1), 5),
    "falcor3d": (233_280, (46656, 7776, 1296, 216, 36, 6, 1), 7),
    "isaac3d": (737_280, (245760, 30720, 6144, 1536, 384, 96, 16, 4, 1), 8),
    "dsprites": (737_280, (245760, 40960, 1024, 32, 1), 0),
    "smallnorb": (4_860, (972, 108, 6, 1), 0),  # 48,600 images, ten of each
    "cars3d": (17_568, (4392, 183, 1), 0),
}


@pytest.mark.parametrize("name", SETS)
def test_sets_have_the_published_numbers(name):
    known = SETS[name]
    n, published, moving = PUBLISHED[name]
    assert math.prod(known.sizes) == n
    assert bases(known.sizes) == published
    assert len(known.names) == len(known.sizes) == len(set(known.names))
    assert len(known.moving) == moving
    order = [known.names.index(factor) for factor in known.moving]
    assert order == sorted(order)
    # A sequence sets its factor to 0..T, so every moving factor needs T + 1 values.
    assert min((known.sizes[j] for j in order), default=1) == known.steps + 1


def test_factors_that_never_move():
    moving = {name: s for name, s in SETS.items() if s.moving}
    still = {name: set(s.names) - set(s.moving) for name, s in moving.items()}
    assert still == {
        "shapes3d": {"shape"},
        "falcor3d": set(),
        "isaac3d": {"object_shape"},
    }


def test_factors_without_an_order():
    assert {name: s.categorical for name, s in SETS.items() if s.categorical} == {
        "shapes3d": ("shape",),
        "isaac3d": ("object_shape",),
        "dsprites": ("shape",),
        "smallnorb": ("category",),
        "cars3d": ("object",),
    }
    for known in SETS.values():
        assert set(known.categorical) <= set(known.names)


def test_set_without_sequences():
    known = FactorSet(("a",), (2,))
    assert (known.moving, known.steps, known.categorical) == ((), 0, ())


@pytest.mark.parametrize("dtype", [np.int32, np.uint64])
def test_records_of_any_order(dtype):
    order = RNG.permutation(N)
    ordered = by_factors(IMAGES[order], COMBINATIONS[order].astype(dtype), SIZES)
    np.testing.assert_array_equal(ordered.images, IMAGES)
    assert ordered.sizes == SIZES
    for combination in COMBINATIONS:
        index = int(combination @ bases(SIZES))
        np.testing.assert_array_equal(
            ordered.images[index],
            IMAGES[order][(COMBINATIONS[order] == combination).all(1)][0],
        )


def test_records_in_order_are_not_copied():
    assert by_factors(IMAGES, COMBINATIONS, SIZES).images is IMAGES


def test_factors_of_every_image():
    found = labelled(FactorImages(IMAGES, SIZES))
    assert found.images is IMAGES
    assert found.sizes == SIZES
    assert found.factors.dtype == np.int32
    np.testing.assert_array_equal(found.factors, COMBINATIONS)
    again = by_factors(found.images, found.factors, SIZES)
    assert again.images is IMAGES


@pytest.mark.parametrize("images", [IMAGES[1:], np.concatenate([IMAGES, IMAGES])])
def test_images_that_are_not_every_combination(images):
    message = rf"images must hold one .* 12 combinations .*, got {len(images)}"
    with pytest.raises(ValueError, match=message):
        labelled(FactorImages(images, SIZES))


def replaced(row, column, value):
    labels = COMBINATIONS.copy()
    labels[row, column] = value
    return labels


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES / 255, COMBINATIONS, "images must be uint8 .* got float64"),
        (IMAGES[0], COMBINATIONS, r"images must be .* got uint8 \(8, 8, 3\)"),
        (IMAGES[1:], COMBINATIONS, r"factors must be integers \(11, 3\).*\(12, 3\)"),
        (IMAGES, COMBINATIONS[:, :2], r"factors must be integers \(12, 3\).*\(12, 2\)"),
        (IMAGES, COMBINATIONS / 2, "factors must be integers .* got float64"),
        (IMAGES, replaced(5, 1, 3), r"factors\[:, 1\] must be in 0..2, row 5 has 3"),
        (IMAGES, replaced(4, 2, -1), r"factors\[:, 2\] must be in 0..1, row 4 has -1"),
        (
            IMAGES[:-2],
            COMBINATIONS[:-2],
            r"the 12 combinations once; \(1, 2, 0\) occurs 0 times, 2 are missing",
        ),
        (
            IMAGES,
            replaced(11, 2, 0),
            r"factors .* \(1, 2, 0\) occurs 2 times, 1 are missing and 1 repeated",
        ),
    ],
)
def test_labels_that_do_not_fit(images, labels, message):
    with pytest.raises(ValueError, match=message):
        by_factors(images, labels, SIZES)


@pytest.mark.parametrize("name", ["{:06}.png", "{}.png"])
@pytest.mark.parametrize("inner", ["", "images"])
def test_folder_without_labels_is_in_order(tmp_path, name, inner):
    write_pngs(tmp_path / inner, IMAGES, name)
    read = read_folder(MINI, tmp_path)
    np.testing.assert_array_equal(read.images, IMAGES)
    assert read.sizes == SIZES
    np.testing.assert_array_equal(read_folder(MINI, tmp_path / inner).images, IMAGES)


@pytest.mark.parametrize("file", ["labels.npy", "train-rec.labels"])
def test_labels_put_images_in_order(tmp_path, file):
    order = RNG.permutation(N)
    write_pngs(tmp_path / "images", IMAGES[order])
    # Values as in the downloads, evenly in [0, 1]: index / (size - 1).
    values = (COMBINATIONS[order] / (np.array(SIZES) - 1)).astype(np.float32)
    with (tmp_path / file).open("wb") as labels:
        np.save(labels, values)
    for directory in (tmp_path, tmp_path / "images", tmp_path):
        np.testing.assert_array_equal(read_folder(MINI, directory).images, IMAGES)


def test_name_of_a_set(tmp_path, monkeypatch):
    monkeypatch.setitem(SETS, "mini", MINI)
    write_pngs(tmp_path, IMAGES)
    np.testing.assert_array_equal(read_folder("mini", tmp_path).images, IMAGES)


def test_grey_and_transparent_images(tmp_path):
    grey = MINI._replace(shape=(8, 8, 1))
    write_pngs(tmp_path / "grey", IMAGES[..., :1])
    np.testing.assert_array_equal(
        read_folder(grey, tmp_path / "grey").images, IMAGES[..., :1]
    )
    assert read_folder(grey, tmp_path / "grey", size=4).images.shape == (N, 4, 4, 1)
    opaque = np.concatenate([IMAGES, np.full((N, 8, 8, 1), 255, np.uint8)], axis=-1)
    write_pngs(tmp_path / "alpha", opaque)
    np.testing.assert_array_equal(read_folder(MINI, tmp_path / "alpha").images, IMAGES)


def test_size_averages_over_areas(tmp_path):
    write_pngs(tmp_path, IMAGES)
    small = read_folder(MINI, tmp_path, size=4).images
    mean = IMAGES.reshape(N, 4, 2, 4, 2, 3).mean((2, 4))
    assert small.shape == (N, 4, 4, 3)
    assert np.abs(small - mean).max() <= 1  # each direction rounds once
    large = MINI._replace(shape=(2, 2, 3))  # the set's own shape does not matter
    np.testing.assert_array_equal(read_folder(large, tmp_path, size=4).images, small)


def test_second_call_does_not_decode(tmp_path, monkeypatch):
    write_pngs(tmp_path / "images", IMAGES)
    read_folder(MINI, tmp_path)
    assert files(tmp_path) == ["images", "jaxdis-8x8x3.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "jaxdis-8x8x3.npy"), IMAGES)
    monkeypatch.setattr(factors, "_open", lambda *_: pytest.fail("decoded again"))
    read = read_folder(MINI, tmp_path)
    np.testing.assert_array_equal(read.images, IMAGES)
    assert not read.images.flags.writeable


@pytest.mark.parametrize(
    "content",
    [
        lambda path: np.save(path, IMAGES[1:]),
        lambda path: np.save(path, IMAGES.astype(np.int8)),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an array"),
    ],
)
def test_unusable_file_is_written_anew(tmp_path, content):
    write_pngs(tmp_path, IMAGES)
    file = tmp_path / "jaxdis-8x8x3.npy"
    content(file)
    np.testing.assert_array_equal(read_folder(MINI, tmp_path).images, IMAGES)
    np.testing.assert_array_equal(np.load(file), IMAGES)


def test_cut_off_file_is_written_anew(tmp_path):
    write_pngs(tmp_path, IMAGES)
    read_folder(MINI, tmp_path)
    file = tmp_path / "jaxdis-8x8x3.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    np.testing.assert_array_equal(read_folder(MINI, tmp_path).images, IMAGES)
    assert file.read_bytes() == whole


def test_blocks_of_images(tmp_path, monkeypatch):
    monkeypatch.setattr(factors, "_BLOCK", 5)
    write_pngs(tmp_path, IMAGES)
    np.testing.assert_array_equal(read_folder(MINI, tmp_path).images, IMAGES)


def test_folder_that_cannot_be_written(tmp_path, monkeypatch):
    write_pngs(tmp_path, IMAGES)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(factors, "_BLOCK", 5)
    before = files(tmp_path)
    np.testing.assert_array_equal(read_folder(MINI, tmp_path).images, IMAGES)
    assert files(tmp_path) == before


def without_end(png):
    return png[: len(png) // 2]


def without_header(png):
    return png[:11] + b"\0" + png[12:]


def with_unknown_chunk(png):
    return b"?DAT".join(png.rsplit(b"IDAT", 1))


@pytest.mark.parametrize("damage", [without_end, without_header, with_unknown_chunk])
def test_damaged_image_leaves_no_file(tmp_path, damage):
    write_pngs(tmp_path, IMAGES)
    last = tmp_path / "000011.png"
    noise = RNG.integers(0, 256, (150, 150, 3), np.uint8)  # so large that it has parts
    Image.fromarray(noise).save(last)
    last.write_bytes(damage(last.read_bytes()))
    before = files(tmp_path)
    with pytest.raises(ValueError, match=r"directory holds a damaged image, .*000011"):
        read_folder(MINI, tmp_path)
    assert files(tmp_path) == before


def test_file_that_is_no_image(tmp_path):
    write_pngs(tmp_path, IMAGES)
    (tmp_path / "000000.png").write_text("no image")
    for size in (None, 4):
        with pytest.raises(ValueError, match=r"directory holds a damaged .*000000"):
            read_folder(MINI, tmp_path, size)


@pytest.mark.parametrize("size", [None, 4])
def test_images_of_several_sizes(tmp_path, size):
    write_pngs(tmp_path, IMAGES)
    Image.fromarray(IMAGES[0, :5]).save(tmp_path / "000003.png")
    message = "directory must hold images of 8 x 8 pixels, .*000003.png has 8 x 5"
    with pytest.raises(ValueError, match=message):
        read_folder(MINI, tmp_path, size)


def test_images_of_another_size_than_the_set(tmp_path):
    write_pngs(tmp_path, IMAGES)
    large = MINI._replace(shape=(16, 16, 3))
    with pytest.raises(ValueError, match=r"of 16 x 16 .* 8 x 8; the argument size"):
        read_folder(large, tmp_path)


@pytest.mark.parametrize("name", ["falcor3d", "isaac3d"])
def test_missing_folder_says_where_the_data_are(tmp_path, name):
    n = PUBLISHED[name][0]
    absent = re.escape(str(tmp_path / "absent"))
    message = f"directory must hold {n} PNG .*{absent} is no folder.*NVlabs/High-res"
    with pytest.raises(ValueError, match=message):
        read_folder(name, tmp_path / "absent")


def test_wrong_number_of_images(tmp_path):
    write_pngs(tmp_path, IMAGES[:-1])
    with pytest.raises(ValueError, match=r"directory must hold 12 PNG .* holds 11"):
        read_folder(MINI, tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (COMBINATIONS[1:], r"labels \(12, 3\), .*labels.npy is \(11, 3\)"),
        (COMBINATIONS[:, :2], r"labels \(12, 3\), .*labels.npy is \(12, 2\)"),
        (COMBINATIONS[:, [1, 0, 2]], r"\(2, 3, 2\) values .* has \(3, 2, 2\)"),
        (replaced(11, 2, 0), r"factors .* \(1, 2, 0\) occurs 2 times"),
    ],
)
def test_labels_that_do_not_fit_the_folder(tmp_path, labels, message):
    write_pngs(tmp_path / "images", IMAGES)
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(ValueError, match=message):
        read_folder(MINI, tmp_path)


def test_labels_that_are_no_array(tmp_path):
    write_pngs(tmp_path / "images", IMAGES)
    (tmp_path / "train-rec.labels").write_text("0 0 0")
    with pytest.raises(ValueError, match=r"directory holds labels that are no npy arr"):
        read_folder(MINI, tmp_path)


def test_unknown_set_and_size(tmp_path):
    with pytest.raises(ValueError, match=r"which must be .* did you mean 'falcor3d'"):
        read_folder("Falcor3D", tmp_path)
    with pytest.raises(ValueError, match=r"which must be one of shapes3d, .*'x'$"):
        read_folder("x", tmp_path)
    with pytest.raises(ValueError, match=r"size must be at least 1, got 0"):
        read_folder(MINI, tmp_path, size=0)
