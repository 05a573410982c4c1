"""Shell completion: what bash offers, against the help of the commands."""

import re
import shlex
import shutil
import subprocess

import pytest

from jaxdis import cli, data
from jaxdis.cli import completion
from tests.shell import command

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("shell") / "jaxdis.sh"
    path.write_text(completion.script("bash"))
    return path


def offered(script, *words):
    """What bash offers for the last of the words."""
    lines = f"""source {shlex.quote(str(script))}
COMP_WORDS=({shlex.join(("jaxdis", *words))})
COMP_CWORD={len(words)}
_jaxdis
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run([BASH], input=lines, capture_output=True, text=True)
    assert not ran.stderr
    return ran.stdout.split()


def in_help(capsys, *words):
    """The options that a command's help names."""
    capsys.readouterr()
    assert command(*words, "--help") == 0
    text = capsys.readouterr().out
    heads = re.findall(r"^[│ ] (-.*?)(?:  |│)", text, re.MULTILINE)
    return set(re.findall(r"--[\w.-]+", " ".join(heads)))


def test_every_command_is_known():
    assert {"train", *completion.OPTIONS} == set(cli.COMMANDS)


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    "words",
    [
        ("train", "shared_features/own"),
        ("train", "flow_factorized/quickstart", "--data", "blob_sequences"),
        ("evaluate",),
        ("benchmark",),
    ],
)
def test_all_options_of_the_help_are_offered(words, script, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    known = in_help(capsys, *words)
    found = set(offered(script, *words, "--"))
    added = {"--data"} if words[0] == "train" else set()  # whose help has it in words
    assert found - {"--help"} == known - {"--help"} | added


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("expl",), ["explain"]),
        (("train", "gcl/a"), ["gcl/actions"]),
        (("train", "gcl/own", "--config.form", "q"), ["quadratic"]),
        (("train", "gcl/own", "--fr"), ["--from"]),
        (("train", "gcl/own", "--data", "blob"), ["blob_sequences"]),
        (("train", "my_method.py:METHOD", "--see"), ["--seeds"]),
        (("list", "gc"), ["gcl"]),
        (("select", "runs/any", "--kind", "l"), ["lasso"]),
        (("completion", "z"), ["zsh"]),
        (("report", "nothing"), []),
    ],
)
def test_words_are_completed(words, expected, script):
    assert offered(script, *words) == expected


def test_the_script_is_printed(script, capsys):
    assert command("completion", "bash") == 0
    assert capsys.readouterr().out == script.read_text()
    assert command("completion", "zsh") == 0
    said = capsys.readouterr().out
    assert said == "autoload -U +X bashcompinit && bashcompinit\n" + script.read_text()
    assert all(name in said for name in data.names())


def test_another_shell_is_refused(capsys):
    assert command("completion", "tcsh") == 2
    assert "tcsh" in "".join(capsys.readouterr())
