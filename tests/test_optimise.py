"""Adam that can be told to leave everything as it is, against optax and its bits."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdis import guard, optimise
from jaxdis.types import TrainState

PARAMS = {"a": jnp.array([[1.0, -0.0, 3.0]]), "b": jnp.array([-0.0, 2.0])}


def slopes(i):
    rng = np.random.default_rng(i)
    return jax.tree.map(lambda a: jnp.float32(rng.normal(size=a.shape)), PARAMS)


def falling(count):
    return 0.1 / (1 + count)


def assert_same_bits(found, expected):
    for ours, theirs in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


@pytest.mark.parametrize("rate", [0.1, falling], ids=["constant", "falling"])
@pytest.mark.parametrize("few", [optimise.FEW, 0], ids=["few", "many"])
def test_adam_is_that_of_optax_or_nothing(monkeypatch, rate, few):
    monkeypatch.setattr(optimise, "FEW", few)
    ours, theirs = optimise.adam(rate), optimise.in_one_pass(optax.adam(rate))
    update, expected = jax.jit(ours.update), jax.jit(theirs.update)
    params, state = PARAMS, ours.init(PARAMS)
    for i in range(4):
        moves, after = update(slopes(i), state, params)
        found = expected(slopes(i), state, params)
        for a, b in zip(
            jax.tree.leaves((moves, after)), jax.tree.leaves(found), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5)
        assert jax.tree.structure(after) == jax.tree.structure(found[1])
        bad = jax.tree.map(lambda a: a * jnp.nan, slopes(i))
        nothing, kept = update(bad, state, params, applied=jnp.asarray(False))
        assert_same_bits(kept, state)
        assert_same_bits(optax.apply_updates(params, nothing), params)
        params, state = optax.apply_updates(params, moves), after


@pytest.mark.parametrize("few", [optimise.FEW, 0], ids=["few", "many"])
def test_slopes_without_a_square_leave_finite_numbers(monkeypatch, few):
    monkeypatch.setattr(optimise, "FEW", few)
    tx = optimise.adam(0.1)
    huge = jax.tree.map(lambda a: jnp.full_like(a, -1e38), PARAMS)
    assert guard.all_finite(tx.update(huge, tx.init(PARAMS), PARAMS))


class Hyper(NamedTuple):
    rate: float
    factor: float


def test_a_careful_optimiser_applies_what_any_other_would(monkeypatch):
    monkeypatch.setattr(optimise, "FEW", 0)

    def loss(params, state, batch, hyper, key):
        value = hyper.factor * sum((a**2).sum() for a in jax.tree.leaves(params))
        return value, (state.extra + 1, {})

    rules = [lambda h: optimise.adam(h.rate), lambda h: optax.adam(h.rate)]
    steps = [optimise.minimise(loss, rule) for rule in rules]
    attempted = [jax.jit(partial(guard.attempted, step)) for step in steps]
    nan, key, zero = jnp.nan, jax.random.key(0), jnp.zeros((), int)
    state = TrainState(PARAMS, optax.adam(0.1).init(PARAMS), jnp.zeros(()), zero)
    cases = [
        ((0.1, 1.0), True),
        ((0.1, 1.0), False),
        ((0.1, nan), True),
        ((nan, 1.0), True),
    ]
    for i, (values, wanted) in enumerate(cases):
        given = state, None, Hyper(*map(jnp.float32, values)), key, jnp.asarray(wanted)
        (careful, metrics, applied), usual = (f(*given) for f in attempted)
        assert bool(applied) == bool(usual[2]) == (i == 0)
        np.testing.assert_array_equal(metrics["loss"], usual[1]["loss"])
        if applied:
            for a, b in zip(
                jax.tree.leaves(careful), jax.tree.leaves(usual[0]), strict=True
            ):
                np.testing.assert_allclose(a, b, rtol=1e-5)
            assert careful.step == careful.extra == 1
        else:
            assert_same_bits(careful, state)
    # Of such a rate parameters would become infinite in some steps.
    given = state, None, Hyper(*jnp.float32([3e38, 1])), key, jnp.asarray(True)
    assert not attempted[0](*given)[2]


def test_a_careful_optimiser_may_be_given():
    given = optimise.adam(0.1)
    assert optimise.optimiser(given, optax.sgd)(None) is given
