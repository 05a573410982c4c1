"""Benchmarks: methods on data with the same seeds, cell by cell, and one table of all.

`run(SANITY, "runs/sanity")` does what `jaxdis benchmark --out runs/sanity` does.
"""

from jaxdis.benchmark.results import Outcome, Results
from jaxdis.benchmark.running import run
from jaxdis.benchmark.sanity import SANITY
from jaxdis.benchmark.settings import (
    Benchmark,
    Case,
    narrowed,
    of_table,
    read,
    scaled,
)

__all__ = [
    "SANITY",
    "Benchmark",
    "Case",
    "Outcome",
    "Results",
    "narrowed",
    "of_table",
    "read",
    "run",
    "scaled",
]
