"""The fused layer's noise: known answers, JAX's own, and the logistic law."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis import masks
from jaxdis.kernels import gumbel_mask
from jaxdis.kernels.gumbel_mask import ref


@pytest.mark.parametrize(
    ("key", "counters", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        (
            (0x13198A2E, 0x03707344),
            (0x243F6A88, 0x85A308D3),
            (0xC4923A9C, 0x483DF7A0),
        ),
    ],
)
def test_threefry_known_answers(key, counters, words):
    """Those that come with Random123, the authors' own code."""
    key, counters = (tuple(map(jnp.uint32, pair)) for pair in (key, counters))
    found = jax.jit(ref.threefry)(key, *counters)
    assert tuple(map(int, found)) == words


def test_noise_is_that_of_masks():
    key, (b, k, n) = jax.random.key(3), (6, 3, 5)
    words = jax.random.key_data(key)

    @partial(jax.jit, static_argnums=(0, 1, 2, 3))
    def noise(shape, *first):
        index = ref.numbers(shape, (k, n), first)
        return ref.logistic((words[0], words[1]), index)

    found = np.stack([noise((b, n), 0, latent, 0) for latent in range(k)], 1)
    np.testing.assert_allclose(found, masks.logistic_noise(key, (b, k, n)), atol=1e-6)
    # A block of rows and inputs is that part of the whole.
    part = noise((2, 3), 3, 1, 2)
    np.testing.assert_array_equal(part, found[3:5, 1, 2:])


@partial(jax.jit, static_argnums=1)
def drawn(key, impl, b=64, k=40, n=16):
    """Noise of the layer: with no input but the weights' identity it is read back."""
    eye = jnp.broadcast_to(jnp.eye(n), (k, n, n))
    m = gumbel_mask.masked_product(
        jnp.ones((b, n)), eye, jnp.zeros((k, n)), key, 2.0, impl=impl
    )
    return 2.0 * jnp.log(m / (1 - m))  # the sigmoid undone


@pytest.mark.parametrize("impl", ["xla", "interpret"])
def test_noise_follows_the_logistic_law(impl):
    noise = np.asarray(drawn(jax.random.key(0), impl))
    assert noise.size == 40_960
    assert stats.kstest(noise.ravel(), "logistic").pvalue > 0.01
    # Independent of each other: neighbours along every axis.
    for axis in range(3):
        one, other = (np.delete(noise, i, axis).ravel() for i in (0, -1))
        assert abs(stats.spearmanr(one, other).statistic) < 4 * one.size**-0.5
    np.testing.assert_array_equal(noise, drawn(jax.random.key(0), impl))
    other = np.asarray(drawn(jax.random.key(1), impl))
    assert abs(stats.spearmanr(noise.ravel(), other.ravel()).statistic) < 0.02
