"""What may come into any metric, and what is refused."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from jaxdis import metrics
from jaxdis.metrics.inputs import checked_pair, halves, narrowed, paired, standardised
from jaxdis.metrics.kinds import answers

N, D = 240, 3
BLOCKS = [[0, 1], [2]]
PATTERN = np.triu(np.ones((D, D), int))

METRICS = {
    "mcc": metrics.mcc,
    "mcc of ranks": lambda z, c, **o: metrics.mcc(z, c, kind="spearman", **o),
    "mcc, weak": lambda z, c, **o: metrics.mcc(z, c, weak="linear", **o),
    "mcc, cca": lambda z, c, **o: metrics.mcc(z, c, weak="cca", **o),
    "mcc, held out": lambda z, c, **o: metrics.mcc(z, c, held_out=True, **o),
    "r": metrics.r,
    "r2": metrics.r2,
    "r2 of a kernel": lambda z, c, **o: metrics.r2(z, c, kind="kernel", **o),
    "r_con": lambda z, c, **o: metrics.r_con(z, c, PATTERN, **o),
    "block_r2": lambda z, c, **o: metrics.block_r2(z, c, PATTERN, **o),
    "subspace_r2": lambda z, c, **o: metrics.subspace_r2(z, c, BLOCKS, **o).own,
    "dci_linear": lambda z, c, **o: metrics.dci_linear(z, c, **o).disentanglement,
    "sap": lambda z, c, **o: metrics.sap(z, c, discrete=False, **o),
}
ALL = pytest.mark.parametrize("name", METRICS)


class Foreign:
    """What another library's array looks like to numpy."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.x, dtype)


def draw():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(N, D))
    return z, z + 0.4 * rng.normal(size=(N, D))


Z, CODES = draw()
WHOLE = np.round(30 * CODES).clip(-120, 120)

# Codes that are the same numbers but for the scale and the shift of a column.
WAYS = {
    "int64 beyond 32 bits": ((CODES * 3e9).astype(np.int64), CODES, 1e-5),
    "tiny": (CODES * 1e-9, CODES, 1e-5),
    "tinier": (CODES * 1e-200, CODES, 1e-5),
    "huge": (CODES * 1e200, CODES, 1e-5),
    "float64 far from 0": (CODES + 1e7, CODES, 1e-5),
    "float32 far from 0": ((WHOLE + 1e5).astype(np.float32), WHOLE, 1e-5),
    "float32": (CODES.astype(np.float32), CODES, 1e-5),
    "bfloat16": (WHOLE.astype(jnp.bfloat16), WHOLE, 1e-5),
    "float16": (WHOLE.astype(np.float16), WHOLE, 1e-5),
    "uint8": ((WHOLE + 128).astype(np.uint8), WHOLE, 1e-5),
    "lists": (CODES.tolist(), CODES, 1e-6),
    "Fortran order": (np.asfortranarray(CODES), CODES, 1e-6),
    "a view": (np.repeat(CODES, 2, 1)[:, ::2], CODES, 1e-6),
    "a frame": (pd.DataFrame(CODES, columns=list("abc")), CODES, 1e-6),
    "a nullable frame": (pd.DataFrame(CODES).astype("Float64"), CODES, 1e-6),
    "a foreign array": (Foreign(CODES), CODES, 1e-6),
    "on the device": (jnp.asarray(CODES, jnp.float32), CODES, 1e-5),
}


@ALL
@pytest.mark.parametrize("way", WAYS)
def test_numbers_of_any_kind_are_taken_as_they_are(name, way):
    given, plain, error = WAYS[way]
    expected = float(METRICS[name](Z, plain.astype(np.float64)))
    assert 0.1 < expected < 0.995
    assert float(METRICS[name](Z, given)) == pytest.approx(expected, abs=error)


@pytest.mark.parametrize(
    "way", ["int64 beyond 32 bits", "tinier", "float64 far from 0"]
)
def test_factors_of_any_kind(way):
    given, plain, _ = WAYS[way]
    for score in (metrics.mcc, metrics.r2):
        expected = pytest.approx(float(score(plain, Z)), abs=1e-6)
        assert float(score(given, Z)) == expected


def test_read_only_arrays_are_taken_and_left_alone():
    codes = CODES.copy()
    codes.flags.writeable = False
    for score in METRICS.values():
        score(Z, codes)
    np.testing.assert_array_equal(codes, draw()[1])


MASKED = np.ma.masked_array(CODES, CODES > 1)
ragged = [[1.0, 2.0]] * (N - 1) + [[1.0]]
REFUSED = {
    "complex": (CODES + 0j, "codes is complex; it must hold integers or real"),
    "objects": (CODES.astype(object), "codes holds objects"),
    "strings": (CODES.astype(str), "codes holds strings"),
    "ragged": (ragged, "codes is no table of numbers"),
    "dates": (CODES.astype("datetime64[s]"), "codes holds values of type datetime64"),
    "masked": (MASKED, "codes is a masked array; fill it"),
    "no rows": (CODES[:0], r"codes has shape \(0, 3\); it must not be empty"),
    "no columns": (CODES[:, :0], r"codes has shape \(240, 0\)"),
    "one axis": (CODES[:, 0], r"codes has shape \(240,\); it must be \[n, k\]"),
    "fewer rows": (CODES[:-1], "codes has 239 rows and z has 240"),
    "NaN": (np.where(CODES > 3, np.nan, CODES), None),
    "inf": (np.where(CODES > 3, -np.inf, CODES), None),
}


@ALL
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("way", REFUSED)
def test_what_is_no_table_is_refused_by_name(name, way):
    given, message = REFUSED[way]
    if message is None:
        at = np.argwhere(CODES > 3)[0].tolist()
        message = rf"codes is NaN or infinite at codes\[{at[0]}, {at[1]}\]"
    with pytest.raises(ValueError, match=message):
        METRICS[name](Z, given)


@ALL
@pytest.mark.usefixtures("unchecked")
def test_factors_that_are_not_finite_are_refused_with_their_places(name):
    z = Z.copy()
    z[5, 1] = np.nan
    z[7:, 0] = np.inf
    message = r"z is NaN or infinite at .*\[?7, 0.*|z is NaN or infinite at row 5"
    with pytest.raises(ValueError, match=message):
        METRICS[name](z, CODES)


@ALL
def test_failed_seeds_are_nan_only_if_asked(name):
    codes = np.stack([CODES, CODES[:, ::-1], CODES])
    codes[1, 9, 2] = np.nan
    found = np.asarray(METRICS[name](Z, codes, failed="nan"))
    assert np.isfinite(found).tolist() == [True, False, True]
    assert found[0] == pytest.approx(float(METRICS[name](Z, CODES)), abs=1e-5)


@ALL
def test_constants_are_warned_of_by_column_and_never_nan(name):
    z, codes = Z.copy(), CODES.copy()
    z[:, 1], codes[:, 2] = 0.1, 7.7
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = float(METRICS[name](z, codes))
        nothing = float(METRICS[name](np.ones((N, D)), np.ones((N, D))))
    said = "\n".join(str(w.message) for w in seen)
    assert "z is constant in columns [1]" in said
    assert "codes is constant in columns [2]" in said
    assert np.isfinite(found)
    assert nothing == 0


def test_few_samples_are_warned_of():
    with pytest.warns(UserWarning, match="2 samples of 3 factors and 3 codes"):
        metrics.mcc(Z[:2], CODES[:2])


def test_factors_of_each_seed_need_codes_of_each_seed():
    with pytest.raises(ValueError, match="factors with an axis of seeds need codes"):
        metrics.mcc(Z[None], CODES)
    both = metrics.mcc(np.stack([Z, CODES]), np.stack([CODES, CODES]))
    assert both[1] == pytest.approx(1, abs=1e-6)


def test_the_message_shows_no_more_than_five_places():
    z = np.full((N, D), np.nan)
    with pytest.raises(ValueError, match=r"z\[1, 1\] and 715 more"):
        checked_pair(z, CODES)


@pytest.mark.parametrize("rare", [1e-3, 1e9])
def test_narrowed_columns_keep_their_digits_where_few_rows_differ(rare):
    # The rows that are looked at first may all be alike, or miss the outlier.
    x = np.column_stack([np.full(N, 1e7), 1e7 + np.linspace(0, 1, N)])
    x[101] += rare
    found = standardised(np.asarray(narrowed(x), np.float64))
    np.testing.assert_allclose(found, standardised(x), atol=1e-5)


def test_known_values_stay_where_they_are():
    z = jnp.asarray(Z, jnp.float32)
    assert paired(z, CODES)[0] is z


def test_halves_are_those_of_their_key():
    first = halves(3, 100, 0.7)
    assert [len(rows) for rows in first] == [70, 30]
    assert sorted(np.concatenate(first)) == list(range(100))
    np.testing.assert_array_equal(first[0], halves(3, 100, 0.7)[0])
    assert (halves(4, 100)[0] != halves(3, 100)[0]).any()


ANSWERS = [[True, True, False], (True, True, False), np.array([True, True, False])]
ANSWERS += [jnp.array([True, True, False])]


@pytest.mark.parametrize("discrete", ANSWERS)
def test_which_columns_are_classes_may_come_from_any_library(discrete):
    assert answers("discrete", discrete, "z", 3) == [True, True, False]


@pytest.mark.parametrize(
    "discrete", [None, 3, 0.0, "no", [1.5, 1, 1], [True], {True}, [-1, 1, 1], [[1, 1]]]
)
def test_what_says_nothing_of_classes_is_refused(unchecked, discrete):
    for score in (metrics.mig, metrics.irs):
        with pytest.raises(ValueError, match="discrete must be 'auto', or true"):
            score(Z, CODES, discrete=discrete)
    with pytest.raises(ValueError, match="discrete_codes must be 'auto', or true"):
        metrics.mig(Z, CODES, discrete=False, discrete_codes=discrete or 2)


def test_one_answer_stands_for_all_columns(unchecked):
    assert answers("discrete", np.True_, "z", 2) == answers("discrete", True, "z", 2)


@pytest.mark.filterwarnings("ignore:z is:UserWarning")
def test_several_keys_are_refused(unchecked):
    keys = jax.random.split(jax.random.key(0), 2)
    for score in (METRICS["mcc, held out"], metrics.dci_es, metrics.beta_vae_score):
        with pytest.raises(ValueError, match="key holds 2 keys"):
            score(Z, CODES, key=keys)


def test_masks_of_sap_hold_truth_values_and_go_with_seeds_of_factors():
    mask = np.random.default_rng(0).random(Z.shape) > 0.2
    with pytest.raises(ValueError, match="type int64; it must be true"):
        metrics.sap(Z, CODES, mask=mask.astype(int))
    pair = np.stack([Z, Z[:, ::-1]]), np.stack([CODES, CODES**3])
    found = metrics.sap_matrix(*pair, mask=mask)
    each = [metrics.sap_matrix(z, c, mask=mask) for z, c in zip(*pair, strict=True)]
    np.testing.assert_allclose(found, each, atol=1e-6)
