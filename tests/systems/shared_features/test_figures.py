import base64
import json
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread

from jaxdis import report
from jaxdis.report import read as reading
from jaxdis.report import tasks, text

TASKS, FACTORS, FEATURES = 50, 4, 7
SPEC = {
    "shape": [20],
    "classes": None,
    "methods": ["sparse", "ridge", "logistic"],
    "shots": [1, 5, 10],
    "score": "accuracy",
    "raw_methods": ["ridge", "logistic"],
}
SWEEP = [(0.0, 0.0), (0.05, 0.0), (0.05, 0.05)]
LISTS, WRONG = ("methods", "shots", "score"), {"shots": 3}
LATENTS = ("mcc", "dci_d", "dci_c", "dci_i")
PICTURES = {
    "curves.png", "seeds.png", "correlation.png", "heads.png", "usage.png",
    "few_shot.png",
}  # fmt: skip


def make_figures(points, seeds, features):
    rng = np.random.default_rng(0)
    supports = rng.integers(0, 2, (TASKS, FACTORS))
    supports[supports.sum(1) == 0] = 1
    heads = rng.uniform(0, 0.1, (points, seeds, TASKS, features))
    heads[..., :FACTORS] += supports * rng.uniform(1, 3, (TASKS, 1))
    usage = heads.mean(2)
    few = 0.9 - 0.5 / np.sqrt(SPEC["shots"]) - 0.05 * np.arange(3)[:, None]
    return {
        "correlation": rng.random((points, seeds, FACTORS, FACTORS)),
        "heads": heads,
        "true_supports": supports,
        "usage": usage / usage.sum(-1, keepdims=True),
        "few_shot": few + 0.02 * rng.normal(size=(points, seeds, 3, 3)),
        "true_raw": few[:2] - 0.2,
    }


def make_run(path, *, sweep=SWEEP[:1], seeds=4, failed=(), known=True, features=7):
    """A run directory of tasks; returns its figures and metrics [g, s].

    `sweep` holds alpha and beta of every point; without `known` factors there are no
    scores of latents.
    """
    path.mkdir(parents=True)
    rng, points = np.random.default_rng(1), len(sweep)
    names = ["query_loss", "head_density", "usage_entropy", "kkt"]
    names += [f"few_shot_{m}_{k}" for m in SPEC["methods"] for k in SPEC["shots"]]
    names += [f"raw_{m}_{k}" for m in SPEC["raw_methods"] for k in SPEC["shots"]]
    names += LATENTS if known else ()
    metrics = {name: rng.uniform(0.2, 0.9, (points, seeds)) for name in names}
    hyper = [{"rate": 1e-3, "alpha": a, "beta": b} for a, b in sweep]

    def plain(values):
        return values[0] if points == 1 else values

    config = {"system": "shared", "preset": "toy", "command": "train", "seeds": seeds}
    results = {
        "hyper": plain(hyper),
        "metrics": {n: plain(values.tolist()) for n, values in metrics.items()},
        "failed_seeds": plain([list(failed)] * points),
        "spec": SPEC,
    }
    logged = {"mcc": 0.9, "dci_d": 0.3} if known else {}
    lines = [
        {"step": step, "point": point, "seed": seed, "loss": 5 + 9 / step,
         "query_loss": 3 + 9 / step, **logged}
        for step in (10, 100, 1000) for point, seed in np.ndindex(points, seeds)
    ]  # fmt: skip
    figures = make_figures(points, seeds, features)
    if not known:
        del figures["correlation"], figures["true_supports"]
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


def change_results(path, **fields):
    results = json.loads((path / "results.json").read_text()) | fields
    (path / "results.json").write_text(json.dumps(results))


def files(path):
    return {p.name for p in path.iterdir() if p.suffix == ".png"}


def words(page):
    return re.sub(r"base64,[^\"]*", "", page.read_text())


def drawn(path, monkeypatch):
    """Figures of a run before they become pixels, by the names of their files."""
    found, save = [], Figure.savefig

    def keep(figure, *args, **kwargs):
        found.append(figure)
        save(figure, *args, **kwargs)

    run = reading.load(path)
    arrays = reading.load_figures(path, run)
    monkeypatch.setattr(Figure, "savefig", keep)
    made = tasks.draw(run.groups, run.results["spec"], arrays)
    return dict(zip(made, found, strict=True))


def heat_map(ax):
    (mesh,) = ax.collections[:1]
    return np.asarray(mesh.get_array())


def panels(figure):
    """All axes but the bars of shades."""
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"seeds": 1, "features": FACTORS},
        {"sweep": SWEEP, "failed": (0,)},
        {"sweep": [(a, b) for a in (0, 0.1, 1) for b in (0, 0.5)], "features": 32},
        {"sweep": SWEEP[:2], "known": False, "features": 20},
    ],
    ids=str,
)
def test_pictures_are_drawn_and_embedded(tmp_path, kind):
    run = tmp_path / "run"
    make_run(run, **kind)
    page = report.build(run)
    wanted = PICTURES | ({"grid.png"} if "sweep" in kind else set())
    wanted -= set() if kind.get("known", True) else {"correlation.png"}
    assert files(run) == wanted
    for name in files(run):
        content = base64.b64encode((run / name).read_bytes()).decode()
        assert f"data:image/png;base64,{content}" in page.read_text()
        pixels = imread(run / name)[..., :3]
        ink = (pixels < 0.9).any(-1)
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        assert max(ink.shape) < 6000
        assert rows[0] < 80
        assert rows[-1] > len(ink) - 80
        assert columns[0] < 80
        assert columns[-1] > ink.shape[1] - 80


def test_page_says_what_the_pictures_show(tmp_path):
    _, metrics = make_run(tmp_path / "run", sweep=SWEEP)
    page = words(report.build(tmp_path / "run"))
    headings = re.findall("<h2>(.*?)</h2>", page)[:7]
    pictures = ["Curves", "Seeds", "Correlation", "Heads", "Usage", "Grid", "Few shot"]
    assert headings == pictures
    columns = re.findall("<th>(.*?)</th>", page)[:11]
    assert columns == [
        "point",
        "MCC ↑",
        "DCI-D ↑",
        "DCI-C ↑",
        "DCI-I ↑",
        "Query loss ↓",
        "Head density",
        "Usage entropy, nats",
        "KKT residual ↓",
        "Few-shot sparse 1 ↑",
        "Few-shot sparse 5 ↑",
    ]
    assert "Raw logistic 10 ↑" in page
    i = metrics["mcc"].mean(1).argmax()
    mcc, dci = metrics["mcc"][i], metrics["dci_d"][i]
    assert (
        f"with MCC {mcc.mean():.3f} ± {mcc.std():.3f}, "
        f"DCI-D {dci.mean():.3f} ± {dci.std():.3f}"
    ) in page


def test_without_true_factors_few_samples_are_the_headline(tmp_path):
    _, metrics = make_run(tmp_path / "one", known=False)
    ten, five = (metrics[f"few_shot_sparse_{k}"] for k in (10, 5))
    assert (
        f"Few-shot sparse 10 {ten.mean():.3f} ± {ten.std():.3f}, "
        f"Few-shot sparse 5 {five.mean():.3f} ± {five.std():.3f} over 4 seeds"
    ) in words(report.build(tmp_path / "one"))
    _, metrics = make_run(tmp_path / "two", sweep=SWEEP, known=False, failed=(2,))
    best = metrics["few_shot_sparse_10"][:, [0, 1, 3]].mean(1).argmax()
    alpha, beta = SWEEP[best]
    assert (
        f"Best of 3 by mean few-shot sparse 10: alpha {alpha:g}, beta {beta:g} with"
    ) in words(report.build(tmp_path / "two"))


@pytest.mark.parametrize(
    ("known", "metrics"),
    [(True, ["mcc", "dci_d", "query_loss"]), (False, ["query_loss", "loss"])],
)
def test_curves(tmp_path, known, metrics):
    make_run(tmp_path / "run", known=known)
    groups = reading.load(tmp_path / "run").groups
    assert report.figures.curve_metrics(groups) == metrics


def test_families_keep_their_order():
    names = ["raw_ridge_5", "few_shot_ridge_5", "few_shot_sparse_5", "kkt"]
    ordered = ["kkt", "few_shot_ridge_5", "few_shot_sparse_5", "raw_ridge_5"]
    assert text.ordered(names) == ordered
    assert text.title("few_shot_sparse_5") == "Few-shot sparse 5 ↑"


def test_heads_of_the_best_seed_beside_the_true_supports(tmp_path, monkeypatch):
    run = tmp_path / "run"
    made, metrics = make_run(run, sweep=SWEEP, failed=(1,))
    metrics["mcc"][:, 1] = 1.0  # the failed seed is the best nowhere
    made["heads"][:, :, 0] = 0.0
    change(run, heads=made["heads"])
    all_metrics = {n: values.tolist() for n, values in metrics.items()}
    change_results(run, metrics=all_metrics)
    axes = panels(drawn(run, monkeypatch)["heads.png"])
    assert len(axes) == 2 * len(SWEEP)
    supports = made["true_supports"][:40]
    order = sorted(range(40), key=lambda t: (*(-supports[t]), t))
    for point, (left, right) in enumerate(zip(axes[::2], axes[1::2], strict=True)):
        true = heat_map(left)
        np.testing.assert_array_equal(true, supports[order])
        assert [tuple(row) for row in true] == sorted(map(tuple, true), reverse=True)
        good = [0, 2, 3]
        best = good[metrics["mcc"][point, good].argmax()]
        wanted = made["heads"][point, best][order]
        largest = wanted.max(1, keepdims=True)
        wanted = np.divide(wanted, largest, np.zeros_like(wanted), where=largest > 0)
        np.testing.assert_allclose(heat_map(right), wanted)
        assert right.get_title("left") == f"best: seed {best}"
        assert left.get_ylabel() == "40 of 50 tasks"
        (line,) = right.lines
        np.testing.assert_array_equal(line.get_xdata(), FACTORS)


def test_heads_without_true_factors_are_of_the_first_seed(tmp_path, monkeypatch):
    made, _ = make_run(tmp_path / "run", known=False, failed=(0,))
    (ax,) = panels(drawn(tmp_path / "run", monkeypatch)["heads.png"])
    heads = made["heads"][0, 1, :40]
    np.testing.assert_allclose(heat_map(ax), heads / heads.max(1, keepdims=True))
    assert ax.get_title("left") == "seed 1"
    assert not ax.lines


def test_usage_is_sorted_in_every_seed(tmp_path, monkeypatch):
    made, _ = make_run(tmp_path / "run", sweep=SWEEP, failed=(2,))
    axes = panels(drawn(tmp_path / "run", monkeypatch)["usage.png"])
    for ax, usage in zip(axes, made["usage"], strict=True):
        shares = np.sort(usage[[0, 1, 3]])[:, ::-1]
        bars = [bar.get_height() for bar in ax.patches]
        np.testing.assert_allclose(bars, shares.mean(0))
        *dots, uniform = [line.get_ydata() for line in ax.lines]
        np.testing.assert_allclose(dots, shares)
        np.testing.assert_allclose(uniform, 1 / FEATURES)
        assert ax.lines[-1].get_ls() == "--"


def test_grid_leaves_points_blank_that_were_not_run(tmp_path, monkeypatch):
    _, metrics = make_run(tmp_path / "run", sweep=SWEEP, failed=(0,))
    axes = panels(drawn(tmp_path / "run", monkeypatch)["grid.png"])
    titles = [ax.get_title("left") for ax in axes]
    assert titles == ["MCC ↑", "DCI-D ↑", "Head density"]
    places = [(0, 0), (0, 1), (1, 1)]  # beta, alpha
    for ax, name in zip(axes, ("mcc", "dci_d", "head_density"), strict=True):
        good = metrics[name][:, 1:]
        cells = {cell.get_position(): cell.get_text() for cell in ax.texts}
        assert cells == {
            (j + 0.5, i + 0.5): f"{seeds.mean():.3f} ± {seeds.std():.3f}"
            for (i, j), seeds in zip(places, good, strict=True)
        }
        means = ax.collections[0].get_array()
        np.testing.assert_array_equal(means.mask, [[False, False], [True, False]])
        (blank,) = ax.patches
        assert blank.get_xy() == (0, 1)
        assert blank.get_hatch()
        assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.05"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("alpha", "beta")


def test_a_cell_of_which_every_seed_failed_says_so(tmp_path, monkeypatch):
    make_run(tmp_path / "run", sweep=SWEEP)
    change_results(tmp_path / "run", failed_seeds=[[], [0, 1, 2, 3], []])
    figures = drawn(tmp_path / "run", monkeypatch)
    assert [t.get_text() for t in panels(figures["grid.png"])[0].texts][1] == "failed"
    for name in ("usage.png", "few_shot.png"):
        said = [[t.get_text() for t in ax.texts] for ax in panels(figures[name])]
        assert said == [[], ["every seed failed"], []]
    assert [ax.axison for ax in panels(figures["heads.png"])][3] is False


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_one_penalty_is_a_line(tmp_path, monkeypatch, name):
    values = [0.1, 0.0, 1.0]
    sweep = [(v, 0.0) if name == "alpha" else (0.0, v) for v in values]
    _, metrics = make_run(tmp_path / "run", sweep=sweep, failed=(3,))
    ax = panels(drawn(tmp_path / "run", monkeypatch)["grid.png"])[0]
    assert ax.get_xlabel() == name
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.1", "1"]
    good = metrics["mcc"][[1, 0, 2], :3]
    line, _, (bars,) = ax.containers[0]
    np.testing.assert_allclose(line.get_ydata(), good.mean(1))
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    wanted = np.stack([good.mean(1) - good.std(1), good.mean(1) + good.std(1)], 1)
    np.testing.assert_allclose(ends, wanted)


@pytest.mark.parametrize("hyper", [{"rate": [1, 2]}, {"alpha": [1, 1], "rate": [1, 2]}])
def test_other_settings_have_no_grid(tmp_path, hyper):
    make_run(tmp_path / "run", sweep=SWEEP[:2])
    points = [{"beta": 1.0} | {n: v[i] for n, v in hyper.items()} for i in range(2)]
    change_results(tmp_path / "run", hyper=points)
    report.build(tmp_path / "run")
    assert files(tmp_path / "run") == PICTURES


def test_penalties_that_do_not_tell_points_apart_have_no_grid(tmp_path):
    sweep = [(0.0, 0.0), (0.1, 0.0), (0.1, 0.0)]
    make_run(tmp_path / "run", sweep=sweep)
    report.build(tmp_path / "run")
    assert files(tmp_path / "run") == PICTURES


def test_few_shot_scores(tmp_path, monkeypatch):
    run = tmp_path / "run"
    made, _ = make_run(run, sweep=SWEEP, failed=(1,))
    made["few_shot"][:, 1] = 50.0
    change(run, few_shot=made["few_shot"])
    figure = drawn(run, monkeypatch)["few_shot.png"]
    axes = panels(figure)
    assert len(axes) == len(SWEEP)
    for ax, few in zip(axes, made["few_shot"][:, [0, 2, 3]], strict=True):
        named = {
            line.get_label(): line
            for line in ax.lines
            if not line.get_label().startswith("_")
        }
        for k, method in enumerate(SPEC["methods"]):
            np.testing.assert_allclose(named[method].get_ydata(), few[:, k].mean(0))
        for k, method in enumerate(SPEC["raw_methods"]):
            raw = named[f"raw, {method}"]
            np.testing.assert_allclose(raw.get_ydata(), made["true_raw"][k])
            assert raw.get_ls() == "--"
            red, green, blue, _ = to_rgba(raw.get_color())
            assert red == green == blue
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "5", "10"]
        assert ax.get_ylim() == axes[0].get_ylim()
        assert ax.get_ylim()[1] < 2
    assert axes[0].get_ylabel() == "accuracy"
    (legend,) = figure.legends
    assert [label.get_text() for label in legend.get_texts()] == [
        "sparse", "ridge", "logistic", "raw, ridge", "raw, logistic"
    ]  # fmt: skip


def test_scores_far_below_zero_hide_nothing(tmp_path, monkeypatch):
    run = tmp_path / "run"
    made, _ = make_run(run)
    made["few_shot"][:, :, 1, 0] = -40.0
    change(run, few_shot=made["few_shot"], true_raw=None)
    change_results(run, spec=SPEC | {"score": "R²", "raw_methods": []})
    (ax,) = panels(drawn(run, monkeypatch)["few_shot.png"])
    assert ax.get_ylim()[0] == -1
    assert ax.get_ylabel() == "R², not shown below −1"


@pytest.mark.parametrize(
    ("gone", "pictures"),
    [
        (["heads"], ["heads.png"]),
        (["true_supports"], []),
        (["usage"], ["usage.png"]),
        (["few_shot"], ["few_shot.png"]),
        (["true_raw"], []),
        (["heads", "usage", "few_shot"], ["heads.png", "usage.png", "few_shot.png"]),
    ],
    ids=str,
)
def test_absent_arrays_leave_pictures_out(tmp_path, gone, pictures):
    run = tmp_path / "run"
    make_run(run, seeds=1)
    change(run, **dict.fromkeys(gone))
    report.build(run)
    assert files(run) == PICTURES - set(pictures)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("true_supports", (TASKS,), "tasks x factors, got 50"),
        ("heads", (1, 3, TASKS, 7), "1 points x 4 seeds x 50 tasks x features, got 1"),
        ("heads", (1, 4, 9, 7), "50 tasks x features, got 1 x 4 x 9 x 7"),
        ("usage", (1, 4, 6), "1 points x 4 seeds x 7 features, got 1 x 4 x 6"),
        ("usage", (4, 7), "1 points x 4 seeds x 7 features, got 4 x 7"),
        ("few_shot", (1, 4, 2, 3), "4 seeds x 3 methods x 3 shots, got 1 x 4 x 2 x 3"),
        ("true_raw", (3, 3), "2 raw_methods x 3 shots, got 3 x 3"),
    ],
)
def test_wrong_shapes_are_explained(tmp_path, name, shape, message):
    make_run(tmp_path / "run")
    change(tmp_path / "run", **{name: np.zeros(shape)})
    with pytest.raises(ValueError, match=rf"figures\.npz: {name} must .*{message}"):
        report.build(tmp_path / "run")


def test_fewer_features_than_factors_are_explained(tmp_path):
    make_run(tmp_path / "run", features=FACTORS)
    change(tmp_path / "run", true_supports=np.ones((TASKS, FACTORS + 1)))
    with pytest.raises(ValueError, match="heads must hold no fewer features than"):
        report.build(tmp_path / "run")


@pytest.mark.parametrize(
    "spec",
    [None, *({n: SPEC[n] for n in SPEC if n != gone} for gone in LISTS), SPEC | WRONG],
    ids=["none", *LISTS, "number"],
)
def test_a_spec_without_methods_is_explained(tmp_path, spec):
    make_run(tmp_path / "run", seeds=1)
    change_results(tmp_path / "run", spec=spec)
    with pytest.raises(ValueError, match=r"results\.json: spec must hold lists of"):
        report.build(tmp_path / "run")


def test_a_run_of_which_every_seed_failed_has_no_heads(tmp_path):
    run = tmp_path / "run"
    make_run(run, seeds=2, failed=(0, 1))
    page = words(report.build(run))
    assert files(run) == {"curves.png", "seeds.png", "correlation.png"}
    assert "over 0 of 2 seeds; seeds 0, 1 failed" in page


def test_compare(tmp_path):
    make_run(tmp_path / "one", failed=(0,))
    make_run(tmp_path / "two", sweep=SWEEP)
    out = tmp_path / "out" / "all.html"
    report.compare([tmp_path / "one", tmp_path / "two"], out)
    assert files(out.parent) == {"all-curves.png", "all-seeds.png"}
    assert "by mean MCC" in words(out)
