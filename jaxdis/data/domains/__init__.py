"""Domains that change the distribution of latents under one sparse mixing.

`x = g(z)`, each x_k a function of few latents; the domain u is observed, and given u
the latents are independent with a distribution of their own in every domain.

- `ToyMixing`: a smooth mixing with a given mask, locally injective where it was tested;
- `DenseShift`: only some latents change, mixed by orthogonal matrices and a leaky ReLU;
- `Segments`: many segments whose laws of all latents overlap widely.

A generated set holds several worlds, which differ in everything but their settings: one
for each seed, so that a spread over seeds is one over data too.

Source: the problem is that of Li et al. 2025 (arXiv 2503.00639); `DenseShift` follows
code of the same group, constants of the toy are this library's.
"""

from jaxdis.data.domains.dense_shift import DenseShift
from jaxdis.data.domains.segments import Segments
from jaxdis.data.domains.toy import ToyMixing

__all__ = ["DenseShift", "Segments", "ToyMixing"]
