"""What does a fit of heads and its gradient cost?

A lasso of every task (one round of 100 steps, no sharing), its value and the gradient
of a loss on other samples in the features, beside a loop of scikit-learn's coordinate
descent over the tasks, as it comes. Both solve the same problem, and how far both are
from its optimality conditions is measured in float64. The two take turns; times are the
least of all rounds, `loop_of_fit` and `implicit_of_fit` medians of the rounds' ratios.
`gradient_error` is relative to the closed form on the support, in float64.

    python -m benchmarks.heads            # two CPU cores: two minutes
"""

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import Lasso

from benchmarks.timing import finish
from jaxdis import devices, heads

SIZES = ((16, 10, 40), (64, 64, 50), (256, 512, 200))  # tasks, features, samples
STEPS = 100
ALPHA = 0.05
SECONDS = 20.0  # for each size, after compilation


def draw(
    tasks: int, features: int, samples: int
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Samples to fit and others; every task uses three features.

    Args:
      tasks: the number of tasks.
      features: the number of features.
      samples: the number of samples of a task, on either side.
    """
    rng = np.random.default_rng(0)
    f = rng.normal(size=(tasks, 2 * samples, features))
    used = rng.random((tasks, features)).argsort(1) < 3
    w = rng.normal(size=(tasks, features)) * used
    y = np.einsum("tnm,tm->tn", f, w) + 0.1 * rng.normal(size=f.shape[:2])
    x, z = jnp.asarray(f, jnp.float32), jnp.asarray(y, jnp.float32)
    return (x[:, :samples], z[:, :samples]), (x[:, samples:], z[:, samples:])


def fit(
    f: jax.Array, y: jax.Array, gradient: heads.Gradient = heads.STOP_GRADIENT
) -> heads.HeadFit:
    """The heads.

    Args:
      f: features.
      y: targets.
      gradient: how the fit is differentiated.
    """
    return heads.fit_heads(
        f, y, alpha=ALPHA, ridge=0.0, gradient=gradient, rounds=1, iters=STEPS
    )


def loss(f: jax.Array, y: jax.Array, other: jax.Array, query: jax.Array) -> jax.Array:
    """The loss of fitted heads on other samples.

    Args:
      f, y: the samples that fit them.
      other, query: the others.
    """
    found = fit(f, y, heads.IMPLICIT)
    return heads.head_loss(found.w, found.b, other, query).mean()


def loop(f: np.ndarray, y: np.ndarray) -> np.ndarray:
    """scikit-learn's lasso of one task after the other.

    Args:
      f: features.
      y: targets.
    """
    lasso = Lasso(ALPHA, fit_intercept=False)
    return np.stack([lasso.fit(*task).coef_ for task in zip(f, y, strict=True)])


def violation(f: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """The largest violation of the optimality conditions, in float64.

    Args:
      f: features.
      y: targets.
      w: weights, [t, m].
    """
    wrong = np.einsum("tnm,tm->tn", f, w) - y
    slope = np.einsum("tnm,tn->tm", f, wrong) / f.shape[1]
    idle = np.maximum(np.abs(slope) - ALPHA, 0)
    return float(np.where(w != 0, np.abs(slope + ALPHA * np.sign(w)), idle).max())


def closed_form(
    f: np.ndarray, y: np.ndarray, other: np.ndarray, query: np.ndarray, w: np.ndarray
) -> np.ndarray:
    """The gradient of `loss` in f where the support is that of given weights.

    Args:
      f, y: the samples that fit, in float64.
      other, query: the others.
      w: weights, [t, m].
    """
    tasks, n = y.shape
    found = np.zeros_like(f)
    for t in range(tasks):
        used = w[t] != 0
        a, b = f[t][:, used], other[t][:, used]
        hessian = a.T @ a / n
        exact = np.linalg.solve(hessian, a.T @ y[t] / n - ALPHA * np.sign(w[t, used]))
        outer = b.T @ (b @ exact - query[t]) / len(b) / tasks
        back = -np.linalg.solve(hessian, outer)
        wrong = a @ exact - y[t]
        found[t][:, used] = (np.outer(wrong, back) + np.outer(a @ back, exact)) / n
    return found


def seconds(f: Callable[[], Any]) -> float:
    """The least wall time of three calls: the first finds sleeping threads."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        jax.block_until_ready(f())
        times.append(time.perf_counter() - began)
    return min(times)


def row(tasks: int, features: int, samples: int) -> dict[str, Any]:
    """One size: milliseconds, ratios, distances from the optimum, the gradient's error.

    Args:
      tasks: the number of tasks.
      features: the number of features.
      samples: the number of samples that fit the head of a task.
    """
    support, others = draw(tasks, features, samples)
    value, both = jax.jit(fit), jax.jit(jax.value_and_grad(loss))
    known = [np.asarray(a) for a in support]
    ours = np.asarray(value(*support).w[:, :, 0])
    slope = np.asarray(both(*support, *others)[1])
    wide = [np.asarray(a, float) for a in (*support, *others)]
    exact = closed_form(*wide, ours)
    began, rounds = time.perf_counter(), []
    while not rounds or time.perf_counter() - began < SECONDS:
        rounds.append(
            (
                seconds(lambda: value(*support)),
                seconds(lambda: both(*support, *others)),
                seconds(lambda: loop(*known)),
            )
        )
    times = np.array(rounds)
    fit_ms, implicit_ms, loop_ms = (1e3 * times.min(0)).tolist()
    return {
        "tasks": tasks,
        "features": features,
        "samples": samples,
        "fit_ms": fit_ms,
        "implicit_ms": implicit_ms,
        "loop_ms": loop_ms,
        "loop_of_fit": float(np.median(times[:, 2] / times[:, 0])),
        "implicit_of_fit": float(np.median(times[:, 1] / times[:, 0])),
        "kkt": violation(*wide[:2], ours),
        "loop_kkt": violation(*wide[:2], loop(*known)),
        "gradient_error": float(np.linalg.norm(slope - exact) / np.linalg.norm(exact)),
        "rounds": len(rounds),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    devices.use_all_cores()  # as a run does
    finish("heads", [row(*size) for size in SIZES])
