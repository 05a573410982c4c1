"""The arrays that metrics and the published programs are compared on.

They are drawn here by whoever needs them, and so in no file. A golden file holds sums
of them, by which a numpy that draws others is told from a metric that went wrong.
"""

from typing import NamedTuple

import numpy as np

__all__ = [
    "CASES",
    "ROWS",
    "Case",
    "case",
    "curve",
    "encode",
    "graphs",
    "halves",
    "seeds",
    "thirds",
    "uniform",
]

CASES, ROWS = 20, 500
# What a code is made of: its own factor, a rotation of all, and noise.
MIXTURES = [(1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1), (0.7, 0.7, 0.3), (1, 0.3, 0)]


class Case(NamedTuple):
    """Factors and codes of one comparison, as many of each.

    Attributes:
      z: classes from 0.
      numbers: the same and noise, a factor of real numbers.
      codes: some of one factor, some of all, some noise.
    """

    z: np.ndarray
    numbers: np.ndarray
    codes: np.ndarray


def _sizes(i: int) -> np.ndarray:
    return np.random.default_rng([16, i]).integers(3, 7, 3 + i % 3)


def uniform(i: int, rng: np.random.Generator, n: int) -> np.ndarray:
    """n rows of independent factors of a case."""
    sizes = _sizes(i)
    return rng.integers(0, sizes, (n, len(sizes)))


def encode(i: int, z: np.ndarray) -> np.ndarray:
    """The codes of a case, of which noise is a fast sine of all factors."""
    d, rng = z.shape[1], np.random.default_rng([17, i])
    sizes = _sizes(i)
    u = (z - (sizes - 1) / 2) / np.sqrt((sizes**2 - 1) / 12)
    own, rotated, noise = MIXTURES[i % len(MIXTURES)]
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    fast = 1.4 * np.sin(u @ rng.normal(size=(d, d)) * 12)
    codes = own * u + rotated * u @ rotation + noise * fast
    return codes[:, rng.permutation(d)] * rng.choice([-2, -1, 0.5, 1], d)


def case(i: int) -> Case:
    """Factors and codes number i."""
    rng = np.random.default_rng([18, i])
    z = uniform(i, rng, ROWS)
    numbers = z + 0.3 * rng.normal(size=z.shape)
    noise = rng.normal(size=z.shape) * MIXTURES[i % len(MIXTURES)][2]
    return Case(z, numbers, encode(i, z) + 0.5 * noise)


def seeds(i: int) -> np.ndarray:
    """Codes of three seeds, which agree more or less, [3, n, k]."""
    rng = np.random.default_rng([19, i])
    _, _, codes = case(i)
    k = codes.shape[1]
    noise = rng.normal(size=(3, *codes.shape)) * rng.uniform(0, 2)
    return np.stack([c[:, rng.permutation(k)] for c in codes + noise])


def graphs(i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True graphs of latents and of actions, and two that were learned."""
    d, rng = len(_sizes(i)), np.random.default_rng([20, i])
    shapes = [(d, d), (d, 3), (d, d), (d, 3)]
    gz, ga, learned_z, learned_a = ((rng.random(s) < 0.5).astype(float) for s in shapes)
    return np.maximum(gz, np.eye(d)), ga, learned_z, learned_a


def curve(i: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Capacities, the losses of probes of them, and that of no probe."""
    rng = np.random.default_rng([21, i])
    x = np.cumsum(rng.uniform(0.2, 2, 6))
    y = np.sort(rng.uniform(0, 1, 6))[::-1] + 0.1 * rng.normal(size=6)
    return x, np.clip(y, 0.0, 1.0), float(rng.uniform(0.5, 1))


def thirds() -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to judge on: those of key 0, two thirds and the rest."""
    order = np.random.default_rng([0, 0]).permutation(ROWS)
    return order[: 2 * ROWS // 3], order[2 * ROWS // 3 :]


def halves() -> tuple[np.ndarray, np.ndarray]:
    """The same in two halves."""
    order = np.random.default_rng([0, 0]).permutation(ROWS)
    return order[: ROWS // 2], order[ROWS // 2 :]
