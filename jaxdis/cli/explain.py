"""`jaxdis explain`: which latents theory tells apart, in words and in a picture."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tyro

from jaxdis import check, log, metrics
from jaxdis.cli import tables
from jaxdis.cli.matrices import as_edges, read_matrices
from jaxdis.identifiability import SUPPORT_THRESHOLD, learned_support
from jaxdis.identifiability.promises import in_words
from jaxdis.report import unfinished
from jaxdis.report.choice import choose
from jaxdis.report.promised import Given, given, known
from jaxdis.report.read import Record, lived, most_agreed

__all__ = ["ExplainOptions", "explain_command"]

LARGEST = 200  # rows or columns of what is drawn
SENTENCES = 20  # of latents that are not told apart


@dataclasses.dataclass(frozen=True)
class ExplainOptions:
    """Says and draws which latents theory tells apart, and what would tell the rest.

    Attributes:
      file: npz with arrays gz [latents, past latents], ga [latents, actions], supports
        [tasks, latents] or mask [observed variables, latents]; csv, tsv or npy of one
        of them; or a directory that `jaxdis train` wrote.
      kind: which of them a file of one matrix holds, in this order.
      threshold: an entry whose absolute value is above it counts as an edge; needed
        where entries are weights or probabilities.
      domains: the number of domains of a mixing; by default as many as it takes.
      out: the picture, a png.
    """

    file: tyro.conf.Positional[Path]
    kind: Literal["graph", "actions", "support", "mask"] | None = None
    threshold: float | None = None
    domains: int | None = None
    out: Path = Path("explain.png")


class _Question(NamedTuple):
    """What theory is asked: answers, names of rows and columns, a line in front."""

    answers: list[Given]
    names: Mapping[str, Sequence[str]]
    said: str = ""


def _of_file(options: ExplainOptions) -> _Question:
    path = options.file
    found = read_matrices(path, options.kind)
    if options.domains is not None and "mask" not in found.arrays:
        held = ", ".join(found.arrays)
        raise ValueError(f"domains is for a mask, and {path} holds {held}")
    edges = {
        name: as_edges(f"{path}: {name}", matrix, options.threshold)
        for name, matrix in found.arrays.items()
    }
    try:
        return _Question(given(edges, options.domains), found.names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _learned(
    record: Record, threshold: float | None
) -> tuple[dict[str, np.ndarray], str]:
    """What the seed that agrees most with the others learned, at the point to take.

    Where both axes of a graph are codes, it is one of time; where only rows are, their
    parents are actions; where only columns are, rows are observed variables.
    """
    results, choice = record.results, choose(record)
    point = 0 if choice is None else choice.point
    group, codes = record.groups[point], set(results.get("codes") or ())
    row, found = most_agreed(lived(group, metrics.AGREEMENT.name), group.failed), {}
    for name in results.get("graphs") or () if row is not None else ():
        if name in record.arrays:
            axes = tuple(a in codes for a in dict(results["arrays"])[name].split()[1:])
            matrix = record.arrays[name][point, row]
            kind, cut = LEARNED[axes]
            found[kind] = cut(matrix, threshold)
    if row is None or not found:
        return {}, ""
    at = f" at {group.label}" if group.label else ""
    return found, f"If what seed {group.seeds[row]} learned{at} is true:"


def _edges(matrix: np.ndarray, threshold: float | None) -> np.ndarray:
    return np.asarray(matrix > (0.5 if threshold is None else threshold))


def _strong(matrix: np.ndarray, threshold: float | None) -> np.ndarray:
    cut = SUPPORT_THRESHOLD if threshold is None else threshold
    return np.asarray(learned_support(matrix, cut))


LEARNED: dict[tuple[bool, ...], tuple[str, Callable[..., np.ndarray]]] = {
    (True, True): ("gz", _edges),
    (True, False): ("ga", _edges),
    (False, True): ("mask", _strong),
}
"""What a learned graph is, by whether its rows and columns are codes, and how edges are
told from its numbers: of probabilities those above a half, of strengths of dependence
those above a share of the strongest of their row."""


def _of_run(options: ExplainOptions) -> _Question:
    """What is known of the data of a run; else what its learned graphs would say."""
    record = unfinished.load(options.file)
    for name in ("kind", "domains"):
        if getattr(options, name) is not None:
            raise ValueError(f"{name} is for files; {options.file} is a directory")
    names = dict(record.results.get("named_axes") or {})
    if every := known(record):
        return _Question(every, names, "What is known of the data:")
    found, said = _learned(record, options.threshold)
    if not found:
        raise ValueError(
            f"{options.file}: no graph, supports or mask of its data are known, and "
            "no graph was learned; give a file with one"
        )
    domains = max(1, len(record.spec.get("domains") or ()))
    return _Question(given(found, domains), names, said)


def _lines(one: Given) -> Iterator[str]:
    """The answer in sentences."""
    promise = one.promise
    yield f"By the {one.name} theory promises {in_words(promise)}."
    if not promise.identified.all():
        blocks = (", ".join(f"z_{i}" for i in block) for block in promise.partition)
        yield "Blocks: " + "; ".join(blocks) + "."
        words = list(dict.fromkeys(word for word in promise.missing if word))
        yield from (f"- {word}" for word in words[:SENTENCES])
        if len(words) > SENTENCES:
            yield f"- and {len(words) - SENTENCES} more sentences of the kind"
    yield f"It assumes: {promise.assumes}."


def _called(line: str, names: Sequence[str]) -> str:
    """The line with latents by their own names, where there are any."""

    def name(found: re.Match[str]) -> str:
        number = int(found[1])
        return names[number] if number < len(names) else found[0]

    return re.sub(r"\bz_(\d+)\b", name, line)


def _draw(question: _Question, out: Path) -> None:
    from jaxdis.report import blocks, kit
    from jaxdis.types import Figure

    largest = max(
        max(matrix.shape)
        for one in question.answers
        for matrix in one.matrices.values()
    )
    if largest > LARGEST:
        return log.note(f"not drawn: more than {LARGEST} rows or columns")
    drawn = Figure(
        out.stem, "", lambda _: blocks.draw_given(question.answers, question.names)
    )
    picture = kit.render(drawn, None)
    assert picture is not None
    log.write_atomically(out, picture[1])
    return log.say(f"picture: {out}")


def explain_command(args: Sequence[str]) -> int:
    """`jaxdis explain FILE`; returns the exit code."""
    options = tyro.cli(ExplainOptions, prog="jaxdis explain", args=args or ["--help"])
    tables.check_path(options.out, (".png",))
    if options.threshold is not None:
        check.finite("threshold", [options.threshold])
    if options.domains is not None:
        check.count("domains", options.domains)
    asked = _of_run if options.file.is_dir() else _of_file
    question = asked(options)
    if question.said:
        log.say(question.said)
    for one in question.answers:
        for line in _lines(one):
            log.say(_called(line, question.names.get("latent", ())))
    _draw(question, options.out)
    return 0
