"""What is measured of the codes on held-out rows."""

from collections.abc import Callable

from jaxtyping import Array, Bool

from jaxdis import identifiability, metrics
from jaxdis.types import (
    Config,
    Metrics,
    Params,
    PRNGKey,
    Rows,
    Score,
    Spec,
    TrainState,
    Truth,
)

__all__ = ["ARRAYS", "report", "scores", "true_latents"]

ARRAYS = {"correlation": "seed latent code"}


def _pattern(truth: Truth) -> Bool[Array, "d d"] | None:
    """Which latents each code may be a function of, where a graph is known."""
    if truth.gz is None and truth.ga is None:
        return None
    return identifiability.consistency_pattern(truth.gz, truth.ga)


def scores(config: Config, spec: Spec) -> tuple[Score, ...]:
    """Those that `report` returns for a config and a data set, in order of interest.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    if spec.truth.gz is None and spec.truth.ga is None:
        return (metrics.MCC, metrics.R, metrics.DEAD)
    return (metrics.MCC, metrics.R, metrics.R_CON, metrics.R_CON_T, metrics.DEAD)


def true_latents(rows: Rows) -> Array:
    """The true latents of rows.

    Raises:
      ValueError: the rows have none.
    """
    if rows.z is None:
        raise ValueError("baselines needs true latents `z`; these rows have none")
    return rows.z


def report(
    encode: Callable[[Params, Array], Array],
    truth: Truth,
    state: TrainState,
    batch: Rows,
    key: PRNGKey,
) -> Metrics:
    """Scores of one seed on held-out rows; steps of a sequence are stacked.

    Args:
      encode: `(params, x) -> codes`.
      truth: the true graphs, as far as they are known.
      state: the state of one seed.
      batch: the held-out rows.
      key: a random key, not used.

    Returns:
      As `metrics.latent_scores`.
    """
    codes = encode(state.params, batch.x)
    return metrics.latent_scores(true_latents(batch), codes, _pattern(truth))[0]
