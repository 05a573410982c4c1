"""From a preset to a finished run: the same from Python as from the shell."""

from jaxdis.experiment.again import plan_of
from jaxdis.experiment.carrying import carry_out, go_on
from jaxdis.experiment.choosing import finished
from jaxdis.experiment.execution import Execution, Part, Timing
from jaxdis.experiment.going_on import Wishes
from jaxdis.experiment.machines.gathering import gather
from jaxdis.experiment.machines.parents import shards_there
from jaxdis.experiment.plan import Plan, default_steps, find_preset, plan
from jaxdis.experiment.prepared import Experiment, prepare
from jaxdis.experiment.results import is_measured, note_report, write
from jaxdis.experiment.shards import asked
from jaxdis.experiment.start import merge, resume, train
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
    "Wishes",
    "asked",
    "carry_out",
    "default_steps",
    "exit_code",
    "find_preset",
    "finished",
    "gather",
    "go_on",
    "is_measured",
    "load",
    "merge",
    "note_report",
    "plan",
    "plan_of",
    "prepare",
    "resume",
    "shards_there",
    "train",
    "write",
]
