"""Images of several domains, which differ in style and share their content.

- `TwoColourDigits`, `TwoColourMNIST`: real digits in two colours. The domain fixes the
  hues, up to a jitter that is drawn anew for every image; the content is the digit.
  Colours are drawn on the device, where the digits stay grey.

Source: Li et al. 2025 (arXiv 2503.00639) train on digits in two colours. Their images
were not available: hues, brightness and sizes are this library's.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Int, UInt8

from jaxdis import check
from jaxdis.data import colours, images, tfds
from jaxdis.data.rows import bind, split_rows
from jaxdis.types import Label, PRNGKey, Rows, Source, Spec, Splits, Truth

__all__ = ["TwoColourDigits", "TwoColourMNIST"]

SIZES = (28, 32, 64)
MOST_DOMAINS = 10  # whose hues can be told apart


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


# Digits in two colours.


def _check_rows(data: TwoColourDigits | TwoColourMNIST) -> None:
    for field in ("valid_rows", "test_rows"):
        if getattr(data, field) < data.domains:
            raise ValueError(
                f"data.{field} must hold an image of each of the {data.domains} "
                f"domains, got {getattr(data, field)}"
            )


def _digits_spec(data: TwoColourDigits | TwoColourMNIST) -> Spec:
    check.one_of("data.size", data.size, SIZES)
    check.at_least("data.domains", data.domains, 2)
    if data.domains > MOST_DOMAINS:
        raise ValueError(
            f"data.domains must be at most {MOST_DOMAINS}, or hues of neighbouring "
            f"domains are hard to tell apart; got {data.domains}"
        )
    check.shares("data.held_out", data.held_out)
    _check_rows(data)
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
