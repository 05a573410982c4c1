"""Sparse mixing with changing domains: CG-VAE.

Latents are independent given a domain, their distributions change from domain to
domain, and every observed variable depends on few of them. A VAE whose prior is a
monotone flow for every latent and domain, and whose decoder is pressed towards a sparse
Jacobian, looks for them; the encoder never sees the domain.
`identifiability.mixing_report` says what theory promises for a mixing pattern and a
number of domains. The adversarial sibling is for images.

Source: Li et al. 2025, "Synergy Between Sufficient Changes and Sparse Mixing Procedure
for Disentangled Representation Learning" (arXiv 2503.00639). No code of its VAE is
public, and its tables and settings were not available: this is a reconstruction, and
nothing here reproduces a table of it.
"""

from typing import TYPE_CHECKING

from jaxdis.systems.sparse_mixing.model import Config, Hyper, cgvae_loss, default_hyper
from jaxdis.systems.sparse_mixing.presets import PRESETS
from jaxdis.systems.sparse_mixing.scores import ARRAYS, scores
from jaxdis.systems.sparse_mixing.system import batches, make
from jaxdis.types import Figure, Method
