"""What interventions promise: closed cases, and rotations found by brute force."""

import numpy as np
import pytest

from jaxdis.data.processes import PROCESSES
from jaxdis.identifiability import (
    gaussian_changes_ok,
    graph_criterion,
    promise_of_interventions,
    promise_of_tasks,
)


def table(d, *regimes):
    """Means and stds of N(0, 1) latents; a regime is {latent: (mean, std)}."""
    means, stds = np.zeros((len(regimes) + 1, d)), np.ones((len(regimes) + 1, d))
    for row, moved in enumerate(regimes, 1):
        for latent, (mean, std) in moved.items():
            means[row, latent], stds[row, latent] = mean, std
    return means, stds


def identified(*tables):
    return promise_of_interventions(*tables).identified.tolist()


SHIFT, HARD, NARROW, WIDE = (3, 1), (2, 0.3), (0, 0.2), (0, 2.5)


@pytest.mark.parametrize("change", [SHIFT, HARD, NARROW, WIDE])
def test_one_target_each_identifies(change):
    each = [{i: change} for i in range(4)]
    assert identified(*table(4, *each)) == [True] * 4
    # The last latent is what is left; of two that are left nothing is known.
    assert identified(*table(4, *each[:3])) == [True] * 4
    assert identified(*table(4, *each[:2])) == [True, True, False, False]
    assert identified(*table(2)) == [False] * 2


@pytest.mark.parametrize("change", [SHIFT, NARROW])
def test_without_an_observational_regime_no_latent_is_identified(change):
    means, stds = table(3, *[{i: change} for i in range(3)])
    assert identified(means[1:], stds[1:]) == [False] * 3


def ring(d, own, other):
    return table(d, *[{i: own, (i + 1) % d: other} for i in range(d)])


def test_pairs_identify_by_their_variances_only():
    """The graph criterion holds for every ring; it is not enough."""
    for d in (4, 5):
        assert graph_criterion(None, ring(d, SHIFT, SHIFT)[0][1:].T > 0)
        assert not any(identified(*ring(d, SHIFT, SHIFT)))
        assert all(identified(*ring(d, NARROW, WIDE)))
    # A circulant matrix (1, 1) is singular for an even number of latents.
    assert not any(identified(*ring(4, NARROW, NARROW)))
    assert all(identified(*ring(5, NARROW, NARROW)))
    # Moving means as well takes twice the interventions.
    assert not any(identified(*ring(4, HARD, (-1, 2))))
    both = np.vstack([ring(4, HARD, (-1, 2))[0], ring(4, (1, 0.5), (2, 3))[0][1:]])
    stds = np.vstack([ring(4, HARD, (-1, 2))[1], ring(4, (1, 0.5), (2, 3))[1][1:]])
    assert all(identified(both, stds))


def test_shifts_of_several_targets_spoil_those_of_one():
    """Five shifts along (1, 1) cost one edge each after a rotation, not two."""
    single, double = [{0: SHIFT}, {1: SHIFT}], [{0: SHIFT, 1: SHIFT}] * 5
    assert identified(*table(3, *single)) == [True] * 3
    assert identified(*table(3, *single, *double)) == [False] * 3
    # z_2 is known by its variance, whatever the others do.
    assert identified(*table(3, *single, *double, {2: NARROW})) == [False, False, True]


def test_the_rest_is_named():
    promise = promise_of_interventions(*table(4, {0: NARROW}, {1: SHIFT, 2: SHIFT}))
    assert promise.partition == ((0,), (1, 2, 3))
    np.testing.assert_array_equal(promise.pattern[0], [1, 0, 0, 0])
    assert promise.pattern[1:].all()
    assert promise.missing[0] == ""
    assert promise.missing[1].startswith("what the interventions do to z_1 is a sum")
    assert promise.missing[3].startswith("no intervention moves z_3: an intervention")
    apart = promise_of_interventions(
        *table(3, {0: SHIFT, 1: SHIFT}, {0: SHIFT, 1: (-3, 1)}, {2: NARROW})
    )
    assert "variances of z_0 and z_1 never change" in apart.missing[0]
    assert apart.partition == ((0, 1), (2,))
    assert type(apart) is type(promise_of_tasks(np.eye(2)))


def draws(n, d):
    """Tables of few values, so that columns coincide often; some shift only."""
    rng = np.random.default_rng(0)
    for case in range(n):
        regimes = int(rng.integers(1, 2 * d + 3))
        hit = rng.random((regimes, d)) < rng.choice([0.3, 0.6])
        means = hit * rng.choice([0.0, 2.0, -2.0], (regimes, d))
        some = [1.0] if case % 2 else [1.0, 0.5, 2.0]
        stds = np.where(hit, rng.choice(some, (regimes, d)), 1.0)
        yield np.vstack([np.zeros(d), means]), np.vstack([np.ones(d), stds])


def plane_rotations(d):
    for i in range(d):
        for j in range(i):
            for angle in np.deg2rad([15, 30, 45, 60, 75, 135]):
                turn = np.eye(d)
                turn[[i, j], [i, j]] = np.cos(angle)
                turn[i, j], turn[j, i] = np.sin(angle), -np.sin(angle)
                yield (i, j), turn


def edges(means, variances):
    moved = (np.abs(means[1:] - means[0]) > 1e-9) | (
        np.abs(variances[1:] - variances[0]) > 1e-9
    )
    return int(moved.sum())


def test_no_rotation_of_an_identified_latent_is_as_good():
    """A rotation in which all regimes are independent, with no more edges."""
    counted = {True: 0, False: 0}
    for means, stds in draws(300, 3):
        found = promise_of_interventions(means, stds).identified
        for pair, turn in plane_rotations(3):
            covariances = turn @ (np.eye(3) * stds[:, None] ** 2) @ turn.T
            variances = np.diagonal(covariances, axis1=1, axis2=2)
            mixed = covariances - np.eye(3) * variances[:, None]
            fewer = edges(means @ turn.T, variances) <= edges(means, stds**2)
            if np.abs(mixed).max() < 1e-9 and fewer:
                assert not found[list(pair)].any()
                counted[True] += 1
        counted[False] += int(found.sum())
    assert min(counted.values()) > 100


def test_order_and_units_of_latents_do_not_matter():
    rng = np.random.default_rng(1)
    for means, stds in draws(40, 4):
        order, unit = rng.permutation(4), rng.uniform(0.1, 5, 4) * [1, -1, 1, -1]
        one = promise_of_interventions(means, stds).identified
        other = promise_of_interventions(
            (unit * means + 7)[:, order], (np.abs(unit) * stds)[:, order]
        ).identified
        np.testing.assert_array_equal(other, one[order])


def test_enough_changes_of_both_moments_identify_without_a_graph():
    rng = np.random.default_rng(2)
    for d in (1, 2, 4):
        means, stds = (
            rng.normal(size=(2 * d + 1, d)),
            rng.uniform(0.2, 3, (2 * d + 1, d)),
        )
        assert gaussian_changes_ok(means, stds)
        assert all(identified(means, stds))
        if d > 1:
            assert all(identified(means[:-1], stds[:-1]))
            assert not any(identified(means[:-2], stds[:-2]))
            assert not any(identified(means, np.ones_like(stds)))


@pytest.mark.parametrize(
    "name", [name for name, process in PROCESSES.items() if process.changes]
)
@pytest.mark.parametrize("d", [4, 5])
def test_data_say_which_interventions_promise_nothing(name, d):
    from jaxdis.data.processes.interventions import regimes

    process = PROCESSES[name]
    promise = promise_of_interventions(*regimes(process.ga(d, 0.5, 0), process.changes))
    assert all(promise.identified) == (process.breaks == "")
    assert all(promise.identified) or not any(promise.identified)


@pytest.mark.parametrize(
    ("means", "stds", "says"),
    [
        (np.zeros((2, 3)), np.ones((2, 2)), "both must be matrices"),
        (np.zeros(3), np.ones(3), "one row per regime"),
        (np.full((2, 2), np.nan), np.ones((2, 2)), "means holds NaN"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "stds holds values that are not positive"),
    ],
)
def test_bad_tables_are_refused(means, stds, says):
    with pytest.raises(ValueError, match=says):
        promise_of_interventions(means, stds)
