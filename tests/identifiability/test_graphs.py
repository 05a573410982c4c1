"""Which latents a causal graph tells apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.identifiability import (
    consistency_pattern,
    graph_criterion,
)


def blocks(size, count, width=None):
    """`count` diagonal blocks of ones, `size` rows and `width` columns each."""
    return np.kron(np.eye(count, dtype=int), np.ones((size, width or size), int))


def edit(graph, *edges, value=1):
    graph = graph.copy()
    for rows, columns in edges:
        graph[np.ix_(rows, columns)] = value
    return graph


def from_parents(parents):
    graph = np.zeros((10, 10), int)
    for child, row in enumerate(parents):
        graph[child, row] = 1
    return graph


RING = np.eye(10, dtype=int) + np.roll(np.eye(10, dtype=int), 1, axis=0)
ACTION_EASY = blocks(2, 5, 1)
ACTION_HARD = edit(ACTION_EASY, ([8, 9], [0]))
TIME_EASY = blocks(2, 5)
TIME_HARD = edit(TIME_EASY, ([0, 1], [8, 9]), ([8, 9], [0, 1]), ([8, 9], [4, 5]))
TIME_FULL_BUT_EIGHT = edit(
    np.ones((10, 10), int),
    *[([i], [j]) for i, j in [(0, 8), (1, 5), (1, 9), (4, 1)]],
    *[([i], [j]) for i, j in [(5, 1), (5, 6), (5, 7), (7, 9)]],
    value=0,
)
PARENTS = [
    *([1, 3, 4, 6, 9], [8], [3, 7, 8], [7], [1, 3, 4]),
    *([1, 3, 4, 9], [2, 4], [0, 3, 5, 6, 9], [], [7]),
]
PARENTS_OF_ALL = [*PARENTS[:8], [1], PARENTS[9]]

# Numbers of nonzeros of C, published with the code of arXiv 2401.04890.
NAMED = {
    "action diagonal": (None, np.eye(10, dtype=int), 10),
    "action ring": (None, RING, 10),
    "action 2x2 blocks": (None, blocks(2, 5), 20),
    "action block easy": (None, ACTION_EASY, 20),
    "action block hard": (None, ACTION_HARD, 24),
    "action block 3.1": (None, edit(ACTION_EASY, ([2, 3], [3])), 24),
    "action block 3.2": (None, edit(ACTION_HARD, ([2, 3], [2])), 28),
    "action 1": (None, from_parents(PARENTS), 27),
    "action 1.1": (None, from_parents(PARENTS_OF_ALL), 21),
    "time diagonal": (np.eye(10, dtype=int), None, 10),
    "time triangle": (np.tril(np.ones((10, 10), int)), None, 10),
    "time 5x5 blocks": (blocks(5, 2), None, 50),
    "time block easy": (TIME_EASY, None, 20),
    "time block hard": (TIME_HARD, None, 24),
    "time block 3.1": (
        edit(TIME_EASY, ([2, 3], [4, 5, 6, 7]), ([6, 7], [2, 3])),
        None,
        24,
    ),
    "time 1": (TIME_FULL_BUT_EIGHT, None, 32),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_graphs_have_their_number_of_allowed_entries(name):
    gz, ga, nonzeros = NAMED[name]
    assert int(consistency_pattern(gz, ga).sum()) == nonzeros
    assert bool(graph_criterion(gz, ga)) == (nonzeros == 10)


def test_orientation():
    # Latents 0, 1 have the parent a_0; 8, 9 have a_0 and a_4. The edges of z_0 fit onto
    # z_8, not the reverse, so it is z_0 that may stay a function of the code of z_8.
    pattern = np.asarray(consistency_pattern(None, ACTION_HARD))
    assert np.flatnonzero(pattern[0]).tolist() == [0, 1, 8, 9]
    assert np.flatnonzero(pattern[8]).tolist() == [8, 9]


def test_time_counts_parents_and_children():
    # z_0 -> z_1 only. Parents: {} of z_0, {z_0} of z_1. Children: {z_1} and {}. So the
    # children of z_0 are not within those of z_1, nor the parents of z_1 within those
    # of z_0.
    edge = np.array([[0, 0], [1, 0]])
    np.testing.assert_array_equal(consistency_pattern(edge, None), np.eye(2))
    # As an action graph, where only parents count, {} lies within {a_0}.
    np.testing.assert_array_equal(consistency_pattern(None, edge), [[1, 1], [0, 1]])


def inclusion_pattern(gz, ga):
    d = len(gz if ga is None else ga)

    def parents(g, i):
        return {j for j in range(g.shape[1]) if g[i, j]}

    def children(g, j):
        return {i for i in range(d) if g[i, j]}

    def allowed(i, j):
        time = gz is None or (
            parents(gz, i) <= parents(gz, j) and children(gz, i) <= children(gz, j)
        )
        return time and (ga is None or parents(ga, i) <= parents(ga, j))

    return np.array([[allowed(i, j) for j in range(d)] for i in range(d)])


def only_itself_in_common(gz, ga):
    """For every p, the edge sets that contain p have just p in common."""
    d = len(gz if ga is None else ga)
    sets = [] if gz is None else [set(np.flatnonzero(row)) for row in (*gz, *gz.T)]
    sets += [] if ga is None else [set(np.flatnonzero(column)) for column in ga.T]
    everything = set(range(d))
    return all(
        everything.intersection(*(s for s in sets if p in s)) == {p} for p in range(d)
    )


@pytest.mark.parametrize(
    ("with_time", "with_action"), [(True, True), (True, False), (False, True)]
)
def test_random_graphs_match_set_inclusion(with_time, with_action):
    rng = np.random.default_rng(0)
    density = rng.uniform(0.15, 0.85, (200, 1, 1))
    gz = (rng.random((200, 5, 5)) < density).astype(int) if with_time else None
    ga = (rng.random((200, 5, 7)) < density).astype(int) if with_action else None
    patterns = jax.vmap(consistency_pattern)(gz, ga)
    criteria = jax.vmap(graph_criterion)(gz, ga)
    assert 10 < criteria.sum() < 190
    for n in range(200):
        pair = (gz[n] if with_time else None, ga[n] if with_action else None)
        np.testing.assert_array_equal(patterns[n], inclusion_pattern(*pair))
        assert bool(criteria[n]) == only_itself_in_common(*pair)


def test_types_do_not_matter():
    expected = np.asarray(consistency_pattern(TIME_HARD, ACTION_HARD))
    for dtype in (bool, np.float32, np.uint8):  # unsigned differences must not wrap
        gz, ga = jnp.asarray(TIME_HARD, dtype), jnp.asarray(ACTION_HARD, dtype)
        np.testing.assert_array_equal(consistency_pattern(gz, ga), expected)
        np.testing.assert_array_equal(jax.jit(consistency_pattern)(gz, ga), expected)
    assert expected.dtype == bool


@pytest.mark.parametrize(
    ("gz", "ga", "message"),
    [
        (None, None, "gz and ga are both None"),
        (np.ones((3, 4)), None, r"gz has shape \(3, 4\); it must be square"),
        (np.ones((3, 3)), np.ones((4, 2)), "ga has 4 rows and gz has 3"),
        (None, np.ones(3), r"ga has shape \(3,\); it must be a matrix"),
        (np.full((3, 3), 0.7), None, "gz holds other values than 0 and 1"),
        (None, np.full((3, 3), np.nan), "ga holds other values than 0 and 1"),
    ],
)
def test_wrong_graphs_are_refused(gz, ga, message):
    with pytest.raises(ValueError, match=message):
        consistency_pattern(gz, ga)
    with pytest.raises(ValueError, match=message):
        graph_criterion(gz, ga)


def test_shapes_are_checked_within_jit():
    with pytest.raises(ValueError, match="it must be square"):
        jax.jit(lambda g: consistency_pattern(g, None))(jnp.ones((3, 4)))
