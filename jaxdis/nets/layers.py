"""Dense layers: how weights start, the perceptron, and how a network is applied."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from jaxdis.types import Params

__all__ = [
    "INITIALISATIONS",
    "LEAKY_SLOPE",
    "MLP",
    "Initialisation",
    "apply",
    "dense",
    "he_normal",
    "initialisation",
    "uniform_fan_in",
]

LEAKY_SLOPE = 0.2


def uniform_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), for weights and biases alike."""
    bound = fan_in**-0.5

    def initialise(key, shape, dtype=None):  # type: ignore[no-untyped-def]
        return jax.random.uniform(key, shape, dtype or float, -bound, bound)

    return initialise


def he_normal(fan_in: int) -> nn.initializers.Initializer:
    """N(0, 2 / fan_in), which keeps the second moment through ReLU layers."""
    return nn.initializers.normal((2 / fan_in) ** 0.5)


def _zeros(fan_in: int) -> nn.initializers.Initializer:
    return nn.initializers.zeros


class Initialisation(NamedTuple):
    """How the numbers of a layer start.

    Attributes:
      kernel: `fan_in -> initialiser` of the weights.
      bias: `fan_in -> initialiser` of the biases.
    """

    kernel: Callable[[int], nn.initializers.Initializer]
    bias: Callable[[int], nn.initializers.Initializer]


INITIALISATIONS = {
    "uniform": Initialisation(uniform_fan_in, uniform_fan_in),
    "he_normal": Initialisation(he_normal, _zeros),
}


def initialisation(weights: str) -> Initialisation:
    """The entry of `INITIALISATIONS`.

    Raises:
      ValueError: for a name that it does not have.
    """
    if weights not in INITIALISATIONS:
        raise ValueError(f"weights must be 'uniform' or 'he_normal', got {weights!r}")
    return INITIALISATIONS[weights]


def dense(
    x: Float[Array, "*b i"],
    out: int,
    precision: str,
    weights: str = "uniform",
    bias: bool = True,
) -> Float[Array, "*b o"]:
    """`W x + b`, a dense layer of the module whose `__call__` calls it.

    Args:
      x: inputs.
      out: output size.
      precision: precision of the matrix product, a `jax.lax.Precision` name.
      weights: key of `INITIALISATIONS`.
      bias: whether there is a b.

    Raises:
      ValueError: for weights that `INITIALISATIONS` does not have.
    """
    start, fan_in = initialisation(weights), x.shape[-1]
    layer = nn.Dense(
        out,
        use_bias=bias,
        precision=precision,
        kernel_init=start.kernel(fan_in),
        bias_init=start.bias(fan_in),
    )
    return cast(Array, layer(x))


class MLP(nn.Module):
    """Leaky-ReLU network with a linear output.

    Attributes:
      hidden: widths of the hidden layers.
      out: output size.
      precision: precision of the matrix products, a `jax.lax.Precision` name.
      slope: slope of the leaky ReLU below 0; 0 is the ReLU.
      weights: initial weights and biases, a key of `INITIALISATIONS`: "uniform", all
        U(+-1/sqrt(fan_in)), or "he_normal", N(0, 2 / fan_in) and 0.
      final_bias: whether the last layer has a bias; all others do.

    Raises:
      ValueError: for weights that `INITIALISATIONS` does not have.
    """

    hidden: Sequence[int]
    out: int
    precision: str = "highest"
    slope: float = LEAKY_SLOPE
    weights: str = "uniform"
    final_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        for width in self.hidden:
            x = dense(x, width, self.precision, self.weights)
            x = nn.leaky_relu(x, self.slope)
        return dense(x, self.out, self.precision, self.weights, self.final_bias)


def apply(network: nn.Module, params: Params, x: Float[Array, "..."]) -> Array:
    """The output of a network; `Module.apply` for networks without mutable state.

    Args:
      network: any network of one input.
      params: what its `init` gave, or what training made of it.
      x: its input.
    """
    return cast(Array, network.apply(params, x))
