"""Sets with an image for every combination of factors; a sequence moves one factor."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, UInt8

from jaxdis import check
from jaxdis.data import factors, tfds
from jaxdis.data.factors import FactorImages, FactorSet
from jaxdis.data.rows import bind, split_rows
from jaxdis.data.sequences import rendered
from jaxdis.types import Spec, Splits

__all__ = ["Falcor3dSequences", "Isaac3dSequences", "Shapes3dSequences"]


@dataclass(frozen=True)
class Shapes3dSequences:
    """3D Shapes, as TensorFlow Datasets has it.

    Attributes:
      directory: the folder of TensorFlow Datasets; None for its default.
      steps: the number T of steps; a sequence has T + 1 frames.
      sequence_rule: "sweep" moves a factor from its first value on; "carry" starts
        anywhere and overflows into the next factor, as released.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      eval_split: "heldout", or "train" for sequences that were seen in training, as
        released.
      held_out: the share of the starts that each of valid and test may take; of them
        those of valid_rows and test_rows are taken. Training has all sequences without
        an image that one of these shows, or a pair of transformations from there.
      valid_rows: the number of sequences that are scored between chunks.
      test_rows: the number of sequences that are scored at the end.
      fit_rows: the number of training sequences for what is fitted after training.
      seed: the seed of the splits.

    Source: Song et al. 2023 (arXiv 2309.13167), section 4.
    """

    directory: str | None = None
    steps: int = factors.SETS["shapes3d"].steps
    sequence_rule: Literal["sweep", "carry"] = "sweep"
    index_per: Literal["sample", "batch"] = "sample"
    eval_split: Literal["heldout", "train"] = "heldout"
    held_out: float = 0.1
    valid_rows: int = 96
    test_rows: int = 540
    fit_rows: int = 960
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a setting that is out of range."""
        return _spec(self, "shapes3d")

    def load(self) -> Splits:
        """Reads the set; ValueError as `spec`, or if it is not there or damaged."""
        self.spec()
        directory = None if self.directory is None else Path(self.directory)
        return _splits(self, factors.SETS["shapes3d"], tfds.shapes3d(directory))


@dataclass(frozen=True)
class Falcor3dSequences:
    """Falcor3D, a folder of images as NVIDIA publishes it.

    Attributes:
      directory: the folder.
      steps: the number T of steps; a sequence has T + 1 frames.
      sequence_rule: "sweep" moves a factor from its first value on; "carry" starts
        anywhere and overflows into the next factor, as released.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      eval_split: "heldout", or "train" for sequences that were seen in training, as
        released.
      held_out: the share of the starts that each of valid and test may take, as of
        `Shapes3dSequences`.
      valid_rows: the number of sequences that are scored between chunks.
      test_rows: the number of sequences that are scored at the end.
      fit_rows: the number of training sequences for what is fitted after training.
      seed: the seed of the splits.

    Source: Song et al. 2023 (arXiv 2309.13167), section 4.
    """

    directory: str | None = None
    steps: int = factors.SETS["falcor3d"].steps
    sequence_rule: Literal["sweep", "carry"] = "sweep"
    index_per: Literal["sample", "batch"] = "sample"
    eval_split: Literal["heldout", "train"] = "heldout"
    held_out: float = 0.1
    valid_rows: int = 96
    test_rows: int = 540
    fit_rows: int = 960
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a setting that is out of range."""
        return _spec(self, "falcor3d")

    def load(self) -> Splits:
        """Reads the set; ValueError as `spec`, or if it is not there or damaged."""
        self.spec()
        found = _read_folder("falcor3d", self.directory)
        return _splits(self, factors.SETS["falcor3d"], found)


@dataclass(frozen=True)
class Isaac3dSequences:
    """Isaac3D, a folder of images as NVIDIA publishes it.

    Attributes:
      directory: the folder.
      steps: the number T of steps; a sequence has T + 1 frames.
      sequence_rule: "sweep" moves a factor from its first value on; "carry" starts
        anywhere and overflows into the next factor, as released.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      eval_split: "heldout", or "train" for sequences that were seen in training, as
        released.
      held_out: the share of the starts that each of valid and test may take, as of
        `Shapes3dSequences`.
      valid_rows: the number of sequences that are scored between chunks.
      test_rows: the number of sequences that are scored at the end.
      fit_rows: the number of training sequences for what is fitted after training.
      seed: the seed of the splits.

    Source: Song et al. 2023 (arXiv 2309.13167), section 4.
    """

    directory: str | None = None
    steps: int = factors.SETS["isaac3d"].steps
    sequence_rule: Literal["sweep", "carry"] = "sweep"
    index_per: Literal["sample", "batch"] = "sample"
    eval_split: Literal["heldout", "train"] = "heldout"
    held_out: float = 0.1
    valid_rows: int = 96
    test_rows: int = 540
    fit_rows: int = 960
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a setting that is out of range."""
        return _spec(self, "isaac3d")

    def load(self) -> Splits:
        """Reads the set; ValueError as `spec`, or if it is not there or damaged."""
        self.spec()
        found = _read_folder("isaac3d", self.directory)
        return _splits(self, factors.SETS["isaac3d"], found)


@runtime_checkable
class _Settings(rendered.Settings, Protocol):
    @property
    def sequence_rule(self) -> str: ...
    @property
    def seed(self) -> int: ...


Starts = Int[np.ndarray, "_"]


def _sweep(known: FactorSet, moving: int, steps: int) -> Starts:
    """Combinations in which the factor has its first value."""
    flat = np.arange(int(np.prod(known.sizes)))
    base = factors.bases(known.sizes)[moving]
    return flat[(flat // base) % known.sizes[moving] == 0]


def _carry(known: FactorSet, moving: int, steps: int) -> Starts:
    """The published loader draws below the base of the slowest factor."""
    bases = factors.bases(known.sizes)
    starts = np.arange(bases[0])
    return starts[starts + steps * bases[moving] < bases[0] * known.sizes[0]]


RULES: dict[str, Callable[[FactorSet, int, int], Starts]] = {
    "sweep": _sweep,
    "carry": _carry,
}
"""Where sequences may start: `(set, moving factor, T) -> indices of images`."""


def _read_folder(name: str, directory: str | None) -> FactorImages:
    if directory is None:
        raise ValueError(
            f"data.directory must name the folder of {name}, got none: it is read from "
            "files that you have"
        )
    return factors.read_folder(name, Path(directory))


def _spec(settings: _Settings, name: str) -> Spec:
    rendered.check_settings(settings)
    check.one_of("data.sequence_rule", settings.sequence_rule, RULES)
    known = factors.SETS[name]
    sizes = dict(zip(known.names, known.sizes, strict=True))
    short = {n: sizes[n] for n in known.moving if sizes[n] <= settings.steps}
    if short:
        raise ValueError(
            f"data.steps is {settings.steps}, which needs {settings.steps + 1} values "
            f"of every factor that moves; {name} has {short}; take at most "
            f"{min(short.values()) - 1}"
        )
    return Spec(known.shape, settings.steps + 1, transformations=known.moving)


def _splits(settings: _Settings, known: FactorSet, found: FactorImages) -> Splits:
    """Sequences of a set with factors; training shows no image that is held out."""
    rng = np.random.default_rng(settings.seed)
    bases = factors.bases(known.sizes)
    places = [known.names.index(name) for name in known.moving]
    every: list[Starts] = []
    parts: list[rendered.Parts] = []
    for place in places:
        starts = RULES[settings.sequence_rule](known, place, settings.steps)
        every.append(rng.permutation(starts))
        parts.append(split_rows(every[-1], settings.held_out))
    _, valid, test = (list(part) for part in zip(*parts, strict=True))
    moving = tuple(bases[place] for place in places)
    render = Partial(bind(_render, moving), jnp.asarray(found.images))
    radix = np.array([(bases[place], known.sizes[place]) for place in places])

    def together(first: Starts, k: Starts, other: Starts) -> Starts:
        """Both factors start at their first value."""
        base, size = radix[other].T
        own, own_size = radix[k].T
        return first - (first // base % size * base + first // own % own_size * own)

    family = rendered.Family(render, every, valid, test, together=together)
    family = EVALUATED[settings.eval_split](settings, known, moving, family)
    return rendered.splits(settings, family)


def _unseen(
    settings: _Settings,
    known: FactorSet,
    moving: tuple[int, ...],
    family: rendered.Family,
) -> rendered.Family:
    """Leaves out of training what shares an image with valid, test or their controls.

    It is not enough that starts differ: an image lies on a sequence of every factor.
    """
    held_out = np.zeros(math.prod(known.sizes), bool)
    rows = (settings.valid_rows, settings.test_rows)
    for starts, n in zip((family.valid, family.test), rows, strict=True):
        for shown in rendered.held_out(family, settings.steps, starts, n).values():
            amounts = np.rint(np.asarray(shown.amounts)).astype(int)
            held_out[shown.starts[:, None] + amounts @ np.array(moving)] = True
    times = np.arange(settings.steps + 1)
    train = []
    for name, base, every in zip(known.moving, moving, family.train, strict=True):
        train.append(every[~held_out[every[:, None] + base * times].any(1)])
        if not train[-1].size:
            raise ValueError(
                f"data.valid_rows and data.test_rows, {rows[0]} and {rows[1]}, leave "
                f"no training sequence of {name!r} without an image of held-out ones; "
                "take fewer, or a smaller data.held_out"
            )
    return family._replace(train=train)


def _seen(
    settings: _Settings,
    known: FactorSet,
    moving: tuple[int, ...],
    family: rendered.Family,
) -> rendered.Family:
    """All sequences that there are, in training and in the place of held-out ones."""
    return family._replace(valid=family.train, test=family.train)


EVALUATED: dict[
    str,
    Callable[[_Settings, FactorSet, tuple[int, ...], rendered.Family], rendered.Family],
] = {"heldout": _unseen, "train": _seen}
"""Which sequences are in the parts of a family, of which `train` has all."""


def _render(
    bases: tuple[int, ...],
    pixels: UInt8[Array, "n h w c"],
    start: Int[Array, ""],
    amounts: Float[Array, "k"],
) -> Float[Array, "h w c"]:
    """One digit of the mixed-radix number moves, and carries if it overflows."""
    steps = jnp.round(amounts).astype(int)
    return pixels[start + jnp.sum(steps * jnp.array(bases))] / 255.0
