"""Pictures of what every run has, of invented records."""

import matplotlib.style
import numpy as np
import pytest

from jaxdis.metrics import MCC
from jaxdis.report import kit
from jaxdis.report.agreement import draw_agreement
from jaxdis.report.effects import draw_traversals
from jaxdis.report.points import draw_choice
from jaxdis.report.structure import alike, draw_structure, in_order
from jaxdis.types import Figure as Picture
from tests.report.records import NLL, grid, make_group, make_record


@pytest.fixture(autouse=True)
def style():
    with matplotlib.style.context(["default", kit.STYLE]):
        yield


def matrices(figure):
    """Drawn matrices by their titles."""
    axes = [ax for ax in figure.findobj(matplotlib.axes.Axes) if ax.collections]
    return {
        ax.get_title("left"): np.ma.filled(ax.collections[0].get_array(), np.nan)
        for ax in axes
        if ax.get_label() != "<colorbar>"
    }


def test_pairs_of_seeds_are_ordered_by_their_agreement():
    pairs = np.array([[1, 0.2, 0.4, 9], [0.2, 1, 0.6, 9], [0.4, 0.6, 1, 9], [9] * 4])
    pairs[3] = pairs[:, 3] = np.nan
    group = make_group(agreement=[0.3, 0.4, 0.5, np.nan], failed=(3,))
    record = make_record([group], [0.4], arrays={"agreement": pairs[None]})
    figure = draw_agreement(record)
    nan = np.nan
    expected = [[nan, 0.6, 0.4], [0.6, nan, 0.2], [0.4, 0.2, nan]]
    np.testing.assert_allclose(matrices(figure)["agreement of pairs"], expected)
    ax = figure.subfigs[0].axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["2", "1", "0"]
    written = [t.get_text() for t in ax.texts]
    assert {"0.500", "0.400", "0.300", "UDR 0.400"} <= set(written)
    assert "without 3: failed" in ax.get_xlabel()
    assert kit.save(figure)


def test_no_picture_of_agreement_without_pairs():
    assert draw_agreement(make_record([make_group(nll=[1.0])])) is None
    alone = make_record(
        [make_group(nll=[1.0])], arrays={"agreement": np.ones((1,) * 3)}
    )
    assert draw_agreement(alone) is None


def test_the_choice_is_drawn_over_the_values_in_order():
    record = grid([[1.0, 1.2], [3.0, 3.2], [2.0, 2.1]], [0.9, 0.5, 0.7], (20, 5, 10))
    figure = draw_choice(record)
    axes = figure.axes
    assert [ax.get_title("left") for ax in axes] == ["NLL ↓, held out", "UDR ↑"]
    for ax in axes:
        assert [t.get_text() for t in ax.get_xticklabels()] == ["5", "10", "20"]
        assert ax.get_xlabel() == "bound"
    lines = [line for line in axes[1].lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(lines[-1].get_ydata(), [0.5, 0.7, 0.9])
    means = [line for line in axes[0].lines if len(line.get_xdata()) == 3]
    assert any(np.allclose(m.get_ydata(), [3.1, 2.05, 1.1]) for m in means)
    assert figure.get_suptitle() == "dashed: take bound 20"
    assert kit.save(figure)


def test_the_choice_shows_the_truth_where_it_is_known():
    groups = [
        make_group(f"a {i}, b {i}", {"a": i, "b": i}, nll=[1.0, 2.0], mcc=[0.5, i])
        for i in (0.25, 0.75)
    ]
    figure = draw_choice(make_record(groups, [None, None], z_dim=2))
    assert [ax.get_title("left") for ax in figure.axes] == ["NLL ↓, held out", "MCC ↑"]
    labels = [t.get_text() for t in figure.axes[0].get_xticklabels()]
    assert labels == ["a 0.25, b 0.25", "a 0.75, b 0.75"]
    assert draw_choice(make_record(groups[:1])) is None


def graphs(codes, seeds=3, truth=0):
    """Seeds that learned one graph, each with its codes in another order."""
    rng = np.random.default_rng(0)
    graph, order = rng.random((4, 4)), [rng.permutation(4) for _ in range(seeds)]
    order[min(1, seeds - 1)] = np.arange(4)  # of the seed that agrees most
    own = np.stack([graph[np.ix_(np.argsort(o), np.argsort(o))] for o in order])
    arrays = {"graph": own[None], "matched_codes": np.stack(order)[None]}
    group = make_group(agreement=[0.8, 0.9, 0.7][:seeds], nll=[1.0] * seeds)
    declared = {"graph": "seed child parent"}
    results = {"graphs": ["graph"], "codes": codes, "declared": declared}
    return graph, make_record([group], z_dim=truth, arrays=arrays, **results)


def test_graphs_are_averaged_with_their_codes_matched():
    graph, record = graphs(["child", "parent"])
    found = matrices(draw_structure(record))
    share = graph / graph.max()
    np.testing.assert_allclose(found["graph: mean of 3 seeds"], share)
    np.testing.assert_allclose(found["deviation over seeds"], 0, atol=1e-12)
    np.testing.assert_allclose(found["seed 1"], share)
    assert kit.save(draw_structure(record))


def test_graphs_whose_axes_are_no_codes_are_shown_by_seed():
    graph, record = graphs([])
    found = matrices(draw_structure(record))
    assert list(found) == ["graph: seed 1", "seed 0", "seed 2"]  # most agreed first
    np.testing.assert_allclose(found["graph: seed 1"], graph / graph.max())
    one = graphs(["child", "parent"], seeds=1)[1]
    assert list(matrices(draw_structure(one))) == ["graph: seed 0"]


def test_heads_of_classes_are_matched_by_their_features():
    """Of the classes of a task the largest weight counts, whatever its sign."""
    rng = np.random.default_rng(0)
    heads, order = rng.normal(size=(3, 4, 2)), [np.arange(4), rng.permutation(4)]
    own = np.stack([heads[:, np.argsort(o)] for o in order])
    record = make_record(
        [make_group(agreement=[0.8, 0.8], nll=[1.0, 1.0])],
        arrays={"heads": own[None], "matched_codes": np.stack(order)[None]},
        declared={"heads": "seed task feature class"},
        heads=["heads"],
        codes=["feature"],
    )
    size = np.abs(heads).max(2)
    found = matrices(draw_structure(record))
    np.testing.assert_allclose(found["heads: mean of 2 seeds"], size / size.max())
    record.arrays["heads"] = np.ones((1, 2, 500, 4))
    assert draw_structure(record) is None


def test_graphs_that_can_be_compared_with_true_ones_are_left_to_the_method():
    assert draw_structure(graphs(["child", "parent"], truth=4)[1]) is None
    assert draw_structure(make_record([make_group(nll=[1.0])])) is None


def test_matching_and_likeness_of_matrices():
    matrix = np.arange(6.0).reshape(1, 2, 3)
    order = np.array([[1, 0]])
    np.testing.assert_array_equal(
        in_order(matrix, order, (True, False)), matrix[:, ::-1]
    )
    rng = np.random.default_rng(1)
    some = rng.random((3, 4, 5))
    flat = np.corrcoef(some.reshape(3, -1))
    expected = np.median(flat[np.triu_indices(3, 1)])
    np.testing.assert_allclose(alike(some), expected)
    assert np.isnan(alike(some[:1]))
    assert np.isnan(alike(1 - 1e-3 * some))


def test_effects_of_codes_on_vectors_are_of_the_largest_of_a_point():
    effects = np.array([[[1.0, 2.0, 0.0], [4.0, 0.0, 1.0]]])
    record = make_record(
        [make_group(agreement=[0.5, 0.6])],
        arrays={"code_effects": effects},
        columns=["p", "q", "r"],
    )
    figure = draw_traversals(record)
    np.testing.assert_allclose(matrices(figure)["seed 1"], effects[0].T / 4)
    labels = [t.get_text() for t in figure.subfigs[0].axes[0].get_yticklabels()]
    assert labels == ["p", "q", "r"]
    assert kit.save(figure)


def test_axes_of_actions_are_named_where_names_fit():
    arrays = {"graph": np.random.default_rng(0).uniform(size=(1, 2, 4, 3))}
    declared = {"graph": "seed child action"}
    found = []
    for names in (["left", "right", "lift"], ["left", "right"], []):
        record = make_record(
            [make_group(nll=[1.0, 1.0])],
            arrays=arrays,
            named_axes={"action": names},
            graphs=["graph"],
        )
        record.results["arrays"] = declared
        ax = draw_structure(record).subfigs[0].axes[0]
        found.append([t.get_text() for t in ax.get_xticklabels()])
    numbers = ["0", "1", "2"]
    assert found == [["left", "right", "lift"], numbers, numbers]


def test_images_of_codes_are_named_by_their_numbers():
    images = np.random.default_rng(0).integers(0, 255, (1, 2, 7, 4, 4, 3), np.uint8)
    arrays = {"code_images": images, "code_walked": np.array([[4, 1]])}
    figure = draw_traversals(make_record([make_group(nll=[1.0, 1.0])], arrays=arrays))
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["code 4", "code 1"]
    assert [t.get_text() for t in ax.texts] == ["seed 0"]
    assert draw_traversals(make_record([make_group(nll=[1.0])])) is None


def seeds_in_order(by, **final):
    group = make_group(**final)
    rows = kit.ranked(group, np.ones((3, 1, 1)), by)
    return rows, kit.first_word(group, by)


def test_seeds_are_ranked_by_what_there_is():
    three = {"mcc": [0.1, 0.3, 0.2], "agreement": [0.9, 0.7, 0.8]}
    assert seeds_in_order([MCC], **three) == ([1, 2, 0], "best by truth")
    assert seeds_in_order([NLL], **three) == ([0, 2, 1], "agrees most")
    missing = three | {"mcc": [np.nan] * 3}
    assert seeds_in_order([MCC], **missing) == ([0, 2, 1], "agrees most")
    assert seeds_in_order([MCC], nll=[3.0, 2.0, 1.0]) == ([0, 1, 2], "")


def test_labels_of_logarithmic_axes_are_numbers():
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.subplots()
    ax.plot([1, 2, 3], [2, 3, 7])
    ax.set_yscale("log")
    assert kit.render(
        Picture("a", "", lambda record: figure), make_record([make_group(nll=[1.0])])
    )
    labels = [t.get_text() for t in ax.get_yticklabels(which="both")]
    assert {"2", "3"} <= set(labels)
    assert not any("$" in label for label in labels)
