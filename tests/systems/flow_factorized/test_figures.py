import io

import matplotlib.style
import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from jaxdis.report import kit
from jaxdis.report.frames import Survivor
from jaxdis.report.read import Group, Record
from jaxdis.systems.flow_factorized import METHOD
from jaxdis.systems.flow_factorized.figures import draw_confusion, draw_steps
from jaxdis.systems.flow_factorized.film import (
    animate_traversals,
    draw_superposed,
    draw_switched,
    draw_traversals,
    traversals,
)

NAMES = ["scale", "wall_hue"]
STEPS, LONG, SIDE = 3, 6, 12
PAIRS = ("superposed", "switched")
EVERY = {
    "steps.png", "traversals.png", "traversals.gif", "superposed.png", "switched.png",
    "confusion.png",
}  # fmt: skip


@pytest.fixture(autouse=True)
def style():
    """The house style, as pages are drawn."""
    with matplotlib.style.context(["default", kit.STYLE]):
        yield


def make_arrays(points, seeds, images, channels):
    """Flat tiles, each of its own brightness, so that a picture tells them apart."""
    rng = np.random.default_rng(0)
    kinds, count = len(NAMES), STEPS + 1

    def tiles(*shape):
        grey = rng.uniform(0.1, 0.9, (*shape, 1, 1, channels))
        return np.broadcast_to(grey, (*shape, SIDE, SIDE, channels)).copy()

    rise = np.arange(LONG) + rng.random((points, seeds, kinds, LONG))
    arrays = {
        "error_by_step": rise,
        "static_by_step": 2 * rise,
        "true_frames": tiles(images, kinds, count),
        "flow_frames": tiles(points, seeds, images, kinds, count),
        "shown_pairs": np.array([[0, 1], [1, 0]]),
        "confusion": rng.dirichlet(np.ones(kinds), (points, seeds, kinds)),
    }
    for kind in PAIRS:
        arrays[f"true_{kind}"] = tiles(2, count)
        arrays[f"flow_{kind}"] = tiles(points, seeds, 2, count)
    return arrays


def make_record(*, points=1, seeds=3, failed=(), images=2, channels=3, gone=()):
    """What a directory of a run of image sequences holds."""
    arrays = make_arrays(points, seeds, images, channels)
    assert set(arrays) <= set(METHOD.arrays)
    groups = [
        Group(
            label=f"rate {10**i}" if points > 1 else "",
            hyper={"rate": 10.0**i},
            seeds=list(range(seeds)),
            failed=np.isin(range(seeds), failed),
            final={},
            steps=np.array([10, 100]),
            curves={},
        )
        for i in range(points)
    ]
    spec = {"transformations": NAMES, "steps": STEPS + 1}
    kept = {name: array for name, array in arrays.items() if name not in gone}
    return Record("flow_factorized/toy", {}, {}, groups, spec, {}, kept)


def drawn(record):
    """The files of all pictures that there is something for."""
    found = [kit.render(picture, record) for picture in METHOD.figures]
    return dict(f for f in found if f is not None)


def bytes_of(tile):
    """The colour of a flat tile, of one channel or three."""
    return np.broadcast_to(np.rint(255 * tile[0, 0]), 3)


@pytest.mark.parametrize(
    "kind",
    [
        {"seeds": 1, "images": 1},
        {"channels": 1, "images": 3, "failed": (0,)},
        {"points": 3, "images": 4},
    ],
    ids=str,
)
def test_pictures_fill_their_files(kind):
    files = drawn(make_record(**kind))
    assert set(files) == EVERY
    for content in files.values():
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        ink = (pixels < 230).any(-1)
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        assert rows[0] < 80
        assert rows[-1] > len(ink) - 80
        assert columns[0] < 80
        assert columns[-1] > ink.shape[1] - 80


@pytest.mark.parametrize("channels", [1, 3])
def test_animation_shows_the_frames_there_and_back(channels):
    record = make_record(failed=(0,), images=3, channels=channels)
    with Image.open(io.BytesIO(animate_traversals(record))) as image:
        found = []
        for i in range(image.n_frames):
            image.seek(i)
            pixels = np.asarray(image.convert("RGB")).astype(int)
            found.append((pixels, image.info["duration"]))
    order = [0, 1, 2, 3, 2, 1]
    assert len(found) == len(order) == 2 * STEPS
    assert [time for _, time in found] == [600, 140, 140, 600, 140, 140]
    tile, gap, pair = 84, 2, 10
    height = 40 + 3 * tile + 2 * gap
    width = 4 * tile + 3 * gap + pair
    true, model = record.arrays["true_frames"], record.arrays["flow_frames"][0, 1]
    for t, (pixels, _) in zip(order, found, strict=True):
        assert pixels.shape == (height, width, 3)
        for image, k, side in np.ndindex(3, 2, 2):
            y = 40 + image * (tile + gap)
            x = (2 * k + side) * (tile + gap) + k * pair
            shown = pixels[y : y + tile, x : x + tile]
            wanted = bytes_of((model if side else true)[image, k, t])
            assert np.abs(shown - wanted).max() <= 8  # a GIF has 256 colours


@pytest.mark.parametrize("kind", ["traversals", *PAIRS])
def test_pictures_show_the_frames_without_resampling(kind):
    record = make_record(failed=(0,))
    (picture,) = (
        f for f in METHOD.figures if f.name == kind and "motion" not in f.caption
    )
    name = "frames" if kind == "traversals" else kind
    true, model = record.arrays[f"true_{name}"], record.arrays[f"flow_{name}"][0, 1]
    _, content = kit.render(picture, record)
    pixels = (255 * imread(io.BytesIO(content))[..., :3]).round().astype(int)
    for tile in np.concatenate([true, model]).reshape(-1, SIDE, SIDE, 3):
        same = (np.abs(pixels - bytes_of(tile)) <= 1).all(-1)
        # 84 dots a side, whole ones: letters and other tiles may add a dot or two.
        rows = np.flatnonzero(same.sum(1) > 80)
        columns = np.flatnonzero(same.sum(0) > 80)
        assert len(rows) == len(columns) == 84
        assert same[np.ix_(rows, columns)].all()


@pytest.mark.parametrize(("most", "rows"), [(2, 2), (1, 1)])
def test_images_are_blocks_two_beside_each_other(most, rows):
    kinds, count = len(NAMES), STEPS + 1
    arrays = make_arrays(1, 1, 4, 3)
    sheet = traversals(Survivor((0, 0), "seed 0", "black"), NAMES, arrays, most)
    assert sheet.tiles.shape == (rows * 2 * kinds, 2 * count, SIDE, SIDE, 3)
    for below, beside, k, t in np.ndindex(rows, 2, kinds, count):
        image = 2 * below + beside
        row, column = below * 2 * kinds + 2 * k, beside * count + t
        true, model = sheet.tiles[row : row + 2, column]
        np.testing.assert_array_equal(true, arrays["true_frames"][image, k, t])
        np.testing.assert_array_equal(model, arrays["flow_frames"][0, 0, image, k, t])


def test_labels():
    record = make_record(failed=(0,))

    def labels(draw):
        (ax,) = draw(record).axes
        return [label.get_text() for label in ax.get_yticklabels()], ax

    rows, ax = labels(draw_traversals)
    assert rows == ["scale", "model", "wall hue", "model"]
    steps = [label.get_text() for label in ax.get_xticklabels()]
    assert steps == ["0", "1", "2", "3"] * 2  # two images beside each other
    assert ax.get_title("left") == "seed 1"
    assert labels(draw_superposed)[0][::2] == ["scale + wall hue", "wall hue + scale"]
    assert labels(draw_switched)[0][::2] == [
        "scale, then wall hue",
        "wall hue, then scale",
    ]
    assert labels(draw_confusion)[0] == ["scale", "wall hue"]


def test_a_sweep_has_a_block_per_point():
    figure = draw_traversals(make_record(points=3, images=4))
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == [f"rate {rate}, seed 0" for rate in (1, 10, 100)]
    for ax in figure.axes:
        assert len(ax.get_yticks()) == 2 * len(NAMES)


def test_errors_by_step():
    record = make_record(seeds=4, failed=(2,))
    errors = record.arrays["error_by_step"]
    errors[0, 2] = 1e6
    figure = draw_steps(record)
    assert [ax.get_title("left") for ax in figure.axes] == ["Scale", "Wall hue"]
    good = [0, 1, 3]
    for k, ax in enumerate(figure.axes):
        lines = [line.get_ydata() for line in ax.lines]
        mean = errors[0, good, k].mean(0)
        assert any(np.allclose(line, mean) for line in lines if len(line) == LONG)
        (still,) = [
            n for n in ax.lines if n.get_ls() == "--" and n.get_c() == kit.FAINT
        ]
        np.testing.assert_allclose(
            still.get_ydata(), record.arrays["static_by_step"][0, good, k].mean(0)
        )
        low, high = ax.get_ylim()
        assert low == 0
        assert high < 100  # the failed seed hides nothing
        assert ax.get_ylim() == figure.axes[0].get_ylim()
    (legend,) = figure.legends
    entries = [label.get_text() for label in legend.get_texts()]
    assert entries == [
        "mean ± 1 sample std of seeds",
        "seed 2 failed",
        "latent not moved",
        "beyond the 3 steps of training",
    ]


def test_confusion_leaves_failed_seeds_out():
    record = make_record(failed=(0,))
    (ax,) = draw_confusion(record).axes
    cells = [float(cell.get_text()) for cell in ax.texts]
    wanted = record.arrays["confusion"][0, 1:].mean(0).ravel()
    np.testing.assert_allclose(cells, wanted, atol=0.0051)


@pytest.mark.parametrize(
    ("gone", "pictures"),
    [
        ("error_by_step", {"steps"}),
        ("static_by_step", set()),
        ("flow_frames", {"traversals"}),
        ("shown_pairs", {"superposed", "switched"}),
        ("flow_switched", {"switched"}),
        ("true_superposed", {"superposed"}),
        ("confusion", {"confusion"}),
    ],
)
def test_absent_arrays_leave_pictures_out(gone, pictures):
    record = make_record(seeds=1, images=1, gone=(gone,))
    missing = {f.name for f in METHOD.figures if f.draw(record) is None}
    assert missing == pictures


def test_data_without_names_have_one_panel():
    record = make_record()
    arrays = {
        n: record.arrays[n][:, :, :1] for n in ("error_by_step", "static_by_step")
    }
    spec = record.spec | {"transformations": []}
    figure = draw_steps(record._replace(spec=spec, arrays=arrays))
    assert [ax.get_title("left") for ax in figure.axes] == ["All sequences"]


def test_a_run_of_which_every_seed_failed_has_no_pictures():
    record = make_record(seeds=2, failed=(0, 1))
    assert all(figure.draw(record) is None for figure in METHOD.figures)


def test_frames_that_are_no_numbers_are_black():
    record = make_record(seeds=1, images=1)
    record.arrays["flow_frames"][...] = np.nan
    with Image.open(io.BytesIO(animate_traversals(record))) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert (pixels[40:, 86:170] < 8).all()
