"""Controls: the floor and the ceiling of the scores, and raw observations."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdis import check, program, runner, sweep
from jaxdis.data.processes import CausalProcess
from jaxdis.data.rows import batches
from jaxdis.systems.baselines import METHOD, Config, Hyper, make
from jaxdis.systems.baselines.model import (
    MOST,
    no_objective,
    numbers,
    squared_error,
)
from jaxdis.types import Rows, Spec, Truth

DATA = CausalProcess("ActionNonDiag", z_dim=3, x_dim=6, samples=5_000)
CONFIG = Config(z_dim=3, encoder=(32, 32), batch=128)


def scores(config, steps):
    spec, splits = DATA.spec(), DATA.load()
    system, made = make(config, spec), batches(config, spec, splits)
    keys = sweep.seed_keys(2)
    start = program.init_rows(system, keys, Hyper(jnp.full(2, 3e-3)))
    drawn = jax.device_get(start.state.params)
    result = runner.run(
        system,
        made.sample,
        keys,
        Hyper(learning_rate=3e-3),
        steps=steps,
        chunk=steps,
        start=(0, start),
    )
    found = runner.evaluator(system, made.test, keys)(result.rows.state)
    return drawn, result.rows.state.params, found


def test_supervised_is_the_ceiling_and_random_the_floor():
    _, _, ceiling = scores(CONFIG, 1_500)
    assert (ceiling["mcc"] > 0.99).all()
    drawn, after, floor = scores(replace(CONFIG, method="random"), 5)
    assert (floor["mcc"] < ceiling["mcc"] - 0.1).all()
    # It stays as it was drawn.
    chex.assert_trees_all_equal(drawn, jax.device_get(after))


def test_raw_observations_are_their_own_codes():
    spec = DATA.spec()
    system = make(replace(CONFIG, method="observations", z_dim=0), spec)
    x = jax.random.normal(jax.random.key(0), (50, 6))
    z = x[:, :3] ** 3
    state = system.init(jax.random.key(0), Hyper(1e-3))
    state, _ = system.step(state, Rows(x, z=z), Hyper(1e-3), jax.random.key(1))
    assert state.params == 0
    chex.assert_trees_all_equal(system.encode(state.params, x), x)
    found = system.report(state, Rows(x, z=z), jax.random.key(0))
    same = np.abs(np.corrcoef(z.T, x.T)[:3, 3:])
    np.testing.assert_allclose(found["mcc"], same[range(3), range(3)].mean(), rtol=1e-4)
    assert system.decode is None


def test_of_large_observations_evenly_spaced_numbers_are_taken():
    x = jnp.arange(2 * 3 * 400.0).reshape(2, 3, 20, 20)
    found = numbers(x, 2)
    assert found.shape == (2, 3, MOST)
    np.testing.assert_array_equal(
        found[..., [0, -1]], x.reshape(2, 3, -1)[..., [0, -1]]
    )
    gaps = np.diff(found[0, 0])
    assert set(gaps.tolist()) == {1.0, 2.0}
    np.testing.assert_array_equal(numbers(x[:, :, 0], 1), x[:, :, 0])


def test_objectives():
    codes, z = jnp.array([[1.0, 2.0], [0.0, 0.0]]), jnp.array([[0.0, 2.0], [0.0, 2.0]])
    assert squared_error(codes, z) == (1.0 + 4.0) / 4
    assert no_objective(codes, z) == 0.0
    with pytest.raises(AssertionError):
        squared_error(codes, z[:, :1])  # would broadcast


def test_supervision_needs_a_code_for_every_latent():
    spec = DATA.spec()
    with pytest.raises(ValueError, match=r"config\.z_dim must be the data's z_dim = 3"):
        make(replace(CONFIG, z_dim=2), spec)
    assert make(replace(CONFIG, z_dim=2, method="random"), spec) is not None


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="true latents, which these data do not have"):
        make(CONFIG, Spec(shape=(8, 8, 3)))
    with pytest.raises(ValueError, match=r"config\.batch must be at least 1, got 0"):
        make(replace(CONFIG, batch=0), DATA.spec())
    with pytest.raises(ValueError, match="baselines needs true latents `z`; this data"):
        check.needs(METHOD.name, METHOD.needs, Spec(shape=(6,)))


def test_images_bytes_and_networks_of_ones_own():
    spec = Spec(shape=(8, 8, 3), steps=2, z_dim=3)
    mine = (
        lambda key, x: {"w": jax.random.normal(key, (x.size, 6))},
        lambda params, x: x.reshape(len(x), -1) @ params["w"],
    )
    config = replace(CONFIG, z_dim=0, channels=2)
    rows = Rows(x=jnp.zeros((16, 2, 8, 8, 3), jnp.uint8), z=jnp.ones((16, 3)))
    for encoder, names in ((None, {"params"}), (mine, {"w"})):
        # The sign of each derivative is all that moves.
        system = make(config, spec, encoder=encoder, optimiser=optax.sign_sgd(0.1))

        def step(key, rows, system=system):
            state = system.init(key, Hyper(1e-3))
            codes = system.encode(state.params, rows.x)
            return state, codes, *system.step(state, rows, Hyper(1e-3), key)

        state, codes, after, logged = jax.eval_shape(step, jax.random.key(0), rows)
        assert set(state.params) == names
        assert codes.shape == (16, 2, 3)
        assert logged["loss"].shape == ()
        assert not [leaf for leaf in jax.tree.leaves(after.opt_state) if leaf.ndim]
    with pytest.raises(ValueError, match=r"outputs \('b', 6\), twice config\.z_dim"):
        make(replace(config, z_dim=3), spec, encoder=(mine[0], lambda params, x: x))


@pytest.mark.parametrize("truth", [DATA.spec().truth, Truth()])
@pytest.mark.parametrize("steps", [None, 4])
def test_scores_are_those_that_the_truth_allows(truth, steps):
    """Also of sequences, of which the last step is learned from."""
    spec = DATA.spec()._replace(truth=truth, steps=steps)
    system, time = make(CONFIG, spec), () if steps is None else (steps,)
    rows = Rows(x=jnp.zeros((9, *time, 6)), z=jnp.zeros((9, *time, 3)))

    def both(key, rows):
        state = system.init(key, Hyper(1e-3))
        state, metrics = system.step(state, rows, Hyper(1e-3), key)
        return metrics, system.report(state, rows, key)

    metrics, found = jax.eval_shape(both, jax.random.key(0), rows)
    assert metrics["loss"].shape == ()
    declared = {score.name for score in METHOD.scores(CONFIG, spec)}
    assert set(found) == declared | {"correlation"}
    assert ("r_con" in declared) == (truth.ga is not None)
    assert np.shape(found["correlation"]) == (3, 3)
