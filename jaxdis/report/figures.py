"""Pictures of the grid points of a run, or of several runs, as PNG."""

import io
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import matplotlib
import matplotlib.style
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxdis.report.read import Group, alive, failed_seeds, finite, mean_std
from jaxdis.report.text import failure, fixed, ordered, plus_minus, tick, title

# Okabe and Ito's, safe for the colour-blind, without yellow (too light) and vermillion
# (kept for errors).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
WRONG = "#D55E00"
INK, FAINT, RULE = "#222222", "#6b6b6b", "#d9d9d9"
SHADES = LinearSegmentedColormap.from_list(
    "shades", ["#ffffff", "#7db8dc", "#0072B2", "#0b3d5e"]
)
STYLE: Any = {
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.wspace": 0.05,
    "grid.color": RULE,
    "legend.frameon": False,
    "legend.labelcolor": "linecolor",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    # Labels hold names that people chose: they are not formulas.
    "text.parse_math": False,
}
DPI = 150
SEEDS_DRAWN = 16  # correlation matrices of one grid point
NONE = np.empty(0)
Seeds: TypeAlias = Float[np.ndarray, "s m n"]
Span: TypeAlias = tuple[float, float]
Points: TypeAlias = Float[np.ndarray, "g s m n"]


def coloured(groups: list[Group]) -> list[tuple[Group, str]]:
    """With distinct colours, or shades in order where they are too many for that."""
    shades = matplotlib.colormaps["viridis"]
    many = [to_hex(shades(i)) for i in np.linspace(0, 0.88, len(groups))]
    colours = COLOURS[: len(groups)] if len(groups) <= len(COLOURS) else many
    return list(zip(groups, colours, strict=True))


def dress(ax: Axes, metric: str) -> None:
    """Title, grid and short numbers below."""
    ax.set_title(title(metric), fontweight="bold")
    ax.xaxis.set_major_formatter(FuncFormatter(tick))
    ax.grid(axis="y")


def _mean_curve(curves: Float[np.ndarray, "s t"]) -> Float[np.ndarray, "3 t"]:
    """Mean and the ends of its band, which never leaves the seeds' own range."""
    there = np.ma.masked_invalid(curves)
    mean, std = there.mean(0), there.std(0)
    low = np.ma.maximum(mean - std, there.min(0))
    high = np.ma.minimum(mean + std, there.max(0))
    return np.ma.stack([mean, low, high]).filled(np.nan)


def draw_alive(ax: Axes, group: Group, metric: str, colour: str, alpha: float) -> None:
    """Every seed, their mean and its band; a lone group's last mean in words."""
    curves = group.curves[metric][~group.failed]
    seen = np.flatnonzero(np.isfinite(curves).any(0))
    if not seen.size:
        return
    # A line through one step is nothing: it needs a dot.
    look: Any = {"color": colour}
    if len(group.steps) == 1:
        look |= {"marker": "o", "clip_on": False}
    ax.plot(group.steps, curves.T, lw=0.8, alpha=alpha, **look)
    mean, low, high = _mean_curve(curves)
    ax.fill_between(group.steps, low, high, color=colour, alpha=0.18, lw=0)
    ax.plot(group.steps, mean, lw=2.4, label=group.label, **look)
    if not group.label:
        last = plus_minus(mean_std(finite([curves[:, seen[-1]]])))
        style: Any = {"textcoords": "offset points", "va": "center", "weight": "bold"}
        place = (group.steps[seen[-1]], mean[seen[-1]])
        ax.annotate(last, place, (8, 0), color=colour, **style)


def draw_failed(ax: Axes, group: Group, metric: str, colour: str) -> None:
    """A cross where a failed seed was last seen, at the rim if it left the picture."""
    curves = group.curves[metric][group.failed]
    curves = curves[np.isfinite(curves).any(1)]
    if not len(curves):
        return
    ax.plot(group.steps, curves.T, "--", color=colour, lw=1.0)
    last = [np.flatnonzero(np.isfinite(curve))[-1] for curve in curves]
    y = np.clip(curves[range(len(curves)), last], *ax.get_ylim())
    (crosses,) = ax.plot(group.steps[last], y, "x", color=WRONG, ms=8, mew=2, zorder=5)
    name = f"{group.label}: " if group.label else ""
    crosses.set(clip_on=False, label=name + failure(failed_seeds(group)))


def _limit(ax: Axes, groups: list[Group], metric: str) -> None:
    """Keeps to seeds that did not fail; logarithmic where early values flatten late."""
    if metric in ("mcc", "dci_d"):
        values = finite([g.curves[metric] for g in groups])
        ax.set_ylim(values.min(initial=0.9) - 0.02, 1.01)
        return
    sizes = np.abs(finite([g.curves[metric][~g.failed] for g in groups]))
    if metric == "hj_residual" and sizes.size and sizes.max() > 100 * sizes.min() > 0:
        ax.set_yscale("log")
    elif sizes.size and sizes.max() > 20 * np.median(sizes):
        unit = max(np.median(sizes), 1e-8 * sizes.max())
        unit = 10.0 ** math.ceil(math.log10(unit) - 0.3)
        ax.set_yscale("symlog", linthresh=unit)
        note = f"linear up to {tick(unit)}, logarithmic beyond"
        ax.set_ylabel(note, fontsize=9, color=FAINT)
    if sizes.size:
        ax.set_ylim(ax.get_ylim())


def _draw_curve(ax: Axes, groups: list[Group], metric: str) -> None:
    drawn = [(g, c) for g, c in coloured(groups) if metric in g.curves]
    for group, colour in drawn:
        draw_alive(ax, group, metric, colour, max(0.15, 0.5 / math.sqrt(len(groups))))
    # Failed seeds come after the limits, so that what exploded hides nothing.
    _limit(ax, [g for g, _ in drawn], metric)
    for group, colour in drawn:
        draw_failed(ax, group, metric, colour)
    ax.set(xlabel="step", xlim=(0, max(g.steps[-1] for g in groups)))
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(tick))
    dress(ax, metric)


def _draw_curves(groups: list[Group], metrics: list[str]) -> Figure:
    """Every seed thin, their mean bold, one standard deviation as a band."""
    # Three get little more room than two, or their labels were small on the page.
    figure = Figure(figsize=(min(6.6 * len(metrics), 14.4), 4.4))
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    for ax, metric in zip(axes, metrics, strict=True):
        _draw_curve(ax, groups, metric)
    lines, names = axes[0].get_legend_handles_labels()
    place: Any = "outside right upper" if groups[0].label else "outside lower left"
    if names:
        figure.legend(lines, names, loc=place)
    if any(len(g.seeds) > 1 for g in groups):
        # Where the legend is not.
        write = figure.supxlabel if groups[0].label else figure.suptitle
        note = "thin: seeds, bold: mean, band: ± 1 std"
        write(note, x=0.995, ha="right", fontsize=9, color=FAINT)
    return figure


def _draw_dots(ax: Axes, group: Group, metric: str, span: Span, colour: str) -> None:
    """Seeds as dots below one another, mean and deviation over the span."""
    n = len(group.seeds)
    heights = span[0] + (span[1] - span[0]) * (np.arange(n) + 0.5) / n
    # A failed seed beyond the others is marked at the rim.
    values, failed = np.clip(group.final[metric], *ax.get_xlim()), group.failed
    mean, std = mean_std(alive(group, metric))
    if math.isfinite(std):
        ax.fill_betweenx(span, mean - std, mean + std, color=colour, alpha=0.18, lw=0)
        ax.vlines(mean, *span, color=colour, lw=2)
    ax.plot(values[~failed], heights[~failed], "o", color=colour, ms=7, mec="white")
    if failed.any():
        (crosses,) = ax.plot(values[failed], heights[failed], "x", ms=7, mew=2)
        crosses.set(color=WRONG, clip_on=False)


def _draw_column(ax: Axes, groups: list[Group], metric: str, spans: list[Span]) -> None:
    every = finite([g.final.get(metric, NONE) for g in groups])
    values = finite([alive(g, metric) for g in groups])
    values = values if values.size else every
    if values.size:
        low, high = values.min(), values.max()
        margin = 0.12 * (high - low) or 0.05 * abs(high) or 0.05
        ax.set_xlim(low - margin, high + margin)
    for (group, colour), span in zip(coloured(groups), spans, strict=True):
        if metric in group.final:
            _draw_dots(ax, group, metric, span, colour)
    if len(groups) == 1:
        ax.set_xlabel(plus_minus(mean_std(alive(groups[0], metric))), color=COLOURS[0])
    whole = bool((values == np.round(values)).all())
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=whole, min_n_ticks=1))
    dress(ax, metric)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, pad=9)


def _draw_seeds(groups: list[Group], metrics: list[str]) -> Figure:
    """A dot a seed, a column a metric; a line a seed, or a group if there are many."""
    if len(groups) == 1:
        labels = [f"seed {s}" for s in groups[0].seeds]
        spans, height = [(-0.5, len(labels) - 0.5)], 0.3
    else:
        labels = [g.label for g in groups]
        spans, height = [(y - 0.36, y + 0.36) for y in range(len(groups))], 0.8
    figure = Figure(figsize=(1.2 + 2.85 * len(metrics), height * len(labels) + 1.3))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for ax, metric in zip(axes, metrics, strict=True):
        _draw_column(ax, groups, metric, spans)
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    axes[0].set_yticks(range(len(labels)), labels=labels)
    for row in np.flatnonzero(groups[0].failed) if len(groups) == 1 else ():
        axes[0].get_yticklabels()[row].set_color(WRONG)
    return figure


def blocks(
    groups: list[Group], width: float, height: float
) -> tuple[Figure, list[SubFigure]]:
    """A figure and its parts, one below the other, with the names of the groups."""
    figure = Figure(figsize=(width, height * len(groups)))
    parts = figure.subfigures(len(groups), 1, squeeze=False)[:, 0].tolist()
    for part, (group, colour) in zip(parts, coloured(groups), strict=True):
        if group.label:
            name = part.suptitle(group.label, x=0, ha="left", color=colour)
            name.set(fontsize=13, fontweight="bold")
    return figure, parts


def heat(
    ax: Axes,
    matrix: Float[np.ndarray, "m n"],
    highest: float = 0.0,
    lowest: float = 0.1,
) -> None:
    """Numbers in [0, 1], first row on top; those from lowest to highest in words."""
    ax.pcolormesh(matrix, cmap=SHADES, vmin=0, vmax=1, edgecolors=RULE, lw=0.4)
    ax.set(aspect="equal", anchor="NW", xticks=[], yticks=[])
    ax.invert_yaxis()
    ax.spines[:].set_visible(True)
    largest = max(matrix.shape)
    for (i, j), value in np.ndenumerate(matrix) if largest <= 12 else ():
        if lowest <= value <= highest:
            cell = ax.text(j + 0.5, i + 0.5, f"{value:.2f}".removeprefix("0"))
            cell.set(ha="center", va="center", fontsize=8 if largest <= 6 else 6.5)
            cell.set_color("white" if value > 0.45 else INK)


def name_panel(ax: Axes, name: str, note: str, bad: bool = False) -> None:
    """A title, and a small line between it and the axes."""
    ax.set_title(name, fontsize=11, pad=17)
    style: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
    small = ax.annotate(note, (0, 1), (0, 4), fontsize=9, **style)
    small.set_color(WRONG if bad else FAINT)


def number_axes(ax: Axes, rows: str, columns: str) -> None:
    """Numbers rows and columns from 1; of very many, some."""
    ax.set_xlabel(columns, fontsize=10, labelpad=3)
    ax.set_ylabel(rows, fontsize=10, labelpad=3)
    ax.tick_params(length=0, pad=2)
    for axis, end in ((ax.xaxis, ax.get_xlim()[1]), (ax.yaxis, ax.get_ylim()[0])):
        shown = np.arange(0, round(end), 1 + round(end) // 13)
        axis.set_ticks(shown + 0.5, labels=shown + 1, fontsize=8)


def shade_bar(part: SubFigure, axes: Any, label: str) -> None:
    shades = ScalarMappable(Normalize(0, 1), SHADES)
    # `panchor`: the matrices stay on the left of their places.
    place: Any = {"ax": axes, "aspect": 25, "pad": 0.02, "panchor": False}
    part.colorbar(shades, ticks=[0, 0.5, 1], label=label, **place)


def ranked(group: Group, matrices: Seeds) -> list[int]:
    """Rows of seeds with a result, best first.

    Those with the fewest wrong edges of a graph or entries of a mask, then those with
    the highest MCC.
    """
    none = np.zeros(len(group.seeds))
    wrong = group.final.get("shd", group.final.get("wrong_entries", none))
    mcc = group.final.get("mcc", none)
    order = np.lexsort((-np.nan_to_num(mcc), np.nan_to_num(wrong, nan=np.inf)))
    usable = np.isfinite(matrices).all((1, 2)) & ~group.failed
    return [int(i) for i in order if usable[i]]


def _draw_edges(ax: Axes, name: str, matrix: np.ndarray, true: np.ndarray) -> None:
    """Edge probabilities; cells on the wrong side of the threshold outlined."""
    heat(ax, matrix, highest=0.9)
    missing, extra = (matrix <= 0.5) & (true > 0.5), (matrix > 0.5) & (true <= 0.5)
    for i, j in np.argwhere(missing | extra):
        cell = Rectangle((j, i), 1, 1, fill=False, ec=WRONG, lw=2, zorder=4)
        ax.add_patch(cell).set_clip_on(False)
    bad = bool((missing | extra).any())
    note = f"{missing.sum()} missing, {extra.sum()} extra" if bad else "no wrong edge"
    name_panel(ax, name, note, bad)


def _draw_graph(
    axes: np.ndarray, group: Group, learned: Seeds, true: np.ndarray, parents: str
) -> None:
    """The truth, then mean, best and worst seed, or the only one."""
    heat(axes[0], true)
    number_axes(axes[0], "latent", parents)
    rows = ranked(group, learned)
    note = f"{int((true > 0.5).sum())} edges" if rows else "every seed failed"
    name_panel(axes[0], "true", note, bad=not rows)
    panels = {f"seed {group.seeds[i]}": learned[i] for i in rows[:1]}
    if len(rows) > 1:
        panels = {f"mean of {len(rows)} seeds": learned[rows].mean(0)}
        for word, i in (("best", rows[0]), ("worst", rows[-1])):
            panels[f"{word}: seed {group.seeds[i]}"] = learned[i]
    for ax, (name, matrix) in zip(axes[1:], panels.items(), strict=False):
        _draw_edges(ax, name, matrix, true)
    for ax in axes[1 + len(panels) :]:
        ax.set_axis_off()


def _draw_graphs(
    groups: list[Group], graphs: dict[str, tuple[Points, np.ndarray]]
) -> Figure:
    """For each kind of parents what was learned and the truth; a row a grid point."""
    # Of a single point, a row a graph: wide pictures are hard to show.
    panels = 4 if len(groups[0].seeds) > 1 else 2
    rows = len(graphs) if len(groups) == 1 else 1
    columns = panels * len(graphs) // rows
    latents = max(len(true) for _, true in graphs.values())
    side = min(max(0.3 * latents, 1.3), 2.3)
    figure, parts = blocks(groups, (side + 0.6) * columns, (side + 1.1) * rows)
    for p, (part, group) in enumerate(zip(parts, groups, strict=True)):
        axes = part.subplots(rows, columns, squeeze=False)
        sets = axes.reshape(len(graphs), panels)
        for some, (parents, (learned, true)) in zip(sets, graphs.items(), strict=True):
            _draw_graph(some, group, learned[p], true, parents)
        shade_bar(part, axes, "edge probability")
    return figure


def _draw_mean_correlation(ax: Axes, group: Group, matrices: Seeds) -> None:
    rows = ranked(group, matrices)
    if not rows:
        ax.set_axis_off()
        return name_panel(ax, "correlation of latents", "every seed failed", bad=True)
    heat(ax, matrices[rows].mean(0), highest=1.0)
    number_axes(ax, "true latent", "matched code")
    name = f"mean of {len(rows)} seeds" if len(rows) > 1 else "correlation of latents"
    name_panel(ax, name, f"MCC {plus_minus(mean_std(alive(group, 'mcc')))}")


def _draw_seed_correlation(ax: Axes, group: Group, matrices: Seeds, row: int) -> None:
    heat(ax, matrices[row])
    bad = bool(group.failed[row])
    mcc = f"  {fixed(float(group.final['mcc'][row]))}" if "mcc" in group.final else ""
    name = f"seed {group.seeds[row]}{' failed' if bad else mcc}"
    ax.set_title(name, fontsize=8.5, pad=3, color=WRONG if bad else INK)


def _draw_correlation(groups: list[Group], correlation: Points) -> Figure:
    """Mean over seeds, and every seed as a small picture, one row a grid point."""
    seeds = min(len(groups[0].seeds), SEEDS_DRAWN)
    columns = (seeds + 1) // 2 if seeds > 1 else 0
    figure, parts = blocks(groups, 4.2 + 1.4 * columns, 3.9)
    for part, group, matrices in zip(parts, groups, correlation, strict=True):
        grid = part.add_gridspec(2, 2 + columns)
        axes = [part.add_subplot(grid[:, :2])]
        _draw_mean_correlation(axes[0], group, matrices)
        for row in range(seeds if columns else 0):
            if np.isfinite(matrices[row]).all():
                place = grid[row // columns, 2 + row % columns]
                axes.append(part.add_subplot(place))
                _draw_seed_correlation(axes[-1], group, matrices, row)
        shade_bar(part, axes, "absolute correlation")
    return figure


def curve_metrics(groups: list[Group]) -> list[str]:
    """At most three: scores of the latents, then a held-out loss before training's.

    Of a system without them what it logs first.
    """
    logged = ordered(name for g in groups for name in g.curves)
    wanted = (
        "mcc", "dci_d", "equivariance_error", "hj_residual", "query_loss", "jac_std_l1",
        "digit_kept", "colour_right", "frechet", "loss",
    )  # fmt: skip
    return [n for n in wanted if n in logged][:3] or logged[:2]


def png(draw: Callable[..., Figure], *args: Any) -> bytes:
    """What a function draws, in the house style and without its empty margins."""
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", STYLE]):
        options: Any = {"bbox_inches": "tight", "pad_inches": 0.15, "dpi": DPI}
        draw(*args).savefig(buffer, format="png", **options)
    return buffer.getvalue()


def draw(
    groups: list[Group], curves: list[str], figures: Mapping[str, np.ndarray]
) -> dict[str, bytes]:
    """PNGs of the named curves, the metrics at the end, graphs and correlations.

    Those of which there is nothing to draw are left out.

    Returns:
      Their contents by the names of their files.
    """
    names = ordered(name for g in groups for name in g.final)
    final = [n for n in names if finite([g.final.get(n, NONE) for g in groups]).size]
    graphs = {
        parents: (figures[name], figures[f"true_{name}"])
        for name, parents in {"graph_z": "past latent", "graph_a": "action"}.items()
        if {name, f"true_{name}"} <= figures.keys()
    }
    pictures: dict[str, tuple[Callable[..., Figure], Any]] = {
        "curves": (_draw_curves, curves),
        "seeds": (_draw_seeds, final[:5]),
        "graphs": (_draw_graphs, graphs),
        "correlation": (_draw_correlation, figures.get("correlation", NONE)),
    }
    return {
        f"{name}.png": png(function, groups, what)
        for name, (function, what) in pictures.items()
        if len(what)
    }
