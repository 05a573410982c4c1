"""Image sequences, each of one transformation, as data sets.

A sequence starts at an image (or a combination of factors) and moves T steps along one
of K transformations: of still images that are scaled, turned or coloured, of a blob
that is drawn, of sets with an image for every combination of factors; or it is yours.

Source: Song et al. 2023 (arXiv 2309.13167), section 4, and its released data.
"""

from jaxdis.data.sequences.blobs import BlobSequences
from jaxdis.data.sequences.factorial import (
    Falcor3dSequences,
    Isaac3dSequences,
    Shapes3dSequences,
)
from jaxdis.data.sequences.stills import DigitSequences, MnistSequences

__all__ = [
    "BlobSequences",
    "DigitSequences",
    "Falcor3dSequences",
    "Isaac3dSequences",
    "MnistSequences",
    "Shapes3dSequences",
]
