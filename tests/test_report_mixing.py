"""Pictures of sparse mixings and of images by domain, from invented runs."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from jaxdis import report
from jaxdis.report import mixing

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
        return rng.integers(0, 256, (*shape, SIDE, SIDE, 3), np.uint8)

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
    results = json.loads((run / "results.json").read_text())
    results["spec"]["mask"] = None
    results["metrics"] = {"reconstruction": [[1.0, 2.0, 3.0]] * 2}
    (run / "results.json").write_text(json.dumps(results))
    change(run, latents_true=None, correlation=None)
    report.build(run)
    assert files(run) >= MIXING
    make_run(tmp_path / "failed", failed=(0, 1, 2))
    report.build(tmp_path / "failed")
    assert not files(tmp_path / "failed") & MIXING


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
    # Runs of as many domains have no such picture.
    make_run(tmp_path / "again", domains=2)
    report.compare([runs[0], tmp_path / "again"], tmp_path / "same.html")
    assert not (tmp_path / "same-domains.png").exists()


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
    ("kind", "name", "value", "message"),
    [
        ("mixing", "jacobian", np.ones((2, 3, 5, 3)), "jacobian"),
        ("mixing", "latents", np.ones((2, 2, ROWS, 3)), "latents"),
        ("mixing", "latents_true", np.ones((2, 3, 7, 3)), "latents_true"),
        ("mixing", "true_domains", np.full(ROWS, 3), "whole numbers below 3"),
        ("images", "samples", np.ones((2, 3, 3, 4, 8, 8, 3)), "must hold bytes"),
        ("images", "translation", np.ones((2, 3, 5, 2, 8, 8, 3), np.uint8), "transl"),
        ("images", "importance", np.ones((2, 2, 6)), "importance"),
    ],
)
def test_arrays_that_do_not_fit_are_named(kind, name, value, message, tmp_path):
    make_run(tmp_path / "run", kind)
    change(tmp_path / "run", **{name: value})
    with pytest.raises(ValueError, match=rf"(?s)figures\.npz.*{re.escape(message)}"):
        report.build(tmp_path / "run")


def test_density_is_that_of_gaussian_kernels():
    values = np.random.default_rng(0).normal(size=400)
    grid = np.linspace(-4, 4, 401)
    found = mixing.density(values, grid)
    assert found.max() == 1
    # Of N(0, 1) with Silverman's width, which widens it a little.
    width = np.sqrt(1 + (1.06 * 400**-0.2) ** 2)
    assert np.abs(found - np.exp(-0.5 * (grid / width) ** 2)).max() < 0.12
    np.testing.assert_array_equal(mixing.density(values[:0], grid), 0)
