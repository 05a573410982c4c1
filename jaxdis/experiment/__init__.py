"""From a preset to a finished run: the same from Python as from the shell."""

from jaxdis.experiment.execution import Execution, Part, Timing
from jaxdis.experiment.plan import Plan, default_steps, find_preset, plan
from jaxdis.experiment.prepared import Experiment, prepare
from jaxdis.experiment.results import write
from jaxdis.experiment.start import carry_out, train
from jaxdis.experiment.stopping import Stopped, exit_code
from jaxdis.experiment.trained import Chosen, Run, load

__all__ = [
    "Chosen",
    "Execution",
    "Experiment",
    "Part",
    "Plan",
    "Run",
    "Stopped",
    "Timing",
    "carry_out",
    "default_steps",
    "exit_code",
    "find_preset",
    "load",
    "plan",
    "prepare",
    "train",
    "write",
]
