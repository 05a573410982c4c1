"""Sequences that you have."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Shaped

from jaxdis import check
from jaxdis.data.reading.checks import check_images
from jaxdis.data.reading.values import check_finite
from jaxdis.data.rows import split_rows
from jaxdis.types import Rows, Spec, Splits

__all__ = ["GivenSequences"]


@dataclass(frozen=True, eq=False)
class GivenSequences:
    """Sequences of images, and the transformation of each where it is known.

    Attributes:
      frames: the sequences `[n, t, h, w, c]`, or n arrays `[t, h, w, c]`; integers 0 to
        255 of dtype uint8, or numbers in [0, 1].
      k: the transformation of each, 0 .. K - 1; None where it is not known.
      transformations: the names of the K transformations; none where k is None.
      held_out: the share of the sequences for each of valid and test; of those of each
        transformation where it is known.
      seed: the seed of the splits.
    """

    frames: Any = None
    k: Any = None
    transformations: tuple[str, ...] = ()
    held_out: float = 0.1
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError as `load`."""
        frames = self._stacked()
        self._index(len(frames))
        return Spec(
            frames.shape[2:],
            frames.shape[1],
            transformations=tuple(self.transformations),
        )

    def load(self) -> Splits:
        """The sequences as rows.

        Raises:
          ValueError: sequences of mixed lengths or sizes, channels in front of height
            and width, values out of range, an index without a name, or too few to
            split.
        """
        frames = self._stacked()
        k = self._index(len(frames))
        rng = np.random.default_rng(self.seed)
        groups = [np.arange(len(frames))]
        if k is not None:
            groups = [np.flatnonzero(k == i) for i in range(len(self.transformations))]
        parts = [split_rows(rng.permutation(rows), self.held_out) for rows in groups]
        train, valid, test = (np.concatenate(part) for part in zip(*parts, strict=True))

        def rows(chosen: Int[np.ndarray, "_"]) -> Rows:
            index = None if k is None else jnp.asarray(k[chosen])
            return Rows(jnp.asarray(frames[chosen]), k=index)

        return Splits(rows(train), rows(valid), rows(test))

    def _stacked(self) -> Shaped[np.ndarray, "n t h w c"]:
        frames = self.frames
        if frames is None:
            raise ValueError("data.frames must be sequences [t, h, w, c], got none")
        check.shares("data.held_out", self.held_out)
        lengths = sorted({np.shape(f)[0] for f in frames if np.ndim(f)})
        if len(lengths) > 1:
            raise ValueError(
                f"data.frames must all be of one length, got lengths {lengths}: cut "
                f"them to {lengths[0]} frames, or make one data set for each length"
            )
        shapes = {np.shape(f) for f in frames}
        if len(shapes) != 1 or len(next(iter(shapes))) != 4 or lengths[0] < 2:
            raise ValueError(
                "data.frames must be sequences [t, h, w, c] of one shape with t of at "
                f"least 2, got shapes {sorted(shapes)}"
            )
        stacked = np.stack([np.asarray(f) for f in frames])
        check_finite("frames", stacked, ())
        check_images(stacked, "data.frames")
        if stacked.dtype != np.uint8:
            stacked = stacked.astype(np.float32)
        return stacked

    def _index(self, n: int) -> Int[np.ndarray, "n"] | None:
        names = self.transformations
        if self.k is None:
            if names:
                raise ValueError(
                    "data.k must hold the transformation of each sequence, or "
                    f"data.transformations must name none; got None and {names}"
                )
            if n < 3:
                raise ValueError(f"data.frames must be at least 3 sequences, got {n}")
            return None
        index = np.asarray(self.k)
        if index.shape != (n,) or not np.isin(index, range(len(names))).all():
            raise ValueError(
                f"data.k must hold one number in 0 .. {len(names) - 1} for each of the "
                f"{n} sequences, got shape {index.shape}, values "
                f"{sorted(set(index.ravel().tolist()))[:10]}"
            )
        few = [name for i, name in enumerate(names) if (index == i).sum() < 3]
        if few:
            raise ValueError(
                f"data.k must name every transformation at least 3 times, not {few}"
            )
        return index.astype(np.int32)
