"""Pictures of a sparse mixing: its Jacobian, its latents by domain, more domains."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from jaxdis.report.figures import (
    COLOURS,
    FAINT,
    INK,
    WRONG,
    blocks,
    dress,
    heat,
    name_panel,
    number_axes,
    png,
    ranked,
    shade_bar,
)
from jaxdis.report.frames import Figures
from jaxdis.report.read import Group, Run, alive, mean_std
from jaxdis.report.text import fixed, number, setting

SYSTEM = "sparse_mixing"
SUPPORT = 0.1  # of the largest of its row: what counts as an entry of the mask
POINTS_DRAWN = 8  # grid points whose latents are drawn
LATENTS_DRAWN = 8
OVERLAP = 1.7  # height of a density, of the distance to the next
NOT_MODEL = ("domains",)  # settings of the data that tell no line from another
RAW = "raw observations"
FLOOR: Any = {"ls": "--", "lw": 1.5}


class Seed(NamedTuple):
    """A row of the arrays of a grid point, and what it is called."""

    row: int
    name: str


def _chosen(group: Group, values: np.ndarray) -> list[Seed]:
    """The best seed and the one in the middle; of two both."""
    rows = ranked(group, values)
    if len(rows) < 2:
        return [Seed(i, f"seed {group.seeds[i]}") for i in rows]
    middle, word = (
        (rows[1], "other") if len(rows) == 2 else (rows[_mid(rows)], "median")
    )
    named = (("best", rows[0]), (word, middle))
    return [Seed(i, f"{word}: seed {group.seeds[i]}") for word, i in named]


def _mid(rows: list[int]) -> int:
    return len(rows) // 2


def _relative(jacobian: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """Every row, of its largest; one of zeros stays so."""
    largest = jacobian.max(1, keepdims=True)
    return jacobian / np.where(largest > 0, largest, 1.0)


def _outline(ax: Axes, cells: np.ndarray, colour: str, width: float) -> None:
    for i, j in np.argwhere(cells):
        cell = Rectangle((j, i), 1, 1, fill=False, ec=colour, lw=width, zorder=4)
        ax.add_patch(cell).set_clip_on(False)


def _matrix(ax: Axes, matrix: np.ndarray, columns: str) -> None:
    heat(ax, matrix, highest=1.0)
    number_axes(ax, "", columns)
    if len(matrix) > 3 * matrix.shape[1]:
        ax.set_aspect("auto")


def _draw_jacobian(
    ax: Axes, group: Group, seed: Seed, jacobian: np.ndarray, mask: np.ndarray | None
) -> None:
    """Entries of the mask outlined, those on the wrong side of the threshold, too."""
    matrix = _relative(jacobian)
    _matrix(ax, matrix, "latent" if mask is None else "matched latent")
    final = {n: values[seed.row] for n, values in group.final.items()}
    words = [f"MCC {fixed(float(final['mcc']))}"] if "mcc" in final else []
    bad = False
    if mask is not None:
        wrong = (matrix > SUPPORT) != mask
        _outline(ax, mask & ~wrong, INK, 1.6)
        _outline(ax, wrong, WRONG, 2.0)
        bad = bool(wrong.any())
        words += [f"{wrong.sum()} wrong"]
    name_panel(ax, seed.name, ", ".join(words), bad)


def _draw_jacobians(
    groups: list[Group], spec: Mapping[str, Any], figures: Figures
) -> Figure:
    """The true mask, where it is known, and Jacobians of two seeds; a row a point."""
    every = figures["jacobian"]
    m, n = every.shape[2:]
    mask = np.array(spec["mask"]) > 0 if spec.get("mask") else None
    # Latents without a match have no order in which a mask could be compared.
    compared = mask if "latents_true" in figures else None
    panels = min(len(groups[0].seeds), 2) + (mask is not None)
    side = min(max(5.0 / m, 0.05), 0.36)
    width, height = max(side * n, 1.5) + 0.75, max(side * m, 1.0) + 1.2
    figure, parts = blocks(groups, width * panels + 1.1, height)
    for part, group, seeds in zip(parts, groups, every, strict=True):
        axes = part.subplots(1, panels, squeeze=False)[0]
        left = list(axes)
        if mask is not None:
            _matrix(left[0], mask.astype(float), "true latent")
            name_panel(left.pop(0), "true mask", f"{mask.sum()} entries")
        chosen = _chosen(group, seeds)
        for ax, seed in zip(left, chosen, strict=False):
            _draw_jacobian(ax, group, seed, seeds[seed.row], compared)
        for ax in left[len(chosen) :]:
            ax.set_axis_off()
        if not chosen:
            name_panel(left[0], "Jacobian", "every seed failed", bad=True)
        axes[0].set_ylabel("observed variable", fontsize=10, labelpad=3)
        shade_bar(part, axes, "of the row's largest")
    return figure


def density(
    values: Float[np.ndarray, "k"], grid: Float[np.ndarray, "t"]
) -> Float[np.ndarray, "t"]:
    """Gaussian kernels on a grid, of the highest; zeros where there are no values.

    The width is Silverman's `1.06 std k^(-1/5)`, and no less than the grid resolves.
    """
    if not values.size:
        return np.zeros(len(grid))
    width = max(1.06 * values.std() * values.size**-0.2, 2 * (grid[1] - grid[0]))
    height = np.exp(-0.5 * ((grid[:, None] - values[None]) / width) ** 2).mean(1)
    return height / height.max()


def _shades(domains: int) -> list[str]:
    """Colours in the order of the domains."""
    return [to_hex(c) for c in colormaps["viridis"](np.linspace(0, 0.88, domains))]


def _draw_ridges(
    ax: Axes, values: Float[np.ndarray, "k"], u: Int[np.ndarray, "k"], domains: int
) -> None:
    """A density a domain, the first on top."""
    low, high = values.min(), values.max()
    margin = 0.06 * (high - low) or 0.5
    grid = np.linspace(low - margin, high + margin, 200)
    for d, colour in enumerate(_shades(domains)):
        top = d - OVERLAP * density(values[u == d], grid)
        ax.fill_between(grid, d, top, color=colour, alpha=0.8, lw=0, zorder=2 + d)
        ax.plot(grid, top, color="white", lw=0.7, zorder=2 + d)
    ax.set(xlim=(grid[0], grid[-1]), ylim=(domains - 0.7, -OVERLAP - 0.1))
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.tick_params(axis="x", labelsize=8, pad=2)
    ax.spines["left"].set_visible(False)
    shown = np.arange(0, domains, 1 + (domains - 1) // 9)
    ax.set_yticks(shown, labels=shown + 1, fontsize=8)
    ax.tick_params(axis="y", length=0, pad=2)


def _draw_scatter(
    ax: Axes, true: np.ndarray, estimated: np.ndarray, colours: np.ndarray
) -> None:
    ax.scatter(true, estimated, s=5, c=colours, alpha=0.7, lw=0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.tick_params(labelsize=8, pad=2)
    ax.set_xlabel("true", fontsize=9, labelpad=2)


def _say(ax: Axes, words: str) -> None:
    """In the corner that latents with the sign of the true ones leave free."""
    place: Any = {"xycoords": "axes fraction", "va": "top"}
    note = ax.annotate(words, (0.03, 0.98), fontsize=9, color=INK, **place)
    note.set_bbox({"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1})


def _draw_latents_of(
    part: SubFigure, group: Group, point: int, domains: int, figures: Figures
) -> None:
    """A column a latent: true densities, estimated ones, one against the other."""
    estimated, known = figures["latents"][point], "latents_true" in figures
    columns = min(estimated.shape[2], LATENTS_DRAWN)
    names = [*(["true"] if known else []), "estimated", *(["scatter"] if known else [])]
    heights = [1.3 if name == "scatter" else _ridge(domains) for name in names]
    best = _chosen(group, estimated)[:1]
    if not best:
        ax = part.subplots()
        ax.set_axis_off()
        return name_panel(ax, "latents", "every seed failed", bad=True)
    (row, name), u = best[0], figures["true_domains"]
    axes = part.subplots(len(names), columns, squeeze=False, height_ratios=heights)
    mcc = group.final.get("mcc")
    words = name if mcc is None else f"{name}, MCC {fixed(float(mcc[row]))}"
    place: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes[0, 0].annotate(words, (0, 1), (0, 26), fontsize=10, color=FAINT, **place)
    of = f" of {estimated.shape[2]}" if columns < estimated.shape[2] else ""
    colours = np.array(_shades(domains))[u]
    for j in range(columns):
        kinds = {"estimated": estimated[row, :, j]}
        if known:
            kinds["true"] = figures["latents_true"][point, row, :, j]
        for ax, kind in zip(axes[:, j], names, strict=True):
            if kind in kinds:
                _draw_ridges(ax, kinds[kind], u, domains)
            else:
                _draw_scatter(ax, kinds["true"], kinds["estimated"], colours)
                if "correlation" in figures:
                    _say(ax, f"r {figures['correlation'][point, row, j, j]:.2f}")
        axes[0, j].set_title(f"latent {j + 1}{of if j == 0 else ''}", fontsize=11)
    for ax, kind in zip(axes[:, 0], names, strict=True):
        label = "estimated" if kind == "scatter" else f"{kind}, by domain"
        ax.set_ylabel(label, fontsize=10, labelpad=3)


def _ridge(domains: int) -> float:
    """Inches of the densities of all domains, no less than their label needs."""
    return min(max(0.7 + 0.11 * domains, 1.5), 2.8)


def _draw_latents(groups: list[Group], domains: int, figures: Figures) -> Figure:
    """A block a grid point, of its best seed."""
    groups = groups[:POINTS_DRAWN]
    columns = min(figures["latents"].shape[3], LATENTS_DRAWN)
    width = min(max(12.6 / columns, 1.5), 2.3) * columns + 0.8
    known = "latents_true" in figures
    height = (1 + known) * (_ridge(domains) + 0.35) + 1.75 * known + 0.8
    figure, parts = blocks(groups, max(width, 4.0), height)
    for point, (part, group) in enumerate(zip(parts, groups, strict=True)):
        _draw_latents_of(part, group, point, domains, figures)
    return figure


class Place(NamedTuple):
    """A grid point of a run among those of others.

    Attributes:
      run: its name.
      domains: of the run's data.
      settings: all but the number of domains that may tell it from others.
      group: its scores.
    """

    run: str
    domains: int
    settings: dict[str, str]
    group: Group


def _places(runs: Mapping[str, Run]) -> list[Place]:
    places = []
    for name, run in runs.items():
        shared = {
            f"{part}.{field}": setting(value)
            for part in ("config", "data")
            for field, value in dict(run.settings.get(part) or {}).items()
            if field not in NOT_MODEL
        }
        for group in run.groups:
            hyper = {n: setting(value) for n, value in group.hyper.items()}
            domains = int(run.results["spec"]["domains"])
            places.append(Place(name, domains, shared | hyper, group))
    return places


def _lines(places: list[Place]) -> dict[str, list[Place]]:
    """Points that differ in the number of domains only, by what tells them apart."""
    names = dict.fromkeys(n for p in places for n in p.settings)
    apart = [n for n in names if len({p.settings.get(n) for p in places}) > 1]
    labels = [", ".join(f"{n} {p.settings.get(n, '–')}" for n in apart) for p in places]
    if len({(w, p.domains) for w, p in zip(labels, places, strict=True)}) < len(places):
        # Runs that were repeated: a line has one point a number of domains.
        labels = [
            ", ".join(filter(None, (p.run, w)))
            for w, p in zip(labels, places, strict=True)
        ]
    lines: dict[str, list[Place]] = {}
    for label, place in sorted(
        zip(labels, places, strict=True), key=lambda pair: pair[1].domains
    ):
        lines.setdefault(label, []).append(place)
    return {label: lines[label] for label in dict.fromkeys(labels)}


def _draw_floors(ax: Axes, lines: dict[str, list[Place]], colours: list[str]) -> None:
    """In grey, or in the colours of the lines if their data differ."""
    floors = {}
    for (label, line), colour in zip(lines.items(), colours, strict=True):
        means = np.array([mean_std(alive(p.group, "mcc_observed"))[0] for p in line])
        floors[label] = (tuple(p.domains for p in line), means, colour)
    seen: dict[int, set[str]] = {}
    for x, means, _ in floors.values():
        for domains, mean in zip(x, means, strict=True):
            seen.setdefault(domains, set()).add(fixed(float(mean)))
    alike = all(len(values - {"–"}) <= 1 for values in seen.values())
    drawn = False
    for x, means, colour in sorted(floors.values(), key=lambda f: -len(f[0])):
        if np.isfinite(means).any():
            look = FLOOR | {"color": FAINT if alike else colour, "marker": "."}
            ax.plot(x, means, **look)
            drawn = True
    if drawn:  # one entry of the legend, in no line's colour
        ax.plot([], [], label=RAW, **FLOOR | {"color": FAINT, "marker": "."})


def _draw_domains(lines: dict[str, list[Place]]) -> Figure:
    """MCC by the number of domains, a line a setting."""
    figure = Figure(figsize=(10.5 if len(lines) > 1 or "" not in lines else 8.0, 4.4))
    ax = figure.subplots()
    ticks = sorted({p.domains for line in lines.values() for p in line})
    span = ticks[-1] - ticks[0]
    shades = colormaps["viridis"](np.linspace(0, 0.88, len(lines)))
    many = len(lines) > len(COLOURS)
    colours = [to_hex(c) for c in shades] if many else list(COLOURS[: len(lines)])
    _draw_floors(ax, lines, colours)
    for i, (label, line) in enumerate(lines.items()):
        seeds = [alive(p.group, "mcc") for p in line]
        mean, std = np.array([mean_std(values) for values in seeds]).T
        # Beside one another, or bars of the same number of domains hid one another.
        shift = 0.012 * span * (i - (len(lines) - 1) / 2)
        x = np.array([p.domains for p in line]) + shift
        look: Any = {"color": colours[i], "lw": 2, "capsize": 4}
        name = label or "mean ± 1 std of seeds"
        ax.errorbar(x, mean, np.nan_to_num(std), fmt="-o", label=name, **look)
        for place, values in zip(x, seeds, strict=True):
            ax.plot(np.full(values.size, place), values, ".", c=colours[i], alpha=0.4)
    dress(ax, "mcc")
    ax.set(xlabel="domains", xlim=(ticks[0] - 0.06 * span, ticks[-1] + 0.06 * span))
    ax.set_xticks(ticks, labels=[number(t) for t in ticks])
    handles, names = ax.get_legend_handles_labels()
    order = np.argsort([name == RAW for name in names], kind="stable")
    figure.legend(
        [handles[i] for i in order],
        [names[i] for i in order],
        loc="outside right upper",
    )
    return figure


def draw(
    groups: list[Group], spec: Mapping[str, Any], figures: Figures
) -> dict[str, bytes]:
    """The decoder's Jacobian beside the true mask, and latents by domain.

    Args:
      groups: grid points of a run.
      spec: number of domains, and the mask or None.
      figures: arrays of figures.npz, checked against the run.

    Returns:
      PNGs by the names of their files; those of which there is nothing to draw, as
      when every seed failed, are left out.
    """
    if all(g.failed.all() for g in groups):
        return {}
    drawn = {}
    if "jacobian" in figures:
        drawn["jacobian.png"] = png(_draw_jacobians, groups, spec, figures)
    if {"latents", "true_domains"} <= figures.keys():
        drawn["latents.png"] = png(_draw_latents, groups, spec["domains"], figures)
    return drawn


def compare(runs: Mapping[str, Run]) -> dict[str, bytes]:
    """MCC against the number of domains, a line for each setting.

    Args:
      runs: by their names.

    Returns:
      The PNG by the name of its file; nothing unless all are sparse mixings and differ
      in their number of domains.
    """
    if any(run.settings["system"] != SYSTEM for run in runs.values()):
        return {}
    if not all("domains" in (run.results.get("spec") or {}) for run in runs.values()):
        return {}
    places = [p for p in _places(runs) if alive(p.group, "mcc").size]
    if len({p.domains for p in places}) < 2:
        return {}
    return {"domains.png": png(_draw_domains, _lines(places))}
