"""Images of several domains, which differ in style and share their content.

- "two_color_digits", "two_color_mnist": real digits in two colours. The domain fixes
  the hues, up to a jitter that is drawn anew for every image; the content is the digit.
  Colours are drawn on the device, where the digits stay grey.
- "folder": a folder of yours with a sub-folder of images for each domain.

Held-out images come with a judge, a small classifier of digits (or of domains, if
nothing else is known), which scores generated images by their class and, through
`jaxdis.metrics.frechet_distance` of its features, by their distribution.

Source: Li et al. 2025 (arXiv 2503.00639) train on digits in two colours. Their images
were not available: hues, brightness and sizes are this library's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, UInt8

from jaxdis.data import bind, images, tfds, transforms
from jaxdis.metrics.frechet import feature_moments
from jaxdis.types import PRNGKey

Name = Literal["two_color_digits", "two_color_mnist", "folder"]

SIZES = {
    "two_color_digits": (28, 32, 64),
    "two_color_mnist": (28, 32, 64),
    "folder": (32, 64),
}
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
JITTER = 0.04  # of hues, in turns
BACKGROUND = 0.4  # its brightness; the foreground's is 1
MOST_DOMAINS = 10  # whose hues can be told apart

POOLED = 16  # side, at most, of what the judge sees
HIDDEN = (256, 64)  # of the judge
PASSES, PASS_ROWS = 60, 2_000  # of its training
SHIFT = 1  # pixels of at most 32 that its images are moved by


class DomainImages(NamedTuple):
    """A batch of images.

    Attributes:
      images: RGB, 0 to 255.
      u: the domain of each.
    """

    images: UInt8[Array, "b h w c"]
    u: Int[Array, "b"]


class Judge(NamedTuple):
    """A classifier `x <- relu(W x + b)`, without relu in the last layer.

    Attributes:
      weights: `[out, in]` of each layer. The first has one input a pooled pixel, and
        then it reads the brightness, or three, and then it reads RGB.
      biases: `[out]` of each.
    """

    weights: tuple[Float[Array, "..."], ...]
    biases: tuple[Float[Array, "..."], ...]


class HeldOut(NamedTuple):
    """Images that training never sees, and what judges generated ones.

    Attributes:
      images: RGB, 0 to 255.
      u: the domain of each.
      labels: the class of each; the domain if nothing else is known.
      judge: trained on training images.
      real_mean: of the judge's features on all these images.
      real_cov: likewise.
    """

    images: UInt8[Array, "r h w c"]
    u: Int[Array, "r"]
    labels: Int[Array, "r"]
    judge: Judge
    real_mean: Float[Array, "p"]
    real_cov: Float[Array, "p p"]


class Spec(NamedTuple):
    """What a system must know about its data before it sees any.

    Attributes:
      shape: height, width and channels of an image.
      domains: D.
      names: of the domains.
      classes: that the judge tells apart.
      coloured: whether domain u is the foreground hue u / D, so that `colour_domain`
        applies.
    """

    shape: tuple[int, int, int]
    domains: int
    names: tuple[str, ...]
    classes: int
    coloured: bool


class Train(NamedTuple):
    """Training images as they are stored.

    Attributes:
      images: grey where colours are drawn.
      u: their domains; None where those are drawn.
      draw: `(train, batch, key) -> DomainImages`.
    """

    images: UInt8[Array, "n h w c"]
    u: Int[Array, "n"] | None
    draw: Partial


class Dataset(NamedTuple):
    """What to train on, and held-out images."""

    train: Train
    valid: HeldOut
    test: HeldOut


@dataclass(frozen=True)
class Config:
    """A set of images by domain; the defaults are small real digits in two colours.

    Attributes:
      name: "two_color_digits" comes with scikit-learn, "two_color_mnist" is read
        through TensorFlow Datasets, "folder" from `directory`.
      directory: a folder with a sub-folder for each domain, in the order of their
        names; of MNIST, the data directory of TensorFlow Datasets, whose default is
        taken if left out.
      size: height and width: 28 (digits only), 32 or 64. Digits have 28 pixels, and at
        64 twice as many, with a black margin; images of a folder are resized.
      domains: D, of digits; a folder has as many as it has sub-folders.
      held_out: share of the images for each of valid and test.
      valid_rows: images that are scored between chunks, in all domains in turn; of a
        folder, at most.
      test_rows: images that are scored at the end, likewise.
      seed: of the splits, of held-out colours and of the judge.
    """

    name: Name = "two_color_digits"
    directory: str | None = None
    size: int = 32
    domains: int = 3
    held_out: float = 0.1
    valid_rows: int = 600
    test_rows: int = 1_500
    seed: int = 0


def make_spec(config: Config) -> Spec:
    """Sizes and names of a set, without reading images.

    A folder that is not named has `config.domains` domains, to be known later.

    Raises:
      ValueError: a field that is out of range; no such folder, fewer than two
        sub-folders, or one without images.
    """
    _check(config)
    coloured = config.name != "folder"
    if coloured:
        hues = 360 * np.arange(config.domains) / config.domains
        names = tuple(f"hue {hue:.3g}" for hue in hues)
    elif config.directory is None:
        names = tuple(map(str, range(config.domains)))
    else:
        names = tuple(_list_folder(Path(config.directory)))
    _check_rows(config, len(names))
    shape = (config.size, config.size, 3)
    return Spec(shape, len(names), names, 10 if coloured else len(names), coloured)


def _check(config: Config) -> None:
    if config.name not in get_args(Name):
        raise ValueError(
            f"data.name must be one of {', '.join(get_args(Name))}, got {config.name!r}"
        )
    if config.size not in SIZES[config.name]:
        raise ValueError(
            f"data.size must be one of {SIZES[config.name]} for {config.name}, got "
            f"{config.size}"
        )
    if config.domains < 2:
        raise ValueError(f"data.domains must be at least 2, got {config.domains}")
    if config.name != "folder" and config.domains > MOST_DOMAINS:
        raise ValueError(
            f"data.domains must be at most {MOST_DOMAINS}, or hues of neighbouring "
            f"domains are hard to tell apart; got {config.domains}"
        )
    if not 0.0 < config.held_out < 0.5:
        raise ValueError(
            "data.held_out is the share of each of two held-out splits, in (0, .5); "
            f"got {config.held_out}"
        )


def _check_rows(config: Config, domains: int) -> None:
    for field in ("valid_rows", "test_rows"):
        if getattr(config, field) < domains:
            raise ValueError(
                f"data.{field} must hold an image of each of the {domains} domains, "
                f"got {getattr(config, field)}"
            )


# Digits in two colours.


def two_colours(
    grey: UInt8[Array, "b h w 1"],
    foreground: Float[Array, "b"],
    background: Float[Array, "b"],
) -> UInt8[Array, "b h w 3"]:
    """`a f + (1 - a) g` with a the grey level, f and g the two colours.

    In HSV, f is (hue, 1, 1) and g is (hue, 1, .4).

    Args:
      grey: 0 to 255.
      foreground, background: hues in turns.
    """
    red = jnp.array([1.0, 0.0, 0.0])
    pure = jax.vmap(transforms.shift_hue, (None, 0))
    f = pure(red, 360.0 * foreground)[:, None, None]
    g = BACKGROUND * pure(red, 360.0 * background)[:, None, None]
    a = grey / 255.0
    return jnp.round(255.0 * (a * f + (1.0 - a) * g)).astype(jnp.uint8)


def _jittered(
    key: PRNGKey, grey: UInt8[Array, "b h w 1"], hue: Float[Array, "b"]
) -> UInt8[Array, "b h w 3"]:
    """Foregrounds of that hue and backgrounds of the opposite one, each +- .04."""
    jitter = jax.random.uniform(key, (2, *hue.shape), minval=-JITTER, maxval=JITTER)
    return two_colours(grey, hue + jitter[0], hue + 0.5 + jitter[1])


def _draw_coloured(
    domains: int, train: Train, batch: int, key: PRNGKey
) -> DomainImages:
    row_key, domain_key, colour_key = jax.random.split(key, 3)
    row = jax.random.randint(row_key, (batch,), 0, len(train.images))
    u = jax.random.randint(domain_key, (batch,), 0, domains)
    return DomainImages(_jittered(colour_key, train.images[row], u / domains), u)


def _grey_digits(config: Config) -> images.Images:
    """Digits of 28 pixels, or of 56 at size 64, in a black margin."""
    from scipy.ndimage import zoom

    inner = 56 if config.size == 64 else 28
    if config.name == "two_color_digits":
        pixels, labels = images.digits(inner)
    else:
        directory = None if config.directory is None else Path(config.directory)
        pixels, labels = tfds.mnist(directory)
        if inner != 28:
            pixels = zoom(pixels, (1, 2, 2, 1), order=1, mode="nearest", grid_mode=True)
    margin = ((config.size - inner) // 2,) * 2
    return images.Images(np.pad(pixels, ((0, 0), margin, margin, (0, 0))), labels)


def _shares(
    order: np.ndarray, held_out: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shuffled rows as train, valid and test, the last two a share each."""
    n = max(1, int(held_out * len(order)))
    return order[2 * n :], order[:n], order[n : 2 * n]


def _load_digits(config: Config, spec: Spec) -> Dataset:
    rng = np.random.default_rng(config.seed)
    grey, labels = _grey_digits(config)
    parts = _shares(rng.permutation(len(labels)), config.held_out)
    draw = Partial(bind(_draw_coloured, spec.domains))
    train = Train(jnp.asarray(grey[parts[0]]), None, draw)
    judge = train_judge(train.images, labels[parts[0]], spec.classes, config.seed)
    paint = jax.jit(_jittered)
    held_out = []
    for split, rows in enumerate((config.valid_rows, config.test_rows), 1):
        turn, digit = np.divmod(np.arange(rows), len(parts[split]))
        u = (turn + digit) % spec.domains
        row = parts[split][digit]
        key = jax.random.fold_in(jax.random.key(config.seed), split)
        x = paint(key, jnp.asarray(grey[row]), jnp.asarray(u / spec.domains, float))
        held_out.append(_judged(judge, x, u, labels[row]))
    return Dataset(train, *held_out)


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
        folder.name: sorted(
            p
            for p in folder.iterdir()
            if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
        )
        for folder in folders
    }
    empty = [name for name, paths in found.items() if not paths]
    if empty:
        raise ValueError(
            f"data.directory must have images ({', '.join(SUFFIXES)}) in every "
            f"sub-folder; {directory / empty[0]} has none"
        )
    return found


def _read_images(paths: Sequence[Path], size: int) -> UInt8[np.ndarray, "n h w 3"]:
    """Images of one size, in RGB, resized to a square."""
    from PIL import Image

    out = np.empty((len(paths), size, size, 3), np.uint8)
    first, bomb = None, Image.DecompressionBombError
    for i, path in enumerate(paths):
        try:
            with Image.open(path) as file:
                image = file.convert("RGB")
        except (OSError, SyntaxError, ValueError, bomb) as error:
            raise ValueError(
                f"data.directory must hold images that can be read; {path}: {error}"
            ) from error
        first = first or image.size
        if image.size != first:
            raise ValueError(
                "data.directory must not hold images of mixed sizes: "
                f"{paths[0]} has {first[0]} x {first[1]} pixels and {path} has "
                f"{image.size[0]} x {image.size[1]}; crop or resize them to one size"
            )
        out[i] = np.asarray(image.resize((size, size)))
    return out


def _draw_stored(train: Train, batch: int, key: PRNGKey) -> DomainImages:
    assert train.u is not None
    row = jax.random.randint(key, (batch,), 0, len(train.images))
    return DomainImages(train.images[row], train.u[row])


def _load_folder(config: Config, spec: Spec) -> Dataset:
    if config.directory is None:
        raise ValueError(
            "data.directory must name a folder with a sub-folder of images for each "
            "domain, got none"
        )
    found = _list_folder(Path(config.directory))
    few = {name: len(paths) for name, paths in found.items() if len(paths) < 3}
    if few:
        raise ValueError(
            "data.directory must have at least 3 images of every domain, for training, "
            f"validation and test; got {few}"
        )
    rng = np.random.default_rng(config.seed)
    paths = [path for group in found.values() for path in group]
    u = np.repeat(np.arange(len(found)), [len(group) for group in found.values()])
    pixels = _read_images(paths, config.size)
    groups = [
        _shares(rng.permutation(np.flatnonzero(u == i)), config.held_out)
        for i in range(len(found))
    ]
    seen = np.concatenate([group[0] for group in groups])
    train = Train(
        jnp.asarray(pixels[seen]), jnp.asarray(u[seen], int), Partial(_draw_stored)
    )
    judge = train_judge(train.images, u[seen], spec.classes, config.seed)
    held_out = []
    for split, most in enumerate((config.valid_rows, config.test_rows), 1):
        rows = _in_turn([group[split] for group in groups])[:most]
        held_out.append(_judged(judge, jnp.asarray(pixels[rows]), u[rows], u[rows]))
    return Dataset(train, *held_out)


def _in_turn(groups: Sequence[np.ndarray]) -> np.ndarray:
    """First rows of all groups, then their second rows, and so on while there are."""
    place = np.concatenate([np.arange(len(group)) for group in groups])
    return np.concatenate(groups)[np.argsort(place, kind="stable")]


# The judge.


def _unit(x: Array) -> Float[Array, "..."]:
    """Values of images in [0, 1], from uint8 or from numbers in [-1, 1]."""
    if x.dtype == jnp.uint8:
        return x.astype(float) / 255.0
    if jnp.issubdtype(x.dtype, jnp.floating):
        return (x.astype(float) + 1.0) / 2.0
    raise ValueError(
        f"images must be uint8, 0 to 255, or floats in [-1, 1]; got {x.dtype}"
    )


def _inputs(x: Array, channels: int) -> Float[Array, "r m"]:
    """What the judge sees, in [-1, 1]: RGB or one channel, at most 16 pixels wide.

    Of one channel, the brightness of HSV, the largest of R, G and B: of digits in two
    colours it is the grey level, whatever the hues, down to the background's.
    """
    unit = _unit(x)
    unit = unit.max(-1, keepdims=True) if channels == 1 else unit
    return 2.0 * _pooled(unit, POOLED).reshape(len(unit), -1) - 1.0


def _pooled(x: Float[Array, "r h w c"], side: int) -> Float[Array, "r h2 w2 c"]:
    """Means of squares of pixels, so that at most `side` are left on a side."""
    r, h, w, c = x.shape
    k = -(-h // side)
    return x.reshape(r, h // k, k, w // k, k, c).mean((2, 4))


def _layer(judge: Judge, i: int, x: Float[Array, "r m"]) -> Float[Array, "r n"]:
    product = jnp.einsum("rm,nm->rn", x, judge.weights[i], precision="highest")
    return product + judge.biases[i][None]


def features(judge: Judge, images: Array) -> Float[Array, "r p"]:
    """The judge's last hidden layer, after relu.

    Of digits in two colours the judge sees the brightness alone: its features say
    nothing of hues, which `colour_domain` judges.

    Args:
      judge: of held-out images.
      images: `[r, h, w, 3]` of the size that it was trained on; uint8, 0 to 255, or
        floats in [-1, 1].

    Raises:
      ValueError: images of another dtype.
    """
    h, w = images.shape[1:3]
    k = -(-h // POOLED)
    x = _inputs(images, judge.weights[0].shape[1] // ((h // k) * (w // k)))
    for i in range(len(judge.weights) - 1):
        x = jax.nn.relu(_layer(judge, i, x))
    return x


def classify(judge: Judge, images: Array) -> Int[Array, "r"]:
    """The class that the judge finds most likely; arguments as of `features`."""
    last = len(judge.weights) - 1
    return jnp.argmax(_layer(judge, last, features(judge, images)), -1)


@jax.jit
def _training_inputs(
    x: Float[Array, "n h w c"], row: Int[Array, "b"], key: PRNGKey
) -> Float[Array, "b m"]:
    """Training images moved by some pixels, and in any hue if they are grey."""
    move_key, hue_key, colour_key = jax.random.split(key, 3)
    _, h, w, c = x.shape
    margin = (SHIFT, SHIFT)
    padded = jnp.pad(x[row], ((0, 0), margin, margin, (0, 0)), mode="edge")
    move = jax.random.randint(move_key, (len(row), 2), 0, 2 * SHIFT + 1)

    def crop(image: Array, at: Int[Array, "2"]) -> Array:
        return jax.lax.dynamic_slice(image, (at[0], at[1], 0), (h, w, c))

    moved = jax.vmap(crop)(padded, move)
    moved = jnp.round(moved).astype(jnp.uint8)
    if c == 3:
        return _inputs(moved, 3)
    hue = jax.random.uniform(hue_key, row.shape)
    return _inputs(_jittered(colour_key, moved, hue), 1)


def train_judge(
    images: UInt8[Array, "n h w c"], labels: Any, classes: int, seed: int
) -> Judge:
    """Fits scikit-learn's `MLPClassifier` on the host.

    Images are moved by at most a pixel of 32, and grey ones are coloured in any hue.

    Args:
      images: to train on; grey digits, which it sees in two colours, or RGB.
      labels: of the images, below `classes`.
      classes: how many there are.
      seed: of the fit.
    """
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    # Of large images all that is finer than twice what the judge sees costs time.
    small = _pooled(images.astype(float), 2 * POOLED)
    model = MLPClassifier(HIDDEN, batch_size=100, random_state=seed)
    for i in range(PASSES):
        row = rng.integers(0, len(images), PASS_ROWS)
        key = jax.random.fold_in(jax.random.key(seed), i)
        x = _training_inputs(small, jnp.asarray(row), key)
        # Small products gain nothing from threads, which on busy cores wait for long.
        with threadpool_limits(1):
            model.partial_fit(
                np.asarray(x), np.asarray(labels)[row], classes=np.arange(classes)
            )
    weights = [w.T for w in model.coefs_]
    biases = list(model.intercepts_)
    if classes == 2:  # one output, the log odds of the second class
        weights[-1] = np.concatenate([0 * weights[-1], weights[-1]])
        biases[-1] = np.concatenate([0 * biases[-1], biases[-1]])
    return Judge(
        tuple(jnp.asarray(w, float) for w in weights),
        tuple(jnp.asarray(b, float) for b in biases),
    )


def _judged(judge: Judge, x: Array, u: np.ndarray, labels: np.ndarray) -> HeldOut:
    mean, cov = feature_moments(jax.jit(features)(judge, x))
    return HeldOut(x, jnp.asarray(u, int), jnp.asarray(labels, int), judge, mean, cov)


# Colours.


def foreground_hue(images: Array) -> Float[Array, "r"]:
    """Hue of the mean colour of an image weighted by V^8, in turns, in [0, 1).

    V is the brightness of HSV. A background of brightness .4 weighs less than
    .001 of the foreground, and of the opposite hue it only takes saturation off.
    Greys have hue 0.

    Args:
      images: `[r, h, w, 3]`; uint8, 0 to 255, or floats in [-1, 1].

    Raises:
      ValueError: images of another dtype.
    """
    unit = _unit(images)
    colour = jnp.sum(unit * unit.max(-1, keepdims=True) ** 8, (1, 2))
    high, low = colour.max(-1), colour.min(-1)
    chroma = jnp.where(high > low, high - low, 1.0)
    r, g, b = colour[:, 0], colour[:, 1], colour[:, 2]
    sextant = jnp.where(
        high == r,
        (g - b) / chroma,
        jnp.where(high == g, 2.0 + (b - r) / chroma, 4.0 + (r - g) / chroma),
    )
    return sextant / 6.0 % 1.0


def colour_domain(images: Array, domains: int) -> Int[Array, "r"]:
    """The domain u whose hue u / D is nearest to `foreground_hue`."""
    return jnp.round(domains * foreground_hue(images)).astype(int) % domains


def load(config: Config) -> tuple[Spec, Dataset]:
    """Reads a set, makes its splits and trains the judge.

    Raises:
      ValueError: as `make_spec`; or the set is not where the config says, an image
        cannot be read, images of mixed sizes, fewer than 3 images of a domain.
    """
    spec = make_spec(config)
    if config.name == "folder":
        return spec, _load_folder(config, spec)
    return spec, _load_digits(config, spec)


def sampler(train: Train, batch: int) -> Callable[[PRNGKey], DomainImages]:
    """`key -> batch` of images; the data stay arguments of the program.

    Domains of digits are equally likely. Images of a folder are, so that a domain comes
    as often as it has images.

    Raises:
      ValueError: batch below 1.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    return Partial(bind(_draw_batch, batch), train)


def _draw_batch(batch: int, train: Train, key: PRNGKey) -> DomainImages:
    return train.draw(train, batch, key)
