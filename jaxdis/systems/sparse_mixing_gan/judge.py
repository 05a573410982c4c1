"""The judge: a small classifier of real images, by which generated ones are scored.

It tells digits apart, or whatever the data have labels for, or the domains if there are
none. Generated images are scored by their class and, through
`jaxdis.metrics.frechet_distance` of its features, by their distribution.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Shaped, UInt8

from jaxdis.data import colours
from jaxdis.data import rows as data_rows
from jaxdis.data.rows import Batched
from jaxdis.metrics import feature_moments
from jaxdis.types import Batches, PRNGKey, Rows, Source, Spec, Splits

__all__ = [
    "HeldOut",
    "Judge",
    "as_they_are",
    "batches",
    "classify",
    "features",
    "hold_out",
    "in_any_hue",
    "judged_classes",
    "train_judge",
]

POOLED = 16  # side, at most, of what the judge sees
HIDDEN = (256, 64)  # of the judge
PASSES, PASS_ROWS = 60, 2_000  # of its training
SHIFT = 1  # pixels of at most 32 that its images are moved by
DRAWN = 10_000  # training rows, at most, that it learns from
SEED = 0  # of its training, the same for all seeds of a run

Show: TypeAlias = Callable[[Key[Array, "2"], Array], Array]
"""`(keys, bytes) -> bytes`: training images as the judge sees them."""


class Judge(NamedTuple):
    """A classifier `x <- relu(W x + b)`, without relu in the last layer.

    Attributes:
      weights: `[out, in]` of each layer. The first has one input per pooled pixel, and
        then it reads the brightness, or three, and then it reads RGB.
      biases: `[out]` of each.
    """

    weights: tuple[Float[Array, "..."], ...]
    biases: tuple[Float[Array, "..."], ...]


class HeldOut(NamedTuple):
    """Images that training never sees, and what judges generated ones.

    Attributes:
      rows: the images x, as bytes, and their domains u.
      judge: the judge, trained on training images.
      mean: the mean of the judge's features on all these images.
      cov: the covariance of the features.
    """

    rows: Rows
    judge: Judge
    mean: Float[Array, "f"]
    cov: Float[Array, "f f"]


def judged_classes(spec: Spec) -> tuple[int | None, int]:
    """The column of y that the judge reads, and its number of classes.

    That is the first label with classes; without one the column is None and the classes
    are the domains.
    """
    for column, label in enumerate(spec.labels):
        if label.classes is not None:
            return column, label.classes
    return None, len(spec.domains)


def batches(config: Batched, spec: Spec, splits: Splits) -> Batches:
    """Trains the judge, and puts it beside the rows that are held out.

    Where the data offer the control "unpainted", grey images with labels, the judge
    learns from these in any two colours; otherwise from training rows, at most 10,000.
    Rows without the label that it reads are passed over.

    Args:
      config: the method's config.
      spec: what is known of the data.
      splits: their rows.
    """
    drawn = data_rows.batches(config, spec, splits)
    column, classes = judged_classes(spec)
    rows, show = _lessons(splits)
    labels = np.asarray(
        rows.u if column is None or rows.y is None else rows.y[:, column]
    )
    there = np.flatnonzero(~np.isnan(labels.astype(float)))
    x = rows.x if len(there) == len(labels) else rows.x[there]
    judge = train_judge(_as_bytes(x), labels[there].astype(int), classes, show)
    return drawn._replace(
        valid=hold_out(judge, splits.valid), test=hold_out(judge, splits.test)
    )


def _lessons(splits: Splits) -> tuple[Rows, Show]:
    """What the judge learns from, and how that is shown."""
    if "unpainted" in splits.controls:
        return splits.controls["unpainted"][0], in_any_hue
    if isinstance(splits.train, Source):
        return splits.train.draw(jax.random.key(SEED), DRAWN), as_they_are
    every = -(-len(splits.train.x) // DRAWN)
    return jax.tree.map(lambda a: jnp.asarray(a[::every]), splits.train), as_they_are


def hold_out(judge: Judge, rows: Rows) -> HeldOut:
    """Held-out rows, their judge and the moments of its features on them.

    Args:
      judge: the judge.
      rows: images x of domains u.
    """
    x = _as_bytes(rows.x)
    mean, cov = feature_moments(jax.jit(features)(judge, x))
    return HeldOut(Rows(x, u=rows.u), judge, mean, cov)


def _as_bytes(x: Shaped[Array, "n h w c"]) -> UInt8[Array, "n h w c"]:
    if x.dtype == jnp.uint8:
        return x
    return jnp.clip(jnp.round(255.0 * colours.unit(x)), 0, 255).astype(jnp.uint8)


# What it sees.


def _factor(height: int) -> int:
    """Pixels on a side of a square whose mean the judge sees."""
    return -(-height // POOLED)


def _pooled(x: Float[Array, "n h w c"], k: int) -> Float[Array, "n h2 w2 c"]:
    """Means of squares of k x k pixels; the edge goes on where they do not fit."""
    pad = ((0, 0), (0, -x.shape[1] % k), (0, -x.shape[2] % k), (0, 0))
    x = jnp.pad(x, pad, mode="edge") if k > 1 else x
    n, h, w, c = x.shape
    return x.reshape(n, h // k, k, w // k, k, c).mean((2, 4))


def _inputs(x: Shaped[Array, "n h w c"], channels: int) -> Float[Array, "n m"]:
    """What the judge sees, in [-1, 1]: RGB or one channel, at most 16 pixels wide.

    Of one channel, the brightness of HSV, the largest of R, G and B: of digits in two
    colours it is the grey level, whatever the hues, down to the background's.
    """
    values = colours.unit(x)
    values = values.max(-1, keepdims=True) if channels == 1 else values
    pooled = _pooled(values, _factor(x.shape[1]))
    return 2.0 * pooled.reshape(len(values), -1) - 1.0


def _layer(judge: Judge, i: int, x: Float[Array, "n m"]) -> Float[Array, "n o"]:
    product = jnp.einsum("rm,nm->rn", x, judge.weights[i], precision="highest")
    return product + judge.biases[i][None]


def features(judge: Judge, images: Shaped[Array, "n h w c"]) -> Float[Array, "n f"]:
    """The judge's last hidden layer, after relu.

    Of digits in two colours the judge sees the brightness alone: its features say
    nothing of hues, which `colours.nearest_hue` judges.

    Args:
      judge: the judge.
      images: images of the size that it was trained on; bytes, or numbers in [0, 1].

    Raises:
      ValueError: images of another dtype.
    """
    k = _factor(images.shape[1])
    pixels = -(-images.shape[1] // k) * -(-images.shape[2] // k)
    x = _inputs(images, judge.weights[0].shape[1] // pixels)
    for i in range(len(judge.weights) - 1):
        x = jax.nn.relu(_layer(judge, i, x))
    return x


def classify(judge: Judge, images: Shaped[Array, "n h w c"]) -> Int[Array, "n"]:
    """The class that the judge finds most likely.

    Args:
      judge: the judge.
      images: images as `features` takes them.
    """
    last = len(judge.weights) - 1
    return jnp.argmax(_layer(judge, last, features(judge, images)), -1)


# How it is trained.


def in_any_hue(
    keys: Key[Array, "2"], grey: UInt8[Array, "b h w 1"]
) -> UInt8[Array, "b h w 3"]:
    """Grey images in two colours, the hue of each drawn anew.

    Args:
      keys: the keys of the hue and of its jitter.
      grey: the images.
    """
    hue = jax.random.uniform(keys[0], (len(grey),))
    return colours.painted(keys[1], grey, hue)


def as_they_are(
    keys: Key[Array, "2"], images: UInt8[Array, "b h w c"]
) -> UInt8[Array, "b h w c"]:
    """The images themselves.

    Args:
      keys: two keys, which are not used.
      images: the images.
    """
    return images


@partial(jax.jit, static_argnums=0)
def _training_inputs(
    show: Show, x: Float[Array, "n h w c"], row: Int[Array, "b"], key: PRNGKey
) -> Float[Array, "b m"]:
    """Training images moved by some pixels, as they are shown."""
    move_key, *keys = jax.random.split(key, 3)
    _, h, w, c = x.shape
    margin = (SHIFT, SHIFT)
    padded = jnp.pad(x[row], ((0, 0), margin, margin, (0, 0)), mode="edge")
    move = jax.random.randint(move_key, (len(row), 2), 0, 2 * SHIFT + 1)

    def crop(image: Array, at: Int[Array, "2"]) -> Array:
        return jax.lax.dynamic_slice(image, (at[0], at[1], 0), (h, w, c))

    moved = jax.vmap(crop)(padded, move)
    moved = jnp.round(moved).astype(jnp.uint8)
    return _inputs(show(jnp.stack(keys), moved), c)


def train_judge(
    images: UInt8[Array, "n h w c"],
    labels: Int[np.ndarray, "n"],
    classes: int,
    show: Show = as_they_are,
    passes: int = PASSES,
) -> Judge:
    """Fits scikit-learn's `MLPClassifier` on the host.

    Images are moved by at most a pixel of 32. The judge reads as many channels as they
    have: of grey images that are shown in colours it reads the brightness.

    Args:
      images: the images to train on.
      labels: the class of each, below `classes`.
      classes: the number of classes.
      show: how the images are shown to the judge.
      passes: the number of passes, over 2,000 images each.
    """
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(SEED)
    # Of large images all that is finer than twice what the judge sees costs time.
    k = _factor(images.shape[1])
    small = _pooled(images.astype(float), k // 2 if k % 2 == 0 else 1)
    model = MLPClassifier(HIDDEN, batch_size=100, random_state=SEED)
    for i in range(passes):
        row = rng.integers(0, len(images), PASS_ROWS)
        key = jax.random.fold_in(jax.random.key(SEED), i)
        x = _training_inputs(show, small, jnp.asarray(row), key)
        # Small products gain nothing from threads, which on busy cores wait for long.
        with threadpool_limits(1):
            model.partial_fit(np.asarray(x), labels[row], classes=np.arange(classes))
    weights = [w.T for w in model.coefs_]
    biases = list(model.intercepts_)
    if classes == 2:  # one output, the log odds of the second class
        weights[-1] = np.concatenate([0 * weights[-1], weights[-1]])
        biases[-1] = np.concatenate([0 * biases[-1], biases[-1]])
    return Judge(
        tuple(jnp.asarray(w, float) for w in weights),
        tuple(jnp.asarray(b, float) for b in biases),
    )
