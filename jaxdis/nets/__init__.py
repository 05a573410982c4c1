"""Networks: perceptrons, encoders and decoders of images, style-based generators.

The names of inner layers, public or not, are part of the keys that initial weights are
drawn from: to rename one changes every number.
"""

from jaxdis.nets.convolutions import (
    CONVOLUTIONS,
    Convolutions,
    double,
    halve,
    merge,
    smooth,
    spread,
)
from jaxdis.nets.encoders import (
    ConvDecoder,
    ConvEncoder,
    DeepConvDecoder,
    DeepConvEncoder,
    MergingConvEncoder,
)
from jaxdis.nets.layers import (
    INITIALISATIONS,
    LEAKY_SLOPE,
    MLP,
    Initialisation,
    apply,
    dense,
    he_normal,
    initialisation,
    uniform_fan_in,
)
from jaxdis.nets.network import (
    Bound,
    Network,
    bound,
    checked,
    decoder_for,
    encoder_for,
    network,
)
from jaxdis.nets.style import (
    TINY,
    DomainNet,
    EqualDense,
    StyleDiscriminator,
    StyleMLP,
    Synthesis,
    batch_deviation,
    bilinear,
    leaky,
    unit_square,
)

__all__ = [
    "CONVOLUTIONS",
    "INITIALISATIONS",
    "LEAKY_SLOPE",
    "MLP",
    "TINY",
    "Bound",
    "ConvDecoder",
    "ConvEncoder",
    "Convolutions",
    "DeepConvDecoder",
    "DeepConvEncoder",
    "DomainNet",
    "EqualDense",
    "Initialisation",
    "MergingConvEncoder",
    "Network",
    "StyleDiscriminator",
    "StyleMLP",
    "Synthesis",
    "apply",
    "batch_deviation",
    "bilinear",
    "bound",
    "checked",
    "decoder_for",
    "dense",
    "double",
    "encoder_for",
    "halve",
    "he_normal",
    "initialisation",
    "leaky",
    "merge",
    "network",
    "smooth",
    "spread",
    "uniform_fan_in",
    "unit_square",
]
