"""Graphs as drawn, from an invented run."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from jaxdis.report.kit import WRONG
from jaxdis.report.read import Group, Record
from jaxdis.systems.mechanism_sparsity import METHOD

TRUE = np.tril(np.ones((3, 3)))
SHD = [2.0, 0.0, 1.0]


def record(points=1, failed=(), **arrays):
    seeds = len(SHD)
    groups = [
        Group(
            label=f"bound_a {p}" if points > 1 else "",
            hyper={"bound_a": float(p)},
            seeds=[10, 11, 12],
            failed=np.isin(np.arange(seeds), failed),
            final={"mcc": np.linspace(0.8, 0.9, seeds), "shd": np.array(SHD)},
            steps=np.array([1]),
            curves={},
        )
        for p in range(points)
    ]
    return Record("mechanism_sparsity/quickstart", {}, {}, groups, {}, {}, arrays)


def learned(points=1):
    """Seed 11 has no wrong edge; 10 misses one and has one too many; 12 misses one."""
    seeds = np.stack([TRUE] * 3)
    seeds[0, 0, 0], seeds[0, 0, 2], seeds[2, 1, 0] = 0.25, 0.75, 0.5
    return np.stack([seeds] * points)


def draw(run):
    (picture,) = [f for f in METHOD.figures if f.name == "graphs"]
    return picture.draw(run)


def panels(figure):
    """Drawn panels by their titles, with the note below."""
    axes = [ax for ax in figure.axes if ax.get_title(loc="left")]
    return {ax.get_title(loc="left") or ax.get_title(): ax for ax in axes}


def outlined(ax):
    """Cells (row, column) that are outlined as wrong."""
    boxes = [p for p in ax.patches if isinstance(p, Rectangle)]
    wrong = [p for p in boxes if to_hex(p.get_edgecolor()) == WRONG.lower()]
    return {(round(p.get_y()), round(p.get_x())) for p in wrong}


@pytest.fixture(autouse=True)
def house_style():
    import matplotlib.style

    from jaxdis.report.kit import STYLE

    with matplotlib.style.context(["default", STYLE]):
        yield


def test_truth_mean_best_and_worst_seed_are_drawn():
    figure = draw(record(graph_z=learned(), true_graph_z=TRUE))
    drawn = panels(figure)
    assert list(drawn) == [
        "true",
        "mean of 3 seeds",
        "best by truth: seed 11",
        "worst by truth: seed 10",
    ]
    assert outlined(drawn["best by truth: seed 11"]) == set()
    assert outlined(drawn["worst by truth: seed 10"]) == {(0, 0), (0, 2)}
    notes = [t.get_text() for t in drawn["worst by truth: seed 10"].texts]
    assert "1 missing, 1 extra" in notes
    assert "6 edges" in [t.get_text() for t in drawn["true"].texts]


def test_a_failed_seed_is_not_drawn():
    drawn = panels(draw(record(failed=(0,), graph_a=learned(), true_graph_a=TRUE)))
    assert "mean of 2 seeds" in drawn
    assert "worst by truth: seed 12" in drawn
    # Of 12 a cell is at .5, which is no edge.
    assert outlined(drawn["worst by truth: seed 12"]) == {(1, 0)}
    everyone = panels(
        draw(record(failed=(0, 1, 2), graph_a=learned(), true_graph_a=TRUE))
    )
    assert list(everyone) == ["true"]
    assert "every seed failed" in [t.get_text() for t in everyone["true"].texts]


def test_each_graph_and_each_point_has_its_panels():
    both = {
        "graph_z": learned(2),
        "true_graph_z": TRUE,
        "graph_a": learned(2),
        "true_graph_a": TRUE,
    }
    figure = draw(record(points=2, **both))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles.count("true") == 4
    labels = {ax.get_xlabel() for ax in figure.axes}
    assert {"past latent", "action"} <= labels


def test_without_a_truth_the_best_seeds_are_drawn_and_nothing_is_wrong():
    drawn = panels(draw(record(graph_a=learned())))
    assert list(drawn) == ["seed 11", "seed 12", "seed 10"]
    assert all(outlined(ax) == set() for ax in drawn.values())
    assert "6 edges" in [t.get_text() for t in drawn["seed 11"].texts]


def test_a_run_without_graphs_has_no_picture():
    assert draw(record()) is None


def test_a_graph_that_was_not_learned_has_no_errors():
    """Without a penalty or a bound all edges stay: that is no finding."""
    still = np.full((1, 3, 3, 3), 0.99)
    drawn = panels(draw(record(graph_a=still, true_graph_a=TRUE)))
    for name, ax in drawn.items():
        if name != "true":
            assert outlined(ax) == set()
            assert "not learned" in [t.get_text() for t in ax.texts]
