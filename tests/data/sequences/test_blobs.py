import numpy as np
import pytest

from jaxdis.data.sequences import BlobSequences
from jaxdis.types import Spec
from tests.data.sequences.common import drawn, training_starts


def test_spec():
    spec = BlobSequences(size=14, steps=4).spec()
    assert spec == Spec((14, 14, 1), 5, transformations=("right", "down"))


@pytest.mark.parametrize("field", ["size", "steps", "valid_rows"])
def test_values_that_are_out_of_range(field):
    with pytest.raises(ValueError, match=f"data.{field} must be at least 1, got 0"):
        BlobSequences(**{field: 0}).spec()


def blob(x):
    """Centre (x, y) and squared width of blobs in frames `[..., h, w, 1]`.

    The logarithm of exp(-|p - c|^2 / (2 s^2)) has the second difference -1 / s^2, and
    the first one from p - 1 to p + 1 is 2 (c - p) / s^2.
    """
    x = np.asarray(x, np.float64)[..., 0]
    frames = x.reshape(-1, *x.shape[-2:])
    found = []
    for frame in frames:
        inside = frame[1:-1, 1:-1]
        i, j = (v + 1 for v in np.unravel_index(inside.argmax(), inside.shape))
        lines = [np.log(frame[i, j - 1 : j + 2]), np.log(frame[i - 1 : i + 2, j])]
        width = [-1 / (a - 2 * b + c) for a, b, c in lines]
        centre = [
            p + s * (line[2] - line[0]) / 2
            for p, s, line in zip((j, i), width, lines, strict=True)
        ]
        np.testing.assert_allclose(width[0], width[1], rtol=1e-3)
        found.append([*centre, width[0]])
    found = np.reshape(found, (*x.shape[:-2], 3))
    return found[..., :2], found[..., 2]


def test_blobs_move_along_axes():
    splits = BlobSequences(
        size=14, steps=4, valid_rows=2, test_rows=20, fit_rows=4
    ).load()
    rows, times, axes = splits.test, np.arange(5), np.eye(2)
    assert set(splits.controls) == {"superposed", "switched", "fitting"}
    superposed, switched = (splits.controls[n][1] for n in ("superposed", "switched"))
    k, other = np.asarray(superposed.k).T
    np.testing.assert_array_equal(rows.k, k)
    assert set(k) == {0, 1}
    np.testing.assert_array_equal(other, 1 - k)
    assert rows.y is None
    centres, widths = blob(rows.x)
    start = centres[:, :1]
    assert (start > 3).all()
    assert (start < 6).all()
    assert np.ptp(start, 0).min() > 1
    assert (widths > 1 - 1e-3).all()
    assert (widths < 1.8**2 + 1e-3).all()
    one, two = axes[k][:, None], axes[other][:, None]
    far = 1.2 * times[None, :, None]  # pixels in so many steps
    np.testing.assert_allclose(centres, start + far * one, atol=1e-3)
    centres, _ = blob(superposed.x)
    np.testing.assert_allclose(centres, start + far * (one + two), atol=1e-3)
    before, after = np.minimum(far, 2.4), np.maximum(far - 2.4, 0)
    centres, _ = blob(switched.x)
    np.testing.assert_allclose(centres, start + before * one + after * two, atol=1e-3)
    batch = drawn(splits, 6)
    assert batch.x.shape == (6, 5, 14, 14, 1)
    centres, _ = blob(batch.x)
    moved = far * axes[np.asarray(batch.k)][:, None]
    np.testing.assert_allclose(centres, centres[:, :1] + moved, atol=1e-3)
    assert len(training_starts(splits)[0]) == 16_000  # of 20,000
