"""What comes into a metric: tables of numbers from any framework, checked by name.

Arrays of any library and width, nested lists and data frames are taken as the numbers
they are. What float32 would lose (integers and floats of 32 and 64 bits) is centred and
scaled on the host in float64 first, as no score of correlations, bins or trees depends
on the shift and scale of a column. Values are seen only outside of jit and vmap: what
is traced passes unchecked.
"""

import math
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from jaxdis import check
from jaxdis.metrics.checks import (
    SOME,
    all_finite,
    check_shapes,
    check_values,
    some_rows,
)
from jaxdis.types import PRNGKey

__all__ = [
    "Failed",
    "Key",
    "Table",
    "as_float",
    "as_key",
    "as_matrix",
    "as_numbers",
    "check_known",
    "checked_pair",
    "generator",
    "halves",
    "is_known",
    "narrowed",
    "paired",
    "raw_pair",
    "seed_of",
    "shuffled",
    "standardised",
]

Table: TypeAlias = Any
"""What holds numbers, rows in front: an array of any library, lists, or a frame."""
Failed: TypeAlias = Literal["raise", "nan"]
"""What a code that is not finite does: an error, or NaN for the scores of its seed."""
Key: TypeAlias = PRNGKey | int | None

# Deviation of a constant column relative to its mean, in float64 and in float32.
CONSTANT, CONSTANT_32 = 1e-13, 1e-8


def is_known(*tables: Table) -> bool:
    """Whether no value is traced by JAX."""
    return not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tables))


def check_known(what: str, *tables: Table) -> None:
    """Whether no value is traced, for what is computed of known values alone.

    Args:
      what: what is computed, as messages call it.
      tables: what it is computed of.

    Raises:
      ValueError: if a value is traced.
    """
    if not is_known(*tables):
        raise ValueError(f"{what} is computed on the host; call it outside of jit")


def _refused(name: str, what: str) -> ValueError:
    return ValueError(f"{name} {what}; it must hold integers or real numbers")


def as_numbers(name: str, table: Table) -> Array | np.ndarray:
    """The numbers of a table: of numpy and as wide as they came; tracers pass.

    Args:
      name: the argument, as messages call it.
      table: an array of any library, nested lists, or a frame.

    Raises:
      ValueError: for strings, dates, objects, complex numbers, rows of unequal length,
        masked arrays, or a table without rows or columns.
    """
    if isinstance(table, np.ma.MaskedArray) and np.ma.is_masked(table):
        raise ValueError(f"{name} is a masked array; fill it, and give its mask apart")
    if isinstance(table, jax.core.Tracer):
        kept: Array | np.ndarray = table
    else:
        try:
            kept = np.asarray(_without_nulls(table))
        except (ValueError, TypeError, RuntimeError) as e:
            raise _refused(name, f"is no table of numbers ({e})") from None
    if jnp.issubdtype(kept.dtype, jnp.complexfloating):
        raise _refused(name, "is complex")
    if not (jnp.issubdtype(kept.dtype, jnp.number) or kept.dtype == bool):
        raise _refused(name, f"holds {_kinds(kept.dtype)}")
    if 0 in kept.shape:
        raise ValueError(f"{name} has shape {kept.shape}; it must not be empty")
    return kept


def _without_nulls(table: Table) -> Table:
    """Frames of numbers that may be missing come as objects; NaN is what they lack."""
    types = np.atleast_1d(getattr(table, "dtypes", [])).tolist()
    nullable = not all(isinstance(t, np.dtype) for t in types)
    if nullable and {getattr(t, "kind", "O") for t in types} <= set("biuf"):
        return table.to_numpy(dtype=np.float64, na_value=np.nan)
    return table


def _kinds(dtype: np.dtype) -> str:
    kinds = {"O": "objects", "U": "strings", "S": "strings", "T": "strings"}
    return kinds.get(dtype.kind, f"values of type {dtype}")


def as_float(x: Shaped[Any, "..."]) -> Float[Array, "..."]:
    """The array in float32 or better."""
    x = jnp.asarray(x)
    if x.dtype.itemsize == 1:  # floats of 8 bits are promoted to nothing
        return x.astype(jnp.float32)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def as_matrix(name: str, table: Table) -> Float[Array, "*s k d"]:
    """A matrix of codes and factors, as floats of JAX.

    Args:
      name: the argument, as messages call it.
      table: one row per code and one column per factor, any axes of runs in front.

    Raises:
      ValueError: as `as_numbers`, and for fewer than two axes.
    """
    matrix = as_float(as_numbers(name, table))
    if matrix.ndim < 2:
        raise ValueError(
            f"{name} has shape {matrix.shape}; it must be [k, d]: one row per code, "
            "one column per factor"
        )
    return matrix


def standardised(x: Shaped[np.ndarray, "*s n k"]) -> Float[np.ndarray, "*s n k"]:
    """Columns of mean 0 and deviation 1, in float64; constants 0, broken ones as is.

    Args:
      x: known values.
    """
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        # Relative to the largest, of which the square might overflow or vanish; by a
        # power of two, and from the first row on, so that nothing is rounded.
        wide = np.ldexp(wide, -np.frexp(np.abs(wide).max(-2, keepdims=True))[1])
        first = wide[..., :1, :].copy()
        wide -= first
        mean = wide.mean(-2, keepdims=True)
        wide -= mean
        peak = np.abs(wide).max(-2, keepdims=True)
        wide /= np.where((peak > 0) & np.isfinite(peak), peak, 1.0)
        std = np.sqrt((wide**2).mean(-2, keepdims=True))
        is_constant = std * peak <= _roundings(x.dtype) * np.abs(first + mean)
    wide /= np.where(is_constant | (std == 0), 1.0, std)
    return np.where(is_constant, 0.0, wide)


def _roundings(dtype: np.dtype) -> float:
    return CONSTANT_32 if dtype == np.float32 else CONSTANT


def _rescaled(x: Shaped[np.ndarray, "*s n k"]) -> Float[np.ndarray, "*s n k"]:
    """Columns near mean 0 and deviation 1 in float32, in one pass where that will do.

    Shift and scale are those of a few rows: float32 then has digits enough.
    """
    if x.ndim == 3:  # one by one, as a failed seed must not change the others
        return np.stack([_rescaled(seed).astype(np.float32) for seed in x])
    some = some_rows(x).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        shift = some[0] + (some - some[0]).mean(0)
        spread = np.abs(some - shift).max(0)
        if not (np.isfinite(spread) & (spread > 1e-10 * np.abs(shift))).all():
            return standardised(x)
        n, k = x.shape
        m = math.gcd(n, SOME)  # rows as one, as numpy is slow at short ones
        out = np.empty((n // m, m * k), np.float32)
        wide = x.reshape(out.shape) - np.tile(shift, m)
        np.divide(wide, np.tile(spread, m), out=out, casting="same_kind")
    out = out.reshape(x.shape)
    return out if all_finite(out) else standardised(x)


def narrowed(x: Array | np.ndarray) -> Float[Array, "..."]:
    """Numbers as floats of JAX, of which nothing that a score needs is lost."""
    exact = x.dtype.itemsize <= 2 or x.dtype == np.float32
    if not isinstance(x, np.ndarray) or (exact and not _extreme(x)):
        return as_float(x)
    return as_float(_rescaled(x))


def _extreme(x: np.ndarray) -> bool:
    """Whether squares of numbers in float32 may overflow or vanish."""
    if x.dtype != np.float32:
        return False
    peak = np.maximum(-x.min(-2), x.max(-2))
    return bool(((peak > 1e15) & (peak < np.inf) | (peak < 1e-15) & (peak > 0)).any())


def checked_pair(
    z: Table, codes: Table, failed: Failed = "raise"
) -> tuple[Shaped[np.ndarray | Array, "*t n d"], Shaped[np.ndarray | Array, "*s n k"]]:
    """Factors and codes of the same samples, after checks: of numpy if both are known.

    Numbers are as wide as they came where both are known, else as in `paired`.

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ.
      codes: codes [n, k], or [s, n, k] with a leading axis of seeds.
      failed: "raise" refuses codes that are not finite, "nan" lets them pass.

    Raises:
      ValueError: as `paired`.
    """
    z, codes = _checked(z, codes, failed)
    return (z, codes) if is_known(z, codes) else (narrowed(z), narrowed(codes))


def _checked(z: Table, codes: Table, failed: Failed) -> tuple[Any, Any]:
    z, codes = as_numbers("z", z), as_numbers("codes", codes)
    check_shapes(z, codes)
    check_values(z, codes, failed)
    return z, codes


def paired(
    z: Table, codes: Table, failed: Failed = "raise"
) -> tuple[Float[Array, "*t n d"], Float[Array, "*s n k"]]:
    """Factors and codes of the same samples as floats of JAX, after checks.

    Shifts and scales of columns are not kept; see `raw_pair` for scores that need them.

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ.
      codes: codes [n, k], or [s, n, k] with a leading axis of seeds.
      failed: "raise" refuses codes that are not finite, "nan" lets them pass.

    Raises:
      ValueError: for what is no table of numbers, a wrong rank, unequal rows, a factor
        that is not finite, or such a code unless asked for.

    Warns:
      UserWarning: if a factor or a code is constant, or samples are fewer than columns.
    """
    checked = _checked(z, codes, failed)
    return _on_device(z, checked[0]), _on_device(codes, checked[1])


def _on_device(table: Table, x: Array | np.ndarray) -> Float[Array, "..."]:
    """As `narrowed`, but what lies on a device stays there."""
    is_there = isinstance(table, jax.Array) and table.dtype == jnp.float32
    stays = is_there and not (isinstance(x, np.ndarray) and _extreme(x))
    return table if stays else narrowed(x)


def raw_pair(
    z: Table, codes: Table, failed: Failed = "raise"
) -> tuple[Float[np.ndarray, "*t n d"], Float[np.ndarray, "*s n k"]]:
    """As `paired`, but known values as they are, in float64 on the host.

    Args:
      z: factors.
      codes: codes.
      failed: what codes that are not finite do.

    Raises:
      ValueError: as `paired`; and within jit or vmap.
    """
    check_known("this score", z, codes)
    z, codes = _checked(z, codes, failed)
    return np.asarray(z, np.float64), np.asarray(codes, np.float64)


def as_key(key: Key) -> PRNGKey:
    """A key of JAX: of None the key 0, of a whole number the key of that seed.

    Args:
      key: a typed key, a whole number, or None.

    Raises:
      ValueError: for anything else.
    """
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.ndim:
            raise ValueError(f"key holds {key.size} keys; it must be one key")
        return key
    check.whole("key", 0 if key is None else key)
    return jax.random.key(0 if key is None else key)


def _words(key: Key) -> list[int]:
    """What a key consists of, on the host."""
    # Known within the jit of a caller too, where a sort of rows would be traced.
    with jax.ensure_compile_time_eval():
        words = np.asarray(jax.random.key_data(as_key(key)))
    return [int(word) for word in words.ravel()]


def generator(key: Key) -> np.random.Generator:
    """A generator of numpy's that is seeded by a key of JAX's.

    Args:
      key: a key that is known; see `as_key`.
    """
    return np.random.default_rng(_words(key))


def seed_of(key: Key) -> int:
    """A whole number of 31 bits for programs that want a seed; of key s it is s.

    Args:
      key: a key that is known; see `as_key`.
    """
    return _words(key)[-1] & 0x7FFFFFFF


def shuffled(key: Key, n: int) -> Int[np.ndarray, "n"]:
    """The numbers of n rows in random order, the same for the same key.

    Args:
      key: what the order is drawn with; see `as_key`. It must be known.
      n: the number of rows.
    """
    return generator(key).permutation(n)


def halves(
    key: Key, n: int, share: float = 0.5
) -> tuple[Int[np.ndarray, "f"], Int[np.ndarray, "j"]]:
    """Rows to fit on and rows to judge on: a random split, the same for the same key.

    At random, because factors often come in the order of a grid.

    Args:
      key: what the split is drawn with; see `as_key`. It must be known.
      n: the number of rows, at least 4.
      share: the share of the rows that fit.

    Raises:
      ValueError: for fewer than 4 rows.
    """
    if n < 4:
        raise ValueError(
            f"z has {n} rows; at least 4 are needed, to fit on some and test on "
            "the others"
        )
    rows = shuffled(key, n)
    cut = min(max(math.floor(share * n), 1), n - 1)
    return rows[:cut], rows[cut:]
