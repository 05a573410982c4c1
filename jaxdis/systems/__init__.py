"""Methods, one folder each; none knows of another. A user's own are found here too.

A method is referred to by a word: the name of a built-in one, a name that an installed
package offers in the entry-point group `jaxdis.methods`, or `FILE.py:NAME`, a Python
file and the name of the method in it (METHOD where none is given).
"""

import importlib.util
import pkgutil
import re
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from jaxdis import check
from jaxdis.types import Method

__all__ = ["find", "is_file", "names", "reference", "split"]

GROUP = "jaxdis.methods"
_FILE = re.compile(r"(?P<reference>.*?\.py(?::\w+)?)(?:/(?P<preset>.*))?")


@cache
def _built_in() -> tuple[str, ...]:
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg)


def _installed() -> dict[str, EntryPoint]:
    """What other packages offer; a built-in method keeps its name."""
    offered = {point.name: point for point in entry_points(group=GROUP)}
    return {n: point for n, point in offered.items() if n not in _built_in()}


def names() -> tuple[str, ...]:
    """The built-in methods, by their folders, and those of installed packages."""
    return (*_built_in(), *sorted(_installed()))


def is_file(name: str) -> bool:
    """Whether a name is that of a Python file, with or without what is in it."""
    return _FILE.fullmatch(name) is not None


def split(name: str) -> tuple[str, str]:
    """METHOD/PRESET as the reference of the method and the preset, "" for none."""
    found = _FILE.fullmatch(name)
    if found is None:
        method, _, preset = name.partition("/")
        return method, preset
    return found["reference"], found["preset"] or ""


def find(name: str) -> Method:
    """The method of a reference.

    Args:
      name: the name of a built-in or an installed method, or `FILE.py:NAME`.

    Raises:
      ValueError: there is none, with the nearest name; or it is no `Method`.
    """
    if is_file(name):
        path, _, attribute = name.rpartition(".py")
        file, attribute = Path(f"{path}.py"), attribute[1:] or "METHOD"
        if not file.is_file():
            raise ValueError(f"there is no file {file}, in which {attribute} should be")
        module = _module(file.resolve(), file.stat().st_mtime_ns)
        return _checked(name, getattr(module, attribute, None))
    if name in _built_in():
        return _checked(name, import_module(f"{__name__}.{name}").METHOD)
    installed = _installed()
    if name in installed:
        try:
            return _checked(name, installed[name].load())
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"the method {name} ({installed[name].value}) cannot be imported "
                f"({error}); mend or remove the package that offers it"
            ) from error
    more = "A method of your own is named by its file, as my_method.py:METHOD"
    raise check.unknown("method", name, names(), more)


def _checked(name: str, value: object) -> Method:
    if isinstance(value, Method):
        return value
    found = "nothing" if value is None else type(value).__name__
    raise ValueError(
        f"{name} must name a jaxdis.Method, found {found}; write METHOD = "
        "jaxdis.Method(...) at the top level of the file"
    )


@cache
def _module(file: Path, changed: int) -> object:
    """A Python file as a module; again when it has changed."""
    name = f"jaxdis_method_{file.stem}_{abs(hash((file, changed)))}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its neighbours can be imported, as where Python runs a file.
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        del sys.modules[name]
        raise ValueError(f"{file} cannot be imported ({error})") from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


def reference(method: Method) -> str | None:
    """What `find` finds a method by, in another process too.

    Args:
      method: a method.

    Returns:
      Its name, or the file that it is in; None where that cannot be told, as of a
      method that was written in a notebook.
    """
    if method.name in _built_in() and find(method.name) is method:
        return method.name
    for name, point in _installed().items():
        if point.module in sys.modules and point.load() is method:
            return name
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        # To import the program that runs would be to run it again.
        if name == "__main__" or not file.endswith(".py"):
            continue
        for attribute, value in list(vars(module).items()):
            if value is method:
                return f"{Path(file).resolve()}:{attribute}"
    return None
