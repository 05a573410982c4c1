"""What the help of `jaxdis train` says of a method."""

import dataclasses
import re

import pytest

from jaxdis import cli, data, systems
from jaxdis.cli.options import attributes, hyper_names
from tests.shell import command


class Shared:
    """Texts that fields share.

    A line with a colon, which is no field: of the text.

    Attributes:
      alone: a text of its own: with a colon, which
        goes on.
      alpha, beta: what both are.
      gamma, delta,
        epsilon: what three are.

    Note: nothing of a field.
    """


def test_texts_of_several_fields_and_lines():
    assert attributes(Shared) == {
        "alone": "a text of its own: with a colon, which goes on.",
        "alpha": "what both are.",
        "beta": "what both are.",
        "gamma": "what three are.",
        "delta": "what three are.",
        "epsilon": "what three are.",
    }


@pytest.mark.parametrize("name", systems.names())
def test_docstrings_say_what_every_option_of_a_method_is(name):
    method = systems.find(name)
    assert set(hyper_names(method)) == set(attributes(method.hyper))
    for kind in {type(preset.config) for preset in method.presets.values()}:
        fields = {field.name for field in dataclasses.fields(kind) if field.init}
        assert fields == set(attributes(kind))


@pytest.mark.parametrize("name", data.names())
def test_docstrings_say_what_every_option_of_a_data_set_is(name):
    kind = data.find(name)
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    said = attributes(kind)
    assert fields == set(said)
    assert not any("the same as of" in text for text in said.values())


def helped(capsys, *words):
    assert command("train", *words, "--help") == 0
    said = capsys.readouterr()
    assert not said.err
    return " ".join(re.sub("[│|╭╮╰╯─+]", " ", said.out).split())


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_no_help_shows_an_empty_default(name, capsys):
    assert command(name, "--help") == 0
    assert "(default: )" not in re.sub("[│\\s]+", " ", capsys.readouterr().out)


def test_every_option_has_one_default_and_a_text(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    said = helped(capsys, "shared_features/quickstart")
    assert "--hyper.learning-rate [FLOAT [FLOAT ...]] the rate of Adam at" in said
    assert "at the start. (default: 0.001)" in said
    assert "of a task. (default: 0 0.05, at the preset's points)" in said
    assert "(default: )" not in said
    assert "(default 0" not in said
    assert not re.search(r"(INT|FLOAT|STR|\.\.\.\]|\}) \(default", said)


def test_defaults_that_data_decide_are_left_out(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    said = helped(capsys, "mechanism_sparsity/own")
    assert "the learning rate of Adam. --hyper.beta" in said


def test_of_any_method_it_names_what_there_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    said = helped(capsys)
    assert "jaxdis train METHOD/PRESET [-h]" in said
    assert all(name in said for name in systems.names())
    assert "the number of seeds. (default: the preset's)" in said


def test_options_are_of_the_types_of_the_preset():
    plan, options = cli.parse_train(["gcl/quickstart", "--data.samples", "999"])
    preset = systems.find("gcl").presets["quickstart"]
    assert options.config == preset.config
    assert plan.data == dataclasses.replace(preset.data, samples=999)


@pytest.mark.parametrize(("words", "code"), [((), 2), (("--help",), 0)])
def test_a_method_alone_lists_its_presets(words, code, capsys):
    assert command("train", "gcl", *words) == code
    said = capsys.readouterr()
    presets = systems.find("gcl").presets
    found = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert list(found) == [f"gcl/{name}" for name in presets]
    for name, preset in presets.items():
        assert preset.cost.split(" for ")[0] in found[f"gcl/{name}"]
    assert ("name a preset, as gcl/quickstart" in said.err) == bool(code)
