"""How do two sets of results differ? Ratios of new to old, row by row.

Rows are matched by their words and whole numbers, and figures by their names. Of two
machines the ratios say how the machines differ.

    git worktree add /tmp/old HEAD~20
    python -m benchmarks.compare /tmp/old/benchmarks/results [benchmarks/results]
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.timing import RESULTS
from jaxdis import log

NOTED = 0.1  # a ratio further from 1 than this is shown


def label(row: dict[str, Any]) -> tuple[tuple[str, str | int], ...]:
    """What tells a row from the others of its table."""
    return tuple((k, v) for k, v in row.items() if isinstance(v, str | int))


def ratios(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> list[tuple[str, str, float]]:
    """`(row, figure, new / old)` of all figures that both tables have."""
    before = {label(row): row for row in old}
    found = []
    for row in new:
        past = before.get(label(row), {})
        name = ", ".join(str(value) for _, value in label(row))
        for figure, value in row.items():
            reference = past.get(figure)
            both = isinstance(value, float) and isinstance(reference, float)
            if both and reference:
                found.append((name, figure, value / reference))
    return found


def main(old: Path, new: Path) -> None:
    """Prints the figures that moved by more than a tenth, and how many did not."""
    files = sorted(p.name for p in new.glob("*.json") if (old / p.name).exists())
    if not files:
        raise SystemExit(f"{old} and {new} must hold results of the same name")
    for name in files:
        pair = [json.loads((folder / name).read_text()) for folder in (old, new)]
        found = ratios(pair[0]["rows"], pair[1]["rows"])
        moved = [r for r in found if abs(r[2] - 1) > NOTED]
        columns = [["row"], ["figure"], ["new / old"]]
        for row in moved:
            for column, cell in zip(columns, (*row[:2], f"{row[2]:.2f}"), strict=True):
                column.append(cell)
        caption = (
            f"{len(found) - len(moved)} of {len(found)} figures within a tenth; "
            f"{pair[0]['machine']} against {pair[1]['machine']}"
        )
        log.show(log.table(name, columns, caption=caption, words=[1]))


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else RESULTS)
