"""Priors that differ between domains: a monotone flow for every latent and domain.

A strictly increasing map takes a latent to standard normal noise, e = F_ui(z_i), so
that latents are independent given the domain u and

    log p(z | u) = sum_i log N(e_i; 0, 1) + log dF_ui(z_i) / dz_i.

The parameters of all domains are one table: what is made of them alone, such as the
knots of splines, is made once per domain, whatever the batch.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdis import gaussian, monotone

__all__ = [
    "BOUND",
    "FAMILIES",
    "DomainFlow",
    "Family",
    "Knots",
    "domain_log_prob",
    "domain_noise",
    "make_knots",
    "parameter_count",
    "spline",
]

Family: TypeAlias = Literal["rqs", "affine", "ddsf"]

BOUND = 5.0
"""Splines are the identity outside [-BOUND, BOUND]."""
_FLOOR = 1e-4  # least width and height of a bin, and least slope


class Knots(NamedTuple):
    """Bins of monotone splines on [-5, 5]; k bins, and any axes before.

    Attributes:
      x: the left end of a bin.
      y: the spline's value there.
      width: the width of a bin.
      height: the spline's rise over it.
      slope: the spline's slope at its left end; 1 at -5.
      next_slope: the spline's slope at its right end; 1 at 5.
    """

    x: Float[Array, "*s k"]
    y: Float[Array, "*s k"]
    width: Float[Array, "*s k"]
    height: Float[Array, "*s k"]
    slope: Float[Array, "*s k"]
    next_slope: Float[Array, "*s k"]


def make_knots(theta: Float[Array, "*s p"]) -> Knots:
    """Knots from free parameters; zeros are the identity.

    Widths and heights are softmaxes times 10 with a floor of 1e-4, the slopes inside
    `1e-4 + softplus(theta + log(e^(1 - 1e-4) - 1))`.

    Args:
      theta: p = 3 k + 1, ordered as distrax does: k widths, k heights, k + 1 slopes, of
        which the first and the last are not used.
    """
    k = (theta.shape[-1] - 1) // 3

    def sides(free: Array) -> Array:
        return _FLOOR + (2 * BOUND - k * _FLOOR) * jax.nn.softmax(free)

    width, height = sides(theta[..., :k]), sides(theta[..., k : 2 * k])
    offset = jnp.log(jnp.expm1(1 - _FLOOR))
    inner = _FLOOR + jax.nn.softplus(theta[..., 2 * k + 1 : -1] + offset)
    ends = jnp.ones((*inner.shape[:-1], 1), inner.dtype)
    return Knots(
        jnp.cumsum(width, -1) - width - BOUND,
        jnp.cumsum(height, -1) - height - BOUND,
        width,
        height,
        jnp.concatenate([ends, inner], -1),
        jnp.concatenate([inner, ends], -1),
    )


def spline(
    knots: Knots, y: Float[Array, "*s"]
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """A monotone rational-quadratic spline and the log of its slope.

    In the bin with corner (X, Y), sides w and h, slopes d_0 and d_1 at its ends, and
    with s = h / w, t = (y - X) / w:

        den = s + (d_1 + d_0 - 2 s) t (1 - t)
        value = Y + h [s t^2 + d_0 t (1 - t)] / den
        slope = s^2 [d_1 t^2 + 2 s t (1 - t) + d_0 (1 - t)^2] / den^2

    and the identity outside [-5, 5].

    Args:
      knots: the bins of every value's spline.
      y: values.

    Returns:
      The spline's values and the logs of its slopes.

    Source: Durkan et al. 2019, "Neural Spline Flows" (arXiv 1906.04032), equations 4
      and 5.

    Note: The bin is picked by a sum over bins, not by an index, whose derivative would
      be a scatter: distrax's `RationalQuadraticSpline` gives the same values and
      gradients and takes 1.9 to 13 times as long on two CPU cores, the longer the
      larger the batch (`python -m benchmarks.densities`).
    """
    inside = jnp.abs(y) < BOUND
    at = jnp.clip(y, -BOUND, BOUND)
    passed = at[..., None] >= knots.x
    last = jnp.zeros_like(passed[..., :1])
    chosen = passed & ~jnp.concatenate([passed[..., 1:], last], -1)
    bin_ = Knots(*(jnp.sum(jnp.where(chosen, part, 0.0), -1) for part in knots))
    t, s = (at - bin_.x) / bin_.width, bin_.height / bin_.width
    between = t * (1 - t)
    den = s + (bin_.next_slope + bin_.slope - 2 * s) * between
    value = bin_.y + bin_.height * (s * t**2 + bin_.slope * between) / den
    rise = bin_.next_slope * t**2 + 2 * s * between + bin_.slope * (1 - t) ** 2
    log_slope = 2 * jnp.log(s) + jnp.log(rise) - 2 * jnp.log(den)
    return jnp.where(inside, value, y), jnp.where(inside, log_slope, 0.0)


_Noise: TypeAlias = tuple[Float[Array, "b z"], Float[Array, "b z"]]


class DomainFlow(NamedTuple):
    """One form of the maps from latents to noise.

    Attributes:
      parameters: `bins -> number of parameters` of one latent in one domain.
      noise: `(theta, z, u, shared) -> (noise, log slopes)`, as `domain_noise`.
    """

    parameters: Callable[[int], int]
    noise: Callable[[Array, Array, Array, monotone.Shared | None], _Noise]


def _moved(
    theta: Float[Array, "d z p"], z: Float[Array, "b z"], u: Int[Array, "b"]
) -> _Noise:
    """`(z - c) exp(-s)` and its log slope; c and s are the first two parameters."""
    centre, log_scale = theta[u, :, 0], theta[u, :, 1]
    return (z - centre) * jnp.exp(-log_scale), -log_scale


def _affine_noise(
    theta: Float[Array, "d z p"],
    z: Float[Array, "b z"],
    u: Int[Array, "b"],
    shared: monotone.Shared | None,
) -> _Noise:
    return _moved(theta, z, u)


def _spline_noise(
    theta: Float[Array, "d z p"],
    z: Float[Array, "b z"],
    u: Int[Array, "b"],
    shared: monotone.Shared | None,
) -> _Noise:
    y, log_scale = _moved(theta, z, u)
    knots = jax.tree.map(lambda a: a[u], make_knots(theta[..., 2:]))
    noise, log_slope = spline(knots, y)
    return noise, log_slope + log_scale


def _sigmoidal_noise(
    theta: Float[Array, "d z p"],
    z: Float[Array, "b z"],
    u: Int[Array, "b"],
    shared: monotone.Shared | None,
) -> _Noise:
    assert shared is not None
    value, slope = monotone.ddsf_and_slope(theta[u], shared, z)
    return z + value, jnp.log1p(slope)


FAMILIES: dict[Family, DomainFlow] = {
    "rqs": DomainFlow(lambda bins: 3 * bins + 3, _spline_noise),
    "affine": DomainFlow(lambda _: 2, _affine_noise),
    "ddsf": DomainFlow(lambda _: monotone.PARAMETERS, _sigmoidal_noise),
}
"""The forms of F: a spline after an affine map, the affine map alone, or the identity
plus a deep sigmoidal flow."""


def parameter_count(family: Family, bins: int) -> int:
    """Parameters of one latent in one domain: 2, 3 bins + 3, or those of the DDSF."""
    return FAMILIES[family].parameters(bins)


def domain_noise(
    theta: Float[Array, "d z p"],
    z: Float[Array, "b z"],
    u: Int[Array, "b"],
    *,
    family: Family,
    shared: monotone.Shared | None = None,
) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
    """Latents to noise, e_i = F_ui(z_i), and `log dF_ui(z_i) / dz_i`.

        affine  e = (z - c) exp(-s)
        rqs     e = RQS((z - c) exp(-s)), RQS a `spline`
        ddsf    e = z + f(z), f a deep sigmoidal flow (`monotone.ddsf`), whose slope
                jumps

    The affine map comes first because domains' means reach beyond the splines.

    Args:
      theta: the table of parameters, one row per domain; c and s are the first two.
      z: latents.
      u: the domain of each row.
      family: the form of F, a key of `FAMILIES`.
      shared: parameters that the maps of a deep sigmoidal flow share, None for others.

    Returns:
      Noise and log slopes.
    """
    return FAMILIES[family].noise(theta, z, u, shared)


def domain_log_prob(
    theta: Float[Array, "d z p"],
    z: Float[Array, "b z"],
    u: Int[Array, "b"],
    *,
    family: Family,
    shared: monotone.Shared | None = None,
) -> Float[Array, "b"]:
    """`log p(z | u) = sum_i log N(e_i; 0, 1) + log de_i / dz_i`, in nats.

    Args:
      theta: the table of parameters, one row per domain.
      z: latents.
      u: the domain of each row.
      family: the form of F, a key of `FAMILIES`.
      shared: parameters that the maps of a deep sigmoidal flow share, None for others.

    Note: distrax's `Normal` gives the same values as "affine" and takes .9 to 1.3 times
      as long on two CPU cores, and a second to import.
    """
    noise, log_slope = domain_noise(theta, z, u, family=family, shared=shared)
    return jnp.sum(log_slope - 0.5 * (noise**2 + gaussian.LOG_2PI), -1)
