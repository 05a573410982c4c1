"""The settings of Sphinx; `python -m docs` builds the site."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jaxdis
from docs import made

project = "jaxdis"
author = "The jaxdis authors"
copyright = author
release = version = jaxdis.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_made/methods", "_made/benchmark*"]
html_theme = "furo"
html_title = f"jaxdis {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
# Names that two modules offer, and lines of notebooks for the shell.
suppress_warnings = ["ref.python", "misc.highlighting_failure"]

# Docstrings name code in single quotes of this kind: `name`.
default_role = "code"
autodoc_default_options = {"members": True, "undoc-members": True, "no-value": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # axes of shapes, as in "*s z", are no emphasis
napoleon_custom_sections = ["Source", "Sources"]


def whole_numbers(app: Any, page: str, source: list[str]) -> None:
    """A number and its ± stay on one line."""
    source[0] = made.whole(source[0])


def setup(app: Any) -> None:
    """Makes the pages that code writes, and mends docstrings before they are parsed."""
    made.write(Path(app.srcdir))
    app.connect("source-read", whole_numbers)
    app.connect("autodoc-process-docstring", made.mended, priority=400)
    app.connect("autodoc-process-signature", made.shorter)
    app.connect("autodoc-skip-member", made.skipped)
