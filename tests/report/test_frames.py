import numpy as np

from jaxdis.report.frames import mosaic, survivors
from jaxdis.report.read import Group


def test_pixels_of_an_image_are_squares():
    tiles = np.random.default_rng(0).random((2, 3, 28, 28, 1))
    canvas, y, x = mosaic(tiles, {}, {2: 10})
    assert canvas.shape == (2 * 84 + 2, 3 * 84 + 4 + 10, 3)
    corner = canvas[86:, 86 : 86 + 84]
    np.testing.assert_array_equal(corner, corner[::3, ::3].repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(
        corner[::3, ::3, 0], np.rint(255 * tiles[1, 1, ..., 0])
    )
    np.testing.assert_allclose(y, [41.5, 127.5])
    np.testing.assert_allclose(x, [41.5, 127.5, 223.5])


def test_the_first_seed_of_each_point_that_did_not_fail():
    failed = np.array([[True, False, False], [True, True, True], [False, True, False]])
    groups = [
        Group(f"rate {i}", {}, [5, 6, 7], row, {}, np.arange(1), {})
        for i, row in enumerate(failed)
    ]
    found = survivors(groups)
    assert [one.row for one in found] == [(0, 1), (2, 0)]
    assert [one.title for one in found] == ["rate 0, seed 6", "rate 2, seed 5"]
    assert len({one.colour for one in found}) == 2
