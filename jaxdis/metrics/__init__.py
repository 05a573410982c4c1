"""Metrics of disentanglement and identifiability: arrays in, numbers out."""

from jaxdis.metrics.correlation import (
    assign,
    correlation_matrix,
    dead,
    mcc,
    standardise,
    udr,
)
from jaxdis.metrics.dci import DCI, dci_from_importance, dci_linear, dci_trees
from jaxdis.metrics.equivariance import fit_linear_steps, frame_error, linear_steps
from jaxdis.metrics.frechet import feature_moments, frechet_distance
from jaxdis.metrics.graph import edge_errors, permute_graphs, shd
from jaxdis.metrics.likelihood import compat_loglik, elbo, iwae, unit_gaussian
from jaxdis.metrics.regression import block_r2, r, r2, r_con
from jaxdis.metrics.usage import head_density, usage_entropy

__all__ = [
    "DCI",
    "assign",
    "block_r2",
    "compat_loglik",
    "correlation_matrix",
    "dci_from_importance",
    "dci_linear",
    "dci_trees",
    "dead",
    "edge_errors",
    "elbo",
    "feature_moments",
    "fit_linear_steps",
    "frame_error",
    "frechet_distance",
    "head_density",
    "iwae",
    "linear_steps",
    "mcc",
    "permute_graphs",
    "r",
    "r2",
    "r_con",
    "shd",
    "standardise",
    "udr",
    "unit_gaussian",
    "usage_entropy",
]
