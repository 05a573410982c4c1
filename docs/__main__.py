"""`python -m docs`: builds the site into docs/_build/html; any warning is an error."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from docs import links, notebooks, numbers, sources

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs"
NEEDED = ("sphinx", "myst_nb", "furo", "sphinx_copybutton")


def main() -> int:
    """The exit code: 0, 1 if something is wrong with a page, 2 without the extra."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f'docs: {missing[0]} is missing: pip install -e ".[docs]"', file=sys.stderr
        )
        return 2
    wrong = [*numbers.lacking(ROOT), *sources.outdated(ROOT)]
    broken = [*links.broken(ROOT), *wrong, *notebooks.stale(ROOT)]
    for sentence in broken:
        print(f"docs: {sentence}", file=sys.stderr)
    if broken:
        return 1
    built = PAGES / "_build" / "html"
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q",
         "-d", str(PAGES / "_build" / "doctrees"), str(PAGES), str(built)],
        cwd=ROOT, check=False,
    )  # fmt: skip
    if made.returncode:
        return 1
    lacking = links.not_in_reference(built / "objects.inv")
    for name in lacking:
        print(f"docs: {name} is not in the API reference", file=sys.stderr)
    if lacking:
        return 1
    print(f"docs: {built / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
