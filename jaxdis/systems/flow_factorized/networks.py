"""The networks of a model, their parameters and what they compute."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Num

from jaxdis import flows, gaussian, losses, nets
from jaxdis.kernels import potential_flow
from jaxdis.kernels.potential_flow import Potentials
from jaxdis.nets import slices
from jaxdis.systems.flow_factorized import terms
from jaxdis.types import Params, PRNGKey

__all__ = [
    "Model",
    "ModelParams",
    "decode",
    "flow_of",
    "images",
    "index_logits",
    "init_params",
    "mean_and_log_var",
    "pixels",
    "posterior",
    "reconstruction",
    "times",
]


class ModelParams(NamedTuple):
    """Parameters of one seed.

    Attributes:
      encoder: the parameters of the VAE's encoder.
      decoder: the parameters of the VAE's decoder.
      potentials: the potentials u^k; None in a plain VAE.
      forces: the forces f^k; None in a plain VAE.
      prior: d in D_k = softplus(d_k), or the released scales s of every transformation
        and step; None in a plain VAE.
      index_encoder: what infers the transformation; None if it is known.
    """

    encoder: Params
    decoder: Params
    potentials: Potentials | None
    forces: Potentials | None
    prior: Float[Array, "k"] | Float[Array, "k t"] | None
    index_encoder: Params | None


class Model(NamedTuple):
    """What all functions of the method share; see `build.build`.

    Attributes:
      encoder: the network from an image to mean and log variance.
      decoder: the network from a latent to logits of pixels.
      index_encoder: the network from all frames, as channels of one image, to logits of
        the transformation; None where it is not inferred.
      flows: whether latents flow; not in a plain VAE.
      shape: the height, width and channels of a frame.
      steps: the number T of steps; a sequence has T + 1 frames.
      names: the names of the transformations; none where the data have none.
      k: the number K of transformations.
      z_dim: the number of latents.
      hidden: the number of hidden units of the potentials.
      first_time: the time that the first step sees.
      log_det: the estimate of log |det(I + H)| of a step.
      head: the output of potentials and forces.
      offset: `potentials -> potentials`, without what nothing can move.
      divergence: the prior of the path and the divergence from it.
      equation: the loss of the Hamilton-Jacobi equation.
      condition: the loss of its initial condition.
      index_loss: the loss of an inferred transformation.
      gradient: `optimiser -> optimiser`, what it makes of the prior's gradient.
    """

    encoder: nets.Bound
    decoder: nets.Bound
    index_encoder: nets.Bound | None
    flows: bool
    shape: tuple[int, int, int]
    steps: int
    names: tuple[str, ...]
    k: int
    z_dim: int
    hidden: int
    first_time: float
    log_det: flows.LogDet
    head: potential_flow.Head
    offset: Callable[[Potentials], Potentials]
    divergence: terms.Divergence
    equation: terms.Equation
    condition: terms.Condition
    index_loss: terms.IndexLoss
    gradient: Callable[[optax.GradientTransformation], optax.GradientTransformation]


def init_params(key: PRNGKey, model: Model) -> ModelParams:
    """Initial parameters of one seed."""
    keys = jax.random.split(key, 5)
    encoder, decoder = model.encoder.init(keys[0]), model.decoder.init(keys[1])
    if not model.flows:
        return ModelParams(encoder, decoder, None, None, None, None)
    sizes = (model.k, model.z_dim, model.hidden)
    index = None
    if model.index_encoder is not None:
        index = model.index_encoder.init(keys[4])
    return ModelParams(
        encoder,
        decoder,
        model.offset(potential_flow.init(keys[2], *sizes)),
        potential_flow.init(keys[3], *sizes),
        model.divergence.initial(model.k, model.steps),
        index,
    )


# Applying.


def pixels(x: Num[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
    """Images as numbers in [0, 1]: bytes are divided by 255."""
    return x / 255.0 if x.dtype == jnp.uint8 else x


def mean_and_log_var(
    model: Model, params: ModelParams, x: Float[Array, "*b h w c"]
) -> tuple[Float[Array, "*b z"], Float[Array, "*b z"]]:
    """Mean and log variance of q(z | x).

    Args:
      model: the networks.
      params: the parameters of one seed.
      x: images in [0, 1].
    """
    rows = x.reshape(-1, *model.shape)
    out = slices.mapped(model.encoder.apply, params.encoder, rows)
    out = out.reshape(*x.shape[:-3], -1)
    mean, log_var = jnp.split(out, 2, axis=-1)
    return mean, log_var


def posterior(
    model: Model, params: ModelParams, x: Float[Array, "*b h w c"]
) -> gaussian.Posterior:
    """q(z | x), a Gaussian with a diagonal covariance.

    Args:
      model: the networks.
      params: the parameters of one seed.
      x: images in [0, 1].
    """
    return gaussian.from_log_var(*mean_and_log_var(model, params, x))


def decode(
    model: Model, params: ModelParams, z: Float[Array, "*b z"]
) -> Float[Array, "*b h w c"]:
    """Logits of the pixels.

    Args:
      model: the networks.
      params: the parameters of one seed.
      z: latents.
    """
    logits = model.decoder.apply(params.decoder, z)
    return logits.reshape(*z.shape[:-1], *model.shape)


def reconstruction(
    model: Model,
    params: ModelParams,
    z: Float[Array, "*b z"],
    x: Float[Array, "*b h w c"],
) -> Float[Array, ""]:
    """`sum -log p(x | z)` over all frames, in nats.

    Args:
      model: the networks.
      params: the parameters of one seed.
      z: latents.
      x: the frames that they stand for, in [0, 1].
    """

    def loss(params: Params, z: Array, x: Array) -> Array:
        logits = model.decoder.apply(params, z).reshape(x.shape)
        return jnp.sum(losses.bernoulli_reconstruction(x, logits))

    # Frame by frame of the slices: the flow is over latents alone.
    frames = z.reshape(-1, z.shape[-1]), x.reshape(-1, *model.shape)
    return slices.summed(loss, model.decoder.apply, params.decoder, *frames)


def images(
    model: Model, params: ModelParams, z: Float[Array, "*b z"]
) -> Float[Array, "*b h w c"]:
    """Images in [0, 1], `sigmoid(decode(z))`.

    Args:
      model: the networks.
      params: the parameters of one seed.
      z: latents.
    """
    return jax.nn.sigmoid(decode(model, params, z))


def _stacked(x: Float[Array, "b t h w c"]) -> Float[Array, "b h w tc"]:
    """The frames of a sequence as channels of one image."""
    b, t, h, w, c = x.shape
    return jnp.moveaxis(x, 1, 3).reshape(b, h, w, t * c)


def index_logits(
    model: Model, params: ModelParams, x: Float[Array, "b t h w c"]
) -> Float[Array, "b k"]:
    """Logits of the transformation that a sequence shows.

    Args:
      model: the networks, one of which infers.
      params: the parameters of one seed.
      x: sequences in [0, 1].
    """
    assert model.index_encoder is not None
    encoder = model.index_encoder.apply
    return slices.mapped(encoder, params.index_encoder, _stacked(x))


def flow_of(model: Model, params: ModelParams) -> flows.Flow:
    """The potentials and forces along which latents move."""
    assert params.potentials is not None
    assert params.forces is not None
    return flows.Flow(params.potentials, params.forces, model.head)


def times(model: Model, steps: int, first: int = 1) -> Float[Array, "t"]:
    """What the networks are told in steps `first`, ..., by the model's clock.

    Args:
      model: the clock.
      steps: the number of steps.
      first: the number of the first step.
    """
    return jnp.arange(steps) + float(first - 1 + model.first_time)
