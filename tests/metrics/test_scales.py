"""No shift and no scale of a column changes a score that does not depend on it."""

import subprocess
import sys
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import metrics
from jaxdis.metrics.fitted import bounded, readable

N = 150
KINDS = [True, True, False]  # classes, classes, numbers
ALONE = {"jobs": 1, "progress": False, "discrete": KINDS}
VOTES = {"train": 200, "test": 100, "batch": 16, "discrete": KINDS}

METRICS = {
    "gbt": lambda z, c: metrics.dci(z, c, "gbt", **ALONE),
    "hist": lambda z, c: metrics.dci(z, c, "hist", **ALONE),
    "tree": lambda z, c: metrics.sap_matrix(z, c, "tree", **ALONE),
    "explicitness": lambda z, c: metrics.explicitness(z, c, **ALONE),
    "bins": lambda z, c: metrics.mutual_information(z, c, discrete=KINDS),
    "infomec": lambda z, c: metrics.infomec(z, c, discrete=KINDS),
    "kernel": lambda z, c: metrics.r2(z, c, kind="kernel"),
    "beta-VAE": lambda z, c: metrics.beta_vae_score(z, c, **VOTES),
    "irs": lambda z, c: metrics.irs(z, c, discrete=KINDS),
}


def draw():
    rng = np.random.default_rng(0)
    z = np.stack([rng.integers(0, 3, N), rng.integers(0, 4, N), rng.normal(size=N)], 1)
    return z, z + 0.4 * rng.normal(size=z.shape)


Z, CODES = draw()

WAYS = {
    "small codes": (Z, CODES * 2.0**-30),
    "tiny codes": (Z, CODES * 2.0**-1000),
    "codes that have lost digits": (Z, CODES * 2.0**-1025),
    "huge codes": (Z, CODES * 2.0**1000),
    "shifted codes": (Z, CODES + 1e9),
    "tiny codes in float32": (Z, jnp.asarray(CODES * 2.0**-120, jnp.float32)),
    "huge codes in float32": (Z, jnp.asarray(CODES * 2.0**120, jnp.float32)),
    "small factors": (Z * [1, 1, 2.0**-30], CODES),
    "tiny factors": (Z * [1, 1, 2.0**-1000], CODES),
    "huge factors": (Z * [1, 1, 2.0**1000], CODES),
    "shifted factors": (Z + np.array([0, 0, 1e9]), CODES),
}


def numbers(tree):
    return np.concatenate(
        [np.ravel(np.asarray(x, float)) for x in jax.tree.leaves(tree)]
    )


@pytest.mark.parametrize("name", METRICS)
def test_scale_and_shift_do_not_matter(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="z is", category=UserWarning)
        plain = numbers(METRICS[name](Z, CODES))
        assert np.abs(plain).max() > 0.1
        for way, (z, codes) in WAYS.items():
            found = numbers(METRICS[name](z, codes))
            # Trees of rounded numbers break ties in another way.
            close = 0.02 if "shifted" in way else 2e-3
            np.testing.assert_allclose(found, plain, atol=close, err_msg=way)


@pytest.mark.filterwarnings("ignore:z is:UserWarning")
def test_scores_that_depend_on_the_scale_stay_finite():
    for scale in (1e-300, 1e300, 1.7e308 / np.abs(CODES).max()):
        for z in (Z, Z * [1, 1, scale / 10]):
            some = metrics.sap(z, CODES * scale, "discrete", **ALONE)
            assert 0 <= float(some) <= 1
        votes = metrics.factor_vae_score(Z, CODES * scale, **VOTES)
        assert float(votes) == 0 if scale < 1 else float(votes) > 0.3
        given = metrics.beta_vae_score(Z, CODES * scale, faithful=True, **VOTES)
        assert 0 <= float(given) <= 1


def test_only_what_would_be_lost_is_changed():
    x = np.stack([CODES[:, 0], 100 * CODES[:, 1], CODES[:, 2] + 1e6], 1)
    np.testing.assert_array_equal(readable(x)[:, :2], x[:, :2])
    far = readable(x)[:, 2]
    np.testing.assert_allclose([far.mean(), far.std()], [0, 1], atol=1e-9)
    np.testing.assert_array_equal(readable(np.full((5, 1), 0.1)), 0)
    np.testing.assert_array_equal(bounded(x), x)
    np.testing.assert_array_equal(bounded(x * 2.0**900) / bounded(x * 2.0**901), 1)


def test_floats_of_eight_bits_are_numbers():
    z, codes = Z.round(), CODES.round()
    narrow = codes.astype(jnp.float8_e4m3fn)
    for score in (metrics.sap, METRICS["kernel"], metrics.mcc):
        assert float(score(z, narrow)) == pytest.approx(float(score(z, codes)), 1e-5)


CALLS = """
import warnings
import numpy as np
from jaxdis import metrics
z = np.random.default_rng(0).normal(size=(40, 2))
few = np.round(z) / 3
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    metrics.irs(z, z)
    metrics.irs_matrix(z, z)
    metrics.mig(z, z)
    metrics.infomec(z, z)
    metrics.mig(few, z)
    metrics.evaluate(z, few + [0, 1], names="mcc", bootstrap=0, null=0)
assert len(seen) >= 4, seen
assert {w.filename for w in seen} == {"<string>"}, seen
"""


def test_warnings_name_the_line_that_called():
    # Apart, as the checks of annotations in tests lie between.
    subprocess.run([sys.executable, "-c", CALLS], check=True)


def test_correlations_of_seeds():
    codes = np.stack([CODES, -CODES[:, ::-1], CODES**3])
    for kind in ("pearson", "spearman"):
        each = [metrics.correlation_matrix(Z, c, kind=kind) for c in codes]
        found = metrics.correlation_matrix(Z, codes, kind=kind)
        np.testing.assert_allclose(found, each, atol=1e-6)
        traced = jax.jit(partial(metrics.correlation_matrix, kind=kind))
        np.testing.assert_allclose(
            traced(jnp.asarray(Z, jnp.float32), jnp.asarray(codes, jnp.float32)),
            each,
            atol=1e-5,
        )
