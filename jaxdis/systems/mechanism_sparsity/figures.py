"""Learned graphs against true ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxdis import metrics
from jaxdis.report.kit import (
    WRONG,
    Points,
    Seeds,
    blocks,
    first_word,
    heat,
    name_panel,
    name_ticks,
    number_axes,
    ranked,
    shade_bar,
)
from jaxdis.report.read import Group, Record

__all__ = ["draw_graphs"]

BEST_FIRST = (metrics.SHD, metrics.MCC)
EDGE = 0.5  # the probability above which a learned graph has an edge


class _Graph(NamedTuple):
    """One kind of parents: what was learned, and the truth where it is known."""

    parents: str
    names: Sequence[str]
    learned: Points
    true: Num[np.ndarray, "m n"] | None


def _graphs(record: Record) -> list[_Graph]:
    arrays, names = record.arrays, record.results.get("named_axes", {})
    return [
        _Graph(
            parents, names.get(parents, ()), arrays[name], arrays.get(f"true_{name}")
        )
        for name, parents in {"graph_z": "past latent", "graph_a": "action"}.items()
        if name in arrays
    ]


def _draw_edges(
    ax: Axes,
    name: str,
    matrix: Float[np.ndarray, "m n"],
    true: Num[np.ndarray, "m n"] | None,
) -> None:
    """Edge probabilities; cells on the wrong side of the threshold outlined."""
    heat(ax, matrix, highest=0.9)
    if not np.ptp(matrix):  # nothing pressed on it: its masks stayed where they were
        return name_panel(ax, name, "not learned")
    if true is None:
        return name_panel(ax, name, f"{int((matrix > EDGE).sum())} edges")
    missing, extra = (matrix <= EDGE) & (true > 0.5), (matrix > EDGE) & (true <= 0.5)
    for i, j in np.argwhere(missing | extra):
        cell = Rectangle((j, i), 1, 1, fill=False, ec=WRONG, lw=2, zorder=4)
        ax.add_patch(cell).set_clip_on(False)
    bad = bool((missing | extra).any())
    note = f"{missing.sum()} missing, {extra.sum()} extra" if bad else "no wrong edge"
    name_panel(ax, name, note, bad)


def _matrices(
    group: Group, learned: Seeds, rows: list[int], known: bool, panels: int
) -> dict[str, Float[np.ndarray, "m n"]]:
    """What is drawn of a group: mean, best and worst seed by truth, or the only one.

    Where no truth orders the latents, which differ from seed to seed, there is no mean:
    it is the best seeds.
    """
    if not known:
        return {f"seed {group.seeds[i]}": learned[i] for i in rows[:panels]}
    if len(rows) < 2:
        return {f"seed {group.seeds[i]}": learned[i] for i in rows}
    first = first_word(group, BEST_FIRST)
    last = {
        "best by truth": "worst by truth",
        "agrees most": "agrees least",
    }.get(first, "")
    named = {f"{first}: seed": rows[0], f"{last}: seed": rows[-1]}
    return {f"mean of {len(rows)} seeds": learned[rows].mean(0)} | {
        f"{name.removeprefix(': ')} {group.seeds[i]}": learned[i]
        for name, i in named.items()
    }


def _draw_graph(axes: np.ndarray, group: Group, graph: _Graph, point: int) -> None:
    """The truth where it is known, then what was learned."""
    learned = graph.learned[point]
    rows = ranked(group, learned, BEST_FIRST)
    rest = axes
    if graph.true is not None:
        first, rest = axes[0], axes[1:]
        heat(first, graph.true)
        number_axes(first, "latent", graph.parents)
        edges = int((graph.true > 0.5).sum())
        note = f"{edges} edges" if rows else "every seed failed"
        name_panel(first, "true", note, bad=not rows)
    known = graph.true is not None
    panels = _matrices(group, learned, rows, known, len(rest))
    for ax, (name, matrix) in zip(rest, panels.items(), strict=False):
        _draw_edges(ax, name, matrix, graph.true)
    if not known and panels:
        number_axes(rest[0], "latent", graph.parents)
        name_ticks(rest[0].xaxis, graph.names, learned.shape[2])
    for ax in rest[len(panels) :]:
        ax.set_axis_off()


def draw_graphs(record: Record) -> Figure | None:
    """For each kind of parents what was learned and the truth; a row per grid point."""
    graphs, groups = _graphs(record), record.groups
    if not graphs:
        return None
    # Of a single point, a row per graph: wide pictures are hard to show.
    seeds = len(groups[0].seeds)
    known = graphs[0].true is not None
    panels = (4 if seeds > 1 else 2) if known else min(seeds, 4)
    rows = len(graphs) if len(groups) == 1 else 1
    columns = panels * len(graphs) // rows
    latents = max(graph.learned.shape[-2] for graph in graphs)
    side = min(max(0.3 * latents, 1.3), 2.3)
    figure, parts = blocks(groups, (side + 0.6) * columns, (side + 1.1) * rows)
    for point, (part, group) in enumerate(zip(parts, groups, strict=True)):
        axes = part.subplots(rows, columns, squeeze=False)
        sets = axes.reshape(len(graphs), panels)
        for some, graph in zip(sets, graphs, strict=True):
            _draw_graph(some, group, graph, point)
        shade_bar(part, axes, "edge probability")
    return figure
