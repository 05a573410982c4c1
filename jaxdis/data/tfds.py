"""Sets that tensorflow-datasets has prepared, read without TensorFlow.

TensorFlow is needed once, to prepare a set, and the set must be stored as array_record:
`tfds.builder(name, file_format="array_record").download_and_prepare()`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Shaped, UInt8

from jaxdis.data.factors import SETS, FactorImages, by_factors, stored

_BLOCK = 1024  # records held decoded at a time


def _how_to_prepare(name: str, directory: Path) -> str:
    return (
        "prepare it once with TensorFlow (pip install tensorflow-cpu): "
        f"tfds.builder({name!r}, data_dir={str(directory)!r}, "
        'file_format="array_record").download_and_prepare()'
    )


def _builder(name: str, directory: Path | None) -> Any:
    """The newest prepared version of a set, from its files alone."""
    import tensorflow_datasets as tfds

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


def _train(builder: Any, labels: list[str]) -> Shaped[np.ndarray, "n"]:
    """Records with the fields `image` and `labels`, in the order of the files."""
    source = builder.as_data_source("train", file_format="array_record")
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

    path = Path(builder.data_dir) / "jaxdis-train.npy"
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
      ValueError: the set is not there, or not as array_record.
    """
    records = _train(_builder("mnist", directory), ["label"])
    images = np.ascontiguousarray(records["image"])
    return images, np.ascontiguousarray(records["labels"][:, 0])


def shapes3d(directory: Path | None = None) -> FactorImages:
    """All images of 3D Shapes, in mixed-radix order of their `label_*` fields.

    5.9 GB in memory. The first call decodes the set into `jaxdis-train.npy`, of the
    same size, beside its files.

    Args:
      directory: as `mnist`.

    Raises:
      ValueError: as `mnist`, or a combination of factors that is missing or repeated.
    """
    builder = _builder("shapes3d", directory)
    labels = [f"label_{name}" for name in SETS["shapes3d"].names]
    sizes = tuple(builder.info.features[label].num_classes for label in labels)
    records = _train(builder, labels)
    return by_factors(records["image"], records["labels"], sizes)
