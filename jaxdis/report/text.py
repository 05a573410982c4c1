"""Words and numbers, as pictures and tables show them."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

# What comes first, and an arrow to the better side where there is one.
TITLES = {
    "mcc": "MCC ↑",
    "mcc_spearman": "MCC of ranks ↑",
    "r2": "R² ↑",
    "block_r2": "R² of blocks ↑",
    "wrong_entries": "Wrong entries ↓",
    "jac_std_l1": "Scaled Jacobian L1",
    "latent_std": "Deviation of latents",
    "jac_l1": "Jacobian L1",
    "digit_kept": "Digit kept ↑",
    "colour_right": "Colour right ↑",
    "frechet": "Fréchet distance ↓",
    "active": "Active style latents",
    "diversity": "Diversity, 1 as real",
    "class_entropy": "Entropy of classes, nats",
    "dci_d": "DCI-D ↑",
    "dci_c": "DCI-C ↑",
    "dci_i": "DCI-I ↑",
    "r": "R ↑",
    "r_con": "R_con ↑",
    "shd": "SHD ↓",
    "nll": "NLL ↓",
    "equivariance_error": "Equivariance error ↓",
    "elbo": "ELBO ↑",
    "iwae": "IWAE ↑",
    "hj_residual": "HJ residual ↓",
    "index_accuracy": "Index accuracy ↑",
    "compat_loglik": "ELBO with the released sign",
    "released_loglik": "Released likelihood figure",
    "query_loss": "Query loss ↓",
    "head_density": "Head density",
    "usage_entropy": "Usage entropy, nats",
    "kkt": "KKT residual ↓",
    "dci_d_used": "DCI-D of used features ↑",
    "loss": "Training loss ↓",
    "r_con_t": "R_con, transposed",
    "reconstruction": "Squared error ↓",
    "kl": "KL, nats",
    "mcc_observed": "MCC of raw observations",
}
# Those that hold the name of a person.
PROPER = ("Fréchet distance",)
# Metrics that come once for every transformation, as equivariance_error_scale, or head
# and number of shots, as few_shot_sparse_5.
FAMILIES = {
    "equivariance_error_": "Equivariance error, {} ↓",
    "static_error_": "Static error, {}",
    "few_shot_": "Few-shot {} ↑",
    "raw_": "Raw {} ↑",
}


def title(metric: str) -> str:
    """How a column or a picture is called."""
    for prefix, family in FAMILIES.items():
        if metric.startswith(prefix):
            return family.format(metric.removeprefix(prefix).replace("_", " "))
    words = metric.replace("_", " ")
    return TITLES.get(metric, words[:1].upper() + words[1:])


def phrase(metric: str) -> str:
    """How a metric is called within a sentence."""
    words = title(metric).rstrip(" ↑↓")
    return words if words.isupper() or words in PROPER else words.lower()


def ordered(names: Iterable[str]) -> list[str]:
    """Well-known metrics first, then those of families; each name once."""
    names = dict.fromkeys(names)
    members = [n for prefix in FAMILIES for n in names if n.startswith(prefix)]
    return list(dict.fromkeys([*(n for n in TITLES if n in names), *members, *names]))


def setting(value: Any) -> str:
    """A hyper-parameter."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def fixed(value: float) -> str:
    """Three decimals as long as that is readable; – for NaN."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    form = ".3f" if size < 1e3 else ",.0f" if size < 1e6 else ".3g"
    return f"{value:{form}}".replace("-", "−")


def number(value: float) -> str:
    """As `fixed`, but a whole number without decimals."""
    whole = abs(value) < 1e6 and value == int(value)
    return f"{value:,.0f}".replace("-", "−") if whole else fixed(value)


def plus_minus(moments: tuple[float, float]) -> str:
    """A mean and its deviation, if there is one."""
    mean, std = map(fixed, moments)
    return number(moments[0]) if std == "–" else f"{mean} ± {std}"


def tick(value: float, _: int = 0) -> str:
    """30k for 30000."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:g}{unit}".replace("-", "−")
    return f"{value:g}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """3.34 ms, 10.5 s, 1 min 56 s, 2 h 5 min."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def failure(seeds: Sequence[int]) -> str:
    """Names the seeds that failed."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} failed"
