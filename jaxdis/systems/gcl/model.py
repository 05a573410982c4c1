"""Generalised contrastive learning: real pairs of an observation and its auxiliary
variable are told from pairs whose auxiliary variable is that of another row.

The sources are independent given the auxiliary variable (actions, a domain, labels),
and their laws change with it in sufficiently many ways: then the codes of the best
discrimination are the sources, each up to an invertible function. Where it moves no
more than the mean of Gaussian sources, they are a linear map of the sources alone.

Source: Hyvärinen, Sasaki and Turner 2019, "Nonlinear ICA Using Auxiliary Variables and
Generalized Contrastive Learning" (AISTATS; arXiv 1805.08651), Theorem 1 and its variant
for exponential families.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check, contrast, nets, optimise, parallel
from jaxdis.systems.gcl.config import Config, Hyper, default_hyper
from jaxdis.types import Metrics, Params, PRNGKey, Rows, Spec, System

__all__ = [
    "FORMS",
    "Config",
    "Form",
    "Head",
    "Hyper",
    "default_hyper",
    "log_odds",
    "make",
    "objective",
]


class Form(NamedTuple):
    """How a code and the auxiliary variable meet, one code at a time.

    Attributes:
      init: `(key, config, size) -> params`, size that of the auxiliary variable.
      terms: `(params, config, codes, v) -> [b, z]`, a term for every code.
    """

    init: Callable[[PRNGKey, Config, int], Params]
    terms: Callable[[Params, Config, Array, Array], Array]


class Head(NamedTuple):
    """The parameters of the log odds.

    Attributes:
      form: those of the terms of each code and the auxiliary variable.
      codes: those of the network of the codes alone.
      auxiliary: those of the network of the auxiliary variable alone.
    """

    form: Params
    codes: Params
    auxiliary: Params


def _networks(key: PRNGKey, config: Config, size: int) -> parallel.ParallelMLP:
    return parallel.init(key, config.z_dim, (config.z_dim, size), config.head, 1)


def _network(
    params: parallel.ParallelMLP,
    config: Config,
    codes: Float[Array, "b z"],
    v: Float[Array, "b v"],
) -> Float[Array, "b z"]:
    # A network sees its own code alone, and all of the auxiliary variable.
    masks = jnp.eye(config.z_dim), jnp.ones((config.z_dim, v.shape[1]))
    found = parallel.apply(params, (codes, v), masks, precision=config.precision)
    return found[..., 0]


def _weights(config: Config) -> nets.Network:
    return nets.network(nets.MLP(config.head, 2 * config.z_dim, config.precision))


def _start(key: PRNGKey, config: Config, size: int) -> Params:
    return _weights(config).init(key, jnp.zeros(size))


def _quadratic(
    params: Params, config: Config, codes: Float[Array, "b z"], v: Float[Array, "b v"]
) -> Float[Array, "b z"]:
    slope, bend = jnp.split(_weights(config).apply(params, v), 2, axis=-1)
    return slope * codes + bend * codes**2


FORMS: dict[str, Form] = {
    "network": Form(_networks, _network),
    "quadratic": Form(_start, _quadratic),
}
"""The functions psi_i of the log odds: networks of a code and the auxiliary variable,
or `a_i(v) h_i + b_i(v) h_i^2`, which is what a Gaussian latent's log density has of
both; a and b are one network of v."""


def _alone(config: Config) -> nets.Network:
    return nets.network(nets.MLP(config.head, 1, config.precision))


def log_odds(
    form: Form,
    config: Config,
    head: Head,
    codes: Float[Array, "b z"],
    v: Float[Array, "b v"],
) -> Float[Array, "b"]:
    """`r(x, v) = sum_i psi_i(h_i(x), v) + a(h(x)) + b(v)`.

    At the best discrimination it is `log p(x | v) - log p(x)`.

    Args:
      form: how a code and the auxiliary variable meet.
      config: the method's config.
      head: the parameters.
      codes: h of the observations.
      v: the auxiliary variable.

    Source: Hyvärinen, Sasaki and Turner 2019, the regression function of generalised
      contrastive learning, with the terms a and b besides.

    Note: log p(x) is no sum over sources where they are dependent without the auxiliary
      variable. With psi alone, as Theorem 1 has it, the best log odds would be out of
      reach; its proof takes differences in v, from which a drops out.
    """
    terms = form.terms(head.form, config, codes, v).sum(-1)
    network = _alone(config)
    of_codes = network.apply(head.codes, codes)[:, 0]
    return terms + of_codes + network.apply(head.auxiliary, v)[:, 0]


def objective(
    form: Form,
    variable: contrast.Variable,
    spec: Spec,
    config: Config,
    head: Head,
    codes: Float[Array, "b *t z"],
    rows: Rows,
) -> tuple[Float[Array, ""], Metrics]:
    """What is minimised: logistic regression of real against permuted pairs.

    A permuted pair is an observation with the auxiliary variable of another row. Of a
    sequence the last observation is taken, which is the one that actions move.

    Args:
      form: how a code and the auxiliary variable meet.
      variable: the auxiliary variable of rows.
      spec: what is known of the data.
      config: the method's config.
      head: the parameters of the log odds.
      codes: h of all observations.
      rows: the rows, for their auxiliary variable.

    Returns:
      The loss, `contrast.real_or_permuted`, and the accuracy.

    Source: Hyvärinen, Sasaki and Turner 2019, generalised contrastive learning.
    """
    h = codes[:, -1] if codes.ndim == 3 else codes
    v = variable.value(rows, spec)
    odds = partial(log_odds, form, config, head, h)
    return contrast.real_or_permuted(odds(v), odds(contrast.permuted(v)))


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
      ValueError: data without the auxiliary variable, a batch of 1, or a config that
        does not fit.
    """
    config = contrast.sized(config, spec)
    variable = contrast.VARIABLES[contrast.chosen("gcl", config.auxiliary, spec)]
    check.one_of("config.form", config.form, FORMS)
    check.widths("config.head", config.head)
    check.at_least("config.head, the number of widths,", len(config.head), 1)
    form = FORMS[config.form]
    size = variable.size(spec)

    def head(key: PRNGKey) -> Head:
        keys = jax.random.split(key, 3)
        network = _alone(config)
        return Head(
            form=form.init(keys[0], config, size),
            codes=network.init(keys[1], jnp.zeros(config.z_dim)),
            auxiliary=network.init(keys[2], jnp.zeros(size)),
        )

    model = contrast.build(config, spec, head, least=2, encoder=encoder)
    tx = optimise.optimiser(optimiser, contrast.adam)
    return contrast.system(model, partial(objective, form, variable, spec, config), tx)
