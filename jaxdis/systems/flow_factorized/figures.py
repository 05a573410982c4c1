"""Pictures of errors by step, and of transformations taken for one another.

The frames themselves are in `film`.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jaxdis.report.frames import survivors
from jaxdis.report.kit import FAINT, coloured, draw_alive, draw_failed, dress, heat
from jaxdis.report.read import Group, Record
from jaxdis.types import Score

__all__ = ["draw_confusion", "draw_steps", "names_of"]

BEYOND = "#f0f0f0"
STILL: Any = {"ls": "--", "lw": 1.5}
ALL = "all sequences"


def names_of(record: Record) -> list[str]:
    """The transformations; one name for all where the data name none."""
    named = record.spec["transformations"] or [ALL]
    return [str(name).replace("_", " ") for name in named]


def _draw_static(
    ax: Axes, groups: list[Group], errors: Float[np.ndarray, "g s t"]
) -> None:
    """Means over seeds, in grey or, of several grid points, in their colours."""
    for (group, colour), seeds in zip(coloured(groups), errors, strict=True):
        if not group.failed.all():
            mean = np.ma.masked_invalid(seeds[~group.failed]).mean(0)
            ax.plot(mean, **STILL, color=colour if len(groups) > 1 else FAINT)


def _draw_error(ax: Axes, name: str, record: Record, k: int) -> list[Group]:
    """A panel but its failed seeds; returns groups whose curves are its errors."""
    errors = record.arrays["error_by_step"][:, :, k]
    steps = np.arange(errors.shape[-1])
    groups = [
        g._replace(steps=steps, curves={name: seeds})
        for g, seeds in zip(record.groups, errors, strict=True)
    ]
    for group, colour in coloured(groups):
        many = (~group.failed).sum() > 1
        label = group.label or ("mean ± 1 sample std of seeds" if many else "model")
        named = group._replace(label=label)
        draw_alive(ax, named, name, colour, max(0.15, 0.5 / math.sqrt(len(groups))))
    if "static_by_step" in record.arrays:
        _draw_static(ax, groups, record.arrays["static_by_step"][:, :, k])
    ax.set(xlabel="step of the sequence", xlim=(0, max(steps[-1], 1)))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    dress(ax, Score(name, name[:1].upper() + name[1:]))
    return groups


def _explain(figure: Figure, ax: Axes, groups: list[Group], *more: Artist) -> None:
    """A legend of what is drawn in the first panel, and of more."""
    lines, names = ax.get_legend_handles_labels()
    names += [str(artist.get_label()) for artist in more]
    beside = bool(groups[0].label) or figure.get_figwidth() < 12
    place: Any = "outside right upper" if beside else "outside lower left"
    columns = 1 if beside else len(names)
    legend = figure.legend([*lines, *more], names, loc=place, ncols=columns)
    for word in legend.get_texts()[len(lines) :]:
        word.set_color(FAINT)


def draw_steps(record: Record) -> Figure | None:
    """A panel per transformation: every seed thin, their mean bold, and not moving."""
    if "error_by_step" not in record.arrays or not survivors(record.groups):
        return None
    names, horizon = names_of(record), record.spec["steps"] - 1
    rows = math.ceil(len(names) / 4)
    columns = math.ceil(len(names) / rows)
    figure = Figure(figsize=(min(13.6, 4.4 * columns + 3), 3.5 * rows))
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for ax in axes[::columns]:
        ax.set_ylabel("equivariance error")
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    panels = list(zip(axes, names, strict=False))
    drawn = [_draw_error(*panel, record, k) for k, panel in enumerate(panels)]
    # Failed seeds come after the limits, so that what exploded hides nothing.
    axes[0].set_ylim(0, axes[0].get_ylim()[1])
    for (ax, name), curves in zip(panels, drawn, strict=True):
        for group, colour in coloured(curves):
            draw_failed(ax, group, name, colour)
    more: list[Artist] = []
    if "static_by_step" in record.arrays:
        more.append(Line2D([], [], **STILL, color=FAINT, label="latent not moved"))
    if (last := record.arrays["error_by_step"].shape[-1] - 1) > horizon:
        for ax, _ in panels:
            ax.axvspan(horizon, last, color=BEYOND, lw=0, zorder=0)
        note = f"beyond the {horizon} steps of training"
        more.append(Patch(color=BEYOND, label=note))
    _explain(figure, axes[0], record.groups, *more)
    return figure


def draw_confusion(record: Record) -> Figure | None:
    """True transformations against inferred ones, mean over seeds."""
    if "confusion" not in record.arrays or not survivors(record.groups):
        return None
    groups, names = record.groups, names_of(record)
    rows = math.ceil(len(groups) / 4)
    columns = math.ceil(len(groups) / rows)
    side = max(0.62 * len(names), 1.8) + 1.2
    figure = Figure(figsize=(side * columns, side * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    middles = np.arange(len(names)) + 0.5
    for ax in axes:
        ax.set_axis_off()
    panels = zip(axes, coloured(groups), record.arrays["confusion"], strict=False)
    for ax, (group, colour), seeds in panels:
        ax.set_title(group.label, color=colour)
        usable = seeds[~group.failed & np.isfinite(seeds).all((1, 2))]
        if len(usable):
            ax.set_axis_on()
            heat(ax, usable.mean(0), highest=1.01, lowest=0.01)
            ax.set(xlabel="inferred", ylabel="true")
            ax.set_xticks(middles, labels=names, rotation=30, ha="right")
            ax.set_yticks(middles, labels=names)
            ax.tick_params(length=0)
    return figure
