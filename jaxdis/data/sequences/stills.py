"""Still images of digits that are scaled, turned or coloured, step by step."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, UInt8

from jaxdis import check
from jaxdis.data import images, tfds, transforms
from jaxdis.data.rows import bind, split_rows
from jaxdis.data.sequences import rendered
from jaxdis.types import Label, Spec, Splits

__all__ = ["DigitSequences", "MnistSequences"]

LONGER = 4  # steps beyond T that held-out sequences go on
# Steps after which the hue is back where it began.
CYCLE = round(360 / transforms.STEP["hue"])
NEW_CLASS = Label("new_class", 2)
NAMES = tuple(transforms.STEP)
MNIST_SIZE = 28


class _Colour(NamedTuple):
    """What a grey image becomes: channels, and its frame after some steps."""

    channels: int
    form: Callable[[Array, Array, tuple[str, ...]], Array]


COLOURS = {
    "red": _Colour(3, transforms.transform_red),
    "none": _Colour(1, transforms.transform),
}


@dataclass(frozen=True)
class DigitSequences:
    """The small digits of scikit-learn under transformations.

    Where classes are left out of training, the label "new_class" says of held-out rows
    whether theirs is one of them.

    Attributes:
      size: the height and width of a frame.
      colour: "red" puts grey images into the red channel of RGB, "none" leaves them.
      transformations: the names of the transformations, of "scale", "rotation", "hue".
      steps: the number T of steps; a sequence has T + 1 frames.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      eval_split: "heldout", or "train" for sequences that were seen in training, as
        released.
      held_out: the share of the images for each of valid and test.
      held_out_classes: the classes that training never sees; held-out rows have them
        as well.
      valid_rows: the number of sequences that are scored between chunks.
      test_rows: the number of sequences that are scored at the end.
      fit_rows: the number of training sequences for what is fitted after training.
      seed: the seed of the splits.

    Source: Song et al. 2023 (arXiv 2309.13167), which takes MNIST.
    """

    size: int = MNIST_SIZE
    colour: Literal["red", "none"] = "red"
    transformations: tuple[str, ...] = NAMES
    steps: int = 8
    index_per: Literal["sample", "batch"] = "sample"
    eval_split: Literal["heldout", "train"] = "heldout"
    held_out: float = 0.1
    held_out_classes: tuple[int, ...] = ()
    valid_rows: int = 96
    test_rows: int = 540
    fit_rows: int = 960
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a setting that is out of range."""
        check.at_least("data.size", self.size, 1)
        return _spec(self, self.size)

    def load(self) -> Splits:
        """Enlarges the images and splits them.

        Raises:
          ValueError: as `spec`; or classes that are not there, or too few held-out
            rows.
        """
        self.spec()
        return _splits(self, images.digits(self.size))


@dataclass(frozen=True)
class MnistSequences:
    """MNIST under transformations, the published data.

    Attributes:
      directory: the folder of TensorFlow Datasets; None for its default.
      colour: "red" puts grey images into the red channel of RGB, "none" leaves them.
      transformations: the names of the transformations, of "scale", "rotation", "hue".
      steps: the number T of steps; a sequence has T + 1 frames.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      eval_split: "heldout", or "train" for sequences that were seen in training, as
        released.
      held_out: the share of the images for each of valid and test.
      held_out_classes: the classes that training never sees; held-out rows have them
        as well.
      valid_rows: the number of sequences that are scored between chunks.
      test_rows: the number of sequences that are scored at the end.
      fit_rows: the number of training sequences for what is fitted after training.
      seed: the seed of the splits.

    Source: Song et al. 2023 (arXiv 2309.13167), section 4.
    """

    directory: str | None = None
    colour: Literal["red", "none"] = "red"
    transformations: tuple[str, ...] = NAMES
    steps: int = 8
    index_per: Literal["sample", "batch"] = "sample"
    eval_split: Literal["heldout", "train"] = "heldout"
    held_out: float = 0.1
    held_out_classes: tuple[int, ...] = ()
    valid_rows: int = 96
    test_rows: int = 540
    fit_rows: int = 960
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a setting that is out of range."""
        return _spec(self, MNIST_SIZE)

    def load(self) -> Splits:
        """Reads the images and splits them.

        Raises:
          ValueError: as `DigitSequences.load`; or the set is not there.
        """
        self.spec()
        directory = None if self.directory is None else Path(self.directory)
        return _splits(self, images.Images(*tfds.mnist(directory)))


@runtime_checkable
class _Settings(rendered.Settings, Protocol):
    @property
    def colour(self) -> str: ...
    @property
    def transformations(self) -> tuple[str, ...]: ...
    @property
    def held_out_classes(self) -> tuple[int, ...]: ...
    @property
    def seed(self) -> int: ...


def _spec(settings: _Settings, size: int) -> Spec:
    rendered.check_settings(settings)
    check.one_of("data.colour", settings.colour, COLOURS)
    _check_transformations(settings)
    shape = (size, size, COLOURS[settings.colour].channels)
    labels = (NEW_CLASS,) if settings.held_out_classes else ()
    return Spec(
        shape,
        settings.steps + 1,
        labels=labels,
        transformations=settings.transformations,
    )


def _check_transformations(settings: _Settings) -> None:
    names = settings.transformations
    unknown = [n for n in names if n not in transforms.STEP]
    if not names or unknown or len(set(names)) < len(names):
        raise ValueError(
            "data.transformations must name at least one of "
            f"{', '.join(transforms.STEP)}, none twice; got {names}"
        )
    if "hue" in names and COLOURS[settings.colour].channels != 3:
        raise ValueError(
            "data.transformations has 'hue', which turns colours, and the images are "
            "grey: set data.colour to 'red', which puts them into the red channel, or "
            "leave 'hue' out"
        )
    if "hue" in names and settings.steps >= CYCLE:
        raise ValueError(
            f"data.steps must be below {CYCLE}, where a hue that turns by 20 degrees a "
            f"step is back where it began; got {settings.steps}"
        )


def _splits(settings: _Settings, found: images.Images) -> Splits:
    names = settings.transformations
    form = COLOURS[settings.colour].form
    render = Partial(bind(_render, form, names), jnp.asarray(found.pixels))
    new = np.isin(found.labels, settings.held_out_classes)
    absent = set(settings.held_out_classes) - set(found.labels.tolist())
    if absent or new.all():
        raise ValueError(
            f"data.held_out_classes must leave some of the classes "
            f"{sorted(set(found.labels.tolist()))}; got {settings.held_out_classes}"
        )
    order = np.random.default_rng(settings.seed).permutation(len(found.labels))
    rows, *held_out = split_rows(order, settings.held_out)
    parts = rendered.PARTS[settings.eval_split]((rows[~new[rows]], *held_out))
    train, valid, test = ([part] * len(names) for part in parts)
    classes = new if settings.held_out_classes else None
    return rendered.splits(
        settings, rendered.Family(render, train, valid, test, classes, LONGER)
    )


def _render(
    form: Callable[[Array, Array, tuple[str, ...]], Array],
    names: tuple[str, ...],
    pixels: UInt8[Array, "n h w 1"],
    start: Int[Array, ""],
    amounts: Float[Array, "k"],
) -> Float[Array, "h w c"]:
    return form(pixels[start] / 255.0, amounts, names)
