"""What is published: one version, all papers, a wheel that works by itself."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import unicodedata
import zipfile
from pathlib import Path

import pytest

import jaxdis
from jaxdis import systems

ROOT = Path(__file__).parent.parent
VERSION = jaxdis.__version__
CITED = (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_version_is_in_one_place_and_its_date_in_two():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert f"\nversion: {VERSION}\n" in CITED
    (date,) = re.findall(r"^date-released: (\S+)$", CITED, re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d\S*)\] - (\S+)$", changes, re.MULTILINE)
    assert released[0] == (VERSION, date)


def test_the_version_is_known_without_an_installation():
    """Of a checkout, whatever is installed, and before anything else is."""
    found = python(ROOT, "-S", "-c", "import jaxdis; print(jaxdis.__version__)")
    assert found == f"{VERSION}\n"


def python(path, *words):
    """What Python prints in a folder, the packages of which come first."""
    others = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(path), others))}
    ran = subprocess.run(
        [sys.executable, *words],
        env=environment,
        cwd=path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def plain(text):
    """The letters of a text in BibTeX or YAML, without braces, accents and case."""
    bare = re.sub(r"\\.|[{}]", "", text)
    letters = unicodedata.normalize("NFD", " ".join(bare.split()))
    return "".join(c for c in letters if not unicodedata.combining(c)).lower()


def field(entry, name):
    """A field of a BibTeX entry, whose value has braces of its own."""
    (_, _, after) = re.split(rf"\b({name})\s*=\s*", entry, maxsplit=1)
    (value, *_) = re.split(r"\}\s*,?\s*\n", after, maxsplit=1)
    return plain(value)


REFERENCES = re.split(r"\n  - type: ", CITED)[1:]


@pytest.mark.parametrize("name", systems.names())
def test_every_paper_of_a_method_is_cited(name):
    by_title = {
        plain(re.search(r'title: "(.*)"', reference)[1]): reference
        for reference in REFERENCES
    }
    for entry in re.split(r"^@\w+", systems.find(name).citation, flags=re.M)[1:]:
        reference = by_title[field(entry, "title")]
        assert f"year: {field(entry, 'year')}\n" in reference + "\n"
        names = zip(
            re.findall(r"family-names: (.*)", reference),
            re.findall(r"given-names: (.*)", reference),
            strict=True,
        )
        authors = [plain(f"{family}, {given}") for family, given in names]
        assert authors == field(entry, "author").split(" and ")
        for number in re.findall(r"\b\d{4}\.\d{5}\b", entry):
            assert f'value: "arXiv:{number}"' in reference


def test_no_paper_is_cited_twice():
    titles = re.findall(r'^    title: "(.*)"', CITED, re.MULTILINE)
    assert len(titles) == len(REFERENCES) == len(set(map(plain, titles))) > 10


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A source distribution, and the wheel that is built from it."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    python(out, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT))
    names = (f"jaxdis-{VERSION}.tar.gz", f"jaxdis-{VERSION}-py3-none-any.whl")
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    return tuple(out / name for name in names)


def test_the_source_has_what_tests_and_papers_need(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = ("LICENSE", "README.md", "CITATION.cff", "tests/conftest.py")
    assert {*files, "jaxdis/py.typed", "PKG-INFO"} <= names
    assert not any("__pycache__" in name for name in names)


def test_the_wheel_has_the_package_and_nothing_else(built):
    package = (path for path in (ROOT / "jaxdis").rglob("*") if path.is_file())
    known = {str(p.relative_to(ROOT)) for p in package if "__pycache__" not in p.parts}
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
        about = archive.read(f"jaxdis-{VERSION}.dist-info/METADATA").decode()
    assert {name for name in names if ".dist-info/" not in name} == known
    head = about.split("\n\n")[0].splitlines()
    assert f"Version: {VERSION}" in head
    assert "License-Expression: Apache-2.0" in head


def test_the_wheel_works_where_it_is_installed(built, tmp_path):
    pytest.importorskip("pip")
    install = ["--quiet", "--no-compile", "--no-deps", "--no-index", "--target"]
    python(tmp_path, "-m", "pip", "install", *install, str(tmp_path), str(built[1]))
    where = python(tmp_path, "-S", "-c", "import jaxdis; print(jaxdis.__file__)")
    assert Path(where).is_relative_to(tmp_path)
    said = python(tmp_path, str(tmp_path / "bin" / "jaxdis"), "list", "gcl")
    assert said.startswith("gcl/quickstart ")


def test_the_index_would_take_them(built):
    pytest.importorskip("twine")
    python(built[0].parent, "-m", "twine", "check", "--strict", *map(str, built))
