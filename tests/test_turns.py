"""Rows in turn are what they are all at once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxdis import compiled, devices, runner, sweep, turns
from jaxdis.types import Stream, System, TrainState

DATA = jnp.arange(30.0).reshape(10, 3) / 10
ROWS, AT_ONCE = 5, 2
KEYS = sweep.seed_keys(ROWS)


class Hyper(NamedTuple):
    rate: jax.Array | float = 0.1


RATES = Hyper(jnp.linspace(0.1, 0.3, ROWS))


class Counting(NamedTuple):
    """A system, and how often its step was traced."""

    system: System
    traces: list[int]


def counting() -> Counting:
    """`w <- w + rate (mean - w) + noise`, with the next key in the state."""
    traces: list[int] = []

    def init(key, hyper):
        params = {"w": jax.random.normal(key, (3,))}
        return TrainState(params, (), {"key": key}, jnp.zeros((), int))

    def step(state, batch, hyper, key):
        traces.append(1)
        noise = jax.random.normal(state.extra["key"], (3,))
        w = state.params["w"]
        w = w + hyper.rate * (batch.mean(0) - w) + 0.1 * noise
        after = TrainState({"w": w}, (), {"key": key}, state.step + 1)
        return after, {"loss": jnp.sum(w**2)}

    def report(state, batch, key):
        noise = jax.random.normal(key, (2,))
        return {"distance": jnp.abs(batch.mean(0) - state.params["w"]), "noise": noise}

    return Counting(System(init, step, None, None, report), traces)


SYSTEM = counting().system


def pick(data, key):
    return data[jax.random.randint(key, (4,), 0, data.shape[0])]


def go(rows=slice(None), **options):
    return runner.run(
        options.pop("system", SYSTEM),
        options.pop("sample", Partial(pick, DATA)),
        KEYS[rows],
        Hyper(RATES.rate[rows]),
        steps=options.pop("steps", 8),
        chunk=options.pop("chunk", 4),
        **options,
    )


def is_key(a):
    return jnp.issubdtype(a.dtype, jax.dtypes.prng_key)


def numbers(tree):
    """Arrays of the host, keys by their data."""
    return [
        np.asarray(jax.random.key_data(a) if is_key(a) else a)
        for a in jax.tree.leaves(tree)
    ]


def assert_same(a, b):
    for one, other in zip(numbers(a), numbers(b), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def in_turns():
    """Five rows, two at a time, on two devices; what the callbacks saw."""
    made, chunks, visits = counting(), [], []

    def on_visit(visit):
        progress = visit.progress()
        visits.append((visit.step, jax.tree.map(jnp.copy, progress)))

    result = go(
        system=made.system,
        rows_at_once=AT_ONCE,
        on_chunk=[lambda chunk: chunks.append((chunk.step, chunk.metrics))],
        on_visit=[on_visit],
    )
    return result, made.traces, chunks, visits


def test_every_turn_is_a_run_of_its_rows(in_turns):
    result = in_turns[0]
    assert result.devices == AT_ONCE
    for start in range(0, ROWS, AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        alone = go(rows, mesh=devices.seed_mesh(AT_ONCE))
        assert_same(alone.rows, jax.tree.map(lambda a, r=rows: a[r], result.rows))


def test_one_program_serves_all_turns(in_turns):
    assert len(in_turns[1]) == 1


def test_callbacks_see_all_rows(in_turns):
    result, _, chunks, visits = in_turns
    whole: list = []
    go(on_chunk=[lambda chunk: whole.append((chunk.step, chunk.metrics))])
    assert [step for step, _ in chunks] == [4, 8]
    for (_, some), (_, other) in zip(chunks, whole, strict=True):
        np.testing.assert_allclose(some["loss"], other["loss"], rtol=1e-6)
    assert [step for step, _ in visits] == [0, 4, 8]
    assert_same(visits[-1][1].rows, result.rows)


@pytest.mark.parametrize("at_once", [None, AT_ONCE, 3])
def test_a_run_in_turns_is_gone_on_with(in_turns, at_once):
    result, _, _, visits = in_turns
    step, progress = visits[1]
    host = jax.tree.map(lambda a: a if is_key(a) else np.asarray(a), progress)
    rest = go(start=(step, host), rows_at_once=at_once)
    for one, other in zip(numbers(rest.rows), numbers(result.rows), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    # What was given is not written to.
    assert_same(host, progress)


def test_pieces_within_turns_change_no_bit(in_turns):
    cut = go(rows_at_once=AT_ONCE, visit_seconds=0.0)
    assert_same(cut.rows, in_turns[0].rows)


@pytest.mark.parametrize("at_once", [ROWS, ROWS + 3])
def test_as_many_as_there_are_is_all_at_once(at_once):
    assert_same(go(rows_at_once=at_once).rows, go().rows)


def test_streamed_rows_take_turns(in_turns):
    def chosen(key):
        return jax.random.randint(key, (4,), 0, len(DATA))

    stream = Stream(np.asarray(DATA), Partial(chosen), block=10)
    found = go(sample=stream, rows_at_once=AT_ONCE)
    assert_same(found.rows, in_turns[0].rows)


def test_rows_take_their_own_world_in_turn():
    def pick_world(data, key, world):
        return pick(data[world], key)

    worlds = Partial(pick_world, jnp.stack([DATA, DATA + 5.0]))
    world = jnp.array([0, 1, 1, 0, 1])
    found = go(sample=worlds, world=world, rows_at_once=AT_ONCE)
    whole = go(sample=worlds, world=world)
    for one, other in zip(numbers(found.rows), numbers(whole.rows), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_report_is_made_in_turns(in_turns):
    state = in_turns[0].rows.state
    some = runner.evaluator(SYSTEM, DATA, KEYS, rows_at_once=AT_ONCE)(state)
    whole = runner.evaluator(SYSTEM, DATA, KEYS)(state)
    assert some["distance"].shape == (ROWS, 3)
    for name, values in whole.items():
        np.testing.assert_allclose(some[name], values, rtol=1e-6)


@pytest.mark.parametrize("at_once", [0, -3])
def test_no_rows_at_once_are_refused(at_once):
    with pytest.raises(ValueError, match="rows_at_once must be at least 1"):
        go(rows_at_once=at_once)


def test_the_last_turn_is_as_long_as_the_others():
    found = turns.home(ROWS, AT_ONCE, devices.seed_mesh(1)).turns
    assert [turn.rows.tolist() for turn in found] == [[0, 1], [2, 3], [4, 0]]
    assert [turn.length for turn in found] == [2, 2, 1]


def test_nothing_is_compiled_twice(monkeypatch):
    lowered = []
    lower = compiled.lower
    monkeypatch.setattr(
        compiled, "lower", lambda *args: lowered.append(1) or lower(*args)
    )
    go(rows_at_once=AT_ONCE)
    assert len(lowered) == 1
