"""What is measured of the codes and the graphs on held-out rows."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdis import identifiability, masks, metrics
from jaxdis.systems.mechanism_sparsity.build import Model, ModelParams, build
from jaxdis.systems.mechanism_sparsity.config import Config
from jaxdis.systems.mechanism_sparsity.edges import Graphs
from jaxdis.systems.mechanism_sparsity.elbo import (
    draw_noise,
    elbo_terms,
    posterior,
    with_time,
)
from jaxdis.types import Metrics, PRNGKey, Rows, Score, Spec, TrainState

__all__ = ["ARRAYS", "NLL", "report", "scores"]

NLL = Score(
    "nll",
    "NLL",
    "lower",
    source="Lachapelle et al. 2022 (arXiv 2107.10098), section 4",
)
"""The negative ELBO per observed number, in nats."""

BLOCK = 256  # rows of images that are decoded at once

ARRAYS = {
    "correlation": "seed latent code",
    "graph_z": "seed child parent",
    "true_graph_z": "child parent",
    "graph_a": "seed child action",
    "true_graph_a": "child action",
    "order": "seed child",
}


def _matched(model: Model) -> bool:
    """Whether each true latent has a code of its own."""
    return model.z_true == model.config.z_dim


def _patterned(model: Model) -> bool:
    """Whether a true graph says which latents can be told apart."""
    return model.truth.z is not None or model.truth.a is not None


def _learned(model: Model) -> Graphs:
    """Which graphs the config lets training learn."""
    return Graphs(
        z=model.past and model.config.time_graph == "learned",
        a=model.a_dim > 0 and model.config.action_graph == "learned",
    )


def _compared(model: Model) -> bool:
    """Whether there are learned graphs, all of which can be compared with true ones."""
    pairs = list(zip(_learned(model), model.truth, strict=True))
    known = all(true is not None for learned, true in pairs if learned)
    return known and any(learned for learned, _ in pairs) and _matched(model)


def _errors(
    model: Model, graphs: Graphs, pressed: Graphs, order: Int[Array, "z"]
) -> Metrics:
    """Wrong edges of the learned graphs; NaN where nothing has pressed on one of them.

    Such a graph has all edges: its distance from a sparse truth says how many edges
    that has, and nothing of what was learned.
    """
    learned = _learned(model)
    true, found = (
        Graphs(*(g if own else None for own, g in zip(learned, some, strict=True)))
        for some in (model.truth, graphs)
    )
    missing, extra = metrics.edge_errors(true.z, true.a, found.z, found.a, order)
    ways = [
        (own, bool(np.all(graph)))
        for own, graph in zip(pressed, true, strict=True)
        if graph is not None
    ]
    # Of a true graph with all edges nothing is lost where nothing presses.
    whole = jnp.stack([own | dense for own, dense in ways]).all()
    whole &= jnp.stack([own for own, _ in ways]).any()
    errors = {"shd": missing + extra, "missing": missing, "extra": extra}
    return {name: jnp.where(whole, n, jnp.nan) for name, n in errors.items()}


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """Those that `report` returns for a config and a data set, in order of interest.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    model = build(config, spec)
    latents, graphs = model.z_true > 0, _compared(model)
    pattern = latents and _patterned(model)
    declared = {
        metrics.MCC: latents,
        metrics.R: latents,
        metrics.R_CON: pattern,
        metrics.SHD: graphs,
        NLL: True,
        metrics.R_CON_T: pattern,
        metrics.MISSING: graphs,
        metrics.EXTRA: graphs,
        metrics.DEAD: True,
    }
    return tuple(score for score, there in declared.items() if there)


def report(model: Model, state: TrainState, batch: Rows, key: PRNGKey) -> Metrics:
    """Scores of one seed on held-out rows.

    Steps of a sequence are stacked; z_hat is the encoder's mean; the masks of the nll
    are the thresholded graphs.

    Args:
      model: networks and sizes.
      state: the state of one seed.
      batch: the held-out rows.
      key: a random key for the noise of the nll.

    Returns:
      The scalars `nll` and `dead` codes. Where the true latents are known `mcc`, `r`
      and the matrix `correlation`; with a true graph also `r_con` (and with the
      transposed pattern, `r_con_t`); where all graphs that are learned are known and
      the sizes agree `shd`, `missing` and `extra` edges of these, NaN where neither a
      penalty nor a bound has made training learn one of them. Edge probabilities
      `graph_z` and `graph_a`: rows (and columns, where they are latents) are in the
      order of the true latents that the codes are matched to, with `true_graph_z` and
      `true_graph_a` where known and `order`, the code of each row: `codes[..., order]`
      has their order. Where latents and codes do not pair up they are in the order of
      the codes, without it.
    """
    params, rows = state.params, with_time(batch, len(model.shape))
    probability = model.relaxation.probability
    probabilities = jax.tree.map(
        lambda m: probability(m, state.extra.temperature), params.masks
    )
    graphs = jax.tree.map(masks.threshold, probabilities)
    noise = draw_noise(key, model, params.masks, rows).posterior
    drawn = jax.tree.map(lambda g: g.astype(float), graphs)
    measure = _at_once if len(model.shape) == 1 else _by_blocks
    errors, z_hat = measure(model, params, rows, noise, drawn, state.extra.shift)
    found: Metrics = {"nll": errors.mean()}
    if rows.z is None or not model.z_true:
        in_order = _in_order(probabilities, jnp.arange(model.config.z_dim))
        return found | {"dead": metrics.dead(_stacked(z_hat))} | in_order
    pattern = None
    if _patterned(model):
        pattern = identifiability.consistency_pattern(*model.truth)
    latents, order = metrics.latent_scores(rows.z, z_hat, pattern)
    found |= latents
    if not _matched(model):
        return found | _in_order(probabilities, jnp.arange(model.config.z_dim))
    found |= _in_order(probabilities, order) | {"order": order}
    for name, truth in model.truth._asdict().items():
        if truth is not None:
            found[f"true_graph_{name}"] = jnp.asarray(truth)
    if _compared(model):
        found |= _errors(model, graphs, state.extra.pressed, order)
    return found


def _stacked(codes: Float[Array, "b t z"]) -> Float[Array, "n z"]:
    return codes.reshape(-1, codes.shape[-1])


def _at_once(
    model: Model,
    params: ModelParams,
    rows: Rows,
    noise: Float[Array, "b t z"],
    graphs: Graphs,
    shift: Float[Array, ""],
) -> tuple[Float[Array, "b"], Float[Array, "b t z"]]:
    """The negative ELBO of each row, and its codes."""
    terms = elbo_terms(params, model, rows, noise, graphs, shift)
    codes = posterior(params, model, rows.x).mean
    return terms.reconstruction + terms.kl, codes


def _by_blocks(
    model: Model,
    params: ModelParams,
    rows: Rows,
    noise: Float[Array, "b t z"],
    graphs: Graphs,
    shift: Float[Array, ""],
) -> tuple[Float[Array, "b"], Float[Array, "b t z"]]:
    """The same, of a few rows at a time: images of many seeds are large."""

    def one(row: tuple[Array, Array | None, Array]) -> tuple[Array, Array]:
        x, a, draw = jax.tree.map(lambda value: value[None], row)
        errors, codes = _at_once(model, params, Rows(x, a), draw, graphs, shift)
        return errors[0], codes[0]

    seen = (rows.x, rows.a, noise)
    return jax.lax.map(one, seen, batch_size=min(BLOCK, len(rows.x)))


def _in_order(probabilities: Graphs, order: Int[Array, "z"]) -> Metrics:
    """Edge probabilities with the latents in the given order."""
    found: Metrics = {}
    if probabilities.z is not None:
        found["graph_z"] = probabilities.z[order][:, order]
    if probabilities.a is not None:
        found["graph_a"] = probabilities.a[order]
    return found
