"""Pictures and a page of one run, or of several side by side.

A run directory holds config.json, metrics.jsonl, results.json and figures.npz. Means
and standard deviations are over the seeds that did not fail; a failed seed is drawn and
named, never averaged. What is drawn beside curves and tables is declared by the method.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from jaxdis.report.choice import recommendation
from jaxdis.report.promised import promised, promised_in_run
from jaxdis.report.selection import Selection, select
from jaxdis.report.sentences import findings
from jaxdis.types import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from jaxdis.report.read import Record
    from jaxdis.types import Method

__all__ = [
    "CORRELATION",
    "Selection",
    "build",
    "findings",
    "later",
    "promised",
    "promised_in_run",
    "publish",
    "recommendation",
    "select",
    "side_by_side",
]


def build(directory: Path, method: "Method | None" = None) -> Path:
    """Draws a run and writes its page; see `jaxdis.report.page.build`.

    Args:
      directory: the directory of the run.
      method: its method; by default the built-in one of that name.
    """
    from jaxdis.report import page

    return page.build(directory, method)


def side_by_side(directories: Path | str | Sequence[Path | str], out: Path) -> Path:
    """Draws several runs side by side; see `jaxdis.report.comparison`.

    Args:
      directories: the directories of runs, or one.
      out: the page to write.
    """
    from jaxdis.report import comparison

    return comparison.side_by_side(directories, out)


def publish(directory: Path, kind: str, method: "Method | None" = None) -> Path:
    """Vector pictures and tables for a paper; see `jaxdis.report.paper`.

    Args:
      directory: the directory of the run.
      kind: "pdf" or "svg".
      method: its method; by default the built-in one of that name.
    """
    from jaxdis.report import paper

    return paper.publish(directory, kind, method)


def later(module: str, function: str) -> "Callable[[Record], Drawing | bytes | None]":
    """A function that is imported when it is first called: drawing costs an import.

    Args:
      module: where it is, as "jaxdis.systems.baselines.figures".
      function: its name.
    """

    def draw(record: "Record") -> "Drawing | bytes | None":
        drawn: Drawing | bytes | None = getattr(import_module(module), function)(record)
        return drawn

    return draw


CORRELATION = Figure(
    "correlation",
    "True latents against the codes matched to them, on test rows; the mean, and the "
    "first seeds.",
    later("jaxdis.report.correlation", "draw_correlation"),
)
"""What every method shows that has codes, where the true latents are known."""
