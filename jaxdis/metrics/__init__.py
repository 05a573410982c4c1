"""Metrics of disentanglement and identifiability: arrays in, numbers out."""

from jaxdis.metrics.correlation import (
    assign,
    correlation_matrix,
    dead,
    mcc,
    standardise,
    udr,
)
from jaxdis.metrics.graph import edge_errors, permute_graphs, shd
from jaxdis.metrics.regression import r, r2, r_con

__all__ = [
    "assign",
    "correlation_matrix",
    "dead",
    "edge_errors",
    "mcc",
    "permute_graphs",
    "r",
    "r2",
    "r_con",
    "shd",
    "standardise",
    "udr",
]
