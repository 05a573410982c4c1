"""Which rows are trained on and which are held out."""

import numpy as np
from jaxtyping import Int

from jaxdis.types import Rows

__all__ = ["SPLITS", "assign", "ordered"]

SPLITS = ("training", "valid", "test")


def assign(
    rows: Rows, domains: tuple[str, ...], held_out: float, seed: int
) -> Int[np.ndarray, "n"]:
    """The split of every row: 0 training, 1 valid, 2 test.

    The splits are those that the rows name; otherwise rows are drawn, whole groups
    where rows belong to groups, the same share of every domain where a group has one.

    Args:
      rows: the rows, on the host.
      domains: the names of the domains; () for none.
      held_out: the share of each of valid and test.
      seed: the seed of the draw.

    Raises:
      ValueError: a split without rows, a group in two splits, or a domain that is
        missing from a split.
    """
    given = rows.split is not None
    split = np.asarray(rows.split) if given else _drawn(rows, domains, held_out, seed)
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            raise ValueError(
                f"data.split must hold rows of all splits, 0 training, 1 valid and 2 "
                f"test; none is {number}, {name}"
            )
    if given and rows.group is not None:
        _check_groups(np.asarray(rows.group), split)
    if domains:
        # Who splits by hand may hold out whole domains.
        for number in (0,) if given else range(3):
            _check_domains(np.asarray(rows.u), split, number, domains)
    return split


def ordered(
    split: Int[np.ndarray, "n"],
    number: int,
    u: Int[np.ndarray, "n"] | None,
    seed: int,
) -> Int[np.ndarray, "_"]:
    """The rows of one split in random order, so that few stand for all of them.

    Where there are domains each comes first once, then all of them evenly.

    Args:
      split: the split of every row.
      number: the one of the split.
      u: the domain of every row; None for none.
      seed: the seed of the order.
    """
    rng = np.random.default_rng((seed, number))
    rows = rng.permutation(np.flatnonzero(split == number))
    if u is None:
        return rows
    rows = rows[np.argsort(u[rows], kind="stable")]
    _, sizes = np.unique(u[rows], return_counts=True)
    place = [np.r_[-1.0, (np.arange(1, size) + 0.5) / size] for size in sizes]
    return rows[np.argsort(np.concatenate(place), kind="stable")]


def _drawn(
    rows: Rows, domains: tuple[str, ...], held_out: float, seed: int
) -> Int[np.ndarray, "n"]:
    n = len(rows.x)
    group = np.arange(n) if rows.group is None else np.asarray(rows.group)
    _, first, unit_of = np.unique(group, return_index=True, return_inverse=True)
    # A group of several domains has none.
    u = np.asarray(rows.u) if domains else np.zeros(n, int)
    by_domain = bool(domains) and bool((u[first][unit_of] == u).all())
    stratum = u[first] if by_domain else np.zeros(len(first), int)
    rng = np.random.default_rng(seed)
    side = np.zeros(len(first), int)
    what = "rows" if rows.group is None else "groups of rows that stay together"
    for value in np.unique(stratum):
        units = rng.permutation(np.flatnonzero(stratum == value))
        kept = max(1, round(held_out * len(units)))
        if len(units) <= 2 * kept:
            of = f"domain {domains[value]!r} of data.u" if by_domain else "the data set"
            raise ValueError(
                f"{of} has {len(units)} {what}, too few for training, valid and test; "
                "at least 3 are needed"
            )
        side[units[:kept]] = 1
        side[units[kept : 2 * kept]] = 2
    return side[unit_of]


def _check_groups(group: np.ndarray, split: np.ndarray) -> None:
    _, unit_of = np.unique(group, return_inverse=True)
    some = np.empty(unit_of.max() + 1, int)
    some[unit_of] = split  # that of one row of each group
    apart = np.flatnonzero(some[unit_of] != split)
    if apart.size:
        raise ValueError(
            f"data.split parts the rows of group {group[apart[0]]}, which belong "
            "together; give all of them the same split"
        )


def _check_domains(
    u: np.ndarray, split: np.ndarray, number: int, domains: tuple[str, ...]
) -> None:
    missing = np.setdiff1d(np.arange(len(domains)), u[split == number])
    if missing.size:
        raise ValueError(
            f"domain {domains[missing[0]]!r} of data.u is missing from the "
            f"{SPLITS[number]} rows; every split needs rows of every domain"
        )
