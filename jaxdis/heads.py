"""Linear heads of many tasks on shared features, fitted inside a training step.

The heads of t tasks minimise, in one problem,

    J = 1/t sum_t [ l_t(w_t, b_t) + alpha |w_t|_1 ] + beta C H(p),
    p_m = a_m / sum a,   a_m = 1e-3 + 1/(t C) sum_tc |w_tmc|,

where `l_t` is half the mean squared error (without a bias) or the cross entropy of C
classes (with a bias that is never penalised), plus `ridge / 2 |w_t|^2`. The L1 term
makes every task use few features, the entropy H makes tasks use the same ones.

H couples the tasks and is neither convex nor concave in the weights. It is linearised
where the heads are: given a price for every feature the tasks separate, and the lasso
of each is solved by FISTA with exact zeros; then the prices are computed anew.

Source: Fumero et al. 2023, "Leveraging sparse and shared feature activations for
disentangled representation learning" (arXiv 2304.07939). Of that paper the abstract was
read, and no code of it is public: terms, solver and constants are this library's.
"""

import warnings
from functools import partial
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Bool, Float, Int

from jaxdis import linalg, losses
from jaxdis.types import PRNGKey, Scalar

Gradient = Literal["stop_gradient", "implicit", "unroll"]
Solver = Literal["reweighted_fista", "adam"]
Targets: TypeAlias = Float[Array, "t n"] | Int[Array, "t n"]

EPSILON = 1e-5  # added to standard deviations
USAGE_FLOOR = 1e-3
MASKED = -1e9  # logit of a class that a task does not have
DENSE_UNKNOWNS = 128  # beyond it conjugate gradients replace elimination
CG_STEPS = 64
ADAM_STEPS, ADAM_RATE, ADAM_SCALE = 100, 0.05, 1e-2

_matmul = partial(jnp.matmul, precision="highest")


class Standard(NamedTuple):
    """Mean and standard deviation of every feature."""

    mean: Float[Array, "m"]
    std: Float[Array, "m"]


class HeadFit(NamedTuple):
    """Heads of t tasks and how well they solve their problem.

    Attributes:
      w: weights; those that do not matter are exactly 0.
      b: biases, 0 for regression.
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


class _Problem(NamedTuple):
    """The smooth part of every task; unknowns v are `[t, p, c]`, the bias the last row.

    Attributes:
      design: features, for classification with a column of ones.
      targets: numbers, or one-hot rows.
      allowed: classes of each task; None for regression.
      gram, moment: `F'F / n` and `F'y / n` for regression, else None.
      ridge: of every row of v, 0 for the bias.
    """

    design: Float[Array, "t n p"]
    targets: Float[Array, "t n c"]
    allowed: Bool[Array, "t c"] | None
    gram: Float[Array, "t p p"] | None
    moment: Float[Array, "t p c"] | None
    ridge: Float[Array, "p"]


def from_joint_scale(
    alpha: Scalar, beta: Scalar, classes: int
) -> tuple[Scalar, Scalar]:
    """Weights of `1/(tC) sum |w|` and of H in a joint objective, for `fit_heads`.

    alpha / C and beta / C: per task, and independent of the number of tasks.
    """
    return alpha / classes, beta / classes


def _is_known(*arrays: object) -> bool:
    return not any(isinstance(a, jax.core.Tracer) for a in arrays)


def standardise(
    features: Float[Array, "t n m"], axis_name: str | None = None
) -> tuple[Float[Array, "t n m"], Standard]:
    """`F = (h - mean) / (std + 1e-5)`, over all tasks and samples at once.

    There is no learned scale: it would let a network shrink its heads, and with them
    the L1 term, for free. Gradients flow through mean and std.

    Args:
      features: h.
      axis_name: a mapped axis over which the tasks are spread.

    Returns:
      F, and the mean and standard deviation.

    Warns:
      UserWarning: if a feature is constant; it becomes 0, which drops it. Values are
        seen only outside of jit.
    """
    # Relative to one row, the mean of equal numbers is exact and F exactly 0.
    row = jax.lax.stop_gradient(features[:1, :1])
    mean = row[0, 0] + (features - row).mean((0, 1))
    square = ((features - mean[None, None]) ** 2).mean((0, 1))
    if axis_name is not None:
        local, mean = mean, jax.lax.pmean(mean, axis_name)
        square = jax.lax.pmean(square + (local - mean) ** 2, axis_name)
    # A root has no derivative at 0, where a feature is constant.
    varies = square > 0
    std = jnp.where(varies, jnp.sqrt(jnp.where(varies, square, 1.0)), 0.0)
    if _is_known(std):
        _warn_constant(np.asarray(mean), np.asarray(std))
    moments = Standard(mean, std)
    return apply_standard(moments, features), moments


def _warn_constant(mean: np.ndarray, std: np.ndarray) -> None:
    constant = np.flatnonzero(std <= 1e-7 * (1 + np.abs(mean))).tolist()
    if constant:
        warnings.warn(
            f"features {constant} are constant and cannot be standardised; they are "
            "dropped",
            stacklevel=3,
        )


def apply_standard(
    moments: Standard, features: Float[Array, "*b m"]
) -> Float[Array, "*b m"]:
    """Features standardised by given moments."""
    shape = (1,) * (features.ndim - 1) + (-1,)
    std = moments.std.reshape(shape) + EPSILON
    return (features - moments.mean.reshape(shape)) / std


def _check_shapes(
    features: Array, targets: Array, classes: int | None, mask: Array | None
) -> None:
    if features.ndim != 3:
        raise ValueError(
            f"features must be [tasks, samples, features], got shape {features.shape}"
        )
    if targets.shape != features.shape[:2]:
        raise ValueError(
            f"targets must be [tasks, samples] = {features.shape[:2]}, one for each "
            f"row of features; got shape {targets.shape}"
        )
    if classes is None:
        if not jnp.issubdtype(targets.dtype, jnp.floating):
            raise ValueError(
                f"targets are {targets.dtype}; regression takes floats, for "
                "classification give the number of classes"
            )
        return
    if not jnp.issubdtype(targets.dtype, jnp.integer) or classes < 2:
        raise ValueError(
            "classification takes integer targets and at least 2 classes, got "
            f"{targets.dtype} and classes={classes}"
        )
    if mask is not None and mask.shape != (features.shape[0], classes):
        raise ValueError(
            f"class_mask must be [tasks, classes] = {(features.shape[0], classes)}, "
            f"got shape {mask.shape}"
        )


def _check_values(features: Array, targets: Array, classes: int | None) -> None:
    """What can only be seen of values that are known."""
    for name, value in (("features", features), ("targets", targets)):
        bad = ~np.isfinite(np.asarray(value, float)).reshape(len(value), -1).all(1)
        if bad.any():
            raise ValueError(
                f"{name} of tasks {np.flatnonzero(bad).tolist()} hold NaN or infinite "
                "values; remove those samples first"
            )
    if classes is None:
        return
    labels = np.asarray(targets)
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"targets must lie in 0 .. {classes - 1}, got {labels.min()} .. "
            f"{labels.max()}"
        )
    single = np.flatnonzero((labels == labels[:, :1]).all(1)).tolist()
    if single:
        raise ValueError(
            f"targets of tasks {single} hold one class only; each task needs samples "
            "of at least two to fit a head"
        )


def _check(
    features: Array,
    targets: Array,
    classes: int | None,
    mask: Array | None,
    **penalties: Scalar | None,
) -> None:
    _check_shapes(features, targets, classes, mask)
    for name, value in penalties.items():
        if value is None or not _is_known(value):
            continue
        if not (np.isfinite(value) & (np.asarray(value) >= 0)).all():
            raise ValueError(f"{name} must be finite and not negative, got {value}")
    if _is_known(features, targets):
        _check_values(features, targets, classes)


def _problem(
    features: Array,
    targets: Array,
    classes: int | None,
    mask: Array | None,
    ridge: Scalar,
) -> _Problem:
    t, n, m = features.shape
    if classes is None:
        y = targets[:, :, None]
        transposed = features.swapaxes(1, 2)
        gram, moment = _matmul(transposed, features) / n, _matmul(transposed, y) / n
        rows = jnp.full(m, ridge, features.dtype)
        gram = gram + jnp.diag(rows)[None]
        return _Problem(features, y, None, gram, moment, rows)
    design = jnp.concatenate([features, jnp.ones((t, n, 1), features.dtype)], -1)
    rows = jnp.append(jnp.full(m, ridge, features.dtype), 0.0)
    allowed = jnp.ones((t, classes), bool) if mask is None else mask
    one_hot = jax.nn.one_hot(targets, classes, dtype=features.dtype)
    return _Problem(design, one_hot, allowed, None, None, rows)


def _logits(problem: _Problem, v: Array) -> Float[Array, "t n c"]:
    logits = _matmul(problem.design, v)
    assert problem.allowed is not None
    return jnp.where(problem.allowed[:, None], logits, MASKED)


def _fit_term(problem: _Problem, v: Float[Array, "t p c"]) -> Float[Array, "t"]:
    """l_t, with its ridge."""
    if problem.allowed is None:
        error = _matmul(problem.design, v) - problem.targets
        loss = 0.5 * (error**2).sum(2).mean(1)
    else:
        log_p = jax.nn.log_softmax(_logits(problem, v))
        loss = -(problem.targets * log_p).sum(2).mean(1)
    return loss + 0.5 * (problem.ridge[None, :, None] * v**2).sum((1, 2))


def _slope(problem: _Problem, v: Float[Array, "t p c"]) -> Float[Array, "t p c"]:
    """The gradient of l_t."""
    if problem.gram is not None and problem.moment is not None:
        return _matmul(problem.gram, v) - problem.moment
    wrong = jax.nn.softmax(_logits(problem, v)) - problem.targets
    slope = _matmul(problem.design.swapaxes(1, 2), wrong) / wrong.shape[1]
    return slope + problem.ridge[None, :, None] * v


def _curvature(problem: _Problem) -> Float[Array, "t"]:
    """A bound L on the curvature: the lesser of two norms of the Gram matrix.

    Row sums and Frobenius; a softmax has at most half of it, in each logit.
    """
    gram = problem.gram
    if gram is None:
        n = problem.design.shape[1]
        gram = _matmul(problem.design.swapaxes(1, 2), problem.design) / n
    size = jnp.abs(gram)
    norm = jnp.minimum(size.sum(2).max(1), jnp.sqrt((size**2).sum((1, 2))))
    return norm if problem.gram is not None else 0.5 * norm + problem.ridge.max()


def soft_threshold(u: Array, by: Array) -> Array:
    """`sign(u) max(|u| - by, 0)`."""
    return jnp.sign(u) * jnp.maximum(jnp.abs(u) - by, 0.0)


def _fista(
    problem: _Problem, prices: Float[Array, "t p"], start: Array, steps: int
) -> Float[Array, "t p c"]:
    """FISTA with adaptive restart, every task by itself, a fixed number of steps.

    v+ = soft(u - grad l(u) / L, price / L), and the extrapolation u starts anew where
    it points uphill.

    Source: Beck and Teboulle 2009; O'Donoghue and Candes 2015 (gradient restart).
    """
    t, p, c = start.shape
    step = (1.0 / jnp.maximum(_curvature(problem), 1e-12))[:, None]
    threshold = jnp.repeat(prices, c, axis=1) * step

    # Rows of unknowns: a last axis of one output would keep XLA from vectorising.
    def improve(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple, None]:
        v, ahead, q = carry
        slope = _slope(problem, ahead.reshape(t, p, c)).reshape(t, p * c)
        new = soft_threshold(ahead - step * slope, threshold)
        uphill = ((ahead - new) * (new - v)).sum(1, keepdims=True) > 0
        q_new = jnp.where(uphill, 1.0, (1 + jnp.sqrt(1 + 4 * q**2)) / 2)
        momentum = jnp.where(uphill, 0.0, (q - 1) / q_new)
        return (new, new + momentum * (new - v), q_new), None

    rows = start.reshape(t, p * c)
    carry = (rows, rows, jnp.ones_like(step))
    v = jax.lax.scan(improve, carry, None, length=steps)[0][0]
    return v.reshape(t, p, c)


def _violation(problem: _Problem, prices: Array, v: Array) -> Float[Array, "t"]:
    """How far v is from optimal, in the units of the gradient."""
    slope, price = _slope(problem, v), prices[:, :, None]
    active = jnp.abs(slope + price * jnp.sign(v))
    idle = jnp.maximum(jnp.abs(slope) - price, 0.0)
    return jnp.where(v != 0, active, idle).max((1, 2))


def penalty_bound(
    features: Float[Array, "t n m"], targets: Targets, classes: int | None = None
) -> Float[Array, "t"]:
    """lambda_max: the smallest alpha for which all weights of a task are 0.

    `max |F'y| / n` for regression; `max |F'(Y - mean Y)| / n` for classification, whose
    bias fits the frequencies of the classes.
    """
    y = targets[:, :, None]
    if classes is not None:
        y = jax.nn.one_hot(targets, classes, dtype=features.dtype)
        y = y - y.mean(1, keepdims=True)
    moment = _matmul(features.swapaxes(1, 2), y) / features.shape[1]
    return jnp.abs(moment).max((1, 2))


def _objective(
    problem: _Problem, v: Array, alpha: Array, beta: Scalar, usage: Array, m: int
) -> Float[Array, ""]:
    w = v[:, :m]
    size = (w * jax.lax.stop_gradient(jnp.sign(w))).sum((1, 2))
    sharing = beta * w.shape[2] * losses.feature_sharing(usage)
    return (_fit_term(problem, v) + alpha * size).mean() + sharing


class _Usage(NamedTuple):
    """How usage is measured: of m features, mixed with the past, over devices."""

    m: int
    past: Array | None
    decay: Scalar
    axis_name: str | None

    def __call__(self, v: Array) -> Float[Array, "m"]:
        now = losses.feature_usage(v[:, : self.m], USAGE_FLOOR, self.axis_name)
        if self.past is None:
            return now
        return self.decay * self.past + (1 - self.decay) * now


def _prices(
    alpha: Array, beta: Scalar, usage: Array, p: int
) -> tuple[Float[Array, "t p"], Int[Array, ""]]:
    """`max(0, alpha + beta dH/da_m)`, 0 for the bias; and how often the max was 0."""
    wanted = alpha[:, None] + beta * losses.sharing_price(usage)[None]
    clipped = (wanted < 0).any(0).sum()
    bias = ((0, 0), (0, p - usage.shape[0]))
    return jnp.pad(jnp.maximum(wanted, 0.0), bias), clipped


def _reweight(
    problem: _Problem,
    alpha: Array,
    beta: Scalar,
    usage: _Usage,
    start: Array,
    rounds: int,
    iters: int,
) -> tuple[Array, Array, Array, Array]:
    """Rounds of FISTA between which the prices of the features move."""
    p = start.shape[1]

    def once(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple, tuple]:
        v, prices = carry[:2]
        v = _fista(problem, prices, v, iters)
        a = usage(v)
        following, clipped = _prices(alpha, beta, a, p)
        reached = _objective(problem, v, alpha, beta, a, usage.m)
        return (v, following, prices), (reached, clipped)

    flat, _ = _prices(alpha, 0.0, jnp.ones(usage.m), p)
    (v, _, prices), (reached, clipped) = jax.lax.scan(
        once, (start, flat, flat), None, length=rounds
    )
    return v, prices, reached, clipped.sum()


def _adam(
    problem: _Problem, alpha: Array, beta: Scalar, usage: _Usage, start: Array
) -> tuple[Array, Array, Array, Array]:
    """Plain descent on J by Adam: no exact zeros."""

    def objective(v: Array) -> Array:
        return _objective(problem, v, alpha, beta, usage(v), usage.m)

    tx = optax.adam(ADAM_RATE)

    def improve(carry: tuple, _: None) -> tuple[tuple, None]:
        v, state = carry
        updates, state = tx.update(jax.grad(objective)(v), state)
        return (optax.apply_updates(v, updates), state), None

    carry = (start, tx.init(start))
    v = jax.lax.scan(improve, carry, None, length=ADAM_STEPS)[0][0]
    prices, clipped = _prices(alpha, beta, usage(v), start.shape[1])
    return v, prices, objective(v)[None], clipped


def _hessian(problem: _Problem, v: Array) -> Float[Array, "t u u"]:
    """Second derivatives of l_t in all unknowns, rows of v one after the other."""
    t, p, c = v.shape
    if problem.gram is not None:
        eye = jnp.eye(c, dtype=v.dtype)
        dense = problem.gram[:, :, None, :, None] * eye[None, None, :, None]
        return dense.reshape(t, p * c, p * c)
    probability = jax.nn.softmax(_logits(problem, v))
    # diag(q) - q q' of every sample.
    inner = probability[..., None] * jnp.eye(c, dtype=v.dtype)[None, None]
    inner = inner - probability[..., None] * probability[:, :, None]
    f = problem.design
    spread = jnp.einsum("tni,tnj,tncd->ticjd", f, f, inner, precision="highest")
    dense = spread.reshape(t, p * c, p * c) / f.shape[1]
    return dense + jnp.diag(jnp.repeat(problem.ridge, c))[None]


@jax.custom_vjp
def _attach(solution: Array, hessian: Array, residual: Array) -> Array:
    """`solution`, with the derivative `-hessian^-1 d residual`."""
    return solution


def _attach_forward(
    solution: Array, hessian: Array, residual: Array
) -> tuple[Array, Array]:
    return solution, hessian


def _attach_backward(hessian: Array, u: Array) -> tuple[None, None, Array]:
    t, size, _ = hessian.shape
    if size <= DENSE_UNKNOWNS:
        solved = jax.vmap(linalg.solve)(hessian, u.reshape(t, size, 1))
    else:
        # All tasks are one system. Steps after convergence would let rounding grow.
        def product(x: Array) -> Array:
            return _matmul(hessian, x)

        solved = cg(product, u.reshape(t, size, 1), tol=1e-6, maxiter=CG_STEPS)[0]
    return None, None, -solved.reshape(u.shape)


_attach.defvjp(_attach_forward, _attach_backward)


def _shifts(
    allowed: Bool[Array, "t c"], support: Float[Array, "t p c"], hessian: Array
) -> Float[Array, "t u u"]:
    """What to add to second derivatives so that they see a shift of all logits.

    Losses do not, wherever a row of weights has no zero. Directions that no gradient
    has may be as stiff as the others; left out, rounding would fill them.
    """
    t, p, c = support.shape
    classes = allowed.astype(support.dtype)
    whole = (support == classes[:, None]).all(2).astype(support.dtype)
    eye = jnp.eye(p, dtype=support.dtype)
    shift = jnp.einsum("tp,pq,tc,td->tpcqd", whole, eye, classes, classes)
    size = jnp.trace(hessian, axis1=1, axis2=2) / (p * c)
    return shift.reshape(t, p * c, p * c) * size[:, None, None]


def _newton(problem: _Problem, prices: Array, v: Array) -> Float[Array, "t p c"]:
    """v with the derivative of the lasso's solution, prices held fixed.

    Where v is not 0, `grad l + price sign(v) = 0` defines it implicitly; where it is 0
    it stays 0. One Newton step `-(S H S + 1 - S)^-1 S (grad l + price sign v)`, S the
    support, has that derivative; its value is left out.
    """
    t, p, c = v.shape
    frozen = jax.lax.stop_gradient(problem)
    support = (v != 0).astype(v.dtype)
    hessian = _hessian(frozen, v)
    if problem.allowed is not None:
        support = support.at[:, -1].set(problem.allowed.astype(v.dtype))
        hessian = hessian + _shifts(problem.allowed, support, hessian)
    flat = support.reshape(t, p * c)
    hessian = hessian * flat[:, :, None] * flat[:, None]
    # Features may depend on each other: without this the system would be singular.
    damping = 1e-6 * jnp.trace(hessian, axis1=1, axis2=2) / (p * c)
    diagonal = 1 - flat + damping[:, None]
    hessian = hessian + diagonal[:, :, None] * jnp.eye(p * c, dtype=v.dtype)[None]
    residual = (_slope(problem, v) + prices[:, :, None] * jnp.sign(v)) * support
    return _attach(v, hessian, residual)


def fit_heads(
    features: Float[Array, "t n m"],
    targets: Targets,
    *,
    alpha: Scalar,
    beta: Scalar = 0.0,
    classes: int | None = None,
    class_mask: Bool[Array, "t c"] | None = None,
    ridge: Scalar | None = None,
    relative: bool = False,
    solver: Solver = "reweighted_fista",
    gradient: Gradient = "stop_gradient",
    rounds: int = 4,
    iters: int = 30,
    init: HeadFit | None = None,
    key: PRNGKey | None = None,
    past_usage: Float[Array, "m"] | None = None,
    decay: Scalar = 0.0,
    axis_name: str | None = None,
) -> HeadFit:
    """Sparse heads of many tasks that share features.

    Minimises J of the module's description. Round r solves, for every task,

        min_v l_t(v) + sum_m price_m |v_m|_1,   price_m = max(0, alpha + beta dH/da_m)

    by `iters` steps of FISTA from where the last round ended, then moves the prices,
    which start at alpha. This is successive linearisation: a fixed point with positive
    prices satisfies the first-order conditions of J, and descent is not guaranteed,
    though it was seen in every round of every run; `objectives` tells.

    Args:
      features: standardised, as by `standardise`.
      targets: floats, or integers in 0 .. classes - 1.
      alpha: weight of `|w_t|_1`, traced. 4 x 30 steps are a setting for training; for
        figures take 12 x 60, or 1 x 500 where beta = 0.
      beta: weight of the sharing term, traced. alpha = 0 with beta > 0 is allowed.
      classes: C; None for regression.
      class_mask: which of the classes a task has; default all.
      ridge: of the fit; 1e-3 for regression and 0 for classification if left out.
      relative: alpha counts in units of `penalty_bound`, task by task, so that one
        value serves data of any scale.
      solver: "reweighted_fista", or "adam": 100 steps on J from small random weights,
        at the same cost and without exact zeros.
      gradient: how a later loss of the heads is differentiated in the features.
        "stop_gradient" takes the heads for constants, which is exact for the
        regularised optimum itself; "implicit" differentiates the solution given its
        prices, exact where beta = 0; "unroll" differentiates the solver.
      rounds, iters: static.
      init: heads to start from.
      key: draws the start of "adam".
      past_usage, decay: usage is `decay * past + (1 - decay) * now`, for few tasks.
      axis_name: a mapped axis over which the tasks are spread; usage is of all of them.

    Raises:
      ValueError: shapes or types that do not fit, no such solver or gradient, "adam"
        without key; and as far as values are known, that is, outside of jit: NaN, a
        task with one class only, labels out of range, negative penalties.

    Source: Fumero et al. 2023 (arXiv 2304.07939) for the principles; see the module.
    """
    features, targets = jnp.asarray(features), jnp.asarray(targets)
    penalties = {"alpha": alpha, "beta": beta, "ridge": ridge}
    _check(features, targets, classes, class_mask, **penalties)
    if rounds < 1 or iters < 1:
        raise ValueError(f"rounds and iters must be at least 1, got {rounds}, {iters}")
    for name, value, known in (
        ("solver", solver, get_args(Solver)),
        ("gradient", gradient, get_args(Gradient)),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    if solver == "adam" and key is None:
        raise ValueError("key must be given for solver='adam', which draws its start")
    if ridge is None:
        ridge = 1e-3 if classes is None else 0.0
    if gradient == "stop_gradient":
        features = jax.lax.stop_gradient(features)
    t, _, m = features.shape
    problem = _problem(features, targets, classes, class_mask, ridge)
    solved = problem if gradient == "unroll" else jax.lax.stop_gradient(problem)
    scale = jnp.ones(t)
    if relative:
        scale = jax.lax.stop_gradient(penalty_bound(features, targets, classes))
    each = alpha * scale
    usage = _Usage(m, past_usage, decay, axis_name)
    p, c = problem.design.shape[2], problem.targets.shape[2]
    start = jnp.zeros((t, p, c), features.dtype)
    if init is not None:
        start = jnp.concatenate([init.w, init.b[:, None]], 1)[:, :p]
    if solver == "adam" and key is not None:
        start = start + ADAM_SCALE * jax.random.normal(key, start.shape)
        v, prices, reached, clipped = _adam(solved, each, beta, usage, start)
    else:
        v, prices, reached, clipped = _reweight(
            solved, each, beta, usage, start, rounds, iters
        )
    if axis_name is not None:
        reached = jax.lax.pmean(reached, axis_name)
    kkt = _violation(solved, prices, v)
    if gradient == "implicit":
        v, prices = jax.lax.stop_gradient((v, prices))
        v = _newton(problem, prices, v)
    b = v[:, m] if classes is not None else jnp.zeros((t, c), v.dtype)
    w = v[:, :m]
    return HeadFit(w, b, usage(w), prices[:, :m], kkt, reached, clipped)


def adapt(
    features: Float[Array, "k m"],
    targets: Float[Array, "k"] | Int[Array, "k"],
    *,
    alpha: Scalar,
    classes: int | None = None,
    ridge: Scalar | None = None,
    relative: bool = False,
    iters: int = 500,
) -> HeadFit:
    """The head of one new task from k samples: `fit_heads` without sharing.

    Returns:
      A `HeadFit` of one task, with its leading axis.

    Raises:
      ValueError: as `fit_heads`.
    """
    if jnp.ndim(features) != 2:
        raise ValueError(f"features must be [k, m], got shape {jnp.shape(features)}")
    return fit_heads(
        jnp.asarray(features)[None],
        jnp.asarray(targets)[None],
        alpha=alpha,
        classes=classes,
        ridge=ridge,
        relative=relative,
        rounds=1,
        iters=iters,
    )


def ridge_heads(
    features: Float[Array, "t n m"],
    targets: Targets,
    penalty: Scalar,
    classes: int | None = None,
    class_mask: Bool[Array, "t c"] | None = None,
) -> tuple[Float[Array, "t m c"], Float[Array, "t c"]]:
    """Ridge heads in closed form, `w = (F'F / n + penalty)^-1 F'(y - b) / n`.

    Features are centred in every task and b is the mean that this takes out. Classes
    are regressed on as one-hot rows, and the largest output wins.

    Returns:
      Weights and biases.

    Raises:
      ValueError: as `fit_heads`.
    """
    features, targets = jnp.asarray(features), jnp.asarray(targets)
    _check(features, targets, classes, class_mask, penalty=penalty)
    y = targets[:, :, None]
    if classes is not None:
        y = jax.nn.one_hot(targets, classes, dtype=features.dtype)
    middle, level = features.mean(1, keepdims=True), y.mean(1, keepdims=True)
    centred = features - middle
    n = features.shape[1]
    gram = _matmul(centred.swapaxes(1, 2), centred) / n
    gram = gram + penalty * jnp.eye(gram.shape[1], dtype=gram.dtype)[None]
    moment = _matmul(centred.swapaxes(1, 2), y - level) / n
    w = jax.vmap(linalg.solve)(gram, moment)
    b = (level - _matmul(middle, w))[:, 0]
    if class_mask is not None:
        b = jnp.where(class_mask, b, MASKED)
    return w, b


def predict(
    w: Float[Array, "t m c"], b: Float[Array, "t c"], features: Float[Array, "t n m"]
) -> Float[Array, "t n c"]:
    """Outputs of the heads: numbers, or logits."""
    return _matmul(features, w) + b[:, None]


def head_loss(
    w: Float[Array, "t m c"],
    b: Float[Array, "t c"],
    features: Float[Array, "t n m"],
    targets: Targets,
    classes: int | None = None,
    class_mask: Bool[Array, "t c"] | None = None,
) -> Float[Array, "t"]:
    """l_t of given heads without any penalty: half the mean squared error, or nats."""
    problem = _problem(features, targets, classes, class_mask, 0.0)
    v = w if classes is None else jnp.concatenate([w, b[:, None]], 1)
    return _fit_term(problem, v)


def scores(
    w: Float[Array, "t m c"],
    b: Float[Array, "t c"],
    features: Float[Array, "t n m"],
    targets: Targets,
    classes: int | None = None,
    class_mask: Bool[Array, "t c"] | None = None,
) -> Float[Array, "t"]:
    """Accuracy of every task, or R^2 = 1 - mean error^2 / variance of its targets."""
    outputs = predict(w, b, features)
    if classes is None:
        error = ((outputs[..., 0] - targets) ** 2).mean(1)
        return 1 - error / jnp.maximum(targets.var(1), 1e-12)
    if class_mask is not None:
        outputs = jnp.where(class_mask[:, None], outputs, MASKED)
    return (outputs.argmax(-1) == targets).mean(1)
