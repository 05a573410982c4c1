"""Image sets with factors: labels, latents spread over their bins, disjoint splits."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.data import factor_images, factors
from jaxdis.data.factor_images import (
    Cars3d,
    Dsprites,
    Shapes3d,
    SmallNorb,
    split_images,
    spread,
)

KEY = jax.random.key(0)
SIZES = (4, 5, 3)
COMBINATIONS = np.array(list(itertools.product(*map(range, SIZES))), np.int32)
CARS = factors.FactorSet(
    ("elevation", "azimuth", "object"), SIZES, shape=(4, 4, 1), categorical=("object",)
)


def miniature():
    """Images of three factors whose corner pixels are the factors."""
    shape = (len(COMBINATIONS), 4, 4, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images[:, 0, :3, 0] = COMBINATIONS
    return factors.LabelledImages(images, COMBINATIONS, SIZES)


def nearest(z):
    """The values that spread ones come from: half the gap is the farthest."""
    size = np.array(SIZES)
    return np.round(np.asarray(z) * size / 12**0.5 + (size - 1) / 2)


def test_spread_has_mean_0_and_variance_1():
    sizes = (3, 1, 40)
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(0, v, 40_000) for v in sizes], 1)
    z = np.asarray(spread(KEY, jnp.asarray(values), sizes))
    np.testing.assert_allclose(z.mean(0), 0.0, atol=0.03)
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.02)
    back = z * np.array(sizes) / 12**0.5 + (np.array(sizes) - 1) / 2
    np.testing.assert_array_equal(np.round(back), values)


def test_splits_are_disjoint_and_labelled():
    splits = split_images(miniature(), 5_120, seed=0)
    seen = set()
    for rows, count in zip(splits[:3], (48, 6, 6), strict=True):
        assert rows.x.shape == (count, 4, 4, 1)
        assert rows.x.dtype == jnp.uint8
        np.testing.assert_array_equal(rows.x[:, 0, :3, 0], rows.y)
        seen |= {x.tobytes() for x in np.asarray(rows.x)}
    assert len(seen) == 60
    # Latents are for scores: no training row has them.
    assert splits.train.z is None
    for rows in (splits.valid, splits.test):
        np.testing.assert_array_equal(nearest(rows.z), rows.y)
    few = split_images(miniature(), 4, seed=0)
    np.testing.assert_array_equal(few.test.x, splits.test.x[:4])
    other = split_images(miniature(), 5_120, seed=1)
    assert not np.array_equal(other.test.x, splits.test.x)


@pytest.mark.parametrize(
    ("data", "shape", "sizes", "unordered"),
    [
        (Dsprites(), (64, 64, 1), (3, 6, 40, 32, 32), ["shape"]),
        (Shapes3d(), (64, 64, 3), (10, 10, 10, 8, 4, 15), ["shape"]),
        (SmallNorb(), (64, 64, 1), (5, 9, 18, 6), ["category"]),
        (Cars3d(), (64, 64, 3), (4, 24, 183), ["object"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_factors_are_label_columns(data, shape, sizes, unordered):
    spec = data.spec()
    assert spec.shape == shape
    assert tuple(label.classes for label in spec.labels) == sizes
    assert [label.name for label in spec.labels if not label.ordered] == unordered
    assert spec.z_dim == len(sizes)
    with pytest.raises(ValueError, match=r"data\.test_rows must be at least 1, got 0"):
        type(data)(test_rows=0).spec()


@pytest.mark.parametrize(
    ("data", "reader"),
    [(Dsprites, "dsprites"), (Shapes3d, "shapes3d"), (SmallNorb, "smallnorb")],
)
def test_sets_are_read_from_their_directory(monkeypatch, tmp_path, data, reader):
    asked = []

    def read(directory):
        asked.append(directory)
        images = miniature()
        if reader == "smallnorb":
            return images
        return factors.FactorImages(images.images, SIZES)

    monkeypatch.setattr(factor_images.tfds, reader, read)
    splits = data(directory=str(tmp_path), test_rows=3).load()
    assert asked == [tmp_path]
    np.testing.assert_array_equal(splits.test.x[:, 0, :3, 0], splits.test.y)
    assert len(splits.test.x) == 3


def test_cars_are_read_from_a_file(tmp_path, monkeypatch):
    monkeypatch.setitem(factors.SETS, "cars3d", CARS)
    with pytest.raises(ValueError, match=r"data\.file must name an npz with `images`"):
        Cars3d().load()
    images = miniature()
    shuffled = np.random.default_rng(1).permutation(60)
    path = tmp_path / "cars.npz"
    np.savez(path, images=images.images[shuffled], factors=images.factors[shuffled])
    test = Cars3d(file=str(path)).load().test
    np.testing.assert_array_equal(nearest(test.z), test.x[:, 0, :3, 0])
