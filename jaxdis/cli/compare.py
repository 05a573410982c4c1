"""`jaxdis compare`: settings side by side, over the same seeds."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from jaxdis import log, statistics
from jaxdis.cli import tables
from jaxdis.cli.options import NOTHING
from jaxdis.report.paired import Compared, Line, compare
from jaxdis.report.text import fixed, plus_minus, title

__all__ = ["CompareOptions", "compare_command"]

GAIN = tuple(f"gain_{name}" for name in statistics.Gain._fields)
"""The columns of a gain in a file."""


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Compares settings over the same seeds: gain ± standard error, in how many seeds.

    Attributes:
      runs: directories that `jaxdis train` wrote; each grid point is a setting.
      scores: the names of the scores; by default the first three that all runs have.
      baseline: the number of the setting that others are compared with, from 0, in the
        order of the table.
      anyway: rank runs although they differ in data, rows or steps.
      correction: of p-values for all comparisons of the table: holm, bonferroni,
        benjamini-hochberg or none.
      out: a csv or parquet file of the table.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, NOTHING]
    scores: Annotated[tuple[str, ...], NOTHING] = ()
    baseline: int = 0
    anyway: bool = False
    correction: str = "holm"
    out: Path | None = None


def compare_command(args: Sequence[str]) -> int:
    """`jaxdis compare RUN [RUN ...]`; returns the exit code.

    Raises:
      ValueError: as `jaxdis.compare`; or the runs cannot be ranked, after their scores
        are printed.
    """
    options = tyro.cli(CompareOptions, prog="jaxdis compare", args=args or ["--help"])
    if options.out is not None:
        tables.check_path(options.out, tuple(tables.FORMATS))
    found = compare(
        options.runs,
        options.scores,
        baseline=options.baseline,
        anyway=options.anyway,
        correction=options.correction,
    )
    _show(found)
    if options.out is not None:
        tables.write(options.out, _columns(found))
        log.say(f"table: {options.out}")
    if found.apart and not options.anyway:
        raise ValueError(
            f"these runs are not ranked: they differ in {'; '.join(found.apart)}. Give "
            "--anyway to compare them nevertheless"
        )
    return 0


def _show(found: Compared) -> None:
    """Prints tables, one a score, and what they mean."""
    several = sum(line.gain is not None for line in found.lines) > 1
    for score in dict.fromkeys(line.score for line in found.lines):
        lines = [line for line in found.lines if line.score == score]
        _show_score(lines, found.correction, several)
    for sentence in _sentences(found):
        log.say(sentence)


def _show_score(lines: Sequence[Line], correction: str, several: bool) -> None:
    head = ["seeds", "mean ± std"]
    if any(line.gain is not None for line in lines):
        head += ["gain ± s.e.", "95 % interval", "positive", "p"]
        head += [f"p, {correction}"] * several
    rows = [_cells(line)[: len(head)] for line in lines]
    columns = [list(column) for column in zip(head, *rows, strict=True)]
    settings = ["setting", *(line.setting for line in lines)]
    log.show(log.table(title(lines[0].score), [settings, *columns]))


def _cells(line: Line) -> list[str]:
    """What is printed of a setting; nothing of the gain of the baseline."""
    own = line.summary
    of = f" of {line.lived}" if own.seeds < line.lived else ""
    cells = [f"{own.seeds}{of}", plus_minus((float(own.mean), float(own.deviation)))]
    gain = line.gain
    if gain is None:
        return cells + [""] * 5
    if not gain.seeds:
        return cells + ["–"] * 5
    interval = f"{_signed(float(gain.low))} to {_signed(float(gain.high))}"
    error = fixed(float(gain.standard_error))
    return [
        *cells,
        _signed(float(gain.mean)) + (f" ± {error}" if error != "–" else ""),
        "–" if math.isnan(gain.low) else interval,
        f"{gain.positive} of {gain.seeds}",
        _chance(line.p),
        _chance(line.corrected),
    ]


def _signed(value: float) -> str:
    return f"+{fixed(value)}" if value > 0 else fixed(value)


def _chance(p: float) -> str:
    return "–" if math.isnan(p) else f"{p:.3g}"


def _sentences(found: Compared) -> list[str]:
    """What the tables mean, and what is to be known of them."""
    said = [*found.notes]
    number, gains = len(found.seeds), any(line.gain for line in found.lines)
    seeds = f"{number} seed{'s' * (number > 1)} in common"
    said.append(
        f"{seeds}. ±: sample standard deviation over seeds"
        + (", and of gains the standard error." if gains else ".")
    )
    if not gains:
        return said
    comparisons = sum(not math.isnan(line.p) for line in found.lines)
    many = f", for {comparisons} comparisons" * (comparisons > 1)
    said.append(
        f"Gain: over {found.baseline}, paired over the seeds; above 0 is better. "
        f"Interval: Student's t. p: permutation of signs, two-sided{many}."
    )
    fewest = min(int(line.gain.seeds) for line in found.lines if line.gain is not None)
    if 0 < fewest < 6:
        least = 2.0 ** (1 - fewest)
        said.append(f"{fewest} seeds cannot give a p below {least:.3g}.")
    if found.varied:
        said.append(f"What was varied: {'; '.join(found.varied)}.")
    if found.apart:
        said.append(f"These runs differ in {'; '.join(found.apart)}.")
    return said


def _columns(found: Compared) -> dict[str, list[Any]]:
    """The table by columns, in full digits."""
    lines, nothing = found.lines, (math.nan,) * len(GAIN)
    gains = np.array([line.gain or nothing for line in lines], float).T
    sums = np.array([line.summary for line in lines], float).T
    return {
        "setting": [line.setting for line in lines],
        "score": [line.score.name for line in lines],
        **dict(zip(statistics.Summary._fields, sums.tolist(), strict=True)),
        **dict(zip(GAIN, gains.tolist(), strict=True)),
        "p": [line.p for line in lines],
        "p_corrected": [line.corrected for line in lines],
    }
