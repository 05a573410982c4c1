"""The model of a run, as it was after some steps, wherever it was trained."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxdis import checkpoint, program, sweep
from jaxdis.experiment import stored
from jaxdis.experiment.plan import declared, replaced
from jaxdis.experiment.watched import by_step, watched
from jaxdis.report import read
from jaxdis.types import Method, Preparation, Score, Spec, System, TrainState

__all__ = ["Model", "check_hyper", "given_again", "hyper_of", "restore", "seeds_of"]

NETWORKS = ("encoder", "decoder")  # without which parameters mean nothing


class Model(NamedTuple):
    """Everything that is needed to use a trained run.

    Attributes:
      method: the method.
      system: the method for the data of the run.
      config: its config.
      spec: what it knew of its data.
      preparation: what was done to the data before training.
      state: the states of all rows `[n, ...]`, all seeds of the first point in front;
        without that of the optimiser.
      step: the number of steps taken.
      points: the hyper-parameters of each grid point.
      seeds: the numbers of the seeds.
    """

    method: Method
    system: System
    config: Any
    spec: Spec
    preparation: Preparation
    state: TrainState
    step: int
    points: tuple[dict[str, float], ...]
    seeds: tuple[int, ...]


def seeds_of(settings: Mapping[str, Any]) -> tuple[int, ...]:
    """The numbers of the seeds of a run, by its config.json."""
    return tuple(read.seeds_of(settings))


def hyper_of(settings: Mapping[str, Any]) -> tuple[dict[str, float], ...]:
    """The hyper-parameters of each grid point of a run, by its config.json."""
    return tuple(read.hypers_of(settings))


def check_hyper(
    method: Method, points: Sequence[Mapping[str, float]], directory: Path
) -> None:
    """Whether a run tells every hyper-parameter that its method has.

    Args:
      method: its method.
      points: its grid points.
      directory: its directory.

    Raises:
      ValueError: one lacks, as that of an earlier version does.
    """
    known = method.hyper._fields  # type: ignore[attr-defined]
    if lacking := [name for name in known if name not in points[0]]:
        raise ValueError(
            f"config.json of {directory} has no hyper.{lacking[0]}, which "
            f"{method.name} has in this version: the run was trained by an earlier "
            "one, which alone can use it; take that one, or train it again"
        )


def given_again(
    directory: Path,
    method: Method,
    settings: Mapping[str, Any],
    parts: Mapping[str, Any],
    *,
    names: Iterable[str] | None = None,
    asked: str,
) -> dict[str, Any]:
    """The parts that replaced those of the method, if all are told again.

    Args:
      directory: the directory of the run.
      method: its method.
      settings: its config.json.
      parts: parts by name; None for those that are not given.
      names: which of them must be those of the run; None for all.
      asked: the function that they are arguments of.

    Raises:
      ValueError: one is missing, or one is given that the run did not have.
    """
    given = replaced(method, parts)
    used: Mapping[str, str] = settings.get("parts", {})
    for name in {**used, **given} if names is None else names:
        if name in used and name not in given:
            raise ValueError(
                f"the run in {directory} was trained with {name}={used[name]}, which "
                f"it cannot keep; give it again, as {asked}(..., {name}=...)"
            )
        if name in given and name not in used:
            raise ValueError(
                f"the run in {directory} was trained with the method's own {name}; "
                f"leave {name} out"
            )
    return given


def _worth(directory: Path, scores: Mapping[str, Score]) -> dict[int, float]:
    """How good a run was after some steps, as its progress bar has shown it."""
    logged = by_step(directory / "metrics.jsonl")
    if not logged:
        return {}
    shown = watched(scores, logged[min(logged)])
    return {step: shown.sign * shown.value(values) for step, values in logged.items()}


def restore(
    directory: Path,
    method: Method,
    settings: Mapping[str, Any],
    which: int | str,
    parts: Mapping[str, Any],
) -> Model:
    """Reads the model of a run onto one device.

    Args:
      directory: the directory of the run.
      method: its method.
      settings: its config.json.
      which: the checkpoint, "last", "best" or a step.
      parts: the parts of the method that were replaced, by name.

    Raises:
      ValueError: the run is of another version, a part is missing, or the parameters
        do not fit.
    """
    spec, preparation = stored.read_data(directory)
    given = given_again(
        directory, method, settings, parts, names=NETWORKS, asked="jaxdis.load"
    )
    try:
        config = stored.config_of(method, settings)
        points, seeds = hyper_of(settings), seeds_of(settings)
        system: System = method.make(config, spec, **given)
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        if given:  # it may be one of them that fails
            raise
        raise ValueError(
            f"config.json or data.json of {directory} is damaged ({error}); train the "
            "run again"
        ) from error
    check_hyper(method, points, directory)
    keys, hyper = sweep.lay_out(sweep.keys_of(seeds), method.hyper, points)
    like = program.row_shapes(system, keys, hyper)
    whole = like.state._replace(opt_state=())
    # The state of the optimiser is the larger half, and of no use any more.
    scores = declared(method, settings["preset"], config, spec)
    parts_of = {n: v for n, v in whole._asdict().items() if jax.tree.leaves(v)}
    there = directory / "checkpoints"
    step = checkpoint.choose(there, which, _worth(directory, scores))
    found = checkpoint.read(there, step, {"rows": {"state": parts_of}})
    return Model(
        method=method,
        system=system,
        config=config,
        spec=spec,
        preparation=preparation,
        state=whole._replace(**found["rows"]["state"]),
        step=step,
        points=points,
        seeds=seeds,
    )
