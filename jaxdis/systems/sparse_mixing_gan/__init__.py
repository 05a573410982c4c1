"""CG-GAN: sufficient changes and sparse mixing in a style-based GAN."""

from functools import partial

from jaxdis.report import later
from jaxdis.systems.sparse_mixing_gan.judge import batches
from jaxdis.systems.sparse_mixing_gan.model import Hyper, default_hyper, make
from jaxdis.systems.sparse_mixing_gan.presets import PRESETS
from jaxdis.systems.sparse_mixing_gan.scores import ARRAYS, scores
from jaxdis.types import Figure, Method
