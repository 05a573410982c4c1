"""Which latents a sparse mixing and its domains tell apart."""

import jax
import numpy as np
import pytest

from jaxdis.identifiability import (
    containment,
    domains_needed,
    learned_support,
    mixing_pattern,
    mixing_report,
    structural_sparsity,
    support_errors,
)


def blocks(size, count):
    """Dense blocks of the same size on the diagonal."""
    return np.kron(np.eye(count, dtype=int), np.ones((size, size), int))


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
    for mask, jacobian in random_masks(120):
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
    assert 24 < larger < 96


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
            r"mask has shape \(3,\); it must be a matrix: one row per observed",
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
