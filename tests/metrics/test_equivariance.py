import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import metrics

fit_linear_steps = jax.jit(metrics.fit_linear_steps)
linear_steps = jax.jit(metrics.linear_steps)
through = jax.jit(jax.vmap(metrics.linear_steps, (0, None)))
frame_error = jax.jit(metrics.frame_error)

N, T, D = 40, 3, 4


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def affine_sequences(rng, noise=0.0):
    """Latents `[n, t, d]`, moved by another affine map at every step, and the maps."""
    maps = 0.5 * rng.normal(size=(T, D + 1, D)) + np.eye(D + 1, D)
    z = [rng.normal(size=(N, D))]
    for a in maps:
        moved = np.c_[z[-1], np.ones(N)] @ a
        z.append(moved + noise * rng.normal(size=moved.shape))
    return np.float32(np.stack(z, 1)), maps


def by_numpy(z, weights, ridge=1e-3):
    """The normal equations in float64."""
    maps = []
    for t in range(z.shape[1] - 1):
        known = np.c_[z[:, t], np.ones(len(z))].astype(np.float64)
        gram = known.T @ (weights[:, None] * known)
        gram += ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
        maps.append(np.linalg.solve(gram, known.T @ (weights[:, None] * z[:, t + 1])))
    return np.stack(maps)


def test_error_of_a_known_difference():
    x = np.full((2, 3, 3), 0.5, np.float32)
    predicted = x.copy()
    predicted[0, 0, 0] = 0.0  # .5 too dark
    predicted[1, 2, 1] = 0.75  # .25 too bright: signs do not cancel
    assert float(frame_error(predicted, x)) == pytest.approx(0.75)
    assert float(frame_error(x, predicted)) == pytest.approx(0.75)
    assert float(frame_error(x, x)) == 0.0
    # Off by .5 everywhere: the sum, not the mean, over 2 x 3 pixels of 3 channels.
    assert float(frame_error(x - 0.5, x)) == pytest.approx(9.0)


def test_error_is_of_each_frame():
    off = np.float32([[0.0, 0.1, 0.2], [0.3, -0.4, 0.5]])
    x = np.full((2, 3, 4, 4, 1), 0.5, np.float32)
    error = frame_error(x + off[:, :, None, None, None], x)
    np.testing.assert_allclose(error, 16 * np.abs(off), rtol=1e-5)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2"])
def test_error_of_numbers_of_any_width(kind):
    predicted, x = np.full((3, 2, 2), 10, kind), np.full((3, 2, 2), 20, kind)
    assert metrics.frame_error(predicted, x) == 120.0
    assert metrics.frame_error(x, predicted) == 120.0
    assert frame_error(predicted, x) == 120.0
    assert metrics.frame_error(x.tolist(), jnp.asarray(predicted)) == 120.0


def test_error_of_the_largest_numbers():
    x = np.array([[[2**52, 0]]])
    assert metrics.frame_error(x, x + np.array([1, -1])) == 2.0
    lowest = np.full((1, 1, 1), -128, np.int8)
    assert metrics.frame_error(lowest, np.full((1, 1, 1), 127, np.int8)) == 255.0


@pytest.mark.parametrize(
    ("predicted", "x", "message"),
    [
        (np.zeros((2, 2, 1)), np.zeros((2, 2, 3)), "the same frames"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "the same frames"),
        (np.zeros((0, 2, 2)), np.zeros((0, 2, 2)), "predicted .* must not be empty"),
        (np.zeros((2, 2, 1)), np.full((2, 2, 1), "a"), "x holds strings"),
        (np.zeros((2, 2, 1)) * 1j, np.zeros((2, 2, 1)), "predicted is complex"),
    ],
)
def test_what_are_no_frames_is_refused(predicted, x, message):
    with pytest.raises(ValueError, match=message):
        metrics.frame_error(predicted, x)


def test_fit_finds_the_affine_map_of_each_step(rng):
    z, maps = affine_sequences(rng)
    fitted = fit_linear_steps(z, np.ones(N, np.float32), 1e-7)
    assert fitted.shape == (T, D + 1, D)
    np.testing.assert_allclose(fitted, maps, atol=2e-4)


def test_fitted_steps_go_through_the_sequence(rng):
    z, _ = affine_sequences(rng)
    fitted = fit_linear_steps(z, np.ones(N, np.float32), 1e-7)
    moved = through(z[:, 0], fitted)
    np.testing.assert_allclose(moved, z[:, 1:], atol=1e-3 * np.abs(z).max())


@pytest.mark.parametrize("weights", ["ones", "uneven"])
def test_fit_is_least_squares_without_ridge(rng, weights):
    z, _ = affine_sequences(rng, noise=0.3)
    w = np.ones(N) if weights == "ones" else rng.uniform(0.1, 3.0, N)
    root = np.sqrt(w)[:, None]
    expected = [
        np.linalg.lstsq(
            root * np.c_[z[:, t], np.ones(N)], root * z[:, t + 1], rcond=None
        )[0]
        for t in range(T)
    ]
    fitted = fit_linear_steps(z, np.float32(w), 0.0)
    np.testing.assert_allclose(fitted, expected, atol=2e-4)
    # Which is not what weights that are left out would give, or steps in common.
    assert np.abs(fitted[0] - expected[1]).max() > 0.1
    plain = fit_linear_steps(z, np.ones(N, np.float32), 0.0)
    assert (np.abs(plain - np.array(expected)).max() > 0.01) == (weights == "uneven")


def test_sequences_of_no_weight_have_no_influence(rng):
    z, _ = affine_sequences(rng, noise=0.3)
    kept = np.arange(N) % 3 != 0
    other = np.where(kept[:, None, None], z, 50 * rng.normal(size=z.shape))
    expected = by_numpy(z[kept], np.ones(kept.sum()))
    fitted = fit_linear_steps(np.float32(other), np.float32(kept))
    np.testing.assert_allclose(fitted, expected, atol=2e-5)
    with_all = fit_linear_steps(np.float32(other), np.ones(N, np.float32))
    assert np.abs(with_all - expected).max() > 0.1


def test_weight_two_is_the_sequence_twice(rng):
    z, _ = affine_sequences(rng, noise=0.3)
    twice = np.arange(N) < 10
    repeated = np.concatenate([z, z[twice]])
    expected = by_numpy(repeated, np.ones(N + 10))
    fitted = fit_linear_steps(z, np.float32(1 + twice))
    np.testing.assert_allclose(fitted, expected, atol=2e-5)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.5])
def test_ridge_of_one_latent(ridge):
    # With z in {-2, 2} and z' = 3 z + 1, four sequences have sum z^2 = 16, sum z z' =
    # 48 and sum z' = 4. The normal matrix is diag(16, 4), of mean 10, so that the slope
    # is 48 / (16 + 10 ridge) and the offset 4 / (4 + 10 ridge).
    z = np.float32([-2, 2, -2, 2])
    sequences = np.stack([z, 3 * z + 1], 1)[..., None]
    fitted = fit_linear_steps(sequences, np.ones(4, np.float32), ridge)
    expected = [[[48 / (16 + 10 * ridge)], [4 / (4 + 10 * ridge)]]]
    np.testing.assert_allclose(fitted, expected, rtol=1e-5)


def test_ridge_is_relative_to_the_size_of_the_weights(rng):
    z, _ = affine_sequences(rng, noise=0.3)
    w = np.float32(rng.uniform(0.5, 2.0, N))
    expected = fit_linear_steps(z, w, 0.1)
    fitted = fit_linear_steps(z, 1000 * w, 0.1)
    np.testing.assert_allclose(fitted, expected, atol=2e-5)


def test_default_ridge_keeps_a_fit_of_few_sequences_finite(rng):
    z, _ = affine_sequences(rng)
    few = np.float32(np.arange(N) < 2)  # five unknowns for each latent
    fitted = fit_linear_steps(z, few)
    assert np.isfinite(fitted).all()
    moved = through(z[:, 0], fitted)
    np.testing.assert_allclose(moved[:2, 0], z[:2, 1], atol=0.05)


def test_steps_of_a_contraction():
    # z' = a z + b from z_0 is a^t z_0 + b (1 - a^t) / (1 - a) at time t.
    a, b, z0, t = np.array([0.5, -0.8]), np.array([1.0, 2.0]), [3.0, 4.0], 6
    maps = np.tile(np.vstack([np.diag(a), b]), (t, 1, 1)).astype(np.float32)
    power = a ** np.arange(1, t + 1)[:, None]
    expected = power * z0 + b * (1 - power) / (1 - a)
    np.testing.assert_allclose(linear_steps(jnp.array(z0), maps), expected, rtol=1e-5)


def test_steps_come_in_turn():
    # First add 1, then double, then the other way round.
    add, double = [[1.0], [1.0]], [[2.0], [0.0]]
    start = jnp.array([5.0])
    moved = linear_steps(start, jnp.array([add, double]))
    np.testing.assert_array_equal(moved, [[6.0], [12.0]])
    moved = linear_steps(start, jnp.array([double, add]))
    np.testing.assert_array_equal(moved, [[10.0], [11.0]])
