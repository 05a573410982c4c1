"""Metrics of disentanglement and identifiability: arrays in, numbers out.

Each has beside its function a `Score` in capitals, which says how it is called, which
side is the better one, its range and its source: `metrics.mcc` and `metrics.MCC`. A
system's scores take both from here, and change what differs with `_replace`.
"""

from jaxdis.metrics.assignment import assign
from jaxdis.metrics.columns import (
    DEAD,
    dead,
    standardise,
)
from jaxdis.metrics.correlation import (
    MCC,
    MCC_CCA,
    MCC_HELD_OUT,
    MCC_SPEARMAN,
    MCC_WEAK,
    correlation_matrix,
    mcc,
)
from jaxdis.metrics.dci import (
    DCI,
    DCI_C,
    DCI_D,
    DCI_I,
    dci,
    dci_from_importance,
    dci_linear,
    dci_trees,
)
from jaxdis.metrics.dci_es import (
    DCI_E,
    DCI_S,
    DCIES,
    dci_es,
)
from jaxdis.metrics.equivariance import (
    EQUIVARIANCE_ERROR,
    fit_linear_steps,
    frame_error,
    linear_steps,
)
from jaxdis.metrics.evaluated import (
    Evaluation,
)
from jaxdis.metrics.evaluation import (
    evaluate,
)
from jaxdis.metrics.explicitness import (
    EXPLICITNESS,
    explicitness,
)
from jaxdis.metrics.frechet import (
    FRECHET,
    feature_moments,
    frechet_distance,
)
from jaxdis.metrics.graph import (
    EXTRA,
    MISSING,
    SHD,
    edge_errors,
    permute_graphs,
    shd,
)
from jaxdis.metrics.infomec import (
    INFOC,
    INFOE,
    INFOM,
    InfoMEC,
    infomec,
)
from jaxdis.metrics.information import (
    MIG,
    MODULARITY,
    MUTUAL_INFORMATION,
    factor_entropies,
    mig,
    mig_from_information,
    modularity,
    modularity_from_information,
    mutual_information,
)
from jaxdis.metrics.inputs import (
    generator,
)
from jaxdis.metrics.interventions import (
    BETA_VAE_SCORE,
    FACTOR_VAE_SCORE,
    beta_vae_score,
    factor_vae_score,
)
from jaxdis.metrics.irs import (
    IRS,
    irs,
    irs_matrix,
)
from jaxdis.metrics.latents import (
    R_CON_T,
    latent_scores,
)
from jaxdis.metrics.likelihood import (
    COMPAT_LOGLIK,
    ELBO,
    IWAE,
    compat_loglik,
    elbo,
    iwae,
    unit_gaussian,
)
from jaxdis.metrics.ranking import (
    AGREEMENT,
    UDR,
    agreement,
    udr,
)
from jaxdis.metrics.regression import (
    R2,
    R2_KERNEL,
    R_CON,
    R,
    r,
    r2,
    r_con,
)
from jaxdis.metrics.sampled import (
    sampled_beta_vae_score,
    sampled_factor_vae_score,
)
from jaxdis.metrics.separability import (
    SAP,
    sap,
    sap_matrix,
)
from jaxdis.metrics.subspaces import (
    BLOCK_R2,
    SUBSPACE_R2,
    SUBSPACE_R2_OFF,
    SubspaceR2,
    block_r2,
    subspace_r2,
)
from jaxdis.metrics.usage import (
    HEAD_DENSITY,
    USAGE_ENTROPY,
    head_density,
    usage_entropy,
)

__all__ = [
    "AGREEMENT",
    "BETA_VAE_SCORE",
    "BLOCK_R2",
    "COMPAT_LOGLIK",
    "DCI",
    "DCIES",
    "DCI_C",
    "DCI_D",
    "DCI_E",
    "DCI_I",
    "DCI_S",
    "DEAD",
    "ELBO",
    "EQUIVARIANCE_ERROR",
    "EXPLICITNESS",
    "EXTRA",
    "FACTOR_VAE_SCORE",
    "FRECHET",
    "HEAD_DENSITY",
    "INFOC",
    "INFOE",
    "INFOM",
    "IRS",
    "IWAE",
    "MCC",
    "MCC_CCA",
    "MCC_HELD_OUT",
    "MCC_SPEARMAN",
    "MCC_WEAK",
    "MIG",
    "MISSING",
    "MODULARITY",
    "MUTUAL_INFORMATION",
    "R2",
    "R2_KERNEL",
    "R_CON",
    "R_CON_T",
    "SAP",
    "SHD",
    "SUBSPACE_R2",
    "SUBSPACE_R2_OFF",
    "UDR",
    "USAGE_ENTROPY",
    "Evaluation",
    "InfoMEC",
    "R",
    "SubspaceR2",
    "agreement",
    "assign",
    "beta_vae_score",
    "block_r2",
    "compat_loglik",
    "correlation_matrix",
    "dci",
    "dci_es",
    "dci_from_importance",
    "dci_linear",
    "dci_trees",
    "dead",
    "edge_errors",
    "elbo",
    "evaluate",
    "explicitness",
    "factor_entropies",
    "factor_vae_score",
    "feature_moments",
    "fit_linear_steps",
    "frame_error",
    "frechet_distance",
    "generator",
    "head_density",
    "infomec",
    "irs",
    "irs_matrix",
    "iwae",
    "latent_scores",
    "linear_steps",
    "mcc",
    "mig",
    "mig_from_information",
    "modularity",
    "modularity_from_information",
    "mutual_information",
    "permute_graphs",
    "r",
    "r2",
    "r_con",
    "sampled_beta_vae_score",
    "sampled_factor_vae_score",
    "sap",
    "sap_matrix",
    "shd",
    "standardise",
    "subspace_r2",
    "udr",
    "unit_gaussian",
    "usage_entropy",
]
