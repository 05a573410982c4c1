"""Terms of objectives: bounds, multipliers, divergences, Jacobians."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxdis import gaussian, losses

# full, target, warm-up and descent in steps; the last two of a run of 400 steps.
SCHEDULES = [
    (100.0, 20.0, 0.0, 150.0),
    (100.0, 20.0, 50.0, 150.0),
    (25.0, 10.0, 120.0, 200.0),
    (100.0, 0.0, 30.0, 7.0),
    (20.0, 20.0, 10.0, 10.0),
]
STEPS = np.arange(400)


@jax.jit
def schedule(*arguments):
    return jax.vmap(losses.annealed_bound, (0, None, None, None, None))(*arguments)


def bounds(full, target, warmup, descent, steps=STEPS):
    arguments = map(jnp.float32, (full, target, warmup, descent))
    return np.asarray(schedule(jnp.float32(steps), *arguments))


@pytest.mark.parametrize(("full", "target", "warmup", "descent"), SCHEDULES)
def test_bound_falls_along_a_line_after_the_warmup(full, target, warmup, descent):
    bound = bounds(full, target, warmup, descent)
    np.testing.assert_array_equal(bound[warmup >= STEPS], full)
    np.testing.assert_array_equal(bound[warmup + descent <= STEPS], target)
    assert bound.min() >= target
    falls = -np.diff(bound)
    assert falls.min() >= 0
    # No jump, at the end of the warm-up least of all: every fall is one line's.
    slope = (full - target) / descent
    assert falls.max() <= slope * (1 + 1e-4) + 1e-5
    np.testing.assert_allclose(falls.sum(), full - target, rtol=1e-5)
    halfway = bounds(full, target, warmup, descent, warmup + descent / 2 + np.zeros(1))
    np.testing.assert_allclose(halfway, (full + target) / 2, rtol=1e-5)


def test_bound_without_descent_is_a_jump():
    bound = bounds(100.0, 20.0, 50.0, 0.0)
    np.testing.assert_array_equal(bound, np.where(STEPS <= 50, 100.0, 20.0))


def test_bound_does_not_fall_below_the_target_after_a_warmup():
    # target + (full - target) (1 - step / descent), without the warm-up in it and
    # uncut, is -6.67 at 200,000 steps here.
    late = np.array([50_000, 50_001, 125_000, 200_000, 300_000])
    bound = bounds(100.0, 20.0, 50_000.0, 150_000.0, late)
    np.testing.assert_allclose(bound, [100, 100 - 80 / 150_000, 60, 20, 20], rtol=1e-6)


dual_ascent = jax.jit(losses.dual_ascent)


def ascend(multiplier, defect, rate=0.1):
    return float(dual_ascent(*map(np.float32, (multiplier, defect, rate))))


def test_multiplier_grows_while_the_constraint_is_violated():
    multiplier = 0.0
    for defect, expected in [(2.0, 0.2), (1.0, 0.3), (0.5, 0.35)]:
        multiplier = ascend(multiplier, defect)
        assert multiplier == pytest.approx(expected, rel=1e-6)
    assert ascend(0.3, 2.0, rate=0.5) == pytest.approx(1.3, rel=1e-6)


@pytest.mark.parametrize("multiplier", [0.0, 0.7, 123.0])
def test_multiplier_restarts_when_the_constraint_holds(multiplier):
    # However small the slack, and even where plain ascent would stay positive.
    assert ascend(multiplier, -1e-6) == 0.0
    assert ascend(multiplier, -50.0) == 0.0
    assert ascend(multiplier, 0.0) == np.float32(multiplier)  # no restart at exactly 0


def test_reconstruction_against_scipy():
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(2, 3, 4, 5))
    std = 0.3
    expected = -stats.norm.logpdf(x, mean, std).sum(-1)
    actual = losses.gaussian_reconstruction(
        jnp.float32(x), jnp.float32(mean), jnp.float32(std)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@jax.jit
def linear_gaussian(x, mean, var, noise_var, beta=1.0):
    """Negative ELBO of z ~ N(0, 1), x | z ~ N(z, noise_var) with q = N(mean, var)."""
    # E_q (x - z)^2 = (x - mean)^2 + var
    reconstruction = -gaussian.log_prob(x, mean, noise_var) + var / (2 * noise_var)
    kl = gaussian.kl(mean, var, jnp.zeros_like(mean), jnp.ones_like(var))
    return losses.negative_elbo(reconstruction, kl, beta)


def test_negative_elbo_is_the_evidence_at_the_exact_posterior():
    # x ~ N(0, 1 + s), and z | x ~ N(x / (1 + s), s / (1 + s)).
    x, noise_var = jnp.linspace(-3, 3, 7), jnp.float32(0.4)
    var = jnp.full(7, 0.4 / 1.4)
    evidence = -stats.norm.logpdf(np.asarray(x), 0, np.sqrt(1.4))
    exact = linear_gaussian(x, x / 1.4, var, noise_var)
    np.testing.assert_allclose(exact, evidence, rtol=1e-5)
    for other in (
        linear_gaussian(x, x / 1.4 + 0.1, var, noise_var),
        linear_gaussian(x, x / 1.4, 1.3 * var, noise_var),
        linear_gaussian(x, x / 1.4, var / 1.3, noise_var),
    ):
        assert (np.asarray(other) > evidence + 1e-3).all()


def test_beta_weighs_the_divergence_alone():
    reconstruction, kl = jnp.float32([1.0, -2.0]), jnp.float32([0.5, 3.0])
    np.testing.assert_allclose(
        losses.negative_elbo(reconstruction, kl, 4.0), [3.0, 10.0], rtol=1e-6
    )
    np.testing.assert_allclose(
        losses.negative_elbo(reconstruction, kl), [1.5, 1.0], rtol=1e-6
    )


def test_bernoulli_reconstruction_against_scipy():
    # -x log s - (1 - x) log(1 - s) with s = 1 / (1 + exp(-l)), summed over a frame.
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(2, 3, 4, 5, 3))
    x[..., 0] = x[..., 0] > 0.5
    logits = 5 * rng.normal(size=x.shape)
    logits[0] *= 40  # where s is 0 or 1 in float32
    x, logits = np.float32(x), np.float32(logits)
    one, zero = (special.log_expit(sign * np.float64(logits)) for sign in (1, -1))
    expected = -(x * one + (1 - np.float64(x)) * zero).sum((-3, -2, -1))

    def total(logits, x):
        each = losses.bernoulli_reconstruction(x, logits)
        return each.sum(), each

    slope_of_total = jax.jit(jax.value_and_grad(total, has_aux=True))
    (_, actual), gradient = slope_of_total(logits, x)
    assert actual.shape == (2, 3)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    slope = special.expit(np.float64(logits)) - x
    np.testing.assert_allclose(gradient, slope, atol=1e-6)


def test_certain_pixels_cost_nothing_and_wrong_ones_their_logits():
    x = jnp.float32([1, 0, 1, 0]).reshape(4, 1, 1, 1)
    logits = jnp.float32([300, -300, -300, 300]).reshape(4, 1, 1, 1)
    actual = losses.bernoulli_reconstruction(x, logits)
    np.testing.assert_allclose(actual, [0, 0, 300, 300], atol=1e-6)


def test_black_and_white_may_be_truth_values():
    x, logits = jnp.array([[[True], [False]]]), jnp.zeros((1, 2, 1))
    slope = jax.grad(lambda logits: losses.bernoulli_reconstruction(x, logits))
    np.testing.assert_allclose(slope(logits).ravel(), [-0.5, 0.5])


index_kl = jax.jit(losses.index_kl)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_index_divergence_is_the_entropy_that_lacks(k):
    logits = np.float32(np.random.default_rng(k).normal(size=(4, 5, k)) * 3)
    q = special.softmax(np.float64(logits), -1)
    actual = np.asarray(index_kl(logits))
    assert actual.shape == (4, 5)
    np.testing.assert_allclose(
        actual, np.log(k) - stats.entropy(q, axis=-1), rtol=1e-5, atol=1e-6
    )
    assert actual.min() > 0
    # A softmax does not see what is added to all logits.
    np.testing.assert_allclose(index_kl(logits + 7), actual, atol=2e-6)


@pytest.mark.parametrize("k", [2, 7])
def test_index_divergence_at_its_ends(k):
    uniform = np.full((2, k), 1.3, np.float32)
    np.testing.assert_allclose(index_kl(uniform), 0, atol=1e-6)
    slope = jax.jit(jax.grad(lambda a: losses.index_kl(a).sum()))(uniform)
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    # A certain index, even where its rivals' probability is 0 in float32.
    for size in (50.0, 1e4):
        certain = np.float32([size, *[0] * (k - 1)])
        assert float(index_kl(certain)) == pytest.approx(np.log(k), rel=1e-6)


@jax.jit
def sharing(a):
    """Entropy, price and the entropy's slope."""
    entropy, slope = jax.value_and_grad(losses.feature_sharing)(a)
    return entropy, losses.sharing_price(a), slope


def test_sharing_by_hand():
    # a = (1, 3): p = (1/4, 3/4), A = 4.
    entropy, actual, _ = sharing(np.float32([1, 3]))
    h = np.log(4) - 0.75 * np.log(3)
    np.testing.assert_allclose(entropy, h, rtol=1e-6)
    price = [(np.log(4) - h) / 4, (np.log(4 / 3) - h) / 4]
    np.testing.assert_allclose(actual, price, rtol=1e-5)
    assert price[0] > 0 > price[1]
    # Equal usage is the largest entropy, and no step away is cheaper to first order.
    entropy, actual, _ = sharing(np.full(5, 0.3, np.float32))
    np.testing.assert_allclose(entropy, np.log(5), rtol=1e-6)
    np.testing.assert_allclose(actual, 0, atol=1e-6)


@pytest.mark.parametrize("m", [2, 6, 30])
def test_sharing_price_is_the_derivative(m):
    rng = np.random.default_rng(m)
    with jax.enable_x64(True):
        for _ in range(5):
            a = 1e-3 + rng.exponential(size=m) * rng.integers(0, 2, m)
            entropy, price, slope = sharing(a)
            np.testing.assert_allclose(entropy, stats.entropy(a), rtol=1e-10)
            np.testing.assert_allclose(price, slope, rtol=1e-9, atol=1e-12)
            # The entropy does not see a common scale.
            np.testing.assert_allclose((np.asarray(slope) * a).sum(), 0, atol=1e-10)


def test_sharing_is_not_concave_in_usage():
    # H(1, t) rises to log 2 at t = 1 and falls to 0 again: a tangent taken in its tail
    # lies below it, so linearising H is no majorisation.
    a, b = np.float32([1, 10]), np.float32([1, 1])
    (at_a, price, _), (at_b, *_) = sharing(a), sharing(b)
    assert float(at_a) + np.vdot(price, b - a) < float(at_b) - 0.2
    # What does hold, Gibbs: H(p) <= -sum p log p' for all p, p'.
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.full(6, 0.7), (2, 1000))
    h = jax.vmap(losses.feature_sharing)(jnp.float32(p))
    cross = -(p * np.log(q)).sum(1)
    assert (np.asarray(h) <= cross + 1e-5).all()


def test_feature_usage():
    w = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    w[:, 1] = 0.0
    expected = 1e-3 + np.abs(w).mean((0, 2))
    usage = jax.jit(losses.feature_usage)
    np.testing.assert_allclose(usage(w, 1e-3), expected, rtol=1e-6)
    assert usage(w, 0.0)[1] == losses.feature_usage(jnp.asarray(w))[1] == 0
    slope = jax.jit(jax.grad(lambda w: losses.feature_usage(w, 1e-3).sum()))(w)
    np.testing.assert_allclose(slope, np.sign(w) / 6, rtol=1e-6)
    assert not slope[:, 1].any()


# The decoder's Jacobian.

JACOBIAN_SIZES = [(2, 5), (3, 3), (4, 2)]  # n latents, m observed


def mlp(n, m, seed=0):
    """A smooth decoder, row by row, and latents of unequal scales."""
    rng = np.random.default_rng(seed)
    first, shift, last = (
        jnp.float32(rng.normal(size=size)) for size in ((n, 6), (1, 6), (6, m))
    )
    z = jnp.float32(rng.normal(size=(7, n)) * np.geomspace(0.5, 2, n))
    return lambda z: jnp.tanh(z @ first + shift) @ last, z


def jacobian_by_hand(n, m, seed=0):
    """`sum_h last_hk (1 - tanh^2) first_jh` of the decoder of `mlp`."""
    rng = np.random.default_rng(seed)
    first, shift, last = (rng.normal(size=size) for size in ((n, 6), (1, 6), (6, m)))
    z = rng.normal(size=(7, n)) * np.geomspace(0.5, 2, n)
    slope = 1 - np.tanh(z @ first + shift) ** 2
    return np.einsum("hk,bh,jh->bkj", last, slope, first)


def densities(decode, z, scale):
    """`jacobian_l1` in every exact mode."""
    n, key = z.shape[-1], jax.random.key(0)

    @jax.jit
    def both(z, scale):
        full = losses.jacobian_l1(decode, z, scale)
        options = {"mode": "columns", "columns": n, "key": key}
        return full, losses.jacobian_l1(decode, z, scale, **options)

    return both(z, scale)


def test_absolute_has_no_slope_at_zero():
    x = jnp.float32([-2, 0, 3, -0.0])
    value, slope = jax.vmap(jax.value_and_grad(losses.absolute))(x)
    np.testing.assert_array_equal(value, [2, 0, 3, 0])
    np.testing.assert_array_equal(slope, [-1, 0, 1, 0])


@pytest.mark.parametrize(("n", "m"), JACOBIAN_SIZES)
def test_jacobian_is_the_formula(n, m):
    decode, z = mlp(n, m)
    expected = jacobian_by_hand(n, m)
    actual = jax.jit(lambda z: losses.decoder_jacobian(decode, z))(z)
    assert actual.shape == (7, m, n)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "m"), [(1, 24), (24, 1)])
def test_jacobian_takes_the_cheaper_mode(n, m):
    """About one more pass through the decoder, not 24."""
    decode, z = mlp(n, m)

    def flops(f):
        return jax.jit(f).lower(z).compile().cost_analysis()["flops"]

    jacobian = flops(lambda z: losses.decoder_jacobian(decode, z))
    assert jacobian < 4 * flops(decode)


@pytest.mark.parametrize(("n", "m"), JACOBIAN_SIZES)
def test_modes_of_the_jacobian_agree(n, m):
    decode, z = mlp(n, m)
    scale = jnp.linspace(0.3, 2.0, n)
    expected = (np.abs(jacobian_by_hand(n, m)).mean(0) * np.asarray(scale)).sum()
    full, columns = densities(decode, z, scale)
    np.testing.assert_allclose(full, expected, rtol=1e-5)
    np.testing.assert_allclose(columns, expected, rtol=1e-5)

    @jax.jit
    def by_differences(step):
        return losses.jacobian_l1(decode, z, scale, mode="differences", difference=step)

    np.testing.assert_allclose(by_differences(1e-3), expected, rtol=1e-3)
    # The step is the option's: a long one is a chord.
    chord = by_differences(2.0)
    assert abs(chord - expected) > 0.01 * expected


def test_differences_are_chords():
    z, scale = jnp.float32([[1, 2], [-1, 0]]), jnp.float32([1, 10])

    @jax.jit
    def chords(z):
        return losses.jacobian_l1(
            lambda z: z**2, z, scale, mode="differences", difference=0.5
        )

    actual = chords(z)
    # |(z + h)^2 - z^2| / h = |2 z + h|
    expected = (2.5 + 1.5) / 2 + 10 * (4.5 + 0.5) / 2
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("columns", [1, 2])
def test_random_columns_are_unbiased(columns):
    decode, z = mlp(3, 4)
    scale = jnp.float32([0.5, 1.0, 2.0])
    jacobian = np.abs(jacobian_by_hand(3, 4)).mean(0).sum(0) * scale

    def draw(key):
        return losses.jacobian_l1(
            decode, z, scale, mode="columns", columns=columns, key=key
        )

    drawn = np.asarray(
        jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 600))
    )
    # The n / k fold sums of each set of k columns, without repetition, ...
    pick = itertools.combinations(np.asarray(jacobian), columns)
    sets = np.sort([3 / columns * sum(chosen) for chosen in pick])
    nearest = np.abs(drawn[:, None] - sets).argmin(1)
    np.testing.assert_allclose(drawn, sets[nearest], rtol=1e-4)
    # ... whose average is the whole, and which are drawn equally often.
    np.testing.assert_allclose(sets.mean(), jacobian.sum(), rtol=1e-5)
    shares = np.bincount(nearest, minlength=3) / 600
    np.testing.assert_allclose(shares, 1 / 3, atol=4 * (2 / 9 / 600) ** 0.5)


def test_stretched_latents_are_as_dense_by_their_deviation():
    decode, z = mlp(3, 4)
    c = jnp.float32([[10.0, 0.2, -3.0]])
    stretched = lambda z: decode(z / c)  # noqa: E731
    first = densities(decode, z, z.std(0))
    other = densities(stretched, c * z, (c * z).std(0))
    np.testing.assert_allclose(first, other, rtol=1e-4)

    @jax.jit
    def alone(one):
        return losses.jacobian_l1(lambda z: decode(z / one), one * z, (one * z).std(0))

    # One by one too.
    for j in range(3):
        one = np.where(np.arange(3) == j, 10.0, 1.0).astype(np.float32)[None]
        np.testing.assert_allclose(alone(one), first[0], rtol=1e-4)
    # Without the scale the stretched ones seem sparser.
    plain = densities(decode, z, jnp.ones(3))
    larger = densities(lambda z: decode(z / 10), 10 * z, jnp.ones(3))
    np.testing.assert_allclose(plain, 10 * np.array(larger), rtol=1e-4)


def test_gradient_through_the_scale():
    """A linear decoder has a constant Jacobian, so z is felt by its scale alone."""
    rng = np.random.default_rng(0)
    w, z = jnp.float32(rng.normal(size=(3, 4))), jnp.float32(rng.normal(size=(9, 3)))

    def penalty(z, scaled):
        scale = z.std(0) if scaled else jnp.ones(3)
        return jnp.stack(densities(lambda z: z @ w, z, scale))

    slopes_at = jax.jit(jax.jacobian(penalty), static_argnums=1)
    slopes = slopes_at(z, True)
    centred = z - z.mean(0)[None]
    expected = centred / (9 * z.std(0)[None]) * np.abs(w).sum(1)[None]
    for slope in slopes:
        np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(slopes_at(z, False), 0.0)


@pytest.mark.parametrize("mode", ["full", "columns", "differences"])
@pytest.mark.parametrize("m", [2, 4])
def test_zero_weights_get_no_push(mode, m):
    rng = np.random.default_rng(0)
    w = jnp.float32(rng.normal(size=(3, m))).at[0, 1].set(0.0).at[2].set(0.0)
    z = jnp.float32(rng.normal(size=(5, 3))).at[0].set(0.0)
    scale = jnp.float32([1.0, 2.0, 3.0])

    def penalty(w):
        key = jax.random.key(0)
        return losses.jacobian_l1(
            lambda z: z @ w, z, scale, mode=mode, columns=3, key=key
        )

    # Differences at z = 0 alone are exact zeros: elsewhere rounding makes them.
    slope = jax.jit(jax.grad(penalty))(w)
    np.testing.assert_allclose(
        slope, np.sign(w) * np.asarray(scale)[:, None], rtol=1e-3, atol=1e-4
    )


# Adversarial terms.


def test_scores_that_fool_or_are_right_cost_less():
    score = jnp.linspace(-3.0, 3.0, 7)
    rising, falling = np.log1p(np.exp(score)), np.log1p(np.exp(-score))
    np.testing.assert_allclose(losses.gan_generator(score), falling, rtol=1e-5)
    judge, zero = jax.jit(losses.gan_discriminator), jnp.zeros(7)
    np.testing.assert_allclose(judge(score, zero), rising + np.log(2), rtol=1e-5)
    np.testing.assert_allclose(judge(zero, score), falling + np.log(2), rtol=1e-5)


def test_gradient_penalty_of_a_quadratic():
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)

    @jax.jit
    def penalty(x):
        return losses.gradient_penalty(lambda x: 0.5 * (x**2).sum((1, 2)), x)

    np.testing.assert_allclose(penalty(x), 0.5 * (x**2).sum((1, 2)).mean(), rtol=1e-5)


def test_path_lengths_of_a_linear_generator():
    """Their mean square is `|A|^2 / (height width)`, a mean over both layers."""
    a = np.random.default_rng(0).normal(size=(2, 3, 2 * 4 * 3)).astype(np.float32)

    @jax.jit
    def lengths(key):
        def images(styles):
            return jnp.einsum("blw,lwx->bx", styles, a).reshape(-1, 2, 4, 3)

        return losses.path_lengths(images, jnp.ones((20_000, 2, 3)), key)

    square = lengths(jax.random.key(1)) ** 2
    np.testing.assert_allclose(square.mean(), (a**2).sum() / 16, rtol=0.03)
