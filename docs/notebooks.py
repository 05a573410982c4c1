"""`python -m docs.notebooks [NAME ...]`: runs notebooks and stores what they show.

Pictures are made small, and what differs from one run to the next is left out:
progress, times, paths, numbers of cells. The notebook then says of which code its
outputs are, and `python -m docs` fails where that is not the code in it.
"""

import hashlib
import io
import json
import os
import re
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from jaxdis import log

__all__ = [
    "digests",
    "executed",
    "main",
    "paths",
    "small",
    "stale",
    "store",
    "stripped",
]

Notebook: TypeAlias = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("nbclient", "nbformat", "ipykernel", "matplotlib_inline")
KEY = "jaxdis"  # of the digests, in the metadata of a notebook
DPI = 80
COLOURS = 256
LONGEST = 900  # seconds of a cell
WIDGET = "application/vnd.jupyter.widget-view+json"
_PROGRESS = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d |note: training rows: ).*\n?", re.MULTILINE
)
# What XLA says on busy machines, also of commands.
_ALARM = re.compile(
    r"^([EIW]\d{4} \d\d:\d\d:\d\d\.|\*{9}|\[Compiling module ).*\n+", re.MULTILINE
)
_OVERWRITTEN = re.compile(r"^.*\r(?!\n)", re.MULTILINE)
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def paths(root: Path) -> list[Path]:
    """The notebooks of the repository, by name.

    Args:
      root: the folder of the repository.
    """
    return sorted((root / "notebooks").glob("*.ipynb"))


def digests(notebook: Notebook) -> dict[str, str]:
    """What tells the code of a notebook, and its outputs, from any others.

    Args:
      notebook: the notebook, as its file has it.

    Returns:
      Hexadecimal digests of the "code" and of the "outputs".
    """
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    return {
        "code": _digest(["".join(c["source"]) for c in cells]),
        "outputs": _digest([c["outputs"] for c in cells]),
    }


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stale(root: Path) -> list[str]:
    """A sentence for each notebook whose stored outputs are not those of its code.

    Args:
      root: the folder of the repository.
    """
    return [
        f"{path.relative_to(root)}: a stale stored output, {why}: "
        f"python -m docs.notebooks {path.stem}"
        for path in paths(root)
        if (why := _why_stale(json.loads(path.read_text())))
    ]


def _why_stale(notebook: Notebook) -> str:
    kept, own = notebook["metadata"].get(KEY, {}), digests(notebook)
    if not kept:
        return "as the notebook was never run"
    if kept.get("code") != own["code"]:
        return "as the code was changed since"
    if kept.get("outputs") != own["outputs"]:
        return "as one is missing or was changed"
    return ""


def executed(path: Path, folder: Path) -> Notebook:
    """A notebook with the outputs that it has when it is run now, as they are stored.

    Args:
      path: the notebook.
      folder: where it is run.

    Raises:
      CellExecutionError: a cell raises an exception.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=LONGEST,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=[
            "--IPKernelApp.log_level=ERROR",
            f"--InlineBackend.print_figure_kwargs={{'dpi': {DPI}, "
            "'bbox_inches': 'tight'}",
        ],
    ).execute()
    return stripped(json.loads(nbformat.writes(notebook)), folder)


def stripped(notebook: Notebook, folder: Path) -> Notebook:
    """A notebook as it is stored, with its digests.

    Args:
      notebook: the notebook after it was run.
      folder: where that was; paths in it are shown without it.
    """
    cells = [_cell(cell, folder) for cell in notebook["cells"]]
    kept = {k: v for k, v in notebook["metadata"].items() if k == "kernelspec"}
    about = kept | {"language_info": {"name": "python"}}
    new = notebook | {"cells": cells, "metadata": about}
    return new | {"metadata": about | {KEY: digests(new)}}


def _cell(cell: Notebook, folder: Path) -> Notebook:
    if cell["cell_type"] != "code":
        return cell
    outputs: list[Notebook] = []
    for output in (o for found in cell["outputs"] for o in _kept(found, folder)):
        both = [o.get("name") for o in (*outputs[-1:], output)]
        if both == ["stdout", "stdout"]:
            outputs[-1]["text"] += output["text"]
        else:
            outputs.append(output)
    about = {k: v for k, v in cell["metadata"].items() if k == "tags"}
    return cell | {"execution_count": None, "metadata": about, "outputs": outputs}


def _kept(output: Notebook, folder: Path) -> Iterator[Notebook]:
    """What is stored of an output, if anything is."""
    if output["output_type"] == "stream":
        text = _plain("".join(output["text"]), folder)
        if output["name"] == "stdout" and text:
            yield output | {"text": text.splitlines(keepends=True)}
        return
    data = output["data"]
    if WIDGET in data:  # a bar
        return
    shown = {kind: value for kind, value in data.items() if kind != "image/png"}
    if "image/png" in data:
        picture = b64encode(small(b64decode("".join(data["image/png"]))))
        shown = {"image/png": picture.decode()}
    elif "text/plain" in shown:
        text = _plain("".join(shown["text/plain"]), folder)
        shown["text/plain"] = text.splitlines(keepends=True)
    counted = {"execution_count": None} if "execution_count" in output else {}
    yield output | counted | {"data": shown, "metadata": {}}


def _plain(text: str, folder: Path) -> str:
    """Text without styles, progress, addresses and the place where it was made."""
    for pattern in (_STYLE, _OVERWRITTEN, _PROGRESS, _ALARM, _ADDRESS):
        text = pattern.sub("", text)
    return text.replace(f"{folder}/", "")


def small(picture: bytes) -> bytes:
    """A PNG of few colours, and without words on what made it.

    Args:
      picture: a PNG.
    """
    from PIL import Image

    found = Image.open(io.BytesIO(picture))
    if found.mode == "P":  # its colours are few already
        return picture
    file = io.BytesIO()
    found.convert("RGB").quantize(COLOURS).save(file, "png", optimize=True)
    return file.getvalue()


def store(path: Path) -> None:
    """Runs a notebook in a folder of its own, and writes it with its outputs.

    Args:
      path: the notebook.

    Raises:
      CellExecutionError: a cell raises an exception.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = executed(path, Path(folder).resolve())
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False)
    log.write_atomically(path, text + "\n")


def main(names: list[str]) -> int:
    """The exit code: 0, 1 if a cell fails, 2 without the extra or of a wrong name.

    Args:
      names: the notebooks to run; all of them where none is named.
    """
    known = {path.stem: path for path in paths(ROOT)}
    if unknown := [name for name in names if name not in known]:
        said = f"there is no notebook {unknown[0]}; there are {', '.join(known)}"
        print(f"docs: {said}", file=sys.stderr)
        return 2
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        print(
            f'docs: {missing[0]} is missing: pip install -e ".[docs]"', file=sys.stderr
        )
        return 2
    from nbclient import exceptions

    for path in (known[name] for name in names or known):
        began, worked = time.monotonic(), _worked()
        try:
            store(path)
        except exceptions.CellExecutionError as error:
            why = _raised(error.ename, error.evalue, error.traceback)
        except (exceptions.CellTimeoutError, exceptions.DeadKernelError) as error:
            why = log.reason(error)
        else:
            why = ""
        if why:
            print(f"docs: {path.relative_to(ROOT)}: {why}", file=sys.stderr)
            return 1
        took, cpu = time.monotonic() - began, _worked() - worked
        size = path.stat().st_size / 1e3
        print(
            f"{path.relative_to(ROOT)}: {took:.0f} s, {cpu:.0f} s of CPU time, "
            f"{size:.0f} kB",
            flush=True,
        )
    return 0


def _raised(name: str, value: str, traceback: str) -> str:
    """An exception and the line of the notebook that raised it."""
    lines = _STYLE.sub("", traceback).splitlines()
    marked = (line.split(maxsplit=2)[-1] for line in lines if line.startswith("--"))
    where = next((line for line in marked if not line.startswith("--")), "")
    return f"{': '.join(filter(None, (name, value))).splitlines()[0]}, at: {where}"


def _worked() -> float:
    """CPU seconds of the kernels so far."""
    used = os.times()
    return used.children_user + used.children_system


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
