"""All scores in one table: each is that of its own function, with interval and null."""

import csv
import json
import warnings
from functools import partial

import jax
import numpy as np
import pytest

from jaxdis import metrics
from jaxdis.metrics.evaluation import with_scale
from jaxdis.metrics.inputs import paired
from jaxdis.metrics.measures import MEASURES, Setting
from jaxdis.metrics.resampling import Data

RNG = np.random.default_rng(0)
N, D = 300, 3
Z = RNG.uniform(size=(N, D)).astype(np.float32)
NOISY = (Z[:, [2, 0, 1]] + 0.1 * RNG.normal(size=(N, D))).astype(np.float32)
USELESS = RNG.normal(size=(N, D)).astype(np.float32)
BOTH = np.stack([NOISY, USELESS])
FAST = ("mcc", "r", "r2")


@pytest.fixture(scope="module")
def both():
    return metrics.evaluate(Z, BOTH, names=FAST, bootstrap=40, null=10, key=1)


def test_values_are_those_of_the_metrics_themselves(both):
    assert [row.score.name for row in both.rows] == list(FAST)
    for name in FAST:
        expected = np.asarray(getattr(metrics, name)(Z, BOTH))
        np.testing.assert_allclose(both[name].value, expected, atol=1e-6)
    assert both.shape == (N, D, D, 2)
    assert both.factors == ("numbers",) * D


def test_intervals_lie_around_the_scores_and_nulls_at_the_useless_one(both):
    for row in both.rows:
        assert (row.low <= row.value).all()
        assert (row.value <= row.high).all()
        assert row.low[0] < row.value[0] < row.high[0]
        low, high = row.mean_interval
        assert low < row.value.mean() < high
        # The null is that of a useless code, whatever the code.
        assert (row.null < 0.2).all()
        assert abs(row.value[1] - row.null[1]) < 4 * row.null_std[1]
        assert row.value[0] > row.null[0] + 10 * row.null_std[0]


def test_a_seed_alone_scores_as_in_its_row(both):
    alone = metrics.evaluate(Z, NOISY, names=FAST, bootstrap=40, null=10, key=1)
    assert alone.shape[3] == 0
    for row, other in zip(alone.rows, both.rows, strict=True):
        assert row.value.shape == ()
        np.testing.assert_allclose(row.value, other.value[0], atol=1e-6)
        # Rows are drawn in batches, whose keys depend on how many seeds there are.
        np.testing.assert_allclose(row.low, other.low[0], atol=0.02)


def test_a_perfect_code_is_perfect_in_every_resample():
    found = metrics.evaluate(Z, -3 * Z[:, ::-1], names=FAST, bootstrap=20, null=5)
    for row in found.rows:
        assert min(row.value, row.low) > 0.99999
        assert row.null < 0.3


def test_what_does_not_fit_is_named_with_its_reason():
    some = {"bootstrap": 0, "null": 0, "names": ("mcc", "r_con")}
    found = metrics.evaluate(Z, NOISY, **some)
    assert [row.score.name for row in found.rows] == ["mcc"]
    assert "needs pattern=" in found.left_out["r_con"]
    assert "r_con left out: needs pattern=" in str(found)
    with pytest.raises(KeyError, match="r_con was left out"):
        found["r_con"]
    pattern = np.tril(np.ones((D, D), int))
    fit = metrics.evaluate(Z, NOISY, pattern=pattern, **some)
    assert fit.left_out == {}
    expected = metrics.r_con(Z, NOISY, pattern), metrics.r_con(Z, NOISY, pattern.T)
    found = fit["r_con"].value, fit["r_con_t"].value
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-6)


def test_the_usual_ones_come_without_being_named():
    found = metrics.evaluate(Z, NOISY, bootstrap=0, null=0)
    usual = {name for name, measure in MEASURES.items() if measure.usual}
    assert {row.measure for row in found.rows} | set(found.left_out) == usual
    assert "dci_gbt" not in usual


def test_names_of_rows_are_told_apart():
    names = [score.name for m in MEASURES.values() for score in m.scores]
    assert len(set(names)) == len(names)


def test_trees_have_a_null_and_no_interval():
    z = (Z[:40, :2] > 0.5).astype(int)
    found = metrics.evaluate(z, NOISY[:40, 1:], names="sap_tree", bootstrap=30, null=5)
    for row in found.rows:
        assert np.isnan([row.low, row.high, row.null_std]).all()
        assert np.isfinite(row.null)
    assert found.factors == ("2 classes",) * 2


def test_missing_labels_need_no_numbers():
    mask = np.ones((N, D), bool)
    mask[:50, 1] = False
    gaps = np.where(mask, Z, np.nan)
    found = metrics.evaluate(gaps, NOISY, names="mcc", mask=mask, bootstrap=20, null=5)
    row = found["mcc"]
    assert row.rows == N - 50
    expected = float(metrics.mcc(Z[50:], NOISY[50:]))
    assert float(row.value) == pytest.approx(expected, abs=1e-6)
    assert row.low <= expected <= row.high
    mask[3:, 2] = False
    mask[:, 0] = np.arange(N) % 2
    mask[:3, 0] = [True, False, False]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = metrics.evaluate(Z, NOISY, names="dci_linear", mask=mask, null=0)
    assert "rows" in found.left_out["dci_linear"]


def test_a_failed_seed_is_refused_or_told():
    broken = BOTH.copy()
    broken[1, 3, 2] = np.nan
    with pytest.raises(ValueError, match=r"codes is NaN or infinite at codes\[1, 3, 2"):
        metrics.evaluate(Z, broken)
    found = metrics.evaluate(Z, broken, names=FAST, failed="nan", bootstrap=10, null=5)
    for row in found.rows:
        assert np.isnan([row.value[1], row.low[1], row.null[1]]).all()
        assert row.mean_interval[0] <= row.value[0] <= row.mean_interval[1]
    assert "failed seeds, left out of means: 1" in str(found)


def test_warnings_are_said_once_and_kept():
    codes = NOISY.copy()
    codes[:, 1] = 7.0
    with pytest.warns(UserWarning, match="constant in columns") as caught:
        found = metrics.evaluate(Z, codes, names=FAST, bootstrap=5, null=0)
    assert len(caught) == 1
    assert len(found.notes) == 1
    assert found.dead == 1
    assert "dead codes: 1" in str(found)


def test_tables_and_files_hold_every_seed(both, tmp_path):
    text = str(both)
    assert "MCC" in text
    assert "useless code" in text
    assert "300 rows of 3 factors and 3 codes, 2 seeds" in text
    both.write(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["score"], r["seed"]) for r in rows[:3]] == [
        ("mcc", "0"), ("mcc", "1"), ("r", "0"),
    ]  # fmt: skip
    assert float(rows[0]["low"]) < float(rows[0]["value"]) < float(rows[0]["high"])
    both.write(tmp_path / "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["scores"][1]["value"] == pytest.approx(both["mcc"].value[1])
    assert found["bootstrap"] == 40
    with pytest.raises(ValueError, match=r"path must end in \.csv or \.json"):
        both.write(tmp_path / "scores.txt")
    # NaN is a cell without number, and JSON has none.
    bare = metrics.evaluate(Z, NOISY, names="mcc", bootstrap=0, null=0)
    bare.write(tmp_path / "bare.csv")
    with (tmp_path / "bare.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["low"] == row["null"] == ""
    bare.write(tmp_path / "bare.json")
    found = json.loads((tmp_path / "bare.json").read_text())
    assert found["scores"][0]["low"] is None


def test_wide_numbers_keep_their_digits():
    shifted = NOISY.astype(np.float64) * 1e-3 + 1e7
    found = metrics.evaluate(Z, shifted, names="mcc", bootstrap=20, null=5)["mcc"]
    plain = metrics.evaluate(Z, NOISY, names="mcc", bootstrap=20, null=5)["mcc"]
    for name in ("value", "low", "high", "null"):
        a, b = getattr(found, name), getattr(plain, name)
        np.testing.assert_allclose(a, b, atol=2e-3)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"names": "mmc"}, "there is no metric 'mmc'; the nearest name is 'mcc'"),
        ({"names": ()}, "the number of names must be at least 1"),
        ({"bootstrap": -1}, "bootstrap must be at least 0"),
        ({"bootstrap": 1.5}, "bootstrap must be a whole number"),
        ({"null": True}, "null must be a whole number"),
        ({"confidence": 95}, "confidence must be above 0 and below 1, as .95; got 95"),
        ({"codes": NOISY[1:]}, "codes has 299 rows and z has 300"),
        ({"z": Z.astype(str)}, "z holds strings"),
        ({"pattern": np.eye(2)}, r"pattern has shape \(2, 2\); it must be \(3, 3\)"),
        ({"key": "a"}, "key must be a whole number"),
    ],
)
def test_mistakes_are_one_sentence(words, message):
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(**({"z": Z, "codes": NOISY, "names": "mcc"} | words))


def test_it_is_not_for_jit():
    with pytest.raises(ValueError, match="call the metrics themselves"):
        jax.jit(lambda z: metrics.evaluate(z, NOISY))(Z)


CLASSES = np.random.default_rng(3).integers(0, 4, (120, 3)) * 5 + 2
CODED = CLASSES[:, ::-1] + np.random.default_rng(4).normal(size=(120, 3))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mcc_held_out", partial(metrics.mcc, held_out=True, key=2)),
        ("r2_kernel", partial(metrics.r2, kind="kernel", key=2)),
        ("mig", metrics.mig),
        ("sap_tree", partial(metrics.sap, kind="tree", key=2)),
        ("irs", metrics.irs),
        ("explicitness", partial(metrics.explicitness, key=2)),
    ],
)
def test_every_entry_is_its_own_function_and_drawn_about_it(name, function):
    some = {"names": name, "bootstrap": 12, "null": 3, "key": 2}
    found = metrics.evaluate(CLASSES, CODED, **some)
    assert found.left_out == {}
    (row,) = found.rows
    assert row.value == pytest.approx(float(function(CLASSES, CODED)), abs=1e-5)
    assert row.null < row.value
    if MEASURES[name].bootstrap:
        assert row.low <= row.value <= row.high
        assert row.high - row.low < 0.5
    else:
        assert np.isnan(row.low)


@pytest.mark.parametrize("name", ["dci_linear", "dci_lasso", "infomec"])
def test_entries_of_three_scores(name):
    found = metrics.evaluate(CLASSES, CODED, names=name, bootstrap=0, null=0, key=2)
    own = (
        metrics.infomec(CLASSES, CODED)
        if name == "infomec"
        else metrics.dci(CLASSES, CODED, name.removeprefix("dci_"), key=2)
    )
    values = [row.value for row in found.rows]
    np.testing.assert_allclose(values, np.asarray(own[:3]), atol=1e-5)


def test_drawn_rows_of_rank_scores_are_ranked_anew():
    """What is counted, not sorted, is the rank correlation of the drawn rows."""
    measure = MEASURES["mcc_spearman"]
    rng = np.random.default_rng(5)
    rows = rng.integers(0, N, N)
    data = Data(np.round(Z, 1), BOTH)
    prepared = measure.redrawn.prepare(data)
    drawn = Data(prepared.z[rows], prepared.codes[:, rows])
    found = measure.redrawn.compute(drawn, Setting((False,) * D))[0]
    expected = metrics.mcc(data.z[rows], BOTH[:, rows], kind="spearman")
    np.testing.assert_allclose(found, np.asarray(expected), atol=1e-5)


def test_scores_that_depend_on_scale_are_drawn_at_the_scale_of_the_codes():
    """For the others codes of float64 are scaled on their way to the device."""
    codes = CODED * [1.0, 100.0, 0.01]
    found = metrics.evaluate(CLASSES, codes, names="irs", bootstrap=15, null=0)["irs"]
    assert found.value == pytest.approx(float(metrics.irs(CLASSES, codes)), abs=1e-5)
    assert found.low <= found.value <= found.high
    ready = with_scale(codes, paired(CLASSES, codes)[1])
    np.testing.assert_allclose(np.asarray(ready).std(0), codes.std(0), rtol=1e-5)
