"""The floor and the ceiling of the scores."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdis import runner
from jaxdis.data import synthetic
from jaxdis.systems import baselines

DATA = synthetic.Config("ActionNonDiag", z_dim=3, x_dim=6, samples=5_000)
CONFIG = baselines.Config(z_dim=3, encoder=(32, 32), batch=128)


def scores(config, steps):
    spec, data = baselines.load(DATA)
    system = baselines.make(config, spec)
    keys = runner.seed_keys(2)
    result = runner.run(
        system,
        baselines.sampler(data.train, config.batch),
        keys,
        baselines.Hyper(learning_rate=3e-3),
        steps=steps,
        chunk=steps,
    )
    return result, runner.evaluator(system, data.test, keys)(result.rows.state)


def test_supervised_is_the_ceiling_and_random_the_floor():
    _, ceiling = scores(CONFIG, 1_500)
    assert (ceiling["mcc"] > 0.99).all()
    _, floor = scores(dataclasses.replace(CONFIG, method="random"), 5)
    assert (floor["mcc"] < ceiling["mcc"] - 0.1).all()


def test_random_encoder_stays_as_it_was_drawn():
    config = dataclasses.replace(CONFIG, method="random")
    short, _ = scores(config, 1)
    long, _ = scores(config, 5)
    for a, b in zip(
        jax.tree.leaves(short.rows.state.params),
        jax.tree.leaves(long.rows.state.params),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_supervision_needs_a_code_for_every_latent():
    spec = baselines.make_spec(DATA)
    with pytest.raises(ValueError, match=r"config\.z_dim must be the data's z_dim = 3"):
        baselines.make(dataclasses.replace(CONFIG, z_dim=2), spec)
    random = dataclasses.replace(CONFIG, z_dim=2, method="random")
    assert baselines.make(random, spec) is not None
