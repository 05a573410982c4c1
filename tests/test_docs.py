"""README and the pages of the site: links, commands, code and what they must hold."""

import json
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
import tyro

import jaxdis
from docs import __main__ as build
from docs import links, made, numbers, sources
from jaxdis import cli, experiment, systems
from tests.shell import command

ROOT = Path(__file__).parent.parent
PAGES = {str(p.relative_to(ROOT)): p.read_text() for p in links.pages(ROOT)}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Without what stands for something, as RUN and `...` do.
INLINE = re.compile(
    r"`jaxdis ((?:train|resume|merge|explain|list|benchmark) [^`A-Z\n]+)`"
)
PLACEHOLDERS = ("METHOD", "RUN", "COMMAND", "FILE", "DIR")


def typed():
    """Every call of the command, in a console or a sentence; of a job script, its."""
    for page in PAGES.values():
        for block in BLOCK.finditer(page):
            for line in block[2].splitlines() if block[1] == "console" else ():
                words = shlex.split(line.partition(" > ")[0], comments=True)
                if "examples/slurm.sh" in words:
                    _, preset, *rest = words[words.index("examples/slurm.sh") + 1 :]
                    yield ("train", preset, *rest)
                elif "jaxdis" in words:
                    yield tuple(words[words.index("jaxdis") + 1 :])
        for code in INLINE.findall(BLOCK.sub("", page)):
            if "..." not in code:
                yield tuple(shlex.split(code))


class Parsed(Exception):
    """The options were understood, and nothing was done."""


@pytest.fixture
def understood(monkeypatch):
    """Runs a command up to its options, whose names and values tyro then knows."""
    real = tyro.cli

    def parse(*args, **kwargs):
        real(*args, **kwargs)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", parse)


@pytest.mark.parametrize("words", sorted(set(typed())), ids=" ".join)
def test_commands_parse(words, understood):
    name, *rest = words
    assert name in cli.COMMANDS
    if not rest or rest[0].partition("/")[0] in PLACEHOLDERS:
        return
    if name == "train" and len(rest) == 1:
        method, _, preset = rest[0].partition("/")
        assert not preset or preset in systems.find(method).presets
        return
    expected = SystemExit if "--help" in rest else Parsed
    with pytest.raises(expected):
        cli.COMMANDS[name](rest)


def test_presets_that_prose_names_exist():
    named = {
        found[1]
        for page in PAGES.values()
        for found in re.finditer(r"`jaxdis train (\w+/\w+)[ `]", page)
        if not found[1].startswith(PLACEHOLDERS) and not found[1].endswith("/NAME")
    }
    assert len(named) >= 5
    for name in named:
        experiment.find_preset(name)


EXPLAINED = re.compile(
    r"^```console\njaxdis (explain [^\n]+)\n```\n\n```text\n(.*?)^```", re.M | re.S
)


@pytest.mark.parametrize(
    "found", EXPLAINED.findall(PAGES["docs/theory.md"]), ids=lambda found: found[0]
)
def test_what_theory_is_quoted_with_is_what_it_says(
    found, tmp_path, monkeypatch, capsys
):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    assert command(*shlex.split(found[0])) == 0
    said, _, _ = capsys.readouterr().out.partition("picture: ")
    assert said == found[1]


def test_links_lead_somewhere(tmp_path):
    assert links.broken(ROOT) == []
    (tmp_path / "docs").mkdir()
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n")
    (tmp_path / "docs" / "a.md").write_text(
        "[x](../README.md#title) [y](nowhere.md) `[z](code.md)` [u](../README.md#two)"
    )
    (tmp_path / "README.md").write_text("# Title\n![p](gone.png) [w](https://a.b)\n")
    assert links.broken(tmp_path) == [
        "README.md: gone.png: there is no such file",
        "docs/a.md: nowhere.md: there is no such file",
        "docs/a.md: ../README.md#two: there is no such heading",
    ]


def test_readme_is_short():
    assert len(PAGES["README.md"].split()) <= 900


def test_every_method_has_a_page():
    pages = {Path(p).stem for p in PAGES if p.startswith("docs/methods/")}
    assert pages - {"index"} == set(made.method_names())
    for name in made.method_names():
        text = PAGES[f"docs/methods/{name}.md"]
        assert f"_made/methods/{name}.md" in text
        assert "## What it assumes" in text
        assert "## Measured" in text


def test_reference_has_every_module_and_every_name():
    listed = [m for modules in made.modules().values() for m in modules]
    rooms = {f"jaxdis.{m.name}" for m in pkgutil.iter_modules(jaxdis.__path__)}
    assert rooms - {"jaxdis.__main__"} <= set(listed)
    assert len(listed) == len(set(listed))
    offered = set(made.names_of("jaxdis"))
    assert {"train", "Run", "Method"} <= offered
    assert all(f"jaxdis.{n}" in listed for n in set(jaxdis.__all__) - offered)


def test_strings_below_assignments_are_found_where_they_are():
    assert made.said_of("jaxdis.systems.flow_factorized", "EXACT") == (
        "What the mathematics says."
    )
    assert made.said_of("jaxdis", "__version__") == ""


def test_docstrings_become_markup():
    lines = ["Sum of *all* and `a * b`, |x|.", "", "    y = |x| * w", ""]
    lines += ["Note: Long", "  y."]
    made.mended(None, "function", "f", None, None, lines)
    assert lines == [
        r"Sum of \*all\* and `a * b`, \|x\|.", "", "::", "", "    y = |x| * w", "", "",
        "Note:", "  Long", "  y.",
    ]  # fmt: skip


def test_facts_of_a_method_are_those_of_its_code(tmp_path):
    (tmp_path / "_made" / "old").mkdir(parents=True)
    made.write(tmp_path)
    assert not (tmp_path / "_made" / "old").exists()
    facts = (tmp_path / "_made" / "methods" / "slow_vae.md").read_text()
    assert "- `rate`: the rate of the Laplace transition prior" in facts
    assert "Default `64`." in facts
    assert "@inproceedings{klindt2021towards" in facts
    assert "| `quickstart` |" in facts
    assert len(list((tmp_path / "_made" / "notebooks").iterdir())) > 4


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(build, "NEEDED", ("a_module_of_nobody",))
    assert build.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a_module_of_nobody" in line
    assert 'pip install -e ".[docs]"' in line


def test_every_number_has_a_command_and_its_source():
    assert numbers.lacking(ROOT) == []


def test_presets_say_what_their_runs_reached(tmp_path):
    assert sources.outdated(ROOT) == []
    wrong = {"preset": "linear/quickstart", "command": "", "score": "mcc", "mean": 0.5}
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "runs.json").write_text(json.dumps({"rows": [wrong]}))
    assert sources.outdated(tmp_path) == [
        "preset linear/quickstart: mcc 0.922 ± 0.043 is in no run of it"
    ]


@pytest.fixture
def written(tmp_path):
    """A page of numbers, and results of which some hold them."""
    page = tmp_path / "docs" / "methods" / "linear.md"
    page.parent.mkdir(parents=True)
    page.write_text(
        "# A\n\n`x 1.5` is code. 2.75, 9.9 (`python -m benchmarks.seeds`).\n\n"
        "| `quickstart` | .922 ± .043 |\n| `quickstart` | .92 ± .06 |\n\n"
        "1.25 ± .5, .7 ± .5 after `jaxdis train gcl/own --steps 3`.\n\n"
        "# B\n\n.5 of `benchmarks/results/none.json`\n"
    )
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "seeds-cpu.json").write_text('{"rows": [{"ms": 2.7512}]}')
    known = {"command": "jaxdis train gcl/own --steps 3", "preset": "gcl/own"}
    rows = [known | {"mean": 1.2514, "deviation": 0.5}, known | {"mean": 0.7}]
    (results / "runs.json").write_text(json.dumps({"rows": rows}))
    for name in ("README.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("")
    return page


def test_numbers_are_looked_for_where_their_command_stores_them(written, tmp_path):
    found = [one[1:] for one in numbers.found_in(tmp_path, written)]
    seeds, trained = "python -m benchmarks.seeds", "jaxdis train linear/quickstart"
    steps = "jaxdis train gcl/own --steps 3"
    assert found == [
        (3, "2.75", "benchmarks/results/seeds-cpu.json", seeds),
        (3, "9.9", numbers.BY_HAND, seeds),
        (5, ".922 ± .043", "preset linear/quickstart", trained),
        (6, ".92 ± .06", numbers.BY_HAND, trained),
        (8, "1.25 ± .5", "benchmarks/results/runs.json", steps),
        (8, ".7 ± .5", numbers.BY_HAND, steps),
        (12, ".5", numbers.BY_HAND, ""),
    ]


def test_numbers_that_are_nowhere_stored_are_named(written, tmp_path):
    page = "docs/methods/linear.md"
    assert numbers.lacking(tmp_path) == [
        f"{page}: benchmarks/results/none.json, a source, is gone",
        f"{page}:3: 9.9 is not what `python -m benchmarks.seeds` has stored",
        f"{page}:6: .92 ± .06 is not what `jaxdis train linear/quickstart` has stored",
        f"{page}:8: .7 ± .5 is not what `jaxdis train gcl/own --steps 3` has stored",
        f"{page}:12: .5 has no command",
    ]


@pytest.mark.parametrize(
    ("value", "text", "same"),
    [
        (2.7512, "2.8", True),
        (2.7512, "2.76", False),
        (1.0, ".698", False),
        (-0.165, ".165", True),
        (-0.165, "+.165", False),
        (-0.165, "−.17", True),
    ],
)
def test_values_are_compared_to_the_digits_of_the_text(value, text, same):
    assert sources.rounded(value, text) == same
