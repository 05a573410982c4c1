"""The house style: colours, curves of seeds, matrices, and how a picture is saved."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import matplotlib
import matplotlib.style
import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, LogFormatter

from jaxdis import metrics
from jaxdis.report.averages import over_seeds
from jaxdis.report.read import Group, failed_seeds, finite
from jaxdis.report.text import failure, tick, title
from jaxdis.types import Comparison, Score
from jaxdis.types import Figure as Picture

__all__ = [
    "COLOURS",
    "DPI",
    "FAINT",
    "INK",
    "NONE",
    "PNG",
    "RULE",
    "SHADES",
    "STYLE",
    "WRONG",
    "Form",
    "Points",
    "Seeds",
    "Span",
    "blocks",
    "coloured",
    "draw_alive",
    "draw_failed",
    "dress",
    "first_word",
    "heat",
    "name_panel",
    "name_ticks",
    "number_axes",
    "ranked",
    "render",
    "save",
    "shade_bar",
]

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


def dress(ax: Axes, score: Score) -> None:
    """Title, grid and short numbers below."""
    ax.set_title(title(score), fontweight="bold")
    ax.xaxis.set_major_formatter(FuncFormatter(tick))
    ax.grid(axis="y")


def _mean_curve(curves: Float[np.ndarray, "s t"]) -> Float[np.ndarray, "3 t"]:
    """Mean and the ends of its band, which never leaves the seeds' own range."""
    there = np.ma.masked_invalid(curves)
    mean, std = there.mean(0), there.std(0, ddof=1) if len(curves) > 1 else 0.0
    low = np.ma.maximum(mean - std, there.min(0))
    high = np.ma.minimum(mean + std, there.max(0))
    return np.ma.stack([mean, low, high]).filled(np.nan)


def draw_alive(ax: Axes, group: Group, metric: str, colour: str, alpha: float) -> None:
    """Every seed, their mean and its band; a lone group's last mean in words.

    Args:
      ax: the axes.
      group: the grid point.
      metric: the name of the curve.
      colour: the colour of the grid point.
      alpha: the opacity of single seeds.
    """
    curves = group.curves[metric][~group.failed]
    seen = np.flatnonzero(np.isfinite(curves).any(0))
    if not seen.size:
        return
    # A line through one step is nothing: it needs a dot.
    look: Any = {"color": colour}
    if len(group.steps) == 1:
        look |= {"marker": "o"}
    ax.plot(group.steps, curves.T, lw=0.8, alpha=alpha, **look)
    mean, low, high = _mean_curve(curves)
    ax.fill_between(group.steps, low, high, color=colour, alpha=0.18, lw=0)
    ax.plot(group.steps, mean, lw=2.4, label=group.label, **look)
    if not group.label:
        last = over_seeds(curves[:, seen[-1]])
        style: Any = {"textcoords": "offset points", "va": "center", "weight": "bold"}
        place = (group.steps[seen[-1]], mean[seen[-1]])
        ax.annotate(last, place, (8, 0), color=colour, **style)


def draw_failed(ax: Axes, group: Group, metric: str, colour: str) -> None:
    """A cross where a failed seed was last seen, at the rim if it left the picture.

    Args:
      ax: the axes, whose limits are set.
      group: the grid point.
      metric: the name of the curve.
      colour: the colour of the grid point.
    """
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


def blocks(
    groups: list[Group], width: float, height: float
) -> tuple[Figure, list[SubFigure]]:
    """A figure and its parts, one below the other, with the names of the groups.

    Args:
      groups: the grid points.
      width: the width of the figure, in inches.
      height: the height of a part, in inches.
    """
    figure = Figure(figsize=(width, height * len(groups)))
    parts = figure.subfigures(len(groups), 1, squeeze=False)[:, 0].tolist()
    for part, (group, colour) in zip(parts, coloured(groups), strict=True):
        if group.label:
            name = part.suptitle(group.label, x=0, ha="left", color=colour)
            name.set(fontsize=13, fontweight="bold")
    return figure, parts


def heat(
    ax: Axes,
    matrix: Num[np.ndarray, "m n"],
    highest: float = 0.0,
    lowest: float = 0.1,
) -> None:
    """Numbers in [0, 1], first row on top; those from lowest to highest in words.

    Args:
      ax: the axes.
      matrix: the numbers.
      highest: the largest number that is written out.
      lowest: the least one.
    """
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
    """A title, and a small line between it and the axes.

    Args:
      ax: the axes.
      name: the title.
      note: the small line.
      bad: whether it names something wrong.
    """
    ax.set_title(name, fontsize=11, pad=17)
    style: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
    small = ax.annotate(note, (0, 1), (0, 4), fontsize=9, **style)
    small.set_color(WRONG if bad else FAINT)


def number_axes(ax: Axes, rows: str, columns: str) -> None:
    """Numbers rows and columns from 0, as arrays do; of very many, some.

    Args:
      ax: the axes of a matrix.
      rows: what a row is.
      columns: what a column is.
    """
    ax.set_xlabel(columns, fontsize=10, labelpad=3)
    ax.set_ylabel(rows, fontsize=10, labelpad=3)
    ax.tick_params(length=0, pad=2)
    for axis, end in ((ax.xaxis, ax.get_xlim()[1]), (ax.yaxis, ax.get_ylim()[0])):
        shown = np.arange(0, round(end), 1 + round(end) // 13)
        axis.set_ticks(shown + 0.5, labels=shown, fontsize=8)


def name_ticks(axis: Axis, names: Sequence[str], count: int) -> None:
    """Words in the place of numbers, and of what the axis is; none if they do not fit.

    Args:
      axis: an axis that `number_axes` has numbered.
      names: the names of its rows or columns, if there are any.
      count: the number of its rows or columns.
    """
    if not names or len(names) != count:
        return
    ticks = axis.get_ticklocs()
    axis.set_ticks(ticks, labels=[names[int(tick)] for tick in ticks])
    axis.set_label_text("")
    if isinstance(axis, XAxis):
        axis.set_tick_params(labelrotation=90)


def shade_bar(part: SubFigure, axes: Any, label: str) -> None:
    """A bar that says what the shades of matrices mean.

    Args:
      part: the part of the figure.
      axes: the axes that it stands beside.
      label: what the numbers are.
    """
    shades = ScalarMappable(Normalize(0, 1), SHADES)
    # `panchor`: the matrices stay on the left of their places.
    place: Any = {"ax": axes, "aspect": 25, "pad": 0.02, "panchor": False}
    part.colorbar(shades, ticks=[0, 0.5, 1], label=label, **place)


def ranked(group: Group, matrices: Seeds, by: Sequence[Score]) -> list[int]:
    """Rows of seeds with a result, best first.

    Where the run has none of the scores, those that agree most with the others come
    first; without an agreement, seeds are in their own order.

    Args:
      group: the grid point.
      matrices: what is drawn of each seed; where it is not finite, a seed has none.
      by: the scores that decide, the first one first; those that the run lacks are
        passed over.
    """
    keys = []
    for score in reversed(_judges(group, by) or _judges(group, [metrics.AGREEMENT])):
        if score.name in group.final:
            values = group.final[score.name]
            worse = -values if score.better == "higher" else values
            keys.append(np.nan_to_num(worse, nan=np.inf))
    order = np.lexsort(keys) if keys else np.arange(len(group.seeds))
    usable = np.isfinite(matrices).all((1, 2)) & ~group.failed
    return [int(i) for i in order if usable[i]]


def _judges(group: Group, by: Sequence[Score]) -> list[Score]:
    """Those that some seed of the group has."""
    return [s for s in by if finite([group.final.get(s.name, NONE)]).size]


def first_word(group: Group, by: Sequence[Score]) -> str:
    """What the first seed of `ranked` is, in words: "" where nothing ranks them.

    "best by truth" where the first score that decides needs the truth, else "best";
    "agrees most" where none decides.

    Args:
      group: the grid point.
      by: the scores that decide.
    """
    if judges := _judges(group, by):
        return "best by truth" if judges[0].truth else "best"
    return "agrees most" if _judges(group, [metrics.AGREEMENT]) else ""


class _PlainLog(LogFormatter):
    """Labels of logarithmic axes as numbers: the others are formulas."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return tick(x) if super().__call__(x, pos) else ""


def _plain_ticks(figure: Figure) -> None:
    """Replaces the formulas that logarithmic axes are labelled with."""
    for ax in figure.findobj(Axes):
        for axis in (ax.xaxis, ax.yaxis):
            for which in ("major", "minor"):
                old = getattr(axis, f"get_{which}_formatter")()
                if isinstance(old, LogFormatter):
                    getattr(axis, f"set_{which}_formatter")(_PlainLog())


class Form(NamedTuple):
    """What pictures become.

    Attributes:
      ending: of their files.
      save: `figure -> contents`.
    """

    ending: str
    save: Callable[[Figure], bytes]


def save(
    figure: Figure, ending: str = "png", metadata: Mapping[str, None] | None = None
) -> bytes:
    """A figure as a file, without empty margins.

    Args:
      figure: the figure.
      ending: of the file, which says what it is.
      metadata: what the file shall not say of itself, as {"Date": None}.
    """
    _plain_ticks(figure)
    buffer = io.BytesIO()
    options: Any = {"bbox_inches": "tight", "pad_inches": 0.15, "dpi": DPI}
    figure.savefig(buffer, format=ending, metadata=metadata, **options)
    return buffer.getvalue()


PNG = Form("png", save)


def render(
    picture: Picture | Comparison, shown: Any, form: Form = PNG
) -> tuple[str, bytes] | None:
    """What a picture shows, in the house style and without empty margins.

    Args:
      picture: what is drawn.
      shown: the run, or runs by their names, that its function takes.
      form: what it becomes; an animation is a GIF whatever this says.

    Returns:
      The name of its file and its contents; None where the run lacks what it shows.
    """
    with matplotlib.style.context(["default", STYLE]):
        drawn = picture.draw(shown)
        if drawn is None:
            return None
        if isinstance(drawn, bytes):
            return f"{picture.name}.gif", drawn
        return f"{picture.name}.{form.ending}", form.save(drawn)
