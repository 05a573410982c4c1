"""The training of a run to its end, wherever it stands."""

from pathlib import Path

from jaxdis import checkpoint, log
from jaxdis.experiment import identity, results, starting, stored
from jaxdis.experiment.execution import Execution
from jaxdis.experiment.fitting import guarded, prepare_fitting
from jaxdis.experiment.plan import Plan
from jaxdis.experiment.prepared import Experiment
from jaxdis.experiment.run import fit
from jaxdis.experiment.stopping import Stopping

__all__ = ["complete", "is_finished", "is_measured", "last_step"]


def last_step(directory: Path) -> int:
    """The number of steps that a run was trained for, as far as it was saved."""
    return checkpoint.last(directory / "checkpoints")


def is_measured(directory: Path) -> bool:
    """Whether there are results of the last step that a run was trained for.

    Args:
      directory: its directory.
    """
    step = last_step(directory)
    return step > 0 and results.read(directory).get("steps") == step


def is_finished(plan: Plan, directory: Path) -> bool:
    """Whether all steps of all seeds are trained and measured.

    Args:
      plan: the setting of the run.
      directory: its directory.
    """
    found = results.read(directory)
    seeds = found.get("seeds") == list(plan.seeds)
    measured = seeds and found.get("steps") == plan.steps
    return measured and last_step(directory) >= plan.steps


def complete(
    plan: Plan,
    directory: Path,
    execution: Execution,
    stopping: Stopping,
    *,
    source: starting.Source = starting.OWN,
    resumed: bool = False,
    measured: bool = True,
    drawn: Experiment | None = None,
) -> Experiment:
    """Trains a run to its end, and measures it.

    Args:
      plan: its setting.
      directory: its directory, of which this process has the lock.
      execution: how to do it.
      stopping: whether it was asked to stop.
      source: what it starts from.
      resumed: whether it goes on from its last checkpoint.
      measured: whether results are written.
      drawn: the same data, where they were drawn before.

    Returns:
      The data and what else was prepared.

    Raises:
      ValueError: the data are not what they should be.
      Stopped: by a signal; the run can be resumed.
    """
    experiment, needed = prepare_fitting(plan, execution.rows_at_once, drawn)
    spec, preparation = experiment.spec, experiment.splits.preparation
    stored.keep_data(directory, spec, preparation, experiment.scores)
    log.say(f"{plan.name}: {len(plan.seeds)} seeds into {directory}")
    if resumed and not _saved(directory):
        told = identity.read_settings(directory).get("from")
        if told:
            source = starting.source_of(plan, told["run"], told["step"])
    if source.state is not None:
        starting.write(source, experiment, directory)
    begun = resumed or source.state is not None
    with guarded(experiment, needed, directory):
        result, timing = fit(
            experiment, directory, execution._replace(resume=begun), stopping
        )
        if measured:
            results.write(experiment, result, directory, timing.parts(result.step))
    return experiment


def _saved(directory: Path) -> bool:
    """Whether there is a checkpoint, whole or damaged."""
    checkpoints = directory / "checkpoints"
    return checkpoints.is_dir() and any(
        path.name[0].isdigit() for path in checkpoints.iterdir()
    )
