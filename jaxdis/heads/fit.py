"""Sparse heads of many tasks that share features."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdis import prox
from jaxdis.heads.checks import as_float, as_tasks, check_tasks
from jaxdis.heads.gradients import STOP_GRADIENT, Gradient
from jaxdis.heads.problem import Problem, Targets, make_problem, penalty_bound, slope
from jaxdis.heads.solvers import Penalty, Solver, measure_usage, reweighted_fista
from jaxdis.types import PRNGKey, Scalar

__all__ = ["HeadFit", "fit_heads"]


class HeadFit(NamedTuple):
    """Heads of t tasks and how well they solve their problem.

    Attributes:
      w: the weights; those that do not matter are exactly 0.
      b: the biases, 0 for regression.
      usage: a, with its floor.
      prices: the L1 weight of every feature in the last round.
      kkt: the largest violation of the optimality conditions given these prices.
      objectives: J after every round.
      clipped: features whose price would have been negative, over all rounds.
    """

    w: Float[Array, "t m c"]
    b: Float[Array, "t c"]
    usage: Float[Array, "m"]
    prices: Float[Array, "t m"]
    kkt: Float[Array, "t"]
    objectives: Float[Array, "r"]
    clipped: Int[Array, ""]


def _start(problem: Problem, init: HeadFit | None) -> Float[Array, "t p c"]:
    t, p, c = *problem.design.shape[::2], problem.targets.shape[2]
    if init is None:
        return jnp.zeros((t, p, c), problem.design.dtype)
    return jnp.concatenate([init.w, init.b[:, None]], 1)[:, :p]


def fit_heads(
    features: Float[Array | np.ndarray, "t n m"],
    targets: Targets,
    *,
    alpha: Scalar,
    beta: Scalar = 0.0,
    classes: int | None = None,
    class_mask: Bool[Array | np.ndarray, "t c"] | None = None,
    ridge: Scalar | None = None,
    relative: bool = False,
    solver: Solver = reweighted_fista,
    gradient: Gradient = STOP_GRADIENT,
    rounds: int = 4,
    iters: int = 30,
    init: HeadFit | None = None,
    key: PRNGKey | None = None,
    past_usage: Float[Array, "m"] | None = None,
    decay: Scalar = 0.0,
    numbers: Bool[Array | np.ndarray, "t"] | None = None,
) -> HeadFit:
    """Sparse heads of many tasks that share features.

    Minimises J of `heads`. Round r solves, for every task,

        min_v l_t(v) + sum_m price_m |v_m|_1,   price_m = max(0, alpha + beta dH/da_m)

    by `iters` steps of FISTA from where the last round ended, then moves the prices,
    which start at alpha. This is successive linearisation: a fixed point with positive
    prices satisfies the first-order conditions of J, and descent is not guaranteed,
    though it was seen in every round of every run; `objectives` tells.

    Args:
      features: standardised, as by `standardise`.
      targets: floats, or integers in 0 .. classes - 1.
      alpha: the weight of `|w_t|_1`, traced. 4 x 30 steps are a setting for training;
        for figures take 12 x 60, or 1 x 500 where beta = 0.
      beta: the weight of the sharing term, traced. alpha = 0 with beta > 0 is allowed.
      classes: C; None for regression.
      class_mask: which of the classes a task has; None for all.
      ridge: the weight of `|w_t|^2 / 2`; 1e-3 for regression and 0 for classification
        if left out.
      relative: alpha counts in units of `penalty_bound`, task by task, so that one
        value serves data of any scale.
      solver: `reweighted_fista`, or `adam`: 100 steps on J from small random weights,
        at the same cost and without exact zeros; a value of `SOLVERS`.
      gradient: how a later loss of the heads is differentiated in the features:
        `STOP_GRADIENT`, `IMPLICIT` or `UNROLL`; a value of `GRADIENTS`. Beyond 100
        features only `UNROLL` has derivatives in the penalties.
      rounds: times that the prices are computed, static.
      iters: steps of FISTA in each round, static; beyond 100 features in each of at
        most 16 blocks of 64, until all conditions of optimality hold.
      init: heads to start from.
      key: draws the start of `adam`.
      past_usage: the usage of past steps: few tasks alone are a poor measure of it.
      numbers: which tasks are regression, if they are of both kinds; targets are then
        floats, and a head of a number is the first of C, with a bias.
      decay: usage is `decay * past + (1 - decay) * now`, if there is a past.

    Raises:
      ValueError: shapes or types that do not fit, no tasks, samples or features, `adam`
        without key; and as far as values are known, that is, outside of jit: NaN, what
        is too large to square, a task with one class only, labels out of range,
        negative penalties.

    Source: Fumero et al. 2023 (arXiv 2304.07939) for the principles; see `heads`.
    """
    features, targets = as_tasks("features", features), as_tasks("targets", targets)
    penalties = {"alpha": alpha, "beta": beta, "ridge": ridge}
    check_tasks(features, targets, classes, class_mask, penalties, numbers)
    features, targets = as_float(features), jnp.asarray(targets)
    if rounds < 1 or iters < 1:
        raise ValueError(f"rounds and iters must be at least 1, got {rounds}, {iters}")
    if ridge is None:
        ridge = 1e-3 if classes is None else 0.0
    features = gradient.features(features)
    t, _, m = features.shape
    problem = make_problem(features, targets, classes, class_mask, ridge, numbers)
    solved = gradient.problem(problem)
    scale = jnp.ones(t)
    if relative:
        scale = jax.lax.stop_gradient(
            penalty_bound(features, targets, classes, numbers)
        )
    penalty = Penalty(alpha * scale, beta, m, past_usage, decay)
    found = solver(solved, penalty, _start(problem, init), key, rounds, iters)
    excess = prox.violation(slope(solved, found.v), found.prices[:, :, None], found.v)
    v = gradient.solution(problem, found.prices, found.v)
    w = v[:, :m]
    b = jnp.zeros((t, v.shape[2]), v.dtype) if classes is None else v[:, m]
    return HeadFit(
        w,
        b,
        measure_usage(penalty, w),
        found.prices[:, :m],
        excess.max((1, 2)),
        found.objectives,
        found.clipped,
    )
