"""Contrastive learning: an encoder, a log odds of its codes, what is measured.

What every method has in common that learns codes by telling real rows from others. A
method adds what is told apart, and the form of the log odds.
"""

from jaxdis.contrast.auxiliary import VARIABLES, Variable, chosen
from jaxdis.contrast.discrimination import permuted, real_or_permuted
from jaxdis.contrast.model import (
    Model,
    ModelParams,
    Settings,
    build,
    encode,
    init_params,
    sized,
)
from jaxdis.contrast.scores import (
    ACCURACY,
    ARRAYS,
    CONTRAST,
    Objective,
    codes_of,
    report,
    scores,
)
from jaxdis.contrast.system import Hyper, adam, system
from jaxdis.report import CORRELATION

__all__ = [
    "ACCURACY",
    "ARRAYS",
    "CONTRAST",
    "FIGURES",
    "VARIABLES",
    "Hyper",
    "Model",
    "ModelParams",
    "Objective",
    "Settings",
    "Variable",
    "adam",
    "build",
    "chosen",
    "codes_of",
    "encode",
    "init_params",
    "permuted",
    "real_or_permuted",
    "report",
    "scores",
    "sized",
    "system",
]

FIGURES = (CORRELATION,)
"""What is drawn of codes."""
