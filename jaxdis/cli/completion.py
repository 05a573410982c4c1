"""`jaxdis completion`: a script with which a shell completes commands and options.

All words are in the script, so that to complete one starts no Python.
"""

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tyro

from jaxdis import data, log, systems
from jaxdis.cli.benchmark import BenchmarkOptions
from jaxdis.cli.compare import CompareOptions
from jaxdis.cli.evaluate import EvaluateOptions
from jaxdis.cli.explain import ExplainOptions
from jaxdis.cli.merge import MergeOptions
from jaxdis.cli.options import TrainOptions, hyper_names
from jaxdis.cli.resume import ResumeOptions
from jaxdis.cli.select import SelectOptions
from jaxdis.cli.show import ListOptions, ReportOptions
from jaxdis.cli.use import EncodeOptions, ExportOptions

__all__ = ["CompletionOptions", "completion_command", "script"]


@dataclasses.dataclass(frozen=True)
class CompletionOptions:
    """Prints a script with which the shell completes commands, methods and options.

    For bash: jaxdis completion bash > ~/.local/share/bash-completion/completions/jaxdis
    For zsh: jaxdis completion zsh > ~/.jaxdis.zsh, and `source ~/.jaxdis.zsh` at the
    end of ~/.zshrc. Methods of your own are not in it; their files are completed.

    Attributes:
      shell: the shell.
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]


OPTIONS: dict[str, type] = {
    "list": ListOptions,
    "resume": ResumeOptions,
    "merge": MergeOptions,
    "report": ReportOptions,
    "compare": CompareOptions,
    "select": SelectOptions,
    "benchmark": BenchmarkOptions,
    "explain": ExplainOptions,
    "encode": EncodeOptions,
    "evaluate": EvaluateOptions,
    "export": ExportOptions,
    "completion": CompletionOptions,
}
"""What every command takes but `train`, whose options are those of a method."""

FUNCTION = """_jaxdis() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  local command=${COMP_WORDS[1]} name=${COMP_WORDS[2]} found i set
  if [ "$COMP_CWORD" -eq 1 ]; then
    found=$(_jaxdis_words commands)
  elif [ "$command" = train ] && [ "$COMP_CWORD" -gt 2 ]; then
    set=$(_jaxdis_words "data of $name")
    for ((i = 3; i < COMP_CWORD; i++)); do
      [ "${COMP_WORDS[i-1]}" = --data ] && set=${COMP_WORDS[i]}
    done
    found=$(_jaxdis_words "train ${name%%/*} $before")
    [ -z "$found" ] && found=$(_jaxdis_words "train $before")
    [ -z "$found" ] && found=$(_jaxdis_words "data $set $before")
    [ -z "$found" ] && found="$(_jaxdis_words "options of train") \\
$(_jaxdis_words "train ${name%%/*}") $(_jaxdis_words "data $set")"
  else
    found=$(_jaxdis_words "$command $before")
    [ -z "$found" ] && found=$(_jaxdis_words "$command")
  fi
  COMPREPLY=($(compgen -W "$found" -- "$word"))
}
complete -o default -F _jaxdis jaxdis"""
HEADS = {"bash": "", "zsh": "autoload -U +X bashcompinit && bashcompinit\n"}
"""What comes first: zsh has what it takes to read scripts of bash."""


def _choices(hint: Any) -> tuple[str, ...]:
    """The words that an option takes; none where any will do."""
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    return tuple(word for inner in get_args(hint) for word in _choices(inner))


def _words(kind: type, prefix: str = "--") -> Iterator[tuple[str, tuple[str, ...]]]:
    """The options of a dataclass, and the words that each takes."""
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, told = hints[field.name], getattr(hints[field.name], "__metadata__", ())
        if not field.init or tyro.conf.Positional in told:
            continue
        named = [found for m in told if (found := getattr(m, "name", None))]
        name = (named or [field.name])[0].replace("_", "-")
        plain = get_args(hint)[0] if told else hint
        if dataclasses.is_dataclass(plain):
            assert isinstance(plain, type)
            yield from _words(plain, f"{prefix}{name}.")
        else:
            yield prefix + name, _choices(plain)
        if plain is bool:
            before, _, last = (prefix + name).rpartition(".")
            yield f"{before}.no-{last}" if before else f"--no-{name}", ()


def _lines(key: str, words: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    """The options by a key, and by a key and an option what it takes."""
    taken = {f"{key} {name}": " ".join(choices) for name, choices in words if choices}
    return {key: " ".join(name for name, _ in words)} | taken


def _of_methods() -> Iterator[tuple[str, str]]:
    """The lines of all methods: presets, options, and the data of each preset."""
    sets = {data.find(name): name for name in data.names()}
    presets = []
    for name in systems.names():
        try:
            method = systems.find(name)
        except ValueError as error:  # another package's
            log.note(str(error))
            continue
        hyper = [(f"--hyper.{n.replace('_', '-')}", ()) for n in hyper_names(method)]
        config = {
            pair
            for preset in method.presets.values()
            for pair in _words(type(preset.config), "--config.")
        }
        yield from _lines(f"train {name}", [*sorted(config), *hyper]).items()
        for preset, known in method.presets.items():
            presets.append(f"{name}/{preset}")
            yield f"data of {name}/{preset}", sets.get(type(known.data), "")
    yield "train", " ".join((*presets, "--help"))


def script(shell: str) -> str:
    """The script for a shell, a key of `HEADS`."""
    table = {"commands": " ".join((*OPTIONS, "train", "--help", "--version"))}
    for command, kind in OPTIONS.items():
        table |= _lines(command, [*_words(kind), ("--help", ())])
    table |= _lines("options of train", [*_words(TrainOptions), ("--data", ())])
    table |= {"train --data": " ".join(data.names())}
    for name in data.names():
        table |= _lines(f"data {name}", list(_words(data.find(name), "--data.")))
    table |= dict(_of_methods())
    table["list"] += " " + " ".join(systems.names())
    table["completion"] += " " + " ".join(HEADS)
    cases = "\n".join(
        f"    {shlex.quote(key)}) echo {shlex.quote(words)} ;;"
        for key, words in table.items()
        if words
    )
    words = f'_jaxdis_words() {{\n  case "$1" in\n{cases}\n  esac\n}}'
    return f"{HEADS[shell]}{words}\n{FUNCTION}\n"


def completion_command(args: Sequence[str]) -> int:
    """`jaxdis completion SHELL`; returns the exit code."""
    options = tyro.cli(
        CompletionOptions, prog="jaxdis completion", args=args or ["--help"]
    )
    log.say(script(options.shell).rstrip("\n"))
    return 0
