"""The runner, on a system small enough to know its numbers."""

import itertools
import re
from typing import NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from jaxdis import devices, guard, optimise, program, runner, sweep
from jaxdis.types import System, TrainState


class Hyper(NamedTuple):
    learning_rate: jax.Array | float = 0.1
    explode_at: jax.Array | float = 1e9  # the step from which the gradient is NaN
    heal_at: jax.Array | float = 2e9  # the step from which it is a number again


def quadratic(traces: list[int] | None = None) -> System:
    """Minimises |w - mean(batch)|^2 / 2 by SGD: w <- w + rate (mean - w)."""

    def optimiser(hyper):
        return optax.sgd(hyper.learning_rate)

    def init(key, hyper):
        params = {"w": jax.random.normal(key, (3,))}
        opt_state = optimiser(hyper).init(params)
        return TrainState(params, opt_state, (), jnp.zeros((), int))

    def loss(params, state, batch, hyper, key):
        if traces is not None:
            traces.append(1)
        attempt = batch.step
        bad = (attempt >= hyper.explode_at) & (attempt < hyper.heal_at)
        error = params["w"] - batch.x.mean(0)
        value = 0.5 * jnp.sum(error**2) * jnp.where(bad, jnp.nan, 1.0)
        return value, ((), {"error": jnp.abs(error).sum()})

    return System(init, optimise.minimise(loss, optimiser), None, None, None)


class Batch(NamedTuple):
    x: jax.Array
    step: jax.Array


def draw(data, key):
    rows = jax.random.randint(key, (4,), 0, data.shape[0])
    return Batch(data[rows], jnp.asarray(0.0))


DATA = jnp.arange(30.0).reshape(10, 3) / 10
SAMPLE = Partial(draw, DATA)
ONE_DEVICE = devices.seed_mesh(1)
DEFAULT = Hyper()


def weights(result):
    return np.asarray(result.rows.state.params["w"])


def go(keys, hyper=DEFAULT, steps=20, chunk=7, **options):
    return runner.run(
        quadratic(), SAMPLE, keys, hyper, steps=steps, chunk=chunk, **options
    )


def test_steps_follow_the_formula():
    key = sweep.seed_keys(1)[0]
    w = jax.random.normal(key, (3,))
    for i in range(5):
        batch_key, _ = jax.random.split(jax.random.fold_in(key, i))
        rows = jax.random.randint(batch_key, (4,), 0, 10)
        w = w + 0.1 * (DATA[rows].mean(0) - w)
    result = go(sweep.seed_keys(1), steps=5)
    np.testing.assert_allclose(weights(result)[0], w, rtol=1e-6)


def test_no_bit_depends_on_the_neighbours_or_chunks():
    together = weights(go(sweep.seed_keys(5), chunk=7))
    for seed in range(5):
        alone = weights(go(sweep.seed_keys(1, first=seed), chunk=20))
        np.testing.assert_array_equal(together[seed], alone[0])


def test_more_seeds_leave_the_others_unchanged():
    few, many = weights(go(sweep.seed_keys(2))), weights(go(sweep.seed_keys(6)))
    np.testing.assert_array_equal(few, many[:2])


@pytest.mark.parametrize("seeds", [3, 8, 11])
def test_eight_devices_give_the_numbers_of_two(seeds):
    assert jax.device_count() == 8
    keys = sweep.seed_keys(seeds)
    spread, few = go(keys), go(keys, mesh=devices.seed_mesh(2))
    assert (spread.devices, few.devices) == (min(seeds, 8), 2)
    assert weights(spread).shape == (seeds, 3)
    np.testing.assert_array_equal(weights(spread), weights(few))
    single = go(keys, mesh=ONE_DEVICE)
    assert single.devices == 1
    np.testing.assert_allclose(weights(single), weights(few), rtol=1e-6)


def test_a_run_goes_on_on_other_devices():
    """From two to three and four bit for bit; by way of one up to rounding."""
    keys, whole = sweep.seed_keys(5), weights(go(sweep.seed_keys(5)))

    def parts(*counts):
        at, start = (5, 10, 20), None
        for end, count in zip(at, counts, strict=True):
            result = go(keys, steps=end, mesh=devices.seed_mesh(count), start=start)
            start = end, jax.device_get(result.rows)
        return weights(result)

    np.testing.assert_array_equal(parts(2, 3, 4), whole)
    np.testing.assert_allclose(parts(2, 1, 4), whole, rtol=1e-6)


def test_rows_take_their_own_world_of_the_data():
    worlds = jnp.stack([DATA, DATA + 5.0])

    def draw_world(data, key, world):
        return draw(data[world], key)

    keys = sweep.seed_keys(3)
    mixed = runner.run(
        quadratic(),
        Partial(draw_world, worlds),
        keys,
        DEFAULT,
        steps=20,
        chunk=7,
        world=jnp.array([0, 1, 0]),
    )
    other = runner.run(
        quadratic(), Partial(draw, DATA + 5.0), keys, DEFAULT, steps=20, chunk=7
    )
    np.testing.assert_allclose(weights(mixed)[::2], weights(go(keys))[::2], rtol=1e-6)
    np.testing.assert_allclose(weights(mixed)[1], weights(other)[1], rtol=1e-6)


def test_evaluator_shows_each_row_its_world():
    system = quadratic()._replace(
        report=lambda state, batch, key: {"mean": batch.mean(), "w": state.params["w"]}
    )
    keys = sweep.seed_keys(3)
    rows = go(keys).rows
    worlds = jnp.stack([DATA, DATA + 5.0])
    world = jnp.array([1, 0, 1])
    found = runner.evaluator(system, worlds, keys, world=world)(rows.state)
    np.testing.assert_allclose(found["mean"], DATA.mean() + jnp.array([5.0, 0.0, 5.0]))
    np.testing.assert_array_equal(found["w"], rows.state.params["w"])


@pytest.mark.parametrize("size", [3, guard.LARGE])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_is_found_among_many(size, bad):
    tree = {"a": jnp.ones((2, size)), "b": jnp.ones(2), "n": jnp.ones(2, int)}
    assert guard.all_finite(tree)
    assert not guard.all_finite(tree | {"a": tree["a"].at[1, 2].set(bad)})
    # Large numbers of either sign are numbers.
    tree["a"] = jnp.full((2, size), 1e30).at[0].set(-1e30)
    assert guard.all_finite(tree)


def test_few_parameters_are_one_vector_and_many_are_not(monkeypatch):
    params = {"a": jnp.ones((2, 3)), "b": jnp.full(2, 3.0)}
    gradient = jax.tree.map(lambda a: 0.5 * a, params)
    tx = optimise.in_one_pass(optax.adam(0.1))
    moves = []
    for few, arrays in ((9, 1), (8, 2)):
        monkeypatch.setattr(optimise, "FEW", few)
        state = tx.init(params)
        assert len(jax.tree.leaves(state[0].mu)) == arrays
        moves.append(tx.update(gradient, state, params)[0])
    # Adam's first step is the rate, against the gradient.
    for move in moves:
        for leaf in jax.tree.leaves(move):
            np.testing.assert_allclose(leaf, -0.1, rtol=1e-5)


def test_one_trace_and_no_compilation_after_the_first_chunk():
    traces, compiled = [], []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    after_chunk = []
    # 20 = 7 + 7 + 6: the short last chunk is the same program.
    runner.run(
        quadratic(traces),
        SAMPLE,
        sweep.seed_keys(8),
        Hyper(learning_rate=jnp.linspace(0.1, 0.5, 8)),
        steps=20,
        chunk=7,
        on_chunk=[lambda chunk: after_chunk.append(len(compiled))],
    )
    assert len(traces) == 1
    assert len(after_chunk) == 3
    assert after_chunk[0] == after_chunk[-1]
    assert compiled  # the listener does hear compilations


def at_the_start(system, sample, keys, hyper, mesh):
    """The chunk, and the progress that it starts from."""
    step = program.guarded(system)
    rows = program.init_rows(system, keys, hyper, mesh)
    new = program.new_chunk(step, mesh, rows, keys, hyper, None, sample)
    return program.make_chunk(step, mesh), new


def lowered(system, sample, keys, hyper, mesh):
    chunk, new = at_the_start(system, sample, keys, hyper, mesh)
    return chunk.lower(new, keys, hyper, None, sample, 0, 5, len(keys))


def test_no_collectives_in_the_chunk():
    keys = sweep.seed_keys(8)
    mesh = devices.seed_mesh(8)
    hyper = Hyper(*(jnp.full(8, v) for v in Hyper()))
    system = quadratic()
    text = lowered(system, SAMPLE, keys, hyper, mesh).compile().as_text()
    collective = r"= [^=]* (all-gather|all-reduce|all-to-all|collective-permute)"
    assert re.findall(collective, text) == []
    assert "while" in text  # the text is that of the training loop


def test_data_are_arguments_not_constants():
    big = Partial(draw, jnp.zeros((50_000, 3)))
    keys, mesh = sweep.seed_keys(1), ONE_DEVICE
    hyper = Hyper(*(jnp.full(1, v) for v in Hyper()))
    compiled = lowered(quadratic(), big, keys, hyper, mesh).compile()
    arguments = compiled.memory_analysis().argument_size_in_bytes
    assert arguments > 50_000 * 3 * 4


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_chunk_exports(platform):
    keys, mesh = sweep.seed_keys(2), ONE_DEVICE
    hyper = Hyper(*(jnp.full(2, v) for v in Hyper()))
    chunk, new = at_the_start(quadratic(), SAMPLE, keys, hyper, mesh)
    exported = jax.export.export(chunk, platforms=[platform])(
        new, keys, hyper, None, SAMPLE, *jnp.int32([0, 5, 2])
    )
    assert exported.platforms == (platform,)


def fault_system():
    """As `quadratic`, but the batch tells the loss how many steps were taken."""
    base = quadratic()

    def step(state, batch, hyper, key):
        return base.step(state, batch._replace(step=state.step * 1.0), hyper, key)

    return base._replace(step=step)


def test_a_diverged_seed_is_frozen_and_its_neighbours_untouched():
    keys = sweep.seed_keys(4)
    explode = jnp.array([1e9, 5.0, 1e9, 1e9])
    result = runner.run(
        fault_system(), SAMPLE, keys, Hyper(explode_at=explode), steps=40, chunk=10
    )
    clean = runner.run(fault_system(), SAMPLE, keys, Hyper(), steps=40, chunk=10)
    np.testing.assert_array_equal(result.rows.failed, [False, True, False, False])
    # PATIENCE attempts are counted, then the row is left alone.
    np.testing.assert_array_equal(result.rows.skipped, [0, program.PATIENCE, 0, 0])
    np.testing.assert_array_equal(result.rows.state.step, [40, 5, 40, 40])
    others = np.array([0, 2, 3])
    np.testing.assert_array_equal(weights(result)[others], weights(clean)[others])
    # The frozen row holds the last finite state: that of a run of 5 steps.
    short = runner.run(fault_system(), SAMPLE, keys, Hyper(), steps=5, chunk=5)
    np.testing.assert_array_equal(weights(result)[1], weights(short)[1])


def test_one_of_thirty_two_diverges_and_the_others_have_the_same_bits():
    keys = sweep.seed_keys(32)
    explode = jnp.full(32, 1e9).at[17].set(5.0)
    result = runner.run(
        fault_system(), SAMPLE, keys, Hyper(explode_at=explode), steps=30, chunk=30
    )
    others = np.arange(32) != 17
    np.testing.assert_array_equal(result.rows.failed, ~others)
    clean = runner.run(
        fault_system(), SAMPLE, keys[others], Hyper(), steps=30, chunk=30
    )
    np.testing.assert_array_equal(weights(result)[others], weights(clean))


def test_a_row_that_lost_most_updates_of_a_short_run_has_failed():
    keys, explode = sweep.seed_keys(3), jnp.array([1e9, 1.0, 4.0])
    result = runner.run(
        fault_system(), SAMPLE, keys, Hyper(explode_at=explode), steps=6, chunk=6
    )
    np.testing.assert_array_equal(result.rows.skipped, [0, 5, 2])
    np.testing.assert_array_equal(result.rows.failed, [False] * 3)
    np.testing.assert_array_equal(result.failed, [False, True, False])


def test_a_single_bad_update_is_skipped_and_the_run_goes_on():
    base = quadratic()

    def step(state, batch, hyper, key):
        # Batches whose first row is DATA[0] are poisoned: rare and random.
        poisoned = batch.x[0, 0] == 0.0
        return base.step(
            state, batch._replace(step=jnp.where(poisoned, 10.0, 0.0)), hyper, key
        )

    result = runner.run(
        base._replace(step=step),
        SAMPLE,
        sweep.seed_keys(3),
        Hyper(explode_at=5.0),
        steps=60,
        chunk=60,
    )
    skipped = np.asarray(result.rows.skipped)
    assert (skipped > 0).all()
    assert not np.asarray(result.rows.failed).any()
    np.testing.assert_array_equal(result.rows.state.step, 60 - skipped)


def test_chunk_metrics_are_means_of_the_applied_updates():
    chunks = []
    go(sweep.seed_keys(2), steps=6, chunk=3, on_chunk=[lambda c: chunks.append(c)])
    singles = []
    go(sweep.seed_keys(2), steps=6, chunk=1, on_chunk=[lambda c: singles.append(c)])
    expected = np.mean([c.metrics["loss"] for c in singles[3:]], axis=0)
    np.testing.assert_allclose(chunks[1].metrics["loss"], expected, rtol=1e-6)
    assert [c.step for c in chunks] == [3, 6]


def test_a_callback_can_stop_and_the_run_can_go_on_where_it_was():
    keys = sweep.seed_keys(3)
    stopped = go(keys, chunk=4, on_chunk=[lambda chunk: chunk.step >= 8])
    assert stopped.step == 8
    resumed = go(keys, chunk=5, start=(stopped.step, stopped.rows))
    np.testing.assert_allclose(weights(resumed), weights(go(keys)), rtol=1e-6)


@pytest.fixture
def a_long_time(monkeypatch):
    """Every look at the clock is half a second after the one before."""
    ticks = itertools.count(step=0.5)
    monkeypatch.setattr(runner.time, "perf_counter", lambda: next(ticks))


@pytest.mark.usefixtures("a_long_time")
def test_pieces_of_a_chunk_change_no_bit():
    def log(chunks, **options):
        keys = sweep.seed_keys(3)
        seen = [lambda chunk: chunks.append((chunk.step, chunk.metrics))]
        return go(keys, chunk=13, steps=30, on_chunk=seen, **options)

    whole, pieces, visits = [], [], []
    at_once = log(whole)
    cut = log(
        pieces, visit_seconds=1.0, on_visit=[lambda visit: visits.append(visit.step)]
    )
    # A step takes half a second by that clock, of which AIM of one second holds one.
    assert visits == list(range(31))
    assert [step for step, _ in whole] == [step for step, _ in pieces] == [13, 26, 30]
    jax.tree.map(np.testing.assert_array_equal, whole, pieces)
    jax.tree.map(np.testing.assert_array_equal, at_once.rows, cut.rows)


@pytest.mark.usefixtures("a_long_time")
def test_a_run_goes_on_within_a_chunk():
    """Stopped in the middle, on two devices and then on one: the same line follows."""
    kept, lines, whole = [], [], []
    keys = sweep.seed_keys(4)

    def stop(visit):
        if visit.step == 10:
            kept.append(jax.tree.map(np.asarray, visit.progress()))
        return visit.step == 10

    log = {"on_chunk": [lambda chunk: lines.append((chunk.step, chunk.metrics))]}
    first = go(keys, mesh=devices.seed_mesh(2), visit_seconds=1.0, on_visit=[stop])
    assert first.step == 10
    last = go(keys, mesh=devices.seed_mesh(2), start=(10, kept[0]), **log)
    done = {"on_chunk": [lambda chunk: whole.append((chunk.step, chunk.metrics))]}
    clean = go(keys, mesh=devices.seed_mesh(2), **done)
    jax.tree.map(np.testing.assert_array_equal, lines, whole[1:])
    jax.tree.map(np.testing.assert_array_equal, last.rows, clean.rows)
    alone = go(keys, mesh=ONE_DEVICE, start=(10, kept[0]))
    np.testing.assert_allclose(weights(alone), weights(clean), rtol=1e-6)


def test_nothing_is_compiled_for_a_run_that_has_ended():
    keys = sweep.seed_keys(2)
    ended = go(keys)
    again = go(keys, start=(ended.step, ended.rows), on_visit=[pytest.fail])
    assert again.compile_s == 0.0
    np.testing.assert_array_equal(weights(again), weights(ended))


def test_sums_of_other_metrics_are_refused():
    keys = sweep.seed_keys(2)
    rows = go(keys, steps=5).rows
    other = program.Progress(rows, {"other": jnp.zeros(2)}, jnp.zeros(2, int))
    with pytest.raises(ValueError, match="start holds sums of other, and the metrics"):
        go(keys, start=(5, other))


def test_grid_crosses_seeds_with_points():
    keys, hyper, points = sweep.grid(
        sweep.seed_keys(3), Hyper([0.1, 0.2], 1e9, [1.0, 2.0])
    )
    assert keys.shape == (12,)
    assert [(p["learning_rate"], p["heal_at"]) for p in points] == [
        (0.1, 1.0),
        (0.1, 2.0),
        (0.2, 1.0),
        (0.2, 2.0),
    ]
    np.testing.assert_allclose(hyper.learning_rate, np.repeat([0.1, 0.2], 6))
    # Every point has the same seeds, so that points differ by their values alone.
    data = np.asarray(jax.random.key_data(keys)).reshape(4, 3, -1)
    assert (data == data[:1]).all()
    result = go(keys, hyper)
    alone = go(sweep.seed_keys(3), Hyper(learning_rate=0.2))
    np.testing.assert_allclose(weights(result)[6:9], weights(alone), rtol=1e-6)


def test_points_that_are_no_product_are_laid_out():
    points = [
        {"heal_at": 3.0, "learning_rate": 0.1, "explode_at": 1e9},
        {"heal_at": 2.0, "learning_rate": 0.1, "explode_at": 1e9},
        {"heal_at": 3.0, "learning_rate": 0.2, "explode_at": 1e9},
    ]
    seeds = sweep.seed_keys(2, first=4)
    keys, hyper = sweep.lay_out(seeds, Hyper, points)
    assert isinstance(hyper, Hyper)
    np.testing.assert_allclose(hyper.learning_rate, [0.1, 0.1, 0.1, 0.1, 0.2, 0.2])
    np.testing.assert_allclose(hyper.heal_at, [3, 3, 2, 2, 3, 3])
    data = np.asarray(jax.random.key_data(keys)).reshape(3, 2, -1)
    same = np.broadcast_to(np.asarray(jax.random.key_data(seeds)), data.shape)
    np.testing.assert_array_equal(data, same)
    alone = go(seeds, Hyper(learning_rate=0.2))
    np.testing.assert_allclose(weights(go(keys, hyper))[4:], weights(alone), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"chunk": -1}, "chunk must be at least 1, got -1"),
        (
            {"keys": jnp.zeros((2, 2), jnp.uint32)},
            "keys must be a vector of typed keys",
        ),
        ({"keys": sweep.seed_keys(0)}, "keys must hold at least one key"),
        ({"hyper": Hyper(learning_rate=jnp.ones(3))}, "hyper.learning_rate must be"),
    ],
)
def test_bad_arguments_are_named_before_any_compile(change, message):
    arguments = {"keys": sweep.seed_keys(2), **change}
    with pytest.raises(ValueError, match=re.escape(message)):
        go(**arguments)


def test_empty_grid_values_are_refused():
    with pytest.raises(ValueError, match=r"hyper\.learning_rate must be a number"):
        sweep.grid(sweep.seed_keys(1), Hyper(learning_rate=[]))


def test_a_method_is_compiled_once_for_all_who_ask():
    traces: list[str] = []

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, state, batch, key):
            traces.append("report")
            return {"far": jnp.abs(state.params["w"] - batch.mean(0)).max()}

    system = quadratic()._replace(report=Unhashable())
    keys = sweep.seed_keys(2)
    hyper = Hyper(*(jnp.full(2, v) for v in Hyper()))
    state = program.init_rows(system, keys, hyper).state
    first = runner.evaluator(system, DATA, keys)(state)
    second = runner.evaluator(system, DATA + 1, keys)(state)
    traced = len(traces)
    assert (first["far"] != second["far"]).all()
    runner.evaluator(system, DATA[:5], keys)(state)  # of another shape
    assert len(traces) == 2 * traced
    mesh = devices.default_mesh(1)
    assert program.initialiser(system, mesh) is program.initialiser(system, mesh)
    # Equal ones are told apart: their functions may have been made for other data.
    other = system._replace()
    assert program.initialiser(system, mesh) is not program.initialiser(other, mesh)
