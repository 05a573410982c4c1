"""What feeds a run: data that are on the devices, or blocks of data of the host."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Int, Key, PyTree, Shaped

from jaxdis.devices import shardings
from jaxdis.types import Batch, PRNGKey, Sampler, Stream

__all__ = [
    "Block",
    "Feed",
    "Program",
    "check_block",
    "feeding",
    "sample_block",
    "step_keys",
]

Program: TypeAlias = Callable[[Any, Sampler, int, int], tuple[Any, Array]]
"""`(progress, sample, start, length) -> (progress, done)`: steps of all rows, and what
is there as soon as they are done."""


class Feed(NamedTuple):
    """What a run is fed with.

    Attributes:
      sample: the sampler of the first steps; later ones differ in their numbers alone.
      advance: `(program, progress, start, length) -> progress`.
    """

    sample: Sampler
    advance: Callable[[Program, Any, int, int], Any]


class Block(NamedTuple):
    """Some rows of a larger set.

    Attributes:
      ids: the numbers that they have there, sorted; the last ones may be equal.
      rows: the rows themselves.
    """

    ids: Int[Array, "m"]
    rows: PyTree[Shaped[Array, "m ..."]]


class _Stretch(NamedTuple):
    """The block of the steps before `end`, on the devices."""

    block: Block
    end: int


def step_keys(key: PRNGKey, step: int | Int[Array, ""]) -> tuple[PRNGKey, PRNGKey]:
    """What a row of a run draws from in a step: keys of its batch and of its loss.

    Args:
      key: the key of the row.
      step: the number of the step, from 0.
    """
    batch_key, loss_key = jax.random.split(jax.random.fold_in(key, step))
    return batch_key, loss_key


@contextmanager
def feeding(
    sample: Sampler | Stream,
    keys: Key[Array, "n"],
    steps: tuple[int, int],
    mesh: Mesh,
) -> Iterator[Feed]:
    """Lays the data out over the mesh: all of them, or a block at a time.

    Of a `Stream` the next block is gathered and sent by a thread while the devices
    compute on the present one; no more than these two are on the devices. The rows of a
    block are those that its steps draw, which their keys tell beforehand, so batches
    are the same as if all rows were there.

    Args:
      sample: what makes batches.
      keys: one key per row of the run.
      steps: the first step to take, and the one to stop before.
      mesh: the devices.

    Raises:
      ValueError: a block that does not hold what one step draws; keys of another kind
        than threefry.
    """
    if not isinstance(sample, Stream):
        data = sample if isinstance(sample, Partial) else Partial(sample)
        there: Sampler = jax.device_put(data, shardings(mesh)[1])
        yield Feed(there, partial(_advance, there))
        return
    check_block(sample, keys)
    with ThreadPoolExecutor(1, "jaxdis-blocks") as thread:
        blocks = _Blocks(sample, keys, steps, mesh, thread)
        yield Feed(blocks.sample(), blocks.advance)


def _advance(
    sample: Sampler, program: Program, progress: Any, start: int, length: int
) -> Any:
    return program(progress, sample, start, length)[0]


class _Blocks:
    """The block in use, and the next one on its way."""

    def __init__(
        self,
        stream: Stream,
        keys: Key[Array, "n"],
        steps: tuple[int, int],
        mesh: Mesh,
        thread: ThreadPoolExecutor,
    ) -> None:
        start, self.stop = steps
        self.draw, self.thread = stream.draw, thread
        self.load = _loader(stream, keys, steps, mesh)
        self.present = self.load(start)
        self.busy: Any = ()  # is there when the last stretch of steps is done
        self.prefetch()

    def prefetch(self) -> None:
        """Lets the thread make the block of the steps behind the present ones."""
        end = self.present.end
        self.coming: Future[_Stretch] | None = None
        if end < self.stop:
            self.coming = self.thread.submit(self.load, end)

    def sample(self) -> Sampler:
        """The sampler of the steps of the present block."""
        return Partial(sample_block, self.draw, self.present.block)

    def advance(self, program: Program, progress: Any, start: int, length: int) -> Any:
        """Takes steps, block by block.

        Args:
          program: takes some steps.
          progress: what the steps before led to.
          start: the first step.
          length: the number of steps.
        """
        end = start + length
        while start < end:
            used = None
            if start == self.present.end:
                assert self.coming is not None
                used, self.present = self.present, self.coming.result()
            stop = min(end, self.present.end)
            progress, done = program(progress, self.sample(), start, stop - start)
            if used is not None:
                # The devices have their next work; what they read before makes room.
                jax.block_until_ready(self.busy)
                jax.tree.map(lambda a: a.delete(), used.block)
                self.prefetch()
            start, self.busy = stop, done
        return progress


def sample_block(draw: Callable[..., Array], block: Block, key: PRNGKey) -> Batch:
    """The rows that the key draws from the whole set, which the block must hold.

    Args:
      draw: `key -> chosen`, numbers of rows of the whole set.
      block: rows of the set.
      key: the key of a batch.
    """
    # Unrolled it is one kernel, and not a loop of many small ones in every step.
    at = jnp.searchsorted(block.ids, draw(key), method="scan_unrolled")
    return jax.tree.map(lambda a: a[at], block.rows)


def check_block(sample: Sampler | Stream, keys: Key[Array, "n"]) -> None:
    """Raises ValueError unless the block of a stream holds what any step may draw.

    Only draws of threefry are known beforehand: they are the same on every platform,
    under every vmap.

    Args:
      sample: what makes batches.
      keys: one key per row of the run.
    """
    if not isinstance(sample, Stream):
        return
    if (impl := str(jax.random.key_impl(keys))) != "threefry2x32":
        raise ValueError(
            "keys must be of threefry2x32 where training rows stay on the host, as "
            f"jax.random.key(0, impl='threefry2x32') is; got {impl}"
        )
    batch = jax.eval_shape(sample.draw, keys[0]).size
    sets = len(_distinct(keys))
    n = len(jax.tree.leaves(sample.rows)[0])
    least = min(n, sets * batch)
    if sample.block < least:
        raise ValueError(
            f"data.block must be at least {least}, since a step draws {batch} of the "
            f"{n} training rows for each of {sets} seeds; got {sample.block}"
        )


def _distinct(keys: Key[Array, "n"]) -> Key[Array, "d"]:
    """Each key once: points of a grid have the seeds, and their batches, in common."""
    impl = jax.random.key_impl(keys)
    data = np.unique(np.asarray(jax.random.key_data(keys)), axis=0)
    return jax.random.wrap_key_data(jnp.asarray(data), impl=impl)


def _host(mesh: Mesh) -> jax.Device:
    """Where a thread can draw without waiting for what the devices compute."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names others alone
        device: jax.Device = mesh.local_devices[0]
        return device


def _loader(
    stream: Stream, keys: Key[Array, "n"], steps: tuple[int, int], mesh: Mesh
) -> Callable[[int], _Stretch]:
    """`start -> the block of as many steps from there on as it holds`."""
    keys = _distinct(keys)
    width = len(keys) * jax.eval_shape(stream.draw, keys[0]).size
    # Draws repeat themselves, but not often enough for twice as many to fit, unless the
    # block holds most of the set.
    window = min(max(1, 2 * stream.block // width), max(1, steps[1] - steps[0]))

    def draws(keys: Key[Array, "d"], start: Int[Array, ""]) -> Int[Array, "t w"]:
        def step(i: Int[Array, ""]) -> Int[Array, "w"]:
            chosen = jax.vmap(lambda key: stream.draw(step_keys(key, i)[0]))(keys)
            return chosen.reshape(-1)

        return jax.vmap(step)(start + jnp.arange(window, dtype=jnp.int32))

    keys = jax.device_put(keys, _host(mesh))
    # Compiled here: a thread does not know the settings of the one that started it.
    drawn = jax.jit(draws).lower(keys, np.int32(0)).compile()

    def load(start: int) -> _Stretch:
        left = max(1, steps[1] - start)
        chosen = np.asarray(drawn(keys, np.int32(start)))[:left]
        ids, first = np.unique(chosen, return_index=True)
        new = np.bincount(first // width, minlength=len(chosen))
        fitting = int(np.searchsorted(np.cumsum(new), stream.block, side="right"))
        ids = ids[first < fitting * width]
        ids = np.pad(ids, (0, stream.block - len(ids)), mode="edge")
        rows = jax.tree.map(
            lambda a: np.asarray(np.take(a, ids, 0, mode="clip")), stream.rows
        )
        block = Block(*jax.device_put((ids, rows), shardings(mesh)[1]))
        return _Stretch(jax.block_until_ready(block), start + fitting)

    return load
