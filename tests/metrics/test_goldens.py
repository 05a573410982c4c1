"""Against the published programs' own metrics: tests/goldens/released_metrics.py."""

import json
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdis import metrics
from jaxdis.identifiability import consistency_pattern
from jaxdis.metrics.dci_es import capacity_score
from jaxdis.metrics.inputs import halves
from tests.goldens import metric_arrays as arrays

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "goldens" / "metrics.json").read_text()
)
LIB = GOLDEN["disentanglement_lib"]
LATENTS = GOLDEN["disentanglement_via_mechanism_sparsity"]
CODES = [arrays.case(i) for i in range(arrays.CASES)]
EXACT = 1e-6

# Constant codes are meant: rounded ones of one case are.
pytestmark = pytest.mark.filterwarnings("ignore:codes is constant")


def compare(found, golden, tolerance=EXACT):
    """Every case of a golden against `found(i)`."""
    for i, expected in golden.items():
        got = np.asarray(found(int(i)))
        np.testing.assert_allclose(got, expected, atol=tolerance, err_msg=f"case {i}")


def test_arrays_are_those_of_the_programs():
    for case, sums in zip(CODES, GOLDEN["sums"], strict=True):
        found = [x.sum() for x in case]
        np.testing.assert_allclose(found, sums, rtol=1e-9, atol=1e-7)
    for ours, theirs in ((arrays.halves(), 0.5), (arrays.thirds(), 2 / 3)):
        for mine, rows in zip(ours, halves(None, arrays.ROWS, theirs), strict=True):
            np.testing.assert_array_equal(mine, rows)


@pytest.mark.parametrize("name", ["mig", "modularity"])
def test_information(name):
    score = getattr(metrics, name)
    compare(lambda i: score(CODES[i].z, CODES[i].codes), LIB[name])


def test_gap_of_entropies():
    sizes = np.log([6, 40, 32, 32])

    def found(i):
        rng = np.random.default_rng([22, i])
        conditional, marginal = rng.uniform(0, 1, (4, 6)), rng.uniform(1, 3, 6)
        information = np.maximum(marginal - conditional, 0).T
        return metrics.mig_from_information(information, sizes)

    compare(found, GOLDEN["beta-tcvae"]["mig_from_entropies"])


def test_explicitness():
    # Logistic regressions are solved to a tolerance, by other versions of a solver.
    compare(
        lambda i: metrics.explicitness(CODES[i].z, CODES[i].codes),
        LIB["explicitness"],
        1e-3,
    )


def test_sap_of_numbers():
    compare(
        lambda i: metrics.sap(CODES[i].numbers, CODES[i].codes), LIB["sap_continuous"]
    )


def test_sap_of_classes():
    # The machines draw the order of rows; a row of 166 more or less is .006.
    score = partial(metrics.sap, kind="discrete")
    compare(lambda i: score(CODES[i].z, CODES[i].codes), LIB["sap_discrete"], 0.02)


def test_dci_of_trees():
    def found(i):
        got = metrics.dci(CODES[i].z, CODES[i].codes, "gbt")
        return got.disentanglement, got.completeness, got.informativeness

    compare(found, LIB["dci_gbt"], 0.02)  # ties of codes are settled at random


def test_explicitness_of_dci_es():
    def found(i):
        x, losses, useless = arrays.curve(i)
        least = jnp.float32(np.minimum.accumulate(losses)[:, None])
        return capacity_score(least, jnp.float32([useless]), jnp.float32(x))[0]

    compare(found, GOLDEN["DCI-ES"]["explicitness_of_a_curve"])


@pytest.mark.parametrize(("name", "quantile"), [("irs", 0.99), ("irs_largest", 1.0)])
def test_irs(name, quantile):
    scores = {i: score for i, (score, _) in LIB[name].items()}
    matrices = {i: matrix for i, (_, matrix) in LIB[name].items()}
    of = partial(metrics.irs, quantile=quantile)
    compare(lambda i: of(CODES[i].z, CODES[i].codes), scores)
    of_matrix = partial(metrics.irs_matrix, quantile=quantile)
    compare(lambda i: of_matrix(CODES[i].z, CODES[i].codes), matrices)


@pytest.mark.parametrize("name", ["factor_vae", "beta_vae"])
def test_scores_of_interventions_have_the_same_law(name):
    score = getattr(metrics, f"sampled_{name}_score")
    more = {"threshold": 0.0} if name == "factor_vae" else {"faithful": True}

    def found(i):
        def sample_factors(key, n):
            return arrays.uniform(i, metrics.generator(key), n)

        def codes_of(z, key):
            return arrays.encode(i, z)

        return score(sample_factors, codes_of, train=2000, test=2000, **more)

    # Their accuracies are of 1,000 votes, ours of 2,000: 4 standard errors.
    few = {i: LIB[name][i] for i in ("0", "1", "2", "4", "5", "10")}
    assert 0.5 < min(few.values()) < 0.95
    compare(found, few, 4 * np.sqrt(0.25 / 1000 + 0.25 / 2000))


@pytest.mark.parametrize("kind", ["lasso", "spearman"])
def test_agreement_of_seeds(kind):
    def found(i):
        agreement = metrics.agreement(arrays.seeds(i), kind=kind)
        return agreement * (1 - np.eye(3))

    compare(found, LIB[f"udr_{kind}"], 1e-5 if kind == "lasso" else EXACT)


def test_agreement_of_seeds_by_correlation():
    compare(lambda i: metrics.udr(arrays.seeds(i), kind="mcc"), LATENTS["udr_mcc"])


def test_latents_of_mechanism_sparsity():
    def found(i):
        _, z, codes = CODES[i]
        gz, ga, learned_z, learned_a = (g.astype(int) for g in arrays.graphs(i))
        pattern = consistency_pattern(gz, ga)
        pi = metrics.assign(metrics.correlation_matrix(z, codes))
        d = len(gz)
        nothing = np.zeros((d, 3), int)
        return [
            metrics.mcc(z, codes),
            metrics.mcc(z, codes, kind="spearman"),
            metrics.r(z, codes),
            metrics.r_con(z, codes, pattern),
            metrics.r_con(z, codes, pattern.T),
            np.abs(pattern - np.array(LATENTS["latents"][str(i)]["pattern"])).max(),
            metrics.shd(gz, nothing, learned_z, nothing, pi),
            metrics.shd(np.eye(d, dtype=int), ga, np.eye(d, dtype=int), learned_a, pi),
        ]

    names = ("mcc", "spearman", "r", "r_con", "r_con_t")
    golden = {
        i: [*(c[name] for name in names), 0, c["shd_z"], c["shd_a"]]
        for i, c in LATENTS["latents"].items()
    }
    compare(found, golden)


def test_mcc_of_icebeem_and_tdrl():
    def found(i):
        z, codes = CODES[i].numbers, CODES[i].codes
        kinds = ("pearson", "spearman")
        strong = [metrics.mcc(z, codes, kind=kind) for kind in kinds]
        out = [metrics.mcc(z, codes, kind=kind, held_out=True) for kind in kinds]
        return strong + out + strong

    names = ("mcc", "spearman", "held_out", "held_out_spearman")
    golden = {
        i: [c[name] for name in names] + GOLDEN["tdrl"]["mcc"][i]
        for i, c in GOLDEN["icebeem"]["mcc"].items()
    }
    compare(found, golden)


def test_mcc_after_canonical_correlation():
    score = partial(metrics.mcc, weak="cca")
    golden = {i: c["cca"] for i, c in GOLDEN["icebeem"]["mcc"].items()}
    # Canonical variables of scikit-learn are found by power iterations.
    compare(lambda i: score(CODES[i].numbers, CODES[i].codes), golden, 1e-3)


@pytest.mark.parametrize(
    ("program", "active"),
    [("latent_quantization", "range/20"), ("tripod", "quartiles/10")],
)
def test_infomec_of_numbers(program, active):
    # Codes that repeat are told apart by noise there: whatever it draws, it measures.
    distinct = [i for i, c in enumerate(CODES) if len(np.unique(c.codes[:, 0])) > 490]
    assert len(distinct) > 8
    golden = {str(i): GOLDEN[program]["numbers"][str(i)] for i in distinct}

    def found(i):
        z, _, codes = CODES[i]
        got = metrics.infomec(z, codes, discrete_codes=False, active=active)
        return [got.infom, got.infoc, got.infoe]

    expected = {i: [c["infom"], c["infoc"], c["infoe"]] for i, c in golden.items()}
    compare(found, expected, 1e-3)


def test_infomec_of_classes():
    classes = GOLDEN["latent_quantization"]["classes"]

    def found(i):
        z, _, codes = CODES[i]
        got = metrics.infomec(z, np.round(codes), discrete_codes=True)
        return np.r_[got.infom, got.infoc, np.ravel(got.matrix)]

    # Their logistic regressions of a column for each class take seconds a case.
    golden = {i: classes[i] for i in ("0", "1", "2", "3", "4")}
    names = ("infom", "infoc", "nmi")
    expected = {
        i: np.concatenate([np.ravel(c[name]) for name in names])
        for i, c in golden.items()
    }
    compare(found, expected)
