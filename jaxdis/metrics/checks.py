"""Checks of factors and codes: shapes, values that are not finite, constant columns.

Each is one cheap pass, as metrics of large tables would otherwise wait for them.
"""

import inspect
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Array, Shaped

from jaxdis import check

__all__ = ["SOME", "all_finite", "check_shapes", "check_values", "some_rows", "warn"]

PACKAGE = str(Path(__file__).parents[1])
TO_BLAME = 5  # as many places are named in one message
SOME = 64  # rows that are looked at first


def some_rows(x: Shaped[np.ndarray, "*s n k"]) -> Shaped[np.ndarray, "*s r k"]:
    """A few rows from all over the table.

    Args:
      x: a table of numpy.
    """
    n = x.shape[-2]
    return x[..., np.linspace(0, n - 1, min(n, SOME)).astype(int), :]


def check_shapes(z: Array | np.ndarray, codes: Array | np.ndarray) -> None:
    """Whether factors and codes are tables of the same samples.

    Args:
      z: factors.
      codes: codes.
    """
    if z.ndim not in (2, 3):
        raise ValueError(
            f"z has shape {z.shape}; it must be [n, d]: one row per sample, one "
            "column per factor"
        )
    if codes.ndim not in (2, 3):
        raise ValueError(
            f"codes has shape {codes.shape}; it must be [n, k], or [s, n, k] with a "
            "leading axis of seeds"
        )
    if z.ndim == 3 and (codes.ndim == 2 or len(z) != len(codes)):
        raise ValueError(
            f"z has shape {z.shape} and codes {codes.shape}; factors with an axis of "
            "seeds need codes with the same one"
        )
    if codes.shape[-2] != z.shape[-2]:
        raise ValueError(
            f"codes has {codes.shape[-2]} rows and z has {z.shape[-2]}; both must hold "
            "the same samples"
        )


def _places(name: str, there: Shaped[np.ndarray, "*s n k"]) -> str:
    """Where the first true values are: "z[3, 1], z[7, 0] and 12 more"."""
    found = np.argwhere(there)
    shown = [f"{name}{list(map(int, at))}" for at in found[:TO_BLAME]]
    more = len(found) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def all_finite(x: np.ndarray) -> bool:
    """Whether all values are finite.

    Args:
      x: numbers of numpy.
    """
    if x.dtype.itemsize < 4:  # a type of which numpy may know little
        x = x.astype(np.float32)
    return x.dtype.kind in "biu" or bool(np.isfinite(x).all())


def _check_finite(name: str, x: np.ndarray, why: str) -> None:
    if not all_finite(x):
        broken = ~np.isfinite(x.astype(np.float64, copy=False))
        axes = "[seed, row, column]" if x.ndim == 3 else "[row, column]"
        raise ValueError(
            f"{name} is NaN or infinite at {_places(name, broken)} ({axes}); {why}"
        )


def _constant(x: np.ndarray) -> list[int]:
    """The columns that do not vary, in some seed."""

    def alike(x: np.ndarray) -> np.ndarray:
        return (x == x[..., :1, :]).all(-2).reshape(-1, x.shape[-1]).any(0)

    maybe = np.flatnonzero(alike(some_rows(x)))
    return maybe[alike(x[..., maybe])].tolist() if maybe.size else []


def check_values(z: Array | np.ndarray, codes: Array | np.ndarray, failed: str) -> None:
    """Errors and warnings about the values that are known.

    Args:
      z: factors.
      codes: codes.
      failed: "raise" refuses codes that are not finite, "nan" lets them pass.
    """
    check.one_of("failed", failed, ("raise", "nan"))
    if isinstance(z, np.ndarray):
        _check_finite("z", z, "factors must be finite; leave out rows without them")
        if constant := _constant(z):
            warn(f"z is constant in columns {constant}; these factors score 0")
    if isinstance(codes, np.ndarray):
        if failed == "raise":
            why = "leave such a seed out, or pass failed='nan' to score it NaN"
            _check_finite("codes", codes, why)
        if constant := _constant(codes):
            warn(f"codes is constant in columns {constant}; they say nothing")
    n, most = z.shape[-2], max(z.shape[-1], codes.shape[-1])
    if n < most:
        warn(
            f"there are {n} samples of {z.shape[-1]} factors and {codes.shape[-1]} "
            f"codes; with fewer than {most} any code scores high"
        )


def warn(message: str) -> None:
    """A warning at the line that called the package.

    Args:
      message: what it says.
    """
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level + 1)
