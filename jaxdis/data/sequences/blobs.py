"""A drawn blob that moves along an axis."""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from jaxdis import check
from jaxdis.data.rows import bind, split_rows
from jaxdis.data.sequences import rendered
from jaxdis.types import Spec, Splits

__all__ = ["BlobSequences"]

SPEED = 1.2  # pixels in a step
BLOBS = 20_000
NAMES = ("right", "down")


@dataclass(frozen=True)
class BlobSequences:
    """A grey blob of its own place and width, which moves to the right or down.

    `exp(-|p - c - 1.2 t e_k|^2 / (2 s^2))` at pixel p = (x, y), with a centre c that is
    uniform in [3, 6]^2 and a width s in [1, 1.8].

    Attributes:
      size: the height and width of a frame.
      steps: the number T of steps; a sequence has T + 1 frames.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      eval_split: "heldout", or "train" for sequences that were seen in training.
      held_out: the share of the blobs for each of valid and test.
      valid_rows: the number of sequences that are scored between chunks.
      test_rows: the number of sequences that are scored at the end.
      fit_rows: the number of training sequences for what is fitted after training.
      seed: the seed of the blobs and the splits.
    """

    size: int = 28
    steps: int = 8
    index_per: Literal["sample", "batch"] = "sample"
    eval_split: Literal["heldout", "train"] = "heldout"
    held_out: float = 0.1
    valid_rows: int = 96
    test_rows: int = 540
    fit_rows: int = 960
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a setting that is out of range."""
        rendered.check_settings(self)
        check.at_least("data.size", self.size, 1)
        return Spec((self.size, self.size, 1), self.steps + 1, transformations=NAMES)

    def load(self) -> Splits:
        """Draws the blobs; ValueError as `spec`, or for too few held-out rows."""
        spec = self.spec()
        rng = np.random.default_rng(self.seed)
        centres = rng.uniform(3.0, 6.0, (BLOBS, 2)).astype(np.float32)
        widths = rng.uniform(1.0, 1.8, BLOBS).astype(np.float32)
        render = Partial(bind(_render, spec.shape[:2]), centres, widths)
        parts = split_rows(rng.permutation(BLOBS), self.held_out)
        train, valid, test = (
            [part] * len(NAMES) for part in rendered.PARTS[self.eval_split](parts)
        )
        return rendered.splits(self, rendered.Family(render, train, valid, test))


def _render(
    shape: tuple[int, int],
    centres: Float[Array, "n 2"],
    widths: Float[Array, "n"],
    start: Int[Array, ""],
    amounts: Float[Array, "2"],
) -> Float[Array, "h w 1"]:
    y, x = jnp.meshgrid(*(jnp.arange(n) for n in shape), indexing="ij")
    at = centres[start] + SPEED * amounts
    distance = (x - at[0]) ** 2 + (y - at[1]) ** 2
    return jnp.exp(-distance / (2.0 * widths[start] ** 2))[..., None]
