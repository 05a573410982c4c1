"""Image sets with known factors, their rows in a random order.

The factors are label columns. Held-out rows have them as latents too: every value is
spread over its bin, so that the latents are continuous.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data import factors, tfds
from jaxdis.data.files import read_npz
from jaxdis.types import Label, PRNGKey, Rows, Spec, Splits

__all__ = [
    "Cars3d",
    "Dsprites",
    "Shapes3d",
    "SmallNorb",
    "split_images",
    "spread",
]


@dataclass(frozen=True)
class Dsprites:
    """dSprites: 64 x 64 pixels of 3 shapes, 5 factors.

    Attributes:
      directory: the data directory of TensorFlow Datasets; its default if left out.
      test_rows: the number of rows of each of the two held-out splits, at most.
      seed: the seed of the splits.
    """

    directory: str | None = None
    test_rows: int = 5_120
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names of the factors; ValueError for test_rows below 1."""
        return _spec(factors.SETS["dsprites"], self.test_rows)

    def load(self) -> Splits:
        """Rows; ValueError where TensorFlow Datasets does not have the set."""
        self.spec()
        images = factors.labelled(tfds.dsprites(_path(self.directory)))
        return split_images(images, self.test_rows, self.seed)


@dataclass(frozen=True)
class Shapes3d:
    """3D Shapes: 64 x 64 pixels in colour, 6 factors.

    Attributes:
      directory: the data directory of TensorFlow Datasets; its default if left out.
      test_rows: the number of rows of each of the two held-out splits, at most.
      seed: the seed of the splits.
    """

    directory: str | None = None
    test_rows: int = 5_120
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names of the factors; ValueError for test_rows below 1."""
        return _spec(factors.SETS["shapes3d"], self.test_rows)

    def load(self) -> Splits:
        """Rows; ValueError where TensorFlow Datasets does not have the set."""
        self.spec()
        images = factors.labelled(tfds.shapes3d(_path(self.directory)))
        return split_images(images, self.test_rows, self.seed)


@dataclass(frozen=True)
class SmallNorb:
    """SmallNORB: toys of 5 categories in 64 x 64 pixels, 4 factors, the toy unknown.

    Attributes:
      directory: the data directory of TensorFlow Datasets; its default if left out.
      test_rows: the number of rows of each of the two held-out splits, at most.
      seed: the seed of the splits.
    """

    directory: str | None = None
    test_rows: int = 5_120
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names of the factors; ValueError for test_rows below 1."""
        return _spec(factors.SETS["smallnorb"], self.test_rows)

    def load(self) -> Splits:
        """Rows; ValueError where TensorFlow Datasets does not have the set."""
        self.spec()
        images = tfds.smallnorb(_path(self.directory))
        return split_images(images, self.test_rows, self.seed)


@dataclass(frozen=True)
class Cars3d:
    """Cars3D: 183 cars in 64 x 64 pixels in colour, 3 factors.

    Attributes:
      file: an npz of `images` (uint8 `[n, h, w, 3]`) and `factors` (`[n, 3]`);
        TensorFlow Datasets does not have the set.
      test_rows: the number of rows of each of the two held-out splits, at most.
      seed: the seed of the splits.
    """

    file: str | None = None
    test_rows: int = 5_120
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names of the factors; ValueError for test_rows below 1."""
        return _spec(factors.SETS["cars3d"], self.test_rows)

    def load(self) -> Splits:
        """Rows; ValueError where the file is not what it should be."""
        self.spec()
        if self.file is None:
            raise ValueError(
                "data.file must name an npz with `images` and `factors` of cars3d, "
                "which TensorFlow Datasets does not have"
            )
        found = read_npz(Path(self.file), ("images", "factors"))
        sizes = factors.SETS["cars3d"].sizes
        images = factors.by_factors(found["images"], found["factors"], sizes)
        return split_images(factors.labelled(images), self.test_rows, self.seed)


def _path(directory: str | None) -> Path | None:
    return None if directory is None else Path(directory)


def _spec(known: factors.FactorSet, test_rows: int) -> Spec:
    check.at_least("data.test_rows", test_rows, 1)
    labels = tuple(
        Label(name, size, ordered=name not in known.categorical)
        for name, size in zip(known.names, known.sizes, strict=True)
    )
    return Spec(shape=known.shape, labels=labels, z_dim=len(labels))


def spread(
    key: PRNGKey, values: Int[Array, "*n z"], sizes: tuple[int, ...]
) -> Float[Array, "*n z"]:
    """Values plus U(+-1/2), half the gap between them, with mean 0 and variance 1.

    Args:
      key: draws where in its bin a value is.
      values: the values of the factors, from 0.
      sizes: the number of values of each factor.
    """
    size = jnp.array(sizes, float)
    jitter = jax.random.uniform(key, values.shape, minval=-0.5, maxval=0.5)
    shape = (1,) * (values.ndim - 1) + (-1,)
    centre, std = ((size - 1) / 2).reshape(shape), (size / 12**0.5).reshape(shape)
    return (values + jitter - centre) / std


def split_images(images: factors.LabelledImages, test_rows: int, seed: int) -> Splits:
    """Rows in a random order: a tenth each for valid and test, at most `test_rows`.

    Args:
      images: the images with their factors.
      test_rows: the number of rows of valid and of test, at most.
      seed: the seed of the order, and of where held-out latents are in their bins.
    """
    order = np.random.default_rng(seed).permutation(len(images.images))
    tenth = max(1, len(order) // 10)

    def rows(some: np.ndarray) -> tuple[Array, Array]:
        return jnp.asarray(images.images[some]), jnp.asarray(images.factors[some])

    def held_out(some: np.ndarray, number: int) -> Rows:
        x, y = rows(some[:test_rows])
        key = jax.random.fold_in(jax.random.key(seed), number)
        z = spread(jax.random.split(key)[0], y, tuple(images.sizes))
        return Rows(x, y=y, z=z)

    x, y = rows(order[2 * tenth :])
    return Splits(
        Rows(x, y=y),
        held_out(order[:tenth], 1),
        held_out(order[tenth : 2 * tenth], 2),
    )
