"""Processes: their latents, actions, mixing and splits against published formulas."""

import functools
from typing import NamedTuple

import chex
import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from jaxdis.data.processes import PROCESSES, CausalProcess
from jaxdis.data.processes.dataset import mix, mixing_weights
from jaxdis.data.processes.mechanisms import draw_interventions, draw_uniform_actions
from jaxdis.types import Rows

SAMPLES = 2000
LATENT_VARIANCE = 1e-4  # the default


class Drawn(NamedTuple):
    """The splits of a process, those without a past as sequences of one step."""

    train: Rows
    valid: Rows
    test: Rows


def with_time(rows):
    if rows.x.ndim == 3:
        return rows
    return rows._replace(x=rows.x[:, None], z=rows.z[:, None])


def draw(config):
    splits = jax.tree.map(np.asarray, config.load())
    return Drawn(*map(with_time, (splits.train, splits.valid, splits.test)))


@functools.cache
def drawn(**options):
    """A data set; op by op and with keys of `rbg`, as 25 processes compile slowly."""
    config = CausalProcess(**{"samples": SAMPLES} | options)
    with jax.disable_jit(), jax.default_prng_impl("rbg"):
        return config.spec(), draw(config)


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


# What an intervention l does to the latents l and l + 1: means and deviations.
PUT = {
    "InterventionSingle": [(3.0, 1.0)],
    "InterventionHard": [(3.0, 0.2)],
    "InterventionScale": [(0.0, 0.2)],
    "InterventionPair": [(3.0, 1.0), (3.0, 1.0)],
    "InterventionPairScale": [(0.0, 0.2), (0.0, 2.5)],
}


def put(laws, a):
    """Mean and variance of N(0, 1) latents under one-hot interventions."""
    mean, std = np.zeros_like(a), np.ones_like(a)
    for row, at in zip(*np.nonzero(a), strict=True):
        for place, (m, s) in enumerate(laws):
            mean[row, (at + place) % a.shape[1]] = m
            std[row, (at + place) % a.shape[1]] = s
    return mean, std**2


def moments(name, spec, past, a):
    """Mean and variance of the last step's latents, from the published formulas."""
    if spec.steps is None and name.startswith("Action"):
        mean = np.sin(a) if name == "ActionDiag" else sines(spec.truth.ga, a)
    elif name in PUT:
        return put(PUT[name], a)
    elif name.startswith("InterventionTime") and name != "InterventionTime":
        hit = a @ spec.truth.ga.T > 0
        mean = np.where(hit, 2.0, 0.5 * (past + sines(spec.truth.gz, past)))
        if name == "InterventionTimeHeld":
            return mean, LATENT_VARIANCE * np.where(hit, 0.04, 1.0)
    else:
        delta = np.sin(past) if name == "TimeDiag" else sines(spec.truth.gz, past)
        mean = past + 0.5 * delta
    if name == "ActionTimeBlocks":
        mean = mean + sines(spec.truth.ga, a)
    if name == "InterventionTime":
        for i, k in zip(*np.nonzero(spec.truth.ga), strict=True):
            mean[:, i] += a[:, k] * np.cos((i + 3) / np.pi * past[:, i] + k)
    if name.endswith("DoubleSuffStat"):
        graph, inputs = (
            (spec.truth.gz, past) if spec.truth.ga is None else (spec.truth.ga, a)
        )
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
    graph = spec.truth.gz if time else spec.truth.ga
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


def means(name, spec, past, a):
    """The mean of the last step's latents, of linear mechanisms with random weights."""
    if name not in WEIGHTED:
        return moments(name, spec, past, a)[0]
    graph, inputs = (
        (spec.truth.gz, past) if spec.truth.ga is None else (spec.truth.ga, a)
    )
    weights = graph * np.random.default_rng(1).normal(size=graph.shape)
    return (0 if past is None else past) + 0.5 * inputs @ weights.T


def varied(columns):
    """Whether columns of effects are linearly independent."""
    values = np.linalg.svd(columns, compute_uv=False)
    return bool(values[-1] > 1e-6 * values[0])


@pytest.mark.parametrize("name", sorted(set(PROCESSES) - set(PUT)))
def test_data_say_where_effects_vary_too_little(name):
    """Sufficient variability: the effects of every action span its children, and the
    Jacobians in the past all matrices on the graph."""
    spec = CausalProcess(process=name, samples=10).spec()
    rng, n = np.random.default_rng(0), 400
    past = rng.normal(size=(n, 10)) if spec.steps else None
    a = rng.uniform(-2, 2, (n, spec.a_dim)) if spec.a_dim else None
    if name.startswith("Intervention"):
        a = np.zeros((n, spec.a_dim))
    found = []
    for action in range(spec.a_dim):
        other = a.copy()
        other[:, action] = (
            1 if name.startswith("Intervention") else rng.uniform(-2, 2, n)
        )
        effect = means(name, spec, past, other) - means(name, spec, past, a)
        children = spec.truth.ga[:, action] == 1
        found.append(not children.any() or varied(effect[:, children]))
    if past is not None:
        slopes = np.zeros((n, 10, 10))
        for j, step in enumerate(1e-5 * np.eye(10)):
            ends = [means(name, spec, one, a) for one in (past - step, past + step)]
            slopes[:, :, j] = (ends[1] - ends[0]) / 2e-5
        found.append(varied(slopes[:, spec.truth.gz == 1]))
    assert all(found) == (spec.breaks == "")


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_shapes_and_inputs(name):
    spec, data = drawn(process=name)
    steps = 1 if spec.steps is None else spec.steps
    for split, n in zip(data, (1600, 200, 200), strict=True):
        chex.assert_shape(split.x, (n, steps, 20))
        chex.assert_shape(split.z, (n, steps, 10))
        assert (split.a is None) == (spec.truth.ga is None) == (spec.a_dim == 0)
        if spec.a_dim:
            assert split.a.shape == (n, spec.a_dim) == (n, spec.truth.ga.shape[1])
    assert spec.shape == (20,)
    assert spec.z_dim == 10
    assert (spec.steps == 2) == (spec.truth.gz is not None)
    if spec.steps == 2:
        assert stats.kstest(data.train.z[:, 0].ravel(), "norm").pvalue > 1e-5
    if name.startswith("Action"):
        uniform = stats.uniform(-2, 4)
        assert stats.kstest(data.train.a.ravel(), uniform.cdf).pvalue > 1e-5


@pytest.mark.parametrize(
    ("process", "steps", "there"),
    [("ActionDiag", (), "a"), ("TimeDiag", (2,), ""), ("InterventionTime", (2,), "a")],
)
def test_rows_have_what_the_spec_says(process, steps, there):
    """Without a past there is no axis of time."""
    config = CausalProcess(process, z_dim=3, x_dim=4, samples=50)
    spec, splits = config.spec(), jax.eval_shape(config.load)
    for rows, n in ((splits.train, 40), (splits.valid, 5), (splits.test, 5)):
        assert rows.x.shape == (n, *steps, 4)
        assert rows.z.shape == (n, *steps, 3)
        assert (rows.a is not None) == bool(there)
        assert rows.u is rows.y is rows.k is None
    assert spec.steps == (steps[0] if steps else None)
    wanted = {"x", "z", *there, *(["sequences"] if steps else [])}
    assert set(spec.offers) == wanted
    assert spec.worlds is None


def test_latent_noise_is_a_variance():
    spec, data = drawn(process="ActionDiag", latent_noise=0.25)
    residual = data.train.z[:, 0] - np.sin(data.train.a)
    assert residual.var() == pytest.approx(0.25, rel=5 * np.sqrt(2 / residual.size))
    assert spec.truth.ga.sum() == 10


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
        splits = jax.eval_shape(CausalProcess(samples=samples).load)
        found = [len(s.x) for s in (splits.train, splits.valid, splits.test)]
        assert found == expected


@pytest.mark.parametrize(("z_dim", "x_dim"), [(10, 20), (3, 3)])
def test_mixing_weights_are_orthogonal(z_dim, x_dim):
    weights = mixing_weights(jax.random.key(0), z_dim, x_dim)
    assert len(weights) == 4
    for index, weight in enumerate(np.float64(w) for w in weights):
        size = z_dim if index == 0 else x_dim
        assert weight.shape == (size, x_dim)
        # 2 / (1 + .2^2) for the leaky ReLU times 2 / (fan_in + fan_out)
        square = 2 / 1.04 * 2 / (size + x_dim)
        np.testing.assert_allclose(weight @ weight.T, square * np.eye(size), atol=1e-6)
    assert np.abs(weights[1] - weights[2]).max() > 0.01


def test_a_mixing_of_one_layer_is_linear_and_of_many_hides_the_latents():
    one, *rest = mixing_weights(jax.random.key(0), 3, 5, layers=1)
    assert not rest
    z = jax.random.normal(jax.random.key(1), (40, 3))
    np.testing.assert_allclose(mix([one], z), np.asarray(z) @ np.asarray(one), 1e-5)
    flat, deep = (
        CausalProcess("ActionDiag", z_dim=4, x_dim=8, samples=2_000, layers=layers)
        .load()
        .test
        for layers in (1, 12)
    )
    fits = [LinearRegression().fit(s.x, s.z).score(s.x, s.z) for s in (flat, deep)]
    assert fits[0] > 0.99
    assert fits[1] < fits[0] - 0.1


@pytest.mark.parametrize(("z_dim", "x_dim"), [(10, 20), (3, 3)])
def test_mixing_can_be_inverted(z_dim, x_dim):
    weights = mixing_weights(jax.random.key(1), z_dim, x_dim)
    z = jax.random.normal(jax.random.key(2), (30, 2, z_dim))
    x = mix(weights, z)
    assert x.shape == (30, 2, x_dim)
    h = np.float64(x)
    for index in (3, 2, 1, 0):
        h = h @ np.linalg.pinv(np.float64(weights[index]))
        if index:
            h = np.where(h > 0, h, h / 0.2)
    np.testing.assert_allclose(h, z, atol=1e-4)
    even = np.abs(mix(weights, -z) + x)  # 0 if it were linear
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
    config = CausalProcess("ActionNonDiag", samples=SAMPLES)
    with jax.default_prng_impl("rbg"):
        first, second = draw(config), draw(config)
    chex.assert_trees_all_equal(first, second)
    # Compiled here, and op by op in `drawn`: the same numbers up to rounding.
    eager = drawn(process="ActionNonDiag")[1]
    chex.assert_trees_all_close(first, eager, atol=1e-4, rtol=1e-7)
    other = drawn(process="ActionNonDiag", seed=1)[1]
    for ours, theirs in zip(
        jax.tree.leaves(eager), jax.tree.leaves(other), strict=True
    ):
        assert not rows(ours) & rows(theirs)


def test_interventions_are_one_hot_in_equal_shares():
    n = 4000
    a = draw_interventions(jax.random.key(0), n, 3)
    regimes, counts = np.unique(np.asarray(a), axis=0, return_counts=True)
    expected = np.vstack([np.zeros((1, 3)), np.eye(3)[::-1]])  # sorted rows
    np.testing.assert_array_equal(regimes, expected)
    assert stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.parametrize("name", ["InterventionSingle", "InterventionTime"])
def test_interventions_of_a_data_set(name):
    data = drawn(process=name)[1]
    for split in data:
        assert set(np.unique(split.a)) == {0.0, 1.0}
        assert set(split.a.sum(1)) == {0.0, 1.0}  # 0: observational
        assert split.a.any(0).all()


def test_uniform_actions():
    a = np.asarray(draw_uniform_actions(jax.random.key(0), 4000, 3))
    assert a.shape == (4000, 3)
    assert stats.kstest(a.ravel(), stats.uniform(-2, 4).cdf).pvalue > 1e-5
    assert np.abs(np.corrcoef(a.T) - np.eye(3)).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"process": "ActionNonDig"}, "nearest name is 'ActionNonDiag'"),
        ({"process": "TimeBlockHrd"}, "nearest name is 'TimeBlockHard'"),
        ({"process": ""}, "there is no data.process ''; the nearest name is"),
        ({"z_dim": 21, "x_dim": 20}, "got z_dim=21 > x_dim=20"),
        ({"z_dim": 0}, "data.z_dim must be at least 1, got 0"),
        ({"process": "ActionNoGraphCrit", "z_dim": 5}, "must be even .*, got 5"),
        ({"samples": 9}, "data.samples must be at least 10, got 9"),
        ({"latent_noise": 0.0}, "data.latent_noise must be positive, got 0.0"),
        (
            {"observation_noise": -0.1},
            "data.observation_noise must be at least 0, got -0.1",
        ),
        ({"process": "TimeRandom", "density": 1.5}, "density must be a probability"),
    ],
)
def test_config_errors(options, message):
    data = CausalProcess(**options)
    for refuse in (data.spec, data.load):
        with pytest.raises(ValueError, match=message):
            refuse()
