"""Files of a run directory, read with the one sentence for those that are damaged."""

import json
import math
import shlex
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxdis import log
from jaxdis.types import Score

__all__ = ["Logged", "read_curves", "read_object", "read_scores", "reading"]


def _remedy(path: Path) -> str:
    """What brings a file of a run back: what was only measured needs no training."""
    if path.name not in ("results.json", "figures.npz"):
        return "train the run again"
    run = shlex.quote(str(path.parent))
    results = path.with_name("results.json")
    return f"remove {results}; `jaxdis resume {run}` measures what was trained again"


@contextmanager
def reading(path: Path, problem: str) -> Iterator[None]:
    """Where this fails, names the file, the problem and what to do.

    Args:
      path: the file.
      problem: what is wrong with it, if its content is.
    """
    again = _remedy(path)
    try:
        yield
    except FileNotFoundError:
        there = path.parent.is_dir()
        what = f"{path} is missing" if there else f"there is no folder {path.parent}"
        remedy = f"give the directory of a run that has finished, or {again}"
        raise ValueError(f"{what}; {remedy}") from None
    except NotADirectoryError:
        raise ValueError(
            f"{path.parent} is a file; give the directory of a run that has finished"
        ) from None
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read ({error}); {again}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {problem} ({error}); {again}") from error


def read_object(path: Path, fields: Sequence[str]) -> dict[str, Any]:
    """A file that holds a JSON object with some fields.

    Args:
      path: the file.
      fields: what it must have.

    Raises:
      ValueError: it is missing, damaged or lacks a field.
    """
    with reading(path, "this is not a JSON object"):
        value = dict(json.loads(path.read_text(encoding="utf-8")))
    if missing := [f for f in fields if f not in value]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; {_remedy(path)}")
    return value


class Logged(NamedTuple):
    """What was logged while a run was trained.

    Attributes:
      steps: when.
      curves: the numbers by name; NaN where there is none.
      whole: how many of the steps there are up to the last one at which every row was
        logged; a kill may fall between two rows.
      notes: what is lost, in a sentence, if anything is.
    """

    steps: Int[np.ndarray, "t"]
    curves: dict[str, Float[np.ndarray, "p s t"]]
    whole: int = 0
    notes: tuple[str, ...] = ()


def read_curves(path: Path, points: int, seeds: Sequence[int]) -> Logged:
    """The numbers of metrics.jsonl; of a step that was logged twice, the last ones.

    Args:
      path: the file.
      points: the number of grid points.
      seeds: the numbers of the seeds.

    Raises:
      ValueError: the file is missing, or of another run. A damaged line is none of
        these: it is left out.
    """
    with reading(path, "this is not a file of lines"):
        lines, damaged = log.read_lines(path)
    rows = {(p, s): (p, i) for p in range(points) for i, s in enumerate(seeds)}
    wanted = f"a point below {points} and a seed in {seeds[0]}..{seeds[-1]}"
    curves = {}
    with reading(path, f"every line must hold numbers: a step, {wanted}"):
        steps, t = np.unique([line["step"] for line in lines], return_inverse=True)
        at = np.array([rows[line["point"], line["seed"]] for line in lines], int)
        p, s = at.reshape(-1, 2).T
        names = dict.fromkeys(name for line in lines for name in line)
        for name in [n for n in names if n not in ("point", "seed", "step")]:
            curves[name] = np.full((points, len(seeds), len(steps)), np.nan)
            curves[name][p, s, t] = np.array([x.get(name) for x in lines], float)
    full = np.flatnonzero(np.bincount(t) == points * len(seeds)) if lines else t
    said = log.damage(path, damaged)
    return Logged(
        steps=steps.astype(int),
        curves=curves,
        whole=int(full[-1]) + 1 if full.size else 0,
        notes=(said,) if said else (),
    )


def read_scores(path: Path, declared: Mapping[str, Any]) -> dict[str, Score]:
    """Scores as a file declares them.

    Args:
      path: the file, as errors name it.
      declared: title, better side and range of each.
    """
    with reading(path, "scores must hold a title, better and range of each"):
        scores = {}
        for name, entry in declared.items():
            low, high = entry.get("range") or (None, None)
            scores[name] = Score(
                name,
                str(entry["title"]),
                entry.get("better"),
                (-math.inf if low is None else low, math.inf if high is None else high),
                str(entry.get("source", "")),
                bool(entry.get("truth", False)),
                bool(entry.get("floor", False)),
            )
    return scores
