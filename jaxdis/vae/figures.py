"""What the latents tell, in nats and in images."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxdis.report.frames import BLOCK_GAP, PAIR_GAP, Tiles, mosaic, survivors
from jaxdis.report.kit import DPI, FAINT, coloured
from jaxdis.report.read import Record
from jaxdis.report.text import tick
from jaxdis.vae.scores import DEAD_KL

__all__ = ["draw_latents", "draw_reconstructions", "draw_traversals"]


def draw_latents(record: Record) -> Figure | None:
    """The divergence of each latent, sorted: a line per seed, and their mean.

    Args:
      record: a run with the array "kl_per_code" `[point, seed, code]`.
    """
    divergences = record.arrays.get("kl_per_code")
    if divergences is None:
        return None
    figure = Figure(figsize=(5.6, 3.6))
    ax = figure.subplots()
    codes = np.arange(1, divergences.shape[-1] + 1)
    drawn = False
    for (group, colour), matrix in zip(
        coloured(record.groups), divergences, strict=True
    ):
        usable = ~group.failed & np.isfinite(matrix).all(1)
        if not usable.any():
            continue
        drawn = True
        lines = np.sort(matrix[usable], 1)[:, ::-1]
        ax.plot(codes, lines.T, color=colour, lw=0.8, alpha=0.5, marker=".", ms=4)
        ax.plot(codes, lines.mean(0), color=colour, lw=2.4, label=group.label or None)
    if not drawn:
        return None
    # Symmetric: a latent that tells nothing has a divergence of 0, up to rounding.
    ax.set_yscale("symlog", linthresh=DEAD_KL)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(FuncFormatter(tick))
    ax.axhline(DEAD_KL, color=FAINT, lw=1, ls="--")
    ax.set_xlabel("latents, the most telling first")
    ax.set_ylabel("KL, nats")
    ax.set_title("What each latent tells", fontweight="bold")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    if len(record.groups) > 1:
        ax.legend()
    return figure


def draw_reconstructions(record: Record) -> Figure | None:
    """Held-out images above what the first seed makes of them, for each grid point.

    Args:
      record: a run with the arrays "originals" and "reconstructions".
    """
    made = record.arrays.get("reconstructions")
    shown = survivors(record.groups)
    if made is None or not shown:
        return None
    original = record.arrays["originals"]
    rows = [original, *(made[one.row] for one in shown)]
    names = ["held-out images", *(one.title for one in shown)]
    return _mosaic(np.stack(rows), names, {1: PAIR_GAP}, "")


def draw_traversals(record: Record) -> Figure | None:
    """One image with its most telling latents moved, one per row, by the first seeds.

    Args:
      record: a run with the array "traversals".
    """
    made = record.arrays.get("traversals")
    shown = survivors(record.groups)
    if made is None or not shown:
        return None
    tiles = np.concatenate([made[one.row] for one in shown])
    latents = made.shape[2]
    names = [
        f"{one.title}\nlatent {latent}" if latent == 0 else f"latent {latent}"
        for one in shown
        for latent in range(latents)
    ]
    gaps = {latents: BLOCK_GAP}
    return _mosaic(
        tiles,
        names,
        gaps,
        "the latent from −2 to 2 deviations of its prior; the others as they are",
    )


def _mosaic(tiles: Tiles, names: list[str], down: dict[int, int], below: str) -> Figure:
    """Rows of tiles with a name each."""
    canvas, y, _ = mosaic(tiles, down, {})
    height, width = canvas.shape[:2]
    figure = Figure(figsize=(width / DPI + 1.6, height / DPI + 0.4))
    ax = figure.subplots()
    ax.imshow(canvas, interpolation="nearest")
    ax.set_yticks(y, labels=names, fontsize=9)
    ax.set_xticks([])
    ax.set_xlabel(below, fontsize=9)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure
