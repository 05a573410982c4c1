"""Linear heads of many tasks on shared features, fitted inside a training step.

The heads of t tasks minimise, in one problem,

    J = 1/t sum_t [ l_t(w_t, b_t) + alpha |w_t|_1 ] + beta C H(p),
    p_m = a_m / sum a,   a_m = 1e-3 + 1/(t C) sum_tc |w_tmc|,

where `l_t` is half the mean squared error (without a bias) or the cross entropy of C
classes (with a bias that is never penalised), plus `ridge / 2 |w_t|^2`. The L1 term
makes every task use few features, the entropy H makes tasks use the same ones. Where
some tasks ask for numbers and some for classes, all have C outputs and a bias, and a
number is the first output.

H couples the tasks and is neither convex nor concave in the weights. It is linearised
where the heads are: given a price for every feature the tasks separate, and the lasso
of each is solved by FISTA with exact zeros, block by block where features are many;
then the prices are computed anew.

Axes are t tasks, n samples, m features, c outputs.

Source: Fumero et al. 2023, "Leveraging sparse and shared feature activations for
disentangled representation learning" (arXiv 2304.07939). Of that paper the abstract was
read, and no code of it is public: terms, solver and constants are this library's.
"""

from jaxdis.heads.fit import HeadFit, fit_heads
from jaxdis.heads.gradients import (
    GRADIENTS,
    IMPLICIT,
    STOP_GRADIENT,
    UNROLL,
    Gradient,
)
from jaxdis.heads.outputs import answers, head_loss, predict, scores
from jaxdis.heads.problem import Targets, penalty_bound
from jaxdis.heads.ridge import ridge_heads
from jaxdis.heads.solvers import SOLVERS, Solver, adam, reweighted_fista
from jaxdis.heads.standard import Standard, apply_standard, standardise

__all__ = [
    "GRADIENTS",
    "IMPLICIT",
    "SOLVERS",
    "STOP_GRADIENT",
    "UNROLL",
    "Gradient",
    "HeadFit",
    "Solver",
    "Standard",
    "Targets",
    "adam",
    "answers",
    "apply_standard",
    "fit_heads",
    "head_loss",
    "penalty_bound",
    "predict",
    "reweighted_fista",
    "ridge_heads",
    "scores",
    "standardise",
]
