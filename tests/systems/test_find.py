"""Methods are found by name, in files, and in other packages."""

import os
import re
import shutil
from importlib.metadata import EntryPoint

import pytest

from jaxdis import systems
from tests import own_method

GROUP = "jaxdis.methods"
SOURCE = own_method.__file__


@pytest.fixture
def installed(monkeypatch):
    """Other packages that offer methods: one that works, and three that do not."""
    offered = [
        EntryPoint("fancy", "tests.own_method:METHOD", GROUP),
        EntryPoint("gone", "no_such_package:METHOD", GROUP),
        EntryPoint("wrong", "tests.own_method:WIDTH", GROUP),
        EntryPoint("beta_vae", "tests.own_method:METHOD", GROUP),
    ]
    monkeypatch.setattr(systems, "entry_points", lambda group: offered)


def test_packages_offer_methods(installed):
    assert set(systems.names()) >= {"fancy", "gone", "mechanism_sparsity"}
    assert systems.find("fancy") is own_method.METHOD
    assert systems.reference(own_method.METHOD) == "fancy"
    assert systems.find("beta_vae").name == "beta_vae"  # ours keeps its name
    with pytest.raises(ValueError, match=r"gone \(no_such_package:METHOD\) cannot be"):
        systems.find("gone")
    with pytest.raises(ValueError, match=r"wrong must name a jaxdis.Method, found int"):
        systems.find("wrong")


def test_a_method_is_found_by_what_it_is_called():
    built_in = systems.find("baselines")
    assert systems.reference(built_in) == "baselines"
    assert systems.reference(built_in._replace(needs=())) is None
    name = systems.reference(own_method.METHOD)
    assert name is not None
    assert systems.find(name).name == "own_method"


def test_a_file_is_read_again_when_it_has_changed(tmp_path):
    file = tmp_path / "mine.py"
    shutil.copy(SOURCE, file)
    first = systems.find(f"{file}:METHOD")
    assert systems.find(str(file)) is first
    assert systems.reference(first) == f"{file}:METHOD"
    file.write_text(file.read_text() + "\nOTHER = METHOD._replace(name='other')\n")
    os.utime(file, ns=(1, 1))
    assert systems.find(f"{file}:OTHER").name == "other"


def test_neighbours_of_a_file_can_be_imported(tmp_path):
    (tmp_path / "beside_mine.py").write_text("from tests.own_method import METHOD\n")
    (tmp_path / "mine.py").write_text("from beside_mine import METHOD\n")
    assert systems.find(str(tmp_path / "mine.py")) is own_method.METHOD


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.py", None, "there is no file"),
        ("mine.py:METHOD", "x = 1", "must name a jaxdis.Method, found nothing"),
        ("mine.py:x", "x = 1", "must name a jaxdis.Method, found int"),
        ("mine.py", "x = (", "cannot be imported"),
        ("mine.py", "import no_such_package", "No module named 'no_such_package'"),
    ],
)
def test_files_without_a_method(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        systems.find(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("beta_vae/quickstart", ("beta_vae", "quickstart")),
        ("beta_vae", ("beta_vae", "")),
        ("a/b/mine.py", ("a/b/mine.py", "")),
        ("a/b/mine.py:M/own", ("a/b/mine.py:M", "own")),
        ("./mine.py/own", ("./mine.py", "own")),
    ],
)
def test_names_are_split(name, parts):
    assert systems.split(name) == parts
    assert systems.is_file(parts[0]) == (".py" in name)
