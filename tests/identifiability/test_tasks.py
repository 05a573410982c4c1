"""Which latents the supports of tasks tell apart."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.identifiability import (
    containment,
    enough_tasks,
    support_variability,
    weights_span,
)


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
        *(np.kron(np.eye(2, dtype=int), np.ones((2, 2), int)), [1, 1, 1, 1]),
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
        (
            np.ones(3),
            r"supports has shape \(3,\); it must be a matrix: one row",
        ),
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
        (
            np.ones(3),
            r"weights has shape \(3,\); it must be a matrix: one row",
        ),
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
