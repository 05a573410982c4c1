"""The picture of README: the true graph of a run, and what each seed has learned of it.

python -m docs.picture RUN [POINT]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from jaxdis import log
from jaxdis.report.kit import WRONG, heat, name_panel, number_axes, save
from jaxdis.report.read import Record, load

__all__ = ["draw_seeds"]

OUT = Path(__file__).parent / "pictures" / "graphs.png"
EDGE = 0.5  # the probability above which a learned graph has an edge
COLUMNS = 5


def draw_seeds(record: Record, point: int = 0) -> Figure:
    """A true graph beside those that the seeds of a point have learned.

    Args:
      record: a run that knows a graph: an array `NAME` with a `true_NAME`.
      point: the point of its grid.
    """
    name = next(n for n in record.arrays if f"true_{n}" in record.arrays)
    true, learned = record.arrays[f"true_{name}"], record.arrays[name][point]
    group = record.groups[point]
    rows = -(-(len(learned) + 1) // COLUMNS)
    layout = ConstrainedLayoutEngine(hspace=0.1)
    figure = Figure(figsize=(1.9 * COLUMNS, 2.35 * rows), layout=layout)
    first, *rest = figure.subplots(rows, COLUMNS, squeeze=False).flat
    heat(first, true)
    name_panel(first, "true", f"{int(true.sum())} edges")
    number_axes(first, "latent", "action")
    for ax, seed, matrix in zip(rest, group.seeds, learned, strict=False):
        heat(ax, matrix, highest=0.9)
        wrong = (matrix > EDGE) != (true > EDGE)
        for i, j in np.argwhere(wrong):
            ax.add_patch(Rectangle((j, i), 1, 1, fill=False, ec=WRONG, lw=2, zorder=4))
        note = f"{wrong.sum()} wrong" if wrong.any() else "no wrong edge"
        name_panel(ax, f"seed {seed}", note, bad=bool(wrong.any()))
    for ax in rest[len(learned) :]:
        ax.set_axis_off()
    return figure


if __name__ == "__main__":
    run, *where = sys.argv[1:]
    figure = draw_seeds(load(Path(run)), *map(int, where))
    log.write_atomically(OUT, save(figure))
    print(OUT)
