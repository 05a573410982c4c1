"""What theory says of graphs, interventions, tasks, mixings: what can be told apart."""

from jaxdis.identifiability.changes import change_strength, gaussian_changes_ok
from jaxdis.identifiability.graphs import (
    Graph,
    Matrix,
    as_graph,
    as_graphs,
    consistency_pattern,
    graph_criterion,
)
from jaxdis.identifiability.interventions import promise_of_interventions
from jaxdis.identifiability.mixing import (
    SUPPORT_THRESHOLD,
    MixingReport,
    domains_needed,
    learned_support,
    mixing_pattern,
    mixing_report,
    structural_sparsity,
    support_errors,
)
from jaxdis.identifiability.promises import (
    Promise,
    finest_blocks,
    promise_of_graphs,
    promise_of_mixing,
    promise_of_tasks,
    unpromised,
)
from jaxdis.identifiability.tasks import (
    TaskCriterion,
    containment,
    enough_tasks,
    support_variability,
    weights_span,
)

__all__ = [
    "SUPPORT_THRESHOLD",
    "Graph",
    "Matrix",
    "MixingReport",
    "Promise",
    "TaskCriterion",
    "as_graph",
    "as_graphs",
    "change_strength",
    "consistency_pattern",
    "containment",
    "domains_needed",
    "enough_tasks",
    "finest_blocks",
    "gaussian_changes_ok",
    "graph_criterion",
    "learned_support",
    "mixing_pattern",
    "mixing_report",
    "promise_of_graphs",
    "promise_of_interventions",
    "promise_of_mixing",
    "promise_of_tasks",
    "structural_sparsity",
    "support_errors",
    "support_variability",
    "unpromised",
    "weights_span",
]
