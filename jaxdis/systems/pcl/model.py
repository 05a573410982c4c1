"""Permutation-contrastive learning: real pairs of consecutive observations are told
from pairs whose second observation is of another time.

The sources are independent and stationary, and each depends on its own past in a way
that is not that of a Gaussian process (quasi-Gaussian, as the paper has it): then the
codes of the best discrimination are the sources, each up to an invertible function.

Source: Hyvärinen and Morioka 2017, "Nonlinear ICA of Temporally Dependent Stationary
Sources" (AISTATS, PMLR 54), Theorem 1.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdis import check, contrast, optimise, parallel
from jaxdis.systems.pcl.config import Config, Hyper, default_hyper
from jaxdis.types import Metrics, Params, PRNGKey, Rows, Spec, System

__all__ = [
    "FORMS",
    "Config",
    "Form",
    "Hyper",
    "Laplace",
    "default_hyper",
    "make",
    "objective",
]


class Form(NamedTuple):
    """How the codes of a pair make its log odds, one code at a time.

    Attributes:
      init: `(key, config) -> params`.
      terms: `(params, config, now, past) -> [b, z]`, a term for every code.
    """

    init: Callable[[PRNGKey, Config], Params]
    terms: Callable[[Params, Config, Array, Array], Array]


class Laplace(NamedTuple):
    """The numbers of `|now h + past h' + shift|` and `(own h + centre)^2 + constant`.

    Attributes:
      now: the weight of the code.
      past: the weight of the code before it.
      shift: what is added to both.
      own: the weight of the code in its own term.
      centre: what is added to it.
      constant: the constant of the log odds.
    """

    now: Float[Array, "z"]
    past: Float[Array, "z"]
    shift: Float[Array, "z"]
    own: Float[Array, "z"]
    centre: Float[Array, "z"]
    constant: Float[Array, "z"]


def _start(key: PRNGKey, config: Config) -> Laplace:
    """The log odds of a slow source: codes that differ little are of a real pair."""
    one, zero = jnp.ones(config.z_dim), jnp.zeros(config.z_dim)
    return Laplace(one, -one, zero, 0.5 * one, zero, zero)


def _laplace(
    params: Laplace, config: Config, now: Float[Array, "b z"], past: Float[Array, "b z"]
) -> Float[Array, "b z"]:
    a, b, shift, own, centre, constant = (p[None] for p in params)
    return constant + (own * now + centre) ** 2 - jnp.abs(a * now + b * past + shift)


def _networks(key: PRNGKey, config: Config) -> parallel.ParallelMLP:
    return parallel.init(key, config.z_dim, (config.z_dim,) * 2, config.head, 1)


def _network(
    params: parallel.ParallelMLP,
    config: Config,
    now: Float[Array, "b z"],
    past: Float[Array, "b z"],
) -> Float[Array, "b z"]:
    own = jnp.eye(config.z_dim)  # a network sees its own code alone
    seen = (now, past)
    return parallel.apply(params, seen, (own, own), precision=config.precision)[..., 0]


FORMS: dict[str, Form] = {
    "network": Form(_networks, _network),
    "laplace": Form(_start, _laplace),
}
"""The functions Q_i of the log odds, `(h_i, h_i')` the code and the one before it:
networks of both, or `c_i + (u_i h_i + v_i)^2 - |a_i h_i + b_i h_i' + d_i|`, which is
`log p(s | s') - log p(s)` of a source with Laplace noise, `-|s - rho s'| / scale`, and
about a Gaussian as its law (an autoregressive source as in the paper's equation 8, with
G = -|.|)."""


def objective(
    form: Form, config: Config, head: Params, codes: Float[Array, "b t z"], rows: Rows
) -> tuple[Float[Array, ""], Metrics]:
    """What is minimised: logistic regression of real against permuted pairs.

        r(x_t, x_{t-1}) = sum_i Q_i(h_i(x_t), h_i(x_{t-1}))

    A permuted pair is `x_t` with the `x_{t-1}` of another sequence of the batch.

    Args:
      form: how the codes of a pair meet.
      config: the method's config.
      head: the parameters of the form.
      codes: h of all observations.
      rows: not used; codes are all that is seen.

    Returns:
      The loss, `contrast.real_or_permuted`, and the accuracy.

    Source: Hyvärinen and Morioka 2017, Theorem 1.

    Note: Where the paper takes an earlier observation from any time of one long series,
      here it is from the same place of another window, which for a stationary series is
      the same.
    """
    now, past = codes[:, 1:], codes[:, :-1]

    def log_odds(past: Float[Array, "b t z"]) -> Float[Array, "n"]:
        pair = (c.reshape(-1, config.z_dim) for c in (now, past))
        return form.terms(head, config, *pair).sum(-1)

    other = contrast.permuted(past)
    return contrast.real_or_permuted(log_odds(past), log_odds(other))


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: object = None,
    optimiser: object = None,
) -> System:
    """Builds the system for sequences of observations of the given shape.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of the one by the shape of x, with outputs
        `[b, z_dim]`; see `contrast.build`.
      optimiser: an optimiser, or a function of the hyper-parameters that gives one, in
        place of `contrast.adam`.

    Raises:
      ValueError: data that are no sequences of at least 2 observations, a batch of 1,
        or a config that does not fit.
    """
    check.needs("pcl", ("sequences",), spec)
    if (spec.steps or 0) < 2:
        raise ValueError(
            "pcl needs sequences of at least 2 observations, to pair one with the one "
            f"before it; those of this data set have {spec.steps}"
        )
    config = contrast.sized(config, spec)
    check.one_of("config.form", config.form, FORMS)
    check.widths("config.head", config.head)
    check.at_least("config.head, the number of widths,", len(config.head), 1)
    form = FORMS[config.form]
    model = contrast.build(
        config, spec, partial(_init, form, config), least=2, encoder=encoder
    )
    tx = optimise.optimiser(optimiser, contrast.adam)
    return contrast.system(model, partial(objective, form, config), tx)


def _init(form: Form, config: Config, key: PRNGKey) -> Params:
    return form.init(key, config)
