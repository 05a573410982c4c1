"""Two small settings that together take every branch, on images made up here."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Int, UInt8

from jaxdis.data import colours
from jaxdis.data.rows import bind
from jaxdis.systems.sparse_mixing_gan.config import Config
from jaxdis.types import DataSet, Label, PRNGKey, Rows, Source, Spec, Splits, Truth

HUES = np.array([0.0, 0.5])


def halves(left: Int[Array, "n"], side: int = 4) -> UInt8[Array, "n h w 1"]:
    """Grey images that are bright on the left or on the right."""
    here = jnp.arange(side)[None, None, :, None] < side // 2
    bright = jnp.where(jnp.asarray(left)[:, None, None, None] == 1, here, ~here)
    bright = jnp.broadcast_to(bright, (len(left), side, side, 1))
    return jnp.where(bright, 255, 0).astype(jnp.uint8)


def _labels(left: Int[Array, "n"]) -> Int[Array, "n 2"]:
    """Two columns, of which the first is no class."""
    return jnp.stack([0 * left, left], 1)


def draw(side: int, key: PRNGKey, count: int) -> Rows:
    """Halves in the two colours of a domain, all drawn."""
    keys = jax.random.split(key, 3)
    left, u = (jax.random.randint(k, (count,), 0, 2) for k in keys[:2])
    x = colours.painted(keys[2], halves(left, side), jnp.asarray(HUES, float)[u])
    return Rows(x, u=u, y=_labels(left))


@dataclass(frozen=True)
class PaintedHalves:
    """Two colours as domains, and the bright side as the label."""

    side: int = 4

    def spec(self) -> Spec:
        return Spec(
            (self.side, self.side, 3),
            domains=("hue 0", "hue 180"),
            labels=(Label("level"), Label("left", 2)),
            truth=Truth(hues=HUES),
        )

    def load(self) -> Splits:
        left = jnp.arange(32) % 2
        grey = Rows(halves(left, self.side), y=_labels(left))
        painted = Partial(bind(draw, self.side))
        valid, test = (painted(jax.random.key(i), 300) for i in (0, 1))
        return Splits(Source(painted), valid, test, {"unpainted": (grey, grey)})


@dataclass(frozen=True)
class PlainHalves:
    """Numbers in place of bytes, the bright side as the domain, and nothing else."""

    def spec(self) -> Spec:
        return Spec((4, 4, 3), domains=("right", "left"))

    def load(self) -> Splits:
        u = jnp.arange(32) % 2
        rows = Rows(jnp.repeat(halves(u), 3, -1) / 255.0, u=u)
        return Splits(rows, rows, rows)


PATHS = Config(
    z_dim=6, style_dims=4, w_dim=8, layers=1, rate=1.0, widths=(4,), batch=4,
    r1_part=2, path_part=2, sparse_part=2,
)  # fmt: skip
LARGER = dataclasses.replace(PATHS, widths=(4, 4), rate=0.01)
TANGENT = Config(
    z_dim=6, style_dims=2, w_dim=4, layers=1, widths=(2,), style_from=1, batch=4,
    r1_part=0, path_part=0, sparse_part=2, img_sparse="jvp", convolutions="lax",
)  # fmt: skip
TINY: dict[str, tuple[Config, DataSet, dict[str, float]]] = {
    "paths": (LARGER, PaintedHalves(side=8), {}),
    "tangent": (TANGENT, PlainHalves(), {"lambda_img": 1.0}),
}
SLOW = {"paths"}
"""Settings that take long to compile."""
