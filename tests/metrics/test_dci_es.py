import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis.metrics import dci_es, dci_linear
from jaxdis.metrics.dci_es import CAPACITIES, RIDGE, capacity_score
from jaxdis.metrics.inputs import halves

N, D = 800, 3
SMALL = (0, 16, 64)  # features, as most tests need no more
HADAMARD = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def oracle(z, codes, capacities):
    """The curve, E and I, by normal equations in float64."""
    fit, judge = halves(None, len(z))
    z, codes = ((x - x.mean(0)) / x.std(0) for x in (z, codes))
    k, most = codes.shape[1], capacities[-1]
    frequency, phase = jax.random.split(jax.random.key(0))
    turns = np.asarray(jax.random.normal(frequency, (k, most)), float) / np.sqrt(k)
    shift = np.asarray(jax.random.uniform(phase, (most,), maxval=2 * np.pi), float)
    codes = codes - codes[fit].mean(0)
    waves, losses = np.cos(codes @ turns + shift), []
    for m in capacities:
        features = np.hstack([codes, waves[:, :m] * np.sqrt(2 / max(m, 1))])
        features -= features[fit].mean(0)
        seen, target = features[fit], z[fit] - z[fit].mean(0)
        system = seen.T @ seen / len(fit) + RIDGE * np.eye(k + m)
        fits = features[judge] @ np.linalg.solve(system, seen.T @ target / len(fit))
        error = (z[judge] - z[fit].mean(0) - fits) ** 2
        losses.append(error.mean(0) / z[judge].var(0))
    losses = np.minimum.accumulate(losses)
    x = np.log(k + np.array(capacities))
    between = (losses[1:] + losses[:-1]) / 2 - losses[-1]
    area = (between * np.diff(x)[:, None]).sum(0) / (x[-1] - x[0])
    return losses, (1 - 2 * area).mean(), (1 - losses[-1]).mean()


@pytest.mark.parametrize("capacities", [SMALL, CAPACITIES])
def test_matches_normal_equations(rng, capacities):
    z = rng.normal(size=(N, D))
    codes = np.sinh(1.5 * z @ np.linalg.qr(rng.normal(size=(D, D)))[0])
    losses, e, i = oracle(z, codes, capacities)
    assert losses[0].mean() - losses[-1].mean() > 0.05
    result = dci_es(z, codes, capacities=capacities)
    np.testing.assert_allclose(result.losses, losses, atol=1e-3)
    assert float(result.explicitness) == pytest.approx(e, abs=1e-3)
    assert float(result.informativeness) == pytest.approx(i, abs=1e-3)


def test_codes_that_say_all_that_they_say_are_explicit(rng):
    z = rng.normal(size=(N, 4))
    for codes in (z * [-1, 5, 1, 1] + 3, z @ HADAMARD):
        result = dci_es(z, codes, capacities=SMALL)
        assert float(result.explicitness) >= 0.99
        assert float(result.informativeness) >= 0.99
    # A flat curve is explicit, whatever it holds: read E beside I.
    useless = dci_es(z, rng.normal(size=z.shape), capacities=SMALL)
    assert float(useless.explicitness) >= 0.98
    assert abs(float(useless.informativeness)) < 0.03


def test_bent_codes_take_capacity(rng):
    z = rng.uniform(-1, 1, (2000, 5))
    result = dci_es(z, z**3)
    assert float(result.explicitness) == pytest.approx(0.93, abs=0.02)
    assert float(result.informativeness) == pytest.approx(0.92, abs=0.03)


def test_a_loss_that_falls_evenly_has_no_explicitness():
    # By hand: from 1 to 0 in equal steps of x, the area is 1/2.
    losses = jnp.array([[1.0], [0.5], [0.0]])
    found = capacity_score(losses, jnp.ones(1), jnp.array([0.0, 1.0, 2.0]))
    assert float(found[0]) == pytest.approx(0)


def test_slopes_are_weights_where_waves_do_not_help(rng):
    z = rng.normal(size=(N, D))
    codes = z @ (np.eye(D) + 0.5 * rng.normal(size=(D, D)))
    codes = np.hstack([codes, rng.normal(size=(N, 1))])
    result, linear = dci_es(z, codes, capacities=SMALL), dci_linear(z, codes)
    np.testing.assert_allclose(result.importance, linear.importance, atol=0.05)
    assert float(result.size) == pytest.approx(3 / 4)
    d = float(linear.disentanglement)
    assert float(result.disentanglement) == pytest.approx(d, abs=0.1)


def test_mixed_factors_and_missing_labels(rng):
    z = np.column_stack([rng.integers(0, 4, N), rng.normal(size=N)])
    codes = z + 0.01 * rng.normal(size=z.shape)
    result = dci_es(z, codes, capacities=SMALL)
    assert float(result.informativeness) == pytest.approx(1, abs=5e-3)
    number = dci_es(z, rng.normal(size=z.shape), capacities=SMALL, discrete=[4, False])
    # What is left of a useless code: the largest class, and no variance.
    assert float(number.losses[-1, 0]) == pytest.approx(3 / 4, abs=0.06)
    z[::3, 1] = np.nan
    some = dci_es(z, codes, capacities=SMALL, mask=np.isfinite(z))
    assert float(some.informativeness) == pytest.approx(1, abs=5e-3)
    np.testing.assert_allclose(some.losses[:, 0], result.losses[:, 0], atol=1e-6)


def test_constants_seeds_jit_and_failed_runs(rng):
    z = rng.normal(size=(N, D))
    codes = z[None] + rng.normal(size=(2, N, D))
    expected = [dci_es(z, c, capacities=SMALL) for c in codes]
    both = dci_es(z, codes, capacities=SMALL)
    traced = jax.jit(lambda c: dci_es(z, c, capacities=SMALL, discrete=False))
    for found in (both, traced(codes.astype(np.float32))):
        for s in range(2):
            for new, old in zip(found, expected[s], strict=True):
                np.testing.assert_allclose(new[s], old, atol=2e-4)
    codes[0, 1, 0] = np.nan
    found = dci_es(z, codes, capacities=SMALL, failed="nan")
    for new, old in zip(found, expected[1], strict=True):
        assert np.isnan(new[0]).all()
        np.testing.assert_allclose(new[1], old, atol=1e-6)
    z[:, 0] = 2.0
    with pytest.warns(UserWarning, match=r"z is constant in columns \[0\]"):
        flat = dci_es(z, codes[1], capacities=SMALL)
    left = np.delete(np.asarray(expected[1].losses), 0, 1)[-1]
    assert float(flat.informativeness) == pytest.approx((1 - left).sum() / 3, abs=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("capacities", [(8,), (8, 8), (-1, 8), (16, 8)])
def test_capacities_that_do_not_rise_are_refused(rng, capacities):
    with pytest.raises(ValueError, match="capacities must be at least two rising"):
        dci_es(rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), capacities=capacities)
