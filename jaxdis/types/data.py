"""What a data set is: rows, what is known of them, and how they are split."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, Shaped

from jaxdis.types.aliases import PRNGKey

__all__ = [
    "DataSet",
    "Label",
    "Names",
    "Preparation",
    "Rows",
    "Scale",
    "Source",
    "Spec",
    "Splits",
    "Stream",
    "Truth",
    "WorldsApart",
]


class Label(NamedTuple):
    """One column of `Rows.y`.

    Attributes:
      name: the name of the column.
      classes: the number of classes; None for numbers.
      ordered: whether the classes have an order.
      values: what each class was called, in the order of its number; () where classes
        have no other names than their numbers.
    """

    name: str
    classes: int | None = None
    ordered: bool = False
    values: tuple[str, ...] = ()


@jax.tree_util.register_static
@dataclass(frozen=True)
class Names:
    """What the columns of rows were called where they came from; () where unknown.

    It travels with `Rows` through every transformation of JAX, as a constant.

    Attributes:
      x: the columns of x.
      a: the columns of a.
      u: what each domain was called, in the order of its number.
      y: the columns of y.
      k: what each transformation was called, in the order of its number.
      z: the columns of z.
    """

    x: tuple[str, ...] = ()
    a: tuple[str, ...] = ()
    u: tuple[str, ...] = ()
    y: tuple[Label, ...] = ()
    k: tuple[str, ...] = ()
    z: tuple[str, ...] = ()


class Rows(NamedTuple):
    """What every data set offers, built-in or a user's; None is what it lacks.

    Of a data set with several worlds (`Spec.worlds`) every array has one more axis in
    front, the world. Rows that are kept on the host hold arrays of numpy, of the same
    shapes.

    Attributes:
      x: the observations: vectors `[n, x]`, images `[n, h, w, c]`, or sequences of them
        `[n, t, ...]`. Images are bytes, or numbers in [0, 1].
      a: the actions `[n, a]`.
      u: the domains `[n]`, from 0.
      y: the labels `[n, l]`, one column each: classes from 0, or numbers; NaN where a
        label is missing.
      k: the transformations `[n]`, from 0; of several at once `[n, j]`.
      z: the true latents `[n, z]` or `[n, t, z]`, for scores and never for training.
      group: rows with the same number `[n]` belong together, as the windows of one
        episode: no split parts them.
      split: the split that a row belongs to `[n]`, 0 training, 1 valid, 2 test; None
        where rows are split at random.
      names: what columns and classes were called.
    """

    x: Array
    a: Array | None = None
    u: Int[Array, "..."] | None = None
    y: Array | None = None
    k: Int[Array, "..."] | None = None
    z: Float[Array, "..."] | None = None
    group: Int[Array, "n"] | None = None
    split: Int[Array, "n"] | None = None
    names: Names | None = None


class Source(NamedTuple):
    """Training rows that are drawn on the device when they are needed.

    Attributes:
      draw: `(key, n) -> Rows`, a `jax.tree_util.Partial` of what it draws from; of a
        data set with several worlds `(key, n, world) -> Rows` of the one at that place.
    """

    draw: Callable[..., Rows]


class Stream(NamedTuple):
    """Training rows that stay on the host; a block of them at a time is on the device.

    It stands for the sampler `key -> rows[draw(key)]`, and gives the same batches.

    Attributes:
      rows: arrays of numpy with the rows in front, as `Rows`.
      draw: `key -> chosen`, the indices of a batch's rows: a `jax.tree_util.Partial`.
      block: the number of rows on the device at a time.
    """

    rows: PyTree[Shaped[np.ndarray, "n ..."]]
    draw: Callable[[PRNGKey], Int[Array, "b"]]
    block: int


class Truth(NamedTuple):
    """What is known of how the data were made, for scores and never for training.

    Attributes:
      gz: the graph from past latents, 1 where latent j moves latent i.
      ga: the graph from actions, 1 where action l moves latent i.
      mask: 1 where latent j moves observed variable i.
      hues: the hue of the foreground of images in each domain, in turns.
      supports: the supports of tasks, 1 where label l depends on latent j.
    """

    gz: Int[np.ndarray, "z z"] | None = None
    ga: Int[np.ndarray, "z a"] | None = None
    mask: Int[np.ndarray, "x z"] | None = None
    hues: Float[np.ndarray, "d"] | None = None
    supports: Int[np.ndarray, "l z"] | None = None


class Spec(NamedTuple):
    """What a method knows of its data before it sees any.

    Attributes:
      shape: the shape of one observation, `(x,)` or `(h, w, c)`.
      steps: the number of observations in a sequence; None where x has no time axis.
      a_dim: the number of actions; 0 for none.
      domains: the names of the domains.
      labels: the columns of y.
      transformations: the names of the transformations.
      z_dim: the number of true latents; 0 where they are not known.
      truth: what is known of how the data were made.
      worlds: the number of independent draws of the whole data set, worlds, of which
        seed s sees number `s mod worlds`; 0 where every seed has one of its own, number
        s; None where all seeds see the same rows.
      rows: the number of training rows; None where it is not known or has no end.
      breaks: what these data are known to break of what theory assumes, as a clause; ""
        for nothing.
      source: what a user's own data come from and the columns there, as a clause, "" if
        that is not known; None for data that are not a user's own.
    """

    shape: tuple[int, ...]
    steps: int | None = None
    a_dim: int = 0
    domains: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()
    transformations: tuple[str, ...] = ()
    z_dim: int = 0
    truth: Truth = Truth()
    worlds: int | None = None
    rows: int | None = None
    breaks: str = ""
    source: str | None = None

    @property
    def offers(self) -> tuple[str, ...]:
        """What the data have, as `Method.needs` names it."""
        there = {
            "x": True,
            "a": self.a_dim > 0,
            "u": bool(self.domains),
            "y": bool(self.labels),
            "k": bool(self.transformations),
            "z": self.z_dim > 0,
            "sequences": self.steps is not None,
            "images": len(self.shape) == 3,
        }
        return tuple(name for name, has in there.items() if has)

    def codes(self, asked: int) -> int:
        """The number of codes of a model of these data.

        Where it is not asked for it is that of the true latents, or where they are not
        known 10, or the numbers of an observation, if these are fewer.

        Args:
          asked: the number that is asked for; 0 to leave it to the data.
        """
        return asked or self.z_dim or min(10, math.prod(self.shape))


class Scale(NamedTuple):
    """How numbers were standardised: `(x - mean) / std`.

    Attributes:
      mean: what is taken away, of the shape of the last axes of what is scaled.
      std: what the rest is divided by, likewise.
    """

    mean: Float[np.ndarray, "..."]
    std: Float[np.ndarray, "..."]


class Preparation(NamedTuple):
    """What was done to rows before training, and is done again to all new ones.

    Attributes:
      x: the standardisation of x; None where x is taken as it is.
      a: the standardisation of a, likewise.
      y: the standardisation of each column of y that holds numbers; classes have mean
        0 and deviation 1.
      names: what columns were called, and how classes, domains and transformations
        are coded.
    """

    x: Scale | None = None
    a: Scale | None = None
    y: Scale | None = None
    names: Names = Names()


class Splits(NamedTuple):
    """Disjoint rows of one data set.

    Rows that are arrays of the host (numpy) are kept there, and what is trained on goes
    to the device block by block; arrays of JAX are on the device from the start.

    Attributes:
      train: the rows to learn from, or where they are drawn.
      valid: the rows that are scored between chunks.
      test: the rows that are scored at the end.
      controls: further rows by name, a pair for valid and test, that some methods know
        to use, as "superposed" sequences.
      preparation: what was done to the rows of all splits.
      block: the number of training rows on the device at a time, where rows are arrays
        of the host; None for all of them or a default.
    """

    train: Rows | Source
    valid: Rows
    test: Rows
    controls: Mapping[str, tuple[Rows, Rows]] = {}
    preparation: Preparation = Preparation()
    block: int | None = None


@runtime_checkable
class DataSet(Protocol):
    """A data set: a frozen dataclass of its settings, and two functions of it."""

    def spec(self) -> Spec:
        """Sizes and names, as cheaply as possible; ValueError for wrong settings."""

    def load(self) -> Splits:
        """Reads or draws the rows; ValueError if they are not there or damaged."""


@runtime_checkable
class WorldsApart(Protocol):
    """A data set that draws some of its worlds without the others."""

    def load_worlds(self, numbers: tuple[int, ...]) -> Splits:
        """Rows of the worlds with those numbers, with an axis of them in front."""
