"""Words and numbers, as pictures and tables show them."""

import math
from collections.abc import Sequence
from typing import Any

from jaxdis.types import Score

__all__ = [
    "duration",
    "failure",
    "fixed",
    "number",
    "phrase",
    "plus_minus",
    "setting",
    "tick",
    "title",
]

_ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def title(score: Score) -> str:
    """How a column or a picture is called, with an arrow to the better side."""
    return score.title + _ARROWS[score.better]


def phrase(score: Score) -> str:
    """How a score is called within a sentence; names and symbols keep capitals."""
    first, *rest = score.title.split(" ")
    plain = first.isalpha() and first[1:].islower() and first.isascii()
    return " ".join([first.lower() if plain else first, *rest])


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
