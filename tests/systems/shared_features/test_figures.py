"""Pictures of a made-up run: what is drawn, and what is left out."""

import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from jaxdis.report.kit import STYLE, render
from jaxdis.report.read import Group, Record
from jaxdis.systems.shared_features import METHOD
from jaxdis.systems.shared_features.config import Config
from jaxdis.systems.shared_features.figures import (
    draw_few_shot,
    draw_grid,
    draw_heads,
    draw_label_heads,
    draw_usage,
)
from jaxdis.systems.shared_features.scores import scores
from jaxdis.types import Label, Spec

TASKS, FACTORS, FEATURES = 50, 4, 7
SHOTS, HEADS, RAW = (1, 5, 10), ("sparse", "ridge", "logistic"), ("ridge", "logistic")
SWEEP = [(0.0, 0.0), (0.05, 0.0), (0.05, 0.05)]
CONFIG = Config(tasks="labels", shots=SHOTS)


@pytest.fixture(autouse=True)
def house_style():
    with matplotlib.style.context(["default", STYLE]):
        yield


def made_arrays(points, seeds, features):
    rng = np.random.default_rng(0)
    supports = rng.integers(0, 2, (TASKS, FACTORS))
    supports[supports.sum(1) == 0] = 1
    heads = rng.uniform(0, 0.1, (points, seeds, TASKS, features))
    heads[..., :FACTORS] += supports * rng.uniform(1, 3, (TASKS, 1))
    usage = heads.mean(2)
    few = 0.9 - 0.5 / np.sqrt(SHOTS) - 0.05 * np.arange(3)[:, None]
    return {
        "correlation": rng.random((points, seeds, FACTORS, FACTORS)),
        "heads": heads,
        "supports": supports,
        "usage": usage / usage.sum(-1, keepdims=True),
        "few_shot": few + 0.02 * rng.normal(size=(points, seeds, 3, 3)),
        "raw": few[:2] - 0.2,
        "shots": np.array(SHOTS),
        "label_heads": rng.normal(size=(points, seeds, 2, features, 3)),
        "label_scores": rng.random((points, seeds, 2)),
    }


def made(*, sweep=SWEEP[:1], seeds=4, failed=(), known=True, features=FEATURES):
    """A run of tasks; `sweep` holds alpha and beta of every point.

    `failed` are seeds that fail at every point, or a list of them for each; without
    `known` factors there are no scores of latents.
    """
    rng, points = np.random.default_rng(1), len(sweep)
    failed = failed if isinstance(failed, list) else [failed] * points
    spec = Spec((20,), labels=(Label("label", 2),), z_dim=FACTORS if known else 0)
    declared = {score.name: score for score in scores(CONFIG, spec)}
    groups = [
        Group(
            label=f"alpha {alpha:g}, beta {beta:g}" if points > 1 else "",
            hyper={"learning_rate": 1e-3, "alpha": alpha, "beta": beta},
            seeds=list(range(seeds)),
            failed=np.isin(range(seeds), lost),
            final={name: rng.uniform(0.2, 0.9, seeds) for name in declared},
            steps=np.array([10, 100]),
            curves={},
        )
        for (alpha, beta), lost in zip(sweep, failed, strict=True)
    ]
    arrays = made_arrays(points, seeds, features)
    if not known:
        del arrays["correlation"], arrays["supports"]
    named = {"labels": [{"name": "label"}, {"name": "age"}]}
    return Record("shared_features/toy", {}, {}, groups, named, declared, arrays)


def without(record, *names):
    kept = {name: a for name, a in record.arrays.items() if name not in names}
    return record._replace(arrays=kept)


def heat_map(ax):
    (mesh,) = ax.collections[:1]
    return np.asarray(mesh.get_array())


def panels(figure):
    """All axes but the bars of shades."""
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def drawn(record):
    """Pictures of a run as files."""
    files = [render(figure, record) for figure in METHOD.figures]
    return dict(file for file in files if file is not None)


def test_pictures_are_saved():
    files = drawn(made(sweep=SWEEP[:2], seeds=2))
    names = {f"{figure.name}.png" for figure in METHOD.figures}
    assert set(files) == names
    assert all(content.startswith(b"\x89PNG") for content in files.values())


def test_what_a_run_lacks_is_not_drawn():
    record = made(known=False)
    assert draw_grid(record) is None  # one point
    for draw, name in (
        (draw_heads, "heads"),
        (draw_usage, "usage"),
        (draw_few_shot, "few_shot"),
    ):
        assert draw(record) is not None
        assert draw(without(record, name)) is None
    lost = made(sweep=SWEEP, seeds=2, failed=(0, 1))
    for draw in (draw_heads, draw_usage, draw_few_shot, draw_grid):
        assert draw(lost) is None


def test_heads_of_the_best_seed_beside_the_true_supports():
    record = made(sweep=SWEEP, failed=(1,))
    record.arrays["heads"][:, :, 0] = 0.0
    for group in record.groups:
        group.final["mcc"][1] = 1.0  # the failed seed is the best nowhere
    axes = panels(draw_heads(record))
    assert len(axes) == 2 * len(SWEEP)
    supports = record.arrays["supports"][:40]
    order = sorted(range(40), key=lambda t: (*(-supports[t]), t))
    for point, (left, right) in enumerate(zip(axes[::2], axes[1::2], strict=True)):
        true = heat_map(left)
        np.testing.assert_array_equal(true, supports[order])
        assert [tuple(row) for row in true] == sorted(map(tuple, true), reverse=True)
        good = [0, 2, 3]
        best = good[record.groups[point].final["mcc"][good].argmax()]
        wanted = record.arrays["heads"][point, best][order]
        largest = wanted.max(1, keepdims=True)
        wanted = np.divide(wanted, largest, np.zeros_like(wanted), where=largest > 0)
        np.testing.assert_allclose(heat_map(right), wanted)
        assert right.get_title("left") == f"best by truth: seed {best}"
        assert left.get_ylabel() == "40 of 50 tasks"
        (line,) = right.lines
        np.testing.assert_array_equal(line.get_xdata(), FACTORS)


def test_heads_without_true_factors_are_of_the_first_seed():
    record = made(known=False, failed=(0,))
    (ax,) = panels(draw_heads(record))
    heads = record.arrays["heads"][0, 1, :40]
    np.testing.assert_allclose(heat_map(ax), heads / heads.max(1, keepdims=True))
    assert ax.get_title("left") == "seed 1"
    assert not ax.lines


def test_as_many_features_as_factors_need_no_line():
    _, right = panels(draw_heads(made(features=FACTORS, seeds=1)))
    assert not right.lines
    assert right.get_title("left") == "seed 0"


def test_usage_is_sorted_in_every_seed():
    record = made(sweep=SWEEP, failed=(2,))
    axes = panels(draw_usage(record))
    for ax, usage in zip(axes, record.arrays["usage"], strict=True):
        shares = np.sort(usage[[0, 1, 3]])[:, ::-1]
        bars = [bar.get_height() for bar in ax.patches]
        np.testing.assert_allclose(bars, shares.mean(0))
        *dots, uniform = [line.get_ydata() for line in ax.lines]
        np.testing.assert_allclose(dots, shares)
        np.testing.assert_allclose(uniform, 1 / FEATURES)
        assert ax.lines[-1].get_ls() == "--"


def test_grid_leaves_points_blank_that_were_not_run():
    record = made(sweep=SWEEP, failed=(0,))
    axes = panels(draw_grid(record))
    titles = [ax.get_title("left") for ax in axes]
    assert titles == ["MCC ↑", "DCI-D ↑", "Head density"]
    places = [(0, 0), (0, 1), (1, 1)]  # beta, alpha
    for ax, name in zip(axes, ("mcc", "dci_d", "head_density"), strict=True):
        good = [group.final[name][1:] for group in record.groups]
        cells = {cell.get_position(): cell.get_text() for cell in ax.texts}
        assert cells == {
            (j + 0.5, i + 0.5): f"{seeds.mean():.3f} ± {seeds.std(ddof=1):.3f}"
            for (i, j), seeds in zip(places, good, strict=True)
        }
        means = ax.collections[0].get_array()
        np.testing.assert_array_equal(means.mask, [[False, False], [True, False]])
        (blank,) = ax.patches
        assert blank.get_xy() == (0, 1)
        assert blank.get_hatch()
        assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.05"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("alpha", "beta")


def test_a_point_of_which_every_seed_failed_says_so():
    record = made(sweep=SWEEP, failed=[(), (0, 1, 2, 3), ()])
    assert [t.get_text() for t in panels(draw_grid(record))[0].texts][1] == "failed"
    for draw in (draw_usage, draw_few_shot):
        said = [[t.get_text() for t in ax.texts] for ax in panels(draw(record))]
        assert said == [[], ["every seed failed"], []]
    assert panels(draw_heads(record))[3].axison is False


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_one_penalty_is_a_line(name):
    values = [0.1, 0.0, 1.0]
    sweep = [(v, 0.0) if name == "alpha" else (0.0, v) for v in values]
    record = made(sweep=sweep, failed=(3,))
    ax = panels(draw_grid(record))[0]
    assert ax.get_xlabel() == name
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.1", "1"]
    good = np.stack([record.groups[i].final["mcc"][:3] for i in (1, 0, 2)])
    line, _, (bars,) = ax.containers[0]
    mean, std = good.mean(1), good.std(1, ddof=1)
    np.testing.assert_allclose(line.get_ydata(), mean)
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, np.stack([mean - std, mean + std], 1))


@pytest.mark.parametrize(
    "hyper",
    [
        [{"learning_rate": 1.0}, {"learning_rate": 2.0}],  # no penalty differs
        [{"alpha": 1.0}, {"alpha": 1.0}],  # nor tells the points apart
    ],
)
def test_other_settings_have_no_grid(hyper):
    record = made(sweep=[(0.0, 0.0)] * 2)
    groups = [
        group._replace(hyper=group.hyper | changes)
        for group, changes in zip(record.groups, hyper, strict=True)
    ]
    assert draw_grid(record._replace(groups=groups)) is None


def test_few_shot_scores():
    record = made(sweep=SWEEP, failed=(1,))
    record.arrays["few_shot"][:, 1] = 50.0
    figure = draw_few_shot(record)
    axes = panels(figure)
    assert len(axes) == len(SWEEP)
    alive = record.arrays["few_shot"][:, [0, 2, 3]]
    for ax, few in zip(axes, alive, strict=True):
        named = {line.get_label(): line for line in ax.lines}
        for k, head in enumerate(HEADS):
            np.testing.assert_allclose(named[head].get_ydata(), few[:, k].mean(0))
        for k, head in enumerate(RAW):
            raw = named[f"raw, {head}"]
            np.testing.assert_allclose(raw.get_ydata(), record.arrays["raw"][k])
            assert raw.get_ls() == "--"
            red, green, blue, _ = to_rgba(raw.get_color())
            assert red == green == blue
        assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "5", "10"]
        assert ax.get_ylim() == axes[0].get_ylim()
        assert ax.get_ylim()[1] < 2
    assert axes[0].get_ylabel() == "Accuracy"
    (legend,) = figure.legends
    names = [label.get_text() for label in legend.get_texts()]
    assert names == [*HEADS, *(f"raw, {head}" for head in RAW)]


def test_scores_far_below_zero_hide_nothing():
    record = made()
    record.arrays["few_shot"][:, :, 1, 0] = -40.0
    kept = {n: s for n, s in record.scores.items() if not n.startswith("raw_")}
    few = without(record._replace(scores=kept), "raw")
    (ax,) = panels(draw_few_shot(few))
    assert ax.get_ylim()[0] == -1
    assert ax.get_ylabel() == "Accuracy, not shown below −1"


def test_heads_of_label_columns():
    record = made(sweep=SWEEP[:2], failed=(0,))
    figure = draw_label_heads(record)
    assert len(figure.axes) == 2
    for point, ax in enumerate(figure.axes):
        weights = np.abs(record.arrays["label_heads"][point, 1]).max(2)
        order = np.argsort(-weights.sum(0))
        want = (weights / weights.max(1, keepdims=True))[:, order]
        np.testing.assert_allclose(heat_map(ax), want)
        scores = record.arrays["label_scores"][point, 1]
        words = [label.get_text() for label in ax.get_yticklabels()]
        assert words == [f"label ({scores[0]:.3f})", f"age ({scores[1]:.3f})"]
        assert "seed 1" in ax.get_title(loc="left")
    assert draw_label_heads(made(failed=range(4))) is None
    assert draw_label_heads(without(record, "label_heads")) is None


def test_scores_that_are_not_shown_take_no_room():
    """One number of shots is a dot, which must be cut off as well."""
    record = made()
    few = np.full((1, 4, 3, 1), -9.0)
    few[:, :, 0] = 0.5
    arrays = record.arrays | {"few_shot": few, "shots": np.array([5])}
    arrays["raw"] = np.array([[-20.0], [0.4]])
    assert drawn(record._replace(arrays=arrays))["few_shot.png"]
