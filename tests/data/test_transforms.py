"""Transformations of images, against other programs and worked out by hand.

The golden values were computed by kornia 0.7.0 through GitHub
KingJamesSong/latent-flow, commit 6952c93, on six images: grey, and in the red channel.
"""

import colorsys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdis.data import transforms
from jaxdis.data.transforms import STEP

# Operation by operation takes longer.
warp, shift_hue = jax.jit(transforms.warp), jax.jit(transforms.shift_hue)
transform, transform_red = (
    jax.jit(form, static_argnames="names")
    for form in (transforms.transform, transforms.transform_red)
)

NAMES = ("scale", "rotation", "hue")
TIMES = np.arange(9)
RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(size=(9, 12, 3)).astype(np.float32)  # neither square nor smooth


@pytest.fixture(scope="module")
def golden():
    path = Path(__file__).parents[1] / "goldens" / "transforms.npz"
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def channels_last(images):
    return np.moveaxis(images, -3, -1)


def amounts(**steps):
    return jnp.array([float(steps.get(name, 0)) for name in NAMES])


def colour_after(degrees):
    """What red turns into."""
    return colorsys.hsv_to_rgb(degrees / 360, 1.0, 1.0)


@partial(jax.jit, static_argnums=0)
def at_times(form, images, along):
    """Every image after 0, 1, ... steps: `[t, image, h, w, c]`."""
    every = jnp.arange(float(len(TIMES)))[:, None] * along[None]
    frame = partial(form, names=NAMES)
    return jax.vmap(jax.vmap(frame, (0, None)), (None, 0))(images, every)


@pytest.mark.parametrize("k", range(3))
def test_published_sequences(golden, k):
    expected = np.stack([channels_last(golden[f"{k}_{t}"]) for t in TIMES])
    along = amounts(**{NAMES[k]: 1})
    close(at_times(transform_red, golden["gray"][..., None], along), expected)
    close(at_times(transform, channels_last(golden["x"]), along), expected)


STEPS = [(0,), (0, 1), (1, 2), (2,), (0, 1, 2)]
DOUBLE = {0: amounts(scale=1), 1: amounts(rotation=2), 2: amounts(hue=1)}


def test_published_steps_upon_steps(golden):
    """Scale 1.1, 20 degrees and 20 degrees of hue, each a resampling of its own."""
    move = jax.jit(jax.vmap(partial(transform, names=NAMES), (0, None)))
    images = channels_last(golden["x"])
    for i, operations in enumerate(STEPS):
        for k in operations:
            images = move(images, DOUBLE[k])
        close(images, channels_last(golden[f"sta_{i}"]))


def test_published_steps_with_the_colour_last(golden):
    warped = jax.jit(jax.vmap(partial(transform, names=NAMES[:2]), (0, None)))
    coloured = jax.jit(jax.vmap(partial(transform_red, names=("hue",)), (0, None)))
    grey, hue = golden["gray"][..., None], jnp.zeros(1)
    for i, operations in enumerate(STEPS):
        for k in operations:
            hue += DOUBLE[k][2:]
            grey = warped(grey, DOUBLE[k][:2]) if k < 2 else grey
        close(coloured(grey, hue), channels_last(golden[f"sta_{i}"]))


@pytest.mark.parametrize("names", [NAMES, NAMES[:1], NAMES[1:], ("hue",)])
def test_no_steps_are_the_identity(names):
    nothing = jnp.zeros(len(names))
    close(transform(IMAGE, nothing, names), IMAGE, 1e-6)
    red = transform_red(IMAGE[..., :1], nothing, names)
    close(red, red_only(IMAGE), 1e-6)


def red_only(image):
    zeros = np.zeros_like(image[..., :1])
    return np.concatenate([image[..., :1], zeros, zeros], -1)


def test_steps_are_the_published_ones():
    assert STEP == {"scale": 0.1, "rotation": 10.0, "hue": 20.0}


COLOURS = np.float32(
    [
        *RNG.uniform(size=(200, 3)),
        *([v] * 3 for v in (0, 0.2, 0.5, 1)),  # greys, from black to white
        *np.eye(3),
        *(1 - np.eye(3)),
        [0.7, 0.7, 0.1], [0.7, 0.1, 0.7], [0.1, 0.7, 0.7],  # the largest is tied
        [0.7, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.7],  # the smallest is
        [0.501, 0.5, 0.5],
    ]
)  # fmt: skip


@pytest.mark.parametrize("degrees", [0, 20, 60, 137, 180, 300, 359, 400, -45, -700])
def test_hue_against_colorsys(degrees):
    turned = shift_hue(COLOURS, float(degrees))
    expected = []
    for colour in COLOURS.astype(float):
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        turn = (hue + degrees / 360) % 1
        expected.append(colorsys.hsv_to_rgb(turn, saturation, value))
    close(turned, expected)
    assert turned.min() >= 0
    assert turned.max() <= 1


def test_hue_comes_back_after_a_full_turn():
    close(shift_hue(COLOURS, 360.0), COLOURS, 2e-6)
    close(transform(IMAGE, jnp.array([18.0]), ("hue",)), IMAGE, 2e-6)


def test_hue_takes_any_leading_axes():
    grid = COLOURS[:24].reshape(2, 3, 4, 3)
    turned = jax.jit(shift_hue)(grid, 75.0)
    assert turned.shape == (2, 3, 4, 3)
    close(turned.reshape(24, 3), shift_hue(COLOURS[:24], 75.0), 1e-6)


def scipy_warp(image, scale, degrees):
    """As an affine map of (row, column) about the centre (h/2, w/2)."""
    angle = np.deg2rad(degrees)
    # Columns (x) sample at cos x - sin y, rows (y) at sin x + cos y; rows come first.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = turn / scale
    centre = np.array(image.shape[:2]) / 2
    offset = centre - matrix @ centre
    return np.stack(
        [
            ndimage.affine_transform(
                plane, matrix, offset, order=1, mode="grid-constant", cval=0.0
            )
            for plane in np.moveaxis(image.astype(float), -1, 0)
        ],
        -1,
    )


@pytest.mark.parametrize(
    ("scale", "degrees"),
    [(1.3, 0), (0.6, 0), (1, 35), (1, -120), (1.8, 80), (0.5, 200), (2.5, -10)],
)
def test_warp_against_scipy(scale, degrees):
    expected = scipy_warp(IMAGE, scale, degrees)
    close(jax.jit(warp)(IMAGE, float(scale), float(degrees)), expected, 2e-5)


def test_positive_angles_are_counter_clockwise():
    image = IMAGE[:, :9]
    image = np.concatenate([image, image[:1]])[:, [*range(9), 0]]  # 10 x 10
    # The centre is the pixel (5, 5), half a pixel further than that of `rot90`: the
    # turned image lies one row lower, and its first row comes from outside.
    expected = np.concatenate([0 * image[:1], np.rot90(image)[:-1]])
    close(warp(image, 1.0, 90.0), expected)


def test_enlarging_by_two():
    image = IMAGE[:8, :8]
    enlarged = warp(image, 2.0, 0.0)
    # Pixel 4 + d shows what 4 + d/2 was: even d are pixels, odd ones lie between two.
    close(enlarged[::2, ::2], image[2:6, 2:6])
    close(enlarged[::2, 1::2], (image[2:6, 2:6] + image[2:6, 3:7]) / 2)


def test_outside_is_black():
    white = np.ones((8, 8, 1), np.float32)
    # At half the size pixel p shows 2 p - 4, which is inside for p = 2 .. 5.
    expected = np.zeros((8, 8, 1))
    expected[2:6, 2:6] = 1
    close(warp(white, 0.5, 0.0), expected)


def test_scale_and_rotation_are_one_warp():
    both = transform(IMAGE, jnp.array([3.0, 4.0]), NAMES[:2])
    close(both, scipy_warp(IMAGE, 1.3, 40), 2e-5)


def test_composition_is_one_after_the_other_in_any_order():
    y, x = np.mgrid[:24, :24]
    blob = np.exp(-((x - 14) ** 2 + 2 * (y - 10) ** 2) / 100)[..., None]
    image = np.float32(blob * [0.9, 0.3, 0.1])  # so smooth that resampling is exact
    move = jax.jit(partial(transform, names=NAMES))
    together = move(image, amounts(scale=2, rotation=3, hue=4))
    parts = [amounts(scale=2), amounts(rotation=3), amounts(hue=4)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        moved = image
        for i in order:
            moved = move(moved, parts[i])
        close(moved[5:-5, 5:-5], together[5:-5, 5:-5], 0.01)
    assert np.abs(together - image).max() > 0.3


def test_names_choose_and_order_the_amounts():
    expected = transform(IMAGE, amounts(scale=1, rotation=2, hue=3), NAMES)
    swapped = transform(IMAGE, jnp.array([3.0, 1.0, 2.0]), ("hue", "scale", "rotation"))
    close(swapped, expected, 0)
    with pytest.raises(ValueError, match="zip"):
        transform(IMAGE, jnp.ones(2), NAMES)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_without_hue_any_channels(channels):
    image = np.repeat(IMAGE[..., :1], channels, -1) / np.arange(1.0, channels + 1)
    image = image.astype(np.float32)
    moved = transform(image, jnp.array([4.0, 2.0]), NAMES[:2])
    close(moved, scipy_warp(image, 1.4, 20), 2e-5)


def test_red_is_grey_times_one_colour():
    grey = IMAGE[..., :1]
    for steps in (1.0, 4.5, 11.0, 17.0):
        frame = transform_red(grey, jnp.array([steps]), ("hue",))
        close(frame, grey * np.array(colour_after(20 * steps)))


def test_colouring_first_or_last_is_the_same():
    grey, steps = IMAGE[..., :1], amounts(scale=2, rotation=-5, hue=7)
    close(transform_red(grey, steps, NAMES), transform(red_only(grey), steps, NAMES))


def test_gradient_of_the_warp():
    # Bilinear samples of a ramp, x / 20 in column x, are exact, so that inside
    # f = (10 + (cos a dx - sin a dy) / s) / 20.
    ramp = np.tile(np.arange(20, dtype=np.float32) / 20, (20, 1))[..., None]
    s, a = 1.3, np.deg2rad(20)  # 3 steps of .1 and 2 of 10 degrees
    dy, dx = np.mgrid[-4:5, -4:5]
    along, across = np.cos(a) * dx - np.sin(a) * dy, np.sin(a) * dx + np.cos(a) * dy
    expected = np.stack(
        [-along / s**2 / 20 * 0.1, -across / s / 20 * np.deg2rad(10)], -1
    )
    jacobian = jax.jit(jax.jacfwd(transform, 1), static_argnums=2)(
        ramp, jnp.array([3.0, 2.0]), NAMES[:2]
    )
    close(jacobian[6:15, 6:15, 0], expected, 1e-6)


def test_gradient_of_the_hue():
    # From red to yellow green alone grows, by 1 in 60 degrees: by 1/3 a step.
    derivative = jax.jit(jax.jacfwd(transform_red, 1), static_argnums=2)
    slope = derivative(IMAGE[..., :1], jnp.array([1.5]), ("hue",))
    expected = IMAGE[..., :1] * np.float32([0, 1 / 3, 0])[None, None]
    close(slope[..., 0], expected)


def test_gradients_are_finite_where_colours_have_no_hue():
    greys = np.float32([[0, 0, 0], [0.4, 0.4, 0.4], [1, 1, 1], [0.7, 0.7, 0.1]])
    jacobian = jax.jit(jax.vmap(jax.jacrev(shift_hue), (0, None)))(greys, 50.0)
    assert np.isfinite(jacobian).all()
    # More of all channels alike is as much more of the colour turned.
    close(jacobian.sum(-1), np.ones((4, 3)))


def test_gradient_with_respect_to_pixels_is_the_transposed_warp():
    # Resampling is linear: <v, W x> = <W^T v, x>.
    v = RNG.normal(size=IMAGE.shape).astype(np.float32)
    pull = jax.jit(jax.grad(lambda image: jnp.vdot(v, warp(image, 1.2, 33.0))))
    expected = np.vdot(v, scipy_warp(IMAGE, 1.2, 33))
    assert float(jnp.vdot(pull(0 * IMAGE), IMAGE)) == pytest.approx(expected, abs=1e-4)


def test_compiled_and_mapped():
    grey = RNG.uniform(size=(3, 6, 6, 1)).astype(np.float32)
    steps = np.float32([[1, 2, 3], [0, 0, 5], [4, -1, 0]])
    mapped = jax.jit(jax.vmap(partial(transform_red, names=NAMES)))(grey, steps)
    for image, moved, (scale, turn, hue) in zip(grey, mapped, steps, strict=True):
        shape = scipy_warp(image, 1 + 0.1 * scale, 10 * turn)
        close(moved, shape * np.array(colour_after(20 * hue)), 2e-5)
