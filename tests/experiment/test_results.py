"""What a run keeps beside the report of its method."""

import numpy as np
import pytest

import jaxdis
from jaxdis import experiment, metrics
from jaxdis.experiment.results import check_declared

NAME = "mechanism_sparsity/quickstart"
TINY = {
    "config": {"encoder": (8,), "decoder": (8,), "transition": (8,), "batch": 16},
    "data": {"samples": 500},
    "steps": 4,
    "chunk": 2,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two seeds that do not learn: their scores are their floors."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return jaxdis.train(NAME, seeds=2, hyper={"learning_rate": 0.0}, out=out, **TINY)


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
