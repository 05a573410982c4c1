"""Latents that flow along the gradients of potentials, and the densities they carry.

A latent moves by `z_t = z_{t-1} + sum_k y_k grad u^k(z_{t-1}, t)`, and its density by
the change of variables; both are exact for the discrete step. A prior that diffuses
stays a Gaussian, whose variance is known in closed form.

Source: Song et al. 2023, "Flow Factorized Representation Learning" (arXiv 2309.13167).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import linalg
from jaxdis.kernels import potential_flow
from jaxdis.kernels.potential_flow import Clock, Head, Potentials
from jaxdis.types import PRNGKey

__all__ = [
    "ESTIMATES",
    "LOG_DETS",
    "Flow",
    "LogDet",
    "Path",
    "estimated_log_det",
    "exact_log_det",
    "heat_variance",
    "hessian",
    "is_invertible",
    "mix",
    "probe",
    "walk",
]

LogDet: TypeAlias = Literal["rowsum", "hutch_diag", "series", "exact"]
LOG_DETS: tuple[LogDet, ...] = get_args(LogDet)


class Flow(NamedTuple):
    """The networks of a flow.

    Attributes:
      potentials: the potentials u^k.
      forces: the forces f^k of the Hamilton-Jacobi equation.
      head: what the networks of both end with.
    """

    potentials: Potentials
    forces: Potentials
    head: Head


class Path(NamedTuple):
    """A latent's way, step by step.

    Attributes:
      z: the latent after each step.
      log_det: log |det(I + H)| of each step, or its estimate; row sums keep a term per
        dimension.
      time: d u^k / d t at (z_{t-1}, t).
      speed: |grad u^k|^2 there.
      force: f^k there.
    """

    z: Float[Array, "t b n"]
    log_det: Float[Array, "t b"] | Float[Array, "t b n"]
    time: Float[Array, "t k b"]
    speed: Float[Array, "t k b"]
    force: Float[Array, "t k b"]


def probe(
    log_det: LogDet, key: PRNGKey, steps: int, batch: int, n: int
) -> Float[Array, "t b n"] | None:
    """The directions in which a mode wants Hessian products: none, ones, or signs.

    Signs are Rademacher draws, fresh for every sample and step, so that the estimates
    of the trace and of the squared norm of the Hessian are unbiased.

    Args:
      log_det: how the change of volume is measured.
      key: the key of the signs.
      steps: the number of steps t.
      batch: the number of samples b.
      n: the latent size.
    """
    if log_det == "exact":
        return None
    if log_det == "rowsum":
        return jnp.ones((steps, batch, n))
    return jax.random.rademacher(key, (steps, batch, n), float)


def exact_log_det(hessian: Float[Array, "*b n n"]) -> Float[Array, "*b"]:
    """log |det(I + H)| by elimination."""

    def one(h: Float[Array, "n n"]) -> Float[Array, ""]:
        return linalg.log_abs_det(h + jnp.eye(len(h)))

    return jnp.vectorize(one, signature="(n,n)->()")(hessian)


def _row_sums(v: Float[Array, "b n"], product: Float[Array, "b n"]) -> Array:
    return jnp.log(jnp.abs(1.0 + product))


def _hutchinson_diagonal(v: Float[Array, "b n"], product: Float[Array, "b n"]) -> Array:
    return jnp.sum(jnp.log(jnp.abs(1.0 + v * product)), -1)


def _series(v: Float[Array, "b n"], product: Float[Array, "b n"]) -> Array:
    return jnp.sum(v * product, -1) - 0.5 * jnp.sum(product**2, -1)


ESTIMATES: dict[LogDet, Callable[[Array, Array], Array]] = {
    "rowsum": _row_sums,
    "hutch_diag": _hutchinson_diagonal,
    "series": _series,
}
"""`(v, H v) -> log |det(I + H)|`; see `estimated_log_det`."""


def estimated_log_det(
    log_det: LogDet, v: Float[Array, "b n"], product: Float[Array, "b n"]
) -> Float[Array, "b"] | Float[Array, "b n"]:
    """log |det(I + H)| from one product H v per sample.

    - "rowsum", v = 1: `log |1 + (H v)_i|`, a term per dimension, as released; not a
      determinant, not even to first order.
    - "hutch_diag": `sum_i log |1 + v_i (H v)_i|`, whose mean over signs v is
      tr H - |H|_F^2 / 2 + O(H^3), as is the exact value.
    - "series": `v . H v - |H v|^2 / 2`, the same to that order, without the pole.

    Args:
      log_det: the estimate, a key of `ESTIMATES`.
      v: the directions, of `probe`.
      product: the Hessian times v.
    """
    return ESTIMATES[log_det](v, product)


def mix(
    y: Float[Array, "b k"], per_potential: Float[Array, "k b *n"]
) -> Float[Array, "b *n"]:
    """`sum_k y_bk a_kb`."""
    return jnp.einsum("bk,kb...->b...", y, per_potential, precision="highest")


def hessian(
    flow: Flow,
    z: Float[Array, "b n"],
    y: Float[Array, "b k"],
    beta: Float[Array, "k h"],
) -> Float[Array, "b n n"]:
    """The Hessian of `sum_k y_k u^k`.

    Args:
      flow: the networks.
      z: the points.
      y: the weights of the potentials.
      beta: beta of `potential_flow.clock` at one time.
    """
    return mix(y, potential_flow.hessian(flow.potentials, beta, z, flow.head))


def is_invertible(
    flow: Flow,
    z: Float[Array, "t b n"],
    y: Float[Array, "b k"],
    times: Float[Array, "t"],
) -> Float[Array, "t b"]:
    """1 where I + H is positive definite at the start of a step, else 0.

    Where it is everywhere, a step is one to one and its density exact; where it is not,
    images of other points may be missing from the density, which is then too low.

    Args:
      flow: the networks.
      z: where each step starts.
      y: the weights of the potentials.
      times: the time that enters the networks in each step.
    """
    beta = potential_flow.clock(flow.potentials, times).beta

    def one(
        at: tuple[Float[Array, "b n"], Float[Array, "k h"]],
    ) -> Float[Array, "b"]:
        z, beta = at
        h = hessian(flow, z, y, beta)
        moved = h + jnp.broadcast_to(jnp.eye(z.shape[-1]), h.shape)
        return jax.vmap(linalg.is_positive_definite)(moved).astype(float)

    return jax.lax.map(one, (z, beta))


def walk(
    flow: Flow,
    z: Float[Array, "b n"],
    y: Float[Array, "b k"] | Float[Array, "t b k"],
    times: Float[Array, "t"],
    log_det: LogDet | None,
    v: Float[Array, "t b n"] | None = None,
) -> Path:
    """Moves latents along potentials, one step for each time, in a scan.

    Args:
      flow: the networks.
      z: where the latents start.
      y: the weights of the potentials, of all steps or of each.
      times: the time that enters the networks in each step; the published flow counts
        1, 2, ..., so that a step starts at t - 1 and is told t.
      log_det: how to measure the change of volume; None leaves it out (zeros).
      v: the directions of `probe`, for measures that need them.

    Returns:
      The latents after each step, with what the losses need of it.
    """
    clock = potential_flow.clock(flow.potentials, times)
    beta = potential_flow.clock(flow.forces, times).beta
    y = jnp.broadcast_to(y, (len(times), *y.shape[-2:]))

    def step(
        z: Float[Array, "b n"], at: tuple[Clock, Array, Array, Array | None]
    ) -> tuple[Array, Path]:
        clock, beta, y, v = at
        d = potential_flow.derivatives(flow.potentials, clock, z, v, flow.head)
        force = potential_flow.value(flow.forces, beta, z, flow.head)
        if log_det is None:
            change = jnp.zeros(len(z))
        elif log_det == "exact":
            change = exact_log_det(hessian(flow, z, y, clock.beta))
        else:
            assert v is not None
            assert d.product is not None
            change = estimated_log_det(log_det, v, mix(y, d.product))
        speed = jnp.sum(d.gradient**2, -1)
        moved = z + mix(y, d.gradient)
        return moved, Path(moved, change, d.time, speed, force)

    if log_det == "exact":  # a Hessian for every step is too much to keep
        step = jax.checkpoint(step)
    return jax.lax.scan(step, z, (clock, beta, y, v))[1]


def heat_variance(
    time: Float[Array, "*t"], diffusion: Float[Array, "*b"]
) -> Float[Array, "..."]:
    """The variance of a prior that starts as N(0, I) and diffuses: `1 + 2 D t`.

    Heat flow d p / d t = D lap p keeps N(0, v I) Gaussian with dv/dt = 2 D.

    Args:
      time: the times t, in steps.
      diffusion: the coefficients D.

    Returns:
      `[*t, *b]`.
    """
    return 1.0 + 2.0 * jnp.multiply.outer(time, diffusion)
