"""What is measured of a trained generator, by a judge of real images."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from jaxdis import metrics
from jaxdis.data import colours
from jaxdis.systems.sparse_mixing_gan.generator import (
    Generator,
    Model,
    active,
    style_mapping,
    styles,
    synthesise,
    to_bytes,
    unmixed,
)
from jaxdis.systems.sparse_mixing_gan.judge import (
    HeldOut,
    classify,
    features,
    judged_classes,
)
from jaxdis.types import Config, Metrics, PRNGKey, Score, Spec, TrainState

__all__ = ["ARRAYS", "examples", "pair_distance", "report", "scores"]

ROWS = 128  # latents of the report, each seen in every domain
PICTURES, MOVED, VALUES = 6, 3, 7  # examples, style latents and values in the pictures
REACH = 2.5  # of the values that a style latent is moved over

SYNERGY = "Li et al. 2025 (arXiv 2503.00639)"
DIGIT_KEPT = Score("digit_kept", "Digit kept", "higher", (0, 1))
DOMAIN_RIGHT = Score("domain_right", "Domain right", "higher", (0, 1))
COLOUR_RIGHT = Score("colour_right", "Colour right", "higher", (0, 1), truth=True)
ACTIVE = Score("active", "Active style latents", None, (0, math.inf), SYNERGY)
DIVERSITY = Score("diversity", "Diversity, 1 as real", None, (0, math.inf))
CLASS_ENTROPY = Score("class_entropy", "Entropy of classes, nats", None, (0, math.inf))

ARRAYS = {
    "samples": "seed domain image h w c",
    "translation": "seed image domain h w c",
    "traversal": "seed domain moved value h w c",
    "importance": "seed style",
    "real_images": "domain image h w c",
}
"""What the report returns beside scores, and the names of the axes."""


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """The scores of the report, by what is known of the data.

    Whether a translation keeps its class is asked where there are labels with classes,
    and whether it looks like its domain where there are none: the judge then tells
    domains apart. Colours are judged where the hues of domains are known.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    judged = DOMAIN_RIGHT if judged_classes(spec)[0] is None else DIGIT_KEPT
    colour = () if spec.truth.hues is None else (COLOUR_RIGHT,)
    return (judged, *colour, metrics.FRECHET, ACTIVE, DIVERSITY, CLASS_ENTROPY)


def pair_distance(
    features: Float[Array, "n f"], groups: Int[Array, "n"]
) -> Float[Array, ""]:
    """Mean distance of two different rows of the same group."""
    square = jnp.sum(features**2, 1)
    product = jnp.matmul(features, features.T, precision="highest")
    distance = jnp.sqrt(jnp.maximum(square[:, None] + square[None] - 2 * product, 0.0))
    pair = (groups[:, None] == groups[None]) & ~jnp.eye(len(groups), dtype=bool)
    return jnp.sum(distance * pair) / jnp.maximum(pair.sum(), 1)


def _images(
    model: Model,
    generator: Generator,
    noise: PRNGKey,
    x_tilde: Float[Array, "b z"],
    mask: Float[Array, "z"],
) -> UInt8[Array, "b h w c"]:
    style = styles(model, generator, x_tilde, mask)
    return to_bytes(synthesise(model, generator, style, unmixed(style, noise)))


def _placed(
    model: Model, generator: Generator, z: Float[Array, "b z"], u: Int[Array, ""]
) -> tuple[Float[Array, "b z"], Float[Array, "z"]]:
    """Latents in one domain, and which of them are active style latents."""
    hot = jax.nn.one_hot(u, model.domains)[None]
    hot = jnp.broadcast_to(hot, (len(z), model.domains))
    return style_mapping(model, generator, z, hot)[:2]


def report(model: Model, state: TrainState, batch: HeldOut, key: PRNGKey) -> Metrics:
    """Scores of one seed's averaged generator, judged by a classifier of real images.

    Args:
      model: the networks.
      state: the state of the seed.
      batch: held-out images and their judge.
      key: the key of latents and noise.

    Returns:
      `digit_kept`, the share of pairs of domains in which an image keeps its class when
      only the domain changes, latents and noise fixed, or without labels
      `domain_right`, the share that the judge takes for images of the domain asked for;
      `colour_right`, the share whose colour is that of the domain, where that is known;
      `frechet`, the
      Fréchet distance of the judge's features to those of real images; `active`, style
      latents that domains move; `diversity`, the mean distance of two images of the
      same domain in the judge's features over that of real images; `class_entropy`, of
      the predicted classes, in nats. Arrays for pictures: `translation` (the same
      latents in every domain), `samples`, `traversal` (the most important style latents
      moved), `importance`, `real_images`.
    """
    generator: Generator = state.extra.average
    first, second, noise = jax.random.split(key, 3)
    images = partial(_images, model, generator, noise)
    placed = partial(_placed, model, generator)
    chosen = jnp.arange(model.domains)

    z = jax.random.normal(first, (ROWS, model.z_dim))
    translated = jax.lax.map(lambda u: images(*placed(z, u)), chosen)
    drawn = jax.random.normal(second, (model.domains, PICTURES, model.z_dim))
    samples = jax.lax.map(lambda a: images(*placed(a[0], a[1])), (drawn, chosen))
    traversal = jax.lax.map(
        lambda u: _traversal(model, generator, *placed(z[:1], u), images), chosen
    )
    u = batch.rows.u
    assert u is not None
    rank = jax.vmap(partial(examples, u))(chosen)
    return {
        **_judge(model, translated, batch),
        "active": active(generator.importance).sum(),
        "importance": generator.importance * active(generator.importance),
        "translation": translated[:, :PICTURES].swapaxes(0, 1),
        "samples": samples,
        "traversal": traversal,
        "real_images": batch.rows.x[rank],
    }


def examples(u: Int[Array, "n"], domain: Int[Array, ""]) -> Int[Array, "p"]:
    """The first six rows of a domain; of fewer some come again.

    Args:
      u: the domain of every row.
      domain: the domain.
    """
    there = jnp.maximum(jnp.sum(u == domain), 1)
    return jnp.argsort(u != domain)[jnp.arange(PICTURES) % there]


def _judge(
    model: Model, translated: UInt8[Array, "d b h w c"], batch: HeldOut
) -> Metrics:
    """The scores of images of the same latents in every domain."""
    domains, rows = translated.shape[:2]
    flat = translated.reshape(-1, *model.shape)
    asked = jnp.repeat(jnp.arange(domains), rows)
    found = features(batch.judge, flat)
    classes = classify(batch.judge, flat)
    mean, covariance = metrics.feature_moments(found)
    assert batch.rows.u is not None
    real = features(batch.judge, batch.rows.x[: len(flat)])
    real_distance = pair_distance(real, batch.rows.u[: len(flat)])
    share = jnp.mean(jax.nn.one_hot(classes, model.classes), 0)
    judged = {
        "frechet": metrics.frechet_distance(batch.mean, batch.cov, mean, covariance),
        "diversity": pair_distance(found, asked) / real_distance,
        "class_entropy": -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12))),
    }
    if model.labelled:
        by_domain = classes.reshape(domains, rows)
        same = by_domain[:, None] == by_domain[None]
        pair = ~jnp.eye(domains, dtype=bool)[..., None]
        judged["digit_kept"] = jnp.sum(same & pair) / (rows * pair.sum())
    else:
        judged["domain_right"] = jnp.mean(classes == asked)
    if model.hues is not None:
        seen = colours.nearest_hue(flat, model.hues)
        judged["colour_right"] = jnp.mean(seen == asked)
    return judged


def _traversal(
    model: Model,
    generator: Generator,
    x_tilde: Float[Array, "1 z"],
    mask: Float[Array, "z"],
    images: Callable[[Array, Array], Array],
) -> UInt8[Array, "j v h w c"]:
    """One latent, its most important style latents set to a row of values."""
    moved = min(MOVED, model.style_dims)
    rank = jnp.argsort(-generator.importance)[:moved]
    values = jnp.linspace(-REACH, REACH, VALUES)
    units = jax.nn.one_hot(rank, model.z_dim)[:, None]
    changed = x_tilde[None] * (1 - units) + values[None, :, None] * units
    made = images(changed.reshape(-1, model.z_dim), mask)
    return made.reshape(moved, VALUES, *made.shape[1:])
