"""The toy of labels that depend on a few factors each."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from jaxdis.data.factor_tasks import FactorTasks, supports

SMALL = FactorTasks(z_dim=4, x_dim=6, copies=2, noise=0.0, samples=60, test_rows=30)


def test_labels_are_linear_in_their_own_factors_alone():
    splits, used = SMALL.load(), SMALL.spec().truth.supports
    assert used.tolist()[:4] == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    assert used.shape == (8, 4)
    fit = LinearRegression(fit_intercept=False).fit(splits.train.z, splits.train.y)
    assert fit.score(splits.test.z, splits.test.y) == pytest.approx(1, abs=1e-5)
    assert ((np.abs(fit.coef_) > 1e-4) == used).all()


def test_noise_is_that_of_labels():
    data = replace(SMALL, noise=0.5, samples=4_000)
    rows = data.load().train
    fit = LinearRegression().fit(rows.z, rows.y)
    left = np.asarray(rows.y) - fit.predict(rows.z)
    assert np.abs(left.std(0) - 0.5).max() < 0.03


def test_worlds_have_mixings_and_weights_of_their_own():
    apart = replace(SMALL, worlds=0)
    found = apart.load_worlds((3, 0)).test
    alone = apart.load_worlds((3,)).test
    assert (found.x[0] == alone.x[0]).all()
    assert (found.y[1] == SMALL.load().test.y).all()
    weights = [
        LinearRegression(fit_intercept=False).fit(z, y).coef_
        for z, y in zip(found.z, found.y, strict=True)
    ]
    assert np.abs(weights[0] - weights[1]).max() > 0.1
    assert apart.spec().worlds == 0
    assert len(replace(SMALL, worlds=2).load().train.x) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_dim": 2}, "data.z_dim must be at least 3, got 2"),
        ({"copies": 0}, "data.copies must be at least 1, got 0"),
        ({"noise": -1.0}, "data.noise must be at least 0, got -1.0"),
        ({"z_dim": 7}, "data.z_dim must not exceed data.x_dim"),
        ({"worlds": -1}, "data.worlds must be at least 0, got -1"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(SMALL, **changes).spec()


def test_supports_are_neighbours():
    assert (supports(5, 3).sum(1) == 2).all()
    assert (supports(5, 3).sum(0) == 6).all()
