"""The scores that `evaluate` knows: what each computes, and what it needs for that."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdis.metrics.correlation import (
    MCC,
    MCC_CCA,
    MCC_HELD_OUT,
    MCC_SPEARMAN,
    mcc,
)
from jaxdis.metrics.dci import DCI_C, DCI_D, DCI_I, dci
from jaxdis.metrics.explicitness import EXPLICITNESS, explicitness
from jaxdis.metrics.infomec import INFOC, INFOE, INFOM, infomec
from jaxdis.metrics.information import MIG, MODULARITY, mig, modularity
from jaxdis.metrics.inputs import Failed, halves
from jaxdis.metrics.interventions import (
    BETA_VAE_SCORE,
    FACTOR_VAE_SCORE,
    beta_vae_score,
    factor_vae_score,
)
from jaxdis.metrics.irs import IRS, irs
from jaxdis.metrics.latents import R_CON_T
from jaxdis.metrics.regression import R2, R2_KERNEL, R_CON, R, r, r2, r_con
from jaxdis.metrics.resampling import Data
from jaxdis.metrics.separability import SAP, sap
from jaxdis.metrics.subspaces import BLOCK_R2, block_r2
from jaxdis.types import Score

__all__ = ["MEASURES", "Facts", "Measure", "Setting"]


class Setting(NamedTuple):
    """What scores are told besides the data; alike settings share their programs.

    Attributes:
      discrete: the number of classes of each factor, False for one of numbers.
      key: the number of the key that rows are split with.
      failed: what codes that are not finite do.
    """

    discrete: tuple[int | bool, ...]
    key: int = 0
    failed: Failed = "raise"


class Facts(NamedTuple):
    """What data are, as far as a score's needs go.

    Attributes:
      rows: the number of samples.
      factors: the number of factors.
      codes: the number of codes.
      seeds: the number of seeds; 0 where there is no axis of them.
      pattern: whether it is known which factors may be mixed.
    """

    rows: int
    factors: int
    codes: int
    seeds: int
    pattern: bool


Scores: TypeAlias = tuple[Array, ...]
Lack: TypeAlias = Callable[[Facts], str]


class Measure(NamedTuple):
    """Scores that are computed together.

    Attributes:
      scores: what they are called, in their order.
      compute: their values, `(data, setting) -> one array [*s] a score`.
      how: by which probe, bins or rows, in words.
      lacks: what data lack for it, in words; "" where they have all.
      usual: whether it is fast enough to be scored without being named.
      device: whether drawn rows are scored by a program of JAX; or else one after the
        other on the host.
      sorts: whether it sorts, which XLA does slowly on CPUs; the host draws there.
      classes: whether discrete factors go in as classes, numbered from 0.
      masks: whether it leaves single labels out; others get rows that have all.
      parts: the rows that fit and those that judge, `(n, key) -> parts`.
      bootstrap: whether rows are resampled, which takes long for what is fitted on the
        host, and is wrong where a copy of a row is its nearest neighbour.
      nulls: at most how many permutations are scored.
      scaled: whether the scale of the codes matters.
      redrawn: a quicker way to score drawn rows, and what prepares all rows for it.
    """

    scores: tuple[Score, ...]
    compute: Callable[[Data, Setting], Scores]
    how: str
    lacks: Lack = lambda facts: ""
    usual: bool = True
    device: bool = True
    sorts: bool = False
    classes: bool = False
    masks: bool = False
    parts: Callable[[int, int], tuple[np.ndarray, ...]] | None = None
    bootstrap: bool = True
    nulls: int = 10**9
    scaled: bool = False
    redrawn: "Redrawn | None" = None


class Redrawn(NamedTuple):
    """How drawn rows are scored, where that is quicker than all rows are.

    Attributes:
      prepare: what is worked out of all rows once, on the host.
      compute: the scores of rows of that.
    """

    prepare: Callable[[Data], Data]
    compute: Callable[[Data, Setting], Scores]


def _plain(metric: Callable[..., Array]) -> Callable[[Data, Setting], Scores]:
    """Of a metric that takes factors and codes alone."""

    def compute(data: Data, setting: Setting) -> Scores:
        return (metric(data.z, data.codes, failed=setting.failed),)

    return compute


def _places(x: np.ndarray) -> np.ndarray:
    """The place of each value among those of its column; NaN stays."""
    columns = np.moveaxis(x, -1, 0).reshape(x.shape[-1], -1, x.shape[-2])
    found = [[np.unique(c, return_inverse=True)[1] for c in runs] for runs in columns]
    places = np.moveaxis(np.array(found, np.float32), 0, -1).reshape(x.shape)
    return np.where(np.isfinite(x), places, np.nan)


def _counted_ranks(places: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Average ranks, by counting: XLA takes a hundred times as long to sort on CPUs."""
    n, k = places.shape
    known = jnp.isfinite(places)
    at = jnp.where(known, places, 0).astype(jnp.int32)
    columns = jnp.arange(k)[None, :]
    counts = jnp.zeros((n, k), jnp.float32).at[at, columns].add(1.0)
    ranks = jnp.cumsum(counts, 0) - (counts - 1) / 2
    return jnp.where(known, ranks[at, columns], jnp.nan)


def _numbered(data: Data) -> Data:
    return data._replace(
        z=_places(np.asarray(data.z)), codes=_places(np.asarray(data.codes))
    )


def _by_ranks(data: Data, setting: Setting) -> Scores:
    both = (data.z, data.codes)
    z, codes = (
        jnp.vectorize(_counted_ranks, signature="(n,k)->(n,k)")(x) for x in both
    )
    return (mcc(z, codes, failed=setting.failed),)


def _patterned(data: Data, setting: Setting) -> Scores:
    z, codes, _, pattern = data
    assert pattern is not None
    one = partial(r_con, z, codes, failed=setting.failed)
    return one(pattern), one(pattern.T)


def _blocks(data: Data, setting: Setting) -> Scores:
    z, codes, _, pattern = data
    assert pattern is not None
    return (block_r2(z, codes, pattern, key=setting.key, failed=setting.failed),)


def _held_out(metric: Callable[..., Array]) -> Callable[[Data, Setting], Scores]:
    """Of a metric that takes factors and codes, and splits their rows."""

    def compute(data: Data, setting: Setting) -> Scores:
        return (metric(data.z, data.codes, key=setting.key, failed=setting.failed),)

    return compute


def _told(metric: Callable[..., Any], data: Data, setting: Setting) -> Any:
    """What a metric says that tells classes from numbers, and of which labels."""
    discrete, _, failed = setting
    return metric(data.z, data.codes, discrete=discrete, mask=data.mask, failed=failed)


def _infomec(data: Data, setting: Setting) -> Scores:
    found = _told(infomec, data, setting)
    return found.infom, found.infoc, found.infoe


def _of_classes(metric: Callable[..., Array]) -> Callable[[Data, Setting], Scores]:
    """Of a metric that tells classes from numbers and leaves single labels out."""

    def compute(data: Data, setting: Setting) -> Scores:
        return (_told(metric, data, setting),)

    return compute


def _with_key(metric: Callable[..., Array]) -> Callable[[Data, Setting], Scores]:
    """Of one that also draws or splits rows."""

    def compute(data: Data, setting: Setting) -> Scores:
        return (_told(partial(metric, key=setting.key), data, setting),)

    return compute


def _dci(data: Data, setting: Setting, probe: Any) -> Scores:
    fitted = partial(dci, probe=probe, key=setting.key, progress=False)
    found = _told(fitted, data, setting)
    return found.disentanglement, found.completeness, found.informativeness


def _dci_measure(probe: str, how: str, **special: Any) -> Measure:
    scores = tuple(
        score._replace(
            name=score.name.replace("dci", f"dci_{probe}"),
            title=f"{score.title}, {probe}",
        )
        for score in (DCI_D, DCI_C, DCI_I)
    )
    compute = partial(_dci, probe=probe)
    return Measure(scores, compute, how, _rows(4), classes=True, **special)


FITTED: dict[str, Any] = {"usual": False, "device": False, "bootstrap": False}
"""What takes long: it is scored if named, without an interval."""
TREES = FITTED | {"nulls": 1}


def _sap(data: Data, setting: Setting) -> Scores:
    return (sap(data.z, data.codes, discrete=False, failed=setting.failed),)


def _sap_measure(kind: Any, how: str) -> Measure:
    score = SAP._replace(name=f"sap_{kind}", title=f"SAP, {kind}")
    compute = _with_key(partial(sap, kind=kind))
    return Measure((score,), compute, how, _rows(4), classes=True, masks=True, **TREES)


def _halves(n: int, key: int) -> tuple[np.ndarray, ...]:
    return halves(key, n)


def _pattern(facts: Facts) -> str:
    return "" if facts.pattern else "needs pattern=, which factors may stay mixed"


def _rows(least: int) -> Lack:
    return lambda facts: "" if facts.rows >= least else f"needs at least {least} rows"


def _factors(least: int) -> Lack:
    words = f"needs at least {least} factors"
    return lambda facts: "" if facts.factors >= least else words


def _all(*lacks: Lack) -> Lack:
    return lambda facts: next(filter(None, (lack(facts) for lack in lacks)), "")


MEASURES: Mapping[str, Measure] = {
    "mcc": Measure((MCC,), _plain(mcc), "Pearson, in sample"),
    "mcc_spearman": Measure(
        (MCC_SPEARMAN,),
        _plain(partial(mcc, kind="spearman")),
        "ranks, in sample",
        redrawn=Redrawn(_numbered, _by_ranks),
    ),
    "mcc_held_out": Measure(
        (MCC_HELD_OUT,),
        _held_out(partial(mcc, held_out=True)),
        "Pearson, held out",
        _rows(4),
        usual=False,
        parts=_halves,
    ),
    "mcc_cca": Measure(
        (MCC_CCA,),
        _held_out(partial(mcc, weak="cca")),
        "canonical variables, held out",
        _rows(4),
        **FITTED,
    ),
    "r": Measure((R,), _plain(r), "least squares, in sample"),
    "r2": Measure((R2,), _plain(r2), "least squares, in sample"),
    "r2_kernel": Measure(
        (R2_KERNEL,),
        _held_out(partial(r2, kind="kernel")),
        "kernel ridge, held out",
        _rows(4),
        usual=False,
        parts=_halves,
    ),
    "r_con": Measure(
        (R_CON, R_CON_T), _patterned, "least squares, in sample", _pattern
    ),
    "block_r2": Measure(
        (BLOCK_R2,),
        _blocks,
        "kernel ridge, held out",
        _all(_pattern, _rows(4)),
        usual=False,
        parts=_halves,
    ),
    "dci_linear": _dci_measure("linear", "least squares, held out", parts=_halves),
    "dci_lasso": _dci_measure(
        "lasso", "alpha .02, held out", parts=_halves, usual=False
    ),
    "dci_gbt": _dci_measure("gbt", "boosted trees, held out", **TREES),
    "dci_lightgbm": _dci_measure("lightgbm", "boosted trees, held out", **TREES),
    "dci_hist": _dci_measure("hist", "histogram trees, held out", **TREES),
    "mig": Measure((MIG,), _of_classes(mig), "20 bins", classes=True, masks=True),
    "modularity": Measure(
        (MODULARITY,),
        _of_classes(modularity),
        "20 bins",
        _factors(2),
        classes=True,
        masks=True,
    ),
    "infomec": Measure(
        (INFOM, INFOC, INFOE),
        _infomec,
        "10 neighbours, in sample",
        _rows(4),
        classes=True,
        masks=True,
        **FITTED,
    ),
    "sap": Measure((SAP,), _sap, "squared correlation, in sample"),
    "sap_discrete": _sap_measure("discrete", "a linear rule, held out"),
    "sap_tree": _sap_measure("tree", "a tree, held out"),
    "explicitness": Measure(
        (EXPLICITNESS,),
        _with_key(explicitness),
        "linear probe, held out",
        _rows(4),
        classes=True,
        masks=True,
        **FITTED,
    ),
    "irs": Measure(
        (IRS,),
        _of_classes(irs),
        "quantile .99",
        usual=False,
        sorts=True,
        classes=True,
        masks=True,
        scaled=True,
    ),
    "factor_vae_score": Measure(
        (FACTOR_VAE_SCORE,),
        _with_key(factor_vae_score),
        "votes of 64 rows, held out",
        classes=True,
        masks=True,
        **FITTED,
    ),
    "beta_vae_score": Measure(
        (BETA_VAE_SCORE,),
        _with_key(beta_vae_score),
        "pairs of rows, held out",
        classes=True,
        masks=True,
        **FITTED,
    ),
}
"""By the name that `evaluate` takes."""
