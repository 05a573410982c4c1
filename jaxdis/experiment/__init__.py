"""From a preset to a finished run: the same from Python as from the shell."""

from jaxdis.experiment.plan import Plan, default_steps, find_preset, plan
from jaxdis.experiment.prepared import Experiment
from jaxdis.experiment.results import write
from jaxdis.experiment.run import Run, carry_out, prepare, train
from jaxdis.experiment.stopping import Stopped

__all__ = [
    "Experiment",
    "Plan",
    "Run",
    "Stopped",
    "carry_out",
    "default_steps",
    "find_preset",
    "plan",
    "prepare",
    "train",
    "write",
]
