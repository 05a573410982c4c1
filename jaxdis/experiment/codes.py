"""What the codes of a run's seeds say by themselves, whatever method they are of.

They are those of the first test rows. Truth is not needed: seeds are compared with each
other, and a code by what the decoder makes of it.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxdis import metrics
from jaxdis.experiment.prepared import Experiment, where_rows_are
from jaxdis.metrics.correlation import correlations
from jaxdis.report.read import consensus, most_agreed
from jaxdis.types import Params

__all__ = [
    "ARRAYS",
    "Kind",
    "Related",
    "draw_effects",
    "encode_rows",
    "pairs_of_seeds",
    "relate",
]

Kind: TypeAlias = Literal["mcc", "lasso", "spearman"]

ROWS = 2_000  # that are encoded
BLOCK = 500  # of them at a time
COMPARED = 256  # seeds that every seed is compared with, of more
CHANGED = 200  # rows in which codes are changed one by one
REACH, VALUES = 2.0, 7  # of such a change, in standard deviations of the code
SHOWN = 8  # codes whose images are kept

ARRAYS = {
    "agreement": "seed peer",
    "matched_codes": "seed encoded",
    "code_effects": "point encoded observed",
    "code_images": "point walked walk_value image_h image_w image_c",
    "code_walked": "point walked",
}
"""The arrays that runs have beside those of their method, and the names of their axes.

`agreement` of pairs of seeds, where these are more than `COMPARED` only of each with as
many, NaN elsewhere; `matched_codes`, the code of each seed that matches each
code of the seed that agrees most with the others, -1 for none; of that seed
`code_effects`, how far each observed variable moves as a code goes from -2 to +2
standard deviations, in its own; or, of images, `code_images` of the codes
`code_walked`, those that change the image most in front."""


class Related(NamedTuple):
    """How the codes of the seeds relate.

    Attributes:
      pairs: the agreement of pairs of seeds; NaN with a seed that failed.
      seeds: of each seed, the median of its agreement with the others.
      udr: the median over pairs.
      dead: the number of codes that never vary.
      order: see `ARRAYS`.
    """

    pairs: Float[np.ndarray, "p s s"]
    seeds: Float[np.ndarray, "p s"]
    udr: Float[np.ndarray, "p"]
    dead: Float[np.ndarray, "p s"]
    order: Int[np.ndarray, "p s k"]


def _in_blocks(
    encoded: Callable[..., Array], x: Array | np.ndarray
) -> Float[np.ndarray, "r n *k"]:
    """The codes of x, some of its rows at a time."""
    blocks, start = [], 0
    while start < len(x):
        # The last block is as long as the others, so that there is one program.
        first = max(0, min(start, len(x) - BLOCK))
        codes = np.asarray(encoded(x[first : first + BLOCK]))
        blocks.append(codes[:, start - first :])
        start = first + codes.shape[1]
    return np.concatenate(blocks, 1)


def encode_rows(
    experiment: Experiment, params: PyTree
) -> Float[np.ndarray, "p s n k"] | None:
    """The codes of the first test rows; steps of sequences are stacked.

    Args:
      experiment: what was trained.
      params: of every point and seed.

    Returns:
      Codes by point and seed; None where the method does not encode, or seeds do not
      see the same observations.
    """
    encode, points = experiment.system.encode, len(experiment.plan.points)
    if encode is None or experiment.world is not None:
        return None
    x = experiment.splits.test.x[:ROWS]
    encoded = jax.jit(jax.vmap(encode, in_axes=(0, None)))
    where = where_rows_are(experiment)
    parts = (
        _in_blocks(partial(encoded, where.load(params, turn)), x)[: turn.length]
        for turn in where.turns
    )
    codes = np.concatenate(list(parts))
    return codes.reshape(points, len(codes) // points, -1, codes.shape[-1])


def pairs_of_seeds(
    codes: Float[np.ndarray, "s n k"],
    failed: Bool[np.ndarray, "s"],
    kind: Kind = "mcc",
) -> Float[np.ndarray, "s s"]:
    """The agreement of pairs of seeds: of each with a bounded number of others.

    Args:
      codes: the codes of the same rows.
      failed: which seeds are left out, as those are whose codes are not finite: their
        pairs are NaN.
      kind: how two seeds are compared; see `metrics.agreement`.
    """
    there = np.flatnonzero(~failed & np.isfinite(codes).all((1, 2)))
    pairs = np.full((len(codes), len(codes)), np.nan, np.float32)
    if not there.size:
        return pairs
    some = there
    if len(there) > COMPARED:
        some = there[np.linspace(0, len(there) - 1, COMPARED).astype(int)]
    for start in range(0, len(there), COMPARED):
        at = there[start : start + COMPARED]
        found = metrics.agreement(codes[at], kind=kind, to=codes[some])
        pairs[np.ix_(at, some)] = np.asarray(found)
    return pairs


@jax.jit
def _matched(codes: Float[Array, "s n k"], to: Float[Array, "n k"]) -> Array:
    def one(own: Float[Array, "n k"]) -> Int[Array, "k"]:
        return metrics.assign(correlations(to, own, "pearson"))

    return jax.vmap(one)(codes)


def relate(
    codes: Float[np.ndarray, "p s n k"], failed: Bool[np.ndarray, "p s"]
) -> Related:
    """How the codes of the seeds of each point relate.

    Args:
      codes: the codes of the same rows.
      failed: which seeds are left out.
    """
    own = list(zip(codes, failed, strict=True))
    pairs = np.stack([pairs_of_seeds(z, f) for z, f in own])
    agreed = [consensus(p, f) for p, f in zip(pairs, failed, strict=True)]
    seeds = np.stack([of_seeds for _, of_seeds in agreed])
    order = np.full((*codes.shape[:2], codes.shape[-1]), -1)
    for point, z in enumerate(codes):
        best = most_agreed(seeds[point], failed[point])
        if best is not None:
            order[point] = np.asarray(_matched(z, z[best]))
    order[failed] = -1
    dead = np.stack([np.asarray(metrics.dead(z), float) for z in codes])
    return Related(pairs, seeds, np.array([value for value, _ in agreed]), dead, order)


def _changed(
    decode: Callable[[Params, Array], Array],
    params: Params,
    start: Float[Array, "n k"],
    values: Float[Array, "v k"],
) -> Float[Array, "k v n *x"]:
    """What is decoded where one code after the other takes each of some values."""
    codes = values.shape[1]
    one = jnp.eye(codes, dtype=bool)[:, None, None]
    moved = jnp.where(one, values[None, :, None], start[None, None])
    return decode(params, moved)


def _spread(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    return codes.mean(0) + values[:, None] * codes.std(0)


def _effects(experiment: Experiment, params: Params, codes: np.ndarray) -> np.ndarray:
    """Of vectors, how far each observed variable moves, in its standard deviations."""
    decode = experiment.system.decode
    assert decode is not None
    x = np.asarray(experiment.splits.test.x[:ROWS], float)
    std = x.reshape(-1, x.shape[-1]).std(0)
    ends = jnp.asarray(_spread(codes, np.array([-REACH, REACH])))

    @jax.jit
    def change(params: Params, start: Array, ends: Array) -> Array:
        low, high = jnp.moveaxis(_changed(decode, params, start, ends), 1, 0)
        return jnp.abs(high - low).mean(1)

    found = np.asarray(change(params, jnp.asarray(codes[:CHANGED]), ends))
    return found / np.where(std > 0, std, 1.0)


def _images(
    experiment: Experiment, params: Params, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of images, the first test row with one code moved, and which codes these are."""
    decode = experiment.system.decode
    assert decode is not None
    start = jnp.asarray(codes[:1])
    values = jnp.asarray(_spread(codes, np.linspace(-REACH, REACH, VALUES)))
    walks = np.asarray(
        jax.jit(lambda p: _changed(decode, p, start, values)[:, :, 0])(params)
    )
    size = np.abs(walks[:, -1] - walks[:, 0]).mean((1, 2, 3))
    most = np.argsort(-size, kind="stable")[:SHOWN]
    return np.rint(255 * walks[most].clip(0, 1)).astype(np.uint8), most


def draw_effects(
    experiment: Experiment,
    params: PyTree,
    codes: Float[np.ndarray, "p s n k"],
    failed: Bool[np.ndarray, "p s"],
    agreement: Float[np.ndarray, "p s"],
) -> dict[str, np.ndarray]:
    """What the decoder makes of each code, of one seed of each point.

    Args:
      experiment: what was trained.
      params: of every point and seed.
      codes: the codes of the first test rows.
      failed: which seeds are left out.
      agreement: of each seed; see `Related`.

    Returns:
      Those of `ARRAYS` that are of codes; none where the method does not decode codes
      to observations, or a point lost all its seeds.
    """
    best = [most_agreed(a, f) for a, f in zip(agreement, failed, strict=True)]
    shape, decode = experiment.spec.shape, experiment.system.decode
    if decode is None or None in best:
        return {}
    rows = [p * failed.shape[1] + s for p, s in enumerate(best) if s is not None]
    # Through the host: rows of a run lie on several devices.
    some = [
        jax.tree.map(lambda a, r=r: jnp.asarray(np.asarray(a)[r]), params) for r in rows
    ]
    seen = codes.reshape(-1, *codes.shape[2:])[rows]
    if jax.eval_shape(decode, some[0], seen[0][:1]).shape[1:] != shape:
        return {}
    if len(shape) == 1:
        pairs = zip(some, seen, strict=True)
        return {"code_effects": np.stack([_effects(experiment, *p) for p in pairs])}
    images, walked = zip(
        *(_images(experiment, *p) for p in zip(some, seen, strict=True)), strict=True
    )
    return {"code_images": np.stack(images), "code_walked": np.stack(walked)}
