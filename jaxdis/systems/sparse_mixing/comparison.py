"""Several sparse mixings side by side, by their numbers of domains."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from jaxdis.metrics import MCC
from jaxdis.report.kit import COLOURS, FAINT, dress
from jaxdis.report.read import Group, Record, alive, mean_std, moments
from jaxdis.report.text import fixed, number, setting
from jaxdis.systems.sparse_mixing.scores import MCC_OBSERVED

__all__ = ["compare_domains"]

NOT_MODEL = ("domains",)  # settings of the data that tell no line from another
RAW = "raw observations"
FLOOR: Any = {"ls": "--", "lw": 1.5}


class _Place(NamedTuple):
    """A grid point of a run among those of others.

    Attributes:
      run: the name of its run.
      domains: the number of domains.
      settings: all but the number of domains that may tell it from others.
      group: its scores.
    """

    run: str
    domains: int
    settings: dict[str, str]
    group: Group


def _domains(record: Record) -> int:
    """Results of format 1 hold a number, later ones names."""
    domains = record.spec["domains"]
    return domains if isinstance(domains, int) else len(domains)


def _places(records: Mapping[str, Record]) -> list[_Place]:
    places = []
    for name, record in records.items():
        shared = {
            f"{part}.{field}": setting(value)
            for part in ("config", "data")
            for field, value in dict(record.settings.get(part) or {}).items()
            if field not in NOT_MODEL
        }
        for group in record.groups:
            hyper = {n: setting(value) for n, value in group.hyper.items()}
            places.append(_Place(name, _domains(record), shared | hyper, group))
    return places


def _lines(places: list[_Place]) -> dict[str, list[_Place]]:
    """Points that differ in the number of domains only, by what tells them apart."""
    names = dict.fromkeys(n for p in places for n in p.settings)
    apart = [n for n in names if len({p.settings.get(n) for p in places}) > 1]
    labels = [", ".join(f"{n} {p.settings.get(n, '–')}" for n in apart) for p in places]
    if len({(w, p.domains) for w, p in zip(labels, places, strict=True)}) < len(places):
        # Runs that were repeated: a line has one point per number of domains.
        labels = [
            ", ".join(filter(None, (p.run, w)))
            for w, p in zip(labels, places, strict=True)
        ]
    lines: dict[str, list[_Place]] = {}
    for label, place in sorted(
        zip(labels, places, strict=True), key=lambda pair: pair[1].domains
    ):
        lines.setdefault(label, []).append(place)
    return {label: lines[label] for label in dict.fromkeys(labels)}


def _draw_floors(ax: Axes, lines: dict[str, list[_Place]], colours: list[str]) -> None:
    """In grey, or in the colours of the lines if their data differ."""
    floors = {}
    for (label, line), colour in zip(lines.items(), colours, strict=True):
        means = np.array([moments(p.group, MCC_OBSERVED.name)[0] for p in line])
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


def _draw_domains(lines: dict[str, list[_Place]]) -> Figure:
    """MCC by the number of domains, a line per setting."""
    figure = Figure(figsize=(10.5 if len(lines) > 1 or "" not in lines else 8.0, 4.4))
    ax = figure.subplots()
    ticks = sorted({p.domains for line in lines.values() for p in line})
    span = ticks[-1] - ticks[0]
    shades = colormaps["viridis"](np.linspace(0, 0.88, len(lines)))
    many = len(lines) > len(COLOURS)
    colours = [to_hex(c) for c in shades] if many else list(COLOURS[: len(lines)])
    _draw_floors(ax, lines, colours)
    for i, (label, line) in enumerate(lines.items()):
        seeds = [alive(p.group, MCC.name) for p in line]
        mean, std = np.array([mean_std(values) for values in seeds]).T
        # Beside one another, or bars of the same number of domains hid one another.
        shift = 0.012 * span * (i - (len(lines) - 1) / 2)
        x = np.array([p.domains for p in line]) + shift
        look: Any = {"color": colours[i], "lw": 2, "capsize": 4}
        name = label or "mean ± 1 sample std of seeds"
        ax.errorbar(x, mean, np.nan_to_num(std), fmt="-o", label=name, **look)
        for place, values in zip(x, seeds, strict=True):
            ax.plot(np.full(values.size, place), values, ".", c=colours[i], alpha=0.4)
    dress(ax, MCC)
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


def compare_domains(records: Mapping[str, Record]) -> Figure | None:
    """MCC against the number of domains, a line for each setting.

    Args:
      records: runs of this method by their names; None is drawn unless they differ in
        their number of domains.
    """
    if not all("domains" in record.spec for record in records.values()):
        return None
    places = [p for p in _places(records) if alive(p.group, MCC.name).size]
    if len({p.domains for p in places}) < 2:
        return None
    return _draw_domains(_lines(places))
