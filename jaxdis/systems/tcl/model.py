"""Time-contrastive learning: the segment, or domain, that an observation is of.

The sources are independent, and their laws differ between segments: then the features
of the best multinomial logistic regression are, up to a linear map, the statistics by
which the laws differ.

Source: Hyvärinen and Morioka 2016, "Unsupervised Feature Extraction by Time-Contrastive
Learning and Nonlinear ICA" (NIPS; arXiv 1605.06336), Theorem 1.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check, contrast, optimise
from jaxdis.systems.tcl.config import Config, Hyper, default_hyper
from jaxdis.systems.tcl.segments import SEGMENTS, Segments, chosen
from jaxdis.types import Metrics, PRNGKey, Rows, Spec, System

__all__ = [
    "STATISTICS",
    "Config",
    "Head",
    "Hyper",
    "default_hyper",
    "make",
    "objective",
]

Statistics = Callable[[Array], tuple[Array, ...]]


def _quadratic(codes: Float[Array, "b z"]) -> tuple[Array, ...]:
    return codes, codes**2


def _absolute(codes: Float[Array, "b z"]) -> tuple[Array, ...]:
    return (jnp.abs(codes),)


STATISTICS: dict[str, Statistics] = {"quadratic": _quadratic, "absolute": _absolute}
"""What the logistic regression sees of the codes: `(h, h^2)`, the statistics of
Gaussian sources whose means and variances differ between segments; or `|h|`, that of
Laplace sources whose scales do, the last layer of the released program."""


class Head(NamedTuple):
    """The multinomial logistic regression.

    Attributes:
      weights: the weights of each statistic, code and segment.
      bias: the biases of the segments.
    """

    weights: Float[Array, "k z d"]
    bias: Float[Array, "d"]


def objective(
    segments: Segments,
    config: Config,
    head: Head,
    codes: Float[Array, "b *t z"],
    rows: Rows,
) -> tuple[Float[Array, ""], Metrics]:
    """What is minimised: the cross-entropy of the segment.

        p(u | x) = softmax_u(sum_k w_ku . T_k(h(x)) + b_u)

    Of a sequence the last observation is taken. Rows without a label do not count.

    Args:
      segments: where the rows tell their segment.
      config: the method's config.
      head: the parameters of the regression.
      codes: h of all observations.
      rows: the rows, for their segments.

    Returns:
      The loss in nats, the logarithm of the number of segments where nothing is told
      apart, and the accuracy.

    Source: Hyvärinen and Morioka 2016, multinomial logistic regression of the segment.

    Note: The paper applies linear ICA to the features afterwards, as T(h) is known up
      to a linear map alone. With "quadratic" there is no need of it: a map that takes
      (s, s^2) to (h, h^2) with each h a smooth function of x permutes, scales and
      shifts the sources (Khemakhem et al. 2020, arXiv 1907.04809, of two statistics a
      source). With "absolute" the codes are those before the absolute value, and no ICA
      is applied: they come out where the encoder is smooth and one-to-one (the same, of
      one statistic), which nothing here enforces.
    """
    h = codes[:, -1] if codes.ndim == 3 else codes
    seen = jnp.concatenate(STATISTICS[config.statistics](h), axis=1)
    weights = head.weights.reshape(-1, head.weights.shape[-1])
    logits = jnp.matmul(seen, weights, precision=config.precision) + head.bias[None]
    label, there = segments.value(rows)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], 1)[:, 0]
    count = jnp.maximum(there.sum(), 1)
    right = (logits.argmax(1) == label) & there
    loss = -jnp.where(there, log_p, 0.0).sum() / count
    return loss, {"accuracy": right.sum() / count}


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: object = None,
    optimiser: object = None,
) -> System:
    """Builds the system for observations of the given shape.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of the one by the shape of x, with outputs
        `[b, z_dim]`; see `contrast.build`.
      optimiser: an optimiser, or a function of the hyper-parameters that gives one, in
        place of `contrast.adam`.

    Raises:
      ValueError: data without segments, or a config that does not fit.
    """
    config = contrast.sized(config, spec)
    check.one_of("config.statistics", config.statistics, STATISTICS)
    segments = SEGMENTS[chosen(config, spec)](spec)

    def head(key: PRNGKey) -> Head:
        z = config.z_dim
        one = jax.eval_shape(STATISTICS[config.statistics], jnp.zeros((1, z)))
        shape = (len(one), z, len(segments.names))
        weights = jax.random.normal(key, shape) * (len(one) * z) ** -0.5
        return Head(weights, jnp.zeros(len(segments.names)))

    model = contrast.build(config, spec, head, encoder=encoder)
    tx = optimise.optimiser(optimiser, contrast.adam)
    return contrast.system(model, partial(objective, segments, config), tx)
