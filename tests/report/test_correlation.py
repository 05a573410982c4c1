"""Correlations of latents, of an invented record."""

import matplotlib.style
import numpy as np
import pytest

from jaxdis.report.correlation import draw_correlation
from jaxdis.report.kit import STYLE
from jaxdis.report.read import Group, Record


@pytest.fixture(autouse=True)
def style():
    with matplotlib.style.context(["default", STYLE]):
        yield


def make_record(correlation, failed=(), mcc=True):
    points, seeds = correlation.shape[:2]
    final = {"mcc": np.full(seeds, 0.9)} if mcc else {}
    groups = [
        Group(
            f"point {p}" if points > 1 else "", {}, list(range(seeds)),
            np.isin(range(seeds), failed), final, np.array([1]), {},
        )
        for p in range(points)
    ]  # fmt: skip
    return Record("a/b", {}, {}, groups, {}, {}, {"correlation": correlation})


def axes_of(figure):
    axes = [ax for part in figure.subfigs for ax in part.axes]
    return [ax for ax in axes if ax.get_label() != "<colorbar>"]


def test_mean_of_the_seeds_that_did_not_fail_and_every_seed():
    correlation = np.random.default_rng(0).random((2, 3, 4, 4))
    axes = axes_of(draw_correlation(make_record(correlation, failed=(1,))))
    assert len(axes) == 2 * (1 + 3)
    for point, some in enumerate((axes[:4], axes[4:])):
        mean = correlation[point, [0, 2]].mean(0)
        np.testing.assert_allclose(some[0].collections[0].get_array(), mean)
        assert some[0].get_title("left") == "mean of 2 seeds"
        assert "MCC 0.900 ± 0.000" in [t.get_text() for t in some[0].texts]
        for seed, ax in enumerate(some[1:]):
            matrix = ax.collections[0].get_array()
            np.testing.assert_allclose(matrix, correlation[point, seed])
        titles = [ax.get_title("left") for ax in some[1:]]
        assert titles == ["seed 0  0.900", "seed 1 failed", "seed 2  0.900"]


def test_one_seed_none_that_lived_and_none_at_all():
    correlation = np.random.default_rng(0).random((1, 1, 2, 2))
    (ax,) = axes_of(draw_correlation(make_record(correlation, mcc=False)))
    assert ax.get_title("left") == "correlation of latents"
    (ax,) = axes_of(draw_correlation(make_record(correlation, failed=(0,))))
    assert "every seed failed" in [t.get_text() for t in ax.texts]
    record = make_record(correlation)._replace(arrays={})
    assert draw_correlation(record) is None
