"""Pictures and a page of one run, or of several side by side.

A run directory holds config.json, metrics.jsonl, results.json and figures.npz. Means
and standard deviations are over the seeds that did not fail; a failed seed is drawn and
named, never averaged.
"""

import base64
import html
import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

# Both safe for the colour-blind: Okabe and Ito's without yellow (too light) and
# vermillion (kept for errors); and Tol's muted ones, for more than six.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
MUTED = (
    *("#332288", "#DDCC77", "#117733", "#88CCEE", "#882255"),
    *("#44AA99", "#999933", "#AA4499", "#CC6677"),
)
WRONG = "#D55E00"
INK, FAINT, RULE = "#222222", "#6b6b6b", "#d9d9d9"
SHADES = LinearSegmentedColormap.from_list(
    "shades", ["#ffffff", "#7db8dc", "#0072B2", "#0b3d5e"]
).with_extremes(bad="#eeeeee")
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.titlesize": 12,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "savefig.facecolor": "white",
    # Labels hold names that people chose: they are not formulas.
    "text.parse_math": False,
    "text.usetex": False,
}
DPI = 150

# What pictures and tables put first, and how they call it.
LABELS = {
    "mcc": "MCC",
    "r": "R",
    "r_con": "R_con",
    "shd": "SHD",
    "nll": "NLL",
    "loss": "Training loss",
    "r_con_t": "R_con, transposed",
}
HIGHER = ("mcc", "r", "r_con")
LOWER = ("shd", "nll", "missing", "extra", "dead", "loss")
SEEDS_DRAWN = 16  # correlation matrices of one grid point
PITCH = 2.85  # inches from one metric to the next
ROWS_DRAWN = 40  # seeds with a line of their own in the dot plot


class Group(NamedTuple):
    """One grid point of one run: what is averaged.

    Attributes:
      label: how pictures call it.
      hyper: its hyper-parameters.
      seeds: their numbers.
      failed: which of them diverged.
      final: metrics at the end; NaN where there is none.
      steps: when metrics were logged.
      curves: logged metrics; NaN where there is none.
    """

    label: str
    hyper: dict[str, Any]
    seeds: list[int]
    failed: Bool[np.ndarray, "s"]
    final: dict[str, Float[np.ndarray, "s"]]
    steps: Int[np.ndarray, "t"]
    curves: dict[str, Float[np.ndarray, "s t"]]


class Run(NamedTuple):
    """One run directory.

    Attributes:
      settings: config.json.
      results: results.json.
      groups: the grid points.
    """

    settings: dict[str, Any]
    results: dict[str, Any]
    groups: list[Group]


# Reading


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(
            f"{path} is missing; give the directory of a run that has finished, or "
            "train it again"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); train it again") from error


def _read_object(path: Path, fields: Sequence[str]) -> dict[str, Any]:
    try:
        value = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not valid JSON ({error}); train the run again"
        ) from error
    missing = [f for f in fields if not isinstance(value, dict) or f not in value]
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}; it was not written by this version, "
            "train the run again"
        )
    return value


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a log; the last one may have been cut off by an interruption."""
    text = _read(path).splitlines()
    lines = []
    for number, line in enumerate(text, 1):
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(text):
                raise ValueError(
                    f"{path}, line {number}, is not valid JSON; delete the line or "
                    "train the run again"
                ) from error
    if not lines:
        raise ValueError(
            f"{path} holds no line: the run ended before its first chunk; train it "
            "again with more steps"
        )
    return lines


def _per_seed(
    values: dict[str, Any], shape: tuple[int, int], path: Path
) -> dict[str, Float[np.ndarray, "g s"]]:
    """Metrics of results.json with a leading axis of points; null becomes NaN."""
    arrays = {}
    for name, value in values.items():
        try:
            arrays[name] = np.array(value, float).reshape(shape)
        except (TypeError, ValueError):
            raise ValueError(
                f"{path}: metrics.{name} must hold {shape[0]} x {shape[1]} numbers "
                "(points x seeds) or nulls; train the run again"
            ) from None
    return arrays


def _curves(
    lines: list[dict[str, Any]], points: int, seeds: list[int], path: Path
) -> tuple[Int[np.ndarray, "t"], dict[str, Float[np.ndarray, "g s t"]]]:
    """Logged metrics; of a step that was logged twice, by a resumed run, the last."""
    try:
        keys = [(line["point"], line["seed"], line["step"]) for line in lines]
        steps = np.unique([step for *_, step in keys])
        column = {step: i for i, step in enumerate(steps.tolist())}
        row = {seed: i for i, seed in enumerate(seeds)}
        places = [(range(points).index(p), row[s], column[t]) for p, s, t in keys]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{path}: every line must have a step, a point below {points} and a seed "
            f"in {seeds[0]}..{seeds[-1]}; train the run again"
        ) from None
    names = dict.fromkeys(name for line in lines for name in line)
    curves = {}
    for name in names:
        if name in ("point", "seed", "step"):
            continue
        curves[name] = np.full((points, len(seeds), len(steps)), np.nan)
        for place, line in zip(places, lines, strict=True):
            value = line.get(name)
            if isinstance(value, int | float):
                curves[name][place] = value
    return steps, curves


def _swept(hypers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the hyper-parameters that differ between grid points."""
    return [n for n in hypers[0] if len({str(h.get(n)) for h in hypers}) > 1]


def _point_label(hyper: Mapping[str, Any], swept: Sequence[str], index: int) -> str:
    return ", ".join(f"{n} {_value(hyper.get(n))}" for n in swept) or f"point {index}"


def _scalar(value: Any) -> Any:
    """A hyper-parameter without the list that it may be wrapped in."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _groups(directory: Path, settings: Any, results: Any) -> list[Group]:
    """The grid points, from the parsed files and the log."""
    grid = isinstance(results["hyper"], list)
    hypers = results["hyper"] if grid else [results["hyper"]]
    hypers = [{name: _scalar(v) for name, v in hyper.items()} for hyper in hypers]
    failed = results["failed_seeds"] if grid else [results["failed_seeds"]]
    first = settings.get("first_seed", 0)
    seeds = list(range(first, first + settings["seeds"]))
    shape = (len(hypers), len(seeds))
    final = _per_seed(results["metrics"], shape, directory / "results.json")
    path = directory / "metrics.jsonl"
    steps, curves = _curves(_read_lines(path), len(hypers), seeds, path)
    swept = _swept(hypers)
    return [
        Group(
            label=_point_label(hyper, swept, i) if grid else "",
            hyper=hyper,
            seeds=seeds,
            failed=np.isin(seeds, failed[i]),
            final={name: value[i] for name, value in final.items()},
            steps=steps,
            curves={name: value[i] for name, value in curves.items()},
        )
        for i, hyper in enumerate(hypers)
    ]


def _load(directory: Path) -> Run:
    """Reads all of a run but its figures.

    Raises:
      ValueError: a file is missing or corrupt.
    """
    fields = ["system", "preset", "command", "seeds"]
    settings = _read_object(directory / "config.json", fields)
    path, fields = directory / "results.json", ["hyper", "metrics", "failed_seeds"]
    results = _read_object(path, fields)
    try:
        groups = _groups(directory, settings, results)
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError(
            f"{path} and config.json do not describe one run ({error}); train the run "
            "again"
        ) from error
    return Run(settings, results, groups)


def _load_figures(directory: Path, run: Run) -> dict[str, np.ndarray]:
    path = Path(directory) / "figures.npz"
    try:
        # Opened here: numpy leaves a file open that it finds to be no archive.
        with path.open("rb") as file, np.load(file) as arrays:
            figures = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; train the run again") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); train the run again"
        ) from error
    rows = (len(run.groups), len(run.groups[0].seeds))
    for name in figures.keys() & {"correlation", "graph_z", "graph_a"}:
        shape, true = figures[name].shape, figures.get(f"true_{name}")
        wrong = len(shape) != 4 or shape[:2] != rows
        if wrong or (true is not None and shape[2:] != true.shape):
            raise ValueError(
                f"{path}: {name} has shape {shape}; it must hold one matrix for each "
                f"of {rows} (points, seeds), of the size of the truth; train the run "
                "again"
            )
    return figures


# Words and numbers


def _label(metric: str) -> str:
    words = metric.replace("_", " ")
    return LABELS.get(metric, words[:1].upper() + words[1:])


def _titled(metric: str) -> str:
    """The label, and an arrow to the better side where there is one."""
    arrow = " ↑" if metric in HIGHER else " ↓" if metric in LOWER else ""
    return _label(metric) + arrow


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _fixed(value: float) -> str:
    """Three decimals as long as that is readable."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    form = ".3f" if size < 1e3 else ",.0f" if size < 1e6 else ".3g"
    return _minus(f"{value:{form}}")


def _number(value: float) -> str:
    """A whole number as such, a tiny one in powers of ten, others as `_fixed`."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e6:
        return _minus(f"{value:,.0f}")
    if 0 < abs(value) < 1e-3:
        return _minus(f"{value:.3g}")
    return _fixed(value)


def _mean_std(values: Float[np.ndarray, "s"]) -> tuple[float, float]:
    """Over the values that are there; the spread of a single one is NaN."""
    values = values[np.isfinite(values)]
    return (
        float(values.mean()) if values.size else math.nan,
        float(values.std()) if values.size > 1 else math.nan,
    )


def _plus_minus(values: Float[np.ndarray, "s"]) -> str:
    mean, std = _mean_std(values)
    return _number(mean) if math.isnan(std) else f"{_fixed(mean)} ± {_fixed(std)}"


def _duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 1:
        unit, scale = ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
        return f"{seconds * scale:.3g} {unit}"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _short(value: float, _: int = 0) -> str:
    """A tick: 30k for 30000."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return _minus(f"{value / scale:g}{unit}")
    return _minus(f"{value:g}")


def _ordered(names: Sequence[str]) -> list[str]:
    known = [name for name in LABELS if name in names]
    return known + [name for name in names if name not in LABELS]


def _alive(group: Group, metric: str) -> Float[np.ndarray, "s"]:
    values = group.final.get(metric)
    return np.empty(0) if values is None else values[~group.failed]


def _failed_seeds(group: Group) -> list[int]:
    return [s for s, bad in zip(group.seeds, group.failed, strict=True) if bad]


def _failure(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} failed"


# Pictures


def _colours(n: int) -> list[str]:
    """Distinct colours, or shades in order where there are too many to tell apart."""
    for palette in (OKABE_ITO, MUTED):
        if n <= len(palette):
            return list(palette[:n])
    shades = matplotlib.colormaps["viridis"]
    return [to_hex(shades(i)) for i in np.linspace(0, 0.88, n)]


def _png(draw: Callable[..., Figure], *args: Any) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure = draw(*args)
        figure.savefig(
            buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.15
        )
    return buffer.getvalue()


def _place(
    figure: Figure, left: float, top: float, width: float, height: float
) -> Axes:
    """Axes at a place given in inches from the upper left corner."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def _heading(figure: Figure, left: float, top: float, text: str, colour: str) -> None:
    w, h = figure.get_size_inches()
    figure.text(
        left / w, 1 - top / h, text, color=colour, fontsize=13, fontweight="bold"
    )


def _titles(ax: Axes, title: str, note: str, bad: bool = False) -> None:
    """A title, and a small line between it and the axes."""
    above: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "annotation_clip": False,
    }
    ax.annotate(title, (0, 1), (0, 17), fontsize=11, **above)
    colour = WRONG if bad else FAINT
    ax.annotate(note, (0, 1), (0, 4), fontsize=9, color=colour, **above)


def _spread(values: Sequence[float], gap: float, top: float) -> list[float]:
    """Moves values as little as needed to be a gap apart and not above the top."""
    order = np.argsort(values, kind="stable")
    blocks: list[tuple[float, int]] = []  # centre and size of labels that touch
    for value in np.asarray(values, float)[order]:
        blocks.append((float(value), 1))
        while len(blocks) > 1:
            (a, n), (b, m) = blocks[-2:]
            if b - a >= gap * (n + m) / 2:
                break
            # A block sits where its members wanted to be on average.
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    placed = [
        centre + gap * (i - (size - 1) / 2)
        for centre, size in blocks
        for i in range(size)
    ]
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], top)
        top = placed[i] - gap
    moved = np.empty(len(values))
    moved[order] = placed
    return moved.tolist()


def _mean_curve(
    curves: Float[np.ndarray, "s t"],
) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
    """Mean and the ends of its band, which never leaves the seeds' own range."""
    mean, low, high = (np.full(curves.shape[1], np.nan) for _ in range(3))
    for i, values in enumerate(curves.T):
        values = values[np.isfinite(values)]
        if values.size:
            mean[i], std = values.mean(), values.std()
            low[i] = max(mean[i] - std, values.min())
            high[i] = min(mean[i] + std, values.max())
    return mean, low, high


def _draw_group(ax: Axes, group: Group, metric: str, colour: str, alpha: float) -> None:
    curves = group.curves[metric]
    # A line through one step is nothing: it needs a dot.
    style, clip = ("o", False) if len(group.steps) == 1 else ("-", True)
    for values in curves[~group.failed]:
        (line,) = ax.plot(group.steps, values, style, color=colour, lw=0.8)
        line.set(alpha=alpha, clip_on=clip)
    for values in curves[group.failed]:
        ax.plot(group.steps, values, "--", color=colour, lw=1.0)
    mean, low, high = _mean_curve(curves[~group.failed])
    ax.fill_between(group.steps, low, high, color=colour, alpha=0.18, lw=0)
    ax.plot(group.steps, mean, color=colour, lw=2.4, solid_capstyle="round")


def _mark_failures(ax: Axes, group: Group, metric: str, named: bool) -> None:
    """A cross where a failed seed was last seen, at the rim if it left the picture."""
    labels: dict[tuple[int, int], tuple[tuple[float, float], list[int]]] = {}
    for row in np.flatnonzero(group.failed):
        values = group.curves[metric][row]
        seen = np.flatnonzero(np.isfinite(values))
        if not seen.size:
            continue
        y = float(np.clip(values[seen[-1]], *ax.get_ylim()))
        place = (float(group.steps[seen[-1]]), y)
        ax.plot(*place, "x", color=WRONG, ms=8, mew=2, clip_on=False, zorder=5)
        # Crosses that nearly coincide, in pixels, share a label.
        column, line = ax.transData.transform(place) / (90, 14)
        labels.setdefault((round(column), round(line)), (place, []))[1].append(
            group.seeds[row]
        )
    for place, seeds in labels.values() if named else ():
        ax.annotate(
            _failure(seeds),
            place,
            (8, -3),
            textcoords="offset points",
            color=WRONG,
            fontsize=9,
            annotation_clip=False,
        )


def _ticks(low: float, high: float, unit: float) -> list[float]:
    """0, half the unit, and powers of 10 from the unit on, as far as the limits."""

    def side(end: float) -> list[float]:
        if end <= 0:
            return []
        count = max(0, math.floor(math.log10(end / unit))) + 1
        powers = range(0, count, 1 + count // 8)
        return [0.5 * unit, *(unit * 10.0**k for k in powers)]

    ticks = [*(-t for t in side(-low)), 0.0, *side(high)]
    return sorted(t for t in ticks if low <= t <= high)


def _scale(ax: Axes, values: np.ndarray, late: np.ndarray) -> None:
    """Limits; and a logarithm far from 0 where early values would flatten late ones."""
    largest = float(np.abs(values).max())
    typical = max(float(np.quantile(np.abs(late), 0.9)), 1e-8 * largest)
    unit = 0.0
    if largest > 20 * typical:
        unit = 10.0 ** math.ceil(math.log10(typical) - 0.3)
        ax.set_yscale("symlog", linthresh=unit, linscale=1.0)
        note = f"linear up to {_short(unit)}, logarithmic beyond"
        ax.set_ylabel(note, fontsize=9, color=FAINT)
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array([values.min(), values.max()]))
    margin = 0.05 * (high - low) or 0.5
    low, high = scale.inverted().transform(np.array([low - margin, high + margin]))
    ax.set_ylim(low, high)
    if unit:
        ax.yaxis.set_major_locator(FixedLocator(_ticks(low, high, unit)))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(_short))


def _limit(ax: Axes, groups: list[Group], metric: str) -> None:
    """Limits that show the seeds that did not fail; losses of the failed may leave."""
    curves = [g.curves[metric] for g in groups]
    alive = [g.curves[metric][~g.failed] for g in groups]
    if metric == "mcc":
        low = min((c[np.isfinite(c)].min(initial=0.9) for c in curves), default=0.9)
        low = max(math.floor(10 * low - 0.2) / 10, 0.0)
        ax.set_ylim(low, 1.0 + 0.015 * (1.0 - low))
        return
    if any(np.isfinite(a).any() for a in alive):
        curves = alive
    values = np.concatenate([c.ravel() for c in curves])
    late = np.concatenate([c[:, c.shape[1] // 2 :].ravel() for c in curves])
    values, late = values[np.isfinite(values)], late[np.isfinite(late)]
    if values.size:
        _scale(ax, values, late if late.size else values)


def _end_labels(ax: Axes, groups: list[Group], metric: str, colours: list[str]) -> None:
    """Where a mean ends, the name of its group; or its value, if there is one group."""
    labels = []  # place in pixels, text, colour
    for group, colour in zip(groups, colours, strict=True):
        alive = group.curves[metric][~group.failed]
        mean = _mean_curve(alive)[0]
        seen = np.flatnonzero(np.isfinite(mean))
        if seen.size:
            y = ax.transData.transform((0, mean[seen[-1]]))[1]
            text = group.label if len(groups) > 1 else _plus_minus(alive[:, seen[-1]])
            labels.append((y, text, colour))
    to_axes = ax.transAxes.inverted().transform
    gap = to_axes((0, 16 / 72 * ax.figure.dpi))[1] - to_axes((0, 0))[1]
    ends = [float(to_axes((0, y))[1]) for y, *_ in labels]
    moved = _spread(ends, gap, top=1.0)
    for end, y, (_, text, colour) in zip(ends, moved, labels, strict=True):
        (leader,) = ax.plot([1.004, 1.024], [end, y], transform=ax.transAxes)
        leader.set(color=colour, linewidth=1.0, clip_on=False)
        label = ax.text(1.032, y, text, transform=ax.transAxes)
        label.set(color=colour, va="center", fontweight="bold")


def _curve_metrics(groups: list[Group]) -> list[str]:
    """MCC and loss, or what a system without them logs first."""
    logged = list(dict.fromkeys(name for g in groups for name in g.curves))
    return [n for n in ("mcc", "loss") if n in logged] or _ordered(logged)[:2]


def _draw_curve(ax: Axes, metric: str, groups: list[Group], colours: list[str]) -> None:
    for group, colour in zip(groups, colours, strict=True):
        _draw_group(ax, group, metric, colour, max(0.15, 0.5 / math.sqrt(len(groups))))
    ax.set_title(_titled(metric), fontweight="bold")
    ax.set_xlabel("step")
    ax.set_xlim(0, max(g.steps[-1] for g in groups))
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(_short))
    ax.grid(axis="y", color=RULE, lw=0.6)
    ax.set_axisbelow(True)
    _limit(ax, groups, metric)
    for group in groups:
        _mark_failures(ax, group, metric, named=len(groups) == 1)
    _end_labels(ax, groups, metric, colours)


def _draw_curves(groups: list[Group], metrics: list[str]) -> Figure:
    """Every seed thin, their mean bold, one standard deviation as a band."""
    letters = max(len(g.label) for g in groups) if len(groups) > 1 else 14
    apart = 6.2 + 0.1 * letters
    figure = Figure(figsize=(0.8 + apart * len(metrics), 4.6))
    colours = _colours(len(groups))
    for i, metric in enumerate(metrics):
        ax = _place(figure, 0.8 + apart * i, 0.6, 5.0, 3.4)
        has = [metric in g.curves for g in groups]
        _draw_curve(
            ax,
            metric,
            [g for g, h in zip(groups, has, strict=True) if h],
            [c for c, h in zip(colours, has, strict=True) if h],
        )
        if i == 0 and any(len(g.seeds) > 1 for g in groups):
            note = "thin: seeds, bold: mean, band: ± 1 std"
            ax.set_title(note, loc="right", fontsize=9, color=FAINT)
    return figure


def _heat(ax: Axes, matrix: Float[np.ndarray, "m n"]) -> None:
    """A matrix of numbers in [0, 1], first row on top, with lines between its cells."""
    m, n = matrix.shape
    ax.imshow(matrix, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    if max(m, n) <= 20:
        ax.hlines(np.arange(m - 1) + 0.5, -0.5, n - 0.5, color=RULE, lw=0.5)
        ax.vlines(np.arange(n - 1) + 0.5, -0.5, m - 0.5, color=RULE, lw=0.5)
    ax.spines[:].set_visible(True)
    ax.set(xticks=[], yticks=[], xlim=(-0.5, n - 0.5), ylim=(m - 0.5, -0.5))


def _number_cells(ax: Axes, matrix: Float[np.ndarray, "m n"], high: float) -> None:
    """Writes the values from .1 to high: plain cells need no words."""
    if max(matrix.shape) > 12:
        return
    size = 8 if max(matrix.shape) <= 6 else 6.5
    for (i, j), value in np.ndenumerate(matrix):
        if 0.1 <= value <= high:
            text = f"{value:.2f}".removeprefix("0")
            colour = "white" if value > 0.45 else INK
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def _number_axes(ax: Axes, rows: str, columns: str) -> None:
    """Numbers rows and columns from 1, every one or every fifth."""
    for axis, (start, end) in ((ax.yaxis, ax.get_ylim()), (ax.xaxis, ax.get_xlim())):
        size = round(abs(end - start))
        shown = np.arange(size) if size <= 12 else np.arange(4, size, 5)
        axis.set_ticks(shown, labels=[str(i + 1) for i in shown], fontsize=8)
    ax.tick_params(length=0, pad=2)
    ax.set_xlabel(columns, fontsize=10, labelpad=3)
    ax.set_ylabel(rows, fontsize=10, labelpad=3)


def _shade_bar(
    figure: Figure, left: float, top: float, height: float, label: str
) -> None:
    ax = _place(figure, left, top, 0.12, height)
    ax.imshow(np.linspace(1, 0, 256)[:, None], cmap=SHADES, aspect="auto")
    ax.spines[:].set_visible(False)
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.set(xticks=[])
    ax.set_yticks([0, 127.5, 255], labels=["1", "0.5", "0"], fontsize=9)
    ax.tick_params(length=0)
    ax.set_ylabel(label, fontsize=10)


def _ranked(group: Group, matrices: Float[np.ndarray, "s m n"]) -> list[int]:
    """Rows of seeds with a result, best first: fewest wrong edges, then highest MCC."""
    none = np.zeros(len(group.seeds))
    shd, mcc = group.final.get("shd", none), group.final.get("mcc", none)
    order = np.lexsort((-np.nan_to_num(mcc), np.nan_to_num(shd, nan=np.inf)))
    usable = np.isfinite(matrices).all((1, 2)) & ~group.failed
    return [int(i) for i in order if usable[i]]


def _graph_panels(
    group: Group, learned: Float[np.ndarray, "s m n"]
) -> list[tuple[str, Float[np.ndarray, "m n"]]]:
    """Mean, best and worst seed; or the only one; or none, where every seed failed."""
    rows = _ranked(group, learned)
    if len(rows) < 2:
        return [(f"seed {group.seeds[i]}", learned[i]) for i in rows]
    best, worst = rows[0], rows[-1]
    return [
        (f"mean of {len(rows)} seeds", learned[rows].mean(0)),
        (f"best: seed {group.seeds[best]}", learned[best]),
        (f"worst: seed {group.seeds[worst]}", learned[worst]),
    ]


def _draw_learned(ax: Axes, title: str, matrix: np.ndarray, true: np.ndarray) -> None:
    """Edge probabilities; cells on the wrong side of the threshold outlined."""
    _heat(ax, matrix)
    _number_cells(ax, matrix, high=0.9)
    missing, extra = (matrix <= 0.5) & (true > 0.5), (matrix > 0.5) & (true <= 0.5)
    for i, j in np.argwhere(missing | extra):
        cell = (j - 0.5, i - 0.5)
        ax.add_patch(
            Rectangle(cell, 1, 1, fill=False, ec=WRONG, lw=2, clip_on=False, zorder=4)
        )
    bad = bool((missing | extra).any())
    note = f"{missing.sum()} missing, {extra.sum()} extra" if bad else "no wrong edge"
    _titles(ax, title, note, bad)


def _draw_graph_row(
    figure: Figure,
    corner: tuple[float, float],
    cell: float,
    group: Group,
    learned: Float[np.ndarray, "s m n"],
    true: np.ndarray,
    parents: str,
    pitch: float,
) -> float:
    """The truth and what was learned, from a corner to the right; returns the end."""
    left, top = corner
    width, height = cell * true.shape[1], cell * true.shape[0]
    ax = _place(figure, left, top, width, height)
    _heat(ax, true)
    _number_axes(ax, "latent", parents)
    panels = _graph_panels(group, learned)
    note = f"{int((true > 0.5).sum())} edges" if panels else "every seed failed"
    _titles(ax, "true", note, bad=not panels)
    for title, matrix in panels:
        left += pitch
        ax = _place(figure, left, top, width, height)
        _draw_learned(ax, title, matrix, true)
    return left + width


def _graph_names(figures: Mapping[str, np.ndarray]) -> list[str]:
    """Graphs that were learned and whose truth is known."""
    return [n for n in "za" if {f"graph_{n}", f"true_graph_{n}"} <= figures.keys()]


def _draw_graphs(groups: list[Group], figures: Mapping[str, np.ndarray]) -> Figure:
    """One row a grid point; of a single point, one row a graph."""
    names = _graph_names(figures)
    latents = len(figures[f"true_graph_{names[0]}"])
    cell = min(max(2.1 / latents, 0.08), 0.32)
    single = len(groups) == 1
    head = 0.55 if single else 0.85
    block = cell * latents + head + 0.5
    rows = len(names) if single else len(groups)
    figure = Figure(figsize=(20, block * rows + 0.5))
    widths = [max(cell * figures[f"true_graph_{n}"].shape[1], 1.45) for n in names]
    right = 0.0
    for p, (group, colour) in enumerate(
        zip(groups, _colours(len(groups)), strict=True)
    ):
        left = 0.7
        if not single:
            _heading(figure, left, p * block + 0.25, group.label, colour)
        for n, name in enumerate(names):
            top = (n if single else p) * block + head
            end = _draw_graph_row(
                figure,
                (0.7 if single else left, top),
                cell,
                group,
                figures[f"graph_{name}"][p],
                figures[f"true_graph_{name}"],
                "past latent" if name == "z" else "action",
                (max(widths) if single else widths[n]) + 0.45,
            )
            left, right = end + 0.8, max(right, end)
    _shade_bar(figure, right + 0.35, head, cell * latents, "edge probability")
    return figure


def _seeds_drawn(matrices: Float[np.ndarray, "s d k"]) -> list[int]:
    """Rows with a matrix; of too many, those of the weakest diagonal."""
    rows = np.flatnonzero(np.isfinite(matrices).all((1, 2)))
    diagonal = np.trace(matrices[rows], axis1=1, axis2=2)
    return sorted(rows[np.argsort(diagonal, kind="stable")][:SEEDS_DRAWN].tolist())


def _draw_mean_correlation(
    ax: Axes, group: Group, matrices: Float[np.ndarray, "s d k"]
) -> None:
    rows = _ranked(group, matrices)
    if rows:
        mean = matrices[rows].mean(0)
        _heat(ax, mean)
        _number_cells(ax, mean, high=1.0)
        _number_axes(ax, "true latent", "matched code")
    else:
        ax.set_axis_off()
    title = f"mean of {len(rows)} seeds" if len(rows) > 1 else "correlation of latents"
    mcc = _alive(group, "mcc")
    note = f"MCC {_plus_minus(mcc)}" if mcc.size else ""
    _titles(ax, title, note if rows else "every seed failed", bad=not rows)


def _draw_seed_correlation(
    ax: Axes, group: Group, row: int, matrix: Float[np.ndarray, "d k"]
) -> None:
    _heat(ax, matrix)
    failed = bool(group.failed[row])
    mcc = f"  {_fixed(float(group.final['mcc'][row]))}" if "mcc" in group.final else ""
    title = f"seed {group.seeds[row]}{' failed' if failed else mcc}"
    ax.set_title(title, fontsize=8.5, pad=3, color=WRONG if failed else INK)


def _draw_correlation(
    groups: list[Group], correlation: Float[np.ndarray, "g s d k"]
) -> Figure:
    """Mean over seeds, and every seed as a small picture, one row a grid point."""
    side, small, apart = 2.9, 1.22, 1.4
    single = len(groups) == 1
    head = 0.55 if single else 0.85
    block = side + head + 0.5
    figure = Figure(figsize=(16, block * len(groups) + 0.5))
    columns = 0
    for p, (group, colour) in enumerate(
        zip(groups, _colours(len(groups)), strict=True)
    ):
        top = p * block + head
        if not single:
            _heading(figure, 0.7, p * block + 0.25, group.label, colour)
        ax = _place(figure, 0.7, top, side, side)
        _draw_mean_correlation(ax, group, correlation[p])
        rows = _seeds_drawn(correlation[p]) if len(group.seeds) > 1 else []
        columns = max(columns, (len(rows) + 1) // 2)
        for i, row in enumerate(rows):
            down, right = divmod(i, (len(rows) + 1) // 2)
            place = (side + 1.1 + apart * right, top + (side - small) * down)
            ax = _place(figure, *place, small, small)
            _draw_seed_correlation(ax, group, row, correlation[p, row])
        if rows and len(rows) < len(group.seeds):
            note = f"{len(rows)} of {len(group.seeds)} seeds: the weakest diagonals"
            ax.set_xlabel(note, fontsize=9, color=FAINT, loc="right")
    left = 0.7 + side + (0.4 + apart * columns if columns else 0.2)
    _shade_bar(figure, left, head, side, "absolute correlation")
    return figure


def _shown_metrics(groups: list[Group]) -> list[str]:
    """The first five metrics that hold a number."""
    names = _ordered(list(dict.fromkeys(n for g in groups for n in g.final)))
    return [
        n
        for n in names
        if any(np.isfinite(g.final.get(n, np.nan)).any() for g in groups)
    ][:5]


def _metric_axes(
    figure: Figure, left: float, height: float, metric: str, groups: list[Group]
) -> Axes:
    """Axes with limits that show the seeds that did not fail."""
    ax = _place(figure, left, 0.5, 2.4, height)
    ax.set_title(_titled(metric), fontweight="bold")
    alive = np.concatenate([_alive(g, metric) for g in groups])
    every = np.concatenate([g.final[metric] for g in groups if metric in g.final])
    values = alive if np.isfinite(alive).any() else every
    values = values[np.isfinite(values)]
    if values.size:
        low, high = values.min(), values.max()
        margin = 0.12 * (high - low) or 0.005 * abs(high) or 0.5
        ax.set_xlim(low - margin, high + margin)
    whole = bool(values.size) and bool((values == np.round(values)).all())
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=whole, min_n_ticks=1))
    if values.size and np.abs(values).max() >= 1e4:
        ax.xaxis.set_major_formatter(FuncFormatter(_short))
    ax.grid(axis="y", color=RULE, lw=0.6)
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, pad=9)
    return ax


def _draw_row(
    ax: Axes,
    group: Group,
    metric: str,
    heights: Float[np.ndarray, "s"],
    span: tuple[float, float],
    colour: str,
) -> None:
    """Seeds as dots at their heights, mean and deviation over the span."""
    values, failed = group.final[metric], group.failed
    mean, std = _mean_std(_alive(group, metric))
    if math.isfinite(std):
        ax.fill_betweenx(span, mean - std, mean + std, color=colour, alpha=0.18, lw=0)
        ax.vlines(mean, *span, color=colour, lw=2)
    size = 7 if len(values) <= 20 else 5
    ax.plot(values[~failed], heights[~failed], "o", color=colour, ms=size, mec="white")
    # A failed seed beyond the others is marked at the rim.
    if failed.any():
        rim = np.clip(values[failed], *ax.get_xlim())
        ax.plot(rim, heights[failed], "x", color=WRONG, ms=7, mew=2, clip_on=False)


def _name_failed(ax: Axes, group: Group, metric: str) -> None:
    """Writes the values of failed seeds beside their crosses."""
    low, high = ax.get_xlim()
    for row in np.flatnonzero(group.failed):
        value = float(group.final[metric][row])
        if math.isfinite(value):
            left = value < (low + high) / 2
            ax.annotate(
                _number(value),
                (float(np.clip(value, low, high)), row),
                (8 if left else -8, 0),
                textcoords="offset points",
                ha="left" if left else "right",
                va="center",
                fontsize=9,
                color=WRONG,
            )


def _draw_dots(group: Group, metrics: list[str]) -> Figure:
    """One line a seed, one column a metric."""
    rows = np.arange(len(group.seeds))
    height = 0.27 * len(rows) + 0.3
    span = (-0.5, len(rows) - 0.5)
    figure = Figure(figsize=(1.2 + PITCH * len(metrics), height + 1.2))
    for i, metric in enumerate(metrics):
        ax = _metric_axes(figure, 1.0 + PITCH * i, height, metric, [group])
        _draw_row(ax, group, metric, rows, span, OKABE_ITO[0])
        _name_failed(ax, group, metric)
        ax.set_xlabel(_plus_minus(_alive(group, metric)), color=OKABE_ITO[0])
        ax.set_ylim(span[::-1])
        labels = [f"seed {s}" if i == 0 else "" for s in group.seeds]
        ax.set_yticks(rows, labels=labels)
        for label, failed in zip(ax.get_yticklabels(), group.failed, strict=True):
            label.set_color(WRONG if failed else INK)
    return figure


def _draw_strips(groups: list[Group], metrics: list[str]) -> Figure:
    """One line a group, one column a metric, one dot a seed."""
    most = max(len(g.seeds) for g in groups)
    height = min(max(0.75, 0.04 * most), 2.4) * len(groups) + 0.2
    left = 0.4 + 0.09 * max(len(g.label) for g in groups)
    figure = Figure(figsize=(left + PITCH * len(metrics), height + 1.2))
    colours = _colours(len(groups))
    for i, metric in enumerate(metrics):
        ax = _metric_axes(figure, left + PITCH * i, height, metric, groups)
        for y, (group, colour) in enumerate(zip(groups, colours, strict=True)):
            # Below one another in the order of their numbers, so that none is hidden.
            n = len(group.seeds)
            heights = y + (np.linspace(-0.28, 0.28, n) if n > 1 else np.zeros(1))
            if metric in group.final:
                _draw_row(ax, group, metric, heights, (y - 0.38, y + 0.38), colour)
        ax.set_ylim(len(groups) - 0.5, -0.5)
        labels = [g.label if i == 0 else "" for g in groups]
        ax.set_yticks(range(len(groups)), labels=labels)
        if len(groups) == 1:
            ax.set_xlabel(_plus_minus(_alive(groups[0], metric)), color=colours[0])
    return figure


def _draw_seeds(groups: list[Group], metrics: list[str]) -> Figure:
    if len(groups) == 1 and len(groups[0].seeds) <= ROWS_DRAWN:
        return _draw_dots(groups[0], metrics)
    return _draw_strips(groups, metrics)


# Pages

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #222; --faint: #666; --rule: #ddd;
  --page: #fff; --box: #f6f7f9; --wrong: #b84a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --faint: #a0a0a0;
  --rule: #3a3a3a; --page: #16181c; --box: #20242a; --wrong: #ff9a4d; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0; font-size: 28px; }
h2 { margin: 44px 0 10px; font-size: 19px; }
.headline { margin: 6px 0 24px; font-size: 20px; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 36px; margin: 0; }
.facts dt { color: var(--faint); font-size: 13px; }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; }
figure { margin: 0; overflow-x: auto; }
figure input { display: none; }
img { max-width: 100%; background: #fff; border-radius: 6px; cursor: zoom-in; }
input:checked + img { max-width: none; cursor: zoom-out; }
figcaption, .note { color: var(--faint); font-size: 14px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
.words td { white-space: normal; overflow-wrap: anywhere; }
thead th { border-bottom: 1px solid var(--rule); }
tfoot td { font-weight: 600; }
tfoot tr:first-child td { border-top: 1px solid var(--rule); }
.failed, .failed td { color: var(--wrong); }
pre { padding: 12px 16px; background: var(--box); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; margin: 8px 0; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p class="headline">$headline</p>
$body
</main>
</body>
</html>
""")
CAPTIONS = {
    "curves": "Over training. Dashed: failed seeds, a cross where they were last seen.",
    "seeds": "At the end. Line and band: mean and one standard deviation. Crosses: "
    "failed seeds, moved to the rim where they are out of range.",
    "graphs": "Learned edge probabilities, in the order of the true latents. Rows are "
    "children; outlined cells are on the wrong side of 0.5.",
    "correlation": "True latents against the codes matched to them, on test rows.",
}
NOTE = (
    '<p class="note">Mean and standard deviation (divided by n) are over the seeds '
    "that did not fail.</p>"
)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{content}\n</section>"


def _row(cells: Sequence[str], tag: str = "td", failed: bool = False) -> str:
    """A table row of cells that are HTML already."""
    inside = "".join(f"<{tag}>{cell}</{tag}>" for cell in cells)
    return f'<tr class="failed">{inside}</tr>' if failed else f"<tr>{inside}</tr>"


def _table(
    kind: str, head: Sequence[str], rows: Sequence[str], foot: Sequence[str] = ()
) -> str:
    """A table of "numbers" or "words"."""
    lines = [
        f'<div class="scroll"><table class="{kind}">',
        f"<thead>{_row([html.escape(h) for h in head], 'th')}</thead>",
        *("<tbody>", *rows, "</tbody>"),
        *(("<tfoot>", *foot, "</tfoot>") if foot else ()),
        "</table></div>",
    ]
    return "\n".join(lines)


def _cell(value: float, text: str) -> str:
    """A number that shows all its digits when pointed at."""
    return f'<span title="{value!r}">{text}</span>' if math.isfinite(value) else text


def _facts(facts: Mapping[str, str]) -> str:
    pairs = "".join(
        f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>"
        for k, v in facts.items()
    )
    return f'<dl class="facts">{pairs}</dl>'


def _picture(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    return (
        '<figure><label><input type="checkbox">'
        f'<img alt="{name}" src="data:image/png;base64,{data}"></label>'
        f"<figcaption>{html.escape(CAPTIONS[name])}</figcaption></figure>"
    )


def _picture_sections(pictures: Mapping[str, bytes]) -> list[str]:
    return [_section(n.capitalize(), _picture(n, png)) for n, png in pictures.items()]


def _seed_table(group: Group) -> str:
    metrics = _ordered(list(group.final))
    rows = []
    for i, (seed, failed) in enumerate(zip(group.seeds, group.failed, strict=True)):
        values = [float(group.final[m][i]) for m in metrics]
        cells = [_cell(v, _number(v)) for v in values]
        name = f"{seed} failed" if failed else str(seed)
        rows.append(_row([name, *cells], failed=bool(failed)))
    moments = [_mean_std(_alive(group, m)) for m in metrics]
    foot = [
        _row([name, *(_cell(v, _fixed(v)) for v in values)])
        for name, values in zip(
            ("mean", "std"), zip(*moments, strict=True), strict=True
        )
    ]
    return _table("numbers", ["seed", *map(_titled, metrics)], rows, foot)


def _group_table(groups: list[Group], first: str) -> str:
    """A row a group: mean and deviation of every metric, and who failed."""
    metrics = _ordered(list(dict.fromkeys(m for g in groups for m in g.final)))
    rows = []
    for group in groups:
        failed = _failed_seeds(group)
        cells = [html.escape(group.label)]
        for metric in metrics:
            mean, _ = _mean_std(_alive(group, metric))
            cells.append(_cell(mean, _plus_minus(_alive(group, metric))))
        cells.append(f"{len(group.seeds) - len(failed)} of {len(group.seeds)}")
        cells.append(html.escape(", ".join(map(str, failed))) or "–")
        rows.append(_row(cells, failed=len(failed) == len(group.seeds)))
    head = [first, *map(_titled, metrics), "seeds", "failed seeds"]
    return _table("numbers", head, rows)


def _flat(settings: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names and words."""
    if not isinstance(settings, dict):
        return {prefix: json.dumps(settings, ensure_ascii=False).strip('"')}
    flat: dict[str, str] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return flat


def _settings_table(settings: Any) -> str:
    rows = [_row([html.escape(k), html.escape(v)]) for k, v in _flat(settings).items()]
    return _table("words", ["name", "value"], rows)


def _hyper_table(run: Run) -> str:
    """Swept hyper-parameters first."""
    rows = []
    hypers = [g.hyper for g in run.groups]
    swept = _swept(hypers)
    for name in [*swept, *(n for n in hypers[0] if n not in swept)]:
        values = dict.fromkeys(_value(h.get(name)) for h in hypers)
        cells = [name, ", ".join(values), "swept" if name in swept else ""]
        rows.append(_row([html.escape(c) for c in cells]))
    return _table("words", ["name", "value", ""], rows)


def _score(group: Group) -> str:
    """The first two of MCC, SHD and whatever else there is."""
    names = _ordered(list(group.final))
    shown = [n for n in ("mcc", "shd") if n in names] or names[:2]
    return ", ".join(f"{_label(n)} {_plus_minus(_alive(group, n))}" for n in shown)


def _headline(groups: list[Group]) -> str:
    runs = sum(len(g.seeds) for g in groups)
    failed = [_failed_seeds(g) for g in groups]
    lost = sum(map(len, failed))
    if len(groups) == 1:
        seeds = f"{runs} seed{'s' * (runs > 1)}"
        if not lost:
            return f"{_score(groups[0])} over {seeds}"
        return (
            f"{_score(groups[0])} over {runs - lost} of {seeds}; {_failure(failed[0])}"
        )
    means = [_mean_std(_alive(g, "mcc"))[0] for g in groups]
    text = f"{len(groups)} points, {runs} runs"
    if np.isfinite(means).any():
        best = groups[int(np.nanargmax(means))]
        text = f"Best of {len(groups)} by mean MCC: {best.label} with {_score(best)}"
    return f"{text}; {lost} of {runs} runs failed" if lost else text


def _run_facts(run: Run) -> dict[str, str]:
    r, seeds = run.results, run.groups[0].seeds
    udr = np.array(r.get("udr"), float)
    skipped = np.array(r.get("skipped_updates", []), float).sum()
    facts = {
        "seeds": f"{len(seeds)} ({seeds[0]}–{seeds[-1]})" if len(seeds) > 1 else "1",
        "steps": f"{r['steps']:,}" if "steps" in r else "–",
        "devices": str(r.get("devices", "–")),
        "wall time": _duration(r.get("wall_s")),
        "compilation": _duration(r.get("compile_s")),
        "a step of all rows": _duration(r.get("step_s")),
    }
    if np.isfinite(udr).any():
        facts["agreement of seeds (UDR)"] = ", ".join(map(_number, udr.ravel()))
    if skipped:
        facts["skipped updates"] = _number(float(skipped))
    return facts | {k: str(v) for k, v in run.settings.get("versions", {}).items()}


def _title(run: Run) -> str:
    return f"{run.settings['system']}/{run.settings['preset']}"


def _save(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever sees a part of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _save_page(
    path: Path, pictures: Mapping[str, bytes], title: str, headline: str, body: str
) -> Path:
    """Writes the pictures, named as in the dictionary, and the page beside them."""
    for name, png in pictures.items():
        _save(path.with_name(f"{name}.png"), png)
    page = PAGE.substitute(
        title=html.escape(title), headline=html.escape(headline), body=body
    )
    _save(path, page.encode())
    return path


def _draw_groups(groups: list[Group], curves: Sequence[str]) -> dict[str, bytes]:
    """PNGs of the named curves and of the metrics at the end, as far as there are."""
    pictures = {}
    if curves:
        pictures["curves"] = _png(_draw_curves, groups, curves)
    if metrics := _shown_metrics(groups):
        pictures["seeds"] = _png(_draw_seeds, groups, metrics)
    return pictures


def _draw_figures(
    groups: list[Group], figures: Mapping[str, np.ndarray]
) -> dict[str, bytes]:
    """PNGs of graphs and correlations, as far as there are."""
    pictures = {}
    if _graph_names(figures):
        pictures["graphs"] = _png(_draw_graphs, groups, figures)
    if "correlation" in figures:
        pictures["correlation"] = _png(
            _draw_correlation, groups, figures["correlation"]
        )
    return pictures


def _tables(groups: list[Group]) -> str:
    """Seeds of the only group; or a row a group and their seeds folded away."""
    if len(groups) == 1:
        return _seed_table(groups[0])
    folded = [
        f"<details><summary>{html.escape(g.label)}</summary>{_seed_table(g)}</details>"
        for g in groups
    ]
    return _group_table(groups, "point") + "\n" + "\n".join(folded)


def build(directory: Path) -> Path:
    """Draws a finished run and writes its page.

    Args:
      directory: of the run; curves.png, seeds.png, graphs.png, correlation.png (as far
        as the run has the figures) and report.html are written into it.

    Returns:
      The path of report.html, which needs no other file.

    Raises:
      ValueError: config.json, metrics.jsonl, results.json or figures.npz is missing or
        corrupt.
    """
    directory = Path(directory)
    run = _load(directory)
    figures = _load_figures(directory, run)
    pictures = _draw_groups(run.groups, _curve_metrics(run.groups))
    pictures |= _draw_figures(run.groups, figures)
    settings = run.settings
    sections = [
        _facts(_run_facts(run)),
        *_picture_sections(pictures),
        _section("Results", _tables(run.groups) + NOTE),
        _section("Hyper-parameters", _hyper_table(run)),
        _section("Configuration", _settings_table(settings.get("config", {}))),
        _section("Data", _settings_table(settings.get("data", {}))),
        _section("Command", f"<pre>{html.escape(str(settings['command']))}</pre>"),
    ]
    body = "\n".join(sections)
    path = directory / "report.html"
    return _save_page(path, pictures, _title(run), _headline(run.groups), body)


def _names(directories: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    parts = [path.resolve().parts for path in directories]
    if len(set(parts)) < len(parts):
        raise ValueError(
            "directories must differ, and one is given twice: "
            + ", ".join(map(str, directories))
        )
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            break
    return names


def _named(run: Run, name: str) -> list[Group]:
    """The run's groups, labelled with the run."""
    return [
        g._replace(label=f"{name}, {g.label}" if g.label else name) for g in run.groups
    ]


def _run_table(runs: Mapping[str, Run]) -> str:
    rows = []
    for name, run in runs.items():
        facts = _run_facts(run)
        cells = [name, _title(run), *facts.values()]
        rows.append(_row([html.escape(c) for c in cells]))
    facts = _run_facts(next(iter(runs.values())))
    return _table("words", ["run", "preset", *facts], rows)


def compare(directories: Sequence[Path], out: Path) -> Path:
    """Draws several runs side by side, each of their grid points as a row.

    Args:
      directories: of finished runs.
      out: the page to write, NAME.html; NAME-curves.png and NAME-seeds.png are written
        beside it.

    Returns:
      out; the page needs no other file.

    Raises:
      ValueError: no directory or one of them twice, out is a directory, or a file of a
        run is missing or corrupt.
    """
    directories, out = [Path(d) for d in directories], Path(out)
    if not directories:
        raise ValueError("directories must name at least one run, got none")
    if out.is_dir():
        raise ValueError(f"{out} is a directory; out must be a file, as compared.html")
    runs = {n: _load(d) for n, d in zip(_names(directories), directories, strict=True)}
    groups = [group for name, run in runs.items() for group in _named(run, name)]
    drawn = _draw_groups(groups, _curve_metrics(groups)[:1])
    commands = "\n".join(str(run.settings["command"]) for run in runs.values())
    sections = [
        _section("Results", _group_table(groups, "run") + NOTE),
        *_picture_sections(drawn),
        _section("Runs", _run_table(runs)),
        _section("Commands", f"<pre>{html.escape(commands)}</pre>"),
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    title = f"{len(runs)} run{'s' * (len(runs) > 1)} compared"
    pictures = {f"{out.stem}-{name}": png for name, png in drawn.items()}
    return _save_page(out, pictures, title, _headline(groups), "\n".join(sections))
