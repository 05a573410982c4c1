"""Makes `metrics.json`: what the metrics of the published programs give.

    python tests/goldens/released_metrics.py CLONES --out tests/goldens/metrics.json

CLONES is a directory with these repositories of GitHub, at these commits:

    google-research/disentanglement_lib                    86a644d
    slachapelle/disentanglement_via_mechanism_sparsity     7fd50de
    ilkhem/icebeem                                         0077f01
    kylehkhsu/latent_quantization                          9a420a3
    kylehkhsu/tripod                                       d794dc4
    andreinicolicioiu/DCI-ES                               9329dae
    weirayao/tdrl                                          655ea52
    rtqichen/beta-tcvae                                    1a3577d

Their functions are called as they are, by Python 3.11, numpy 2.4.6, scipy 1.17.1 and
scikit-learn 1.9.1, which are newer than they know. What stands in for what is not there
or has changed since:

- `gin`, `torch`, `ignite`, `ipdb`, `pandas`, `absl` and `six` are modules of which no
  attribute does anything, but those named here: gin's decorator leaves a function as it
  is, the discretizer is the histogram of 20 bins that the programs' settings name, and
  `torch` has the four functions of arrays that beta-tcvae calls, by numpy;
- mutual_info_classif gives an array of one number, which numpy refuses to put in the
  place of a number: it is unpacked;
- LogisticRegression knows no `multi_class` any more, and no penalty is C = inf.

CCA, the alignment of icebeem's runner, is called here as there, with as many components
as there are codes in place of 20. Trees settle ties at random, so that `dci_gbt` is
another in each run; all other numbers are the same. Left out: the kernel ridge
regression of tdrl, which is judged on the rows that it was fitted on.
"""

import argparse
import importlib.util
import json
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import metric_arrays as arrays
import numpy as np
from sklearn import feature_selection, linear_model, metrics
from sklearn.cross_decomposition import CCA

__all__ = ["main"]

DISENTANGLEMENT_LIB = (
    "mig",
    "modularity_explicitness",
    "sap_score",
    "dci",
    "irs",
    "factor_vae",
    "beta_vae",
    "utils",
)
ABSENT = (
    "absl",
    "gin",
    "gin.tf",
    "ignite",
    "ignite.exceptions",
    "ignite.metrics",
    "ignite.metrics.metric",
    "ipdb",
    "pandas",
    "torch",
)
FEW = range(0, 20, 4)  # cases of what takes seconds


class _Anything(types.ModuleType):
    """A module that has everything and does nothing."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda *a, **k: None})


class _Tensor(np.ndarray):
    """As much of a tensor as beta-tcvae asks for."""

    def __new__(cls, x: object) -> "_Tensor":
        return np.asarray(x, float).view(cls)

    def clamp(self, min: float) -> np.ndarray:
        return np.maximum(self, min)

    def log(self) -> np.ndarray:
        return np.log(self)


def _configurable(*given: object, **_: object) -> object:
    """gin's decorator, with and without a name."""
    return given[0] if callable(given[0]) else (lambda f: f)


def _stand_in() -> None:
    modules: dict[str, Any] = sys.modules  # of which attributes are set
    for name in ABSENT:
        modules[name] = _Anything(name)
        modules[name].__path__ = []
    gin = modules["gin"]
    gin.configurable, gin.REQUIRED = _configurable, None
    absl = modules["absl"]
    absl.logging = types.SimpleNamespace(info=lambda *_: None)
    ignite = modules["ignite.metrics.metric"]
    ignite.reinit__is_reduced = lambda f: f
    ignite.sync_all_reduce = lambda *_: lambda f: f
    modules["six"] = modules["six.moves"] = types.SimpleNamespace(range=range)
    torch = modules["torch"]
    torch.Tensor = _Tensor
    torch.sort = lambda x, dim, descending: (np.sort(x, dim)[:, ::-1].view(_Tensor),)
    torch.mean = np.mean


def _load(path: Path, name: str | None = None) -> Any:
    name = name or path.stem + str(abs(hash(path)))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _imported(name: str) -> Any:
    return importlib.import_module(name)


def _each(score: Callable[[int], object], cases: range = range(20)) -> dict:
    return {str(i): score(i) for i in cases}


def _world(i: int) -> object:
    """A set of data whose observations are its factors."""
    return types.SimpleNamespace(
        num_factors=arrays.case(i).z.shape[1],
        sample_factors=lambda n, rng: arrays.uniform(i, _as_generator(rng), n),
        sample_observations_from_factors=lambda z, rng: z,
        sample_observations=lambda n, rng: arrays.uniform(i, _as_generator(rng), n),
    )


def _as_generator(rng: np.random.RandomState) -> np.random.Generator:
    return np.random.default_rng(rng.randint(2**31))


def _disentanglement_lib(clone: Path) -> dict:
    sys.path.insert(0, str(clone))
    folder = "disentanglement_lib.evaluation.metrics."
    mig, explicit, sap, dci, irs, factor, beta, utils = (
        _imported(folder + name) for name in DISENTANGLEMENT_LIB
    )
    udr = _imported("disentanglement_lib.evaluation.udr.metrics.udr")

    def bins(x: np.ndarray) -> np.ndarray:
        return utils._histogram_discretize(x, num_bins=20)

    utils.make_discretizer = bins
    fit, judge = arrays.thirds()

    def modularity(i: int) -> float:
        z, _, codes = arrays.case(i)
        return explicit.modularity(utils.discrete_mutual_info(bins(codes.T), z.T))

    def explicitness(i: int) -> float:
        z, _, codes = arrays.case(i)
        a, mean, std = utils.normalize_data(codes[fit].T)
        b = utils.normalize_data(codes[judge].T, mean, std)[0]
        scores = [
            explicit.explicitness_per_factor(a, y[fit], b, y[judge])[1] for y in z.T
        ]
        return float(np.mean(scores))

    def separated(i: int, numbers: bool) -> float:
        case = arrays.case(i)
        if numbers:
            whole = case.codes.T, case.numbers.T
            return sap._compute_sap(*whole, None, None, True)["SAP_score"]
        parts = [x[rows].T for rows in (fit, judge) for x in (case.codes, case.z)]
        return sap._compute_sap(*parts, False)["SAP_score"]

    def trees(i: int) -> list[float]:
        case = arrays.case(i)
        parts = [x[rows].T for rows in (fit, judge) for x in (case.codes, case.z)]
        found = dci._compute_dci(*parts)
        names = ["disentanglement", "completeness", "informativeness_test"]
        return [float(found[name]) for name in names]

    def robust(i: int, quantile: float) -> list:
        z, _, codes = arrays.case(i)
        groups = bins(z.T).T
        found = irs.scalable_disentanglement_score(groups, codes, quantile)
        return [float(found["avg_score"]), found["IRS_matrix"].tolist()]

    def votes(i: int) -> float:
        given = _world(i), lambda z: arrays.encode(i, z), np.random.RandomState(i)
        sizes = {"batch_size": 64, "num_train": 2000, "num_eval": 1000}
        found = factor.compute_factor_vae(*given, **sizes, num_variance_estimate=5000)
        return float(found["eval_accuracy"])

    def pairs(i: int) -> float:
        given = _world(i), lambda z: arrays.encode(i, z), np.random.RandomState(i)
        sizes = {"batch_size": 64, "num_train": 2000, "num_eval": 1000}
        return float(beta.compute_beta_vae_sklearn(*given, **sizes)["eval_accuracy"])

    def ranking(i: int, kind: str) -> list:
        codes = arrays.seeds(i)
        rows = types.SimpleNamespace(sample_observations=lambda n, rng: slice(None))
        kl = np.ones(codes.shape[2])
        given = [lambda rows, c=c: (c[rows], kl) for c in codes]
        rng = 0 if kind == "lasso" else None
        found = udr.compute_udr_sklearn(
            rows, given, rng, arrays.ROWS, arrays.ROWS, correlation_matrix=kind
        )
        return np.array(found["pairwise_disentanglement_scores"])[..., 0].tolist()

    return {
        "mig": _each(lambda i: mig._compute_mig(*_turned(i))["discrete_mig"]),
        "modularity": _each(modularity),
        "explicitness": _each(explicitness),
        "sap_continuous": _each(lambda i: separated(i, True)),
        "sap_discrete": _each(lambda i: separated(i, False), FEW),
        "dci_gbt": _each(trees, FEW),
        "irs": _each(lambda i: robust(i, 0.99)),
        "irs_largest": _each(lambda i: robust(i, 1.0)),
        "factor_vae": _each(votes),
        "beta_vae": _each(pairs),
        "udr_lasso": _each(lambda i: ranking(i, "lasso")),
        "udr_spearman": _each(lambda i: ranking(i, "spearman")),
    }


def _turned(i: int) -> tuple[np.ndarray, np.ndarray]:
    z, _, codes = arrays.case(i)
    return codes.T, z.T


class _Graph(np.ndarray):
    """A graph that is asked for as a tensor."""

    def cpu(self) -> "_Graph":
        return self

    def numpy(self) -> np.ndarray:
        return np.asarray(self)


def _mechanism_sparsity(clone: Path) -> dict:
    program = _load(clone / "metrics.py", "metrics")
    script = _load(clone / "scripts" / "compute_udr_npy.py")

    def scores(i: int) -> dict:
        _, z, codes = arrays.case(i)
        gz, ga, learned_z, learned_a = arrays.graphs(i)
        mcc, _, pi = program.mean_corr_coef_np(z, codes)
        truth = types.SimpleNamespace(gt_g=gz.view(_Graph), gt_gc=ga.view(_Graph))
        r_con, transposed, pattern = program.test_consistency(z, codes, pi, truth)
        p = np.eye(len(gz))[:, pi[1]].T  # as the program's perm_mat
        return {
            "mcc": mcc,
            "spearman": program.mean_corr_coef_np(z, codes, "spearman")[0],
            "r": program.linear_regression_metric(z, codes)[0],
            "r_con": r_con,
            "r_con_t": transposed,
            "pattern": pattern.tolist(),
            "shd_z": program.shd(gz, p @ learned_z @ p.T),
            "shd_a": program.shd(ga, p @ learned_a),
        }

    def ranking(i: int) -> float:
        return script.compute_udr_mcc_from_npy(arrays.seeds(i))["median"]

    return {"latents": _each(scores), "udr_mcc": _each(ranking)}


def _icebeem(clone: Path) -> dict:
    program = _load(clone / "metrics" / "mcc.py")
    fit, judge = arrays.halves()

    def scores(i: int) -> dict:
        _, z, codes = arrays.case(i)
        parts = z[fit], codes[fit], z[judge], codes[judge]
        out = program.mean_corr_coef_out_of_sample
        aligned = CCA(n_components=z.shape[1], max_iter=5000, tol=1e-12)
        aligned.fit(z[fit], codes[fit])
        return {
            "mcc": program.mean_corr_coef(z, codes, "pearson"),
            "spearman": program.mean_corr_coef(z, codes, "spearman"),
            "held_out": out(*parts, "pearson"),
            "held_out_spearman": out(*parts, "spearman"),
            "cca": program.mean_corr_coef(
                *aligned.transform(z[judge], codes[judge]), "pearson"
            ),
        }

    return {"mcc": _each(scores)}


def _tdrl(clone: Path) -> dict:
    folder = clone / "LiLY" / "modules" / "metrics"
    package = types.ModuleType("tdrl_metrics")
    package.__path__ = [str(folder)]
    sys.modules["tdrl_metrics"] = package
    program = _imported("tdrl_metrics.correlation")

    def scores(i: int) -> list[float]:
        _, z, codes = arrays.case(i)
        kinds = ("Pearson", "Spearman")
        return [float(program.compute_mcc(codes.T, z.T, kind)) for kind in kinds]

    return {"mcc": _each(scores)}


def _patched(module: Any) -> Any:
    """With functions of scikit-learn as the program knew them."""

    def information(*given: object, **more: object) -> float:
        found = feature_selection.mutual_info_classif(*given, **more, random_state=0)
        return float(found[0])

    def regression(penalty: None, multi_class: str, n_jobs: int, **more: object):
        return linear_model.LogisticRegression(C=np.inf, **more)

    module.feature_selection = types.SimpleNamespace(mutual_info_classif=information)
    module.linear_model = types.SimpleNamespace(LogisticRegression=regression)
    return module


def _infomec(clone: Path) -> dict:
    program = _patched(_load(clone / "disentangle" / "metrics" / "infomec.py"))

    def scores(i: int, classes: bool) -> dict:
        z, _, codes = arrays.case(i)
        codes = np.round(codes) if classes else codes
        found = program.compute_infomec(z, codes, classes)
        names = ("infom", "infoc", "infoe")
        return {n: float(found[n]) for n in names} | {"nmi": found["nmi"].T.tolist()}

    return {
        "numbers": _each(lambda i: scores(i, False)),
        "classes": _each(lambda i: scores(i, True)),
    }


def _dci_es(clone: Path) -> dict:
    program = _load(clone / "metrics" / "explitcitness.py")

    def area(i: int) -> float:
        x, y, baseline = arrays.curve(i)
        curves = program.Explitcitness()
        curves.add_curve(x, y, baseline, "only")
        return float(curves.get_explitcitness()["only"])

    return {"explicitness_of_a_curve": _each(area)}


def _beta_tcvae(clone: Path) -> dict:
    program = _load(clone / "metric_helpers" / "mi_metric.py")

    def gap(i: int) -> float:
        rng = np.random.default_rng([22, i])
        conditional = rng.uniform(0, 1, (4, 6)).view(_Tensor)
        marginal = rng.uniform(1, 3, 6).view(_Tensor)
        return float(program.compute_metric_shapes(marginal, conditional))

    return {"mig_from_entropies": _each(gap)}


PROGRAMS = {
    "disentanglement_lib": _disentanglement_lib,
    "disentanglement_via_mechanism_sparsity": _mechanism_sparsity,
    "icebeem": _icebeem,
    "tdrl": _tdrl,
    "latent_quantization": _infomec,
    "tripod": _infomec,
    "DCI-ES": _dci_es,
    "beta-tcvae": _beta_tcvae,
}


def main() -> None:
    """Runs the programs and writes the file."""
    parser = argparse.ArgumentParser(description="makes the golden file of metrics")
    parser.add_argument("clones", type=Path, help="where the repositories are")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    metrics.mutual_info_score  # noqa: B018 (the programs import it by attribute)
    _stand_in()
    sums = [[float(x.sum()) for x in arrays.case(i)] for i in range(arrays.CASES)]
    found: dict = {"sums": sums}
    for name, run in PROGRAMS.items():
        print(name, flush=True)
        found[name] = run(asked.clones / name)
    asked.out.write_text(json.dumps(found, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
