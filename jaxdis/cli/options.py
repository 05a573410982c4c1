"""Options of `jaxdis train` out of a method's config, data and hyper-parameters."""

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_type_hints

import tyro

from jaxdis.report.text import setting
from jaxdis.types import Method, Preset

__all__ = [
    "NOTHING",
    "AnyOptions",
    "TrainOptions",
    "attributes",
    "hyper_names",
    "options_type",
    "plain",
]


NOTHING = tyro.conf.arg(help_behavior_hint="")
"""Of options that are nothing unless they are given, as their help explains."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Trains many seeds of a preset in one compiled program.

    Attributes:
      seeds: the number of seeds.
      steps: the number of optimisation steps of every seed; None for a number by the
        size of the data.
      chunk: the number of steps between two lines of metrics.
      first_seed: the first seed's number; the others follow.
      out: a new directory of the run; default runs/NAME-TIME.
      resume: go on with the run in --out, to which more steps and seeds may be given;
        `jaxdis resume DIR` needs no other option again.
      start_or_resume: go on with the run in --out if there is one, or start it; leave
        one that is finished as it is.
      shard: I/N, the part of the rows that this process trains, in a directory below
        --out, or auto for what a scheduler's variables say; `jaxdis merge` makes one
        table of all.
      distributed: meet the other processes of the job by jax.distributed; each trains
        its shard, and that of number 0 merges.
      start_from: start from the last parameters of another run of the method, seed by
        seed.
      other_versions: go on although versions or the precision of matrix products are
        others than those of the run.
      checkpoint_seconds: the least time between two checkpoints.
      chunk_seconds: the longest time in which an interruption is not noticed.
      rows_at_once: the number of rows, of a seed at a point each, that are on the
        devices at a time; the others take turns. None for all.
      dry_run: say what would be trained and whether it fits into memory, and end.
      track: what shows the run elsewhere while it trains, one or several of jsonl, csv,
        tensorboard and wandb; a run that is resumed keeps those that it had.
    """

    seeds: int
    steps: int | None
    chunk: int
    first_seed: int = 0
    out: str | None = None
    resume: bool = False
    start_or_resume: bool = False
    shard: str | None = None
    distributed: bool = False
    start_from: Annotated[str | None, tyro.conf.arg(name="from")] = None
    other_versions: bool = False
    checkpoint_seconds: float = 30.0
    chunk_seconds: float = 10.0
    rows_at_once: int | None = None
    dry_run: bool = False
    track: Annotated[tuple[str, ...], NOTHING] = ()


_OF_PRESET = tyro.conf.arg(help_behavior_hint="(default: the preset's)")


@dataclasses.dataclass(frozen=True)
class AnyOptions(TrainOptions):
    """What `jaxdis train` takes whatever is trained, for its help."""

    seeds: Annotated[int, _OF_PRESET] = 0
    steps: Annotated[int, _OF_PRESET] = 0
    chunk: Annotated[int, _OF_PRESET] = 0


def attributes(kind: type) -> dict[str, str]:
    """What the docstring of a type says of each of its fields.

    Args:
      kind: the type; several fields may share a text, as "alpha, beta: the weights".
    """
    words: dict[str, str] = {}
    names: list[str] = []
    # Lists of names may be longer than a line.
    text = re.sub(r",\n +(?=\w+[,:])", ", ", inspect.getdoc(kind) or "")
    for line in text.splitlines():
        if field := re.fullmatch(r"  (\w+(?:, \w+)*): (.+)", line):
            names = field[1].split(", ")
            words |= dict.fromkeys(names, field[2])
        elif line.startswith("    "):
            words |= {name: f"{words[name]} {line.strip()}" for name in names}
        else:
            names = []
    return words


def _described(value: Any) -> Any:
    """A dataclass value whose type says for tyro what its docstring says.

    tyro knows neither texts that fields share nor how to show that there is nothing.
    """
    kind = type(value)
    said, hints = attributes(kind), get_type_hints(kind, include_extras=True)
    fields = []
    for field in dataclasses.fields(kind):
        if field.init and field.name in said:
            default = getattr(value, field.name)
            hint = "" if default == () else None
            told = tyro.conf.arg(help=said[field.name], help_behavior_hint=hint)
            fields.append(
                (
                    field.name,
                    Annotated[hints[field.name], told],
                    dataclasses.field(default=default),
                )
            )
    named = dataclasses.make_dataclass(
        kind.__name__, fields, bases=(kind,), frozen=True, kw_only=True
    )
    named.__doc__ = (inspect.getdoc(kind) or "").split("\nAttributes:")[0]
    return named(**_fields(value))


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}


def plain(value: Any, kind: type) -> Any:
    """Options of a group, as a value of the type that they were made from.

    Args:
      value: what the command line gave.
      kind: the type of the preset's config or data.

    Raises:
      ValueError: the type itself refuses them.
    """
    return kind(**_fields(value))


def hyper_names(method: Method) -> tuple[str, ...]:
    """The names of a method's hyper-parameters."""
    names: tuple[str, ...] = method.hyper._fields  # type: ignore[attr-defined]
    return names


def _hyper(method: Method, defaults: Mapping[str, Sequence[float]]) -> Any:
    """Options of hyper-parameters, each of which takes several values for a grid."""
    said, fields = attributes(method.hyper), []
    for name in hyper_names(method):
        values = " ".join(map(setting, own := defaults.get(name, ())))
        where = ", at the preset's points" * (len(own) > 1)
        told = tyro.conf.arg(
            help=said.get(name, ""),
            help_behavior_hint=f"(default: {values}{where})" if own else "",
        )
        option = Annotated[tuple[float, ...], told]
        fields.append((name, option, dataclasses.field(default=())))
    return dataclasses.make_dataclass("Hyper", fields, frozen=True)()


def options_type(
    method: Method, preset: Preset, defaults: Mapping[str, Sequence[float]]
) -> type:
    """`TrainOptions` with the fields of the method's config, data and hyper.

    Args:
      method: the method.
      preset: the preset, whose config and data are the defaults.
      defaults: the values of hyper-parameters, for the help; those that are not known
        before the data are read are left out.
    """
    groups = {
        "config": _described(preset.config),
        "data": _described(preset.data),
        "hyper": _hyper(method, defaults),
    }
    options = dataclasses.make_dataclass(
        "TrainOptions",
        [(n, type(v), dataclasses.field(default=v)) for n, v in groups.items()],
        bases=(TrainOptions,),
        frozen=True,
        kw_only=True,
    )
    options.__doc__ = TrainOptions.__doc__
    return options
