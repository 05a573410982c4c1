"""Going on with a run: to its end, to more steps, with more seeds.

config.json says what a run shall be, and its checkpoints how far it is. So a wish for
more steps is first written down and then carried out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxdis import check, log
from jaxdis.experiment import identity
from jaxdis.experiment.execution import Execution
from jaxdis.experiment.model import hyper_of, seeds_of
from jaxdis.experiment.more_seeds import forget_joined, join_seeds, pending
from jaxdis.experiment.plan import MOST_SEEDS, Plan
from jaxdis.experiment.results import is_finished, last_step
from jaxdis.experiment.run import complete
from jaxdis.experiment.stopping import Stopping

__all__ = ["Wishes", "fulfil", "same"]


class Wishes(NamedTuple):
    """What a run shall be.

    Attributes:
      steps: the number of steps in all; None for that of config.json.
      seeds: the number of seeds in all, likewise.
      stretch: whether hyper-parameters that are set by the number of steps take their
        values for the new one.
    """

    steps: int | None = None
    seeds: int | None = None
    stretch: bool = False


def _defaults(plan: Plan, steps: int) -> dict[str, float]:
    """The hyper-parameters that the preset would have for a number of steps."""
    default = plan.method.default_hyper(plan.config, plan.data.spec(), steps)
    found = default._replace(**plan.preset.hyper)._asdict()
    return {name: float(value) for name, value in found.items()}


def _past(settings: Mapping[str, Any]) -> list[int]:
    """The numbers of steps that a run was to have, one after the other."""
    return [*settings.get("extended", []), settings["steps"]]


def same(plan: Plan, directory: Path) -> Plan:
    """A plan as the run in a directory has it, whose steps and seeds may differ.

    Args:
      plan: the setting.
      directory: the directory of the run.

    Raises:
      ValueError: the run is of another setting.
    """
    settings, own = identity.read_settings(directory), ("steps", "seeds", "hyper")
    names = [name for name in identity.identity(plan) if name not in own]
    identity.check_same(plan, settings, directory, names)
    points = hyper_of(settings)
    if points != plan.points:
        # What is set by the number of steps is as it was for an earlier one.
        new = _defaults(plan, plan.steps)
        before = [_defaults(plan, steps) for steps in _past(settings)]
        follows = len(points) == len(plan.points) and all(
            there[n] == here[n]
            or (here[n] == new[n] and there[n] in [old[n] for old in before])
            for there, here in zip(points, plan.points, strict=True)
            for n in here
        )
        if not follows:
            identity.check_same(plan, settings, directory, ["hyper"])
    return plan._replace(
        points=points, seeds=seeds_of(settings), steps=int(settings["steps"])
    )


def _check_wishes(plan: Plan, directory: Path, wishes: Wishes) -> tuple[int, int]:
    """The numbers of steps and of seeds that a run shall have."""
    if wishes.steps is not None:
        check.count("steps", wishes.steps)
    if wishes.seeds is not None:
        check.count("seeds", wishes.seeds, most=MOST_SEEDS)
        check.first_seed(plan.seeds[0], wishes.seeds)
    steps = plan.steps if wishes.steps is None else wishes.steps
    last = last_step(directory)
    if steps < last:
        raise ValueError(
            f"steps: the run in {directory} was trained for {last:,} steps already, "
            f"which cannot become {steps:,}; give {last} or more"
        )
    first, gaps = plan.seeds[0], plan.seeds[-1] - plan.seeds[0] >= len(plan.seeds)
    if gaps and wishes.seeds not in (None, len(plan.seeds)):
        raise ValueError(
            f"seeds: the run in {directory} lacks some between {first} and "
            f"{plan.seeds[-1]}; bring them in first, with jaxdis merge"
        )
    last_seeds = [plan.seeds[-1], *(seeds[-1] for seeds in pending(directory))]
    begun = len(plan.seeds) if gaps else max(last_seeds) + 1 - first
    seeds = begun if wishes.seeds is None else wishes.seeds
    if seeds < begun:
        raise ValueError(
            f"seeds: the run in {directory} has {begun} seeds already, from {first} to "
            f"{first + begun - 1}, which cannot become {seeds}; give {begun} or more"
        )
    return steps, seeds


def fulfil(
    wishes: Wishes,
    plan: Plan,
    directory: Path,
    execution: Execution,
    stopping: Stopping,
) -> None:
    """Trains what a run lacks, and what it shall have more.

    Args:
      wishes: what the run shall be.
      plan: its setting, as it is.
      directory: its directory, of which this process has the lock; see `recover`.
      execution: how to do it.
      stopping: whether it was asked to stop.

    Raises:
      ValueError: it cannot become what it shall be, or not here.
      Stopped: by a signal; the run can be resumed.
    """
    forget_joined(directory, plan)
    steps, seeds = _check_wishes(plan, directory, wishes)
    whole = plan
    if seeds != len(plan.seeds):
        numbers = range(plan.seeds[0], plan.seeds[0] + seeds)
        whole = plan._replace(seeds=tuple(numbers))
    nothing_more = (whole.seeds, steps) == (plan.seeds, plan.steps)
    if nothing_more and is_finished(plan, directory):
        log.say(
            f"the run in {directory} is finished, {plan.steps:,} steps of "
            f"{len(plan.seeds)} seeds, and is left as it is; --steps and --seeds of "
            "`jaxdis resume` give it more"
        )
        return
    settings = identity.read_settings(directory)
    if execution.rows_at_once is None:
        execution = execution._replace(rows_at_once=settings.get("rows_at_once"))
    identity.check_environment(
        settings, directory, other_versions=execution.other_versions
    )
    if any(settings.get(name) != value for name, value in execution.pace.items()):
        _rewrite(directory, **execution.pace)
    drawn = None
    if whole.seeds != plan.seeds:
        drawn = join_seeds(plan, whole, directory, execution, stopping)
    wanted = _with_steps(whole, directory, steps, wishes.stretch)
    complete(wanted, directory, execution, stopping, resumed=True, drawn=drawn)


def _rewrite(directory: Path, **changes: Any) -> None:
    """Changes what config.json says that a run shall be."""
    settings = identity.read_settings(directory)
    log.write_json(directory / "config.json", settings | changes)


def _with_steps(plan: Plan, directory: Path, steps: int, stretch: bool) -> Plan:
    """A run that shall have another number of steps, which is written down."""
    past = _past(identity.read_settings(directory))
    new, before = _defaults(plan, steps), [_defaults(plan, n) for n in past]
    stretched = [
        {
            n: new[n] if value in [old[n] for old in before] else value
            for n, value in point.items()
        }
        for point in plan.points
    ]
    if steps == plan.steps and (not stretch or tuple(stretched) == plan.points):
        return plan
    if sentence := _told(plan.points, stretched, new, steps):
        log.note(
            f"{sentence}, from step {last_step(directory):,} on"
            if stretch
            else f"{sentence}, but kept, so that what was trained stays valid; "
            "--stretch (stretch=True) takes the new values"
        )
    points = tuple(stretched) if stretch else plan.points
    _rewrite(
        directory,
        steps=steps,
        extended=past,
        hyper={n: [p[n] for p in points] for n in points[0]},
    )
    return plan._replace(steps=steps, points=points)


def _told(
    points: Sequence[Mapping[str, float]],
    stretched: Sequence[Mapping[str, float]],
    new: Mapping[str, float],
    steps: int,
) -> str:
    """Which hyper-parameters another number of steps would set otherwise."""
    changes = []
    for name, value in new.items():
        old = {
            here[name]: None
            for here, there in zip(points, stretched, strict=True)
            if here[name] != there[name]
        }
        if old:
            values = " and ".join(f"{v:g}" for v in old)
            changes.append(f"{name} {values} -> {value:g}")
    told = f"set by the number of steps, for {steps:,}: {', '.join(changes)}"
    return told if changes else ""
