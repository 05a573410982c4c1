"""What the small presets are known to show, through the command that a user runs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxdis import statistics


def trained(out, preset, *options) -> dict[str, np.ndarray]:
    """Metrics [point, seed] of a run; without the flags that the tests compile with."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-m", "jaxdis", "train", preset, "--out", str(out)]
    subprocess.run([*command, *options], env=environment, check=True, timeout=1_500)
    results = json.loads((out / "results.json").read_text())
    assert not any(results["failed_seeds"])  # a list for each point
    found = results["metrics"]  # null where a score is not defined
    return {name: np.array(values, float) for name, values in found.items()}


def scored(name: str, metrics: dict[str, np.ndarray], *wanted: str) -> None:
    for metric in wanted:
        mean, std = (
            f(metrics[metric]) for f in (statistics.mean, statistics.deviation)
        )
        print(f"{name}: {metric} {mean} +- {std}")


@pytest.mark.claims
def test_sparse_actions_identify_the_latents(tmp_path):
    metrics = trained(
        tmp_path / "run",
        "mechanism_sparsity/quickstart",
        *("--seeds", "4", "--hyper.bound-a", "10", "25"),
    )
    scored("with and without sparsity", metrics, "mcc")
    sparse, dense = metrics["mcc"].mean(1)
    assert sparse >= 0.95
    assert metrics["shd"][0].mean() <= 2.5
    # Over eight seeds it was .094 with a standard error of .014.
    gain = metrics["mcc"][0] - metrics["mcc"][1]
    assert gain.min() > 0
    assert sparse - dense >= 0.05
    # Both see the latents; only sparsity tells them apart.
    assert metrics["r"].mean(1).min() >= 0.95


@pytest.mark.claims
def test_interventions_of_unknown_target_identify_the_latents(tmp_path):
    metrics = trained(
        tmp_path / "run", "mechanism_sparsity/interventions", "--seeds", "3"
    )
    scored("interventions", metrics, "mcc", "shd")
    # Over eight worlds it was .993 with a deviation of .001, and every graph was right.
    assert metrics["mcc"].min() >= 0.98
    assert metrics["shd"].max() <= 1


@pytest.mark.claims
def test_sparse_time_dependence_identifies_the_latents(tmp_path):
    """No actions: each latent depends on its own past alone."""
    metrics = trained(
        tmp_path / "run",
        "mechanism_sparsity/time_diag",
        *("--seeds", "3", "--hyper.bound-z", "5", "25"),
    )
    scored("with and without sparsity", metrics, "mcc", "r")
    # Over eight seeds it was .125 with a standard error of .009.
    gain = metrics["mcc"][0] - metrics["mcc"][1]
    assert gain.mean() >= 0.09
    assert gain.min() > 0
    assert metrics["shd"][0].mean() <= 1
    assert np.isnan(metrics["shd"][1]).all()  # without sparsity no graph is learned
    # Both see the latents; only sparsity tells them apart.
    assert metrics["r"].mean(1).min() >= 0.9


@pytest.mark.claims
def test_sparse_steps_tell_rotations_of_the_latents_apart(tmp_path):
    metrics = trained(
        tmp_path / "run", "slow_vae/quickstart", "--seeds", "4", "--steps", "3000"
    )
    scored("without and with the prior of steps", metrics, "mcc", "r2")
    none, sparse = metrics["mcc"]
    # Over eight worlds and 6,000 steps it was .26 with a standard error of .02.
    assert (sparse - none).mean() >= 0.12
    assert sparse.mean() >= 0.9
    # Both see the latents.
    assert metrics["r2"].min() >= 0.9


# No log likelihood of 14 x 14 pixels under unit variance is higher.
TOY_CEILING = -(14 * 14 / 2) * np.log(2 * np.pi)


@pytest.mark.claims
def test_flows_move_the_blob(tmp_path):
    """The exact forms, at three weights of the path's divergence: 0, 1 / T and 1."""
    metrics = trained(
        tmp_path / "run", "flow_factorized/toy", "--hyper.kl-weight", "0", "0.25", "1"
    )
    scored("toy", metrics, "equivariance_error", "static_error", "elbo", "iwae")
    scored("toy", metrics, "superposed_error", "superposed_static", "invertible")
    none, mean, whole = metrics["elbo"].mean(1)
    assert metrics["equivariance_error"][1].mean() <= 20
    assert metrics["static_error"][1].mean() >= 60
    assert whole > mean > none
    assert metrics["compat_loglik"][1].mean() > TOY_CEILING > metrics["iwae"].max()
    # Two axes that were only seen alone.
    both = metrics["superposed_error"][1].mean()
    assert both < 0.6 * metrics["superposed_alone"][1].mean()
    assert both < 0.6 * metrics["superposed_static"][1].mean()
    for kind in ("error", "restarted"):
        switched = metrics[f"switched_{kind}"][1].mean()
        assert switched < 0.6 * metrics["switched_static"][1].mean()


@pytest.mark.claims
def test_released_forms_and_a_bounded_potential_move_it_less(tmp_path):
    released = trained(tmp_path / "released", "flow_factorized/toy_released")
    scored("released", released, "equivariance_error", "elbo", "compat_loglik")
    scored("released", released, "released_loglik", "static_error")
    # The released figure lies where no likelihood can.
    assert released["released_loglik"].min() > TOY_CEILING > released["iwae"].max()
    assert released["equivariance_error"].mean() <= 23
    bounded = trained(
        tmp_path / "bounded",
        "flow_factorized/toy",
        *("--config.head", "tanh", "--config.log-det", "exact"),
    )
    scored("tanh head", bounded, "equivariance_error")
    # A potential in (-1, 1) can climb no further, and so the latent cannot move far.
    assert bounded["equivariance_error"].mean() >= 30


@pytest.mark.claims
def test_the_transformation_is_inferred(tmp_path):
    metrics = trained(tmp_path / "run", "flow_factorized/toy_inferred")
    scored("inferred", metrics, "equivariance_error", "index_accuracy")
    assert metrics["index_accuracy"].min() == 1.0
    assert metrics["equivariance_error"].mean() <= 20


@pytest.mark.claims
def test_sparse_and_shared_heads_disentangle(tmp_path):
    """No penalty, sparsity alone, sparsity and sharing, in one program."""
    metrics = trained(tmp_path / "run", "shared_features/quickstart", "--chunk", "1000")
    wanted = ("mcc", "dci_d", "dci_c", "head_density", "few_shot_sparse_5")
    scored("shared features", metrics, *wanted, "few_shot_ridge_5", "raw_ridge_5")
    mcc, dci, density = (metrics[k].mean(1) for k in ("mcc", "dci_d", "head_density"))
    assert mcc[0] <= 0.85
    assert mcc[1] >= 0.97
    assert mcc[2] >= 0.98
    assert dci[1] <= 0.75
    assert dci[2] >= 0.85
    assert dci[2] - dci[1] >= 0.15
    # The tasks of the data use two factors of ten features on average.
    assert 0.17 <= density[2] <= 0.24
    # A new task takes few samples, once its head knows that it may be sparse.
    few = metrics["few_shot_sparse_5"][2].mean()
    assert few >= metrics["few_shot_ridge_5"][2].mean() + 0.1
    assert few >= metrics["raw_ridge_5"][2].mean() + 0.1


@pytest.mark.claims
def test_constant_heads_beat_differentiated_ones(tmp_path):
    """The gradient of the unregularised loss through the heads undoes the sparsity."""
    options = ("--config.z-dim", "5", "--hyper.alpha", ".05", "--hyper.beta", "0")
    options += ("--seeds", "4", "--chunk", "1000")
    runs = {
        outer: trained(
            tmp_path / outer,
            "shared_features/quickstart",
            *("--config.outer", outer, *options),
        )
        for outer in ("stop_gradient", "implicit")
    }
    for outer, metrics in runs.items():
        scored(outer, metrics, "mcc", "dci_d", "head_density", "query_loss")
    constant, implicit = runs["stop_gradient"], runs["implicit"]
    assert constant["mcc"].mean() >= 0.98
    assert constant["dci_d"].mean() >= 0.9
    assert constant["mcc"].mean() - implicit["mcc"].mean() >= 0.08


@pytest.mark.claims
def test_classes_identify_the_factors_too(tmp_path):
    metrics = trained(
        tmp_path / "run", "shared_features/classification", "--chunk", "800"
    )
    scored("classes", metrics, "mcc", "dci_d", "dci_d_used", "head_density", "score")
    # In one world of five, number 2, two factors are merged.
    found = metrics["mcc"] >= 0.95
    assert found.sum() >= 4
    # Features that no head uses correlate with several factors: they are left out.
    assert metrics["dci_d_used"][found].mean() >= 0.8


@pytest.mark.claims
@pytest.mark.parametrize(("preset", "seeds"), [("quickstart", 8), ("nested", 6)])
def test_sparse_mixing_identifies_the_latents(preset, seeds, tmp_path):
    """Each seed has a mixing of its own, the same without and with the penalty."""
    metrics = trained(
        tmp_path / "run",
        f"sparse_mixing/{preset}",
        *("--seeds", str(seeds), "--chunk", "4000"),
    )
    scored(preset, metrics, "mcc", "mcc_spearman", "mcc_observed", "wrong_entries")
    plain, sparse = metrics["mcc"]
    assert (sparse - plain).mean() >= 0.07
    assert (sparse > plain).mean() >= 0.75
    # Four codes and some seeds that merge two of them.
    assert sparse.mean() >= (0.9 if preset == "quickstart" else 0.85)
    wrong = metrics["wrong_entries"].mean(1)
    assert wrong[1] <= 0.7 * wrong[0]


@pytest.mark.claims
def test_latents_grow_where_the_penalty_sees_their_scale(tmp_path):
    """Without the standard deviations a decoder is made small, and no sparser."""
    runs = {
        scale: trained(
            tmp_path / scale,
            "sparse_mixing/quickstart",
            *("--config.jac-scale", scale, "--seeds", "4", "--chunk", "4000"),
            *("--hyper.alpha", "0", "0.1"),
        )
        for scale in ("std", "none")
    }
    for scale, metrics in runs.items():
        scored(scale, metrics, "latent_std", "jac_l1", "jac_std_l1", "mcc")

    def change(scale, metric):
        before, after = runs[scale][metric].mean(1)
        return after / before

    assert change("none", "latent_std") >= 3
    assert change("none", "jac_l1") <= 0.3
    assert change("none", "jac_std_l1") >= 0.75
    assert change("std", "jac_std_l1") <= 0.65
    assert change("std", "latent_std") <= 1
