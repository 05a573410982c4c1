"""The scores that `evaluate` knows: what each computes, and what it needs for that."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdis.metrics.correlation import MCC, MCC_SPEARMAN, mcc
from jaxdis.metrics.dci import DCI, DCI_C, DCI_D, DCI_I, dci_linear, dci_trees
from jaxdis.metrics.inputs import Failed
from jaxdis.metrics.latents import R_CON_T
from jaxdis.metrics.regression import R2, R_CON, R, r, r2, r_con
from jaxdis.metrics.resampling import Data
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
      classes: how many factors are classes.
      pattern: whether it is known which factors may be mixed.
      shared: whether all seeds have the same factors.
    """

    rows: int
    factors: int
    codes: int
    seeds: int
    classes: int
    pattern: bool
    shared: bool


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
      device: whether JAX can trace it. The others run on the host and get no interval.
      classes: whether discrete factors go in as classes, numbered from 0.
      masks: whether it leaves single labels out; others get rows that have all.
      parts: the rows that fit and those that judge, `(n, key) -> parts`.
      null: whether permuted factors say what a useless code would get.
      bootstrap: whether rows may come twice.
      scaled: whether the scale of the codes matters.
      redrawn: a quicker way to score drawn rows, and what prepares all rows for it.
    """

    scores: tuple[Score, ...]
    compute: Callable[[Data, Setting], Scores]
    how: str
    lacks: Lack = lambda facts: ""
    usual: bool = True
    device: bool = True
    classes: bool = False
    masks: bool = False
    parts: Callable[[int, int], tuple[np.ndarray, ...]] | None = None
    null: bool = True
    bootstrap: bool = True
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
    assert data.pattern is not None
    return (block_r2(data.z, data.codes, data.pattern, failed=setting.failed),)


def _three(found: DCI) -> Scores:
    return found.disentanglement, found.completeness, found.informativeness


def _dci_linear(data: Data, setting: Setting) -> Scores:
    return _three(dci_linear(data.z, data.codes, failed=setting.failed))


def _dci_trees(data: Data, setting: Setting) -> Scores:
    return _three(dci_trees(data.z, data.codes, failed=setting.failed))


def _dci_scores(probe: str, words: str) -> tuple[Score, ...]:
    return tuple(
        score._replace(
            name=score.name.replace("dci", f"dci_{probe}"),
            title=f"{score.title}, {words}",
        )
        for score in (DCI_D, DCI_C, DCI_I)
    )


def _pattern(facts: Facts) -> str:
    return "" if facts.pattern else "needs pattern=, which factors may stay mixed"


def _rows(least: int) -> Lack:
    return lambda facts: "" if facts.rows >= least else f"needs at least {least} rows"


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
    "r": Measure((R,), _plain(r), "least squares, in sample"),
    "r2": Measure((R2,), _plain(r2), "least squares, in sample"),
    "r_con": Measure(
        (R_CON, R_CON_T), _patterned, "least squares, in sample", _pattern
    ),
    "block_r2": Measure(
        (BLOCK_R2,),
        _blocks,
        "kernel ridge, held out",
        _all(_pattern, _rows(4)),
        usual=False,
    ),
    "dci_linear": Measure(
        _dci_scores("linear", "linear"),
        _dci_linear,
        "least squares, held out",
        _rows(4),
        parts=lambda n, key: (np.arange(n // 2), np.arange(n // 2, n)),
    ),
    "dci_trees": Measure(
        _dci_scores("trees", "trees"),
        _dci_trees,
        "boosted trees, held out",
        _rows(4),
        usual=False,
        device=False,
        classes=True,
    ),
}
"""By the name that `evaluate` takes."""
