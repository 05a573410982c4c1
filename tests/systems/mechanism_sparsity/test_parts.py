"""Networks, optimiser and loss of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxdis.systems.mechanism_sparsity import default_hyper, make
from jaxdis.systems.mechanism_sparsity.model import objective
from jaxdis.types import Rows, Spec
from tests.systems.mechanism_sparsity.tiny import SMALL

SPEC = Spec(shape=(6,), a_dim=3)
HYPER = default_hyper(SMALL, SPEC, 100)


class Linear(nn.Module):
    """One dense layer."""

    out: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.out, name="mine")(x)


def pair(out):
    """The same as two functions."""

    def init(key, x):
        return {"w": 0.1 * jax.random.normal(key, (*x.shape, out)), "b": jnp.zeros(out)}

    return init, lambda params, x: x @ params["w"] + params["b"][None]


def dearer(*arguments):
    """The loss, and a price of every bias of the decoder that is not 1."""
    loss, (extra, metrics) = objective(*arguments)
    price = jnp.sum((arguments[0].decoder["b"] - 1.0) ** 2)
    return loss + 1e4 * price, (extra, metrics | {"price": price})


def test_parts_of_ones_own_are_used():
    system = make(
        SMALL,
        SPEC,
        encoder=Linear(8),
        decoder=pair(6),
        # Of all parameters together: it cannot be taken array by array.
        optimiser=optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1e-2)),
        loss=dearer,
    )
    rows = Rows(
        x=jax.random.normal(jax.random.key(1), (64, 6)) + 2.0,
        a=jax.random.normal(jax.random.key(2), (64, 3)),
    )

    @jax.jit
    def run(rows):
        start = system.init(jax.random.key(0), HYPER)
        keys = jax.random.split(jax.random.key(3), 200)
        return start, *jax.lax.scan(
            lambda state, key: system.step(state, rows, HYPER, key), start, keys
        )

    start, end, logged = jax.device_get(run(rows))
    assert set(start.params.encoder["params"]) == {"mine"}
    assert set(start.params.decoder) == {"w", "b"}
    assert not jax.tree.leaves(end.opt_state)  # no moments, as Adam has them
    assert logged["loss"][-20:].mean() < logged["loss"][:20].mean() - 0.1
    paid = logged["loss"] - 1e4 * logged["price"]
    np.testing.assert_allclose(paid, logged["nll"], rtol=1e-3, atol=0.05)
    assert logged["price"][0] == 6.0
    assert logged["price"][-1] < 3.0


def test_either_kind_of_network_is_either_part():
    system = make(
        SMALL,
        SPEC,
        encoder=pair(8),
        decoder=Linear(6),
        optimiser=lambda hyper: optax.sgd(hyper.learning_rate),
    )

    def run(key, x):
        params = system.init(key, HYPER).params
        return params, system.decode(params, system.encode(params, x))

    x = jax.ShapeDtypeStruct((2, 5, 6), jnp.float32)
    params, y = jax.eval_shape(run, jax.random.key(0), x)
    assert set(params.encoder) == {"w", "b"}
    assert set(params.decoder["params"]) == {"mine"}
    assert y.shape == (2, 5, 6)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"encoder": Linear(4)},
            r"encoder must turn inputs \('b', 6\) into outputs \('b', 8\), mean and "
            r"raw variance .*; it gives \('b', 4\)",
        ),
        ({"decoder": pair(5)}, r"decoder must turn .* \('b', 6\), the mean of x"),
        ({"encoder": 3}, "encoder must be a flax module or a pair of functions"),
        ({"optimiser": 3}, "optimiser must be an optax transformation, or a function"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, said):
    with pytest.raises(ValueError, match=said):
        make(SMALL, SPEC, **parts)
