"""Rows of the host, block by block, give what rows on the device give."""

import re
import threading
import time
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdis import devices, experiment, optimise, runner, streaming, sweep
from jaxdis.data.rows import train_sampler
from jaxdis.types import Rows, Spec, Splits, Stream, System, TrainState

ROWS, BATCH, BLOCK, SEEDS = 400, 4, 40, 8  # a step draws at most 32 rows
NOISE = np.random.default_rng(0).standard_normal((ROWS, 5)).astype(np.float32)
HOST = Rows(NOISE, u=np.arange(ROWS), y=np.arange(ROWS)[:, None] / ROWS)
HELD_OUT = Rows(jnp.ones((2, 5)))


class Hyper(NamedTuple):
    learning_rate: jax.Array | float = 0.1


def follow(traces: list[int] | None = None, bad: int = -1) -> System:
    """SGD towards the mean of a batch; a batch with a domain below `bad` is NaN."""

    def optimiser(hyper):
        return optax.sgd(hyper.learning_rate)

    def init(key, hyper):
        params = jax.random.normal(key, (5,))
        opt_state = optimiser(hyper).init(params)
        return TrainState(params, opt_state, (), jnp.zeros((), int))

    def loss(params, state, batch, hyper, key):
        if traces is not None:
            traces.append(1)
        value = 0.5 * jnp.sum((params - batch.x.mean(0)) ** 2)
        spoilt = (batch.u < bad).any()
        drawn = {f"row_{i}": 1.0 * batch.u[i] for i in range(BATCH)}
        metrics = drawn | {"y": batch.y.sum()}
        return value * jnp.where(spoilt, jnp.nan, 1.0), ((), metrics)

    return System(init, optimise.minimise(loss, optimiser), None, None, None)


def stream(block=BLOCK, rows=HOST):
    made = train_sampler(Splits(rows, HELD_OUT, HELD_OUT, block=block), BATCH)
    assert isinstance(made, Stream)
    return made


RESIDENT = train_sampler(
    Splits(jax.tree.map(jnp.asarray, HOST), HELD_OUT, HELD_OUT, block=BLOCK), BATCH
)


def go(sample, seeds=SEEDS, chunk=7, steps=30, system=None, **options):
    """The end of a run, and its metrics [chunk, seed]."""
    chunks = []
    result = runner.run(
        system or follow(),
        sample,
        sweep.seed_keys(seeds),
        Hyper(),
        steps=steps,
        chunk=chunk,
        on_chunk=[lambda c: chunks.append(c.metrics)],
        **options,
    )
    return result, jax.tree.map(lambda *m: np.stack(m), *chunks)


def threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("jaxdis")]


@pytest.mark.parametrize("seeds", [8, 3])  # on so many devices
def test_equal_keys_give_equal_batches(seeds):
    assert not isinstance(RESIDENT, Stream)
    resident, drawn = go(RESIDENT, seeds=seeds, chunk=1)
    streamed, also_drawn = go(stream(), seeds=seeds, chunk=1)
    assert resident.devices == streamed.devices == seeds
    assert len(np.unique(drawn["row_0"])) > BLOCK  # several blocks
    for name in drawn:
        np.testing.assert_array_equal(also_drawn[name], drawn[name], err_msg=name)
    jax.tree.map(np.testing.assert_array_equal, streamed.rows, resident.rows)
    # The metrics do tell the rows that are drawn.
    key = sweep.seed_keys(seeds)[1]
    batch_key, _ = jax.random.split(jax.random.fold_in(key, 20))
    expected = jax.random.randint(batch_key, (BATCH,), 0, ROWS)
    found = [also_drawn[f"row_{i}"][20, 1] for i in range(BATCH)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("block", [SEEDS * BATCH, 100, ROWS - 1])
def test_a_chunk_of_several_blocks_is_the_chunk_of_all_rows(block):
    """Blocks end inside of chunks, at their ends, and last for several."""
    resident, means = go(RESIDENT)
    streamed, same = go(stream(block))
    jax.tree.map(np.testing.assert_array_equal, streamed.rows, resident.rows)
    for name in means:
        np.testing.assert_allclose(same[name], means[name], rtol=1e-6, err_msg=name)


def test_means_are_over_the_updates_that_were_applied():
    system = follow(bad=30)
    resident, means = go(RESIDENT, system=system, chunk=3)
    streamed, same = go(stream(), system=system, chunk=3)
    np.testing.assert_array_equal(streamed.rows.skipped, resident.rows.skipped)
    assert (np.asarray(resident.rows.skipped) > 0).all()
    assert np.isnan(means["loss"]).any()
    assert np.isfinite(means["loss"]).any()
    np.testing.assert_allclose(same["loss"], means["loss"], rtol=1e-6)
    assert same["loss"].dtype == means["loss"].dtype


def test_no_more_than_two_blocks_are_on_the_devices(monkeypatch):
    """Of a set of ten times the block, counted whenever a block has arrived."""
    put, seen, block = jax.device_put, [], 36

    def counting(x, *rest, **named):
        y = put(x, *rest, **named)
        seen.append(sum(a.shape == (block, 5) for a in jax.live_arrays()))
        return y

    monkeypatch.setattr(jax, "device_put", counting)
    go(stream(block, jax.tree.map(lambda a: a[: 10 * block], HOST)), steps=60, chunk=20)
    assert len(seen) > 60
    assert max(seen) == 2


def test_one_trace_and_no_compilation_after_the_first_chunk():
    traces, compiled, after_chunk = [], [], []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    runner.run(
        follow(traces),
        stream(),
        sweep.seed_keys(SEEDS),
        Hyper(),
        steps=20,
        chunk=7,
        on_chunk=[lambda chunk: after_chunk.append(len(compiled))],
    )
    assert len(traces) == 1
    assert len(after_chunk) == 3
    assert 0 < after_chunk[0] == after_chunk[-1]


def test_a_run_goes_on_where_it_was():
    whole, _ = go(stream())
    half, _ = go(stream(), steps=13)
    rest, _ = go(stream(), start=(half.step, half.rows), chunk=4)
    jax.tree.map(np.testing.assert_array_equal, rest.rows, whole.rows)
    # There is nothing left to do.
    done, _ = runner.run(
        follow(), stream(), sweep.seed_keys(SEEDS), Hyper(), steps=30, chunk=7,
        start=(whole.step, whole.rows),
    )[:2]  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, done, whole.rows)


class Counted(np.ndarray):
    """An array that counts how often rows are taken from it."""

    taken = 0

    def take(self, *args, **kwargs):
        Counted.taken += 1
        return super().take(*args, **kwargs)


def test_the_next_block_comes_while_the_present_one_is_used():
    """The thread makes it before anybody asks, and no more than that."""
    mesh, made = devices.seed_mesh(1), stream(rows=HOST._replace(x=NOISE.view(Counted)))
    keys = sweep.seed_keys(SEEDS)
    with streaming.feeding(made, keys, (0, 1_000), mesh) as feed:
        block = feed.sample.args[1]
        deadline = time.monotonic() + 30
        while Counted.taken < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert Counted.taken == 2
        ids = np.asarray(block.ids)
        np.testing.assert_array_equal(block.rows.x, NOISE[ids])
        assert (np.diff(ids) >= 0).all()
        assert ids.shape == (BLOCK,)
    assert threads() == []


def test_points_of_a_grid_share_their_seeds_rows():
    keys, hyper = sweep.lay_out(
        sweep.seed_keys(SEEDS), Hyper, [{"learning_rate": r} for r in (0.1, 0.2, 0.3)]
    )
    results = [
        runner.run(follow(), sample, keys, hyper, steps=9, chunk=9)
        for sample in (RESIDENT, stream(SEEDS * BATCH))
    ]
    jax.tree.map(
        np.testing.assert_array_equal, results[0].rows.state, results[1].rows.state
    )


def test_rows_are_read_from_a_map_of_a_file(tmp_path):
    np.save(tmp_path / "x.npy", NOISE.astype(np.float64))
    mapped = HOST._replace(x=np.load(tmp_path / "x.npy", mmap_mode="r"))
    streamed, _ = go(stream(rows=mapped))
    jax.tree.map(np.testing.assert_array_equal, streamed.rows, go(RESIDENT)[0].rows)


def test_a_block_that_is_too_small_is_refused():
    message = (
        "data.block must be at least 32, since a step draws 4 of the 400 training rows "
        "for each of 8 seeds; got 31"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        go(stream(31))
    assert threads() == []


@dataclass(frozen=True)
class OnHost:
    """Rows of the host as a data set."""

    block: int

    def spec(self):
        return Spec((5,))

    def load(self):
        return Splits(Rows(NOISE), HELD_OUT, HELD_OUT, block=self.block)


def test_a_block_that_is_too_small_leaves_no_directory(tmp_path):
    plan = experiment.plan(
        "beta_vae/quickstart", seeds=2, config={"batch": 9}, data=OnHost(17)
    )
    with pytest.raises(ValueError, match="must be at least 18, since a step draws 9"):
        experiment.carry_out(plan, experiment.Execution(out=tmp_path / "run"))
    assert not list(tmp_path.iterdir())


def test_keys_whose_draws_are_not_known_beforehand_are_refused():
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 2)
    with pytest.raises(ValueError, match="keys must be of threefry2x32"):
        runner.run(follow(), stream(), keys, Hyper(), steps=1, chunk=1)


def test_worlds_are_refused():
    with pytest.raises(ValueError, match="world: rows that stay on the host"):
        go(stream(), world=jnp.zeros(SEEDS, int))


class Torn(np.ndarray):
    """An array whose file goes away after some blocks."""

    left = 2

    def take(self, *args, **kwargs):
        Torn.left -= 1
        if Torn.left < 0:
            raise OSError("the disk is gone")
        return super().take(*args, **kwargs)


def test_an_error_of_the_thread_is_one_of_the_run():
    with pytest.raises(OSError, match="the disk is gone"):
        go(stream(rows=HOST._replace(x=NOISE.view(Torn))))
    assert threads() == []


def test_the_thread_ends_with_a_run_that_is_stopped():
    def stop(chunk):
        assert threads() == ["jaxdis-blocks_0"]
        return True

    runner.run(
        follow(), stream(), sweep.seed_keys(SEEDS), Hyper(), steps=30, chunk=7,
        on_chunk=[stop],
    )  # fmt: skip
    assert threads() == []
