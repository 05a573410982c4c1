"""What does a fit of heads and its gradient cost?

A lasso of every task (one round of 100 steps, no sharing), its value and the gradient
of a loss on other samples in the features. The least it could cost is a Gram product of
each task with its gradient, plus one matrix-vector product a step: `time_of_products`
is the time of value and gradient relative to both. `gradient_error` is relative to
2000 unrolled steps, whose time is a column too.

    python -m benchmarks.heads            # two CPU cores: a minute
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import finish, median_seconds
from jaxdis import devices, heads

SIZES = ((16, 10, 40), (64, 64, 50))  # tasks, features, samples
STEPS = 100
LONG = 2000
REPEATS = 20


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


def loss(
    gradient: heads.Gradient, steps: int, targets: jax.Array, query: Any
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The loss of fitted heads on other samples, of both sets of features.

    Args:
      gradient: how the fit is differentiated.
      steps: the steps of the solver.
      targets: the targets of the samples that fit.
      query: the targets of the others.
    """

    def of(f: jax.Array, other: jax.Array) -> jax.Array:
        fit = heads.fit_heads(
            f, targets, alpha=0.05, gradient=gradient, rounds=1, iters=steps
        )
        return heads.head_loss(fit.w, fit.b, other, query).mean()

    return of


def row(tasks: int, features: int, samples: int) -> dict[str, Any]:
    """One size: milliseconds, the ratio to plain products, the gradient's error.

    Args:
      tasks: the number of tasks.
      features: the number of features.
      samples: the number of samples that fit the head of a task.
    """
    (f, y), (other, query) = draw(tasks, features, samples)
    value = jax.jit(loss(heads.STOP_GRADIENT, STEPS, y, query))

    def both(gradient: heads.Gradient, steps: int = STEPS) -> Callable[[], Any]:
        made = jax.value_and_grad(loss(gradient, steps, y, query), (0, 1))
        made = jax.jit(made)
        return lambda: made(f, other)

    def gram(f: jax.Array) -> jax.Array:
        return jnp.matmul(f.swapaxes(1, 2), f, precision="highest") / samples

    pull = jax.jit(lambda f, g: (gram(f), jax.vjp(gram, f)[1](g)))

    def products(g: jax.Array, v: jax.Array) -> jax.Array:
        def product(v: jax.Array, _: None) -> tuple[jax.Array, None]:
            return jnp.matmul(g, v, precision="highest"), None

        return jax.lax.scan(product, v, None, length=STEPS)[0]

    g = gram(f) / 10  # powers of it stay finite
    v = jnp.ones((tasks, features, 1))
    chained = jax.jit(products)
    unrolled = both(heads.UNROLL, LONG)
    ms = {
        "value_ms": median_seconds(lambda: value(f, other), REPEATS),
        "implicit_ms": median_seconds(both(heads.IMPLICIT), REPEATS),
        "stop_gradient_ms": median_seconds(both(heads.STOP_GRADIENT), REPEATS),
        "gram_ms": median_seconds(lambda: pull(f, g), REPEATS),
        "products_ms": median_seconds(lambda: chained(g, v), REPEATS),
        "unroll_ms": median_seconds(unrolled, 1),
    }
    ms = {name: 1e3 * seconds for name, seconds in ms.items()}
    least = ms["gram_ms"] + ms["products_ms"]
    exact, ours = (
        np.asarray(made()[1][0]) for made in (unrolled, both(heads.IMPLICIT))
    )
    return {
        "tasks": tasks,
        "features": features,
        "samples": samples,
        **ms,
        "time_of_products": ms["implicit_ms"] / least,
        "gradient_error": float(np.linalg.norm(ours - exact) / np.linalg.norm(exact)),
    }


if __name__ == "__main__":
    devices.use_all_cores()  # as a run does
    finish("heads", [row(*size) for size in SIZES])
