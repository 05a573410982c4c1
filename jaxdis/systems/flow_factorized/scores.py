"""What is measured on held-out sequences.

All scores are means over the same rows: those of classes that training saw. Rows of
classes that were left out of it count in the scores of new classes alone, whose names
end in `_new_class`, and `new_class_rows` is their number.

Latents start at one posterior sample of frame 0; an inferred transformation is a draw
from q(k | sequence), and is compared with the truth up to the permutation of indices
that agrees most. Errors are L1 distances between frames, summed over frames 1 .. T and
averaged over the rows of each transformation, then over those transformations that
there are rows of. Of a plain VAE there are these errors alone, from posterior means,
with its best linear steps as the model's; and the ELBO, whose posterior sees the frame
itself.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import metrics
from jaxdis.systems.flow_factorized import networks
from jaxdis.systems.flow_factorized.build import build
from jaxdis.systems.flow_factorized.config import Config
from jaxdis.systems.flow_factorized.heldout import (
    HeldOut,
    first_of_each,
    mean_of,
    of_seen_classes,
)
from jaxdis.systems.flow_factorized.indices import Indices, given, inferred
from jaxdis.systems.flow_factorized.measures import (
    MovedRows,
    PairScores,
    in_blocks,
    score_flow,
    score_plain,
)
from jaxdis.systems.flow_factorized.networks import Model, ModelParams
from jaxdis.types import Metrics, PRNGKey, Score, Spec, TrainState

__all__ = [
    "ARRAYS",
    "IWAE_SAMPLES",
    "REPORTS",
    "report_flow",
    "report_plain",
    "scores",
]

IWAE_SAMPLES = 10
SHOWN_IMAGES = 3
SHOWN_PAIRS = 6
Side: TypeAlias = Literal["higher", "lower"] | None

ARRAYS = {
    "error_by_step": "seed transformation time",
    "static_by_step": "seed transformation time",
    "true_frames": "image transformation frame height width channel",
    "flow_frames": "seed image transformation frame height width channel",
    "shown_pairs": "pair index",
    "true_superposed": "pair frame height width channel",
    "flow_superposed": "seed pair frame height width channel",
    "true_switched": "pair frame height width channel",
    "flow_switched": "seed pair frame height width channel",
    "superposed_by_pair": "seed way first second",
    "confusion": "seed true inferred",
}
"""Errors by step; frames of some rows, of the data and of the model; which two
transformations each of some pairs shows, their frames, and errors of all pairs, in the
ways "both at once", "the first alone" and "the second alone"; and how often a sequence
of each transformation is taken for which."""

INDEX_ACCURACY = Score(
    "index_accuracy", "Index accuracy", "higher", (0.0, 1.0), truth=True
)
STATIC_ERROR = metrics.EQUIVARIANCE_ERROR._replace(
    name="static_error", title="Static error", better=None
)
NEW_CLASS_ROWS = Score(
    "new_class_rows",
    "Rows of new classes, in no other mean",
    None,
    (0, float("inf")),
    "held-out rows of classes that training never saw",
)


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """The scores that a report may have, in order of interest.

    Args:
      config: the config of the method.
      spec: what is known of the data.
    """
    model = build(config, spec)
    likelihood = [metrics.ELBO]
    rest = [metrics.ELBO._replace(name="elbo_start", title="ELBO of the first frame")]
    families = [*_errors(model, spec, metrics.EQUIVARIANCE_ERROR)]
    families += _errors(model, spec, STATIC_ERROR)
    if model.flows:
        likelihood += _of_flows(model)
        rest += _of_pairs(model)
        rest.append(Score("invertible", "Invertible steps", range=(0.0, 1.0)))
    if _has_new_classes(spec):
        rest += [_of_new_classes(metrics.ELBO), NEW_CLASS_ROWS]
        if model.index_encoder is not None and model.names:
            rest.append(_of_new_classes(INDEX_ACCURACY))
    if model.flows and model.divergence.densities is None:
        rest += [
            Score(f"diffusion_{name}", f"Diffusion of the prior, {_words(name)}")
            for name in model.names
        ]
    first, *others = families
    return (first, *likelihood, *others, *rest)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _errors(model: Model, spec: Spec, whole: Score) -> Iterator[Score]:
    """The scores of one kind of error; see `_error_figures`."""

    def score(end: str, words: str) -> Score:
        return whole._replace(name=f"{whole.name}{end}", title=f"{whole.title}{words}")

    yield whole
    for transformation in model.names:
        yield score(f"_{transformation}", f", {_words(transformation)}")
    yield score("_but_last", ", without the last frame")
    for transformation in model.names:
        words = f", {_words(transformation)}, without the last frame"
        yield score(f"_but_last_{transformation}", words)
    yield score("_longer", " of a frame after T")
    if _has_new_classes(spec):
        yield _of_new_classes(whole)


def _has_new_classes(spec: Spec) -> bool:
    """Whether some held-out rows are of classes that training never saw."""
    return "new_class" in (label.name for label in spec.labels)


def _of_new_classes(score: Score) -> Score:
    """The same score, of rows of these classes alone."""
    return score._replace(
        name=f"{score.name}_new_class", title=f"{score.title}, new classes"
    )


def _of_flows(model: Model) -> Iterator[Score]:
    yield metrics.IWAE
    yield Score("hj_residual", "HJ residual", "lower", (0.0, float("inf")))
    if model.index_encoder is not None and model.names:
        yield INDEX_ACCURACY
        words = "Index accuracy of a draw"
        yield INDEX_ACCURACY._replace(name="index_accuracy_drawn", title=words)
    yield metrics.COMPAT_LOGLIK
    if model.divergence.densities is not None:
        yield Score("released_loglik", "Released likelihood figure")


def _of_pairs(model: Model) -> Iterator[Score]:
    if len(model.names) < 2:
        return
    pairs: tuple[tuple[str, str, Side], ...] = (
        ("superposed_error", "Error of two at once", "lower"),
        ("superposed_alone", "Error there of the better one alone", None),
        ("superposed_worst", "Largest ratio of the two over pairs", "lower"),
        ("superposed_static", "Static error of two at once", None),
        ("switched_error", "Error of one after the other", "lower"),
        ("switched_restarted", "Error with a clock that restarts", "lower"),
        ("switched_static", "Static error of one after the other", None),
    )
    for name, title, side in pairs:
        yield Score(name, title, side, (0.0, float("inf")))


Chooser = Callable[[Model, ModelParams, HeldOut, PRNGKey], Indices]


def report_flow(
    choose: Chooser, model: Model, state: TrainState, data: HeldOut, key: PRNGKey
) -> Metrics:
    """Scores of one seed whose latents flow.

    Args:
      choose: which transformation moves each row.
      model: the networks and forms of the terms.
      state: the seed's state.
      data: held-out rows.
      key: a random key.

    Returns:
      The scores that `scores` declares and the arrays of `ARRAYS`, over the rows of
      classes that training saw; of the others there are `_new_class` scores. ELBO, IWAE
      (10 samples) and `compat_loglik` are of a frame, averaged over t = 1 .. T, with
      the exact log-determinant; `released_loglik` is the last of the three from the
      released densities over t = 1 .. T - 1, as it was published.
    """
    params = state.params
    sample_key, index_key = jax.random.split(key)
    y, match, figures = choose(model, params, data, index_key)
    other = data.k if data.other is None else data.other
    rows = MovedRows(
        data._replace(fitting=None),
        y,
        jax.nn.one_hot(match[data.k], model.k),
        jax.nn.one_hot(match[other], model.k),
        jax.random.normal(sample_key, (len(data.k), IWAE_SAMPLES, model.z_dim)),
    )
    found = in_blocks(partial(score_flow, model, params), rows)
    figures = figures | _error_figures(model, data, found.error, "equivariance_error")
    figures |= _error_figures(model, data, found.static, "static_error")
    if found.pairs is not None:
        figures |= _pair_figures(model, data, found.pairs)
    seen = of_seen_classes(data)
    figures |= _elbo_figures(data, found.elbo) | {
        "iwae": mean_of(found.iwae[:, 1:], seen),
        "compat_loglik": mean_of(found.compat[:, 1:], seen),
        "hj_residual": jnp.sqrt(mean_of(found.residual, seen)),
        "invertible": mean_of(found.invertible, seen),
    }
    if found.released is not None:
        figures["released_loglik"] = mean_of(found.released[:, :-1], seen)
    else:
        diffusion = jax.nn.softplus(params.prior)[match]
        for i, name in enumerate(model.names):
            figures[f"diffusion_{name}"] = diffusion[i]
    return figures | _pictures(model, data, found.error, found.static, found.frames)


def report_plain(
    model: Model, state: TrainState, data: HeldOut, key: PRNGKey
) -> Metrics:
    """Scores of one seed of a plain VAE, whose latents stand still or step linearly.

    The linear steps are fitted to the posterior means of training sequences, a map for
    every transformation and time.

    Args:
      model: the networks.
      state: the seed's state.
      data: held-out rows, with sequences to fit to.
      key: a random key.
    """
    params, fitting = state.params, data.fitting
    assert fitting is not None

    def means(x: Float[Array, "b t h w c"]) -> Float[Array, "b t z"]:
        return networks.mean_and_log_var(model, params, x)[0]

    fitted = in_blocks(means, fitting.x)
    own = jax.nn.one_hot(fitting.k, _groups(model)).T
    steps = jax.vmap(metrics.fit_linear_steps, (None, 0))(fitted, own)
    eps = jax.random.normal(key, (*data.x.shape[:2], model.z_dim))
    rows = (data._replace(fitting=None), eps)
    found = in_blocks(partial(score_plain, model, params, steps), rows)
    figures = _error_figures(model, data, found.error, "equivariance_error")
    figures |= _error_figures(model, data, found.static, "static_error")
    figures |= _elbo_figures(data, found.elbo)
    return figures | _pictures(model, data, found.error, found.static, found.frames)


REPORTS: dict[str, Callable[[Model, TrainState, HeldOut, PRNGKey], Metrics]] = {
    "known": partial(report_flow, given),
    "inferred": partial(report_flow, inferred),
    "none": report_plain,
}
"""The report by `supervision`."""


def _groups(model: Model) -> int:
    """Rows are told apart by transformation where this is known."""
    return max(1, len(model.names))


def _by_name(
    model: Model, data: HeldOut, values: Float[Array, "r *t"]
) -> Float[Array, "g *t"]:
    """Means over the rows of each transformation whose class training saw."""
    weights = jax.nn.one_hot(data.k, _groups(model)) * of_seen_classes(data)[:, None]
    return jnp.einsum("rk,r...->k...", weights / weights.sum(0)[None], values)


def _elbo_figures(data: HeldOut, elbo: Float[Array, "r t"]) -> Metrics:
    """Bounds of a frame, of seen and of new classes."""
    seen = of_seen_classes(data)
    figures: Metrics = {
        "elbo": mean_of(elbo[:, 1:], seen),
        "elbo_start": mean_of(elbo[:, 0], seen),
    }
    if data.new_class is not None:
        figures["elbo_new_class"] = mean_of(elbo[:, 1:], data.new_class)
        figures[NEW_CLASS_ROWS.name] = data.new_class.sum()
    return figures


def _error_figures(
    model: Model, data: HeldOut, error: Float[Array, "r t"], name: str
) -> Metrics:
    """Errors summed over frames, for each transformation and on average.

    The average is over transformations that there are rows of, NaN of the others.
    Published errors, `_but_last`, leave out the last frame.
    """
    steps = model.steps
    whole = _by_name(model, data, error[:, 1 : steps + 1].sum(1))
    but_last = _by_name(model, data, error[:, 1:steps].sum(1))
    figures = {
        name: jnp.nanmean(whole),
        f"{name}_but_last": jnp.nanmean(but_last),
    }
    for i, transformation in enumerate(model.names):
        figures[f"{name}_{transformation}"] = whole[i]
        figures[f"{name}_but_last_{transformation}"] = but_last[i]
    if error.shape[1] > steps + 1:
        seen = of_seen_classes(data)
        figures[f"{name}_longer"] = mean_of(error[:, steps + 1 :], seen)
    if data.new_class is not None:
        new = data.new_class
        figures[f"{name}_new_class"] = mean_of(error[:, 1 : steps + 1].sum(1), new)
    return figures


def _by_pair(
    model: Model, data: HeldOut, values: list[Float[Array, "r"]]
) -> Float[Array, "v k k"]:
    """Means over the rows of every ordered pair of transformations, NaN over none.

    Of classes that training saw.
    """
    assert data.other is not None
    k = len(model.names)
    first, second = jax.nn.one_hot(data.k, k), jax.nn.one_hot(data.other, k)
    first *= of_seen_classes(data)[:, None]
    sums = jnp.einsum("rk,rl,vr->vkl", first, second, jnp.stack(values))
    return sums / jnp.einsum("rk,rl->kl", first, second)[None]


def _pair_figures(model: Model, data: HeldOut, pairs: PairScores) -> Metrics:
    """Scores of two transformations at once and in turn, and the frames of some."""
    assert data.other is not None
    assert data.superposed is not None
    assert data.switched is not None
    k, seen = len(model.names), of_seen_classes(data)
    by_pair = _by_pair(model, data, [pairs.superposed, pairs.first, pairs.second])
    both, alone = by_pair[0], by_pair[1:].min(0)
    shown = min(SHOWN_PAIRS, k * (k - 1), len(data.k))
    return {
        "superposed_error": jnp.nanmean(both),
        "superposed_alone": jnp.nanmean(alone),
        "superposed_worst": jnp.nanmax(both / alone),
        "superposed_by_pair": by_pair,
        "superposed_static": mean_of(pairs.still, seen),
        "switched_error": mean_of(pairs.switched, seen),
        "switched_restarted": mean_of(pairs.restarted, seen),
        "switched_static": mean_of(pairs.switched_still, seen),
        "shown_pairs": jnp.stack([data.k, data.other], 1)[:shown],
        "true_superposed": data.superposed[:shown],
        "flow_superposed": pairs.superposed_frames[:shown],
        "true_switched": data.switched[:shown],
        "flow_switched": pairs.switched_frames[:shown],
    }


def _pictures(
    model: Model,
    data: HeldOut,
    error: Float[Array, "r t"],
    static: Float[Array, "r t"],
    frames: Float[Array, "r t1 h w c"],
) -> Metrics:
    """Arrays that the figures of single transformations are made of."""
    k = _groups(model)
    images = min(SHOWN_IMAGES, len(data.k) // k)

    shown = first_of_each(data.k, k, images)

    def grid(frames: Array) -> Float[Array, "m k t h w c"]:
        return frames[shown]

    return {
        "error_by_step": _by_name(model, data, error),
        "static_by_step": _by_name(model, data, static),
        "true_frames": grid(data.x),
        "flow_frames": grid(frames),
    }
