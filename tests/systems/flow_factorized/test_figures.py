import base64
import io
import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

from jaxdis import report
from jaxdis.report import frames, sequences, text
from jaxdis.report import read as reading

NAMES = ["scale", "wall_hue"]
STEPS, LONG, SIDE = 3, 6, 12
PICTURES = (
    "curves.png", "seeds.png", "steps.png", "traversals.png", "traversals.gif",
    "superposed.png", "switched.png", "confusion.png",
)  # fmt: skip
PAIRS = ("superposed", "switched")


def make_figures(points, seeds, images, channels):
    """Flat tiles, each of its own brightness, so that a picture tells them apart."""
    rng = np.random.default_rng(0)
    kinds, count = len(NAMES), STEPS + 1

    def tiles(*shape):
        grey = rng.uniform(0.1, 0.9, (*shape, 1, 1, channels))
        return np.broadcast_to(grey, (*shape, SIDE, SIDE, channels)).copy()

    rise = np.arange(LONG) + rng.random((points, seeds, kinds, LONG))
    figures = {
        "error_by_step": rise,
        "static_by_step": 2 * rise,
        "true_frames": tiles(images, kinds, count),
        "flow_frames": tiles(points, seeds, images, kinds, count),
        "true_pairs": np.array([[0, 1], [1, 0]]),
        "confusion": rng.dirichlet(np.ones(kinds), (points, seeds, kinds)),
    }
    for kind in PAIRS:
        figures[f"true_{kind}"] = tiles(2, count)
        figures[kind] = tiles(points, seeds, 2, count)
    return figures


def make_run(path, *, points=1, seeds=3, failed=(), images=2, channels=3):
    """A run directory of image sequences; returns its figures and metrics [g, s]."""
    path.mkdir(parents=True)
    rng, shape = np.random.default_rng(1), (points, seeds)
    names = [f"{kind}_{name}" for kind in ("equivariance_error", "static_error")
             for name in NAMES]  # fmt: skip
    names += ["compat_loglik", "hj_residual", "iwae", "elbo", "equivariance_error"]
    metrics = {name: rng.uniform(1, 9, shape) for name in names}
    hyper = [{"rate": 10.0**i} for i in range(points)]

    def plain(values):
        return values[0] if points == 1 else values

    config = {"system": "flow", "preset": "toy", "command": "train", "seeds": seeds}
    results = {
        "hyper": plain(hyper),
        "metrics": {n: plain(values.tolist()) for n, values in metrics.items()},
        "failed_seeds": plain([list(failed)] * points),
        "spec": {"names": NAMES, "steps": STEPS},
    }
    lines = [
        {"step": step, "point": point, "seed": seed, "loss": 5 + 9 / step,
         "hj_residual": 1e4 / step**2, "equivariance_error": 3 + 9 / step}
        for step in (10, 100, 1000) for point, seed in np.ndindex(*shape)
    ]  # fmt: skip
    figures = make_figures(points, seeds, images, channels)
    (path / "config.json").write_text(json.dumps(config))
    (path / "results.json").write_text(json.dumps(results))
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    np.savez(path / "figures.npz", **figures)
    return figures, metrics


def change(path, **arrays):
    """Replaces arrays of a run; those that are None go."""
    with np.load(path / "figures.npz") as file:
        figures = dict(file) | arrays
    kept = {name: a for name, a in figures.items() if a is not None}
    np.savez(path / "figures.npz", **kept)


def files(path):
    return {p.name for p in path.iterdir() if p.suffix in (".png", ".gif")}


def words(page):
    return re.sub(r"base64,[^\"]*", "", page.read_text())


def moments(path):
    """Frames of a GIF as arrays."""
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            yield np.asarray(image.convert("RGB")).astype(int), image.info["duration"]


def bytes_of(tile):
    """The colour of a flat tile, of one channel or three."""
    return np.broadcast_to(np.rint(255 * tile[0, 0]), 3)


def drawn(path, monkeypatch):
    """Figures of a run before they become pixels, by the names of their files."""
    found, save = {}, Figure.savefig

    def keep(figure, *args, **kwargs):
        found[len(found)] = figure
        save(figure, *args, **kwargs)

    run = reading.load(path)
    arrays = reading.load_figures(path, run)
    monkeypatch.setattr(Figure, "savefig", keep)
    made = sequences.draw(run.groups, run.transformations, run.horizon, arrays)
    names = [name for name in made if name.endswith(".png")]
    return dict(zip(names, found.values(), strict=True))


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"seeds": 1, "images": 1},
        {"channels": 1, "images": 3},
        {"failed": (0,)},
        {"points": 3, "images": 4},
    ],
    ids=str,
)
def test_pictures_are_drawn_and_embedded(tmp_path, kind):
    run = tmp_path / "run"
    make_run(run, **kind)
    page = report.build(run)
    assert files(run) == set(PICTURES)
    for name in PICTURES:
        content = (run / name).read_bytes()
        embedded = f"data:image/{name[-3:]};base64,{base64.b64encode(content).decode()}"
        assert embedded in page.read_text()
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        ink = (pixels < 230).any(-1)
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        assert rows[0] < 80
        assert rows[-1] > len(ink) - 80
        assert columns[0] < 80
        assert columns[-1] > ink.shape[1] - 80


def test_page_says_what_the_pictures_show(tmp_path):
    _, metrics = make_run(tmp_path / "run")
    page = words(report.build(tmp_path / "run"))
    headings = re.findall("<h2>(.*?)</h2>", page)[:7]
    sections = ["Curves", "Seeds", "Steps", "Traversals", "Superposed", "Switched"]
    assert headings == [*sections, "Confusion"]
    assert page.count("<figcaption>") == len(PICTURES)
    assert "there and back" in page
    columns = re.findall("<th>(.*?)</th>", page)[: len(metrics) + 1]
    assert columns == [
        "seed",
        "Equivariance error ↓",
        "ELBO ↑",
        "IWAE ↑",
        "HJ residual ↓",
        "ELBO with the released sign",
        "Equivariance error, scale ↓",
        "Equivariance error, wall hue ↓",
        "Static error, scale",
        "Static error, wall hue",
    ]
    error, elbo = metrics["equivariance_error"], metrics["elbo"]
    assert (
        f"Equivariance error {error.mean():.3f} ± {error.std():.3f}, "
        f"ELBO {elbo.mean():.3f} ± {elbo.std():.3f} over 3 seeds"
    ) in page


def test_best_point_has_the_least_equivariance_error(tmp_path):
    _, metrics = make_run(tmp_path / "run", points=3, failed=(1,))
    best = metrics["equivariance_error"][:, [0, 2]].mean(1).argmin()
    page = words(report.build(tmp_path / "run"))
    assert f"Best of 3 by mean equivariance error: rate {10**best} with" in page


def test_index_accuracy_is_well_known():
    assert text.title("index_accuracy") == "Index accuracy ↑"
    assert text.ordered(["static_error_x", "a", "index_accuracy", "a"]) == [
        "index_accuracy",
        "static_error_x",
        "a",
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_animation_shows_the_frames_there_and_back(tmp_path, channels):
    run = tmp_path / "run"
    figures, _ = make_run(run, failed=(0,), images=3, channels=channels)
    report.build(run)
    found = list(moments(run / "traversals.gif"))
    order = [0, 1, 2, 3, 2, 1]
    assert len(found) == len(order) == 2 * STEPS
    assert [time for _, time in found] == [600, 140, 140, 600, 140, 140]
    tile, gap, pair = 84, 2, 10
    height = 40 + 3 * tile + 2 * gap
    width = 4 * tile + 3 * gap + pair
    true, model = figures["true_frames"], figures["flow_frames"][0, 1]
    for t, (pixels, _) in zip(order, found, strict=True):
        assert pixels.shape == (height, width, 3)
        for image, k, side in np.ndindex(3, 2, 2):
            y = 40 + image * (tile + gap)
            x = (2 * k + side) * (tile + gap) + k * pair
            shown = pixels[y : y + tile, x : x + tile]
            wanted = bytes_of((model if side else true)[image, k, t])
            assert np.abs(shown - wanted).max() <= 8  # a GIF has 256 colours


@pytest.mark.parametrize("kind", ["traversals", *PAIRS])
def test_pictures_show_the_frames_without_resampling(tmp_path, kind):
    run = tmp_path / "run"
    figures, _ = make_run(run, failed=(0,))
    report.build(run)
    name = "frames" if kind == "traversals" else kind
    true = figures[f"true_{name}"]
    model = figures["flow_frames" if kind == "traversals" else kind][0, 1]
    pixels = (255 * imread(run / f"{kind}.png")[..., :3]).round().astype(int)
    for tile in np.concatenate([true, model]).reshape(-1, SIDE, SIDE, 3):
        same = (np.abs(pixels - bytes_of(tile)) <= 1).all(-1)
        # 84 dots a side, whole ones: letters and other tiles may add a dot or two.
        rows = np.flatnonzero(same.sum(1) > 80)
        columns = np.flatnonzero(same.sum(0) > 80)
        assert len(rows) == len(columns) == 84
        assert same[np.ix_(rows, columns)].all()


def test_pixels_of_an_image_are_squares(tmp_path):
    tiles = np.random.default_rng(0).random((2, 3, 28, 28, 1))
    canvas, y, x = frames._mosaic(tiles, {}, {2: 10})
    assert canvas.shape == (2 * 84 + 2, 3 * 84 + 4 + 10, 3)
    corner = canvas[86:, 86 : 86 + 84]
    np.testing.assert_array_equal(corner, corner[::3, ::3].repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(
        corner[::3, ::3, 0], np.rint(255 * tiles[1, 1, ..., 0])
    )
    np.testing.assert_allclose(y, [41.5, 127.5])
    np.testing.assert_allclose(x, [41.5, 127.5, 223.5])


@pytest.mark.parametrize(("most", "rows"), [(2, 2), (1, 1)])
def test_images_are_blocks_two_beside_each_other(most, rows):
    kinds, count = len(NAMES), STEPS + 1
    figures = make_figures(1, 1, 4, 3)
    survivor = frames.Survivor((0, 0), "seed 0", "black")
    sheet = frames.traversals(survivor, NAMES, figures, most)
    assert sheet.tiles.shape == (rows * 2 * kinds, 2 * count, SIDE, SIDE, 3)
    for below, beside, k, t in np.ndindex(rows, 2, kinds, count):
        image = 2 * below + beside
        row, column = below * 2 * kinds + 2 * k, beside * count + t
        true, model = sheet.tiles[row : row + 2, column]
        np.testing.assert_array_equal(true, figures["true_frames"][image, k, t])
        np.testing.assert_array_equal(model, figures["flow_frames"][0, 0, image, k, t])


def test_labels(tmp_path, monkeypatch):
    make_run(tmp_path / "run", failed=(0,))
    figures = drawn(tmp_path / "run", monkeypatch)

    def labels(name):
        (ax,) = figures[f"{name}.png"].axes
        return [label.get_text() for label in ax.get_yticklabels()], ax

    rows, ax = labels("traversals")
    assert rows == ["scale", "model", "wall hue", "model"]
    steps = [label.get_text() for label in ax.get_xticklabels()]
    assert steps == ["0", "1", "2", "3"] * 2  # two images beside each other
    assert ax.get_title("left") == "seed 1"
    assert labels("superposed")[0][::2] == ["scale + wall hue", "wall hue + scale"]
    assert labels("switched")[0][::2] == [
        "scale, then wall hue",
        "wall hue, then scale",
    ]
    assert labels("confusion")[0] == ["scale", "wall hue"]


def test_a_sweep_has_a_block_a_point(tmp_path, monkeypatch):
    make_run(tmp_path / "run", points=3, images=4)
    figures = drawn(tmp_path / "run", monkeypatch)
    titles = [ax.get_title("left") for ax in figures["traversals.png"].axes]
    assert titles == [f"rate {rate}, seed 0" for rate in (1, 10, 100)]
    for ax in figures["traversals.png"].axes:
        assert len(ax.get_yticks()) == 2 * len(NAMES)


def test_errors_by_step(tmp_path, monkeypatch):
    made, _ = make_run(tmp_path / "run", seeds=4, failed=(2,))
    made["error_by_step"][0, 2] = 1e6
    change(tmp_path / "run", error_by_step=made["error_by_step"])
    figure = drawn(tmp_path / "run", monkeypatch)["steps.png"]
    assert [ax.get_title("left") for ax in figure.axes] == ["Scale", "Wall hue"]
    good = [0, 1, 3]
    for k, ax in enumerate(figure.axes):
        lines = [line.get_ydata() for line in ax.lines]
        mean = made["error_by_step"][0, good, k].mean(0)
        assert any(np.allclose(line, mean) for line in lines if len(line) == LONG)
        (still,) = [
            n for n in ax.lines if n.get_ls() == "--" and n.get_c() == "#6b6b6b"
        ]
        np.testing.assert_allclose(
            still.get_ydata(), made["static_by_step"][0, good, k].mean(0)
        )
        low, high = ax.get_ylim()
        assert low == 0
        assert high < 100  # the failed seed hides nothing
        assert ax.get_ylim() == figure.axes[0].get_ylim()
    (legend,) = figure.legends
    entries = [label.get_text() for label in legend.get_texts()]
    assert entries == [
        "mean ± 1 std of seeds",
        "seed 2 failed",
        "latent not moved",
        "beyond the 3 steps of training",
    ]


def test_confusion_leaves_failed_seeds_out(tmp_path, monkeypatch):
    made, _ = make_run(tmp_path / "run", failed=(0,))
    (ax,) = drawn(tmp_path / "run", monkeypatch)["confusion.png"].axes
    cells = [float(cell.get_text()) for cell in ax.texts]
    wanted = made["confusion"][0, 1:].mean(0).ravel()
    np.testing.assert_allclose(cells, wanted, atol=0.0051)


@pytest.mark.parametrize(
    ("gone", "pictures"),
    [
        (["error_by_step"], ["steps.png"]),
        (["static_by_step"], []),
        (["flow_frames"], ["traversals.png", "traversals.gif"]),
        (["true_pairs"], ["superposed.png", "switched.png"]),
        (["switched"], ["switched.png"]),
        (["true_superposed"], ["superposed.png"]),
        (["confusion"], ["confusion.png"]),
    ],
    ids=str,
)
def test_absent_arrays_leave_pictures_out(tmp_path, gone, pictures):
    run = tmp_path / "run"
    make_run(run, seeds=1, images=1)
    change(run, **dict.fromkeys(gone))
    report.build(run)
    assert files(run) == set(PICTURES) - set(pictures)


def test_a_run_of_which_every_seed_failed_has_no_frames(tmp_path):
    run = tmp_path / "run"
    make_run(run, seeds=2, failed=(0, 1))
    page = words(report.build(run))
    assert files(run) == {"curves.png", "seeds.png"}
    assert "over 0 of 2 seeds; seeds 0, 1 failed" in page


def test_frames_that_are_no_numbers_are_black(tmp_path):
    run = tmp_path / "run"
    figures, _ = make_run(run, seeds=1, images=1)
    figures["flow_frames"][...] = np.nan
    change(run, flow_frames=figures["flow_frames"])
    report.build(run)
    pixels, _ = next(moments(run / "traversals.gif"))
    assert (pixels[40:, 86:170] < 8).all()


@pytest.mark.parametrize("spec", [None, {}, {"names": []}, {"kind": "table"}])
def test_other_systems_have_no_pictures_of_sequences(tmp_path, spec):
    run = tmp_path / "run"
    make_run(run, seeds=1)
    results = json.loads((run / "results.json").read_text()) | {"spec": spec}
    (run / "results.json").write_text(json.dumps(results))
    change(run, confusion=np.zeros((5, 4)))  # theirs may look different
    report.build(run)
    assert files(run) == {"curves.png", "seeds.png"}


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("error_by_step", (1, 3, 6), "1 points x 3 seeds x 2 transformations x times"),
        ("error_by_step", (1, 3, 3, 6), "x 2 transformations x times, got 1 x 3 x 3"),
        ("static_by_step", (1, 3, 2, 5), "2 transformations x 6 times, got 1 x 3 x 2"),
        ("true_frames", (2, 2, 5, 12, 12, 3), "images x 2 transformations x 4 frames"),
        (
            "flow_frames",
            (1, 3, 1, 2, 4, 12, 12, 3),
            "1 points x 3 seeds x 2 images x 2 transformations x 4 frames x 12 height",
        ),
        ("true_pairs", (2, 3), "pairs x 2 indices, got 2 x 3"),
        ("true_superposed", (1, 4, 12, 12, 3), "2 pairs x 4 frames"),
        ("switched", (1, 2, 2, 4, 12, 12, 3), "1 points x 3 seeds x 2 pairs"),
        ("confusion", (1, 3, 2, 3), "2 transformations x 2 transformations"),
    ],
)
def test_wrong_shapes_are_explained(tmp_path, name, shape, message):
    make_run(tmp_path / "run")
    change(tmp_path / "run", **{name: np.zeros(shape)})
    with pytest.raises(ValueError, match=rf"figures\.npz: {name} must .*{message}"):
        report.build(tmp_path / "run")


def test_wrong_contents_are_explained(tmp_path):
    run = tmp_path / "run"
    make_run(run)
    change(run, true_pairs=np.array([[0, 2], [1, 0]]))
    with pytest.raises(ValueError, match="true_pairs must hold indices below 2; train"):
        report.build(run)
    make_run(tmp_path / "two", channels=2)
    with pytest.raises(ValueError, match="true_frames must hold 1 or 3 channels"):
        report.build(tmp_path / "two")
    short = np.zeros((1, 3, 2, 3))
    change(run, error_by_step=short, static_by_step=short)
    with pytest.raises(ValueError, match="error_by_step must hold at least 4 steps"):
        report.build(run)


@pytest.mark.parametrize("spec", [{"names": NAMES}, {"names": NAMES, "steps": "x"}, 3])
def test_a_spec_without_steps_is_explained(tmp_path, spec):
    run = tmp_path / "run"
    make_run(run, seeds=1)
    results = json.loads((run / "results.json").read_text()) | {"spec": spec}
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"results\.json: spec must hold names"):
        report.build(run)


def test_curves_of_three_metrics(tmp_path):
    make_run(tmp_path / "run")
    groups = reading.load(tmp_path / "run").groups
    metrics = report.figures.curve_metrics(groups)
    assert metrics == ["equivariance_error", "hj_residual", "loss"]
    axes = report.figures._draw_curves(groups, metrics).axes
    assert [ax.get_yscale() for ax in axes] == ["linear", "log", "linear"]


def test_compare(tmp_path):
    make_run(tmp_path / "one", failed=(0,))
    make_run(tmp_path / "two", points=2)
    out = tmp_path / "out" / "all.html"
    report.compare([tmp_path / "one", tmp_path / "two"], out)
    assert files(out.parent) == {"all-curves.png", "all-seeds.png"}
    assert "by mean equivariance error" in words(out)


def test_animation_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    run = tmp_path / "run"
    make_run(run, seeds=1)
    report.build(run)
    old = (run / "traversals.gif").read_bytes()
    change(run, true_frames=np.zeros((2, 2, 4, SIDE, SIDE, 3)))

    def refuse(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        report.build(run)
    assert (run / "traversals.gif").read_bytes() == old
    assert not list(run.glob("*.tmp")) + list(run.glob(".*"))
