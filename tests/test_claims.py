"""What the small presets are known to show, through the command that a user runs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest


def trained(out, preset, *options) -> dict[str, np.ndarray]:
    """Metrics [point, seed] of a run; without the flags that the tests compile with."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-m", "jaxdis", "train", preset, "--out", str(out)]
    subprocess.run([*command, *options], env=environment, check=True, timeout=1_500)
    results = json.loads((out / "results.json").read_text())
    assert not any(results["failed_seeds"])
    return {name: np.array(values) for name, values in results["metrics"].items()}


def describe(name: str, metrics: dict[str, np.ndarray]) -> None:
    mean, std = metrics["mcc"].mean(1), metrics["mcc"].std(1)
    print(f"{name}: MCC with and without sparsity {mean} +- {std}")


@pytest.mark.slow
def test_sparse_actions_identify_the_latents(tmp_path):
    metrics = trained(
        tmp_path / "run",
        "mechanism_sparsity/quickstart",
        *("--seeds", "4", "--hyper.bound-a", "10", "25"),
    )
    describe("quickstart", metrics)
    sparse, dense = metrics["mcc"].mean(1)
    assert sparse >= 0.95
    assert metrics["shd"][0].mean() <= 2.5
    assert sparse - dense >= 0.1
    # Both see the latents; only sparsity tells them apart.
    assert metrics["r"].mean(1).min() >= 0.95


@pytest.mark.slow
def test_sparse_time_dependence_separates_the_blocks(tmp_path):
    metrics = trained(
        tmp_path / "run",
        "mechanism_sparsity/quickstart_time",
        *("--seeds", "4", "--hyper.bound-z", "12", "36"),
    )
    sparse, dense = metrics["r_con"].mean(1)
    print("R_con with and without sparsity", sparse, dense, metrics["r_con"].std(1))
    assert sparse - dense >= 0.04
    assert metrics["shd"][0].mean() <= 12 < metrics["shd"][1].mean()
