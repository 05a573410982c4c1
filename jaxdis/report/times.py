"""What the wall time of a run was spent on, in words."""

from collections.abc import Mapping
from typing import Any

from jaxdis.clock import PARTS
from jaxdis.report import text

__all__ = ["in_words", "spent"]


def spent(results: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by what they were spent on, over all stretches of a training.

    Args:
      results: its results.json; of one of an earlier version there are none.
    """
    stretches = [part.get("seconds") or {} for part in results.get("parts") or ()]
    sums = {n: sum(float(s.get(n, 0.0)) for s in stretches) for n in PARTS}
    return {name: seconds for name, seconds in sums.items() if seconds > 0}


def in_words(results: Mapping[str, Any]) -> str:
    """ "compile 12.3 s (31 %), training 20 s (50 %)", what took no time left out.

    Args:
      results: as in `spent`; "" where nothing is known.
    """
    found = spent(results)
    whole = sum(found.values())
    return ", ".join(
        f"{name} {text.duration(seconds)} ({100 * seconds / whole:.0f} %)"
        for name, seconds in found.items()
        if seconds >= 0.005 * whole
    )
