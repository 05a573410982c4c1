"""Whether latents change enough between domains: condition 4 of `mixing_report`."""

import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdis.identifiability.graphs import Graph, Matrix

__all__ = ["change_strength", "gaussian_changes_ok"]

_ENOUGH_CHANGE = 1e-4  # relative singular value below which changes count as dependent
_FACTORISED = 1e-3  # mixed derivatives of log densities, relative, that count as zero


def _as_block(block: Graph | Sequence[int] | None, n: int) -> Bool[np.ndarray, "z"]:
    chosen = np.ones(n) if block is None else np.asarray(block)
    if chosen.shape != (n,) or not np.isin(chosen, (0, 1)).all() or not chosen.any():
        raise ValueError(
            f"block is {chosen.tolist()}; it must be [{n}] of 0/1 with one entry "
            "per latent and at least one 1, such as a row of `twins`"
        )
    return chosen == 1


def _independence(columns: Float[np.ndarray, "*b d k"]) -> Float[np.ndarray, "*b"]:
    """Smallest singular value relative to the largest; 0 for more columns than rows."""
    if columns.shape[-2] < columns.shape[-1]:
        return np.zeros(columns.shape[:-2])
    values = np.linalg.svd(columns, compute_uv=False)
    largest = values[..., 0]
    return np.asarray(values[..., -1] / np.where(largest > 0, largest, 1.0))


def gaussian_changes_ok(
    means: Matrix,
    stds: Matrix,
    block: Graph | Sequence[int] | None = None,
) -> bool:
    """Whether Gaussian latents change enough from domain to domain.

        rank [m_ui / s_ui^2 - m_0i / s_0i^2,  1 / s_ui^2 - 1 / s_0i^2]_{u >= 1, i in B}
            = 2 |B|

    For Gaussians this is condition 4 of `mixing_report`, and does not depend on z. It
    takes 2 |B| + 1 domains, and changes of means and of standard deviations. In units
    of each latent's standard deviation over all domains, the smallest singular value
    must be above 1e-4 of the largest.

    Args:
      means: m, [d, z], rows are domains. On the host.
      stds: s, [d, z].
      block: B as [z] of 0/1, such as a row of `twins`; None for all latents.

    Returns:
      A boolean.

    Raises:
      ValueError: for a wrong shape, a value that is not finite, or s <= 0.
    """
    m, s = np.asarray(means, np.float64), np.asarray(stds, np.float64)
    if m.ndim != 2 or m.shape != s.shape:
        raise ValueError(
            f"means has shape {m.shape} and stds {s.shape}; both must be matrices: one "
            "row per domain, one column per latent"
        )
    if not np.isfinite(m).all():
        raise ValueError("means holds NaN or infinite values")
    if not (np.isfinite(s) & (s > 0)).all():
        raise ValueError("stds holds values that are not positive and finite")
    chosen = _as_block(block, m.shape[1])
    m, s = m[:, chosen], s[:, chosen]
    unit = np.sqrt((s**2).mean(0) + m.var(0))
    precision = (unit / s) ** 2
    natural = np.concatenate([precision * (m - m.mean(0)) / unit, precision], 1)
    return bool(_independence(natural[1:] - natural[:1]) > _ENOUGH_CHANGE)


def _derivatives(
    log_prob: Callable[[Array, Array], Array], z: Float[Array, "b z"], domains: int
) -> tuple[Float[np.ndarray, "b d z"], Float[np.ndarray, "b d z z"]]:
    """Gradients and Hessians of `log_prob` at every sample, in every domain."""

    def total(z: Array, u: Array) -> Array:
        return jnp.sum(log_prob(z, u))

    def derivatives(z: Array, u: Array) -> tuple[Array, Array]:
        return jax.grad(total)(z, u), jax.hessian(total)(z, u)

    over_domains = jax.vmap(derivatives, (None, 0))
    over_samples = jax.jit(jax.vmap(over_domains, (0, None)))
    slopes, curvatures = over_samples(z, jnp.arange(domains))
    return np.asarray(slopes), np.asarray(curvatures)


def change_strength(
    log_prob: Callable[[Array, Array], Array],
    z: Matrix,
    domains: int,
    block: Graph | Sequence[int] | None = None,
) -> Float[np.ndarray, "b"]:
    """How far from dependent the changes of latents between domains are, at samples.

        smallest / largest singular value of the matrix with rows u >= 1 and columns
        eta_i''(z_i, u) - eta_i''(z_i, 0),  eta_i'(z_i, u) - eta_i'(z_i, 0),  i in B

    with eta_i = log p(z_i | u) and z_i in units of its standard deviation over the
    samples. Condition 4 of `mixing_report` asks for > 0 at almost all z; below about
    1e-4 the changes are dependent in practice.

    Args:
      log_prob: `(z, u) -> log p(z | u)` of one sample [z], a scalar or the [z] terms of
        its sum, twice differentiable.
      z: samples [b, z] of all domains.
      domains: D; u runs over 0..D-1.
      block: B as [z] of 0/1, such as a row of `twins`; None for all latents.

    Returns:
      [b], in [0, 1], on the host; 0 with fewer than 2 |B| + 1 domains.

    Raises:
      ValueError: for a wrong shape, domains < 1, derivatives that are not finite, or a
        density that is not a product over latents.
    """
    z = jnp.asarray(z)
    if z.ndim != 2:
        raise ValueError(
            f"z has shape {z.shape}; it must be [b, z], samples by latents"
        )
    if operator.index(domains) < 1:
        raise ValueError(f"domains is {domains}; it must be at least 1")
    chosen = _as_block(block, z.shape[1])
    slopes, curvatures = _derivatives(log_prob, z, domains)
    if not (np.isfinite(slopes).all() and np.isfinite(curvatures).all()):
        raise ValueError("log_prob has derivatives that are not finite at samples of z")
    unit = np.asarray(z, np.float64).std(0)
    unit = np.where(unit > 0, unit, 1.0)
    curvatures = curvatures * (unit[:, None] * unit)
    own = np.diagonal(curvatures, axis1=-2, axis2=-1)
    mixed = curvatures - own[..., None] * np.eye(len(unit))
    if np.abs(mixed).max() > _FACTORISED * np.abs(own).max():
        raise ValueError(
            "log_prob has mixed derivatives; given the domain it must be a sum of "
            "functions of single latents"
        )
    columns = np.concatenate([own[..., chosen], (slopes * unit)[..., chosen]], -1)
    return _independence(columns[:, 1:] - columns[:, :1])
