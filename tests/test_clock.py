"""What the wall time of a run is spent on."""

from contextlib import suppress

import jax
import jax.numpy as jnp
import pytest

from jaxdis import clock
from jaxdis.clock import COMPILING, PARTS, Clock, Compiling


class Hands:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def hands(monkeypatch):
    found = Hands()
    monkeypatch.setattr(clock, "time", found)
    return found


def test_nested_tracing_and_compiling_count_once(hands):
    compiling = Compiling()
    for now, event, seconds in (
        (102.0, "jaxpr_trace_duration", 1.0),
        (103.0, "jaxpr_trace_duration", 0.5),
        (104.0, "jaxpr_trace_duration", 4.0),  # both were within this one
        (107.0, "backend_compile_duration", 3.0),
    ):
        hands.now = now
        compiling.hear(COMPILING + event, seconds, fun_name="f")
    compiling.hear("/jax/compilation_cache/compile_time_saved_sec", 50.0)
    assert compiling.seconds == 7.0


def test_a_second_belongs_to_the_innermost_part_and_to_no_other(hands):
    found = Clock(imported=1.5)
    hands.now += 1
    with found.on("training"):
        hands.now += 2
        with found.on("evaluation"):
            hands.now += 4
            assert found.seconds["evaluation"] == 4  # while it lasts
            with suppress(KeyError), found.on("saving"):
                hands.now += 8
                raise KeyError
            hands.now += 16
        hands.now += 32
    seconds = found.seconds
    assert list(seconds) == list(PARTS)
    assert {n: s for n, s in seconds.items() if s} == {
        "import": 1.5, "other": 1, "training": 34, "evaluation": 20, "saving": 8,
    }  # fmt: skip
    assert sum(seconds.values()) == 1.5 + hands.now - 100


def test_compilation_goes_to_no_part_around_it():
    found = Clock()

    def compiled(power):
        return jax.jit(lambda x: jnp.sin(x) ** power)(jnp.ones(3))

    with found.running(), found.on("data"):
        compiled(3.5)
    seconds = found.seconds
    assert seconds["compile"] > 0
    compiled(4.5)  # nobody hears
    assert found.seconds["compile"] == seconds["compile"]


def test_seconds_since_the_import_go_on():
    assert 0 < clock.since_import() < clock.since_import()
