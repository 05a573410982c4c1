"""What does the penalty on the decoder's Jacobian cost?

Value and gradient of the loss of CG-VAE by how it sees the Jacobian, relative to those
without it: reconstruction and divergence alone. `error` is that of the penalty,
relative to the exact one.

    python -m benchmarks.jacobian            # two CPU cores: a minute
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import finish, median_seconds
from jaxdis import devices
from jaxdis.data.domains import Spec
from jaxdis.systems import sparse_mixing as sm

SIZES = ((4, 4, 32), (4, 8, 32), (8, 20, 128), (16, 64, 256))  # latents, seen, hidden
MODES = {
    "full": {},
    "1 column": {"jac": "columns", "columns": 1},
    "2 columns": {"jac": "columns", "columns": 2},
    "differences": {"jac": "differences"},
}
DOMAINS = 9
REPEATS = 30


def row(n: int, m: int, width: int, mode: str) -> dict[str, Any]:
    """Milliseconds of one size and mode, and the ratio to the loss without it."""
    spec = Spec(m, DOMAINS, n, None, 1)
    exact = sm.Config(hidden=(width,) * 3)
    config = replace(exact, **MODES[mode])
    params = sm.init_params(jax.random.key(0), config, spec)
    x = jax.random.normal(jax.random.key(1), (config.batch, m))
    u = jnp.arange(config.batch) % DOMAINS
    hyper, key = sm.default_hyper(config, spec, 1), jax.random.key(2)

    def whole(config: sm.Config, params: sm.ModelParams, key: jax.Array) -> Any:
        return sm.cgvae_loss(params, config, spec, x, u, hyper, key)

    def plain(params: sm.ModelParams, key: jax.Array) -> jax.Array:
        return sm.evidence(params, config, spec, x, u, hyper, key)[0]

    def timed(f: Callable[..., Any]) -> float:
        made = jax.jit(jax.value_and_grad(f))
        return 1e3 * median_seconds(lambda: made(params, key), REPEATS)

    def penalty(config: sm.Config, key: jax.Array) -> float:
        return float(whole(config, params, key)[1][0].sparsity)

    full_ms = timed(lambda params, key: whole(config, params, key)[0])
    plain_ms = timed(plain)
    error = penalty(config, key) / penalty(exact, key) - 1
    return {
        "latents": n,
        "observed": m,
        "hidden": width,
        "jacobian": mode,
        "loss_ms": full_ms,
        "plain_ms": plain_ms,
        "time_of_plain": full_ms / plain_ms,
        "error": float(np.abs(error)),
    }


if __name__ == "__main__":
    devices.use_all_cores()  # as a run does
    finish("jacobian", [row(*size, mode) for size in SIZES for mode in MODES])
