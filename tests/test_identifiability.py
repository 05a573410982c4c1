import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.identifiability import (
    change_strength,
    consistency_pattern,
    containment,
    domains_needed,
    enough_tasks,
    gaussian_changes_ok,
    graph_criterion,
    learned_support,
    mixing_pattern,
    mixing_report,
    structural_sparsity,
    support_errors,
    support_variability,
    weights_span,
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


def from_supports(d, *supports):
    rows = np.zeros((len(supports), d), int)
    for row, support in zip(rows, supports, strict=True):
        row[list(support)] = 1
    return rows


ALL_PAIRS = from_supports(4, *itertools.combinations(range(4), 2))
# Name: supports, covered, block of each latent, identified.
FAMILIES = {
    "singletons": (
        *(np.eye(3, dtype=int), [1, 1, 1]),
        *([{0}, {1}, {2}], [1, 1, 1]),
    ),
    "all pairs": (
        *(ALL_PAIRS, [1, 1, 1, 1]),
        *([{0}, {1}, {2}, {3}], [1, 1, 1, 1]),
    ),
    "a pair and one of it": (
        *(from_supports(2, {0, 1}, {1}), [1, 1]),
        *([{0, 1}, {1}], [0, 1]),
    ),
    "blocks": (
        *(blocks(2, 2), [1, 1, 1, 1]),
        *([{0, 1}, {0, 1}, {2, 3}, {2, 3}], [0, 0, 0, 0]),
    ),
    "an uncovered latent": (
        *(from_supports(3, {0}, {1}, {0, 1}), [1, 1, 0]),
        *([{0}, {1}, {0, 1, 2}], [1, 1, 0]),
    ),
    "an empty task": (from_supports(2, {}, {0}, {1}), [1, 1], [{0}, {1}], [1, 1]),
    "one uncovered latent alone": (np.zeros((2, 1), int), [0], [{0}], [0]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_supports(name):
    supports, covered, block, identified = FAMILIES[name]
    expected = from_supports(supports.shape[1], *block)
    for function in (support_variability, jax.jit(support_variability)):
        found = function(supports)
        np.testing.assert_array_equal(found.covered, np.array(covered, bool))
        np.testing.assert_array_equal(found.block, expected.astype(bool))
        np.testing.assert_array_equal(found.identified, np.array(identified, bool))
        assert all(leaf.dtype == bool for leaf in found)
    np.testing.assert_array_equal(containment(supports), expected.astype(bool))


def everything_else_without(supports):
    """For every j, the union of the supports without j is all but j."""
    d = supports.shape[1]
    sets = [set(np.flatnonzero(row).tolist()) for row in supports]
    return all(
        set().union(*(s for s in sets if j not in s)) == set(range(d)) - {j}
        for j in range(d)
    )


def test_random_supports_match_intersections_and_unions():
    rng = np.random.default_rng(0)
    density = rng.uniform(0.1, 0.9, (300, 1, 1))
    families = (rng.random((300, 10, 4)) < density).astype(int)
    found = jax.vmap(support_variability)(families)
    complete = np.asarray(found.identified.all(1))
    assert 50 < complete.sum() < 250
    for n, supports in enumerate(families):
        assert complete[n] == everything_else_without(supports)
        sets = [set(np.flatnonzero(row).tolist()) for row in supports]
        for i in range(4):
            common = set(range(4)).intersection(*(s for s in sets if i in s))
            assert set(np.flatnonzero(found.block[n, i]).tolist()) == common


def test_blocks_bound_what_equally_sparse_features_mix():
    # With supports {0, 1} and {1}, z^_0 = z_0 + c z_1, z^_1 = z_1 and weights L w in
    # place of w predict the same, with as many nonzeros: block_0 must hold 1.
    supports = from_supports(2, {0, 1}, {1})
    weights = np.array([[2.0, 3.0], [0.0, 5.0]])
    mix = np.array([[1.0, 0.5], [0.0, 1.0]])  # z^ = mix z
    learned = weights @ np.linalg.inv(mix)
    np.testing.assert_array_equal(learned != 0, supports == 1)
    pattern = np.asarray(containment(supports))
    assert (pattern >= (mix != 0)).all()
    assert not (pattern >= (mix.T != 0)).all()


def test_weights_span():
    assert weights_span(np.array([[1, 0], [0, 1], [1, 1]]))
    assert weights_span(np.array([[1e-3, 0], [5, 1e-3]]))
    assert not weights_span(np.array([[1, 2], [2, 4], [3, 6]]))
    assert not weights_span(np.ones((1, 2)))
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(20, 3)) @ rng.normal(size=(3, 4))
    assert not weights_span(flat)
    assert not weights_span(jnp.asarray(flat, jnp.float32))  # up to its own rounding
    assert weights_span(flat + 1e-2 * rng.normal(size=flat.shape))


class TestEnoughTasks:
    def draw(self, *counts):
        """Tasks on {0, 1}, {2} and {}, that many of each, with random weights."""
        supports = np.repeat(from_supports(3, {0, 1}, {2}, {}), counts, axis=0)
        weights = np.random.default_rng(0).normal(size=supports.shape)
        return supports, weights * supports

    def test_counts(self):
        assert enough_tasks(*self.draw(4, 1, 0))
        assert enough_tasks(*self.draw(5, 2, 1))
        assert not enough_tasks(*self.draw(3, 1, 0))  # 2^2 are needed
        assert enough_tasks(*self.draw(0, 1, 0))  # a support that does not occur

    def test_order_of_tasks_does_not_matter(self):
        supports, weights = self.draw(4, 1, 1)
        order = [3, 5, 0, 4, 2, 1]
        assert enough_tasks(supports[order], weights[order])
        weights[2] = 2 * weights[0]
        assert not enough_tasks(supports[order], weights[order])

    def test_dependent_weights(self):
        supports, weights = self.draw(4, 1, 0)
        weights[4, 2] = 0
        assert not enough_tasks(supports, weights)

    def test_weights_off_the_support_do_not_help(self):
        supports, weights = self.draw(4, 1, 0)
        weights[3] = -weights[1]
        weights[:, 2] = [1, 2, 3, 4, 5]
        assert not enough_tasks(supports, weights)

    def test_many_combinations(self):
        # 3 of 60 are 34,220 sets; a sixth of the rows lies in a plane.
        weights = np.random.default_rng(0).normal(size=(60, 3))
        supports = np.ones((60, 3), int)
        assert enough_tasks(supports, weights)
        weights[:10, 2] = 0
        assert not enough_tasks(supports, weights)


@pytest.mark.parametrize(
    ("supports", "message"),
    [
        (np.ones(3), r"supports has shape \(3,\); it must be a matrix: one row a task"),
        (np.full((3, 3), 0.7), "supports holds other values than 0 and 1"),
    ],
)
def test_wrong_supports_are_refused(supports, message):
    for function in (containment, support_variability):
        with pytest.raises(ValueError, match=message):
            function(supports)
    with pytest.raises(ValueError, match=message):
        enough_tasks(supports, np.ones((3, 3)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"weights has shape \(3,\); it must be a matrix: one row a task"),
        (np.full((3, 3), np.nan), "weights holds NaN or infinite values"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        weights_span(weights)
    with pytest.raises(ValueError, match=message):
        enough_tasks(np.eye(3), weights)


def test_supports_and_weights_must_agree():
    message = r"weights has shape \(2, 3\) and supports \(3, 3\)"
    with pytest.raises(ValueError, match=message):
        enough_tasks(np.eye(3), np.ones((2, 3)))


def ring(n, copies=1):
    """x_k = f(z_k, z_k+1)."""
    return np.tile(
        np.eye(n, dtype=int) + np.roll(np.eye(n, dtype=int), 1, 1), (copies, 1)
    )


def triangle(n):
    return np.tril(np.ones((n, n), int))


ALL4 = {0, 1, 2, 3}
# Name: mask, structural sparsity, codes a latent may need without changes, domains.
MASKS = {
    "one to one": (np.eye(3, dtype=int), [1, 1, 1], [{0}, {1}, {2}], [1, 1, 1]),
    # Two variables do without z_0: not enough to fix the three latents they use.
    "ring": (ring(4), [1, 1, 1, 1], [ALL4] * 4, [9, 9, 9, 9]),
    "ring twice": (ring(4, 2), [1, 1, 1, 1], [{0}, {1}, {2}, {3}], [1, 1, 1, 1]),
    "dense": (np.ones((4, 4), int), [0, 0, 0, 0], [ALL4] * 4, [9, 9, 9, 9]),
    # z_2 alone is in x_2: with 3 domains it separates, then z_1 does.
    "triangle": (triangle(3), [1, 0, 0], [{0}, {0, 1}, {0, 1, 2}], [1, 3, 3]),
    "blocks": (blocks(2, 2), [0] * 4, [{0, 1}, {0, 1}, {2, 3}, {2, 3}], [5, 5, 5, 5]),
    "triangle of blocks": (
        *(np.kron(triangle(2), np.ones((2, 2), int)), [0, 0, 0, 0]),
        *([{0, 1}, {0, 1}, ALL4, ALL4], [5, 5, 5, 5]),
    ),
    # z_2, z_3 share their only two variables with z_1, so z_1 waits for them.
    "a pair below": (
        *(np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]]),),
        *([1, 1, 0, 0], [{0}, {0, 1}, ALL4, ALL4], [1, 5, 5, 5]),
    ),
    "one variable twice": (
        *(np.array([[1, 1], [1, 1], [0, 1]]), [0, 1]),
        *([{0, 1}, {1}], [3, 1]),
    ),
}


def sets(matrix):
    return [set(np.flatnonzero(row).tolist()) for row in np.asarray(matrix)]


@pytest.mark.parametrize("name", MASKS)
def test_named_masks(name):
    mask, sparse, codes, domains = MASKS[name]
    np.testing.assert_array_equal(structural_sparsity(mask), np.array(sparse, bool))
    assert sets(mixing_pattern(mask)) == codes
    assert domains_needed(mask) == max(domains)
    for count in (None, 1, 3, 4, 5, 9):
        report = mixing_report(mask, count)
        assert report.used.all()
        assert report.domains.tolist() == domains
        known = [count is None or count >= d for d in domains]
        assert report.identified.tolist() == known
        expected = [{i} if known[i] else codes[i] for i in range(len(codes))]
        assert sets(report.block) == expected
        assert [not words for words in report.missing] == known


@pytest.mark.parametrize(
    ("mask", "domains"),
    [
        *((ring(n), 2 * n + 1) for n in (3, 5, 8)),
        *((ring(n, 2), 1) for n in (3, 5, 8)),
        *((triangle(n), 3) for n in (2, 5, 8)),
        *((blocks(size, 3), 2 * size + 1) for size in (2, 3)),
        (np.ones((7, 5)), 11),
    ],
)
def test_sizes(mask, domains):
    assert domains_needed(mask) == domains
    order = np.random.default_rng(0).permutation(mask.shape[1])
    assert domains_needed(mask[::-1, order]) == domains


def random_masks(count):
    """Masks of injective mixings, of up to five latents and twice as many variables."""
    rng = np.random.default_rng(0)
    while count:
        n = rng.integers(2, 6)
        shape = (rng.integers(n, 2 * n + 1), n)
        mask = (rng.random(shape) < rng.uniform(0.2, 0.8)).astype(int)
        jacobian = mask * rng.normal(size=shape)
        if np.linalg.matrix_rank(jacobian) == n:
            count -= 1
            yield mask, jacobian


def null_pattern(mask, jacobian):
    """Column l: the entries of the directions that move no variable without z_l."""
    n = mask.shape[1]
    pattern = np.zeros((n, n), bool)
    for code in range(n):
        rows = np.vstack([jacobian[mask[:, code] == 0], np.zeros((n, n))])
        _, values, directions = np.linalg.svd(rows)
        pattern[:, code] = (np.abs(directions[values < 1e-10]) > 1e-8).any(0)
    return pattern


def domains_by_elimination(pattern):
    """Pairs of codes one by one, dropping the latents that are known already.

    Pair (k, j) settles d_k z_i d_j z_i = 0 with c unknown latents in its sum and 2c + 1
    domains; z_i is known once that holds for each of its twins k and all other j.
    """
    n = len(pattern)
    domains = np.zeros(n, int)
    for count in range(n + 1):
        while True:
            unknown = domains == 0

            def settled(k, j, unknown=unknown, count=count):
                return (pattern[:, k] & pattern[:, j] & unknown).sum() <= count

            new = [
                i
                for i in np.flatnonzero(unknown)
                if all(
                    settled(k, j)
                    for k in np.flatnonzero(pattern[i] & pattern[:, i])
                    for j in np.flatnonzero(pattern[i])
                    if j != k
                )
            ]
            if not new:
                break
            domains[new] = 2 * count + 1
    return domains


def test_random_masks_match_null_spaces_and_elimination():
    counts, larger = set(), 0
    for mask, jacobian in random_masks(250):
        pattern = mixing_pattern(mask)
        np.testing.assert_array_equal(pattern, null_pattern(mask, jacobian))
        contained = np.asarray(containment(mask))
        assert (pattern | ~contained).all()
        larger += (pattern != contained).any()
        # Reflexive and transitive.
        assert pattern.diagonal().all()
        np.testing.assert_array_equal(pattern @ pattern, pattern)
        report = mixing_report(mask)
        np.testing.assert_array_equal(report.domains, domains_by_elimination(pattern))
        np.testing.assert_array_equal(report.twins, pattern & pattern.T)
        assert (report.domains[report.domains > 1] >= 3).all()
        counts |= set(report.domains.tolist())
    assert counts == {1, 3, 5, 7, 9, 11}
    assert 50 < larger < 200


class TestRing:
    """A square ring of Gaussians has a second solution, in whatever domains."""

    true = 2 * np.eye(3) + np.roll(np.eye(3), 1, 1)
    other = np.eye(3) + 2 * np.roll(np.eye(3), 1, 1)
    turn = np.linalg.solve(true, other)  # w = turn w^ for true w = other w^

    def test_it_is_as_sparse_and_as_independent(self):
        np.testing.assert_array_equal(self.true != 0, ring(3))
        np.testing.assert_array_equal(self.other != 0, ring(3))
        # A rotation: of any N(m, s^2 I) it makes independent latents again.
        np.testing.assert_allclose(self.turn @ self.turn.T, np.eye(3), atol=1e-12)
        assert (np.abs(self.turn) > 0.3).all()

    def test_rows_of_the_jacobian_span_their_supports(self):
        # With z_i = arsinh w_i, dx_k / dz = (2 cosh z_k, cosh z_k+1): its direction
        # varies, and yet every w^ mixes all z.
        rng = np.random.default_rng(0)
        z = rng.normal(size=(5, 3))
        jacobians = self.true[None] * np.cosh(z)[:, None, :]
        for k in range(3):
            rows = jacobians[:, k][:, ring(3)[k] == 1]
            assert np.linalg.matrix_rank(rows, 1e-2) == 2

    def test_the_pattern_allows_it_and_containment_does_not(self):
        mixes = np.abs(self.turn) > 1e-6
        assert structural_sparsity(ring(3)).all()
        assert not (np.asarray(containment(ring(3))) >= mixes).all()
        assert (mixing_pattern(ring(3)) >= mixes).all()
        assert not mixing_report(ring(3), 6).identified.any()

    def test_other_rows_of_the_same_kind_exclude_it(self):
        more = self.true * np.array([[1.0], [2.0], [3.0]]) + 0.5 * np.eye(3)
        assert ((more @ self.turn)[ring(3) == 0] != 0).all()
        np.testing.assert_array_equal(mixing_pattern(ring(3, 2)), np.eye(3))


def test_unused_latents_do_not_count():
    mask = np.insert(triangle(3), [1, 1], 0, axis=1)
    report = mixing_report(mask, 3)
    assert report.used.tolist() == [True, False, False, True, True]
    assert report.identified.tolist() == report.used.tolist()
    assert report.domains.tolist() == [1, 0, 0, 3, 3]
    np.testing.assert_array_equal(report.twins, np.eye(5))
    everything = {0, 1, 2, 3, 4}
    assert sets(report.block) == [{0}, everything, everything, {3}, {4}]
    words = [f"no observed variable depends on z_{i}" for i in (1, 2)]
    assert report.missing == ("", *words, "", "")
    with pytest.raises(ValueError, match="no observed variable depends on z_1"):
        domains_needed(mask)


def test_masks_without_an_injective_mixing():
    # z_1 and z_3 have x_1 together; z_0 has x_0 for itself.
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]])
    report = mixing_report(mask, 9)
    short = (
        "no injective mixing has this mask: z_1, z_3 have 1 observed variable together"
    )
    unused = "no observed variable depends on z_2"
    assert report.missing == (short, short, unused, short)
    assert not report.identified.any()
    assert report.block.all()
    assert report.domains.tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="mask needs more than domains: no injective"):
        domains_needed(mask)
    assert not mixing_report(np.ones((2, 3))).identified.any()


def test_what_is_missing_is_said():
    words = mixing_report(MASKS["a pair below"][0], 3).missing
    assert words[0] == ""
    assert words[1] == "5 domains instead of 3, or more observed variables without z_0"
    assert words[2] == (
        "5 domains instead of 3, or observed variables that use it and not z_1, z_3 "
        "and more observed variables without z_0"
    )


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            np.ones(3),
            r"mask has shape \(3,\); it must be a matrix: one row an observed",
        ),
        (np.full((3, 3), 0.7), "mask holds other values than 0 and 1"),
    ],
)
def test_wrong_masks_are_refused(mask, message):
    for function in (structural_sparsity, mixing_pattern, mixing_report):
        with pytest.raises(ValueError, match=message):
            function(mask)
    with pytest.raises(ValueError, match=message):
        domains_needed(mask)
    with pytest.raises(ValueError, match=message):
        support_errors(mask, np.eye(3), np.arange(3))


def test_a_report_needs_a_domain():
    with pytest.raises(ValueError, match="domains is 0; it must be at least 1"):
        mixing_report(ring(3), 0)


def draw_domains(domains, n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-4, 4, (domains, n)), rng.uniform(0.3, 1.5, (domains, n))


class TestGaussianChanges:
    @pytest.mark.parametrize("size", [1, 2, 4])
    def test_one_domain_less_is_not_enough(self, size):
        means, stds = draw_domains(2 * size + 1, size)
        assert gaussian_changes_ok(means, stds)
        assert not gaussian_changes_ok(means[1:], stds[1:])

    def test_means_or_deviations_alone_are_not_enough(self):
        means, stds = draw_domains(20, 2)
        assert not gaussian_changes_ok(means, np.full_like(stds, 0.7))
        assert not gaussian_changes_ok(np.full_like(means, 3.0), stds)
        rounded = 0.7 * (1 + 1e-7 * means)  # equal but for float32
        assert not gaussian_changes_ok(means, rounded)

    def test_latents_that_change_together_are_not_enough(self):
        means, stds = draw_domains(20, 3)
        means[:, 2], stds[:, 2] = 5 * means[:, 0] + 1, 5 * stds[:, 0]
        assert not gaussian_changes_ok(means, stds)
        assert not gaussian_changes_ok(means, stds, [1, 0, 1])
        assert gaussian_changes_ok(means, stds, [1, 1, 0])
        assert gaussian_changes_ok(means, stds, np.array([False, True, True]))

    def test_blocks_need_fewer_domains(self):
        means, stds = draw_domains(5, 4)
        assert not gaussian_changes_ok(means, stds)
        for twins in mixing_report(blocks(2, 2)).twins:
            assert gaussian_changes_ok(means, stds, twins)

    def test_units_do_not_matter(self):
        means, stds = draw_domains(5, 2)
        for scale in (np.array([1e-4, 1e4]), np.array([-1e3, 1e3])):
            assert gaussian_changes_ok(means * scale + 7, stds * np.abs(scale))

    def test_wrong_arguments_are_refused(self):
        means, stds = draw_domains(5, 2)
        for m, s, block, message in [
            (means[0], stds[0], None, r"means has shape \(2,\) and stds \(2,\)"),
            (means, stds[1:], None, r"means has shape \(5, 2\) and stds \(4, 2\)"),
            (means * np.nan, stds, None, "means holds NaN or infinite values"),
            (means, stds - 1, None, "stds holds values that are not positive"),
            (means, stds, [0, 2], r"block is \[0, 2\]; it must be \[2\] of 0/1"),
            (means, stds, [1, 1, 0], r"block is \[1, 1, 0\]; it must be \[2\]"),
            (means, stds, [0, 0], "with one entry a latent and at least one 1"),
        ]:
            with pytest.raises(ValueError, match=message):
                gaussian_changes_ok(m, s, block)


class TestChangeStrength:
    def test_gaussians(self):
        means, stds = draw_domains(7, 3)
        z = np.random.default_rng(1).normal(size=(9, 3)) * 2

        def log_prob(z, u):
            m, s = jnp.asarray(means)[u], jnp.asarray(stds)[u]
            return jax.scipy.stats.norm.logpdf(z, m, s)

        # eta'' = -1 / s^2 and eta' = (m - z) / s^2, by hand, in units of std z.
        p = (z.std(0) / stds) ** 2
        expected = []
        for sample in z:
            matrix = np.hstack([-p, p * (means - sample) / z.std(0)])
            values = np.linalg.svd(matrix[1:] - matrix[0], compute_uv=False)
            expected.append(values[-1] / values[0])
        found = change_strength(log_prob, z, 7)
        assert min(expected) > 1e-3
        np.testing.assert_allclose(found, expected, rtol=1e-3)
        summed = change_strength(lambda z, u: log_prob(z, u).sum(), z, 7)
        np.testing.assert_allclose(summed, found, rtol=1e-5)
        np.testing.assert_array_equal(change_strength(log_prob, z, 6), 0)
        assert (change_strength(log_prob, z, 5, [1, 0, 1]) > 1e-3).all()

    @pytest.mark.parametrize("curved", [False, True])
    def test_means_that_change(self, curved):
        # log p = -z^2 / 2 + a_u z (+ b_u z^4): eta'' differs only with b.
        a, b = (jnp.asarray(t, jnp.float32) for t in draw_domains(5, 2))
        z = np.random.default_rng(1).uniform(0.5, 1.5, (6, 2))

        def log_prob(z, u):
            return -(z**2) / 2 + a[u] * z - curved * b[u] * z**4

        strength = change_strength(log_prob, z, 5)
        assert (strength > 1e-3).all() == curved
        assert curved or (strength < 1e-6).all()

    def test_wrong_arguments_are_refused(self):
        z = np.ones((4, 2))

        def dependent(z, u):
            return -((z[0] - u * z[1]) ** 2)

        def singular(z, u):
            return jnp.log(z - z) * u

        for log_prob, samples, domains, message in [
            (dependent, z[0], 3, r"z has shape \(2,\); it must be \[b, n\]"),
            (dependent, z, 0, "domains is 0; it must be at least 1"),
            (dependent, z, 3, "log_prob has mixed derivatives"),
            (singular, z, 3, "log_prob has derivatives that are not finite"),
        ]:
            with pytest.raises(ValueError, match=message):
                change_strength(log_prob, samples, domains)


class TestLearnedSupport:
    strength = np.array([[1.0, 0.2, 0.05], [0.0, 0.0, 0.0], [0.1, 0.3, 1.0]])

    def test_by_hand(self):
        # In the last row .1 is not above a tenth of 1.
        expected = [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
        np.testing.assert_array_equal(learned_support(self.strength), expected)
        found = learned_support(self.strength, 0.25)
        np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 0], [0, 1, 1]])
        scaled = self.strength * np.array([[1e-6], [1.0], [1e6]])
        np.testing.assert_array_equal(learned_support(scaled), expected)

    def test_errors(self):
        mask = ring(3, 2)
        order = np.array([2, 0, 1])
        learned = np.zeros((6, 4), int)
        learned[:, order] = mask
        for function in (support_errors, jax.jit(support_errors)):
            assert int(function(mask, learned, order)) == 0
            assert int(function(mask, learned, np.arange(3))) == 12
        learned[0, 2] = 0  # one is missing
        learned[4, [2, 3]] = 1, 1  # one too many, and one of a code in excess
        assert mask[0, 0] == 1
        assert mask[4, 0] == 0
        assert int(support_errors(mask, learned, order)) == 3
        # A latent without a code has no entries.
        assert int(support_errors(mask, mask[:, :2], np.array([0, 1, -1]))) == 4

    def test_over_seeds(self):
        strength = np.stack([self.strength, self.strength[:, ::-1]])
        orders = np.array([[0, 1, 2], [2, 1, 0]])
        supports = jax.vmap(learned_support)(strength)
        mask = supports[0].astype(int)
        errors = jax.vmap(support_errors, (None, 0, 0))(mask, supports, orders)
        np.testing.assert_array_equal(errors, [0, 0])

    def test_wrong_arguments_are_refused(self):
        with pytest.raises(ValueError, match=r"strength has shape \(3,\)"):
            learned_support(self.strength[0])
        with pytest.raises(ValueError, match=r"threshold is 1\.0; .* in \[0, 1\)"):
            learned_support(self.strength, 1.0)
        with pytest.raises(ValueError, match="learned holds other values"):
            support_errors(np.eye(3), self.strength, np.arange(3))
        with pytest.raises(ValueError, match="learned has 2 rows and mask has 3"):
            support_errors(np.eye(3), np.eye(3)[:2], np.arange(3))
        with pytest.raises(ValueError, match=r"assignment has shape \(2,\); .*\(3,\)"):
            support_errors(np.eye(3), np.eye(3), np.arange(2))
