"""Which metric answers which question? All of them on six codes of the same factors.

Four independent factors of ten values, and codes of them that are perfect (in another
order, of other signs and scales), rotated (each code is an equal mixture of all
factors), duplicated, noisy (noise as large as the factors), bent (cubed) and useless
(noise alone). Beside every score stands that of the same code with the rows of the
factors permuted. Writes benchmarks/results/metrics.json and metrics.png.

    python -m benchmarks.metric_picture      # two CPU cores: three minutes
"""

import json
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdis import log, metrics
from jaxdis.report import kit

ROWS, FACTORS, VALUES = 2_000, 4, 10
NULLS = 5
NAMES = (
    "mcc",
    "mcc_spearman",
    "r2",
    "r2_kernel",
    "dci_linear",
    "dci_lightgbm",
    "mig",
    "modularity",
    "infomec",
    "sap",
    "sap_discrete",
    "explicitness",
    "factor_vae_score",
    "beta_vae_score",
    "irs",
)
RESULTS = Path(__file__).parent / "results"


def codes_of(z: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The codes by name.

    Args:
      z: standardised factors.
      rng: draws noise and scales.
    """
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    noise = rng.normal(size=(2, *z.shape))
    return {
        "perfect": z[:, ::-1] * [1.0, -0.5, 2.0, -1.0],
        "rotated": z @ hadamard / 2,
        "duplicated": np.concatenate([z, z], 1),
        "noisy": z + noise[0],
        "bent": z**3,
        "useless": noise[1],
    }


def measured() -> list[dict[str, Any]]:
    """The scores of every code, one record each."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, VALUES, (ROWS, FACTORS))
    z = (factors - factors.mean(0)) / factors.std(0)
    found = []
    for name, codes in codes_of(z, rng).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = metrics.evaluate(
                factors, codes, names=NAMES, bootstrap=0, null=NULLS, progress=True
            )
        if scores.left_out:
            raise SystemExit(f"{name}: {scores.left_out}")
        found += [{"code": name, **record} for record in scores.records()]
    return found


def _panel(ax: Axes, code: str, rows: list[dict[str, Any]]) -> None:
    """Scores of one code as dots at the ends of lines that begin at their nulls."""
    places = np.arange(len(rows))
    values = np.clip([row["value"] for row in rows], 0, 1)
    nulls = np.clip([row["null"] for row in rows], 0, 1)
    ax.hlines(places, nulls, values, color=kit.SHADES(0.35), lw=2.4)
    ax.plot(nulls, places, "|", color=kit.WRONG, ms=9, mew=2)
    ax.plot(values, places, "o", color=kit.COLOURS[0], ms=5.5)
    for row, place in zip(rows, places, strict=True):
        text = f"{row['value']:.2f}".replace("-0.00", "0.00")
        ax.text(1.08, place, text, va="center", fontsize=8.5, color=kit.COLOURS[0])
    families = [row["how"] for row in rows]
    for place, pair in enumerate(pairwise(families)):
        if pair[0] != pair[1]:
            ax.axhline(place + 0.5, color=kit.RULE, lw=0.6)
    ax.set_title(code, fontweight="bold")
    ax.set(xlim=(-0.05, 1.05), xticks=[0, 0.5, 1], ylim=(len(rows) - 0.5, -0.5))
    ax.set_xticklabels(["0", ".5", "1"])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_axisbelow(True)


def drawn(records: list[dict[str, Any]]) -> bytes:
    """The picture, as PNG.

    Args:
      records: what `measured` gave.
    """
    codes = list(dict.fromkeys(record["code"] for record in records))
    titles = [r["title"] for r in records if r["code"] == codes[0]]
    with matplotlib.style.context(["default", kit.STYLE]):
        figure = Figure(figsize=(13, 0.29 * len(titles) + 1.1))
        figure.get_layout_engine().set(wspace=0.12)
        panels = figure.subplots(1, len(codes), sharey=True)
        for ax, code in zip(panels, codes, strict=True):
            _panel(ax, code, [r for r in records if r["code"] == code])
        panels[0].set_yticks(range(len(titles)), titles)
        for ax in panels[1:]:
            ax.tick_params(labelleft=False)
        figure.supxlabel(
            "dot and number: the score.  mark: the same code with the rows of the "
            "factors permuted, what a useless code would get",
            fontsize=10,
            color=kit.FAINT,
        )
        return kit.save(figure)


def main() -> None:
    """Measures, writes and draws."""
    records = measured()
    log.write_json(
        RESULTS / "metrics.json", {"rows": ROWS, "factors": FACTORS, "scores": records}
    )
    log.write_atomically(RESULTS / "metrics.png", drawn(records))
    log.say(json.dumps({"written": str(RESULTS / "metrics.png")}))


if __name__ == "__main__":
    main()
