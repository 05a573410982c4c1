"""From a preset to a finished run: the same from Python as from the shell."""

from jaxdis.experiment.plan import Plan, default_steps, find_preset, plan
from jaxdis.experiment.run import Experiment, Run, carry_out, prepare, train, write
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
