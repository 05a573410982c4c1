"""Sets that tensorflow-datasets has prepared, read without TensorFlow.

TensorFlow is needed once, to prepare a set, and the set must be stored as array_record:
`tfds.builder(name, file_format="array_record").download_and_prepare()`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8

from jaxdis.data.factors import SETS, FactorImages, LabelledImages, by_factors, stored

__all__ = ["dsprites", "mnist", "shapes3d", "smallnorb"]

_BLOCK = 1024  # records held decoded at a time


def _how_to_prepare(name: str, directory: Path) -> str:
    return (
        "prepare it once with TensorFlow (pip install tensorflow-cpu): "
        f"tfds.builder({name!r}, data_dir={str(directory)!r}, "
        'file_format="array_record").download_and_prepare()'
    )


def _library(name: str) -> Any:
    """The package, which nothing but sets that are read through it needs."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ValueError(
            f"the set {name!r} is read through tensorflow-datasets, which cannot be "
            f"imported ({error}): pip install 'jaxdis[tfds]'"
        ) from error
    return tensorflow_datasets


def _builder(name: str, directory: Path | None) -> Any:
    """The newest prepared version of a set, from its files alone."""
    tfds = _library(name)
    if directory is None:
        default = Path.home() / "tensorflow_datasets"
        directory = Path(os.environ.get("TFDS_DATA_DIR", default))
    versions = [
        path.parent
        for path in directory.glob(f"{name}/*/dataset_info.json")
        if tfds.core.Version.is_valid(path.parent.name)
    ]
    if not versions:
        raise ValueError(
            f"directory must hold the set {name!r}, nothing at {directory / name}; "
            + _how_to_prepare(name, directory)
        )
    newest = max(versions, key=lambda path: tfds.core.Version(path.name))
    builder = tfds.builder_from_directory(newest)
    formats = sorted(f.value for f in builder.info.available_file_formats())
    if "array_record" not in formats:
        raise ValueError(
            f"directory must hold the set {name!r} as array_record, {newest} is "
            f"{' and '.join(formats)}, which only TensorFlow reads; remove it and "
            + _how_to_prepare(name, directory)
        )
    return builder


def _records(
    builder: Any, labels: list[str], split: str = "train"
) -> Shaped[np.ndarray, "n"]:
    """Records with the fields `image` and `labels`, in the order of the files."""
    source = builder.as_data_source(split, file_format="array_record")
    dtype = np.dtype(
        [
            ("image", np.uint8, builder.info.features["image"].shape),
            ("labels", np.int32, (len(labels),)),
        ]
    )

    def blocks() -> Iterator[Shaped[np.ndarray, "block"]]:
        for i in range(0, len(source), _BLOCK):
            # One call for many records: record by record takes three times as long.
            rows = source.__getitems__(range(i, min(i + _BLOCK, len(source))))
            block = np.empty(len(rows), dtype)
            block["image"] = [row["image"] for row in rows]
            block["labels"] = [[row[label] for label in labels] for row in rows]
            yield block

    path = Path(builder.data_dir) / f"jaxdis-{split}.npy"
    return stored(path, dtype, (len(source),), blocks)


def mnist(
    directory: Path | None = None,
) -> tuple[UInt8[np.ndarray, "n 28 28 1"], Int32[np.ndarray, "n"]]:
    """Images and labels of MNIST's training split, in the order of the files.

    The first call decodes the set into `jaxdis-train.npy` beside its files.

    Args:
      directory: the data directory of tensorflow-datasets; by default `TFDS_DATA_DIR`
        or `~/tensorflow_datasets`.

    Raises:
      ValueError: tensorflow-datasets is not installed, or the set is not there, or not
        as array_record.
    """
    records = _records(_builder("mnist", directory), ["label"])
    images = np.ascontiguousarray(records["image"])
    return images, np.ascontiguousarray(records["labels"][:, 0])


def shapes3d(directory: Path | None = None) -> FactorImages:
    """All images of 3D Shapes, in mixed-radix order of their `label_*` fields.

    5.9 GB in memory. The first call decodes the set into `jaxdis-train.npy`, of the
    same size, beside its files.

    Args:
      directory: the data directory, as of `mnist`.

    Raises:
      ValueError: as `mnist`, or a combination of factors that is missing or repeated.
    """
    return _every_combination("shapes3d", directory)


def dsprites(directory: Path | None = None) -> FactorImages:
    """All images of dSprites, in mixed-radix order of their `label_*` fields.

    Pixels are 0 or 255. 3.0 GB in memory. The first call decodes the set into
    `jaxdis-train.npy`, of the same size, beside its files.

    Args:
      directory: the data directory, as of `mnist`.

    Raises:
      ValueError: as `shapes3d`.
    """
    images, sizes = _every_combination("dsprites", directory)
    # The files hold 0 and 1. What is mapped from a file is not written to.
    out = images if images.flags.writeable else None
    return FactorImages(np.multiply(images, 255, out=out), sizes)


def smallnorb(directory: Path | None = None, size: int = 64) -> LabelledImages:
    """All images of SmallNORB's left camera, those for training first.

    Ten toys of each category, five of them for training, have the same observed
    factors. The first call decodes the set into `jaxdis-train.npy` and
    `jaxdis-test.npy` beside its files, 450 MB in all.

    Args:
      directory: the data directory, as of `mnist`.
      size: the height and width to which the images are resized by area, from 96.

    Raises:
      ValueError: as `mnist`, or a size below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    builder = _builder("smallnorb", directory)
    labels, sizes = _labels(builder, "smallnorb")
    splits = [_records(builder, labels, split) for split in ("train", "test")]
    images = np.concatenate([_resized(records["image"], size) for records in splits])
    factors = np.concatenate([records["labels"] for records in splits])
    return LabelledImages(images, factors, sizes)


def _labels(builder: Any, name: str) -> tuple[list[str], tuple[int, ...]]:
    """The fields that hold the factors of a set, and their numbers of values."""
    labels = [f"label_{factor}" for factor in SETS[name].names]
    return labels, tuple(builder.info.features[label].num_classes for label in labels)


def _every_combination(name: str, directory: Path | None) -> FactorImages:
    builder = _builder(name, directory)
    labels, sizes = _labels(builder, name)
    records = _records(builder, labels)
    return by_factors(records["image"], records["labels"], sizes)


def _areas(old: int, new: int) -> Float32[np.ndarray, "new old"]:
    """The share that each of `old` pixels has in each of `new` ones on a line."""
    edges = np.linspace(0, old, new + 1)
    start, pixel = edges[:-1, None], np.arange(old)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(start, pixel)
    return (overlap.clip(0) * (new / old)).astype(np.float32)


def _resized(
    images: UInt8[np.ndarray, "n h w 1"], size: int
) -> UInt8[np.ndarray, "n size size 1"]:
    """Means over areas; PIL's box filter takes whole pixels, which 96 to 64 splits."""
    _, height, width, _ = images.shape
    if (height, width) == (size, size):
        return np.ascontiguousarray(images)
    rows, columns = _areas(height, size), _areas(width, size).T
    out = np.empty((len(images), size, size, 1), np.uint8)
    for i in range(0, len(images), _BLOCK):
        block = images[i : i + _BLOCK, ..., 0].astype(np.float32)
        out[i : i + _BLOCK, ..., 0] = np.rint(rows @ block @ columns)
    return out
