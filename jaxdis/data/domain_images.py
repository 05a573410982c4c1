"""Images of several domains, which differ in style and share their content.

- `TwoColourDigits`, `TwoColourMNIST`: real digits in two colours. The domain fixes the
  hues, up to a jitter that is drawn anew for every image; the content is the digit.
  Colours are drawn on the device, where the digits stay grey.
- `DomainFolder`: a folder of yours with a sub-folder of images for each domain.

Source: Li et al. 2025 (arXiv 2503.00639) train on digits in two colours. Their images
were not available: hues, brightness and sizes are this library's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Int, UInt8

from jaxdis import check
from jaxdis.data import colours, images, tfds
from jaxdis.data.reading.pictures import SUFFIXES, is_image, read_images
from jaxdis.data.rows import bind, split_rows
from jaxdis.types import Label, PRNGKey, Rows, Source, Spec, Splits, Truth

__all__ = ["DomainFolder", "TwoColourDigits", "TwoColourMNIST"]

DIGIT_SIZES, FOLDER_SIZES = (28, 32, 64), (32, 64)
MOST_DOMAINS = 10  # whose hues can be told apart
UNNAMED = ("0", "1")  # the domains of a folder that is yet to be named


@dataclass(frozen=True)
class TwoColourDigits:
    """The 1,797 digits that come with scikit-learn, in two colours.

    Its rows have x, u and y, the digit. The control "unpainted" holds the grey training
    digits `[n, h, w, 1]` and their labels, the same for both held-out splits.

    Attributes:
      size: the height and width of an image: 28, 32 or 64. Digits have 28 pixels, and
        at 64 twice as many, with a black margin.
      domains: the number of domains, D; the foreground of domain u has hue u / D.
      held_out: the share of the digits for each of valid and test.
      valid_rows: the number of images that are scored between chunks, in all domains in
        turn.
      test_rows: the number of images that are scored at the end, likewise.
      seed: the seed of the splits and of held-out colours.
    """

    size: int = 32
    domains: int = 3
    held_out: float = 0.1
    valid_rows: int = 600
    test_rows: int = 1_500
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a field that is out of range."""
        return _digits_spec(self)

    def load(self) -> Splits:
        """Reads the digits and paints those that are held out."""
        spec = self.spec()
        digits = images.digits(_inner(self.size))
        return _paint(self, spec, digits.pixels, digits.labels)


@dataclass(frozen=True)
class TwoColourMNIST:
    """The training digits of MNIST, read through TensorFlow Datasets, in two colours.

    Rows and controls are as those of `TwoColourDigits`.

    Attributes:
      directory: the data directory of TensorFlow Datasets, whose default is taken if
        left out.
      size: the height and width of an image: 28, 32 or 64.
      domains: the number of domains, D; the foreground of domain u has hue u / D.
      held_out: the share of the digits for each of valid and test.
      valid_rows: the number of images that are scored between chunks, in all domains in
        turn.
      test_rows: the number of images that are scored at the end, likewise.
      seed: the seed of the splits and of held-out colours.
    """

    directory: str | None = None
    size: int = 32
    domains: int = 3
    held_out: float = 0.1
    valid_rows: int = 600
    test_rows: int = 1_500
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names; ValueError for a field that is out of range."""
        return _digits_spec(self)

    def load(self) -> Splits:
        """Reads the digits; ValueError where `tfds.mnist` does not find them."""
        spec = self.spec()
        directory = None if self.directory is None else Path(self.directory)
        pixels, labels = tfds.mnist(directory)
        if _inner(self.size) != 28:
            from scipy.ndimage import zoom

            pixels = zoom(pixels, (1, 2, 2, 1), order=1, mode="nearest", grid_mode=True)
        return _paint(self, spec, pixels, labels)


@dataclass(frozen=True)
class DomainFolder:
    """A folder of yours with a sub-folder of images for each domain.

    Its rows have x and u. Images are cropped to their central squares and resized.

    Attributes:
      directory: the folder; its sub-folders are the domains in the order of their
        names.
      size: the height and width to which squares are resized: 32 or 64.
      held_out: the share of the images of each domain for each of valid and test.
      valid_rows: the number of images that are scored between chunks, at most, of all
        domains in turn.
      test_rows: the number of images that are scored at the end, likewise.
      seed: the seed of the splits.
    """

    directory: str | None = None
    size: int = 64
    held_out: float = 0.1
    valid_rows: int = 600
    test_rows: int = 1_500
    seed: int = 0

    def spec(self) -> Spec:
        """Sizes and names, without reading images.

        A folder that is not named has two domains, to be known later.

        Raises:
          ValueError: a field that is out of range; no such folder, fewer than two
            sub-folders, or one without images.
        """
        check.one_of("data.size", self.size, FOLDER_SIZES)
        check.shares("data.held_out", self.held_out)
        names: tuple[str, ...] = UNNAMED
        if self.directory is not None:
            names = tuple(_list_folder(Path(self.directory)))
        _check_rows(self, len(names))
        return Spec((self.size, self.size, 3), domains=names)

    def load(self) -> Splits:
        """Reads the images and splits those of each domain.

        Raises:
          ValueError: as `spec`; no folder is named, a domain has fewer than 3 images,
            or one cannot be read.
        """
        self.spec()
        if self.directory is None:
            raise ValueError(
                "data.directory must name a folder with a sub-folder of images for "
                "each domain, got none"
            )
        return _load_folder(self, _list_folder(Path(self.directory)))


DataSet = TwoColourDigits | TwoColourMNIST | DomainFolder


def _check_rows(data: DataSet, domains: int) -> None:
    for field in ("valid_rows", "test_rows"):
        if getattr(data, field) < domains:
            raise ValueError(
                f"data.{field} must hold an image of each of the {domains} domains, "
                f"got {getattr(data, field)}"
            )


# Digits in two colours.


def _digits_spec(data: TwoColourDigits | TwoColourMNIST) -> Spec:
    check.one_of("data.size", data.size, DIGIT_SIZES)
    check.at_least("data.domains", data.domains, 2)
    if data.domains > MOST_DOMAINS:
        raise ValueError(
            f"data.domains must be at most {MOST_DOMAINS}, or hues of neighbouring "
            f"domains are hard to tell apart; got {data.domains}"
        )
    check.shares("data.held_out", data.held_out)
    _check_rows(data, data.domains)
    hues = np.arange(data.domains) / data.domains
    names = tuple(f"hue {360 * hue:.3g}" for hue in hues)
    return Spec(
        (data.size, data.size, 3),
        domains=names,
        labels=(Label("digit", 10),),
        truth=Truth(hues=hues),
    )


def _inner(size: int) -> int:
    """Pixels of a digit without its margin."""
    return 56 if size == 64 else 28


def _paint(
    data: TwoColourDigits | TwoColourMNIST,
    spec: Spec,
    pixels: UInt8[np.ndarray, "n h w 1"],
    labels: Int[np.ndarray, "n"],
) -> Splits:
    rng = np.random.default_rng(data.seed)
    margin = ((data.size - _inner(data.size)) // 2,) * 2
    grey, y = np.pad(pixels, ((0, 0), margin, margin, (0, 0))), labels[:, None]
    seen, *others = split_rows(rng.permutation(len(labels)), data.held_out)
    unpainted = Rows(jnp.asarray(grey[seen]), y=jnp.asarray(y[seen]))
    draw = Partial(bind(_draw_painted, data.domains), unpainted.x, unpainted.y)
    paint = jax.jit(colours.painted)
    held_out = []
    for split, rows in enumerate((data.valid_rows, data.test_rows), 1):
        # Each digit in another domain, before any comes for the second time.
        turn, digit = np.divmod(np.arange(rows), len(others[split - 1]))
        u = (turn + digit) % data.domains
        row = others[split - 1][digit]
        key = jax.random.fold_in(jax.random.key(data.seed), split)
        hue = jnp.asarray(u / data.domains, float)
        x = paint(key, jnp.asarray(grey[row]), hue)
        held_out.append(Rows(x, u=jnp.asarray(u, int), y=jnp.asarray(y[row])))
    controls = {"unpainted": (unpainted, unpainted)}
    valid, test = held_out
    return Splits(Source(draw), valid, test, controls)


def _draw_painted(
    domains: int,
    grey: UInt8[Array, "n h w 1"],
    y: Int[Array, "n 1"],
    key: PRNGKey,
    count: int,
) -> Rows:
    row_key, domain_key, colour_key = jax.random.split(key, 3)
    row = jax.random.randint(row_key, (count,), 0, len(grey))
    u = jax.random.randint(domain_key, (count,), 0, domains)
    return Rows(colours.painted(colour_key, grey[row], u / domains), u=u, y=y[row])


# A folder.


def _list_folder(directory: Path) -> dict[str, list[Path]]:
    """Paths of the images of each domain, in the order of their names."""
    if not directory.is_dir():
        raise ValueError(
            "data.directory must be a folder with a sub-folder of images for each "
            f"domain; there is no folder {directory}"
        )
    folders = sorted(
        (p for p in directory.iterdir() if p.is_dir() and not p.name.startswith(".")),
        key=lambda p: p.name,
    )
    if len(folders) < 2:
        raise ValueError(
            "data.directory must have at least 2 sub-folders, one for each domain; "
            f"{directory} has {[p.name for p in folders]}"
        )
    found = {
        folder.name: sorted(p for p in folder.iterdir() if is_image(p))
        for folder in folders
    }
    empty = [name for name, paths in found.items() if not paths]
    if empty:
        raise ValueError(
            f"data.directory must have images ({', '.join(SUFFIXES)}) in every "
            f"sub-folder; {directory / empty[0]} has none"
        )
    return found


def _load_folder(data: DomainFolder, found: dict[str, list[Path]]) -> Splits:
    few = {name: len(paths) for name, paths in found.items() if len(paths) < 3}
    if few:
        raise ValueError(
            "data.directory must have at least 3 images of every domain, for training, "
            f"validation and test; got {few}"
        )
    paths = tuple(path for group in found.values() for path in group)
    times = tuple(path.stat().st_mtime_ns for path in paths)
    pixels = _read_images(paths, times, data.size)
    rng = np.random.default_rng(data.seed)
    u = np.repeat(np.arange(len(found)), [len(group) for group in found.values()])
    groups = [
        split_rows(rng.permutation(np.flatnonzero(u == i)), data.held_out)
        for i in range(len(found))
    ]
    seen = np.concatenate([group[0] for group in groups])
    valid = _in_turn([group[1] for group in groups])[: data.valid_rows]
    test = _in_turn([group[2] for group in groups])[: data.test_rows]

    def rows(chosen: Int[np.ndarray, "m"]) -> Rows:
        return Rows(jnp.asarray(pixels[chosen]), u=jnp.asarray(u[chosen], int))

    return Splits(rows(seen), rows(valid), rows(test))


@lru_cache(maxsize=1)
def _read_images(
    paths: Sequence[Path], times: Sequence[int], size: int
) -> UInt8[np.ndarray, "n h w 3"]:
    """Images in RGB, cropped to their central squares and resized.

    They are kept, so that a command that asks twice reads once; times of their last
    change are arguments so that a file that has changed is read again.
    """
    pixels = read_images(paths, size, "data.directory")
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def _in_turn(groups: Sequence[np.ndarray]) -> Int[np.ndarray, "n"]:
    """First rows of all groups, then their second rows, and so on while there are."""
    place = np.concatenate([np.arange(len(group)) for group in groups])
    return np.concatenate(groups)[np.argsort(place, kind="stable")]
