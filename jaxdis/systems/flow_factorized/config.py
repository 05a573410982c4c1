"""What is chosen before compiling, and what can be swept in one program."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxdis import flows
from jaxdis.kernels import potential_flow
from jaxdis.types import Scalar, Spec

__all__ = ["EXACT", "FAITHFUL", "RELEASED_HYPER", "Config", "Hyper", "default_hyper"]


@dataclass(frozen=True)
class Config:
    """What is compiled in; by default the exact forms at the published MNIST size.

    Attributes:
      supervision: where the transformation comes from, "known" or "inferred" from the
        sequence; "none" is a plain VAE of single frames, the reference without a flow.
        None is "known" where the data name transformations, else "inferred".
      transformations: the number K of transformations that are inferred from data which
        name none; 0 for the number of those that the data name, or for 4.
      z_dim: the number of latents, even; 0 for a number by the size of the images.
      vae: the networks, "conv" for images whose sides 4 divides, "deep_conv" for
        128 x 128, "mlp" for small ones; None for those that fit the images.
      width: the channels of the convolutions, or the units of an MLP's hidden layers; 0
        for what suits small runs.
      depth: the number of hidden layers of an MLP.
      index_width: the width of the network that infers the transformation from all
        frames; 0 for `width`.
      potential_width: the number of hidden units of the potentials; 0 for z_dim.
      log_det: the estimate of log |det(I + H)| of a step, one of `flows.LOG_DETS`.
      kl: the divergence from the prior along the path: "density", from a prior that
        diffuses at a learned rate; "softmax_dims", as released, between softmaxes of
        per-dimension densities, the prior's with a free scale for every transformation
        and step.
      prior_gradient: the gradient of the prior's free scales: "fresh", or "accumulate",
        a running sum over steps, as released.
      hj: the Hamilton-Jacobi residual of every "sample", or with the sums and means
        over the "batch" that the released program takes.
      ic: the initial condition grad u(z_0, 0) = 0 for "all_k", for the "last_k" alone
        if the transformation is inferred (as released), or "off".
      head: the output of potentials and forces, "linear", or "tanh" as released.
      clock: the time that a step from t - 1 to t sees, its "end" or its "start".
      index_loss: the loss of inferred transformations: "uniform_kl" from the uniform
        law, for a sample and on average; "batch_consistency" and "true_label" as
        released.
      convolutions: the form of convolutions, of `nets.CONVOLUTIONS`: "auto", the
        products that are the fastest for each layer's channels, "matmul" or "lax".
      batch: the number of sequences in a step.
      precision: the precision of the encoder's and decoder's matrix products;
        potentials are float32.
    """

    supervision: Literal["known", "inferred", "none"] | None = "known"
    transformations: int = 0
    z_dim: int = 324
    vae: Literal["conv", "deep_conv", "mlp"] | None = "conv"
    width: int = 324
    depth: int = 2
    index_width: int = 0
    potential_width: int = 0
    log_det: flows.LogDet = "hutch_diag"
    kl: Literal["density", "softmax_dims"] = "density"
    prior_gradient: Literal["fresh", "accumulate"] = "fresh"
    hj: Literal["sample", "batch"] = "sample"
    ic: Literal["all_k", "last_k", "off"] = "all_k"
    head: potential_flow.Head = "linear"
    clock: Literal["end", "start"] = "end"
    index_loss: Literal["uniform_kl", "batch_consistency", "true_label"] = "uniform_kl"
    convolutions: Literal["auto", "matmul", "lax"] = "auto"
    batch: int = 128
    precision: Literal["highest", "high", "default"] = "highest"


EXACT = Config()
"""What the mathematics says."""

FAITHFUL = Config(
    log_det="rowsum",
    kl="softmax_dims",
    prior_gradient="accumulate",
    hj="batch",
    ic="last_k",
    head="tanh",
    index_loss="batch_consistency",
)
"""What the released program computes; its data take one transformation in a batch
(`index_per="batch"`), its penalties have weight 1 (`RELEASED_HYPER`)."""

RELEASED_HYPER = {"kl_weight": 1.0, "diversity_weight": 0.0}


class Hyper(NamedTuple):
    """What can be swept in one program; every field is a scalar array.

    Attributes:
      learning_rate: the step size of Adam.
      kl_weight: the weight of the divergence along the path, summed over its T steps;
        1 / T trades a looser bound for better sequences, 1 is the composite
        likelihood's bound.
      hj_weight: the weight of the squared Hamilton-Jacobi residual.
      ic_weight: the weight of the initial condition.
      diversity_weight: the weight of the divergence of the average index from uniform.
      temperature_floor: the least temperature tau of the Gumbel-softmax index.
      temperature_rate: the rate of its fall, tau = max(exp(-rate step), floor).
    """

    learning_rate: Scalar
    kl_weight: Scalar
    hj_weight: Scalar
    ic_weight: Scalar
    diversity_weight: Scalar
    temperature_floor: Scalar
    temperature_rate: Scalar


def default_hyper(config: Config, spec: Spec, steps: int) -> Hyper:
    """Adam 1e-4 as published, the path's divergence as a mean over its steps.

    Args:
      config: the config, on which nothing here depends.
      spec: what is known of the data.
      steps: the number of optimisation steps, on which nothing here depends.
    """
    assert spec.steps is not None
    return Hyper(
        learning_rate=1e-4,
        kl_weight=1.0 / max(1, spec.steps - 1),
        hj_weight=1.0,
        ic_weight=1.0,
        diversity_weight=20.0,
        temperature_floor=0.05,
        temperature_rate=3e-5,
    )
