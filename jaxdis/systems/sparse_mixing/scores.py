"""What is measured of a trained CG-VAE on held-out rows."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdis import identifiability, losses, metrics
from jaxdis.systems.sparse_mixing.config import Config
from jaxdis.systems.sparse_mixing.model import (
    Model,
    ModelParams,
    decode_flat,
    draw_latents,
    log_prior,
    moments,
    observed,
    squared_error,
)
from jaxdis.types import Metrics, PRNGKey, Rows, Scalar, Score, Spec

__all__ = [
    "ARRAYS",
    "MCC_OBSERVED",
    "RECONSTRUCTION",
    "WRONG_ENTRIES",
    "Theory",
    "report",
    "scores",
    "theory",
]

SHOWN_ROWS = 450
AT_ONCE = 2**22  # numbers of observations or Jacobians that a seed holds at once

_JACOBIAN = "Li et al. 2025 (arXiv 2503.00639), the sparsity of the mixing"
MCC_OBSERVED = metrics.MCC._replace(
    name="mcc_observed", title="MCC of raw observations", better=None, floor=False
)
RECONSTRUCTION = Score("reconstruction", "Squared error", "lower", (0.0, np.inf))
WRONG_ENTRIES = Score(
    "wrong_entries", "Wrong entries", "lower", (0.0, np.inf), truth=True
)
_ALWAYS = (
    Score("jac_std_l1", "Scaled Jacobian L1", None, (0.0, np.inf), _JACOBIAN),
    Score("latent_std", "Deviation of latents", None, (0.0, np.inf)),
    RECONSTRUCTION,
    Score("kl", "KL, nats", None),
    Score("jac_l1", "Jacobian L1", None, (0.0, np.inf), _JACOBIAN),
    metrics.DEAD,
)

# Where the true latents are known the learned ones are matched to them.
ARRAYS = {
    "jacobian": "seed observed latent",
    "correlation": "seed latent latent",
    "latents": "seed row latent",
    "true_latents": "seed row latent",
    "domains": "row",
}


class Theory(NamedTuple):
    """What is known of the true mixing.

    Attributes:
      mask: 1 where a latent moves an observed variable; None if not known.
      blocks: which codes a latent may be a function of, by the mask and the number of
        domains; None if each has its own, or the mask is not known.
    """

    mask: Int[np.ndarray, "x z"] | None
    blocks: Bool[np.ndarray, "z z"] | None


def theory(spec: Spec) -> Theory:
    """What the data are known to be, and what follows; `identifiability`."""
    mask = spec.truth.mask
    if mask is None:
        return Theory(None, None)
    with jax.ensure_compile_time_eval():  # theory is of the host
        found = identifiability.mixing_report(np.asarray(mask), len(spec.domains))
    return Theory(mask, None if found.identified.all() else np.asarray(found.block))


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """All scores that `report` can return.

    Args:
      config: not used.
      spec: says whether latents and mask are known.
    """
    if not spec.z_dim:  # without latents to match, codes have no order
        return _ALWAYS
    known = theory(spec)
    return (
        metrics.MCC,
        metrics.MCC_SPEARMAN,
        *((MCC_OBSERVED,) if len(spec.shape) == 1 else ()),
        metrics.R2,
        *((metrics.BLOCK_R2,) if known.blocks is not None else ()),
        *((WRONG_ENTRIES,) if known.mask is not None else ()),
        *_ALWAYS,
    )


def _in_blocks(
    f: Callable[..., Any], numbers: int, *rows: Float[Array, "b ..."]
) -> Any:
    """`f(*rows)`, by blocks of rows where they have too many numbers.

    Args:
      f: a function of arrays with rows in front, row by row.
      numbers: how many numbers a row has.
      rows: the arrays.
    """
    block = max(1, AT_ONCE // numbers)
    if len(rows[0]) <= block:
        return f(*rows)

    def one(row: tuple[Array, ...]) -> Any:
        return jax.tree.map(lambda a: a[0], f(*(a[None] for a in row)))

    return jax.lax.map(one, rows, batch_size=block)


def _mean_jacobian(
    model: Model, params: ModelParams, z: Float[Array, "b z"]
) -> Float[Array, "m z"]:
    """`mean_b |J|`; of large ones column by column, and of the first rows alone."""
    decoder, m = partial(decode_flat, model, params), math.prod(model.shape)
    if z.size * m <= AT_ONCE:
        return jnp.abs(losses.decoder_jacobian(decoder, z)).mean(0)
    few = z[: max(1, AT_ONCE // m)]

    def column(unit: Array) -> Array:
        along = jnp.broadcast_to(unit[None], few.shape)
        return jnp.abs(jax.jvp(decoder, (few,), (along,))[1]).mean(0)

    return jax.lax.map(column, jnp.eye(z.shape[-1], dtype=z.dtype)).T


def report(
    model: Model,
    known: Theory,
    params: ModelParams,
    batch: Rows,
    conditioning: Scalar,
    key: PRNGKey,
) -> Metrics:
    """Scores of one seed on held-out rows.

    Args:
      model: the networks.
      known: what is known of the true mixing.
      params: the parameters of the networks.
      batch: rows with x and u, and z where the true latents are known.
      conditioning: see `config.Hyper`.
      key: of the draw of latents.

    Returns:
      `reconstruction`, `kl`; of the decoder `jac_l1` = mean_b sum |J|, `jac_std_l1` =
      mean_b sum |J_kj| std_j, which no stretching of latents changes, and `latent_std`,
      the mean standard deviation of the posterior means; `dead`; where the true latents
      are known `mcc`, `mcc_spearman`, `r2`, and of vectors the floor `mcc_observed`,
      which the observations reach as they are; where the true mask is known, too,
      `wrong_entries` of the learned support, and, if theory leaves blocks of latents
      (`mixing_report` of the mask and the number of domains), `block_r2` of these.
      Arrays: `jacobian` = mean_b |J_kj| std_j, over all numbers of an observation in a
      row, and `correlation`, with the latents matched to the true ones; of some rows
      the `latents`, their `domains` and the `true_latents` they were made of.
    """
    x, u = observed(batch.x), batch.u
    assert u is not None
    numbers = math.prod(model.shape)
    mean, log_var = _in_blocks(partial(moments, model, params), numbers, x)
    z, log_q = draw_latents(key, mean, log_var)
    error = _in_blocks(partial(squared_error, model, params), numbers, x, z)
    size, scale = _mean_jacobian(model, params, mean), jnp.std(mean, 0)
    strength = size * scale[None]
    figures: Metrics = {
        "reconstruction": error.mean(),
        "kl": jnp.mean(log_q - log_prior(model, params, z, u, conditioning)),
        "jac_l1": size.sum(),
        "jac_std_l1": strength.sum(),
        "latent_std": scale.mean(),
        "dead": metrics.dead(mean),
        "domains": u[:SHOWN_ROWS],
    }
    if batch.z is None:
        order, found = jnp.arange(mean.shape[-1]), {"latents": mean[:SHOWN_ROWS]}
    else:
        order, found = _against_truth(mean, batch.z, x, known)
    figures |= found | {"jacobian": strength[:, order]}
    if batch.z is not None and known.mask is not None:
        figures["wrong_entries"] = identifiability.support_errors(
            jnp.asarray(known.mask), identifiability.learned_support(strength), order
        )
    return figures


def _against_truth(
    mean: Float[Array, "b z"],
    true: Float[Array, "b k"],
    x: Float[Array, "b ..."],
    known: Theory,
) -> tuple[Int[Array, "k"], Metrics]:
    """The code of each true latent, and what follows from the match."""
    correlation = metrics.correlation_matrix(true, mean)
    order = metrics.assign(correlation)
    signs = jnp.sign(jnp.sum((true - true.mean(0)[None]) * mean[:, order], 0))
    figures = {
        "mcc": metrics.mcc(true, mean),
        "mcc_spearman": metrics.mcc(true, mean, kind="spearman"),
        "r2": metrics.r2(true, mean),
        "correlation": correlation[:, order],
        "latents": (mean[:, order] * signs[None])[:SHOWN_ROWS],
        "true_latents": true[:SHOWN_ROWS],
    }
    if x.ndim == 2:
        figures["mcc_observed"] = metrics.mcc(true, x)
    if known.blocks is not None:
        blocks = jnp.asarray(known.blocks)
        figures["block_r2"] = metrics.block_r2(true, mean, blocks)
    return order, figures
