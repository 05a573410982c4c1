"""A few hundred steps of a system on rows that are given."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxdis.types import Rows


@partial(jax.jit, static_argnums=(0, 3, 4))
def _steps(system, rows, hyper, steps, batch):
    def step(state, key):
        pick, key = jax.random.split(key)
        chosen = jax.random.randint(pick, (batch,), 0, len(rows.x))
        few = jax.tree.map(lambda a: a[chosen], rows)
        return system.step(state, few, hyper, key)[0], None

    state = system.init(jax.random.key(0), hyper)
    return jax.lax.scan(step, state, jax.random.split(jax.random.key(1), steps))[0]


def fit(method, config, spec, rows: Rows, steps=400, batch=256, rate=3e-2):
    """The system, and its state after some steps."""
    system = method.make(config, spec)
    hyper = method.default_hyper(config, spec, steps)._replace(learning_rate=rate)
    hyper = jax.tree.map(jnp.float32, hyper)
    rows = jax.tree.map(jnp.asarray, rows)
    return system, _steps(system, rows, hyper, steps, batch)
