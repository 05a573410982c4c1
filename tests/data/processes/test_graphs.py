import numpy as np
import pytest

from jaxdis.data.processes import PROCESSES, CausalProcess, graphs
from jaxdis.identifiability import consistency_pattern

# Edges of G^z and G^a at ten latents (None: no such graph), columns of G^a, and pairs
# of latents that the graphs leave entangled in one direction or are equal: the nonzeros
# of the consistency pattern, published with the code of arXiv 2401.04890.
PUBLISHED = {
    "ActionDiag": (None, 10, 10, 10),
    "ActionNonDiag": (None, 20, 10, 10),
    "ActionDoubleSuffStat": (None, 20, 10, 10),
    "ActionNoSuffVar": (None, 20, 10, 10),
    "ActionNoGraphCrit": (None, 20, 10, 20),
    "ActionBlockEasy": (None, 10, 5, 20),
    "ActionBlockHard": (None, 12, 5, 24),
    "ActionBlockChained": (None, 12, 5, 24),
    "ActionBlockDoublyNested": (None, 14, 5, 28),
    "ActionIrregular": (None, 25, 10, 27),
    "ActionIrregularComplete": (None, 26, 10, 21),
    "TimeDiag": (10, None, 0, 10),
    "TimeNonDiag": (55, None, 0, 10),
    "TimeDoubleSuffStat": (55, None, 0, 10),
    "TimeNoSuffVar": (55, None, 0, 10),
    "TimeNoGraphCrit": (50, None, 0, 50),
    "TimeBlockEasy": (20, None, 0, 20),
    "TimeBlockHard": (32, None, 0, 24),
    "TimeBlockCrossed": (32, None, 0, 24),
    "TimeNearlyFull": (92, None, 0, 32),
    # Ours: pairs of the past, and actions on pairs between them.
    "ActionTimeBlocks": (20, 10, 5, 10),
    # Ours: identity and ring of unknown targets, with a past that tells nothing.
    "InterventionSingle": (None, 10, 10, 10),
    "InterventionPair": (None, 20, 10, 10),
    "InterventionTime": (100, 20, 10, 10),
    "InterventionHard": (None, 10, 10, 10),
    "InterventionScale": (None, 10, 10, 10),
    "InterventionPairScale": (None, 20, 10, 10),
    "InterventionTimeHard": (100, 20, 10, 10),
    "InterventionTimeHeld": (100, 20, 10, 10),
    "InterventionTimeSingle": (100, 10, 10, 10),
}
RANDOM = {"ActionRandom", "TimeRandom"}


def test_every_process_is_counted():
    assert set(PROCESSES) == set(PUBLISHED) | RANDOM


@pytest.mark.parametrize("name", PUBLISHED)
def test_edges_and_consistency(name):
    time_edges, action_edges, columns, entangled = PUBLISHED[name]
    truth = CausalProcess(name, z_dim=10).spec().truth
    for graph, edges, shape in [
        (truth.gz, time_edges, (10, 10)),
        (truth.ga, action_edges, (10, columns)),
    ]:
        if edges is None:
            assert graph is None
            continue
        assert graph.shape == shape
        assert set(np.unique(graph)) <= {0, 1}
        assert graph.sum() == edges
    assert consistency_pattern(truth.gz, truth.ga).sum() == entangled


def parents(graph):
    return [set(np.flatnonzero(row)) for row in graph]


def test_rows_are_children():
    # The parents of each latent; a transposed graph has the same counts.
    assert parents(graphs.identity(3)) == [{0}, {1}, {2}]
    assert parents(graphs.ring(4)) == [{0, 3}, {1, 0}, {2, 1}, {3, 2}]
    assert parents(graphs.lower_triangle(3)) == [{0}, {0, 1}, {0, 1, 2}]
    assert parents(graphs.full(2)) == [{0, 1}, {0, 1}]
    assert parents(graphs.pairs(4)) == [{0, 1}, {0, 1}, {2, 3}, {2, 3}]
    low, high = {0, 1, 2}, {3, 4, 5}
    assert parents(graphs.halves(6)) == [low, low, low, high, high, high]
    assert parents(graphs.action_pairs(4)) == [{0}, {0}, {1}, {1}]
    assert parents(graphs.action_pairs_between(6)) == [{2}, {0}, {0}, {1}, {1}, {2}]
    assert parents(graphs.action_pairs_nested(4)) == [{0}, {0}, {0, 1}, {0, 1}]


@pytest.mark.parametrize("d", [4, 6, 10])
def test_two_graphs_identify_what_neither_does_alone(d):
    truth = CausalProcess("ActionTimeBlocks", z_dim=d).spec().truth
    for alone in [(truth.gz, None), (None, truth.ga)]:
        pattern = np.asarray(consistency_pattern(*alone))
        np.testing.assert_array_equal(pattern.sum(1), np.full(d, 2))
    both = consistency_pattern(truth.gz, truth.ga)
    np.testing.assert_array_equal(both, np.eye(d, dtype=bool))


def doubled(*rows):
    return [row for row in rows for _ in range(2)]


def test_parents_of_the_graphs_of_ten():
    assert parents(graphs.action_pairs_nested(10)) == doubled(
        {0}, {1}, {2}, {3}, {0, 4}
    )
    assert parents(graphs.action_pairs_chained(10)) == doubled(
        {0}, {1, 3}, {2}, {3}, {4}
    )
    assert parents(graphs.action_pairs_doubly_nested(10)) == doubled(
        {0}, {1, 2}, {2}, {3}, {0, 4}
    )
    assert parents(graphs.pairs_linked(10)) == doubled(
        {0, 1, 8, 9}, {2, 3}, {4, 5}, {6, 7}, {0, 1, 4, 5, 8, 9}
    )
    assert parents(graphs.pairs_crossed(10)) == doubled(
        {0, 1}, {2, 3, 4, 5, 6, 7}, {4, 5}, {2, 3, 6, 7}, {8, 9}
    )
    absent = [set(range(10)) - row for row in parents(graphs.nearly_full(10))]
    none = set()
    assert absent == [{8}, {5, 9}, none, none, {1}, {1, 6, 7}, none, {9}, none, none]


def test_parents_of_the_irregular_graph():
    # graph_action_1 of GitHub slachapelle/disentanglement_via_mechanism_sparsity.
    expected = [
        *({1, 3, 4, 6, 9}, {8}, {3, 7, 8}, {7}, {1, 3, 4}),
        *({1, 3, 4, 9}, {2, 4}, {0, 3, 5, 6, 9}, set(), {7}),
    ]
    assert parents(graphs.irregular(10)) == expected
    expected[8] = {1}
    assert parents(graphs.irregular_complete(10)) == expected


@pytest.mark.parametrize(
    ("seed", "action_edges", "parentless", "time_edges"),
    [
        (11, 15, 3, 22),
        (22, 15, 2, 24),
        (33, 17, 2, 26),
        (44, 4, 6, 14),
        (55, 11, 3, 20),
    ],
)
def test_random_graphs_are_the_published_ones(
    seed, action_edges, parentless, time_edges
):
    config = {"z_dim": 10, "density": 0.1, "graph_seed": seed}
    ga = CausalProcess("ActionRandom", **config).spec().truth.ga
    gz = CausalProcess("TimeRandom", **config).spec().truth.gz
    assert ga.sum() == action_edges
    assert (ga.sum(1) == 0).sum() == parentless
    assert gz.sum() == time_edges
    assert gz.diagonal().all()


def test_density_of_random_graphs():
    np.testing.assert_array_equal(graphs.bernoulli(5, 0.0, 0), np.zeros((5, 5)))
    np.testing.assert_array_equal(graphs.bernoulli(5, 1.0, 0), np.ones((5, 5)))
    only = graphs.bernoulli(5, 0.0, 0, diagonal=True)
    np.testing.assert_array_equal(only, np.eye(5))
    graph = graphs.bernoulli(200, 0.3, 1)  # standard error .0023
    assert abs(graph.mean() - 0.3) < 0.01
    for density in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"probability in \[0, 1\]"):
            graphs.bernoulli(5, density, 0)


@pytest.mark.parametrize(
    ("graph", "process"),
    [
        (graphs.action_pairs_chained, "ActionBlockChained"),
        (graphs.action_pairs_doubly_nested, "ActionBlockDoublyNested"),
        (graphs.pairs_crossed, "TimeBlockCrossed"),
        (graphs.nearly_full, "TimeNearlyFull"),
        (graphs.irregular, "ActionIrregular"),
        (graphs.irregular_complete, "ActionIrregularComplete"),
    ],
)
@pytest.mark.parametrize("d", [8, 12])
def test_graphs_of_ten_latents_only(graph, process, d):
    with pytest.raises(ValueError, match=f"z_dim must be 10 .*, got {d}"):
        graph(d)
    with pytest.raises(ValueError, match=f"z_dim must be 10 .*, got {d}"):
        CausalProcess(process, z_dim=d).spec()


@pytest.mark.parametrize(
    ("graph", "smallest"),
    [
        (graphs.pairs, 2),
        (graphs.halves, 2),
        (graphs.action_pairs, 2),
        (graphs.action_pairs_between, 4),
        (graphs.action_pairs_nested, 4),
        (graphs.pairs_linked, 8),
    ],
)
def test_block_graphs_need_even_numbers(graph, smallest):
    assert graph(smallest).shape[0] == smallest
    for d in (smallest + 1, smallest - 2):
        message = f"even and at least {smallest} .*, got {d}"
        with pytest.raises(ValueError, match=message):
            graph(d)
