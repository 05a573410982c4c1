"""How a device takes its rows: what the last bits of their numbers depend on."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int

__all__ = ["mapped", "over_rows"]

# Both are trees with an axis of rows in front.
_Pair = tuple[Any, Any]


def _in_turn(
    of_one: Callable[[Any, Any], _Pair], carried: Any, given: Any, count: Array
) -> _Pair:
    """Rows one after the other, by one and the same code whatever their number.

    A row is a batch of one, for which the compiler makes faster code than for none. It
    does not know how often the loop is run: it would merge the code of a single row
    with what is around it, and the numbers would be rounded at other places.
    """

    def row(tree: Any, i: Array | int) -> Any:
        return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, i, 1), tree)

    def put(into: Array, one: Array, i: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(into, one, i, 0)

    def body(i: Array, done: _Pair) -> _Pair:
        new = of_one(row(done[0], i), row(given, i))
        return jax.tree.map(lambda a, one: put(a, one, i), done, new)

    n = jax.tree.leaves(given)[0].shape[0]
    shapes = jax.eval_shape(of_one, row(carried, 0), row(given, 0))[1]
    made = jax.tree.map(lambda s: jnp.empty((n, *s.shape[1:]), s.dtype), shapes)
    found: _Pair = jax.lax.fori_loop(0, count, body, (carried, made))
    return found


def _on_devices(of_device: Callable[[Any, Any, Any, Array], _Pair], mesh: Mesh) -> Any:
    """A function of the rows of a device as one of all rows; see `over_rows`."""
    row, all_ = PartitionSpec("seed"), PartitionSpec()
    return jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(row, row, all_, all_),
        out_specs=row,
        # Nothing communicates, so there is nothing to check; and with the check every
        # loop inside a system would have to declare which of its carries vary.
        check_vma=False,
    )


def mapped(function: Callable[[Any, Any, Any], _Pair], mesh: Mesh) -> Any:
    """As `over_rows`, with all rows of a device at the same time.

    Args:
      function: what is done with a row.
      mesh: the devices.
    """

    def of_device(carried: Any, given: Any, shared: Any, count: Array) -> _Pair:
        found: _Pair = jax.vmap(function, (0, 0, None))(carried, given, shared)
        return found

    return _on_devices(of_device, mesh)


def over_rows(function: Callable[[Any, Any, Any], _Pair], mesh: Mesh) -> Any:
    """A function of one row as one of all rows, each device with rows of its own.

    `function(carried, given, shared) -> (carried, made)` becomes
    `f(carried, given, shared, count) -> (carried, made)`, where all but what is shared
    has an axis of rows in front, and `count` is how many of them are no padding. The
    compiler must not know it.

    A CPU takes its rows one after the other: what a row writes between steps stays in a
    core's cache, and no bit of it depends on the number of rows, on the number of
    devices or on its place among them. Other devices map the function over their rows.

    Args:
      function: what is done with a row. `carried` goes through it and is updated in
        place, `given` differs between rows, and `shared` does not.
      mesh: the devices.
    """
    if mesh.devices.flat[0].platform != "cpu":
        return mapped(function, mesh)

    def of_device(
        carried: Any, given: Any, shared: Any, count: Int[Array, ""]
    ) -> _Pair:
        def batch(carried: Any, given: Any) -> _Pair:
            found: _Pair = jax.vmap(function, (0, 0, None))(carried, given, shared)
            return found

        n = jax.tree.leaves(given)[0].shape[0]
        own = jnp.clip(count - n * jax.lax.axis_index("seed"), 0, n)
        return _in_turn(batch, carried, given, own)

    return _on_devices(of_device, mesh)
