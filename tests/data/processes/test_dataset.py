import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdis.data import synthetic
from jaxdis.data.synthetic import PROCESSES, Config, Sequences, Spec

SAMPLES = 2000
LATENT_VARIANCE = 1e-4  # the default


@functools.cache
def drawn(**options):
    """A data set; op by op and with keys of `rbg`, as 25 processes compile slowly."""
    with jax.disable_jit(), jax.default_prng_impl("rbg"):
        spec, data = synthetic.draw(Config(**{"samples": SAMPLES} | options))
    return spec, jax.tree.map(np.asarray, data)


def sines(graph, inputs):
    """sum_j G_ij sin(omega_i in_j + i), omega_i = (i + 3) / pi, cell by cell."""
    total = np.zeros((len(inputs), len(graph)))
    for i, j in zip(*np.nonzero(graph), strict=True):
        total[:, i] += np.sin((i + 3) / np.pi * inputs[:, j] + i)
    return total


def wave_variance(graph, inputs):
    """(0.1 / columns) exp(sum_j G_ij cos(omega_i in_j + i))."""
    total = np.zeros((len(inputs), len(graph)))
    for i, j in zip(*np.nonzero(graph), strict=True):
        total[:, i] += np.cos((i + 3) / np.pi * inputs[:, j] + i)
    return 0.1 / graph.shape[1] * np.exp(total)


def moments(name, spec, past, a):
    """Mean and variance of the last step's latents, from the published formulas."""
    if name.startswith("Action"):
        mean = np.sin(a) if name == "ActionDiag" else sines(spec.ga, a)
    elif name in ("InterventionSingle", "InterventionPair"):
        return 3.0 * a @ spec.ga.T, 1.0
    else:
        delta = np.sin(past) if name == "TimeDiag" else sines(spec.gz, past)
        mean = past + 0.5 * delta
    if name == "InterventionTime":
        for i, k in zip(*np.nonzero(spec.ga), strict=True):
            mean[:, i] += a[:, k] * np.cos((i + 3) / np.pi * past[:, i] + k)
    if name.endswith("DoubleSuffStat"):
        graph, inputs = (spec.gz, past) if spec.ga is None else (spec.ga, a)
        return mean, wave_variance(graph, inputs)
    return mean, LATENT_VARIANCE


WEIGHTED = {"ActionNoSuffVar", "TimeNoSuffVar"}


@pytest.mark.parametrize("name", sorted(set(PROCESSES) - WEIGHTED))
def test_latents_follow_the_mechanism(name):
    spec, data = drawn(process=name)
    for split in data:
        z = np.float64(split.z)
        past = z[:, 0] if spec.steps == 2 else None
        a = None if split.a is None else np.float64(split.a)
        mean, variance = moments(name, spec, past, a)
        noise = (z[:, -1] - mean) / np.sqrt(variance)
        n = len(noise)
        assert (np.abs(noise.mean(0)) < 5 / np.sqrt(n)).all()
        assert (np.abs(noise.var(0) - 1) < 5 * np.sqrt(2 / n)).all()
        assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-5
        correlation = np.corrcoef(noise.T) - np.eye(spec.z_dim)
        assert np.abs(correlation).max() < 5.5 / np.sqrt(n)  # independent given parents


@pytest.mark.parametrize("name", sorted(WEIGHTED))
def test_linear_mechanisms_have_normal_weights_on_the_graph(name):
    # z = A a, or z + A z / 2: A by least squares, the rest is noise.
    spec, data = drawn(process=name)
    z = np.float64(data.train.z)
    time = spec.steps == 2
    inputs = z[:, 0] if time else np.float64(data.train.a)
    effects = 2 * (z[:, 1] - z[:, 0]) if time else z[:, 0]
    graph = spec.gz if time else spec.ga
    weights = np.linalg.lstsq(inputs, effects, rcond=None)[0].T
    noise = (effects - inputs @ weights.T) / (2 if time else 1)
    assert (np.abs(noise.var(0) / LATENT_VARIANCE - 1) < 0.2).all()
    assert np.abs(weights[graph == 0]).max() < 5e-3
    assert np.abs(weights[graph == 1]).min() > 5e-3
    assert stats.kstest(weights[graph == 1], "norm").pvalue > 1e-5
    # The splits belong to one process.
    test = np.float64(data.test.z)
    inputs = test[:, 0] if time else np.float64(data.test.a)
    effects = 2 * (test[:, 1] - test[:, 0]) if time else test[:, 0]
    assert np.abs(effects - inputs @ weights.T).max() < 0.15


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_shapes_and_inputs(name):
    spec, data = drawn(process=name)
    for split, n in zip(data, (1600, 200, 200), strict=True):
        assert split.x.shape == (n, spec.steps, spec.x_dim) == (n, spec.steps, 20)
        assert split.z.shape == (n, spec.steps, spec.z_dim) == (n, spec.steps, 10)
        assert (split.a is None) == (spec.ga is None) == (spec.a_dim == 0)
        if spec.a_dim:
            assert split.a.shape == (n, spec.a_dim) == (n, spec.ga.shape[1])
    assert (spec.steps == 2) == (spec.gz is not None)
    if spec.steps == 2:
        assert stats.kstest(data.train.z[:, 0].ravel(), "norm").pvalue > 1e-5
    if name.startswith("Action"):
        uniform = stats.uniform(-2, 4)
        assert stats.kstest(data.train.a.ravel(), uniform.cdf).pvalue > 1e-5


def test_latent_noise_is_a_variance():
    spec, data = drawn(process="ActionDiag", latent_noise=0.25)
    residual = data.train.z[:, 0] - np.sin(data.train.a)
    assert residual.var() == pytest.approx(0.25, rel=5 * np.sqrt(2 / residual.size))
    assert spec.ga.sum() == 10


def rows(*arrays):
    return {row.tobytes() for array in arrays for row in array.reshape(len(array), -1)}


def test_splits_are_disjoint():
    train, valid, test = drawn(process="ActionNonDiag")[1]
    for field in ("a", "z", "x"):
        sets = [rows(getattr(split, field)) for split in (train, valid, test)]
        assert len(set.union(*sets)) == SAMPLES
    time = drawn(process="TimeNonDiag")[1]
    assert len(rows(*(split.z[:, 0] for split in time))) == SAMPLES


def test_reused_actions_are_the_first_of_the_training_set():
    fresh = drawn(process="ActionNonDiag")[1]
    train, valid, test = drawn(process="ActionNonDiag", reuse_actions=True)[1]
    np.testing.assert_array_equal(train.a, fresh.train.a)
    for split in (valid, test):
        np.testing.assert_array_equal(split.a, train.a[: len(split.a)])
        assert not rows(split.z) & rows(train.z)  # latent noise is new
    assert not rows(valid.z) & rows(test.z)


def test_sizes_of_splits():
    for samples, expected in [
        (10, [8, 1, 1]),
        (19, [17, 1, 1]),
        (1234, [988, 123, 123]),
    ]:
        config = Config(samples=samples)
        data = jax.eval_shape(lambda c=config: synthetic.draw(c)[1])
        assert [len(split.x) for split in data] == expected


@pytest.mark.parametrize(("z_dim", "x_dim"), [(10, 20), (3, 3)])
def test_mixing_weights_are_orthogonal(z_dim, x_dim):
    weights = synthetic.mixing_weights(jax.random.key(0), z_dim, x_dim)
    assert len(weights) == 4
    for index, weight in enumerate(np.float64(w) for w in weights):
        size = z_dim if index == 0 else x_dim
        assert weight.shape == (size, x_dim)
        # 2 / (1 + .2^2) for the leaky ReLU times 2 / (fan_in + fan_out)
        square = 2 / 1.04 * 2 / (size + x_dim)
        np.testing.assert_allclose(weight @ weight.T, square * np.eye(size), atol=1e-6)
    assert np.abs(weights[1] - weights[2]).max() > 0.01


@pytest.mark.parametrize(("z_dim", "x_dim"), [(10, 20), (3, 3)])
def test_mixing_can_be_inverted(z_dim, x_dim):
    weights = synthetic.mixing_weights(jax.random.key(1), z_dim, x_dim)
    z = jax.random.normal(jax.random.key(2), (30, 2, z_dim))
    x = synthetic.mix(weights, z)
    assert x.shape == (30, 2, x_dim)
    h = np.float64(x)
    for index in (3, 2, 1, 0):
        h = h @ np.linalg.pinv(np.float64(weights[index]))
        if index:
            h = np.where(h > 0, h, h / 0.2)
    np.testing.assert_allclose(h, z, atol=1e-4)
    even = np.abs(synthetic.mix(weights, -z) + x)  # 0 if it were linear
    assert even.max() > 0.1 * np.abs(x).max()


def test_observations_are_standardised_by_the_training_split():
    for name in ("ActionNonDiag", "TimeNonDiag"):
        train, *others = drawn(process=name, observation_noise=0.0)[1]
        np.testing.assert_allclose(train.x.mean((0, 1)), 0.0, atol=1e-5)
        np.testing.assert_allclose(train.x.std((0, 1)), 1.0, atol=1e-5)
        for split in others:  # near, but not by statistics of their own
            mean, std = split.x.mean((0, 1)), split.x.std((0, 1))
            assert 1e-2 < np.abs(mean).max() < 0.4
            assert 1e-2 < np.abs(std - 1).max() < 0.4


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_observations_are_the_mixed_latents_plus_noise(noise):
    # A network without biases is linear along a ray from 0, so that with one latent
    # each x_j is a line in z on either side of 0, whatever the weights.
    data = drawn(process="TimeDiag", z_dim=1, observation_noise=noise)[1]

    def design(z):
        z = np.float64(z.reshape(-1, 1))
        return np.hstack([np.ones_like(z), np.maximum(z, 0), np.minimum(z, 0)])

    train = design(data.train.z)
    x = np.float64(data.train.x.reshape(-1, 20))
    lines = np.linalg.lstsq(train, x, rcond=None)[0]
    assert np.abs(lines[1] - lines[2]).max() > 0.05  # with a kink at 0
    signal = train @ lines
    np.testing.assert_allclose(signal.std(0), 1.0, atol=0.05 if noise else 1e-4)
    # The same lines hold in the other splits: one mixing, one standardisation.
    for split in data:
        residual = np.float64(split.x.reshape(-1, 20)) - design(split.z) @ lines
        if noise == 0.0:
            assert np.abs(residual).max() < 1e-4
            continue
        n = len(residual)
        np.testing.assert_allclose(residual.std(0), noise, rtol=5 / np.sqrt(2 * n))
        correlation = np.corrcoef(residual.T) - np.eye(20)
        assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_seed_decides_the_data():
    config = Config(process="ActionNonDiag", samples=SAMPLES)
    with jax.default_prng_impl("rbg"):
        first, second = (synthetic.draw(config)[1] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    # Compiled here, and op by op in `drawn`: the same numbers up to rounding.
    eager = drawn(process="ActionNonDiag")[1]
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4), first, eager)
    other = drawn(process="ActionNonDiag", seed=1)[1]
    for ours, theirs in zip(
        jax.tree.leaves(eager), jax.tree.leaves(other), strict=True
    ):
        assert not rows(ours) & rows(theirs)


SPEC = Spec(x_dim=4, z_dim=3, a_dim=3, steps=1, gz=None, ga=np.eye(3, dtype=int))


def test_interventions_are_one_hot_in_equal_shares():
    n = 4000
    a = synthetic.draw_actions(jax.random.key(0), SPEC, n, interventions=True)
    regimes, counts = np.unique(np.asarray(a), axis=0, return_counts=True)
    expected = np.vstack([np.zeros((1, 3)), np.eye(3)[::-1]])  # sorted rows
    np.testing.assert_array_equal(regimes, expected)
    assert stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.parametrize(
    "name", ["InterventionSingle", "InterventionPair", "InterventionTime"]
)
def test_interventions_of_a_data_set(name):
    data = drawn(process=name)[1]
    for split in data:
        assert set(np.unique(split.a)) == {0.0, 1.0}
        assert set(split.a.sum(1)) == {0.0, 1.0}  # 0: observational
        assert split.a.any(0).all()


def test_uniform_actions():
    a = synthetic.draw_actions(jax.random.key(0), SPEC, 4000, interventions=False)
    a = np.asarray(a)
    assert a.shape == (4000, 3)
    assert stats.kstest(a.ravel(), stats.uniform(-2, 4).cdf).pvalue > 1e-5
    assert np.abs(np.corrcoef(a.T) - np.eye(3)).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"process": "ActionNonDig"}, "nearest name is 'ActionNonDiag'"),
        ({"process": "TimeBlockHrd"}, "nearest name is 'TimeBlockHard'"),
        ({"process": ""}, "no process is called ''; the nearest name is"),
        ({"z_dim": 21, "x_dim": 20}, "got z_dim=21 > x_dim=20"),
        ({"z_dim": 0}, "data.z_dim must be at least 1, got 0"),
        ({"process": "ActionNoGraphCrit", "z_dim": 5}, "must be even .*, got 5"),
        ({"samples": 9}, "data.samples must be at least 10, got 9"),
        ({"latent_noise": 0.0}, "latent_noise must be positive"),
        ({"observation_noise": -0.1}, "observation_noise not negative, got .* -0.1"),
        ({"process": "TimeRandom", "density": 1.5}, "density must be a probability"),
    ],
)
def test_config_errors(options, message):
    for refuse in (synthetic.make_spec, synthetic.draw):
        with pytest.raises(ValueError, match=message):
            refuse(Config(**options))


def numbered(n=7, t=2):
    """Rows whose every number tells the row."""
    row = np.arange(n, dtype=np.float32)
    x = np.broadcast_to(row[:, None, None], (n, t, 4))
    a = np.broadcast_to(row[:, None] + 100, (n, 3))
    z = np.broadcast_to(row[:, None, None] + 200, (n, t, 2))
    return Sequences(jnp.asarray(x), jnp.asarray(a), jnp.asarray(z))


def test_sampler_draws_whole_rows_uniformly():
    sample = synthetic.sampler(numbered(), 1400)
    batch = sample(jax.random.key(0))
    assert batch.x.shape == (1400, 2, 4)
    assert batch.a.shape == (1400, 3)
    assert batch.z.shape == (1400, 2, 2)
    row = np.asarray(batch.x[:, 0, 0])
    np.testing.assert_array_equal(batch.x - row[:, None, None], 0)
    np.testing.assert_array_equal(batch.a - row[:, None], 100)
    np.testing.assert_array_equal(batch.z - row[:, None, None], 200)
    drawn_rows, counts = np.unique(row, return_counts=True)
    np.testing.assert_array_equal(drawn_rows, np.arange(7))
    assert stats.chisquare(counts).pvalue > 1e-5


def test_sampler_depends_on_the_key_alone():
    sample = synthetic.sampler(numbered(), 50)
    first, again, other = (sample(jax.random.key(k)).x for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_sampler_carries_the_data_as_arguments():
    data = numbered()._replace(a=None)
    sample = synthetic.sampler(data, 3)
    assert [leaf.shape for leaf in jax.tree.leaves(sample)] == [(7, 2, 4), (7, 2, 2)]
    batch = jax.jit(lambda draw, key: draw(key))(sample, jax.random.key(0))
    assert batch.a is None
    assert batch.x.shape == (3, 2, 4)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"x": jnp.full((7, 2, 4), jnp.nan)}, "data.x holds NaN or infinite"),
        ({"x": numbered().x.at[3, 1, 2].set(jnp.nan)}, "data.x holds NaN or infinite"),
        ({"a": numbered().a.at[6, 0].set(jnp.inf)}, "data.a holds NaN or infinite"),
        ({"z": numbered().z.at[0, 0, 1].set(-jnp.inf)}, "data.z holds NaN or infinite"),
        ({"x": jnp.zeros((7, 4))}, r"data.x must have shape \[n, t, x\] .*\(7, 4\)"),
        ({"a": jnp.zeros((6, 3))}, r"data.a must have shape \[n, a\] .* n = 7 rows"),
        ({"z": jnp.zeros((7, 2))}, r"data.z must have shape \[n, t, z\] .*\(7, 2\)"),
        ({"x": jnp.zeros((0, 2, 4))}, "at least one"),
    ],
)
def test_sampler_refuses_broken_data(broken, message):
    with pytest.raises(ValueError, match=message):
        synthetic.sampler(numbered()._replace(**broken), 4)


def test_sampler_refuses_an_empty_batch():
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        synthetic.sampler(numbered(), 0)
