"""Variational autoencoders: networks by the shape of x, the ELBO, what is measured.

What every method with a Gaussian posterior and a decoder has in common. A method adds
its objective, and what it knows besides x.
"""

from jaxdis.report import CORRELATION, later
from jaxdis.types import Figure
from jaxdis.vae.correlation import (
    ESTIMATES,
    Aggregate,
    Estimate,
    Parts,
    aggregate,
    divergence_parts,
    total_correlation,
    two_rows,
)
from jaxdis.vae.likelihoods import LIKELIHOODS, Likelihood
from jaxdis.vae.model import (
    Model,
    ModelParams,
    Terms,
    build,
    decode,
    elbo_terms,
    init_params,
    numbers,
    observations,
    output,
    posterior,
    sized,
)
from jaxdis.vae.networks import NETWORKS, Networks, Settings, preferred
from jaxdis.vae.scores import (
    ARRAYS,
    DEAD_KL,
    KL,
    RECONSTRUCTION,
    Extra,
    latent_scores,
    measure,
    pictures,
    report,
    scores,
)
from jaxdis.vae.system import Objective, Rate, adam, system

__all__ = [
    "ARRAYS",
    "DEAD_KL",
    "ESTIMATES",
    "FIGURES",
    "KL",
    "LIKELIHOODS",
    "NETWORKS",
    "RECONSTRUCTION",
    "Aggregate",
    "Estimate",
    "Extra",
    "Likelihood",
    "Model",
    "ModelParams",
    "Networks",
    "Objective",
    "Parts",
    "Rate",
    "Settings",
    "Terms",
    "adam",
    "aggregate",
    "build",
    "decode",
    "divergence_parts",
    "elbo_terms",
    "init_params",
    "latent_scores",
    "measure",
    "numbers",
    "observations",
    "output",
    "pictures",
    "posterior",
    "preferred",
    "report",
    "scores",
    "sized",
    "system",
    "total_correlation",
    "two_rows",
]

_DRAWN = "jaxdis.vae.figures"

FIGURES = (
    Figure(
        "latents",
        "The mean divergence of each latent from the prior on test rows, sorted: a "
        "line per seed, and their mean. Below the dashed line a latent tells "
        "nothing.",
        later(_DRAWN, "draw_latents"),
    ),
    CORRELATION,
    Figure(
        "reconstructions",
        "Test images, and below them the decoded means of their posteriors.",
        later(_DRAWN, "draw_reconstructions"),
    ),
    Figure(
        "traversals",
        "A test image with one latent moved per row, those that tell most first.",
        later(_DRAWN, "draw_traversals"),
    ),
)
"""What is drawn of codes, and of images."""
