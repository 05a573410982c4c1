"""What a run keeps beside the report of its method."""

import re

import numpy as np
import pytest

import jaxdis
from jaxdis import experiment, metrics, report
from jaxdis.experiment.results import check_declared

pytestmark = pytest.mark.usefixtures("sketches")

NAME = "mechanism_sparsity/quickstart"
TINY = {
    "config": {"encoder": (8,), "decoder": (8,), "transition": (8,), "batch": 16},
    "data": {"samples": 500, "worlds": 1},
    "steps": 4,
    "chunk": 2,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two seeds that do not learn: their scores are their floors."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return jaxdis.train(NAME, seeds=2, hyper={"learning_rate": 1e-30}, out=out, **TINY)


def test_the_floor_is_the_score_before_the_first_step(run):
    (group,) = run.record.groups
    scored = {name for name, score in run.record.scores.items() if score.floor}
    assert scored == set(group.floors["untrained"]) == {"mcc", "r", "r_con", "r_con_t"}
    for name in scored:
        np.testing.assert_array_equal(
            group.floors["untrained"][name], group.final[name]
        )
    assert run.record.scores["shd"].truth
    assert not run.record.scores["nll"].truth


def test_observations_as_they_are_are_a_floor_of_the_mcc(run):
    made = experiment.prepare(experiment.plan(NAME, seeds=2, **TINY))
    test = made.splits.test
    z, x = (np.asarray(a).reshape(-1, a.shape[-1]) for a in (test.z, test.x))
    expected = float(metrics.mcc(z, x))
    found = run.record.groups[0].floors["observations"]
    np.testing.assert_allclose(found["mcc"], [expected] * 2, rtol=1e-5)


def test_agreement_is_a_score_of_every_seed(run):
    (group,) = run.record.groups
    pairs = run.record.arrays["agreement"][0]
    np.testing.assert_allclose(group.final["agreement"], pairs[[0, 1], [1, 0]])
    assert run.record.results["udr"] == pytest.approx([pairs[0, 1]], abs=1e-6)
    assert run.record.arrays["matched_codes"].shape == (1, 2, 5)
    assert run.record.arrays["code_effects"].shape == (1, 5, 10)
    assert list(run.record.scores)[-1] == "agreement"
    page = run.report().read_text()
    assert "(untrained " in page
    assert ">untrained</td>" in page
    assert ">observations</td>" in page
    for name in ("agreement", "traversals"):
        assert (run.directory / f"{name}.png").exists()
    assert "could not be drawn" not in page


def test_names_of_what_every_run_has_are_taken():
    made = experiment.prepare(experiment.plan(NAME, seeds=2, **TINY))
    method = made.plan.method._replace(arrays={"agreement": "seed row"})
    made = made._replace(plan=made.plan._replace(method=method))
    with pytest.raises(ValueError, match="returns agreement, which every run has"):
        check_declared(made, {"agreement": np.zeros(2)})


def test_a_sweep_on_data_of_ones_own_says_what_can_be_known(tmp_path):
    """No true latents, two bounds: no score that does not exist is named."""
    rng = np.random.default_rng(0)
    rows = jaxdis.read({"x": rng.normal(size=(400, 6)), "a": rng.normal(size=(400, 2))})
    run = jaxdis.train(
        "mechanism_sparsity/own",
        data=rows,
        seeds=2,
        hyper={"bound_a": [2, 6]},
        steps=4,
        chunk=2,
        config=TINY["config"] | {"z_dim": 3},
        out=tmp_path / "run",
    )
    said = report.recommendation(run.record)
    assert "held-out NLL" in said
    assert "bound_a" in said
    assert 'class="headline">Of 2 points, bound_a ' in run.report().read_text()
    page = re.sub(r'base64,[^"]*', "", run.report().read_text())
    assert "best: seed" not in page
    assert "MCC" not in page
    assert "could not be drawn" not in page
    drawn = {path.stem for path in run.directory.glob("*.png")}
    wanted = {"agreement", "choice", "graphs", "structure", "traversals", "curves"}
    assert wanted <= drawn
    (dead,) = {g.final["dead"].tolist()[0] for g in run.record.groups}
    assert dead == 0
    assert not run.record.groups[0].floors
    assert "agreement" in run.record.groups[0].final
    assert run.choose().criterion == "agreement with the other seeds"
