"""Controls: what raw observations, an untrained encoder and full supervision reach.

The untrained ("random") and the supervised one are the encoder of a variational
autoencoder and nothing else, so that the score of such a method lies between that of
random weights and that of regression on the true latents. The raw observations are
codes that nobody has computed: a mixing that they see through is no test of a method.

Source: Lachapelle et al. 2022 (arXiv 2107.10098), section 5 ("random", "supervised").
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Shaped

from jaxdis import check, nets, optimise
from jaxdis.data.colours import unit
from jaxdis.optimise import minimise
from jaxdis.systems.baselines.scores import report, true_latents
from jaxdis.types import (
    Metrics,
    Params,
    PRNGKey,
    Rows,
    Scalar,
    Spec,
    System,
    TrainState,
)

__all__ = [
    "CONTROLS",
    "MOST",
    "Config",
    "Control",
    "Hyper",
    "Model",
    "adam",
    "build",
    "default_hyper",
    "encode",
    "make",
    "no_objective",
    "numbers",
    "sized",
    "squared_error",
]


MOST = 256
"""Numbers of an observation that are codes as they are, at most: as many as are matched
to latents on the device."""


@dataclass(frozen=True)
class Config:
    """What is compiled in.

    Attributes:
      method: the control: "supervised" regresses the true latents; "random" leaves the
        encoder untrained, as it was drawn; "observations" has no encoder, and its codes
        are the raw numbers of x.
      z_dim: the number of codes; that of the data's latents, if supervised, or if 0. Of
        "observations" it is that of x, at most `MOST`.
      encoder: the hidden widths of the encoder of vectors.
      channels: the channels of the first convolution of the encoder of images.
      batch: the number of rows in a step.
      precision: the precision of matrix products.
    """

    method: Literal["supervised", "random", "observations"] = "supervised"
    z_dim: int = 10
    encoder: tuple[int, ...] = (512,) * 6
    channels: int = 32
    batch: int = 1024
    precision: Literal["highest", "high", "default"] = "highest"


def sized(config: Config, spec: Spec) -> Config:
    """The config with as many codes as the data have latents, if it leaves them open.

    Args:
      config: the method's config.
      spec: what is known of the data.
    """
    return replace(config, z_dim=config.z_dim or spec.z_dim)


class Hyper(NamedTuple):
    """What can be swept.

    Attributes:
      learning_rate: the learning rate of Adam.
    """

    learning_rate: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 5e-4, as published.

    Args:
      config: the method's config.
      spec: what is known of the data.
      steps: the number of steps of the run.
    """
    return Hyper(learning_rate=5e-4)


def squared_error(
    codes: Float[Array, "b k"], z: Float[Array, "b z"]
) -> Float[Array, ""]:
    """`mean (c_i - z_i)^2` over rows and latents."""
    chex.assert_equal_shape([codes, z])
    return jnp.mean((codes - z) ** 2)


def no_objective(
    codes: Float[Array, "b k"], z: Float[Array, "b z"]
) -> Float[Array, ""]:
    """0: nothing is learned."""
    return jnp.zeros((), codes.dtype)


def numbers(x: Float[Array, "..."], axes: int) -> Float[Array, "*b n"]:
    """The numbers of each observation in a row: all of them, or `MOST`, evenly spaced.

    Args:
      x: the observations, with any axes in front.
      axes: the number of axes of one observation.
    """
    rows = x.reshape(*x.shape[: x.ndim - axes], -1)
    n = rows.shape[-1]
    return rows[..., np.linspace(0, n - 1, min(n, MOST)).astype(int)]


def _encoded(encoder: nets.Network, params: Params, x: Array, axes: int) -> Array:
    return jnp.split(encoder.over(params, x, axes), 2, axis=-1)[0]


def _raw(encoder: nets.Network, params: Params, x: Array, axes: int) -> Array:
    return numbers(x, axes)


def _weights(encoder: nets.Network, key: PRNGKey, x: Array) -> Params:
    return encoder.init(key, x)


def _none(encoder: nets.Network, key: PRNGKey, x: Array) -> Params:
    return jnp.zeros(())  # not used; seeds are told apart by an axis of something


class Control(NamedTuple):
    """Where codes come from, and what they learn from.

    Attributes:
      objective: what is minimised, `(codes, true latents) -> loss`.
      init: `(encoder, key, x) -> params`.
      encode: `(encoder, params, x, axes) -> codes`, axes those of one observation.
    """

    objective: Callable[[Array, Array], Array]
    init: Callable[[nets.Network, PRNGKey, Array], Params] = _weights
    encode: Callable[[nets.Network, Params, Array, int], Array] = _encoded


CONTROLS: dict[str, Control] = {
    "supervised": Control(squared_error),
    "random": Control(no_objective),
    "observations": Control(no_objective, _none, _raw),
}
"""The ceiling; what an encoder has before it learns; and what it starts from."""


class Model(NamedTuple):
    """The encoder and what it learns from, built once from a config and a spec.

    Attributes:
      encoder: its first half of outputs are the codes; the others, a variance in the
        methods that it stands for, are not used.
      control: where codes come from, and what they learn from.
      shape: the shape of one observation.
      sequences: whether x and z have a time axis.
    """

    encoder: nets.Network
    control: Control
    shape: tuple[int, ...]
    sequences: bool


def build(config: Config, spec: Spec, *, encoder: object = None) -> Model:
    """The encoder and what it learns from.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of the one by the shape of x, as `nets.network` takes
        it, with outputs `[b, 2 z_dim]`.

    Raises:
      ValueError: data without true latents, sizes below 1, supervised with another
        number of codes than latents, or an encoder with outputs of another shape.
    """
    if not spec.z_dim:
        raise ValueError(
            "baselines compares codes with true latents, which these data do not have"
        )
    config = sized(config, spec)
    check.one_of("config.method", config.method, CONTROLS)
    check.at_least("config.z_dim", config.z_dim, 1)
    check.widths("config.encoder", config.encoder)
    check.at_least("config.channels", config.channels, 1)
    check.at_least("config.batch", config.batch, 1)
    if config.method == "supervised" and config.z_dim != spec.z_dim:
        raise ValueError(
            f"config.z_dim must be the data's z_dim = {spec.z_dim} for "
            f"method='supervised', got {config.z_dim}"
        )
    return Model(
        encoder=nets.encoder_for(
            spec.shape,
            2 * config.z_dim,
            hidden=config.encoder,
            channels=config.channels,
            precision=config.precision,
            given=encoder,
            meaning="twice config.z_dim: codes, and as many that are not used",
        ),
        control=CONTROLS[config.method],
        shape=spec.shape,
        sequences=spec.steps is not None,
    )


def encode(model: Model, params: Params, x: Shaped[Array, "..."]) -> Array:
    """The codes of observations.

    Args:
      model: the encoder.
      params: its parameters.
      x: the observations, with any axes in front.

    Returns:
      Codes `[..., z]`.
    """
    axes = len(model.shape)
    seen = x.astype(float) if axes == 1 else unit(x)
    return model.control.encode(model.encoder, params, seen, axes)


def adam(hyper: Hyper) -> optax.GradientTransformation:
    """Adam at the learning rate."""
    return optax.adam(hyper.learning_rate)


def make(
    config: Config,
    spec: Spec,
    *,
    encoder: object = None,
    optimiser: object = None,
) -> System:
    """Builds a control: `loss = mean (f(x)_i - z_i)^2` over the last step, or 0.

    Args:
      config: the method's config.
      spec: what is known of the data.
      encoder: a network in place of the one by the shape of x; see `build`.
      optimiser: an optimiser, or a function of the hyper-parameters that gives one, in
        place of `adam`.

    Raises:
      ValueError: as `build`.
    """
    model = build(config, spec, encoder=encoder)
    tx = optimise.optimiser(optimiser, adam)

    def init(key: PRNGKey, hyper: Hyper) -> TrainState:
        params = model.control.init(model.encoder, key, jnp.zeros(model.shape))
        opt_state = tx(hyper).init(params)
        return TrainState(params, opt_state, (), jnp.zeros((), int))

    def loss(
        params: Params, state: TrainState, batch: Rows, hyper: Hyper, key: PRNGKey
    ) -> tuple[Array, tuple[tuple[()], Metrics]]:
        x, z = batch.x, true_latents(batch)
        if model.sequences:
            x, z = x[:, -1], z[:, -1] if z.ndim == 3 else z
        return model.control.objective(encode(model, params, x), z), ((), {})

    return System(
        init=init,
        step=minimise(loss, tx),
        encode=partial(encode, model),
        decode=None,
        report=partial(report, partial(encode, model), spec.truth),
    )
