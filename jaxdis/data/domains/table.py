"""A table of one's own, with the domain of every row."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Shaped

from jaxdis import check
from jaxdis.data.domains.worlds import domain_names
from jaxdis.data.files import read_npz
from jaxdis.types import Rows, Spec, Splits, Truth

__all__ = ["NO_FILE", "DomainTable", "Table", "read_table"]

NO_FILE = "data.file must name an npz with `x` [n, m] and `u` [n], 0 .. domains - 1"


@dataclass(frozen=True)
class DomainTable:
    """A file of your own.

    Attributes:
      file: the npz file, with `x [n, m]`, `u [n]` and, where you know them, `z [n, k]`
        and `mask [m, k]`.
      held_out: the share of every domain's rows for valid, and again for test.
      seed: the seed of the splits.
    """

    file: str | None = None
    held_out: float = 0.1
    seed: int = 200

    def spec(self) -> Spec:
        """Sizes and mask; the file is read for them.

        Raises:
          ValueError: no file, one that is not what it should be, held_out outside of
            (0, .5).
        """
        table = self._read()
        known = (a.shape[1] for a in (table.z, table.mask) if a is not None)
        return Spec(
            shape=(table.x.shape[1],),
            domains=domain_names(int(table.u.max()) + 1),
            z_dim=next(known, 0),
            truth=Truth(mask=table.mask),
        )

    def load(self) -> Splits:
        """Rows, split domain by domain; x is standardised by the training rows.

        True latents stay as they are.

        Raises:
          ValueError: as `spec`; a domain too small to be in each split; a constant
            column of x.
        """
        table = self._read()
        splits = _split_rows(table.u, self.held_out, self.seed)
        x = table.x.astype(np.float64)
        mean, std = x[splits[0]].mean(0), x[splits[0]].std(0)
        constant = np.flatnonzero(std <= 1e-7 * np.abs(mean))
        if constant.size:
            raise ValueError(
                f"column {_few(constant)} of x in data.file is constant over the "
                "training rows and cannot be standardised; leave it out"
            )
        x = (x - mean) / std

        def split(rows: np.ndarray) -> Rows:
            z = None if table.z is None else jnp.asarray(table.z[rows], float)
            return Rows(jnp.asarray(x[rows], float), u=jnp.asarray(table.u[rows]), z=z)

        train, valid, test = map(split, splits)
        return Splits(train, valid, test)

    def _read(self) -> "Table":
        check.shares("data.held_out", self.held_out)
        if self.file is None:
            raise ValueError(NO_FILE)
        return read_table(Path(self.file))


class Table(NamedTuple):
    """A file of one's own, as it is.

    Attributes:
      x: the observations.
      u: the domains 0 .. D - 1.
      z: the true latents; None if they are not known.
      mask: 1 where a latent moves an observed variable; None if not known.
    """

    x: Shaped[np.ndarray, "r x"]
    u: Int[np.ndarray, "r"]
    z: Shaped[np.ndarray, "r z"] | None
    mask: Int[np.ndarray, "x z"] | None


def _read_labels(u: np.ndarray, path: Path) -> Int[np.ndarray, "r"]:
    numbers = u.dtype.kind in "biu" or (
        u.dtype.kind == "f" and bool(np.isfinite(u).all() and (u == np.rint(u)).all())
    )
    if not numbers or (u < 0).any():
        raise ValueError(
            f"data.file must hold domains u that are whole numbers from 0: {path}; "
            "`np.unique(names, return_inverse=True)[1]` makes them of names"
        )
    there = np.unique(u)
    if len(there) < 2:
        raise ValueError(
            f"data.file must hold at least 2 domains; {path} has {there.tolist()}"
        )
    if there[-1] != len(there) - 1:
        raise ValueError(
            f"data.file must hold domains u without gaps, 0 .. {len(there) - 1} for "
            f"the {len(there)} of them; {path} has {_few(there)}"
        )
    return u.astype(np.int32)


def _few(values: np.ndarray) -> str:
    shown = ", ".join(map(str, values[:10].tolist()))
    return f"{shown}, ... {values[-1]}" if len(values) > 10 else shown


def _check_numbers(name: str, values: np.ndarray, path: Path) -> None:
    if values.dtype.kind not in "biuf":
        raise ValueError(f"data.file must hold {name} that are numbers: {path}")
    if not np.isfinite(values).all():
        raise ValueError(f"data.file holds NaN or infinite {name}: {path}")


def _read_mask(
    mask: np.ndarray, x: np.ndarray, z: np.ndarray | None, path: Path
) -> Int[np.ndarray, "x z"]:
    n = z.shape[1] if z is not None else mask.shape[-1] if mask.ndim else 0
    if mask.shape != (x.shape[1], n) or not n:
        raise ValueError(
            "data.file must hold a mask [m, k] of the m columns of x and the k of "
            f"z; {path} has {mask.shape}, x {x.shape}"
            + ("" if z is None else f", z {z.shape}")
        )
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"data.file must hold a mask of 0 and 1: {path}")
    return mask.astype(np.int32)


def read_table(path: Path) -> Table:
    """Reads `x [r, m]`, `u [r]` and, if they are there, `z [r, n]` and `mask [m, n]`.

    A file is read once, until it changes.

    Raises:
      ValueError: no such file or array, shapes that do not fit, NaN, domains that are
        not 0 .. D - 1 with D at least 2, a mask of other numbers than 0 and 1.
    """
    # What is not there is explained by the reader.
    return _read_once(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=1)
def _read_once(path: Path, modified: int) -> Table:
    found = read_npz(path, ("x", "u"))
    x, u, z, mask = (found.get(name) for name in ("x", "u", "z", "mask"))
    assert x is not None
    assert u is not None
    r = len(x) if x.ndim == 2 and x.shape[1] else 0
    if not r or u.shape != (r,):
        raise ValueError(
            f"data.file must hold x [n, m] and u [n]; {path} has {x.shape} and "
            f"{u.shape}"
        )
    if z is not None and (z.ndim != 2 or len(z) != r or not z.shape[1]):
        raise ValueError(
            f"data.file must hold z [n, k] with the n = {r} rows of x; {path} has "
            f"{z.shape}"
        )
    _check_numbers("x", x, path)
    if z is not None:
        _check_numbers("z", z, path)
    if mask is not None:
        mask = _read_mask(mask, x, z, path)
    return Table(x, _read_labels(u, path), z, mask)


def _spread_rows(
    groups: list[Int[np.ndarray, "_"]],
) -> Int[np.ndarray, "r"]:
    """The first row of each domain, then all others evenly."""
    place = [np.r_[-1.0, (np.arange(1, len(g)) + 0.5) / len(g)] for g in groups]
    return np.concatenate(groups)[np.argsort(np.concatenate(place), kind="stable")]


def _split_rows(
    u: Int[np.ndarray, "r"], held_out: float, seed: int
) -> list[np.ndarray]:
    """Rows of training, validation and test, the same share of every domain."""
    rng = np.random.default_rng(seed)
    groups: tuple[list[np.ndarray], ...] = ([], [], [])
    for domain in range(u.max() + 1):
        rows = rng.permutation(np.flatnonzero(u == domain))
        kept = max(1, round(held_out * len(rows)))
        if len(rows) <= 2 * kept:
            raise ValueError(
                f"domain {domain} of data.file has {len(rows)} rows and would be "
                "missing from a split; every domain needs at least 3, or leave it out"
            )
        cut = np.split(rows, [kept, 2 * kept])
        for group, some in zip(groups, (cut[2], cut[0], cut[1]), strict=True):
            group.append(some)
    return [_spread_rows(group) for group in groups]
