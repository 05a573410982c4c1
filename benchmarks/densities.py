"""Do distrax's densities and bijectors give what ours give, and how fast?

Value and gradient of the mean log density or divergence of a batch, in one compiled
program, ours and distrax's on the same numbers. Errors are the largest of an element,
relative to the largest element. `time_of_ours` is distrax's time over ours, the median
over alternating rounds. Printed first is what `import distrax` costs where jax and flax
are loaded, which a run with one of its densities would pay.

    python -m benchmarks.densities           # two CPU cores: two minutes
"""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import finish
from jaxdis import gaussian, priors

with warnings.catch_warnings():  # of tensorflow_probability about jax, on import
    warnings.simplefilter("ignore")
    import distrax

SIZES = ((64, 4), (512, 10), (4096, 32))  # rows of a batch, latents
DOMAINS, BINS = 9, 8
ROUNDS, CALLS = 15, 20

IMPORTS = """
import time, warnings, jax, flax.linen, optax
warnings.simplefilter("ignore")
began = time.perf_counter()
import distrax
print(time.perf_counter() - began)
"""


class Case(NamedTuple):
    """One density, by us and by distrax.

    Attributes:
      ours: `arguments -> values`.
      theirs: the same of distrax.
      arguments: arrays, by all of which the gradient is taken.
    """

    ours: Callable[..., jax.Array]
    theirs: Callable[..., jax.Array]
    arguments: tuple[jax.Array, ...]


def log_densities(rows: int, n: int) -> Case:
    """log N(x; mean, var)."""
    x, mean, free = jax.random.normal(jax.random.key(0), (3, rows, n))

    def theirs(x: jax.Array, mean: jax.Array, var: jax.Array) -> jax.Array:
        return distrax.Normal(mean, jnp.sqrt(var)).log_prob(x)

    return Case(gaussian.log_prob, theirs, (x, mean, jnp.exp(free)))


def divergences(rows: int, n: int) -> Case:
    """KL(N(mean_q, var_q) || N(mean_p, var_p))."""
    mean_q, free_q, mean_p, free_p = jax.random.normal(jax.random.key(0), (4, rows, n))

    def theirs(*arguments: jax.Array) -> jax.Array:
        mean_q, var_q, mean_p, var_p = arguments
        q = distrax.Normal(mean_q, jnp.sqrt(var_q))
        return q.kl_divergence(distrax.Normal(mean_p, jnp.sqrt(var_p)))

    return Case(gaussian.kl, theirs, (mean_q, jnp.exp(free_q), mean_p, jnp.exp(free_p)))


def _table(rows: int, n: int, family: priors.Family) -> tuple[jax.Array, ...]:
    count = priors.parameter_count(family, BINS)
    first, second = jax.random.split(jax.random.key(0))
    theta = 0.5 * jax.random.normal(first, (DOMAINS, n, count))
    return theta, 2 * jax.random.normal(second, (rows, n))


def affine_priors(rows: int, n: int) -> Case:
    """log p(z | u) of a Gaussian per latent and domain."""
    theta, z = _table(rows, n, "affine")
    u = jnp.arange(rows) % DOMAINS

    def ours(theta: jax.Array, z: jax.Array) -> jax.Array:
        return priors.domain_log_prob(theta, z, u, family="affine")

    def theirs(theta: jax.Array, z: jax.Array) -> jax.Array:
        normal = distrax.Normal(theta[u, :, 0], jnp.exp(theta[u, :, 1]))
        return normal.log_prob(z).sum(-1)

    return Case(ours, theirs, (theta, z))


def spline_priors(rows: int, n: int) -> Case:
    """log p(z | u) of a rational-quadratic spline per latent and domain."""
    theta, z = _table(rows, n, "rqs")
    u = jnp.arange(rows) % DOMAINS

    def ours(theta: jax.Array, z: jax.Array) -> jax.Array:
        return priors.domain_log_prob(theta, z, u, family="rqs")

    def theirs(theta: jax.Array, z: jax.Array) -> jax.Array:
        own = theta[u]
        affine = distrax.ScalarAffine(
            -own[..., 0] * jnp.exp(-own[..., 1]), log_scale=-own[..., 1]
        )
        spline = distrax.RationalQuadraticSpline(
            own[..., 2:], -priors.BOUND, priors.BOUND, boundary_slopes="identity"
        )
        noise, log_slope = distrax.Chain([spline, affine]).forward_and_log_det(z)
        return (distrax.Normal(0.0, 1.0).log_prob(noise) + log_slope).sum(-1)

    return Case(ours, theirs, (theta, z))


CASES = {
    "gaussian.log_prob": log_densities,
    "gaussian.kl": divergences,
    "priors affine": affine_priors,
    "priors rqs": spline_priors,
}


def _off(a: Any, b: Any) -> float:
    def one(a: jax.Array, b: jax.Array) -> float:
        return float(np.abs(a - b).max() / np.abs(b).max())

    return max(jax.tree.leaves(jax.tree.map(one, a, b)))


def _seconds(f: Callable[[], Any]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        last = f()
    jax.block_until_ready(last)
    return (time.perf_counter() - began) / CALLS


def row(name: str, rows: int, n: int) -> dict[str, Any]:
    """Errors and times of one density and size."""
    case = CASES[name](rows, n)

    def step(f: Callable[..., jax.Array]) -> Callable[..., Any]:
        every = tuple(range(len(case.arguments)))
        return jax.jit(jax.value_and_grad(lambda *a: f(*a).mean(), every))

    values = [jax.jit(f)(*case.arguments) for f in (case.ours, case.theirs)]
    steps = [step(f) for f in (case.ours, case.theirs)]
    slopes = [f(*case.arguments)[1] for f in steps]

    def seconds(step: Callable[..., Any]) -> float:
        return _seconds(lambda: step(*case.arguments))

    times = np.array([[seconds(step) for step in steps] for _ in range(ROUNDS)])
    return {
        "density": name,
        "rows": rows,
        "latents": n,
        "value_error": _off(*values),
        "gradient_error": _off(*slopes),
        "ours_us": 1e6 * float(np.median(times[:, 0])),
        "distrax_us": 1e6 * float(np.median(times[:, 1])),
        "time_of_ours": float(np.median(times[:, 1] / times[:, 0])),
    }


def import_seconds() -> float:
    """Median time of `import distrax` in a fresh process that has jax already."""
    command = [sys.executable, "-c", IMPORTS]
    runs = [subprocess.run(command, capture_output=True, text=True) for _ in range(3)]
    return sorted(float(run.stdout) for run in runs)[1]


if __name__ == "__main__":
    print(f"import distrax: {import_seconds():.1f} s")
    finish("densities", [row(name, *size) for name in CASES for size in SIZES])
