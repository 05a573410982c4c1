"""Pictures and a page of one run, or of several side by side.

A run directory holds config.json, metrics.jsonl, results.json and figures.npz. Means
and standard deviations are over the seeds that did not fail; a failed seed is drawn and
named, never averaged.
"""

from jaxdis.report.page import build, compare

__all__ = ["build", "compare"]
