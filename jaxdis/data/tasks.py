"""Supervised tasks that share factors: each depends on few of them, which nobody sees.

A batch is a number of tasks with samples of each; the first `support` samples fit a
head, the others judge it. Three kinds of data give tasks:

- "toy": factors drawn uniformly and mixed by a fixed invertible network;
- image sets with known factors ("dsprites", "shapes3d", "smallnorb", "cars3d");
- labelled samples: "digits", whose tasks are attributes of the digit, and "features", a
  file of features that you extracted, with a task for every domain and label.

Supports, weights and thresholds are drawn task by task, by one function for training,
validation and test.

Source: Fumero et al. 2023 (arXiv 2304.07939) for the idea; formulas of the image tasks
follow Lachapelle, Deleu et al. 2023 (arXiv 2211.14666), with supports drawn for every
task and not once for a batch; constants of the toy are this library's.
"""

import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from jaxdis.data import bind, factors, tfds
from jaxdis.types import PRNGKey

Name = Literal[
    "toy", "dsprites", "shapes3d", "smallnorb", "cars3d", "digits", "features"
]
Labels = Literal["regression", "classification"]

RANGE = 1.7  # of the toy's factors
SLOPE, GAIN = 0.3, 1.4  # of the toy's mixing
SIZES = (1, 2, 3)  # factors that a task uses
THRESHOLD = 0.6  # of the toy's classes: U(-.6, .6)
BITS = 3  # of the label of an image task
TRIALS = 20  # draws of the support of a held-out task of labelled samples
VALID_SHARE = 0.2
NO_FILE = (
    "data.file must name an npz with `features` [n, m], `labels` [n] and `domains` [n]"
)

# Which digits have an attribute. The first three are kept from training.
ATTRIBUTES: dict[str, tuple[int, ...]] = {
    "even": (0, 2, 4, 6, 8),
    "above 4": (5, 6, 7, 8, 9),
    "closed loop": (0, 6, 8, 9),
    "prime": (2, 3, 5, 7),
    "multiple of 3": (0, 3, 6, 9),
    "power of 2": (1, 2, 4, 8),
    "square": (0, 1, 4, 9),
    "Fibonacci": (0, 1, 2, 3, 5, 8),
    "above 7": (8, 9),
    "below 3": (0, 1, 2),
    "2 to 6": (2, 3, 4, 5, 6),
    "straight stroke": (1, 2, 4, 5, 7),
    "horizontal stroke": (2, 4, 5, 7),
    "open to the left": (2, 3, 5, 7, 9),
    "open to the right": (2, 4, 5, 6),
    "mirror image of itself": (0, 1, 3, 8),
}
NEW_ATTRIBUTES = 3


class Tasks(NamedTuple):
    """Samples of several tasks.

    Attributes:
      x: what is observed, `[t, n, ...]`; uint8 for images.
      y: numbers, or classes.
      allowed: classes that a task has; None if all.
      uses: the factors that each task depends on; None if they are not known.
    """

    x: Array
    y: Float[Array, "t n"] | Int[Array, "t n"]
    allowed: Bool[Array, "t c"] | None
    uses: Bool[Array, "t d"] | None


class HeldOut(NamedTuple):
    """What training never sees.

    Attributes:
      x: samples `[r, ...]` that codes are compared on.
      z: their factors; None if they are not known.
      tasks: new tasks; a few samples of each fit a head, the last ones judge it.
      raw: scores of ridge and logistic regression on x itself by shots; None if they
        were not asked for.
    """

    x: Array
    z: Float[Array, "r d"] | None
    tasks: Tasks
    raw: Float[Array, "methods shots"] | None


class Spec(NamedTuple):
    """What a system must know about its data before it sees any.

    Attributes:
      shape: of one observation; empty if it is in a file that was not named.
      classes: C; None for regression.
      factors: true factors; 0 if they are not known.
      support: samples of a training task that fit its head.
      shots: samples, of each class where `shot_size` says so, for a new task.
      shot_size: samples in one shot.
      score: of a new task, "accuracy" or "R²".
      methods: heads that new tasks are tried with.
      raw_methods: those tried on raw observations.
    """

    shape: tuple[int, ...]
    classes: int | None
    factors: int
    support: int
    shots: tuple[int, ...]
    shot_size: int
    score: str
    methods: tuple[str, ...]
    raw_methods: tuple[str, ...]


class Dataset(NamedTuple):
    """Training tasks as `(tasks, key) -> Tasks`, and what is held out."""

    train: Partial
    valid: HeldOut
    test: HeldOut


@dataclass(frozen=True)
class Config:
    """A family of tasks; the defaults are the toy's.

    Attributes:
      name: "toy", an image set, "digits" (with scikit-learn, nothing to download) or
        "features" (needs `file`).
      labels: "regression" or "classification", of the toy and of image sets.
      z_dim: factors of the toy.
      x_dim: observed variables of the toy, at least z_dim.
      noise: of regression targets; for image sets relative to a task's targets.
      correlation: of the factors of image sets, in [0, 1).
      support: samples of a training task that fit its head.
      query: samples of a training task that judge it.
      shots: samples that a new task gets; of each class, for digits and features.
      test_tasks: new tasks; for digits and features, at most.
      test_query: samples that judge each of them.
      test_rows: samples that codes are compared on.
      directory: data directory of TensorFlow Datasets; its default if left out.
      file: npz of "features" (`features [n, m]`, `labels [n]` or `[n, l]`, `domains
        [n]`) or of "cars3d" (`images` uint8 `[n, h, w, 3]`, `factors [n, 3]`).
      target: the domain that new tasks come from; the last one if left out.
      seed: of the mixing, of splits and of what is held out.
    """

    name: Name = "toy"
    labels: Labels = "regression"
    z_dim: int = 5
    x_dim: int = 10
    noise: float = 0.1
    correlation: float = 0.0
    support: int = 40
    query: int = 40
    shots: tuple[int, ...] = (5, 10, 20, 40)
    test_tasks: int = 64
    test_query: int = 200
    test_rows: int = 5_120
    directory: str | None = None
    file: str | None = None
    target: str | None = None
    seed: int = 0


def _check(config: Config) -> None:
    counts = ("support", "query", "test_tasks", "test_query", "test_rows", "z_dim")
    for name in counts:
        if getattr(config, name) < 1:
            raise ValueError(
                f"data.{name} must be at least 1, got {getattr(config, name)}"
            )
    if not config.shots or min(config.shots) < 1:
        raise ValueError(
            f"data.shots must be numbers of samples from 1, got {config.shots}"
        )
    if config.noise < 0 or not 0 <= config.correlation < 1:
        raise ValueError(
            "data.noise must not be negative and data.correlation lie in [0, 1), got "
            f"{config.noise} and {config.correlation}"
        )
    if config.name == "toy" and config.z_dim > config.x_dim:
        raise ValueError(
            "data.z_dim must not exceed data.x_dim, or no encoder can recover the "
            f"factors; got {config.z_dim} > {config.x_dim}"
        )
    if config.name == "toy" and config.labels == "classification" and config.z_dim < 2:
        raise ValueError("data.z_dim must be at least 2 for classes of two factors")


def make_spec(config: Config) -> Spec:
    """Sizes of a family of tasks; "features" are read for theirs.

    Raises:
      ValueError: sizes below 1, z_dim > x_dim, a file that is not what it should be.
    """
    _check(config)
    pooled = config.name in ("digits", "features")
    shape: tuple[int, ...]
    d, classes = 0, None
    if config.name == "toy":
        shape, d = (config.x_dim,), config.z_dim
        classes = 4 if config.labels == "classification" else None
    elif config.name == "digits":
        shape, classes = (64,), 2
    elif config.name == "features":
        shape, classes = (), 2
        if config.file is not None:
            found = read_features(Path(config.file))
            shape, classes = found.x.shape[1:], found.classes
    else:
        known = factors.SETS[config.name]
        shape, d = known.shape, len(known.sizes)
        classes = 2**BITS if config.labels == "classification" else None
    raw = () if len(shape) == 3 else ("ridge", "logistic")
    regression = classes is None
    return Spec(
        shape=shape,
        classes=classes,
        factors=d,
        support=config.support,
        shots=config.shots,
        shot_size=classes if pooled and classes else 1,
        score="R²" if regression else "accuracy",
        methods=("sparse", "ridge") if regression else ("sparse", "ridge", "logistic"),
        raw_methods=raw[:1] if regression else raw,
    )


# What tasks ask of factors.


def uses_by_size(key: PRNGKey, tasks: int, d: int) -> Bool[Array, "t d"]:
    """|S| uniform on {1, 2, 3}, S uniform given its size."""
    size_key, order_key = jax.random.split(key)
    size = jax.random.randint(size_key, (tasks, 1), 1, min(max(SIZES), d) + 1)
    return _ranks(order_key, (tasks, d)) < size


def uses_by_coin(key: PRNGKey, tasks: int, d: int) -> Bool[Array, "t d"]:
    """Every factor with probability 1/2; one, drawn for each task, in any case."""
    coin_key, forced_key = jax.random.split(key)
    coins = jax.random.bernoulli(coin_key, 0.5, (tasks, d))
    forced = jax.random.randint(forced_key, (tasks,), 0, d)
    return coins | (forced[:, None] == jnp.arange(d)[None])


def _ranks(key: PRNGKey, shape: tuple[int, ...]) -> Int[Array, "*t d"]:
    """A random order of the last axis."""
    return jnp.argsort(jnp.argsort(jax.random.uniform(key, shape)))


def linear_targets(
    key: PRNGKey,
    z: Float[Array, "t n d"],
    uses: Bool[Array, "t d"],
    noise: float,
    *,
    relative: bool,
) -> Float[Array, "t n"]:
    """`y = w'z + e`, w standard normal on the support and scaled to norm 1.

    e is N(0, noise^2), or, if relative, scaled so that |e| = noise |w'z| in every task.
    """
    weight_key, noise_key = jax.random.split(key)
    w = jax.random.normal(weight_key, uses.shape) * uses
    w = w / jnp.linalg.norm(w, axis=1, keepdims=True)
    y = jnp.einsum("tnd,td->tn", z, w, precision="highest")
    e = jax.random.normal(noise_key, y.shape)
    if relative:
        length = partial(jnp.linalg.norm, axis=1, keepdims=True)
        e = e * length(y) / length(e)
    return y + noise * e


def threshold_classes(
    key: PRNGKey, z: Float[Array, "t n d"]
) -> tuple[Int[Array, "t n"], Bool[Array, "t d"]]:
    """`y = 2 [z_i > tau_i] + [z_j > tau_j]` of two distinct factors; and their support.

    Thresholds are U(-.6, .6).
    """
    order_key, threshold_key = jax.random.split(key)
    t, _, d = z.shape
    rank = _ranks(order_key, (t, d))
    threshold = jax.random.uniform(
        threshold_key, (t, 1, d), minval=-THRESHOLD, maxval=THRESHOLD
    )
    worth = 2 * (rank == 0) + (rank == 1)
    return ((z > threshold) * worth[:, None]).sum(2), rank < 2


def _splits(
    key: PRNGKey, tasks: int, sizes: tuple[int, ...], categorical: tuple[bool, ...]
) -> Bool[Array, "t d v"]:
    """Which values of each factor are on its upper side.

    Values from a threshold U{1 .. v - 1} on; of a categorical factor, as many drawn at
    random.
    """
    cut_key, order_key = jax.random.split(key)
    most = max(sizes)
    size = jnp.array(sizes)[None, :, None]
    cut = jax.random.randint(cut_key, (tasks, len(sizes), 1), 1, size)
    shuffled = jax.random.uniform(order_key, (tasks, len(sizes), most))
    values = jnp.broadcast_to(jnp.arange(most)[None, None], shuffled.shape)
    there = values < size
    rank = jnp.argsort(jnp.argsort(jnp.where(there, shuffled, 2.0)))
    ordered = ~jnp.array(categorical)[None, :, None]
    return (jnp.where(ordered, values, rank) >= cut) & there


def split_classes(
    key: PRNGKey,
    values: Int[Array, "t n d"],
    sizes: tuple[int, ...],
    categorical: tuple[bool, ...],
) -> tuple[Int[Array, "t n"], Bool[Array, "t c"], Bool[Array, "t d"]]:
    """Classes `sum_i 2^i bit_i` of 1 to 3 distinct factors, each split in two.

    Returns:
      The classes, which of the 8 a task has, and its support.
    """
    count_key, order_key, split_key = jax.random.split(key, 3)
    t, _, d = values.shape
    count = jax.random.randint(count_key, (t, 1), 1, min(BITS, d) + 1)
    rank = _ranks(order_key, (t, d))
    uses = rank < count
    upper = _splits(split_key, t, sizes, categorical)
    bits = jnp.take_along_axis(upper, values.swapaxes(1, 2), 2).swapaxes(1, 2)
    worth = jnp.where(uses, 2**rank, 0)
    allowed = jnp.arange(2**BITS)[None] < 2**count
    return (bits * worth[:, None]).sum(2), allowed, uses


# The toy.


def mixing_weights(key: PRNGKey, z_dim: int, x_dim: int) -> tuple[Array, Array, Array]:
    """W_1 with orthonormal rows `[z, x]`, and two orthogonal matrices `[x, x]`."""
    keys = jax.random.split(key, 3)
    shape = (x_dim, x_dim)
    first, *rest = (jnp.linalg.qr(jax.random.normal(k, shape))[0] for k in keys)
    return first[:z_dim], rest[0], rest[1]


def mix(
    weights: tuple[Array, Array, Array], z: Float[Array, "*n z"]
) -> Float[Array, "*n x"]:
    """`x = s(s(z W_1) W_2) W_3`, s(u) = 1.4 leaky_relu(u, slope .3); injective."""
    for w in weights[:-1]:
        product = jnp.matmul(z, w, precision="highest")
        z = GAIN * jax.nn.leaky_relu(product, SLOPE)
    return jnp.matmul(z, weights[-1], precision="highest")


def _draw_toy(
    labels: str,
    noise: float,
    n: int,
    weights: tuple[Array, Array, Array],
    tasks: int,
    key: PRNGKey,
) -> Tasks:
    z_key, use_key, y_key = jax.random.split(key, 3)
    d = weights[0].shape[0]
    z = jax.random.uniform(z_key, (tasks, n, d), minval=-RANGE, maxval=RANGE)
    if labels == "classification":
        y, uses = threshold_classes(y_key, z)
    else:
        uses = uses_by_size(use_key, tasks, d)
        y = linear_targets(y_key, z, uses, noise, relative=False)
    return Tasks(mix(weights, z), y, None, uses)


def _toy(config: Config, spec: Spec) -> Dataset:
    mix_key, *keys = jax.random.split(jax.random.key(config.seed), 3)
    weights = mixing_weights(mix_key, config.z_dim, config.x_dim)

    def held_out(key: PRNGKey, raw: bool) -> HeldOut:
        z_key, task_key = jax.random.split(key)
        shape = (config.test_rows, config.z_dim)
        z = jax.random.uniform(z_key, shape, minval=-RANGE, maxval=RANGE)
        n = max(config.shots) + config.test_query
        tasks = _draw_toy(
            config.labels, config.noise, n, weights, config.test_tasks, task_key
        )
        scores = raw_scores(spec, tasks, config.test_query) if raw else None
        return HeldOut(mix(weights, z), z, tasks, scores)

    draw = bind(_draw_toy, config.labels, config.noise, config.support + config.query)
    return Dataset(
        Partial(draw, weights), held_out(keys[0], False), held_out(keys[1], True)
    )


# Image sets.


class _Images(NamedTuple):
    """Images of one split: all of the set's, and the rows that are in the split.

    Attributes:
      pixels, values: of the whole set, on the device.
      rows: of the split.
      cumulative: of their probabilities; None if they are equal.
    """

    pixels: Array
    values: Int[Array, "n d"]
    rows: Int[Array, "r"]
    cumulative: Float[Array, "r"] | None


def spread(
    key: PRNGKey, values: Int[Array, "*n d"], sizes: tuple[int, ...]
) -> Float[Array, "*n d"]:
    """Values plus U(+-1/2), half the gap between them, with mean 0 and variance 1."""
    size = jnp.array(sizes, float)
    jitter = jax.random.uniform(key, values.shape, minval=-0.5, maxval=0.5)
    shape = (1,) * (values.ndim - 1) + (-1,)
    centre, std = ((size - 1) / 2).reshape(shape), (size / 12**0.5).reshape(shape)
    return (values + jitter - centre) / std


def correlated_weights(
    values: Int[np.ndarray, "n d"], sizes: tuple[int, ...], correlation: float
) -> Float[np.ndarray, "n"]:
    """Probabilities proportional to N(z; 0, S), S_ij = correlation off the diagonal."""
    size = np.array(sizes, float)
    z = (values - (size - 1) / 2) / np.where(size > 1, np.sqrt((size**2 - 1) / 12), 1.0)
    d = len(sizes)
    covariance = np.full((d, d), correlation) + (1 - correlation) * np.eye(d)
    exponent = -0.5 * np.einsum("ni,ni->n", z @ np.linalg.inv(covariance), z)
    weights = np.exp(exponent - exponent.max())
    return weights / weights.sum()


def _draw_images(
    labels: str,
    noise: float,
    n: int,
    sizes: tuple[int, ...],
    categorical: tuple[bool, ...],
    images: _Images,
    tasks: int,
    key: PRNGKey,
) -> Tasks:
    row_key, jitter_key, use_key, y_key = jax.random.split(key, 4)
    shape, count = (tasks, n), images.rows.shape[0]
    if images.cumulative is None:
        at = jax.random.randint(row_key, shape, 0, count)
    else:
        at = jnp.searchsorted(images.cumulative, jax.random.uniform(row_key, shape))
        at = jnp.minimum(at, count - 1)
    rows = images.rows[at]
    values = images.values[rows]
    allowed = None
    if labels == "classification":
        y, allowed, uses = split_classes(y_key, values, sizes, categorical)
    else:
        uses = uses_by_coin(use_key, tasks, len(sizes))
        z = spread(jitter_key, values, sizes)
        y = linear_targets(y_key, z, uses, noise, relative=True)
    return Tasks(images.pixels[rows], y, allowed, uses)


def _read_images(config: Config) -> factors.LabelledImages:
    directory = None if config.directory is None else Path(config.directory)
    if config.name == "smallnorb":
        return tfds.smallnorb(directory)
    if config.name == "dsprites":
        return factors.labelled(tfds.dsprites(directory))
    if config.name == "shapes3d":
        return factors.labelled(tfds.shapes3d(directory))
    if config.file is None:
        raise ValueError(
            "data.file must name an npz with `images` and `factors` of cars3d, which "
            "TensorFlow Datasets does not have"
        )
    found = read_npz(Path(config.file), ("images", "factors"))
    sizes = factors.SETS["cars3d"].sizes
    images = factors.by_factors(found["images"], found["factors"], sizes)
    return factors.labelled(images)


def from_images(
    config: Config, images: factors.LabelledImages, categorical: tuple[bool, ...]
) -> Dataset:
    """Tasks on the factors of given images; a tenth of them each for valid and test.

    Args:
      config: sizes, labels, noise, correlation and seed; its name is not read.
      images: with their factors.
      categorical: factors whose values have no order.
    """
    sizes = tuple(images.sizes)
    rng = np.random.default_rng(config.seed)
    order = rng.permutation(len(images.images))
    tenth = max(1, len(order) // 10)
    parts = order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth]
    pixels, values = jnp.asarray(images.images), jnp.asarray(images.factors)

    def split(rows: np.ndarray) -> _Images:
        cumulative = None
        if config.correlation > 0:
            weights = correlated_weights(
                np.asarray(images.factors)[rows], sizes, config.correlation
            )
            cumulative = jnp.asarray(np.cumsum(weights), float)
        return _Images(pixels, values, jnp.asarray(rows), cumulative)

    fixed = (config.labels, config.noise)

    def held_out(rows: np.ndarray, number: int) -> HeldOut:
        key = jax.random.fold_in(jax.random.key(config.seed), number)
        z_key, task_key = jax.random.split(key)
        some = rows[: config.test_rows]
        n = max(config.shots) + config.test_query
        tasks = _draw_images(
            *fixed, n, sizes, categorical, split(rows), config.test_tasks, task_key
        )
        return HeldOut(pixels[some], spread(z_key, values[some], sizes), tasks, None)

    draw = bind(_draw_images, *fixed, config.support + config.query, sizes, categorical)
    return Dataset(
        Partial(draw, split(parts[0])), held_out(parts[1], 1), held_out(parts[2], 2)
    )


# Labelled samples.


class Pool(NamedTuple):
    """Samples with labels and domains.

    Attributes:
      x: observations.
      y: a label in every column, 0 .. classes - 1.
      domain: the number of each sample's domain.
      domains: their names.
      classes: of every column.
    """

    x: Float[np.ndarray, "n m"]
    y: Int[np.ndarray, "n l"]
    domain: Int[np.ndarray, "n"]
    domains: tuple[str, ...]
    classes: int


def read_npz(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """All arrays of an npz, which must hold those wanted; errors name `data.file`."""
    try:
        with path.open("rb") as stream:
            file = np.load(stream)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array without a name")
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"data.file must be a readable npz of {', '.join(wanted)}; {path}: {error}"
        ) from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(
            f"data.file must hold {', '.join(wanted)}; {path} lacks "
            f"{', '.join(missing)} and has {', '.join(found) or 'nothing'}"
        )
    return found


def read_features(path: Path) -> Pool:
    """Reads `features [n, m]`, `labels [n]` or `[n, l]` and `domains [n]` of an npz.

    Labels and domains may be numbers or strings.

    Raises:
      ValueError: no such file or array, unequal lengths, NaN, one class or one domain
        only, label columns with different numbers of classes.
    """
    found = read_npz(path, ("features", "labels", "domains"))
    x, labels, domains = (found[k] for k in ("features", "labels", "domains"))
    labels = labels.reshape(len(labels), -1) if labels.ndim else labels
    n = len(x) if x.ndim == 2 else 0
    if not n or labels.shape[:1] != (n,) or domains.shape != (n,):
        raise ValueError(
            "data.file must hold features [n, m], labels [n] or [n, l] and domains "
            f"[n]; {path} has {found['features'].shape}, {found['labels'].shape} and "
            f"{domains.shape}"
        )
    if x.dtype.kind not in "biuf":
        raise ValueError(f"data.file must hold features that are numbers: {path}")
    for name, values in (("features", x), ("labels", labels)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"data.file holds NaN or infinite {name}: {path}")
    columns = [np.unique(column, return_inverse=True) for column in labels.T]
    counts = {len(names) for names, _ in columns}
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(
            "data.file must hold labels with the same number of classes, at least 2, "
            f"in every column; {path} has {sorted(counts)}"
        )
    names, numbers = np.unique(domains, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"data.file must hold at least 2 domains, to learn from some and adapt to "
            f"another; {path} has {names.tolist()}"
        )
    y = np.stack([index for _, index in columns], 1)
    kinds = tuple(map(str, names.tolist()))
    return Pool(x.astype(np.float32), y, numbers, kinds, counts.pop())


class _TaskRows(NamedTuple):
    """Training tasks on a pool: which rows each has, in a random order, and its column.

    Attributes:
      x, y: of the pool.
      rows: of every task, padded.
      counts: how many of them are its own.
      columns: of y.
    """

    x: Float[Array, "n m"]
    y: Int[Array, "n l"]
    rows: Int[Array, "k r"]
    counts: Int[Array, "k"]
    columns: Int[Array, "k"]


def _draw_pool(
    support: int, query: int, pool: _TaskRows, tasks: int, key: PRNGKey
) -> Tasks:
    """Support and query come from two halves of a task's rows, cut anew each time."""
    task_key, cut_key, row_key = jax.random.split(key, 3)
    task = jax.random.randint(task_key, (tasks,), 0, pool.counts.shape[0])
    count = pool.counts[task][:, None]
    start = jax.random.randint(cut_key, (tasks, 1), 0, count)
    half = count // 2
    u = jax.random.uniform(row_key, (tasks, support + query))
    first = jnp.arange(support + query)[None] < support
    size = jnp.where(first, half, count - half)
    within = jnp.minimum(jnp.floor(u * size).astype(int), size - 1)
    at = (start + within + jnp.where(first, 0, half)) % count
    rows = jnp.take_along_axis(pool.rows[task], at, 1)
    y = pool.y[rows, pool.columns[task][:, None]]
    return Tasks(pool.x[rows], y, None, None)


def _training_tasks(
    pool: Pool, groups: Sequence[tuple[np.ndarray, int]], rng: np.random.Generator
) -> _TaskRows:
    for rows, column in groups:
        if len(np.unique(pool.y[rows, column])) < 2:
            where = sorted({pool.domains[i] for i in pool.domain[rows]})
            raise ValueError(
                f"labels of column {column} hold one class only in {', '.join(where)}; "
                "a task needs at least two"
            )
    counts = np.array([len(rows) for rows, _ in groups])
    padded = np.stack([np.resize(rng.permutation(r), counts.max()) for r, _ in groups])
    return _TaskRows(
        jnp.asarray(pool.x),
        jnp.asarray(pool.y),
        jnp.asarray(padded),
        jnp.asarray(counts),
        jnp.asarray([column for _, column in groups]),
    )


def _episode(
    pool: Pool,
    rows: np.ndarray,
    column: int,
    shots: int,
    query: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rows of a new task: its classes in turn, `shots` of each, then the query."""
    rows = rng.permutation(rows)
    labels = pool.y[rows, column]
    of_class = [rows[labels == c] for c in range(pool.classes)]
    fewest = min(map(len, of_class))
    if fewest <= shots or len(rows) < shots * pool.classes + query:
        raise ValueError(
            f"data.shots and data.test_query must leave samples to judge by: {shots} "
            f"of each of {pool.classes} classes and {query} more are asked for, and "
            f"label column {column} has {len(rows)}, {fewest} of its rarest class"
        )
    chosen = np.stack([some[:shots] for some in of_class], 1).reshape(-1)
    rest = rows[~np.isin(rows, chosen)]
    return np.concatenate([chosen, rest[:query]])


def _episodes(
    config: Config,
    pool: Pool,
    groups: Sequence[tuple[np.ndarray, int]],
    rng: np.random.Generator,
) -> Tasks:
    groups = groups[: config.test_tasks]
    trials = min(TRIALS, config.test_tasks // len(groups))
    shots, query = max(config.shots), config.test_query
    drawn = [
        (_episode(pool, rows, column, shots, query, rng), column)
        for rows, column in groups
        for _ in range(trials)
    ]
    y = np.stack([pool.y[rows, column] for rows, column in drawn])
    x = np.stack([pool.x[rows] for rows, _ in drawn])
    return Tasks(jnp.asarray(x), jnp.asarray(y), None, None)


def from_pool(
    config: Config,
    pool: Pool,
    training: Sequence[tuple[np.ndarray, int]],
    valid: Sequence[tuple[np.ndarray, int]],
    test: Sequence[tuple[np.ndarray, int]],
) -> Dataset:
    """Tasks on labelled samples: pairs of the rows and the label column of each.

    Raises:
      ValueError: a training task of one class, or too few samples for a new one.
    """
    rng = np.random.default_rng(config.seed)
    rows = _training_tasks(pool, training, rng)
    spec = make_spec(config)
    held_out = []
    for groups in (valid, test):
        tasks = _episodes(config, pool, groups, rng)
        some = np.unique(np.concatenate([r for r, _ in groups]))[: config.test_rows]
        raw = raw_scores(spec, tasks, config.test_query) if groups is test else None
        held_out.append(HeldOut(jnp.asarray(pool.x[some]), None, tasks, raw))
    draw = bind(_draw_pool, config.support, config.query)
    return Dataset(Partial(draw, rows), *held_out)


def _digits(config: Config) -> Dataset:
    """Attributes of scikit-learn's digits: three of them are new, on new images."""
    from sklearn.datasets import load_digits

    data = load_digits()
    of_class = np.array([[c in on for on in ATTRIBUTES.values()] for c in range(10)])
    y = of_class[data.target].astype(np.int32)
    x = (data.images.reshape(-1, 64) / 16.0).astype(np.float32)
    pool = Pool(x, y, np.zeros(len(x), int), ("digits",), 2)
    order = np.random.default_rng(config.seed).permutation(len(x))
    fifth = len(x) // 5
    valid, test, train = order[:fifth], order[fifth : 2 * fifth], order[2 * fifth :]
    new, known = range(NEW_ATTRIBUTES), range(NEW_ATTRIBUTES, len(ATTRIBUTES))
    # Validation asks for known attributes: the new ones must not choose anything.
    return from_pool(
        config,
        pool,
        [(train, column) for column in known],
        [(valid, column) for column in known],
        [(test, column) for column in new],
    )


def _drop_constant(pool: Pool, source: np.ndarray) -> Pool:
    """Features by the source domains' mean and deviation, without constant ones."""
    x = pool.x[source].astype(np.float64)
    mean, std = x.mean(0), x.std(0)
    constant = std <= 1e-7 * (1 + np.abs(mean))
    if constant.any():
        warnings.warn(
            f"features {np.flatnonzero(constant).tolist()} are constant in the source "
            "domains and cannot be standardised; they are set to 0",
            stacklevel=5,
        )
    std[constant] = np.inf
    return pool._replace(x=((pool.x - mean) / std).astype(np.float32))


def _features(config: Config) -> Dataset:
    """A task for every source domain and label column; new ones in the target."""
    if config.file is None:
        raise ValueError(NO_FILE)
    pool = read_features(Path(config.file))
    target = pool.domains[-1] if config.target is None else config.target
    if target not in pool.domains:
        raise ValueError(
            f"data.target must be one of {', '.join(pool.domains)}, got {target!r}"
        )
    number = pool.domains.index(target)
    pool = _drop_constant(pool, np.flatnonzero(pool.domain != number))
    rng = np.random.default_rng(config.seed)
    columns = range(pool.y.shape[1])
    training, valid = [], []
    for domain in range(len(pool.domains)):
        rows = rng.permutation(np.flatnonzero(pool.domain == domain))
        kept = round(VALID_SHARE * len(rows))
        if domain != number:
            training += [(rows[kept:], column) for column in columns]
            valid += [(rows[:kept], column) for column in columns]
    test = np.flatnonzero(pool.domain == number)
    query = min([config.test_query, *(len(r) // 2 for r, _ in valid)])
    if query < config.test_query:
        warnings.warn(
            f"data.test_query is lowered from {config.test_query} to {query}, half of "
            "the smallest domain's validation samples",
            stacklevel=4,
        )
    limited = replace(config, test_query=query)
    return from_pool(limited, pool, training, valid, [(test, c) for c in columns])


def raw_scores(spec: Spec, tasks: Tasks, query: int) -> Float[Array, "methods shots"]:
    """Mean score over new tasks of ridge and logistic regression on the observations.

    scikit-learn's, with its default penalties, on standardised observations.
    """
    from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.asarray(tasks.x).reshape(*tasks.y.shape, -1)
    y = np.asarray(tasks.y)
    regression = spec.classes is None
    models = [Ridge()] if regression else [RidgeClassifier(), LogisticRegression()]
    table = []
    for model in models:
        pipe = make_pipeline(StandardScaler(), model)
        line = []
        for shots in spec.shots:
            k = shots * spec.shot_size
            scores = [
                pipe.fit(a[:k], b[:k]).score(a[-query:], b[-query:])
                for a, b in zip(x, y, strict=True)
                if regression or len(np.unique(b[:k])) > 1
            ]
            line.append(np.mean(scores) if scores else np.nan)
        table.append(line)
    return jnp.asarray(table, float)


def load(config: Config) -> tuple[Spec, Dataset]:
    """Draws or reads a family of tasks.

    Raises:
      ValueError: as `make_spec`; data that are not where they should be, or damaged.
    """
    spec = make_spec(config)
    if config.name == "toy":
        return spec, _toy(config, spec)
    if config.name == "digits":
        return spec, _digits(config)
    if config.name == "features":
        return spec, _features(config)
    known = factors.SETS[config.name]
    unordered = tuple(name in known.categorical for name in known.names)
    return spec, from_images(config, _read_images(config), unordered)


def sampler(train: Partial, tasks: int) -> Callable[[PRNGKey], Tasks]:
    """`key -> Tasks`; the data stay arguments of the program.

    Raises:
      ValueError: tasks below 1.
    """
    if tasks < 1:
        raise ValueError(f"batch must be at least 1 task, got {tasks}")
    return Partial(bind(_draw_batch, tasks), train)


def _draw_batch(tasks: int, train: Partial, key: PRNGKey) -> Tasks:
    return train(tasks, key)
