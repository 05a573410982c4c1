import io
import itertools
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds_library
from PIL import Image

from jaxdis.data import tfds
from jaxdis.data.factors import SETS, labelled

DIGITS = 40
SIZES = (2, 1, 3, 2, 1, 2)
COMBINATIONS = np.array(list(itertools.product(*map(range, SIZES))))
RNG = np.random.default_rng(0)
SHAPES = RNG.integers(0, 256, (len(COMBINATIONS), 64, 64, 3), np.uint8)
SPRITE_SIZES = (3, 1, 2, 2, 3)
SPRITE_COMBINATIONS = np.array(list(itertools.product(*map(range, SPRITE_SIZES))))
SPRITES = RNG.integers(0, 2, (len(SPRITE_COMBINATIONS), 64, 64, 1), np.uint8)
TOY_SIZES = (5, 2, 3, 1)
TOYS = {"train": range(40), "test": range(40, 60)}


def png(image):
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, format="PNG")
    file.seek(0)
    return file


def digit(i):
    """The image of record i, which says its number, and its label."""
    image = np.random.default_rng(i).integers(0, 256, (28, 28, 1), np.uint8)
    image[0, 0] = i
    return image, i % 10


def toy(i):
    """The image of record i, which says its number, and its factors."""
    image = np.random.default_rng(i).integers(0, 256, (96, 96, 1), np.uint8)
    image[0, 0] = i
    return image, (i % 5, i % 2, i % 3, 0)


# Builders with the names and features of the real ones, which need TensorFlow.
with tfds_library.core.registered.skip_registration():

    class Mnist(tfds_library.core.GeneratorBasedBuilder):
        VERSION = tfds_library.core.Version("3.0.1")

        def _info(self):
            f = tfds_library.features
            image = f.Image(shape=(28, 28, 1))
            features = {"image": image, "label": f.ClassLabel(num_classes=10)}
            return tfds_library.core.DatasetInfo(
                builder=self, features=f.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(range(DIGITS)),
                    "test": self._generate_examples(range(200, 203))}  # fmt: skip

        def _generate_examples(self, numbers):
            for i in numbers:
                image, label = digit(i)
                yield i, {"image": png(image), "label": label}

    class Shapes3d(tfds_library.core.GeneratorBasedBuilder):
        VERSION = tfds_library.core.Version("2.0.0")
        records = range(len(COMBINATIONS))

        def _info(self):
            f = tfds_library.features
            labels = {
                f"label_{name}": f.ClassLabel(num_classes=size)
                for name, size in zip(SETS["shapes3d"].names, SIZES, strict=True)
            }
            values = {
                f"value_{name}": f.Tensor(shape=(), dtype=np.float32)
                for name in SETS["shapes3d"].names
            }
            features = {"image": f.Image(shape=(64, 64, 3))} | labels | values
            return tfds_library.core.DatasetInfo(
                builder=self, features=f.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            names = SETS["shapes3d"].names
            for i in self.records:
                labels = {
                    f"label_{name}": int(value)
                    for name, value in zip(names, COMBINATIONS[i], strict=True)
                }
                values = {f"value_{name}": 0.5 for name in names}
                yield int(i), {"image": png(SHAPES[i])} | labels | values

    class Dsprites(tfds_library.core.GeneratorBasedBuilder):
        VERSION = tfds_library.core.Version("2.0.0")

        def _info(self):
            f = tfds_library.features
            features = {"image": f.Image(shape=(64, 64, 1))}
            for name, size in zip(SETS["dsprites"].names, SPRITE_SIZES, strict=True):
                features[f"label_{name}"] = f.ClassLabel(num_classes=size)
                features[f"value_{name}"] = f.Tensor(shape=[], dtype=np.float32)
            return tfds_library.core.DatasetInfo(
                builder=self, features=f.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            names = SETS["dsprites"].names
            for i, row in enumerate(SPRITE_COMBINATIONS.tolist()):
                labels = dict(
                    zip([f"label_{name}" for name in names], row, strict=True)
                )
                values = {f"value_{name}": 0.5 for name in names}
                yield i, {"image": png(SPRITES[i])} | labels | values

    class Smallnorb(tfds_library.core.GeneratorBasedBuilder):
        VERSION = tfds_library.core.Version("2.0.0")

        def _info(self):
            f = tfds_library.features
            image = f.Image(shape=(96, 96, 1))
            category, *sizes = TOY_SIZES
            labels = [f"label_{name}" for name in SETS["smallnorb"].names]
            features = {
                "image": image,
                "image2": image,
                labels[0]: f.ClassLabel(names=[f"toy {i}" for i in range(category)]),
                "instance": f.ClassLabel(num_classes=10),
            }
            for label, size in zip(labels[1:], sizes, strict=True):
                features[label] = f.ClassLabel(num_classes=size)
            return tfds_library.core.DatasetInfo(
                builder=self, features=f.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {
                split: self._generate_examples(rows) for split, rows in TOYS.items()
            }

        def _generate_examples(self, numbers):
            labels = [f"label_{name}" for name in SETS["smallnorb"].names]
            for i in numbers:
                image, values = toy(i)
                factors = dict(zip(labels, values, strict=True))
                images = {"image": png(image), "image2": png(255 - image)}
                yield i, images | {"instance": i % 10} | factors


def prepare(builder, directory, file_format="array_record"):
    made = builder(data_dir=directory, file_format=file_format)
    made.download_and_prepare()
    return Path(made.data_dir)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tensorflow_datasets")
    prepare(Mnist, directory)
    prepare(Shapes3d, directory)
    prepare(Dsprites, directory)
    prepare(Smallnorb, directory)
    return directory


def test_mnist_reads_every_record(prepared):
    images, labels = tfds.mnist(prepared)
    assert images.shape == (DIGITS, 28, 28, 1)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    assert images.flags.c_contiguous
    assert labels.flags.c_contiguous
    numbers = images[:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(numbers), np.arange(DIGITS))
    for number, image, label in zip(numbers, images, labels, strict=True):
        wanted, wanted_label = digit(int(number))
        np.testing.assert_array_equal(image, wanted)
        assert label == wanted_label


def test_shapes_are_in_order_of_their_factors(prepared):
    source = tfds_library.builder_from_directory(prepared / "shapes3d" / "2.0.0")
    first = source.as_data_source("train")[0]["image"]
    assert not np.array_equal(first, SHAPES[0]), "records are not shuffled"
    read = tfds.shapes3d(prepared)
    assert read.sizes == SIZES
    np.testing.assert_array_equal(read.images, SHAPES)


def test_sprites_are_black_and_white_in_order(prepared):
    assert SETS["dsprites"].shape == SPRITES.shape[1:]
    for _ in range(2):  # nothing is written to the file that the second call maps
        read = tfds.dsprites(prepared)
        assert read.sizes == SPRITE_SIZES
        assert read.images.dtype == np.uint8
        np.testing.assert_array_equal(read.images, np.where(SPRITES, 255, 0))
    np.testing.assert_array_equal(labelled(read).factors, SPRITE_COMBINATIONS)


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("writable", [False, True])
def test_sprites_of_any_order(prepared, monkeypatch, in_order, writable):
    order = np.arange(len(SPRITES))[:: 1 if in_order else -1]
    records = {"image": SPRITES[order], "labels": SPRITE_COMBINATIONS[order]}
    records["image"].flags.writeable = writable
    monkeypatch.setattr(tfds, "_records", lambda *_: records)
    images = tfds.dsprites(prepared).images
    np.testing.assert_array_equal(images, np.where(SPRITES, 255, 0))


def by_area(image, size):
    """Means of whole pixels of an image whose pixels were repeated often enough."""
    side = len(image)
    common = math.gcd(side, size)
    fine = np.kron(np.int64(image[..., 0]), np.ones((size // common,) * 2, np.int64))
    return fine.reshape(size, side // common, size, side // common).mean((1, 3))[
        ..., None
    ]


@pytest.mark.parametrize(("size", "block"), [(96, 1024), (64, 7), (32, 1024), (5, 1)])
def test_toys_of_both_splits(prepared, monkeypatch, size, block):
    monkeypatch.setattr(tfds, "_BLOCK", block)
    read = tfds.smallnorb(prepared, size)
    n = sum(map(len, TOYS.values()))
    assert read.sizes == TOY_SIZES
    assert (read.images.shape, read.images.dtype) == ((n, size, size, 1), np.uint8)
    assert (read.factors.shape, read.factors.dtype) == ((n, 4), np.int32)
    raw = tfds.smallnorb(prepared, 96)
    numbers = raw.images[:, 0, 0, 0]
    for split, rows in [("train", numbers[:40]), ("test", numbers[40:])]:
        np.testing.assert_array_equal(np.sort(rows), TOYS[split])
    for number, image, factors in zip(numbers, read.images, read.factors, strict=True):
        wanted, values = toy(int(number))
        assert tuple(factors) == values
        np.testing.assert_allclose(image, by_area(wanted, size), rtol=0, atol=0.501)


def test_size_of_toys(prepared):
    assert tfds.smallnorb(prepared).images.shape[1:] == SETS["smallnorb"].shape
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        tfds.smallnorb(prepared, 0)


@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("size", [1, 7, 64, 95, 100])
def test_resizing_keeps_an_even_image(value, size):
    images = np.full((2, 96, 96, 1), value, np.uint8)
    np.testing.assert_array_equal(np.unique(tfds._resized(images, size)), [value])


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_size_of_blocks_does_not_matter(tmp_path, monkeypatch, block):
    prepare(Shapes3d, tmp_path)
    monkeypatch.setattr(tfds, "_BLOCK", block)
    np.testing.assert_array_equal(tfds.shapes3d(tmp_path).images, SHAPES)


def test_second_call_does_not_decode(tmp_path, monkeypatch):
    version = prepare(Mnist, tmp_path)
    images, labels = tfds.mnist(tmp_path)
    assert (version / "jaxdis-train.npy").is_file()
    for file in version.glob("*.array_record*"):
        file.write_bytes(b"")
    again = tfds.mnist(tmp_path)
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(again[1], labels)


def test_newest_version_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Shapes3d, "VERSION", tfds_library.core.Version("10.0.0"))
    prepare(Shapes3d, tmp_path)
    monkeypatch.setattr(Shapes3d, "VERSION", tfds_library.core.Version("9.0.0"))
    monkeypatch.setattr(Shapes3d, "records", [0])
    prepare(Shapes3d, tmp_path)
    interrupted = tmp_path / "shapes3d" / "incomplete.ABCDEF_11.0.0"
    interrupted.mkdir()
    (interrupted / "dataset_info.json").write_text("{}")
    np.testing.assert_array_equal(tfds.shapes3d(tmp_path).images, SHAPES)


def test_combination_that_is_missing(tmp_path, monkeypatch):
    last = len(COMBINATIONS) - 1
    monkeypatch.setattr(Shapes3d, "records", range(last))
    prepare(Shapes3d, tmp_path)
    message = (
        rf"combinations once; \({', '.join(map(str, COMBINATIONS[last]))}\) occurs 0"
    )
    with pytest.raises(ValueError, match=message):
        tfds.shapes3d(tmp_path)


@pytest.mark.parametrize("name", ["mnist", "shapes3d", "dsprites", "smallnorb"])
def test_set_that_is_not_there(tmp_path, name):
    read = getattr(tfds, name)
    message = (
        f"directory must hold the set '{name}', nothing at {tmp_path / name}; prepare "
        "it once with TensorFlow (pip install tensorflow-cpu): "
        f"tfds.builder('{name}', data_dir='{tmp_path}', "
        'file_format="array_record").download_and_prepare()'
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path)


def test_library_that_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    message = r"the set 'mnist' is read through .*: pip install 'jaxdis\[tfds\]'"
    with pytest.raises(ValueError, match=message):
        tfds.mnist(tmp_path)


def test_default_directory(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert len(tfds.mnist()[0]) == DIGITS
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = re.escape(f"nothing at {tmp_path}/tensorflow_datasets/mnist")
    with pytest.raises(ValueError, match=wanted):
        tfds.mnist()


def describe(version, **fields):
    """Rewrites what a set says of itself: tfrecord itself takes TensorFlow to write."""
    path = version / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_set_that_only_tensorflow_reads(tmp_path):
    version = prepare(Mnist, tmp_path)
    describe(version, fileFormat="tfrecord")
    message = (
        f"directory must hold the set 'mnist' as array_record, {version} is tfrecord, "
        "which only TensorFlow reads; remove it and prepare it once with TensorFlow"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        tfds.mnist(tmp_path)


@pytest.mark.parametrize("first", ["tfrecord", "parquet"])
def test_set_in_two_formats(tmp_path, first):
    version = prepare(Mnist, tmp_path)
    describe(version, fileFormat=first, alternativeFileFormats=["array_record"])
    numbers = tfds.mnist(tmp_path)[0][:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(numbers), np.arange(DIGITS))
