from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jaxdis import metrics

SIZES = (4, 5, 7)
HADAMARD = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
FEW = {"train": 2000, "test": 2000}
factor_vae = partial(metrics.factor_vae_score, **FEW)
beta_vae = partial(metrics.beta_vae_score, **FEW)
SCORES = pytest.mark.parametrize("score", [factor_vae, beta_vae])


def factors(n=3000, sizes=SIZES, seed=0):
    return np.random.default_rng(seed).integers(0, sizes, (n, len(sizes)))


def between(z, seed=1):
    """A code of each factor, of which the first two are mixed and all are noisy."""
    rng = np.random.default_rng(seed)
    codes = z / z.std(0)
    codes[:, :2] = codes[:, :2] @ np.array([[1, 1], [0.7, -1]])
    return codes + rng.normal(size=codes.shape)


def a_world(z_of, codes):
    """Draws from the rows of z; independent, as the rows are; and what encodes them."""

    def sample_factors(key, n):
        return z_of(metrics.generator(key), n)

    return sample_factors, lambda z, key: codes(z)


def uniform(rng, n):
    return rng.integers(0, SIZES, (n, len(SIZES)))


def factor_vae_loop(z_of, codes, votes, batch=64, seed=0):
    """As the papers say it, one vote after the other."""
    rng = np.random.default_rng(seed)
    spread = codes(z_of(rng, 10_000)).var(0, ddof=1)
    table = np.zeros((2, len(spread), len(SIZES)), int)
    for part in range(2):
        for _ in range(votes):
            z = z_of(rng, batch)
            j = rng.integers(len(SIZES))
            z[:, j] = z[0, j]
            table[part, (codes(z).var(0, ddof=1) / spread).argmin(), j] += 1
    rule = table[0].argmax(1)
    return table[1, np.arange(len(rule)), rule].sum() / table[1].sum()


def beta_vae_loop(z_of, codes, votes, batch=64, seed=0):
    rng = np.random.default_rng(seed)
    x, y = [], rng.integers(len(SIZES), size=2 * votes)
    for j in y:
        one, two = z_of(rng, batch), z_of(rng, batch)
        two[:, j] = one[:, j]
        x.append(np.abs(codes(one) - codes(two)).mean(0))
    x = np.array(x)
    x = (x - x[:votes].mean(0)) / x[:votes].std(0)
    model = LogisticRegression().fit(x[:votes], y[:votes])
    return model.score(x[votes:], y[votes:])


def noisy(z):
    """A deterministic code that is noisy in each factor by what the others are."""
    u = z / np.array(SIZES)
    return u + 1.5 * np.sin(40 * u @ np.array([[0, 2, 1], [1, 0, 3], [2, 1, 0]]))


@pytest.mark.parametrize(
    ("of_rows", "sampled", "loop"),
    [
        (factor_vae, metrics.sampled_factor_vae_score, factor_vae_loop),
        (beta_vae, metrics.sampled_beta_vae_score, beta_vae_loop),
    ],
)
def test_has_the_law_of_a_loop_over_votes(of_rows, sampled, loop):
    votes, batch = 2000, 8
    expected = loop(uniform, noisy, votes, batch)
    assert 0.4 < expected < 0.95
    tolerance = 4 * np.sqrt(0.5 / votes)  # of two accuracies, and of what made the rule
    world = a_world(uniform, noisy)
    found = (
        sampled(*world, train=votes, test=votes, batch=batch, threshold=0.0)
        if (loop is factor_vae_loop)
        else sampled(*world, train=votes, test=votes, batch=batch)
    )
    assert float(found) == pytest.approx(expected, abs=tolerance)
    z = factors(20_000)
    found = of_rows(z, noisy(z), batch=batch)
    assert float(found) == pytest.approx(expected, abs=tolerance)


@SCORES
def test_perfect_duplicated_and_useless_codes(score):
    z = factors()
    perfect = z[:, [2, 0, 1]] * np.array([-1, 5, 0.7])
    useless = np.random.default_rng(3).normal(size=z.shape)
    assert float(score(z, perfect)) >= 0.999
    assert float(score(z, np.tile(perfect, 2))) >= 0.99
    assert float(score(z, useless)) == pytest.approx(1 / 3, abs=0.04)


@SCORES
def test_a_rotation_that_spreads_every_factor_scores_chance(score):
    z = factors(20_000, (10,) * 4)
    assert float(score(z, z @ HADAMARD)) == pytest.approx(0.25, abs=0.04)


@SCORES
def test_over_seeds_as_each_alone(score):
    z = factors()
    codes = np.float32([between(z, seed) for seed in range(3)])
    expected = [float(score(z, c)) for c in codes]
    assert len(set(expected)) > 1
    np.testing.assert_allclose(score(z, codes), expected, atol=2e-3)
    own = np.stack([z, z[::-1], z])
    np.testing.assert_allclose(score(own, codes)[0], expected[0], atol=2e-3)
    assert abs(float(score(own, codes)[1]) - expected[1]) > 0.05


def test_votes_under_jit_are_the_same():
    z = factors()
    codes = np.float32([between(z, seed) for seed in range(2)])
    expected = factor_vae(z, codes)
    traced = jax.jit(partial(factor_vae, discrete=SIZES))
    np.testing.assert_allclose(traced(z, codes), expected, atol=2e-3)
    np.testing.assert_allclose(
        jax.vmap(traced, (None, 0))(z, codes), expected, atol=2e-3
    )
    with pytest.raises(ValueError, match="outside of jit"):
        jax.jit(partial(beta_vae, discrete=SIZES))(z, codes)


@SCORES
def test_a_key_repeats_it(score):
    z = factors()
    codes = between(z)
    first = score(z, codes, key=1)
    assert first == score(z, codes, key=jax.random.key(1))
    assert score(z, codes) == score(z, codes, key=0)
    assert first != score(z, codes, key=2)


@SCORES
def test_ignores_order_sign_and_shift(score):
    z = factors()
    codes = between(z)
    expected = float(score(z, codes))
    assert float(score(z, 1e7 - codes[:, ::-1])) == pytest.approx(expected, abs=2e-3)


def test_threshold_is_of_the_standard_deviation():
    z = factors()
    codes = between(z) / between(z).std(0)
    small = codes * np.array([1, 1, 0.04])
    without = float(factor_vae(z, codes[:, :2]))
    assert float(factor_vae(z, codes)) > without + 0.1
    assert float(factor_vae(z, small)) == pytest.approx(without, abs=2e-3)
    everything = float(factor_vae(z, small, threshold=0))
    assert everything == pytest.approx(float(factor_vae(z, codes)), abs=2e-3)
    assert factor_vae(z, 0.04 * codes) == 0.0
    traced = jax.jit(partial(factor_vae, discrete=SIZES))
    assert float(traced(z, np.float32(small))) == pytest.approx(without, abs=2e-3)
    assert traced(z, np.float32(0.04 * codes)) == 0.0


def test_only_the_faithful_regression_depends_on_the_scale():
    z = factors()
    perfect = z / z.std(0)
    small = 0.001 * perfect
    assert float(beta_vae(z, small)) >= 0.999
    assert float(beta_vae(z, perfect, faithful=True)) >= 0.99
    assert float(beta_vae(z, small, faithful=True)) < 0.6


def test_few_rows_of_a_value_are_enough_and_one_is_passed_over():
    z = factors()
    z[:, 0] = np.repeat(np.arange(1500), 2)  # two rows each
    z[-5:, 1] = 100 + np.arange(5)  # one row each
    assert float(factor_vae(z, z, discrete=True)) >= 0.999
    assert float(beta_vae(z, z, discrete=True)) >= 0.999
    alone = np.arange(3000)[:, None]
    with pytest.raises(ValueError, match="no two rows share a value"):
        factor_vae(alone, alone, discrete=True)


@SCORES
def test_numbers_are_cut_into_bins_and_it_is_said(score):
    z = np.random.default_rng(0).normal(size=(4000, 3))
    with pytest.warns(UserWarning, match=r"columns \[0, 1, 2\].*20 bins"):
        assert float(score(z, z**3)) >= 0.95


@SCORES
def test_rows_without_a_label_are_not_held(score):
    z = np.float64(factors())
    codes = np.float64(z)
    mask = np.random.default_rng(5).random(z.shape) < 0.6
    # Where the label is missing, the code is wrong.
    codes = np.where(mask, codes, np.random.default_rng(6).normal(size=z.shape))
    assert float(score(np.where(mask, z, np.nan), codes, mask=mask)) >= 0.999
    assert float(score(z, codes)) < 0.999


@SCORES
def test_constant_and_failed_codes(score):
    z = factors()
    codes = np.stack([between(z, seed) for seed in range(2)])
    expected = np.array(score(z, codes))
    codes[1, 3, 0] = np.nan
    with pytest.raises(ValueError, match=r"codes\[1, 3, 0\]"):
        score(z, codes)
    found = np.array(score(z, codes, failed="nan"))
    assert found[0] == pytest.approx(expected[0], abs=2e-3)
    assert np.isnan(found[1])
    with pytest.warns(UserWarning, match="constant in columns"):
        assert float(score(z, np.ones_like(codes[0]))) < 0.4


def test_functions_of_jax_and_of_numpy_and_seeds():
    def sample_factors(key, n):
        return jax.random.randint(key, (n, 3), 0, jnp.array([SIZES]))

    @jax.jit
    def codes_of(z, key):
        seeds = jax.random.normal(key, (2, *z.shape))
        return z[None] * jnp.array([1.0, 0.0])[:, None, None] + 0.01 * seeds

    for score in (metrics.sampled_factor_vae_score, metrics.sampled_beta_vae_score):
        found = score(sample_factors, codes_of, train=600, test=600, rows=700)
        assert float(found[0]) >= 0.99
        if score is metrics.sampled_factor_vae_score:
            assert found[1] == 0.0  # below the threshold
        else:
            assert float(found[1]) == pytest.approx(1 / 3, abs=0.08)


def test_as_many_rows_at_a_time_as_told():
    seen = set()

    def codes_of(z, key):
        seen.add(len(z))
        return z

    metrics.sampled_factor_vae_score(
        a_world(uniform, None)[0], codes_of, train=50, test=20, batch=8, rows=100
    )
    assert seen == {96}


def test_what_is_drawn_and_encoded_is_checked():
    draw, _ = a_world(uniform, None)
    score = partial(metrics.sampled_factor_vae_score, train=20, test=20)
    with pytest.raises(ValueError, match=r"sample_factors\(key, 4096\) has shape"):
        score(lambda key, n: np.zeros((3, 2)), lambda z, key: z)
    with pytest.raises(ValueError, match=r"codes_of\(factors, key\) has shape"):
        score(draw, lambda z, key: z[:5])
    with pytest.raises(ValueError, match=r"codes_of\(factors, key\) is NaN"):
        score(draw, lambda z, key: z + np.nan)
    found = score(draw, lambda z, key: np.stack([z, z * np.nan]), failed="nan")
    assert found[0] == 1.0
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": 0}, "train must be at least 1"),
        ({"batch": 1}, "batch must be at least 2"),
        ({"z": factors()[:-1]}, "rows"),
        ({"z": factors().astype(str)}, "z holds strings"),
        ({"codes": np.full((3000, 2), 1j)}, "codes is complex"),
    ],
)
@SCORES
def test_refuses_in_words(score, change, message):
    given = {"z": factors(), "codes": between(factors())} | change
    with pytest.raises(ValueError, match=message):
        score(given.pop("z"), given.pop("codes"), **given)


def test_threshold_is_not_negative():
    with pytest.raises(ValueError, match="threshold must be at least"):
        factor_vae(factors(), factors(), threshold=-1)
