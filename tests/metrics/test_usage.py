import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import entropy

from jaxdis import metrics

head_density = jax.jit(metrics.head_density)
usage_entropy = jax.jit(metrics.usage_entropy)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_density_by_hand():
    w = np.zeros((2, 3, 2))
    assert float(head_density(w)) == 0
    w[0, 1] = [1, -1e-30]  # an entry counts, however small
    w[1, 2, 0] = -5
    assert float(head_density(w)) == pytest.approx(3 / 12)
    assert float(head_density(np.ones((2, 3, 2), int))) == 1


def test_entropy_by_hand():
    # Usages 3, 1, 0: p = 3/4, 1/4, 0. Signs, tasks and outputs do not matter.
    w = np.zeros((2, 3, 2))
    w[0, 0] = [1, -1]
    w[1, 0, 0] = 1
    w[1, 1, 1] = -1
    hand = 0.75 * np.log(4 / 3) + 0.25 * np.log(4)
    assert float(usage_entropy(w)) == pytest.approx(hand, abs=1e-6)
    assert float(usage_entropy(-7 * w[::-1])) == pytest.approx(hand, abs=1e-6)


def test_entropy_of_equal_single_and_no_usage():
    equal, single = np.ones((4, 5, 1)), np.zeros((4, 5, 1))
    single[:, 2] = 3
    assert float(usage_entropy(equal)) == pytest.approx(np.log(5), abs=1e-6)
    assert float(usage_entropy(single)) == 0
    assert float(usage_entropy(np.zeros((4, 5, 1)))) == 0
    nothing = float(usage_entropy(np.zeros((4, 5, 1)), floor=1e-3))
    assert nothing == pytest.approx(np.log(5), abs=1e-6)


@pytest.mark.parametrize("floor", [0.0, 1e-3, 0.5])
def test_entropy_matches_scipy(rng, floor):
    # Means over tasks and outputs: their numbers decide what a floor weighs.
    w = rng.normal(size=(6, 4, 3)) * rng.integers(0, 2, (6, 4, 3))
    expected = entropy(np.abs(w).mean((0, 2)) + floor)
    assert float(usage_entropy(w, floor)) == pytest.approx(expected, abs=1e-6)


def test_axes_of_runs_jit_and_vmap(rng):
    w = jnp.asarray(rng.normal(size=(2, 3, 6, 4, 5)), jnp.float32)
    w = jnp.where(w > 0.3, w, 0.0)
    for score in (head_density, usage_entropy):
        loop = np.array([[score(heads) for heads in row] for row in w])
        assert len(set(loop.ravel().tolist())) > 3
        np.testing.assert_allclose(score(w), loop, atol=1e-6)
        np.testing.assert_allclose(jax.vmap(score)(w), loop, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("score", [head_density, usage_entropy])
def test_a_failed_run_is_nan_and_its_neighbours_stand(rng, score, value):
    w = rng.normal(size=(3, 6, 4, 5))
    expected = np.asarray(score(w))
    w[1, 2, 3, 4] = value
    found = np.asarray(score(w))
    assert np.isnan(found[1])
    np.testing.assert_array_equal(found[::2], expected[::2])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("score", [head_density, usage_entropy])
def test_wrong_shapes_are_refused(score):
    with pytest.raises(ValueError, match=r"w has shape \(3, 4\); it must be \[t, m, c"):
        score(np.ones((3, 4)))


@pytest.mark.parametrize("score", [metrics.head_density, metrics.usage_entropy])
def test_what_are_no_heads_is_refused(score):
    with pytest.raises(ValueError, match="w holds strings"):
        score(np.full((2, 2, 2), "a"))
    with pytest.raises(ValueError, match=r"w has shape \(0, 2, 2\); it must not"):
        score(np.zeros((0, 2, 2)))


def test_a_floor_is_not_negative():
    with pytest.raises(ValueError, match="floor must be at least 0"):
        metrics.usage_entropy(np.ones((2, 2, 2)), floor=-1.0)
