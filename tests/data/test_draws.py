"""Worlds: each seed has its own, whichever others are drawn with it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import experiment
from jaxdis.data import draws
from jaxdis.data.domains import DenseShift, ToyMixing
from jaxdis.data.mixed_factors import MixedFactors
from jaxdis.data.processes import CausalProcess
from jaxdis.data.rows import sampler
from jaxdis.report import findings
from jaxdis.report.read import Group, Record
from jaxdis.types import Rows, Spec, Splits

ROWS = {"samples": 20, "valid_samples": 3, "test_samples": 3}
SETS = {
    "process": CausalProcess("TimeNoSuffVar", z_dim=2, x_dim=3, samples=40),
    "factors": MixedFactors(z_dim=2, x_dim=3, test_rows=20),
    "shift": DenseShift(z_dim=2, changing=1, domains=2, **ROWS),
    "toy": ToyMixing(z_dim=2, domains=2, **ROWS),
}


def of_worlds(name, worlds):
    return dataclasses.replace(SETS[name], worlds=worlds)


def equal(one, other):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def world(tree, w):
    return jax.tree.map(lambda a: a[w], tree)


@pytest.mark.parametrize("name", ["process", "factors", "shift"])
def test_a_world_is_the_same_whichever_others_are_drawn(name):
    data = of_worlds(name, 0)
    assert data.spec().worlds == 0
    several, other = data.load_worlds((0, 5, 100)), data.load_worlds((100,))
    held_out = several[1:3]
    assert equal(world(several[:3], 2), world(other[:3], 0))
    assert not equal(world(held_out, 0), world(held_out, 1))
    alone = of_worlds(name, 1)
    assert alone.spec().worlds is None
    assert equal(alone.load()[:3], world(several[:3], 0))


def test_a_mixing_and_the_strengths_of_a_mechanism_differ_between_worlds():
    """`x` is a function of z, and z_2 - z_1 a linear one of z_1, in every world."""
    data = dataclasses.replace(
        SETS["process"], samples=400, observation_noise=0.0, latent_noise=1e-8, worlds=3
    )
    train = data.load().train
    slopes = []
    for z in np.asarray(train.z):
        weights, *_ = np.linalg.lstsq(z[:, 0], z[:, 1] - z[:, 0], rcond=None)
        np.testing.assert_allclose(z[:, 0] @ weights, z[:, 1] - z[:, 0], atol=1e-3)
        slopes.append(weights)
    assert np.abs(np.diff(slopes, axis=0)).max(axis=(1, 2)).min() > 0.05
    np.testing.assert_allclose(np.triu(np.array(slopes).mean(0).T, 1), 0, atol=1e-2)


def test_a_source_draws_from_the_world_that_is_asked_for():
    data = of_worlds("factors", 2)
    sample = sampler(data.load().train, 8, worlds=True)
    alone = sampler(of_worlds("factors", 1).load().train, 8)
    key = jax.random.key(3)
    first, second = (sample(key, jnp.int32(w)) for w in (0, 1))
    assert equal(first, alone(key))
    np.testing.assert_array_equal(first.z, second.z)
    assert not np.isclose(first.x, second.x).any()


@pytest.mark.parametrize(
    ("worlds", "seeds", "numbers", "places"),
    [
        (0, (100, 103), (100, 103), [0, 1]),
        (3, (4, 6, 7), (0, 1), [1, 0, 1]),
        (1, (4, 6), None, None),
    ],
)
def test_those_worlds_are_drawn_that_the_seeds_see(worlds, seeds, numbers, places):
    data = of_worlds("factors", worlds)
    spec = data.spec()
    needed, found = draws.needed(data, spec, seeds), draws.load(data, spec, seeds)
    if numbers is None:
        assert needed is None
        assert found.world is None
        assert found.splits.test.x.shape == (20, 3)
    else:
        np.testing.assert_array_equal(needed, numbers)
        np.testing.assert_array_equal(found.world, places)
        assert equal(found.splits.test, data.load_worlds(numbers).test)


class Given:
    """A data set that loads all its worlds at once."""

    def __init__(self, worlds):
        self.worlds = worlds

    def spec(self):
        return Spec((1,), worlds=self.worlds)

    def load(self):
        rows = Rows(np.arange(3.0)[:, None, None])
        return Splits(rows, rows, rows)


def test_data_that_load_all_worlds_at_once_show_them_in_turn():
    data = Given(3)
    found = draws.load(data, data.spec(), (1, 5, 6))
    np.testing.assert_array_equal(found.world, [1, 2, 0])
    assert len(found.splits.test.x) == 3
    with pytest.raises(ValueError, match=r"it must have load_worlds\(numbers\)"):
        draws.load(Given(0), Given(0).spec(), (1,))


@pytest.mark.parametrize("name", SETS)
def test_fewer_worlds_than_none_are_refused(name):
    with pytest.raises(ValueError, match=r"data\.worlds must be at least 0, got -1"):
        of_worlds(name, -1).spec()


def test_it_is_said_that_seeds_share_worlds():
    assert draws.repeated(None, range(9)) == ""
    assert draws.repeated(0, range(100, 120)) == ""
    assert draws.repeated(8, range(100, 108)) == ""
    assert "9 seeds see 8 different worlds of data" in draws.repeated(8, range(9))


def test_a_plan_and_a_report_say_that_seeds_share_worlds():
    given = {"seeds": 3, "data": {"worlds": 2}}
    plan = experiment.plan("beta_vae/quickstart", **given)
    assert plan.shared.startswith("3 seeds see 2 different worlds of data")
    assert not experiment.plan("beta_vae/quickstart", seeds=3, first_seed=7).shared
    group = Group("", {}, [0, 1, 2], np.zeros(3, bool), {}, np.empty(0, int), {})
    record = Record("m/p", {}, {}, [group], {"worlds": 2}, {}, {})
    assert findings(record) == [f"{plan.shared}."]
