"""DCI of trees: small numbers of rows, as the libraries are the oracles."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.inspection import permutation_importance

from jaxdis import workers
from jaxdis.metrics import dci, dci_trees
from jaxdis.metrics.inputs import halves
from tests.metrics.oracles import dci_oracle

TREES = ["gbt", "hist", "lightgbm"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def close(result, d, c, i, importance, atol=1e-5):
    assert float(result.disentanglement) == pytest.approx(d, abs=atol)
    assert float(result.completeness) == pytest.approx(c, abs=atol)
    assert float(result.informativeness) == pytest.approx(i, abs=atol)
    np.testing.assert_allclose(result.importance, importance, atol=atol)


def gbt(is_classes):
    model = GradientBoostingClassifier if is_classes else GradientBoostingRegressor
    return model(random_state=0), lambda fit, *_: fit.feature_importances_


def hist(is_classes):
    classifier, regressor = (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )
    model = (classifier if is_classes else regressor)(random_state=0)

    def importances(fit, codes, factor):
        found = permutation_importance(fit, codes, factor, random_state=0)
        return np.maximum(found.importances_mean, 0)

    return model, importances


def lightgbm(is_classes):
    from lightgbm import LGBMClassifier, LGBMRegressor

    model = (LGBMClassifier if is_classes else LGBMRegressor)(
        n_estimators=100, max_depth=3, verbose=-1, random_state=0, n_jobs=1
    )

    def importances(fit, *_):
        gain = fit.booster_.feature_importance("gain")
        return gain / gain.sum()

    return model, importances


ORACLES = {"gbt": gbt, "hist": hist, "lightgbm": lightgbm}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("probe", TREES)
def test_matches_the_library_and_the_formulas(rng, probe):
    n = 150
    z = np.column_stack([rng.integers(0, 3, n), rng.normal(size=n)])  # both kinds
    codes = z @ rng.normal(size=(2, 3)) + 0.3 * rng.normal(size=(n, 3))
    fit, judge = halves(None, n, 2 / 3)
    columns, scores = [], []
    for j, is_classes in enumerate([True, False]):
        factor = z[:, j].astype(int) if is_classes else z[:, j]
        model, importances = ORACLES[probe](is_classes)
        model.fit(codes[fit], factor[fit])
        scores.append(model.score(codes[judge], factor[judge]))
        columns.append(importances(model, codes[judge], factor[judge]))
    importance = np.stack(columns, 1)
    assert min(scores) > 0.3
    assert max(scores) < 0.99
    result = dci(z, codes, probe)
    close(result, *dci_oracle(importance), np.mean(scores), importance, atol=1e-5)


def test_perfect_and_useless(rng):
    z = rng.integers(0, 2, (150, 2))
    close(dci_trees(z, -z[:, ::-1]), 1, 1, 1, np.eye(2)[::-1], atol=1e-6)
    useless = dci_trees(z, rng.normal(size=(150, 2)))
    assert float(useless.disentanglement) < 0.1
    assert float(useless.completeness) < 0.1
    assert float(useless.informativeness) == pytest.approx(1 / 2, abs=0.15)


@pytest.mark.parametrize(
    ("probe", "shared"),
    # One of two equal codes takes all the splits, or both some.
    [("lightgbm", False), ("gbt", True)],
)
def test_duplicated(rng, probe, shared):
    z = rng.integers(0, 2, (300, 2))
    u = z + 0.1 * rng.normal(size=z.shape)
    result = dci(z, np.hstack([u, u]), probe)
    assert float(result.disentanglement) > 0.95
    assert float(result.informativeness) > 0.98
    assert (float(result.completeness) < 0.9) == shared


@pytest.mark.parametrize("probe", TREES)
def test_a_null_takes_useless_codes_to_zero_and_leaves_good_ones(rng, probe):
    z = rng.integers(0, 3, (240, 2))
    codes = z + 0.05 * rng.normal(size=z.shape)
    kept = dci(z, codes, probe, null="permute")
    assert float(kept.disentanglement) > 0.95
    assert float(kept.informativeness) > 0.95
    useless = dci(z, rng.normal(size=z.shape), probe, null="permute")
    assert float(useless.disentanglement) == float(useless.completeness) == 0


def test_sees_even_functions(rng):
    z = rng.normal(size=(200, 2))
    z_hat = np.abs(z) + 0.01 * rng.normal(size=z.shape)
    even = np.abs(z) > 0.7
    assert float(dci_trees(even, z_hat).informativeness) > 0.9
    assert float(dci_trees(z_hat, z).informativeness) > 0.9


class TestClassesThatSomeRowsLack:
    @pytest.mark.parametrize("probe", TREES)
    def test_one_class_to_fit_on(self, rng, probe):
        fit, judge = halves(None, 90, 2 / 3)
        z = rng.integers(0, 2, (90, 2))
        z[fit, 1], z[judge, 1] = 0, np.arange(30) >= 10
        result = dci(z, z, probe)
        np.testing.assert_array_equal(result.importance[:, 1], 0)
        expected = (float(dci(z[:, :1], z, probe).informativeness) + 1 / 3) / 2
        assert float(result.informativeness) == pytest.approx(expected)

    @pytest.mark.parametrize("probe", TREES)
    @pytest.mark.parametrize("half", [0, 1])
    def test_a_class_in_one_part_only(self, rng, probe, half):
        rows = halves(None, 90, 2 / 3)[half][:5]
        z = rng.integers(0, 2, (90, 1))
        z[rows] = 7
        codes = z + 0.01 * rng.normal(size=z.shape)
        score = float(dci(z, codes, probe).informativeness)
        # Those that were never seen are never right.
        assert score == pytest.approx(25 / 30 if half else 1, abs=0.1)

    @pytest.mark.parametrize("probe", TREES)
    def test_constant_numbers_to_judge_on(self, rng, probe):
        z = rng.normal(size=(90, 1))
        codes = z.copy()
        z[halves(None, 90, 2 / 3)[1]] = 0.5
        assert float(dci(z, codes, probe).informativeness) == 0


def test_a_constant_factor_scores_0_with_a_warning(rng):
    z = rng.integers(0, 2, (90, 2))
    z_hat = z + rng.normal(size=z.shape)
    expected = float(dci_trees(z[:, :1], z_hat).informativeness)
    assert 0 < expected < 1
    z[:, 1] = 3
    with pytest.warns(UserWarning, match=r"z is constant in columns \[1\]"):
        found = dci_trees(z, z_hat)
    assert float(found.informativeness) == pytest.approx(expected / 2)
    np.testing.assert_array_equal(found.importance[:, 1], 0)


def test_seed_axis_and_failed_runs(rng):
    z = rng.integers(0, 2, (90, 2))
    z_hat = z[None] + rng.normal(size=(3, 90, 2))
    z_hat[1, 4, 0] = np.nan
    with pytest.raises(ValueError, match=r"codes is NaN or infinite at codes\[1, 4, 0"):
        dci_trees(z, z_hat)
    found = dci_trees(z, z_hat, failed="nan")
    assert found.importance.shape == (3, 2, 2)
    for leaf in found:
        assert np.isnan(leaf[1]).all()
    for s in (0, 2):
        for new, old in zip(found, dci_trees(z, z_hat[s]), strict=True):
            assert np.isfinite(old).all()
            np.testing.assert_array_equal(new[s], old)


def test_missing_labels(rng):
    z = rng.integers(0, 2, (120, 2)).astype(float)
    codes = z + 0.3 * rng.normal(size=z.shape)
    z[::3, 1] = np.nan
    found = dci(z, codes, mask=np.isfinite(z))
    first = dci(z[:, :1], codes)
    np.testing.assert_array_equal(found.importance[:, 0], first.importance[:, 0])
    assert 0.8 < float(found.informativeness) <= 1


def test_processes_give_what_one_gives(rng, monkeypatch):
    z = rng.integers(0, 2, (90, 2))
    codes = z[None] + rng.normal(size=(2, 90, 2))
    expected = dci(z, codes, jobs=1)
    monkeypatch.setattr(workers, "START", 0.0)
    for new, old in zip(dci(z, codes, jobs=2), expected, strict=True):
        np.testing.assert_array_equal(new, old)


def test_processes_start_without_jax():
    program = "import sys, jaxdis.probes; print('jax' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_without_lightgbm_it_is_said(monkeypatch, rng):
    module = sys.modules[dci.__module__]
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "jaxdis\[trees\]"'):
        dci(rng.integers(0, 2, (10, 1)), rng.normal(size=(10, 1)), "lightgbm")


@pytest.mark.usefixtures("unchecked")
def test_a_wrong_number_of_processes_is_refused(rng):
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        dci(rng.integers(0, 2, (10, 1)), rng.normal(size=(10, 1)), jobs=0)
