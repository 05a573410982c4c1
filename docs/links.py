"""Links of README and pages that point to nothing, and names without a reference."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from docs import made

__all__ = ["broken", "heading_names", "not_in_reference", "pages", "targets"]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(`{3,}|:{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")


def pages(root: Path) -> list[Path]:
    """README, changelog and every page of the site that is written by hand."""
    written = sorted((root / "docs").rglob("*.md"))
    own = [p for p in written if not {"_made", "_build"} & set(p.parts)]
    return [root / "README.md", root / "CHANGELOG.md", *own]


def targets(text: str) -> Iterator[str]:
    """The targets of the links and pictures of a page, without those in code."""
    yield from _LINK.findall(_CODE.sub("", _FENCE.sub("", text)))


def heading_names(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub and MyST name them."""
    lines = _FENCE.sub("", text).splitlines()
    titles = [re.sub(r"^#+ ", "", line) for line in lines if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def broken(root: Path) -> list[str]:
    """A sentence for each link to a file or heading that does not exist.

    Args:
      root: the folder of the repository.
    """
    found = []
    for page in pages(root):
        for target in targets(page.read_text()):
            if re.match(r"\w+:|\.\./\.\./actions/", target):  # of the host
                continue
            wrong = _wrong(page, target)
            if wrong:
                found.append(f"{page.relative_to(root)}: {target}: {wrong}")
    return found


def _wrong(page: Path, target: str) -> str:
    path, _, heading = target.partition("#")
    file = page if not path else (page.parent / path).resolve()
    if "_made" in file.parts:
        return ""  # Sphinx knows of it
    if not file.exists():
        return "there is no such file"
    if heading and heading not in heading_names(file.read_text()):
        return "there is no such heading"
    return ""


def not_in_reference(inventory: Path) -> list[str]:
    """Public names that the built reference does not hold.

    Args:
      inventory: the file `objects.inv` of the built site.
    """
    from sphinx.util.inventory import InventoryFile

    held = InventoryFile.loads(inventory.read_bytes(), uri="").data
    names = {name for kind in held.values() for name in kind}
    lacking = []
    for module in (m for modules in made.modules().values() for m in modules):
        for name in made.names_of(module):
            found = getattr(import_module(module), name)
            own = f"{found.__module__}.{name}" if isinstance(found, type) else ""
            if not {f"{module}.{name}", own} & names:
                lacking.append(f"{module}.{name}")
    return lacking
