"""Image sequences, each of one transformation, made on the device.

A sequence starts at an image (or a combination of factors) and moves T steps along one
of K transformations. Every kind of data is a function `render(start, amounts)`: the
frame at `start` after so many steps of each transformation. Training draws a start and
a transformation; held-out sequences also show two transformations at once, one after
the other, and more steps than were trained.

Source: Song et al. 2023 (arXiv 2309.13167), section 4, and its released data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from jaxdis.data import bind, factors, images, tfds, transforms
from jaxdis.types import PRNGKey

LONGER = 4  # steps beyond T that held-out sequences of transformed images go on
# Steps after which the hue is back where it began.
CYCLE = round(360 / transforms.STEP["hue"])
BLOB_SPEED = 1.2  # pixels a step
BLOB_ROWS = 20_000

Name = Literal["digits", "mnist", "shapes3d", "falcor3d", "isaac3d", "blobs"]


class Sequences(NamedTuple):
    """A batch of sequences.

    Attributes:
      x: frames 0 .. T in [0, 1].
      k: the transformation of each.
    """

    x: Float[Array, "b t h w c"]
    k: Int[Array, "b"]


class HeldOut(NamedTuple):
    """Sequences of images that training never saw, one row each.

    Attributes:
      x, k: as of `Sequences`.
      new_class: whether its class was left out of training altogether.
      longer: frames T + 1, ... of the same transformation; None if there are none.
      other: a second transformation; this and the next two are None if K = 1 or the
        sequences were given as they are.
      superposed: frames of both transformations at once.
      switched: k for t <= T // 2, then the other.
      fitting: training sequences, for what is fitted after training; None elsewhere.
    """

    x: Float[Array, "r t h w c"]
    k: Int[Array, "r"]
    new_class: Bool[Array, "r"]
    longer: Float[Array, "r e h w c"] | None
    other: Int[Array, "r"] | None
    superposed: Float[Array, "r t h w c"] | None
    switched: Float[Array, "r t h w c"] | None
    fitting: Sequences | None


class Spec(NamedTuple):
    """What a system must know about its data before it sees any.

    Attributes:
      shape: height, width and channels of a frame.
      steps: T; a sequence has T + 1 frames.
      names: of the K transformations.
    """

    shape: tuple[int, int, int]
    steps: int
    names: tuple[str, ...]


class Source(NamedTuple):
    """Sequences that can be drawn.

    Attributes:
      render: `(start, amounts [K]) -> frame`, a pytree function.
      starts: where sequences of each transformation may start, padded to equal length.
      counts: how many of each row of `starts` are there.
      draw: `(source, batch, key) -> Sequences`.
    """

    render: Partial
    starts: Int[Array, "k m"]
    counts: Int[Array, "k"]
    draw: Partial


class Dataset(NamedTuple):
    """What to train on, and held-out sequences."""

    train: Source
    valid: HeldOut
    test: HeldOut


@dataclass(frozen=True)
class Config:
    """A set of sequences; the defaults are the published ones on real small digits.

    Attributes:
      name: "digits" comes with scikit-learn; "mnist" and "shapes3d" are read through
        TensorFlow Datasets, "falcor3d" and "isaac3d" from a folder of images; "blobs"
        are drawn, one that moves along an axis.
      directory: where the set lies; the default of TensorFlow Datasets if left out.
      size: height and width of digits, MNIST and blobs.
      colour: of grey images: "red" puts them into the red channel of RGB, "none" leaves
        them grey.
      transformations: of digits and MNIST: "scale", "rotation", "hue".
      steps: T.
      index_per: whether every "sample" has a transformation of its own, or the "batch".
      sequence_rule: of sets with factors: "sweep" moves a factor from its first value
        on; "carry" starts anywhere and overflows into the next factor, as released.
      eval_split: "heldout", or "train" for sequences seen in training, as released.
      held_out: share of the images for each of valid and test.
      held_out_classes: classes that training never sees; test rows have them as well.
      valid_rows: sequences that are scored between chunks.
      test_rows: sequences that are scored at the end.
      fit_rows: training sequences for what is fitted after training.
      seed: of the splits and of drawn data.
    """

    name: Name = "digits"
    directory: str | None = None
    size: int = 28
    colour: Literal["red", "none"] = "red"
    transformations: tuple[str, ...] = ("scale", "rotation", "hue")
    steps: int = 8
    index_per: Literal["sample", "batch"] = "sample"
    sequence_rule: Literal["sweep", "carry"] = "sweep"
    eval_split: Literal["heldout", "train"] = "heldout"
    held_out: float = 0.1
    held_out_classes: tuple[int, ...] = ()
    valid_rows: int = 96
    test_rows: int = 540
    fit_rows: int = 960
    seed: int = 0


def make_spec(config: Config) -> Spec:
    """What the config says of the data, without reading any.

    Raises:
      ValueError: a field that is out of range or does not fit the others.
    """
    _check_words(config)
    _check_numbers(config)
    if config.held_out_classes and config.name not in ("digits", "mnist"):
        raise ValueError(
            f"data.held_out_classes must be empty: {config.name} has no classes, got "
            f"{config.held_out_classes}"
        )
    if config.name == "blobs":
        return Spec((config.size, config.size, 1), config.steps, ("right", "down"))
    if config.name in factors.SETS:
        known = factors.SETS[config.name]
        sizes = dict(zip(known.names, known.sizes, strict=True))
        short = {n: sizes[n] for n in known.moving if sizes[n] <= config.steps}
        if short:
            raise ValueError(
                f"data.steps is {config.steps}, which needs {config.steps + 1} values "
                f"of every factor that moves; {config.name} has {short}; take at most "
                f"{min(short.values()) - 1}"
            )
        return Spec(known.shape, config.steps, known.moving)
    _check_transformations(config)
    channels = 3 if config.colour == "red" else 1
    shape = (config.size, config.size, channels)
    return Spec(shape, config.steps, config.transformations)


def _check_words(config: Config) -> None:
    for field, hint in get_type_hints(Config).items():
        words, value = get_args(hint), getattr(config, field)
        if get_origin(hint) is Literal and value not in words:
            raise ValueError(f"data.{field} must be one of {words}, got {value!r}")


def _check_numbers(config: Config) -> None:
    if config.steps < 1:
        raise ValueError(f"data.steps must be at least 1, got {config.steps}")
    _check_share("data.held_out", config.held_out)
    for field in ("valid_rows", "test_rows", "fit_rows", "size"):
        if getattr(config, field) < 1:
            raise ValueError(
                f"data.{field} must be at least 1, got {getattr(config, field)}"
            )


def _check_share(name: str, share: float) -> None:
    if not 0.0 < share < 0.5:
        raise ValueError(
            f"{name} is the share of each of two held-out splits, in (0, .5); got "
            f"{share}"
        )


def _check_transformations(config: Config) -> None:
    names = config.transformations
    unknown = [n for n in names if n not in transforms.STEP]
    if not names or unknown or len(set(names)) < len(names):
        raise ValueError(
            "data.transformations must name at least one of "
            f"{', '.join(transforms.STEP)}, none twice; got {names}"
        )
    if "hue" in names and config.colour == "none":
        raise ValueError(
            "data.transformations has 'hue', which turns colours, and the images of "
            f"{config.name!r} are grey: set data.colour to 'red', which puts them into "
            "the red channel, or leave 'hue' out"
        )
    if "hue" in names and config.steps >= CYCLE:
        raise ValueError(
            f"data.steps must be below {CYCLE}, where a hue that turns by 20 degrees a "
            f"step is back where it began; got {config.steps}"
        )


def load(config: Config) -> tuple[Spec, Dataset]:
    """Reads or draws a set and makes its splits.

    Raises:
      ValueError: as `make_spec`; or the set is not where the config says, or damaged.
    """
    spec = make_spec(config)
    rng = np.random.default_rng(config.seed)
    if config.name in factors.SETS:
        return spec, _factor_dataset(config, spec, rng)
    if config.name == "blobs":
        centres = rng.uniform(3.0, 6.0, (BLOB_ROWS, 2)).astype(np.float32)
        widths = rng.uniform(1.0, 1.8, BLOB_ROWS).astype(np.float32)
        shape = spec.shape[:2]
        render = Partial(bind(_render_blob, shape), centres, widths)
        labels = np.zeros(BLOB_ROWS, np.int32)
    else:
        pixels, labels = _still_images(config)
        form = transforms.transform_red if spec.shape[2] == 3 else transforms.transform
        render = Partial(bind(_render_image, form, spec.names), jnp.asarray(pixels))
    seen, valid, test = _split(labels, config, rng)
    k = len(spec.names)
    train, *held_out = ([rows] * k for rows in (seen, valid, test))
    new = np.isin(labels, config.held_out_classes)
    longer = LONGER if config.name != "blobs" else 0
    return spec, _dataset(config, spec, render, train, held_out, new, longer, None)


def _still_images(config: Config) -> images.Images:
    if config.name == "digits":
        return images.digits(config.size)
    directory = None if config.directory is None else Path(config.directory)
    found = images.Images(*tfds.mnist(directory))
    if found.pixels.shape[1] != config.size:
        raise ValueError(
            f"data.size must be {found.pixels.shape[1]} for {config.name}, got "
            f"{config.size}"
        )
    return found


def _split(
    labels: np.ndarray, config: Config, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows to train on, of seen classes alone; valid; and test."""
    order = rng.permutation(len(labels))
    unseen = np.isin(labels, config.held_out_classes)
    absent = set(config.held_out_classes) - set(labels.tolist())
    if absent or unseen.all():
        raise ValueError(
            f"data.held_out_classes must leave some of the classes "
            f"{sorted(set(labels.tolist()))}; got {config.held_out_classes}"
        )
    train, valid, test = _shares(order, config.held_out)
    train = train[~unseen[train]]
    return (train,) * 3 if config.eval_split == "train" else (train, valid, test)


def _shares(
    order: np.ndarray, held_out: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shuffled rows as train, valid and test, the last two a share each."""
    n = max(1, int(held_out * len(order)))
    return order[2 * n :], order[:n], order[n : 2 * n]


def _render_image(
    form: Callable[..., Array],
    names: tuple[str, ...],
    pixels: Array,
    start: Array,
    amounts: Array,
) -> Float[Array, "h w c"]:
    return form(pixels[start] / 255.0, amounts, names)


def _render_blob(
    shape: tuple[int, int], centres: Array, widths: Array, start: Array, amounts: Array
) -> Float[Array, "h w 1"]:
    """`exp(-|p - c - 1.2 (amounts)|^2 / (2 s^2))` at pixel p = (x, y)."""
    y, x = jnp.meshgrid(*(jnp.arange(n) for n in shape), indexing="ij")
    at = centres[start] + BLOB_SPEED * amounts
    distance = (x - at[0]) ** 2 + (y - at[1]) ** 2
    return jnp.exp(-distance / (2.0 * widths[start] ** 2))[..., None]


def _render_factors(
    bases: tuple[int, ...], pixels: Array, start: Array, amounts: Array
) -> Float[Array, "h w c"]:
    """One digit of the mixed-radix number moves, and carries if it overflows."""
    steps = jnp.round(amounts).astype(int)
    return pixels[start + jnp.sum(steps * jnp.array(bases))] / 255.0


def _factor_dataset(config: Config, spec: Spec, rng: np.random.Generator) -> Dataset:
    """Sequences of a set with factors, split by where they start."""
    known = factors.SETS[config.name]
    directory = None if config.directory is None else Path(config.directory)
    if config.name == "shapes3d":
        found = tfds.shapes3d(directory)
    elif directory is None:
        raise ValueError(
            f"data.directory must name the folder of {config.name}, got none: it is "
            "read from files that you have"
        )
    else:
        found = factors.read_folder(config.name, directory)
    bases = dict(zip(known.names, factors.bases(known.sizes), strict=True))
    sizes = dict(zip(known.names, known.sizes, strict=True))
    n = len(found.images)
    flat = np.arange(n)
    splits: tuple[list[np.ndarray], ...] = ([], [], [])
    for name in spec.names:
        if config.sequence_rule == "carry":
            # The published loader draws below the base of the slowest factor.
            starts = flat[: bases[known.names[0]]]
            starts = starts[starts + config.steps * bases[name] < n]
        else:
            starts = flat[(flat // bases[name]) % sizes[name] == 0]
        starts = rng.permutation(starts)
        whole = config.eval_split == "train"
        parts = (starts,) * 3 if whole else _shares(starts, config.held_out)
        for split, part in zip(splits, parts, strict=True):
            split.append(part)
    moving = tuple(bases[name] for name in spec.names)
    render = Partial(bind(_render_factors, moving), jnp.asarray(found.images))
    train, *held_out = splits
    radix = [(bases[name], sizes[name]) for name in spec.names]
    new = np.zeros(n, bool)
    return _dataset(config, spec, render, train, held_out, new, 0, radix)


def _dataset(
    config: Config,
    spec: Spec,
    render: Partial,
    train: Sequence[np.ndarray],
    held_out: Sequence[Sequence[np.ndarray]],
    new: np.ndarray,
    longer: int,
    radix: Sequence[tuple[int, int]] | None,
) -> Dataset:
    rows = (config.valid_rows, config.test_rows)
    if min(rows) < len(spec.names):
        raise ValueError(
            "data.valid_rows and data.test_rows must hold a sequence of each of the "
            f"{len(spec.names)} transformations, got {rows[0]} and {rows[1]}"
        )
    k, first, _ = _in_turn(train, config.fit_rows)
    amounts = _along(k, jnp.arange(spec.steps + 1.0), len(spec.names))
    fitting = Sequences(_frames(render, jnp.asarray(first), amounts), k)
    valid, test = (
        _held_out(spec, render, starts, new, longer, radix, n, fitting)
        for starts, n in zip(held_out, rows, strict=True)
    )
    counts = np.array([len(s) for s in train])
    padded = np.stack([np.resize(s, counts.max()) for s in train])
    draw = Partial(bind(_draw, config.index_per, spec.steps))
    source = Source(render, jnp.asarray(padded), jnp.asarray(counts), draw)
    return Dataset(source, valid, test)


def _along(k: Int[Array, "*b"], amounts: Float[Array, "t"], names: int) -> Array:
    """Amounts `[*b, t, K]` of a transformation that goes on by itself."""
    return jnp.einsum("t,...k->...tk", amounts, jax.nn.one_hot(k, names))


@jax.jit
def _frames(render: Partial, starts: Array, amounts: Array) -> Array:
    """Frames of many sequences: starts `[b]`, amounts `[b, t, K]`."""
    one_sequence = jax.vmap(render, (None, 0))
    return jax.vmap(one_sequence)(starts, amounts)


def _in_turn(
    starts: Sequence[np.ndarray], rows: int
) -> tuple[Int[Array, "r"], Int[np.ndarray, "r"], Int[np.ndarray, "r"]]:
    """For each row a transformation in turn, where it starts, and the turn's number."""
    turn, k = np.divmod(np.arange(rows), len(starts))
    pairs = zip(k, turn, strict=True)
    first = np.array([starts[i][j % len(starts[i])] for i, j in pairs])
    return jnp.asarray(k), first, turn


def _held_out(
    spec: Spec,
    render: Partial,
    starts: Sequence[np.ndarray],
    new: np.ndarray,
    longer: int,
    radix: Sequence[tuple[int, int]] | None,
    rows: int,
    fitting: Sequences,
) -> HeldOut:
    """Rows in turn of every transformation, and of every pair of them."""
    names, steps = len(spec.names), spec.steps
    k, first, turn = _in_turn(starts, rows)
    times, at = jnp.arange(steps + 1.0), jnp.asarray(first)
    x = _frames(render, at, _along(k, times, names))
    beyond = other = superposed = switched = None
    if longer:
        more = jnp.arange(steps + 1.0, steps + 1.0 + longer)
        beyond = _frames(render, at, _along(k, more, names))
    if names > 1:
        other = (k + 1 + jnp.asarray(turn % (names - 1))) % names
        if radix is not None:  # both factors start at their first value
            base, size = np.array(radix)[np.asarray(other)].T
            own, own_size = np.array(radix)[np.asarray(k)].T
            values = first // base % size * base + first // own % own_size * own
            at = jnp.asarray(first - values)
        half = steps // 2
        both = _along(k, times, names) + _along(other, times, names)
        before, after = jnp.minimum(times, half), jnp.maximum(times - half, 0)
        turns = _along(k, before, names) + _along(other, after, names)
        superposed, switched = _frames(render, at, both), _frames(render, at, turns)
    unseen = jnp.asarray(new[first])
    return HeldOut(x, k, unseen, beyond, other, superposed, switched, fitting)


def _draw(
    index_per: str, steps: int, source: Source, batch: int, key: PRNGKey
) -> Sequences:
    index_key, row_key = jax.random.split(key)
    names = source.counts.shape[0]
    shape = (batch,) if index_per == "sample" else (1,)
    k = jnp.broadcast_to(jax.random.randint(index_key, shape, 0, names), (batch,))
    row = jax.random.randint(row_key, (batch,), 0, source.counts[k])
    amounts = _along(k, jnp.arange(steps + 1.0), names)
    return Sequences(_frames(source.render, source.starts[k, row], amounts), k)


def sampler(source: Source, batch: int) -> Callable[[PRNGKey], Sequences]:
    """`key -> batch` of sequences; the data stay arguments of the program.

    Raises:
      ValueError: batch below 1.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    return Partial(bind(_draw_batch, batch), source)


def _draw_batch(batch: int, source: Source, key: PRNGKey) -> Sequences:
    return source.draw(source, batch, key)


def _render_given(frames: Array, start: Array, amounts: Array) -> Float[Array, "h w c"]:
    """A stored frame: the amounts of all transformations sum to the time."""
    frame = frames[start, jnp.round(amounts.sum()).astype(int)]
    return frame / 255.0 if frame.dtype == jnp.uint8 else frame


def from_frames(
    frames: Sequence[Any] | Any,
    k: Sequence[int] | Any,
    names: Sequence[str],
    *,
    held_out: float = 0.1,
    seed: int = 0,
) -> tuple[Spec, Dataset]:
    """A data set of your own sequences.

    Args:
      frames: `[n, t, h, w, c]`, or n arrays `[t, h, w, c]`; integers 0 to 255 of dtype
        uint8, or numbers in [0, 1].
      k: the transformation of each, 0 .. K - 1.
      names: of the K transformations.
      held_out: share of each of valid and test.
      seed: of the split.

    Raises:
      ValueError: sequences of mixed lengths or sizes, values out of range, an index
        without a name or a transformation without enough sequences.
    """
    _check_share("held_out", held_out)
    lengths = sorted({np.shape(f)[0] for f in frames if np.ndim(f)})
    if len(lengths) > 1:
        raise ValueError(
            f"frames must all be of one length, got lengths {lengths}: cut them to "
            f"{lengths[0]} frames, or make one data set for each length"
        )
    shapes = {np.shape(f) for f in frames}
    if len(shapes) != 1 or len(next(iter(shapes))) != 4 or lengths[0] < 2:
        raise ValueError(
            "frames must be sequences [t, h, w, c] of one shape with t of at least 2, "
            f"got shapes {sorted(shapes)}"
        )
    stacked = np.stack([np.asarray(f) for f in frames])
    check_frames(stacked)
    index = np.asarray(k)
    if index.shape != (len(stacked),) or not np.isin(index, range(len(names))).all():
        raise ValueError(
            f"k must hold one number in 0 .. {len(names) - 1} for each of the "
            f"{len(stacked)} sequences, got shape {index.shape}, values "
            f"{sorted(set(index.ravel().tolist()))[:10]}"
        )
    few = [n for i, n in enumerate(names) if (index == i).sum() < 3]
    if few:
        raise ValueError(
            f"k must name every transformation at least 3 times, not {few}"
        )
    if stacked.dtype != np.uint8:
        stacked = stacked.astype(np.float32)
    rng = np.random.default_rng(seed)
    splits: tuple[list[np.ndarray], ...] = ([], [], [])
    for i in range(len(names)):
        starts = rng.permutation(np.flatnonzero(index == i))
        for split, part in zip(splits, _shares(starts, held_out), strict=True):
            split.append(part)
    spec = Spec(stacked.shape[2:], stacked.shape[1] - 1, tuple(names))
    rows = [sum(map(len, split)) for split in splits]
    config = Config(valid_rows=rows[1], test_rows=rows[2])
    render = Partial(_render_given, jnp.asarray(stacked))
    train, *rest = splits
    data = _dataset(
        config, spec, render, train, rest, np.zeros(len(stacked), bool), 0, None
    )
    return spec, Dataset(data.train, _alone(data.valid), _alone(data.test))


def _alone(data: HeldOut) -> HeldOut:
    """Without pairs: nobody knows what two given transformations do together."""
    return data._replace(other=None, superposed=None, switched=None)


def check_frames(frames: np.ndarray) -> None:
    """Raises ValueError unless frames are uint8 or finite numbers in [0, 1]."""
    if frames.dtype == np.uint8:
        return
    if not np.issubdtype(frames.dtype, np.floating):
        raise ValueError(f"frames must be uint8 or floating point, got {frames.dtype}")
    low, high = float(np.min(frames)), float(np.max(frames))
    if not (np.isfinite(frames).all() and low >= 0.0 and high <= 1.0):
        raise ValueError(
            f"frames must lie in [0, 1], got {low:g} .. {high:g}: divide by 255, or "
            "give uint8"
        )
