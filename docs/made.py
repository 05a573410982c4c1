"""Pages, and parts of pages, that are read off the code when the site is built."""

import ast
import inspect
import pkgutil
import re
import shutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import jaxdis
from docs import standings
from jaxdis import data, systems
from jaxdis.cli.options import attributes
from jaxdis.types import Expectation, Method, Preset

__all__ = [
    "HEADINGS",
    "mended",
    "method_names",
    "modules",
    "names_of",
    "said_of",
    "shorter",
    "skipped",
    "whole",
    "write",
]

ROOT = Path(__file__).resolve().parent.parent
HEADINGS = {
    "What a program calls": (
        "jaxdis", "experiment", "data", "metrics", "statistics", "identifiability",
        "report", "tracking", "types", "benchmark",
    ),
    "What methods are made of": (
        "contrast", "flows", "gaussian", "heads", "kernels", "linalg", "losses",
        "masks", "monotone", "nets", "optimise", "parallel", "priors", "prox", "vae",
    ),
}  # fmt: skip
"""The headings of the reference and the modules below them; others come last."""


def method_names() -> tuple[str, ...]:
    """The built-in methods, in order."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(systems.__path__)))


def modules() -> dict[str, tuple[str, ...]]:
    """The full names of the modules of the reference, by heading."""
    rooms = {m.name for m in pkgutil.iter_modules(jaxdis.__path__)} - {"__main__"}
    named = {name for names in HEADINGS.values() for name in names}
    whole = {
        heading: tuple(n if n == "jaxdis" else f"jaxdis.{n}" for n in names)
        for heading, names in HEADINGS.items()
    }
    inside = tuple(f"jaxdis.{name}" for name in sorted(rooms - named))
    methods = tuple(f"jaxdis.systems.{name}" for name in method_names())
    return whole | {"Methods": methods, "Inside": inside}


def write(folder: Path) -> None:
    """Writes `_made` below the folder of the pages anew.

    Args:
      folder: where the pages are.
    """
    target = folder / "_made"
    shutil.rmtree(target, ignore_errors=True)
    for path, text in {**_reference(), **_of_methods(), **standings.pages()}.items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(whole(text))
    shutil.copytree(ROOT / "notebooks", target / "notebooks", ignore=_hidden)


def whole(text: str) -> str:
    """A text whose numbers are not parted from their ± by the end of a line."""
    return text.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")


def _hidden(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".ipynb")]


def _reference() -> dict[str, str]:
    """A page for each module, one for the data sets, and one that lists them."""
    lines = ["# API reference", "", "Every public name, from its docstring.", ""]
    for heading, names in modules().items():
        pages = {_page_of(n): f"[`{n}`]({_page_of(n)}.md): {_about(n)}" for n in names}
        if "jaxdis.data" in names:
            pages["data-sets"] = "[data sets](data-sets.md): all built-in ones."
        lines += [f"## {heading}", "", *(f"- {entry}" for entry in pages.values())]
        lines += ["", "```{toctree}", ":hidden:", "", *pages, "```", ""]
    listed = {"api/index.md": "\n".join(lines), "api/data-sets.md": _data_sets()}
    return _module_pages() | listed


def _page_of(module: str) -> str:
    return module.replace(".", "-")


def _about(module: str) -> str:
    """The first paragraph of a module's docstring, in one line."""
    said = inspect.getdoc(import_module(module)) or ""
    return " ".join(said.split("\n\n")[0].split())


def _data_sets() -> str:
    """The classes of all built-in data sets."""
    lines = ["# Data sets", ""]
    lines += ["`jaxdis.data.find(NAME)` is the class, `--data NAME` takes it.", ""]
    for name in data.names():
        kind = data.find(name)
        lines += [f"## `{name}`", "", "```{eval-rst}"]
        lines += [f".. autoclass:: {kind.__module__}.{kind.__qualname__}", "```", ""]
    return "\n".join(lines)


def _module_pages() -> dict[str, str]:
    """Each class once: where it is offered elsewhere too, a line leads to it."""
    first, *others = (name for names in modules().values() for name in names)
    at: dict[int, str] = {}
    pages = {}
    for module in (*others, first):
        again = {}
        for name in names_of(module):
            found = _value(module, name)
            home = at.setdefault(id(found), f"{module}.{name}")
            if isinstance(found, type) and home != f"{module}.{name}":
                again[name] = home
        pages[f"api/{_page_of(module)}.md"] = _module_page(module, again)
    return pages


def _module_page(module: str, again: dict[str, str]) -> str:
    values = [n for n in names_of(module) if not _is_code(_value(module, n))]
    lines = [f"# `{module}`", ""]
    lines += [f"`{name}` is {{py:class}}`{home}`.\n" for name, home in again.items()]
    lines += ["```{eval-rst}", f".. automodule:: {module}"]
    if left := [*again, *values]:
        lines.append(f"   :exclude-members: {', '.join(left)}")
    for name in values:
        text = _plain(said_of(module, name)) or type(_value(module, name)).__name__
        lines += ["", f".. py:data:: {name}", ""]
        lines += [f"   {line}" for line in text.split("\n")]
    return "\n".join([*lines, "```", ""])


def _value(module: str, name: str) -> object:
    return getattr(import_module(module), name)


def _is_code(value: object) -> bool:
    return isinstance(value, type) or inspect.isroutine(value)


def said_of(module: str, name: str) -> str:
    """The string below the assignment of a name, in whichever module that is.

    Args:
      module: where the name is public.
      name: the name.
    """
    path = getattr(import_module(module), "__file__", None)
    body = ast.parse(Path(path).read_text()).body if path else []
    for statement, after in zip(body, [*body[1:], None], strict=False):
        match statement:
            case ast.ImportFrom(module=str(home), names=names):
                was = {a.asname or a.name: a.name for a in names}
                if name in was:
                    return said_of(home, was[name])
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return _string(after)
            case ast.AnnAssign(target=ast.Name(id=found)) if found == name:
                return _string(after)
    return ""


def _string(statement: ast.stmt | None) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
    return ""


def _of_methods() -> dict[str, str]:
    return {f"methods/{n}.md": _facts(systems.find(n)) for n in method_names()}


def _facts(method: Method) -> str:
    """What a method declares: needs, presets, settings and citation, in Markdown."""
    config = type(next(iter(method.presets.values())).config)
    return "\n".join(
        [
            "## Settings",
            "",
            f"It needs, of its data: {_needs(method)}.",
            "",
            f"Presets, as `jaxdis train {method.name}/NAME` takes them; what each is",
            "known to reach is a mean over seeds ± its sample standard deviation.",
            "",
            "| preset | steps, seeds | known to reach | cost | source |",
            "|---|---|---|---|---|",
            *(_row(name, preset) for name, preset in method.presets.items()),
            "",
            "`--hyper.NAME V [V ...]`, swept in one program:",
            "",
            *_listed(method.hyper),
            "",
            "`--config.NAME V`, compiled in:",
            "",
            *_listed(config),
            "",
            "## Citation",
            "",
            "```bibtex",
            method.citation.strip(),
            "```",
            "",
        ]
    )


def _needs(method: Method) -> str:
    parts = [
        f"`{need}`" if isinstance(need, str) else _either(need) for need in method.needs
    ]
    return " and ".join(parts)


def _either(names: tuple[str, ...]) -> str:
    return "one of " + ", ".join(f"`{name}`" for name in names)


def _row(name: str, preset: Preset) -> str:
    known = "; ".join(map(_expected, preset.expects)) or ""
    steps = f"{preset.steps:,}" if preset.steps else "by the data"
    cells = (f"`{name}`", f"{steps}, {preset.seeds}", known, preset.cost, preset.source)
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _expected(one: Expectation) -> str:
    spread = "" if one.spread is None else f" ± {one.spread:g}"
    of = f" ({one.of})" if one.of else ""
    return f"`{one.score}` {one.mean:g}{spread}{of}"


def _listed(kind: type) -> Iterator[str]:
    """The fields of a config or of hyper-parameters, as their docstring has them."""
    said = attributes(kind)
    for name in _fields(kind):
        option = name.replace("_", "-")
        default = _default(kind, name)
        yield f"- `{option}`: {said.get(name, '')}{default}"


def _fields(kind: type) -> tuple[str, ...]:
    if is_dataclass(kind):
        return tuple(f.name for f in fields(kind))
    return tuple(getattr(kind, "_fields", ()))


def _default(kind: type, name: str) -> str:
    if not is_dataclass(kind):
        return ""
    value = next(f.default for f in fields(kind) if f.name == name)
    return f" Default `{value!r}`."


def mended(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Docstrings are plain text with code in `quotes`, formulas are indented by four.

    Stars and bars outside of these would be emphasis and substitutions, and an indented
    line below "Note: ..." would make that a term with its definition.
    """
    text = "\n".join(lines)
    text = re.sub(r"^(Notes?|Sources?): (?=\S)", r"\1:\n  ", text, flags=re.MULTILINE)
    lines[:] = "".join(_marked(text)).split("\n")


_INDENTED = re.compile(r"((?<=\n\n)(?: {4}.*\n|\n)*(?: {4}.*))")


def _marked(text: str) -> Iterator[str]:
    for i, part in enumerate(_INDENTED.split(text)):
        yield f"::\n\n{part}\n" if i % 2 else _plain(part)


def _plain(text: str) -> str:
    parts = re.split(r"(``.*?``|(?<!:)`[^`]*`)", text)
    return "".join(p if p.startswith("`") else _escaped(p) for p in parts)


def _escaped(text: str) -> str:
    return re.sub(r"(?<!\\)([*|])|(?<=\w)_(?=\W|$)", lambda m: "\\" + m[0], text)


def shorter(
    app: Any, what: str, name: str, obj: Any, options: Any, given: str, returned: str
) -> tuple[str, str]:
    """Arrays are named as code names them, and not by where jaxlib has them."""
    given, returned = (
        text and text.replace("jaxlib._jax.Array", "Array")
        for text in (given, returned)
    )
    return given, returned


def skipped(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Fields of tuples and dataclasses are in the docstring of their class."""
    if what != "class":
        return None
    plain = not callable(obj) and not isinstance(
        obj, (property, classmethod, staticmethod)
    )
    return True if plain or type(obj).__name__ == "_tuplegetter" else None


def names_of(module: str) -> tuple[str, ...]:
    """The public names of a module, without those that are modules themselves."""
    found = import_module(module)
    listed = getattr(found, "__all__", ())
    kind = type(import_module("sys"))
    return tuple(n for n in listed if not isinstance(getattr(found, n), kind))
