"""What theory promises, against literal sets and exhaustive search."""

import itertools

import numpy as np
import pytest

from jaxdis.identifiability import (
    finest_blocks,
    mixing_report,
    promise_of_graphs,
    promise_of_mixing,
    promise_of_tasks,
    unpromised,
)
from jaxdis.identifiability.promises import in_words, named

PAIRS = np.kron(np.eye(5, dtype=int), np.ones((2, 1), int))
HARD = PAIRS.copy()
HARD[8:, 0] = 1  # z_8 and z_9 have the parents of z_0 and z_1, too
RING = np.eye(10, dtype=int) + np.roll(np.eye(10, dtype=int), 1, 0)


def graphs(count, d, seed=0):
    """Random pairs of graphs; one of the two is sometimes absent."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        gz = (rng.random((d, d)) < rng.uniform(0.1, 0.7)).astype(int)
        ga = (rng.random((d, rng.integers(1, d + 2))) < rng.uniform(0.2, 0.7)) * 1
        yield (None if i % 3 == 0 else gz, None if i % 3 == 1 else ga)


def edge_sets(gz, ga):
    """All parent sets, child sets and targets of actions, as sets of latents."""
    found = []
    if gz is not None:
        found += [set(np.flatnonzero(row)) for row in gz]
        found += [set(np.flatnonzero(column)) for column in gz.T]
    if ga is not None:
        found += [set(np.flatnonzero(column)) for column in ga.T]
    return found


def test_rows_are_the_literal_intersections_of_sets():
    seen = set()
    for gz, ga in graphs(60, 4):
        promise = promise_of_graphs(gz, ga)
        for p in range(4):
            common = set(range(4))
            for edges in edge_sets(gz, ga):
                common &= edges if p in edges else common
            assert set(np.flatnonzero(promise.pattern[p])) == common
            assert promise.identified[p] == (common == {p})
            assert (promise.missing[p] == "") == (common == {p})
            seen.add(len(common))
    assert seen == {1, 2, 3, 4}


def invertible_supports(d):
    """Supports of invertible d x d matrices, and all orders of d things."""
    cells = itertools.product((0, 1), repeat=d * d)
    every = np.array(list(cells)).reshape(-1, d, d)
    orders = np.array(list(itertools.permutations(range(d))))
    matched = every[:, np.arange(d)[None], orders].all(2)
    return every[matched.any(1)], orders


def test_every_map_that_adds_no_edge_is_promised():
    """Supports of L, z = L z^, under which learned graphs have no more edges.

    Effects of generic mechanisms fill their supports: a learned action moves z^_j iff
    it moves some z_i with L[i, j] != 0, and likewise for time on both sides.
    """
    d = 3
    supports, orders = invertible_supports(d)
    sharp = 0
    for gz, ga in graphs(45, d, seed=1):
        fits = np.ones(len(supports), bool)
        if ga is not None:
            learned = np.einsum("bij,il->bjl", supports, ga) > 0
            fits &= learned.sum((1, 2)) <= ga.sum()
        if gz is not None:
            learned = np.einsum("bij,im,bmk->bjk", supports, gz, supports) > 0
            fits &= learned.sum((1, 2)) <= gz.sum()
        pattern = promise_of_graphs(gz, ga).pattern
        for support in supports[fits]:
            assert any((support[:, order] <= pattern).all() for order in orders)
        # And every promised mixture is one of them: nothing more can be promised.
        assert (supports[fits] == pattern).all((1, 2)).any()
        sharp += not pattern.all()
    assert sharp > 20


def test_every_map_that_is_as_sparse_in_each_task_is_promised():
    """Supports of L, z = L z^, under which no head needs more features."""
    rng, (supports, orders) = np.random.default_rng(5), invertible_supports(3)
    sharp = 0
    for _ in range(30):
        tasks = (rng.random((4, 3)) < 0.5).astype(int)
        tasks = np.unique(tasks[tasks.any(1)], axis=0)
        if not len(tasks):
            continue
        learned = np.einsum("bij,ki->bkj", supports, tasks) > 0
        fits = (learned.sum(2) <= tasks.sum(1)[None]).all(1)
        pattern = promise_of_tasks(tasks).pattern
        for support in supports[fits]:
            assert any((support[:, order] <= pattern).all() for order in orders)
        assert (supports[fits] == pattern).all((1, 2)).any()
        sharp += not pattern.all()
    assert sharp > 20


def test_promised_maps_form_a_group():
    rng = np.random.default_rng(0)
    for gz, ga in graphs(12, 5, seed=2):
        pattern = promise_of_graphs(gz, ga).pattern
        one, two = (pattern * rng.normal(size=(2, 5, 5))) + 3 * np.eye(5)
        for made in (one @ two, np.linalg.inv(one)):
            assert (np.abs(made[~pattern]) < 1e-9).all()


@pytest.mark.parametrize("seed", range(3))
def test_permuting_latents_permutes_the_promise(seed):
    rng = np.random.default_rng(seed)
    (gz, ga), order = list(graphs(3, 6, seed))[2], rng.permutation(6)
    assert gz is not None
    assert ga is not None
    before = promise_of_graphs(gz, ga)
    after = promise_of_graphs(gz[order][:, order], ga[order][:, ::-1])
    np.testing.assert_array_equal(after.pattern, before.pattern[order][:, order])
    renamed = {tuple(sorted(int(order[i]) for i in b)) for b in after.partition}
    assert renamed == set(before.partition)


def partitions(items):
    """Every partition of a list."""
    if not items:
        yield []
        return
    first, *rest = items
    for part in partitions(rest):
        yield [[first], *part]
        for i in range(len(part)):
            yield [*part[:i], [first, *part[i]], *part[i + 1 :]]


def test_no_finer_partition_keeps_blocks_apart():
    sizes = set()
    for gz, ga in graphs(40, 5, seed=3):
        promise = promise_of_graphs(gz, ga)
        free = unpromised(promise.pattern)
        rest = np.flatnonzero(~free).tolist()
        apart = [
            part
            for part in partitions(rest)
            if not any(
                promise.pattern[i, j]
                for one, two in itertools.permutations(part, 2)
                for i, j in itertools.product(one, two)
            )
        ]
        finest = max(apart, key=len)
        assert sum(len(p) == len(finest) for p in apart) == 1
        own = {b for b in promise.partition if not free[b[0]]}
        assert own == {tuple(sorted(b)) for b in finest}
        assert sorted(itertools.chain(*promise.partition)) == list(range(5))
        # Nobody depends on those of which nothing is promised.
        assert not promise.pattern[~free][:, free].any()
        sizes |= set(map(len, own))
    assert {1, 2, 5} <= sizes


def test_what_is_missing_would_do():
    """A new action as the words say tells the latent apart."""
    for gz, ga in graphs(30, 4, seed=4):
        old = promise_of_graphs(gz, ga)
        actions = np.zeros((4, 0), int) if ga is None else ga
        for i in np.flatnonzero(~old.identified):
            others = old.pattern[i] & (np.arange(4) != i)
            moved = (~others).astype(int)  # z_i, and at most those it is told apart of
            new = promise_of_graphs(gz, np.c_[actions, moved])
            assert not (new.pattern[i] & others).any()
            assert old.missing[i].count("that moves") == 1


class TestPapers:
    """Examples with known answers; see also `test_graphs` and `test_mixing`."""

    def test_ring_and_triangle(self):
        for promise in (
            promise_of_graphs(None, RING),
            promise_of_graphs(np.tril(np.ones((10, 10), int)), None),
        ):
            assert promise.partition == tuple((i,) for i in range(10))
            assert promise.identified.all()
            assert promise.missing == ("",) * 10
            assert in_words(promise) == "10 blocks of 1"

    def test_blocks_and_one_way(self):
        assert in_words(promise_of_graphs(None, PAIRS)) == "5 blocks of 2"
        hard = promise_of_graphs(None, HARD)
        assert hard.partition == ((0, 1, 8, 9), (2, 3), (4, 5), (6, 7))
        assert in_words(hard) == "1 block of 4 and 3 blocks of 2"
        assert hard.missing[0] == (
            "z_0 and z_1 always change together; whatever moves one of them moves z_8 "
            "and z_9, too: an action that moves one and not the other, nor z_8 or z_9, "
            "would tell it apart"
        )
        assert hard.missing[3] == (
            "z_2 and z_3 always change together: an action that moves one and not the "
            "other would tell it apart"
        )

    def test_a_latent_without_parents(self):
        alone = RING.copy()
        alone[3] = 0
        promise = promise_of_graphs(None, alone)
        assert promise.identified.sum() == 9
        assert promise.missing[3] == (
            "no action moves z_3: an action that moves z_3 alone would tell it apart"
        )
        assert in_words(promise) == "9 blocks of 1, and nothing of z_3"

    def test_time_says_what_a_latent_acts_on(self):
        promise = promise_of_graphs(
            np.kron(np.eye(2, dtype=int), np.ones((2, 2))), None
        )
        assert promise.partition == ((0, 1), (2, 3))
        assert promise.missing[2].startswith(
            "z_2 and z_3 always change together and act on the same latents: a past "
        )
        free = promise_of_graphs(np.diag([1, 1, 0]), np.eye(3)[:, :2])
        assert free.missing[2] == (
            "no action and no past latent moves z_2, and it acts on none: an action or "
            "a past latent that moves z_2 alone would tell it apart"
        )

    def test_nothing(self):
        promise = promise_of_graphs(np.ones((3, 3)), None)
        assert promise.partition == ((0, 1, 2),)
        assert in_words(promise) == "nothing: each of the 3 may be mixed with all"

    def test_tasks(self):
        supports = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
        promise = promise_of_tasks(supports)
        assert promise.identified.tolist() == [False, True, True, False]
        assert promise.partition == ((0, 1), (2,), (3,))
        assert promise.missing[0] == (
            "the only task that uses z_0 uses z_1, too: a task that uses z_0 and not "
            "z_1 would tell it apart"
        )
        assert promise.missing[3].startswith("no task uses z_3")
        assert in_words(promise) == (
            "1 block of 2 and 1 block of 1, in which z_1 has a code of its own, and "
            "nothing of z_3"
        )

    def test_mixings(self):
        mask = np.kron(np.eye(2, dtype=int), np.ones((2, 2), int))
        few, enough, any_number = (promise_of_mixing(mask, d) for d in (3, 5, None))
        assert few.partition == ((0, 1), (2, 3))
        assert few.missing[0] == (
            "z_0 is not told apart: it takes 5 domains instead of 3, or observed "
            "variables that use it and not z_1"
        )
        assert enough.identified.all()
        assert any_number.identified.all()
        assert any_number.assumes.endswith(
            "5 domains in which the latents change sufficiently"
        )
        ring = np.eye(3, dtype=int) + np.roll(np.eye(3, dtype=int), 1, 1)
        twice = promise_of_mixing(np.tile(ring, (2, 1)), 1)
        assert twice.identified.all()
        assert "domains in which" not in twice.assumes
        assert not promise_of_mixing(ring, 6).identified.any()
        for domains in (1, 3, 5):
            found = mixing_report(mask, domains)
            own = promise_of_mixing(mask, domains)
            np.testing.assert_array_equal(own.pattern, found.block)
        unused = promise_of_mixing(np.array([[1, 0], [1, 0]]), 3)
        assert unused.partition == ((0,), (1,))
        assert unused.missing[1] == "no observed variable depends on z_1"


def test_names_and_blocks():
    assert named([3]) == "z_3"
    assert named(np.array([True, False, True, True])) == "z_0, z_2 and z_3"
    assert finest_blocks(np.eye(3, dtype=bool)) == ((0,), (1,), (2,))
    # z_2 may be anything; z_0 and z_1 are apart.
    pattern = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], bool)
    assert finest_blocks(pattern) == ((0,), (1,), (2,))
    assert unpromised(pattern).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: promise_of_graphs(None, None), "gz and ga are both None"),
        (lambda: promise_of_graphs(np.ones((2, 3)), None), "it must be square"),
        (lambda: promise_of_tasks(np.full((2, 2), 0.5)), "supports holds other values"),
        (lambda: promise_of_mixing(np.eye(2), 0), "domains is 0; it must be at least"),
    ],
)
def test_wrong_arguments_are_refused(made, message):
    with pytest.raises(ValueError, match=message):
        made()
