"""All scores of codes that fit their factors, each beside what a useless code gets."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from jaxdis import check, log
from jaxdis.metrics.columns import dead
from jaxdis.metrics.evaluated import Evaluation, Row
from jaxdis.metrics.inputs import (
    Failed,
    Key,
    Table,
    as_key,
    as_numbers,
    is_known,
    paired,
    seed_of,
)
from jaxdis.metrics.kinds import Discrete, as_factors, filled
from jaxdis.metrics.measures import MEASURES, Facts, Measure, Setting
from jaxdis.metrics.resampling import Data, moved_interval
from jaxdis.metrics.scoring import Scored, Wish, scores_of
from jaxdis.statistics.seeds import check_confidence
from jaxdis.types import Score

__all__ = ["evaluate", "with_scale"]


class _Ready(NamedTuple):
    """What is scored.

    Attributes:
      plain: as known values, and as floats of JAX.
      coded: the same with factors that are classes numbered from 0.
      setting: what scores are told besides.
      facts: what their needs are compared with.
    """

    plain: tuple[Data, Data]
    coded: tuple[Data, Data]
    setting: Setting
    facts: Facts


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Callable[[str], None]]:
    """A bar of what is scored next, if it is to be shown."""
    columns = TextColumn("{task.description}", markup=False), BarColumn()
    with Progress(
        *columns, MofNCompleteColumn(), console=log.console, disable=not shown
    ) as bar:
        task = bar.add_task("", total=total, completed=-1)

        def advance(name: str) -> None:
            bar.update(task, description=name, advance=1)

        yield advance
        bar.update(task, description="", advance=1)


@contextmanager
def _gathered(notes: list[str]) -> Iterator[None]:
    """What is warned of, in words and once, instead of at every score."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if str(warning.message) not in notes:
            notes.append(str(warning.message))


def _chosen(names: Sequence[str] | str | None) -> tuple[str, ...]:
    if names is None:
        return tuple(name for name, measure in MEASURES.items() if measure.usual)
    if isinstance(names, str):
        names = tuple(MEASURES) if names == "all" else (names,)
    for name in names:
        if name not in MEASURES:
            there = f"there are {', '.join(MEASURES)}, and 'all'"
            raise check.unknown("metric", name, MEASURES, there)
    check.at_least("the number of names", len(names), 1)
    return tuple(dict.fromkeys(names))


def _checked(
    z: Table, codes: Table, mask: Table, pattern: Table, discrete: Discrete
) -> tuple[Data, tuple[int, ...], Any]:
    """Known arrays, how many classes each factor has, and the factors as classes."""
    if not is_known(z, codes, mask, pattern):
        raise ValueError(
            "evaluate reads values; within jit and vmap call the metrics themselves"
        )
    z, codes = as_numbers("z", z), as_numbers("codes", codes)
    pattern = None if pattern is None else as_numbers("pattern", pattern)
    d = z.shape[-1]
    if pattern is not None and pattern.shape != (d, d):
        raise ValueError(
            f"pattern has shape {pattern.shape}; it must be ({d}, {d}), factors by "
            "factors"
        )
    if z.ndim != 2:  # each seed has factors of its own, which pass as numbers
        if mask is not None:
            raise ValueError("mask needs factors [n, d] that all seeds share")
        return Data(z, codes, None, pattern), (0,) * d, z
    factors = as_factors(z, discrete, mask)
    known = None if factors.mask is None else np.asarray(factors.mask)
    coded = np.where(np.array(factors.sizes) > 0, factors.classes, factors.values)
    data = Data(filled(z, known), codes, known, pattern)
    return data, factors.sizes, coded


def _ready(
    data: Data, sizes: tuple[int, ...], coded: np.ndarray, key: Key, failed: Failed
) -> _Ready:
    z, codes = paired(data.z, data.codes, failed)
    setting = Setting(tuple(size or False for size in sizes), seed_of(key), failed)
    arrays: dict[str, Any] = {
        name: None if value is None else jnp.asarray(value)
        for name, value in (("mask", data.mask), ("pattern", data.pattern))
    }
    facts = Facts(
        rows=codes.shape[-2],
        factors=z.shape[-1],
        codes=codes.shape[-1],
        seeds=len(codes) if codes.ndim == 3 else 0,
        pattern=data.pattern is not None,
    )
    return _Ready(
        plain=(data, Data(z, codes, **arrays)),
        coded=(
            data._replace(z=coded),
            Data(jnp.asarray(coded, codes.dtype), codes, **arrays),
        ),
        setting=setting,
        facts=facts,
    )


def with_scale(wide: Array | np.ndarray, codes: Array) -> Array:
    """Codes that were centred and scaled at the scale that they came in.

    Args:
      wide: as they came.
      codes: as floats of JAX.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        std = np.asarray(wide, np.float64).std(-2, keepdims=True)
        now = np.asarray(codes, np.float64).std(-2, keepdims=True)
    # A code that does not vary keeps its value, a broken one stays so.
    return codes * jnp.asarray(np.where(now > 0, std / np.where(now > 0, now, 1), 1))


def _complete(data: Data, measure: Measure) -> Data:
    """The rows that a score can use, where it leaves no single labels out."""
    if data.mask is None or measure.masks:
        return data
    rows = np.flatnonzero(np.asarray(data.mask).all(1))
    return data.rows(rows, rows)._replace(mask=None)


def _mean_interval(
    scored: Scored, confidence: float, span: tuple[float, float]
) -> tuple[float, float]:
    """The interval of the mean over those seeds that did not fail."""
    alive = np.isfinite(scored.value)
    if not (scored.value.ndim and len(scored.resampled) and alive.any()):
        return np.nan, np.nan
    value = np.asarray(scored.value[alive].mean())
    drawn = scored.resampled[:, alive].mean(1)
    low, high = moved_interval(value, drawn, confidence, span)
    return float(low), float(high)


def _row(
    name: str,
    measure: Measure,
    score: Score,
    scored: Scored,
    n: int,
    confidence: float,
) -> Row:
    low = high = null = spread = np.full(scored.value.shape, np.nan)
    if len(scored.resampled):
        low, high = moved_interval(
            scored.value, scored.resampled, confidence, score.range
        )
    if len(scored.permuted):
        null = np.asarray(scored.permuted.mean(0))
    if len(scored.permuted) > 1:
        spread = np.asarray(scored.permuted.std(0, ddof=1))
    return Row(
        measure=name,
        score=score,
        value=scored.value,
        low=low,
        high=high,
        null=null,
        null_std=spread,
        mean_interval=_mean_interval(scored, confidence, score.range),
        how=measure.how,
        rows=n,
    )


def _rows(name: str, measure: Measure, ready: _Ready, wish: Wish) -> list[Row]:
    """The scores of one measure, with interval and null.

    Raises:
      ValueError: the data do not have what it needs.
    """
    pair = ready.coded if measure.classes else ready.plain
    if measure.scaled:
        host, device = pair
        pair = (
            host,
            device._replace(codes=with_scale(host.codes, jnp.asarray(device.codes))),
        )
    host, device = (_complete(data, measure) for data in pair)
    n = host.codes.shape[-2]
    if reason := measure.lacks(ready.facts._replace(rows=n)):
        raise ValueError(reason)
    found = scores_of(measure, host, device, ready.setting, wish)
    return [
        _row(name, measure, score, scored, n, wish.confidence)
        for score, scored in zip(measure.scores, found, strict=True)
    ]


def evaluate(
    z: Table,
    codes: Table,
    *,
    names: Sequence[str] | str | None = None,
    discrete: Discrete = "auto",
    mask: Table = None,
    pattern: Table = None,
    bootstrap: int = 200,
    null: int = 20,
    confidence: float = 0.95,
    key: Key = None,
    failed: Failed = "raise",
    progress: bool = False,
) -> Evaluation:
    """All scores of codes that fit the data, with intervals and nulls, as one table.

    The interval is over samples: the percentiles of as many rows drawn with
    replacement, moved by the bias of the resamples; see `resampling.moved_interval`.
    Rows that a probe is fitted on and rows that judge it are drawn apart. Trees and
    what else runs on the host get no interval, and a null of one permutation. The null
    permutes the rows of z, all factors together: several scores of a useless code are
    far from 0, and those of different metrics say nothing beside each other without it.

    Args:
      z: factors [n, d], or [s, n, d] if those of the seeds differ.
      codes: codes [n, k] of the same samples, or [s, n, k] with an axis of seeds.
      names: the metrics, of `MEASURES`; by default the fast ones, "all" for all.
      discrete: which factors are classes; see `kinds.as_factors`.
      mask: true where the label is known, [n, d] or [n]. What cannot leave single
        labels out takes the rows that have all.
      pattern: which factors theory allows to stay mixed, [d, d] of 0/1, for R_con.
      bootstrap: how often rows are resampled; 0 for no intervals.
      null: how often the rows of z are permuted; 0 for no nulls.
      confidence: the probability that an interval holds the score of new samples.
      key: what rows are drawn and split with.
      failed: "raise" refuses codes that are not finite, "nan" scores their seed NaN.
      progress: whether a bar shows how far it is.

    Returns:
      The table. What does not fit is in `left_out` with the reason.

    Raises:
      ValueError: for bad factors or codes, as `metrics.mcc`; an unknown name; numbers
        out of range; or within jit.

    Warns:
      UserWarning: of the data, once for all scores; also in `notes`.

    Note: Rows are taken to be independent. Steps of sequences are not, and their
      intervals are too narrow.
    """
    chosen = _chosen(names)
    for word, value in (("bootstrap", bootstrap), ("null", null)):
        check.whole(word, value)
        check.at_least(word, value, 0)
    check_confidence(confidence)
    notes: list[str] = []
    with _gathered(notes):
        ready = _ready(*_checked(z, codes, mask, pattern, discrete), key, failed)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    wish = Wish(bootstrap, null, confidence, as_key(key))
    rows: list[Row] = []
    left_out = {}
    with _gathered(notes), _bar(len(chosen), progress) as advance:
        for name in chosen:
            advance(name)
            try:
                rows += _rows(name, MEASURES[name], ready, wish)
            except ValueError as error:
                left_out[name] = log.reason(error)
    return Evaluation(
        rows=tuple(rows),
        left_out=left_out,
        factors=tuple(
            f"{size} classes" if size else "numbers" for size in ready.setting.discrete
        ),
        shape=(
            ready.facts.rows,
            ready.facts.factors,
            ready.facts.codes,
            ready.facts.seeds,
        ),
        dead=np.asarray(dead(codes)),
        notes=tuple(notes),
        bootstrap=bootstrap,
        null=null,
        confidence=confidence,
    )
