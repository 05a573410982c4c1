"""Pictures of images by domain, from an invented run."""

import numpy as np
import pytest

from jaxdis.report import kit
from jaxdis.report.read import Group, Record
from jaxdis.systems.sparse_mixing_gan import METHOD, figures

STYLES, SIDE, DOMAINS = 6, 8, 3
NAMES = [figure.name for figure in METHOD.figures]
DRAW = {figure.name: figure.draw for figure in METHOD.figures}


def invented(points=2, seeds=3, channels=3, failed=()):
    """A run whose images are flat and each of its own colour."""
    rng = np.random.default_rng(0)

    def images(*shape):
        made = rng.integers(0, 256, (*shape, 1, 1, channels), np.uint8)
        return made.repeat(SIDE, -3).repeat(SIDE, -2)

    arrays = {
        "samples": images(points, seeds, DOMAINS, 4),
        "translation": images(points, seeds, 5, DOMAINS),
        "traversal": images(points, seeds, DOMAINS, 2, 3),
        "importance": rng.uniform(0.2, 1, (points, seeds, STYLES)),
        "real_images": images(DOMAINS, 4),
    }
    groups = [
        Group(
            label=f"alpha {0.1 * i:g}" if points > 1 else "",
            hyper={"alpha": 0.1 * i},
            seeds=list(range(seeds)),
            failed=np.isin(np.arange(seeds), failed),
            final={},
            steps=np.array([10, 100]),
            curves={},
        )
        for i in range(points)
    ]
    spec = {"domains": [f"hue {i}" for i in range(DOMAINS)]}
    return Record("sparse_mixing_gan/toy", {}, {}, groups, spec, {}, arrays)


def without(record, *names):
    arrays = {n: a for n, a in record.arrays.items() if n not in names}
    return record._replace(arrays=arrays)


def shown(ax, rows, columns, block):
    """Colours of the tiles of a sheet: 88 dots, 2 between them, 26 after a block."""
    canvas, tile = ax.images[0].get_array(), 11 * SIDE
    x = [i * (tile + 2) + 26 * (i // block) for i in range(columns)]
    y = [i * (tile + 2) for i in range(rows)]
    assert canvas.shape == (y[-1] + tile, x[-1] + tile, 3)
    return np.asarray(canvas)[np.array(y)[:, None] + 3, np.array(x)[None] + 3]


def words(labels):
    return [label.get_text() for label in labels]


def test_sheets_hold_the_images_of_the_first_seed_alive():
    record = invented(failed=(0,))
    pictures = {name: DRAW[name](record) for name in NAMES[:3]}
    made = {n: a[..., 0, 0, :] for n, a in record.arrays.items() if a.ndim > 4}
    for point in range(2):
        ax = pictures["samples"].axes[point]
        both = [made["real_images"], made["samples"][point, 1]]
        np.testing.assert_array_equal(shown(ax, 3, 8, 4), np.concatenate(both, 1))
        assert words(ax.get_xticklabels()) == ["real", "generated"]
        ax = pictures["translation"].axes[point]
        translation = made["translation"][point, 1].swapaxes(0, 1)
        np.testing.assert_array_equal(shown(ax, 3, 5, 5), translation)
        ax = pictures["style_traversals"].axes[point]
        found = shown(ax, 3, 6, 3).reshape(3, 2, 3, 3)
        np.testing.assert_array_equal(found, made["traversal"][point, 1])
        first, second = -np.sort(-record.arrays["importance"][point, 1])[:2]
        assert words(ax.get_xticklabels()) == [
            f"style 1, w {first:.2f}", f"style 2, w {second:.2f}",
        ]  # fmt: skip
    for picture in pictures.values():
        axes = picture.axes
        for ax, point in zip(axes, ("alpha 0", "alpha 0.1"), strict=True):
            assert ax.get_title("left") == f"{point}, seed 1"
            assert words(ax.get_yticklabels()) == ["hue 0", "hue 1", "hue 2"]
        picture.draw_without_rendering()
        # Beside or below one another, with all their words.
        one, other = (ax.get_tightbbox() for ax in axes)
        assert one.x1 < other.x0 or one.y0 > other.y1


@pytest.fixture(autouse=True)
def _style():
    """As pictures are drawn in a report."""
    import matplotlib.style

    with matplotlib.style.context(["default", kit.STYLE]):
        yield


def test_importance_of_style_latents():
    record = invented(failed=(2,))
    weights = np.zeros((2, 3, STYLES))
    weights[0, :, 1:4] = [[0.3, 0.9, 0.5], [0.0, 0.7, 0.0], [9.0, 9.0, 9.0]]
    weights[1, :, 5] = 0.2
    record.arrays["importance"] = weights
    picture = figures.draw_importance(record)
    (ax,) = picture.axes
    lines = [line.get_ydata() for line in ax.lines]
    np.testing.assert_allclose(lines[0], [0.9, 0.5, 0.3, 0, 0, 0])
    np.testing.assert_allclose(lines[1], [0.7, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(lines[2], [0.8, 0.25, 0.15, 0, 0, 0])
    np.testing.assert_allclose(lines[-1], 0.1)
    (legend,) = picture.legends
    assert words(legend.get_texts()) == [
        "alpha 0: 1–3 active", "alpha 0.1: 1 active", "threshold 0.1",
    ]  # fmt: skip
    ax = figures.draw_traversals(record).axes[1]
    assert words(ax.get_xticklabels()) == ["style 1, w 0.20", "style 2, off"]


def test_a_point_without_usable_importance():
    record = invented()
    record.arrays["importance"][1] = np.nan
    (legend,) = figures.draw_importance(record).legends
    assert words(legend.get_texts())[1] == "alpha 0.1: failed"


@pytest.mark.parametrize(
    ("gone", "picture"),
    [
        ("samples", "samples"),
        ("translation", "translation"),
        ("traversal", "style_traversals"),
        ("importance", "importance"),
        ("real_images", None),
    ],
)
def test_absent_arrays_leave_pictures_out(gone, picture):
    record = without(invented(points=1, seeds=1), gone)
    assert [n for n in NAMES if DRAW[n](record) is None] == [picture] * bool(picture)
    if picture is None:
        ax = figures.draw_samples(record).axes[0]
        assert words(ax.get_xticklabels()) == ["generated"]
    if picture == "importance":
        ax = figures.draw_traversals(record).axes[0]
        assert words(ax.get_xticklabels()) == ["style 1", "style 2"]


def test_images_of_failed_seeds_are_not_drawn():
    record = invented(failed=(0, 1, 2))
    assert all(DRAW[name](record) is None for name in NAMES)


def test_grey_images_are_drawn():
    record = invented(points=1, channels=1)
    ax = figures.draw_translation(record).axes[0]
    wanted = record.arrays["translation"][0, 0, ..., 0, 0, :].swapaxes(0, 1)
    np.testing.assert_array_equal(shown(ax, 3, 5, 5), wanted.repeat(3, -1))


@pytest.mark.parametrize("figure", METHOD.figures, ids=NAMES)
def test_pictures_are_saved(figure):
    name, content = kit.render(figure, invented(points=1))
    assert name == f"{figure.name}.png"
    assert content.startswith(b"\x89PNG")
    assert len(content) > 2_000
