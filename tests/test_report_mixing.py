"""Pictures of sparse mixings and of images by domain, from invented runs."""

import itertools
import json

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy.stats import gaussian_kde

from jaxdis import report
from jaxdis.report import mixing
from jaxdis.report.figures import FAINT, WRONG

MASK = [[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]]
ROWS, STYLES, SIDE = 90, 6, 8
MIXING = {"jacobian.png", "latents.png"}
IMAGES = {"samples.png", "translation.png", "style_traversals.png", "importance.png"}


def mixing_figures(points, seeds, domains):
    rng = np.random.default_rng(0)
    true = rng.normal(size=(points, seeds, ROWS, 3))
    strength = np.array(MASK) + 0.02 * rng.random((points, seeds, 6, 3))
    strength[0, 0, 0, 2] = 0.7  # the one wrong entry of the first seed
    return {
        "jacobian": strength,
        "correlation": rng.random((points, seeds, 3, 3)),
        "latents": true + 0.1 * rng.normal(size=true.shape),
        "latents_true": true,
        "true_domains": np.arange(ROWS) % domains,
    }


def image_figures(points, seeds, domains):
    rng = np.random.default_rng(0)

    def images(*shape):
        """Flat, each of its own colour, so that a picture tells them apart."""
        colours = rng.integers(0, 256, (*shape, 1, 1, 3), np.uint8)
        return colours.repeat(SIDE, -3).repeat(SIDE, -2)

    return {
        "samples": images(points, seeds, domains, 4),
        "translation": images(points, seeds, 5, domains),
        "traversal": images(points, seeds, domains, 2, 3),
        "importance": rng.uniform(0.2, 1, (points, seeds, STYLES)),
        "true_images": images(domains, 4),
    }


def make_run(path, kind="mixing", *, points=2, seeds=3, domains=3, failed=()):
    """A run directory; `kind` is "mixing" or "images"."""
    path.mkdir(parents=True)
    rng = np.random.default_rng(domains)
    if kind == "mixing":
        system, figures = "sparse_mixing", mixing_figures(points, seeds, domains)
        spec = {"x_dim": 6, "domains": domains, "z_dim": 3, "mask": MASK, "worlds": 1}
        names = ["mcc", "mcc_observed", "wrong_entries"]
    else:
        system, figures = "sparse_mixing_gan", image_figures(points, seeds, domains)
        spec = {
            "shape": [SIDE, SIDE, 3], "domains": domains, "classes": 10,
            "names": [f"hue {i}" for i in range(domains)], "coloured": True,
        }  # fmt: skip
        names = ["digit_kept", "colour_right", "frechet", "active"]
    metrics = {name: rng.uniform(0.5, 0.9, (points, seeds)).tolist() for name in names}
    results = {
        "hyper": [{"alpha": 0.1 * i} for i in range(points)],
        "metrics": metrics,
        "failed_seeds": [list(failed)] * points,
        "spec": spec,
    }
    config = {"system": system, "preset": "toy", "command": "train", "seeds": seeds}
    lines = [
        {"step": step, "point": p, "seed": s, "loss": 1 / step}
        for step in (10, 100) for p, s in np.ndindex(points, seeds)
    ]  # fmt: skip
    (path / "config.json").write_text(json.dumps(config))
    (path / "results.json").write_text(json.dumps(results))
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    np.savez(path / "figures.npz", **figures)
    return figures, metrics


def change(path, **arrays):
    """Replaces arrays of a run; those that are None go."""
    with np.load(path / "figures.npz") as file:
        figures = dict(file) | arrays
    np.savez(
        path / "figures.npz", **{k: v for k, v in figures.items() if v is not None}
    )


def change_results(path, **fields):
    """Replaces fields of results.json; those of its spec, if they are in there."""
    results = json.loads((path / "results.json").read_text())
    inside = {n: fields.pop(n) for n in list(fields) if n in results["spec"]}
    results |= fields
    if results["spec"]:
        results["spec"] |= inside
    (path / "results.json").write_text(json.dumps(results))


def files(path):
    return {p.name for p in path.iterdir() if p.suffix == ".png"}


@pytest.fixture
def drawn(monkeypatch):
    """Figures, before they become pixels."""
    found, save = [], Figure.savefig

    def keep(figure, *args, **kwargs):
        found.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def texts(figure):
    figures = [figure, *figure.subfigs]
    axes = [ax for f in figures for ax in f.axes]
    found = [t.get_text() for f in figures for t in f.texts]
    found += [f.get_suptitle() for f in figures]
    for ax in axes:
        found += [ax.get_title(), ax.get_title("left"), ax.get_xlabel()]
        found += [ax.get_ylabel(), *(t.get_text() for t in ax.texts)]
        found += [t.get_text() for t in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    return "\n".join(found)


def every_axes(figure):
    """All axes but the bars of shades."""
    figures = figure.subfigs or [figure]
    axes = [ax for f in figures for ax in f.axes]
    return [ax for ax in axes if ax.get_label() != "<colorbar>"]


def named(drawn, path):
    """Pictures by the names of their files, in the order in which they were drawn."""
    order = ("curves", "seeds", "correlation", "jacobian", "latents", "samples",
             "translation", "style_traversals", "importance")  # fmt: skip
    made = [name for name in order if f"{name}.png" in files(path)]
    return dict(zip(made, drawn, strict=True))


def test_pictures_of_a_mixing(tmp_path, drawn):
    _, metrics = make_run(tmp_path / "run")
    page = report.build(tmp_path / "run")
    assert files(tmp_path / "run") >= MIXING
    assert page.read_text().count("data:image/png;base64") == len(
        files(tmp_path / "run")
    )
    said = "\n".join(texts(figure) for figure in drawn)
    best = min(range(3), key=lambda s: metrics["wrong_entries"][1][s])
    assert f"best: seed {best}" in said
    assert "true mask" in said
    assert "12 entries" in said
    for name in MIXING:
        assert imread(tmp_path / "run" / name).std() > 0.05


def test_mixing_without_truth_or_seeds(tmp_path):
    run = tmp_path / "run"
    make_run(run)
    change_results(run, mask=None, metrics={"reconstruction": [[1.0, 2.0, 3.0]] * 2})
    change(run, latents_true=None, correlation=None)
    report.build(run)
    assert files(run) >= MIXING
    make_run(tmp_path / "failed", failed=(0, 1, 2))
    report.build(tmp_path / "failed")
    assert not files(tmp_path / "failed") & MIXING


def test_jacobian_of_the_best_seed_and_the_median(tmp_path, drawn):
    run = tmp_path / "run"
    made, metrics = make_run(run, failed=(1,), seeds=4)
    jacobian = made["jacobian"]
    jacobian[:, :, 5] = 0.0  # a row of zeros stays so
    metrics["wrong_entries"] = [[3.0, 0.0, 2.0, 2.0]] * 2
    metrics["mcc"] = [[0.9, 1.0, 0.5, 0.7]] * 2
    change(run, jacobian=jacobian)
    change_results(run, metrics=metrics)
    report.build(run)
    axes = every_axes(named(drawn, run)["jacobian"])
    assert len(axes) == 2 * 3
    mask = np.array(MASK, bool)
    for point, row in enumerate((axes[:3], axes[3:])):
        np.testing.assert_array_equal(row[0].collections[0].get_array(), MASK)
        # Seed 1 failed; of the others 3 has the higher MCC at as many wrong entries.
        for ax, seed in zip(row[1:], (3, 2), strict=True):
            matrix = jacobian[point, seed]
            matrix = matrix / np.maximum(matrix.max(1, keepdims=True), 1e-300)
            np.testing.assert_allclose(ax.collections[0].get_array(), matrix)
            outlined = {False: np.zeros_like(mask), True: np.zeros_like(mask)}
            for cell in ax.patches:
                bad = to_hex(cell.get_edgecolor()) == WRONG.lower()
                outlined[bad][cell.get_y(), cell.get_x()] = True
            wrong = (matrix > 0.1) != mask
            assert wrong.sum() == 2
            np.testing.assert_array_equal(outlined[True], wrong)
            np.testing.assert_array_equal(outlined[False], mask & ~wrong)
            said = [t.get_text() for t in ax.texts]
            assert f"MCC {metrics['mcc'][point][seed]:.3f}, 2 wrong" in said
    assert [ax.get_title("left") for ax in axes[:3]] == [
        "true mask", "best: seed 3", "median: seed 2",
    ]  # fmt: skip


def test_unmatched_latents_are_not_compared_with_the_mask(tmp_path, drawn):
    run = tmp_path / "run"
    make_run(run, points=1)
    change(run, latents_true=None, correlation=None)
    report.build(run)
    pictures = named(drawn, run)
    axes = every_axes(pictures["jacobian"])
    assert [ax.get_xlabel() for ax in axes] == ["true latent", "latent", "latent"]
    assert not any(ax.patches for ax in axes)
    assert "wrong" not in texts(pictures["jacobian"])
    assert len(every_axes(pictures["latents"])) == 3


@pytest.mark.parametrize("domains", [2, 9])
def test_latents_of_the_best_seed_by_domain(tmp_path, drawn, domains):
    run = tmp_path / "run"
    made, metrics = make_run(run, domains=domains)
    report.build(run)
    figure = named(drawn, run)["latents"]
    axes = every_axes(figure)
    assert len(axes) == 2 * 3 * 3
    for point in range(2):
        best = int(np.argmin(metrics["wrong_entries"][point]))
        some = axes[9 * point : 9 * point + 9]
        u, kinds = made["true_domains"], ("latents_true", "latents")
        for k, kind in enumerate(kinds):
            for j, ax in enumerate(some[3 * k : 3 * k + 3]):
                assert len(ax.lines) == domains
                values = made[kind][point, best, :, j]
                for d, line in enumerate(ax.lines):
                    grid, height = line.get_data()
                    wanted = d - 1.7 * mixing.density(values[u == d], grid)
                    np.testing.assert_allclose(height, wanted)
                    assert grid[0] < values.min() < values.max() < grid[-1]
        for j, ax in enumerate(some[6:]):
            true, estimated = (made[kind][point, best, :, j] for kind in kinds)
            found = ax.collections[0].get_offsets()
            np.testing.assert_allclose(found, np.stack([true, estimated], 1))
            r = made["correlation"][point, best, j, j]
            assert [t.get_text() for t in ax.texts] == [f"r {r:.2f}"]
    # Names of rows stand one below the other.
    figure.draw_without_rendering()
    labels = [axes[i].yaxis.label.get_window_extent() for i in (0, 3, 6, 9, 12, 15)]
    for above, below in itertools.pairwise(labels):
        assert above.y0 > below.y1


def test_runs_by_number_of_domains(tmp_path, drawn):
    runs = [tmp_path / f"d{d}" for d in (2, 5, 9)]
    made = [make_run(r, domains=d)[1] for r, d in zip(runs, (2, 5, 9), strict=True)]
    report.compare(runs, tmp_path / "all.html")
    assert (tmp_path / "all-domains.png").exists()
    ax = drawn[-1].axes[0]
    assert ax.get_xlabel() == "domains"
    lines = [c.lines[0].get_ydata() for c in ax.containers]
    expected = [[np.mean(m["mcc"][p]) for m in made] for p in (0, 1)]
    np.testing.assert_allclose(lines, expected)
    floor = [np.mean(m["mcc_observed"][0]) for m in made]
    assert any(np.allclose(line.get_ydata(), floor) for line in ax.lines
               if len(line.get_ydata()) == 3)  # fmt: skip
    # The floors differ, so that none lends its colour to their one name.
    (legend,) = drawn[-1].legends
    names = [t.get_text() for t in legend.get_texts()]
    assert names == ["alpha 0", "alpha 0.1", "raw observations"]
    assert to_rgba(legend.get_texts()[-1].get_color()) == to_rgba(FAINT)
    # Runs of as many domains have no such picture.
    make_run(tmp_path / "again", domains=2)
    report.compare([runs[0], tmp_path / "again"], tmp_path / "same.html")
    assert not (tmp_path / "same-domains.png").exists()


def test_runs_that_repeat_a_number_of_domains(tmp_path, drawn):
    runs = [tmp_path / name for name in ("a", "b", "c")]
    for run, domains in zip(runs, (2, 5, 5), strict=True):
        _, metrics = make_run(run, domains=domains, points=1, failed=(0,))
        floor = [[0.9, 0.5 + domains / 100, 0.5 + domains / 100]]
        change_results(run, metrics=metrics | {"mcc_observed": floor})
    report.compare(runs, tmp_path / "all.html")
    (legend,) = drawn[-1].legends
    names = [t.get_text() for t in legend.get_texts()]
    assert names == ["a", "b", "c", "raw observations"]
    ax = drawn[-1].axes[0]
    assert [len(c.lines[0].get_ydata()) for c in ax.containers] == [1, 1, 1]
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert {to_rgba(line.get_color()) for line in dashed} == {to_rgba(FAINT)}
    floors = {y for line in dashed for y in np.round(line.get_ydata(), 6)}
    assert floors == {0.52, 0.55}
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "5"]


def test_only_mixings_are_compared_by_domains(tmp_path):
    make_run(tmp_path / "one", domains=2)
    make_run(tmp_path / "two", "images", domains=3)
    report.compare([tmp_path / "one", tmp_path / "two"], tmp_path / "all.html")
    assert files(tmp_path) == {"all-curves.png", "all-seeds.png"}


def shown(ax, rows, columns, block):
    """Colours of the tiles of a sheet: 88 dots, 2 between them, 26 after a block."""
    canvas, tile = ax.images[0].get_array(), 11 * SIDE
    x = [i * (tile + 2) + 26 * (i // block) for i in range(columns)]
    y = [i * (tile + 2) for i in range(rows)]
    assert canvas.shape == (y[-1] + tile, x[-1] + tile, 3)
    return np.asarray(canvas)[np.array(y)[:, None] + 3, np.array(x)[None] + 3]


def test_sheets_hold_the_images_of_the_first_seed_alive(tmp_path, drawn):
    run = tmp_path / "run"
    made, _ = make_run(run, "images", failed=(0,))
    report.build(run)
    pictures = named(drawn, run)
    colours = {n: a[..., 0, 0, :] for n, a in made.items() if a.ndim > 4}
    for point in range(2):
        ax = pictures["samples"].axes[point]
        both = [colours["true_images"], colours["samples"][point, 1]]
        np.testing.assert_array_equal(shown(ax, 3, 8, 4), np.concatenate(both, 1))
        assert [t.get_text() for t in ax.get_xticklabels()] == ["real", "generated"]
        ax = pictures["translation"].axes[point]
        translation = colours["translation"][point, 1].swapaxes(0, 1)
        np.testing.assert_array_equal(shown(ax, 3, 5, 5), translation)
        ax = pictures["style_traversals"].axes[point]
        found = shown(ax, 3, 6, 3).reshape(3, 2, 3, 3)
        np.testing.assert_array_equal(found, colours["traversal"][point, 1])
        first, second = -np.sort(-made["importance"][point, 1])[:2]
        assert [t.get_text() for t in ax.get_xticklabels()] == [
            f"style 1, w {first:.2f}", f"style 2, w {second:.2f}",
        ]  # fmt: skip
    for name in ("samples", "translation", "style_traversals"):
        axes = pictures[name].axes
        for ax, point in zip(axes, ("alpha 0", "alpha 0.1"), strict=True):
            assert ax.get_title("left") == f"{point}, seed 1"
            rows = [t.get_text() for t in ax.get_yticklabels()]
            assert rows == ["hue 0", "hue 1", "hue 2"]
        pictures[name].draw_without_rendering()
        # Beside or below one another, with all their words.
        one, other = (ax.get_tightbbox() for ax in axes)
        assert one.x1 < other.x0 or one.y0 > other.y1


def test_importance_of_style_latents(tmp_path, drawn):
    run = tmp_path / "run"
    make_run(run, "images", failed=(2,))
    weights = np.zeros((2, 3, STYLES))
    weights[0, :, 1:4] = [[0.3, 0.9, 0.5], [0.0, 0.7, 0.0], [9.0, 9.0, 9.0]]
    weights[1, :, 5] = 0.2
    change(run, importance=weights)
    report.build(run)
    pictures = named(drawn, run)
    (ax,) = pictures["importance"].axes
    lines = [line.get_ydata() for line in ax.lines]
    np.testing.assert_allclose(lines[0], [0.9, 0.5, 0.3, 0, 0, 0])
    np.testing.assert_allclose(lines[1], [0.7, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(lines[2], [0.8, 0.25, 0.15, 0, 0, 0])
    np.testing.assert_allclose(lines[-1], 0.1)
    (legend,) = pictures["importance"].legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "alpha 0: 1–3 active", "alpha 0.1: 1 active", "threshold 0.1",
    ]  # fmt: skip
    ax = pictures["style_traversals"].axes[1]
    words = [t.get_text() for t in ax.get_xticklabels()]
    assert words == ["style 1, w 0.20", "style 2, off"]


@pytest.mark.parametrize(
    ("kind", "gone", "pictures"),
    [
        ("images", "samples", ["samples.png"]),
        ("images", "translation", ["translation.png"]),
        ("images", "traversal", ["style_traversals.png"]),
        ("images", "importance", ["importance.png"]),
        ("images", "true_images", []),
        ("mixing", "jacobian", ["jacobian.png"]),
        ("mixing", "latents", ["latents.png"]),
        ("mixing", "true_domains", ["latents.png"]),
    ],
)
def test_absent_arrays_leave_pictures_out(tmp_path, kind, gone, pictures):
    run = tmp_path / "run"
    make_run(run, kind, points=1, seeds=1)
    change(run, **{gone: None})
    report.build(run)
    assert (IMAGES if kind == "images" else MIXING) - files(run) == set(pictures)


def test_images_of_failed_seeds_are_not_drawn(tmp_path):
    make_run(tmp_path / "run", "images", failed=(0, 1, 2))
    report.build(tmp_path / "run")
    assert files(tmp_path / "run") == {"curves.png", "seeds.png"}


def test_headline_of_images(tmp_path):
    _, metrics = make_run(tmp_path / "run", "images")
    page = report.build(tmp_path / "run").read_text()
    frechet = np.array(metrics["frechet"])
    best = frechet.mean(1).argmin()
    assert (
        f"Best of 2 by mean Fréchet distance: alpha {[0, 0.1][best]:g} with Fréchet "
        f"distance {frechet[best].mean():.3f} ± {frechet[best].std():.3f}, "
        "Digit kept"
    ) in page


def test_pictures_of_images(tmp_path, drawn):
    figures, _ = make_run(tmp_path / "run", "images", failed=(0,))
    change(tmp_path / "run", importance=np.where(figures["importance"] < 0.5, 0.0, 0.7))
    page = report.build(tmp_path / "run").read_text()
    assert files(tmp_path / "run") >= IMAGES
    said = "\n".join(texts(figure) for figure in drawn)
    for words in ("hue 2", "generated", "real", "seed 1"):
        assert words in said
    assert "Digit" in page or "digit" in page
    for name in IMAGES:
        assert imread(tmp_path / "run" / name).std() > 0.05


@pytest.mark.parametrize(
    ("kind", "name", "shape", "message"),
    [
        ("mixing", "jacobian", (2, 3, 5, 3), "2 points x 3 seeds x 6 observed x "),
        ("mixing", "jacobian", (3, 6, 3), "latents, got 3 x 6 x 3"),
        ("mixing", "latents", (2, 2, ROWS, 3), "3 seeds x rows x 3 latents, got 2 x 2"),
        ("mixing", "latents", (2, 3, ROWS, 4), "3 latents, got 2 x 3 x 90 x 4"),
        ("mixing", "latents_true", (2, 3, 7, 3), "90 rows x 3 latents, got 2 x 3 x 7"),
        ("mixing", "true_domains", (7,), "90 rows, got 7"),
        ("images", "true_images", (2, 4, 8, 8, 3), "3 domains x examples x 8 height"),
        ("images", "samples", (2, 3, 3, 5, 8, 8, 3), "4 examples x 8 height x 8 width"),
        ("images", "samples", (2, 3, 3, 4, 8, 9, 3), "3 channels, got 2 x 3 x 3 x 4 x"),
        ("images", "translation", (2, 3, 5, 2, 8, 8, 3), "images x 3 domains x 8 hei"),
        ("images", "traversal", (2, 3, 3, 2, 8, 8, 3), "moved x values x 8 height x"),
        ("images", "importance", (2, 2, 6), "2 points x 3 seeds x styles, got 2 x 2"),
        ("images", "importance", (2, 3, 1), "no fewer styles than traversal moves"),
    ],
)
def test_wrong_shapes_are_explained(tmp_path, kind, name, shape, message):
    make_run(tmp_path / "run", kind)
    change(tmp_path / "run", **{name: np.ones(shape, np.uint8)})
    with pytest.raises(ValueError, match=rf"figures\.npz: {name} must .*{message}"):
        report.build(tmp_path / "run")


@pytest.mark.parametrize("domain", [3, -1, 0.5])
def test_a_domain_that_is_none_is_explained(tmp_path, domain):
    make_run(tmp_path / "run")
    change(tmp_path / "run", true_domains=np.full(ROWS, domain))
    message = r"figures\.npz: true_domains must hold whole numbers below 3"
    with pytest.raises(ValueError, match=message):
        report.build(tmp_path / "run")


def test_images_that_are_no_bytes_are_explained(tmp_path):
    made, _ = make_run(tmp_path / "run", "images")
    change(tmp_path / "run", translation=made["translation"] / 255)
    message = "translation must hold bytes, 0 to 255, got float64"
    with pytest.raises(ValueError, match=rf"figures\.npz: {message}"):
        report.build(tmp_path / "run")


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [
        ("mixing", "x_dim", None, r"results\.json: spec must hold x_dim and domains"),
        ("mixing", "spec", None, r"results\.json: spec must hold x_dim and domains"),
        ("mixing", "mask", [1, 0], r"results\.json: spec\.mask must be a matrix"),
        ("mixing", "mask", [[1], [0, 1]], r"results\.json: spec\.mask must be a matr"),
        ("mixing", "mask", MASK[:5], "jacobian must be as large as spec.mask.*5 x 3"),
        (
            "images",
            "spec",
            None,
            r"results\.json: spec must hold the shape of an image",
        ),
        ("images", "shape", [8, 8], r"results\.json: spec must hold the shape of an"),
        ("images", "names", None, r"results\.json: spec must .* names of domains"),
        ("images", "names", ["a", "b"], "true_images must hold 2 domains x examples"),
        ("images", "shape", [8, 8, 2], "true_images must .* 2 channels, got"),
    ],
)
def test_a_spec_that_does_not_fit_is_explained(tmp_path, kind, field, value, message):
    make_run(tmp_path / "run", kind)
    change_results(tmp_path / "run", **{field: value})
    with pytest.raises(ValueError, match=message):
        report.build(tmp_path / "run")


def test_two_channels_are_no_image(tmp_path):
    made, _ = make_run(tmp_path / "run", "images")
    change_results(tmp_path / "run", shape=[SIDE, SIDE, 2])
    two = {n: a[..., :2] for n, a in made.items() if a.ndim > 4}
    change(tmp_path / "run", **two)
    with pytest.raises(ValueError, match="1 or 3 channels, grey or RGB"):
        report.build(tmp_path / "run")


def test_grey_images_are_drawn(tmp_path, drawn):
    made, _ = make_run(tmp_path / "run", "images", points=1)
    change_results(tmp_path / "run", shape=[SIDE, SIDE, 1])
    grey = {n: a[..., :1] for n, a in made.items() if a.ndim > 4}
    change(tmp_path / "run", **grey)
    report.build(tmp_path / "run")
    ax = named(drawn, tmp_path / "run")["translation"].axes[0]
    wanted = grey["translation"][0, 0, ..., 0, 0, :].swapaxes(0, 1).repeat(3, -1)
    np.testing.assert_array_equal(shown(ax, 3, 5, 5), wanted)


def test_density_is_that_of_gaussian_kernels():
    values = np.random.default_rng(0).gamma(2.0, size=400)
    grid = np.linspace(-2, 12, 401)
    # Of scipy the width is a factor of the sample's own deviation.
    factor = 1.06 * 400**-0.2 * values.std() / values.std(ddof=1)
    wanted = gaussian_kde(values, factor)(grid)
    found = mixing.density(values, grid)
    np.testing.assert_allclose(found, wanted / wanted.max(), atol=1e-12)
    np.testing.assert_array_equal(mixing.density(values[:0], grid), 0)
    # Equal values are a peak that the grid can show.
    peak = mixing.density(np.full(5, grid[200]), grid)
    assert peak[200] == 1
    assert 0.5 < peak[201] < 1
