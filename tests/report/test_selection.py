"""Ranking points and seeds without truth, of invented runs whose answer is known."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from jaxdis import systems
from jaxdis.experiment.plan import declared
from jaxdis.report.choice import choose
from jaxdis.report.read import consensus, udr
from jaxdis.report.selection import correlate, places, select, with_agreement
from tests.report.records import NLL, make_group, make_record

LOWER = {"bound": "lower"}
BOUNDS = (5.0, 10.0, 20.0)
NLLS = [[1.5, 1.6, 1.7], [1.02, 1.09, 1.21], [1.00, 1.10, 1.20]]
AGREED = [[0.9, 0.97, 0.9], [0.95, 0.93, 0.94], [0.8, 0.82, 0.7]]
MCCS = [[0.5, 0.6, 0.55], [0.9, 0.95, 0.8], [0.7, 0.75, 0.99]]
UDRS = [0.9, 0.95, 0.8]


def made(points=3, seeds=3, failed=(), udrs=UDRS, drop=(), **changes):
    """A sweep whose second point is right by both; `drop` names lacking scores."""
    finals = {"nll": NLLS, "agreement": AGREED, "mcc": MCCS, **changes}
    groups = [
        make_group(
            f"bound {BOUNDS[i]:g}" if points > 1 else "",
            {"bound": BOUNDS[i]},
            failed=failed,
            **{n: v[i][:seeds] for n, v in finals.items() if n not in drop},
        )
        for i in range(points)
    ]
    return make_record(groups, list(udrs[:points]), LOWER)


def test_points_and_seeds_are_ranked_by_each_criterion():
    found = select(made())
    assert list(found.rankings) == ["udr", "objective", "both"]
    by = {n: places(r.points).tolist() for n, r in found.rankings.items()}
    assert by == {"udr": [2, 1, 3], "objective": [3, 2, 1], "both": [3, 1, 2]}
    taken = {n: (r.point, r.seed) for n, r in found.rankings.items()}
    assert taken == {"udr": (1, 0), "objective": (2, 0), "both": (1, 0)}
    assert (found.point, found.seed) == (1, 0)
    assert found.criterion == "UDR and held-out NLL"
    assert found.objective == NLL


def test_the_point_is_that_of_the_report():
    for nlls, udrs in (
        (NLLS, UDRS),
        (NLLS[::-1], UDRS),
        (NLLS, [0.99, 0.5, 0.7]),
        (NLLS, [0.99, 0.7, 0.5]),
    ):
        record = made(nll=nlls, udrs=udrs)
        assert select(record).point == choose(record).point


def test_all_seeds_of_a_better_point_come_before_those_of_a_worse_one():
    both = select(made()).rankings["both"].seeds
    assert both[1].min() > both[2].max() > both[2].min() > both[0].max()
    np.testing.assert_array_equal(places(both[1]), [1, 3, 2])


def test_the_truth_judges_and_does_not_choose():
    first, found = select(made(drop=("mcc",))), select(made())
    assert first.truth is None
    assert all(r.judged is None for r in first.rankings.values())
    assert (first.point, first.seed) == (found.point, found.seed)
    means, values = np.mean(MCCS, 1), np.array(MCCS)
    for name, worth in (("udr", UDRS), ("objective", -np.mean(NLLS, 1))):
        ranking = found.rankings[name]
        judged = ranking.judged
        assert judged.points == pytest.approx(spearmanr(worth, means).statistic)
        own = {"udr": np.array(AGREED), "objective": -np.array(NLLS)}[name]
        expected = spearmanr(own.ravel(), values.ravel()).statistic
        assert judged.seeds == pytest.approx(expected)
        taken = values[ranking.point, ranking.seed]
        assert judged.value == pytest.approx(taken)
        assert judged.seed_regret == pytest.approx(0.99 - taken)
        regret = means.max() - means[ranking.point]
        assert judged.point_regret == pytest.approx(regret)


def test_regret_of_a_score_that_is_better_when_lower():
    """The side of the score is the one that it declares."""
    record = made()
    mcc = record.scores["mcc"]
    lower = record._replace(
        scores=record.scores | {"mcc": mcc._replace(better="lower")}
    )
    judged = select(lower).rankings["both"].judged
    assert judged.value == pytest.approx(0.9)
    assert judged.seed_regret == pytest.approx(0.9 - 0.5)
    flipped = select(record).rankings["both"].judged
    assert judged.points == pytest.approx(-flipped.points)


def test_seeds_that_failed_are_left_out_and_counted():
    found = select(made(failed=(0,), udrs=[0.97, 0.94, 0.8]))
    for ranking in found.rankings.values():
        assert np.isnan(ranking.seeds[:, 0]).all()
    assert found.seed == 2  # of seed 0, which agreed most, nothing counts
    assert "3 of 9 runs failed and are left out" in found.notes
    gone = made(failed=(0, 1, 2))
    with pytest.raises(ValueError, match="all 9 seeds of the run failed"):
        select(gone)
    with pytest.raises(ValueError, match="the seed failed"):
        select(made(points=1, seeds=1, failed=(0,)))


def test_a_single_point_ranks_its_seeds():
    found = select(made(points=1))
    assert (found.point, found.seed) == (0, 1)
    assert "the run has one grid point: only its seeds are ranked" in found.notes
    judged = found.rankings["udr"].judged
    assert np.isnan(judged.points)
    expected = spearmanr(AGREED[0], MCCS[0]).statistic
    assert judged.seeds == pytest.approx(expected)


def test_a_single_seed_has_no_udr():
    found = select(made(seeds=1, udrs=[None] * 3, drop=("agreement",)))
    assert list(found.rankings) == ["objective"]
    assert (found.point, found.seed) == (2, 0)
    assert found.criterion == "held-out NLL"
    assert any("one seed: UDR needs two" in note for note in found.notes)


def test_without_an_objective_seeds_decide():
    found = select(made(drop=("nll",)))
    assert list(found.rankings) == ["udr"]
    assert (found.point, found.seed) == (1, 0)
    assert any("no held-out objective: no score" in note for note in found.notes)
    old = made(drop=("nll",))
    for score in old.results["scores"].values():
        del score["truth"]
    assert any("of an earlier version" in note for note in select(old).notes)


def test_nothing_to_choose_by_is_an_error():
    with pytest.raises(ValueError, match="nothing to choose by"):
        select(made(drop=("nll", "agreement"), udrs=[None] * 3))


def test_ties_take_the_first_and_say_so():
    found = select(made(nll=[NLLS[1]] * 3, udrs=[0.9] * 3))
    assert found.rankings["objective"].point == found.rankings["udr"].point == 0
    assert "3 points are first alike by UDR: the first of them is taken" in found.notes
    assert np.isnan(found.rankings["udr"].judged.points)
    np.testing.assert_array_equal(
        places(np.array([1.0, 2.0, 2.0, np.nan])), [3, 1, 1, 0]
    )


def test_two_seeds_agree_alike_and_the_objective_decides():
    """What rounding makes of one number is no reason to take a seed."""
    agreed = [[0.9, 0.9 + 1e-9]] * 3
    found = select(made(seeds=2, agreement=agreed))
    assert (found.point, found.seed) == (1, 0)


def test_correlation_of_ranks_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
    assert correlate(a, b) == pytest.approx(spearmanr(a, b).statistic)
    a[3], b[7] = np.nan, np.inf
    keep = np.delete(np.arange(30), [3, 7])
    assert correlate(a, b) == pytest.approx(spearmanr(a[keep], b[keep]).statistic)
    assert np.isnan(correlate(np.ones(4), np.arange(4.0)))
    assert np.isnan(correlate(np.ones(1), np.ones(1)))


def test_udr_leaves_failed_seeds_out_of_the_results_of_any_version():
    """Seed 2 has failed: its frozen codes agree with nothing, and say nothing."""
    pairs = np.array([[1.0, 0.9, 0.1], [0.8, 1.0, 0.2], [0.1, 0.2, 1.0]])
    group = make_group(failed=(2,), agreement=[0.5, 0.5, 0.15])
    record = make_record([group], [0.2], arrays={"agreement": pairs[None]})
    np.testing.assert_allclose(udr(record), [0.85])
    value, seeds = consensus(pairs, group.failed)
    assert value == pytest.approx(0.85)
    np.testing.assert_allclose(seeds, [0.9, 0.8, np.nan])
    # Of a run where none has failed the results stand.
    whole = make_record([make_group(nll=[1.0] * 3)], [0.2], arrays=record.arrays)
    np.testing.assert_allclose(udr(whole), [0.2])


def test_another_measure_of_agreement_takes_the_place():
    pairs = np.full((3, 3, 3), 0.5)
    pairs[0] = 0.7
    record = with_agreement(made(), pairs, "lasso")
    found = select(record).rankings["udr"]
    np.testing.assert_allclose(found.points, [0.7, 0.5, 0.5])
    np.testing.assert_allclose(found.seeds[0], 0.7)
    assert found.title == "UDR (lasso)"


def test_a_udr_without_the_agreement_of_each_seed_ranks_points_alone():
    found = select(made(drop=("agreement", "nll"), failed=(0,)))
    assert list(found.rankings) == ["udr"]
    assert (found.point, found.seed) == (1, 1)  # the first that did not fail
    both = select(made(drop=("agreement",)))
    assert (both.point, both.seed) == (1, 0)  # by the objective


def test_seeds_without_an_objective_are_counted():
    nlls = [[1.5, 1.6, np.nan], [1.02, np.nan, 1.21], [1.00, 1.10, 1.20]]
    found = select(made(nll=nlls))
    assert any(n.startswith("2 runs that did not fail have no") for n in found.notes)


def test_seeds_of_different_draws_of_the_data_are_not_compared():
    record = made(udrs=[None] * 3, drop=("agreement",))
    found = select(record._replace(spec={"worlds": 8}))
    assert any("seeds see different draws of the data" in n for n in found.notes)
    # What the objective does by itself is said where something regularises.
    assert any("alone takes too little regularisation" in n for n in found.notes)
    assert not any("too little regularisation" in n for n in select(made()).notes)


def grids():
    """Every preset of every method that trains a grid, but those of one's own data."""
    for name in systems.names():
        for preset in systems.find(name).presets:
            if systems.find(name).presets[preset].points and preset != "own":
                yield f"{name}/{preset}"


@pytest.mark.parametrize("which", list(grids()))
def test_every_preset_with_a_grid_has_something_to_choose_by(which):
    """Of invented values of the scores that the method declares for those data."""
    method, name = systems.find(which.split("/")[0]), which.split("/")[1]
    preset = method.presets[name]
    scores = declared(method, name, preset.config, preset.data.spec())
    rng, seeds = np.random.default_rng(0), preset.seeds
    groups = [
        make_group(
            f"point {i}", {"i": i}, **{n: rng.uniform(size=seeds) for n in scores}
        )
        for i in range(len(preset.points))
    ]
    record = make_record(groups)
    shown = {n: {"title": s.title, "truth": s.truth} for n, s in scores.items()}
    record = record._replace(scores=scores, results=record.results | {"scores": shown})
    found = select(record)
    assert not found.objective.truth
    assert found.objective.better
    assert found.truth is None or found.truth.truth
    means = [g.final[found.objective.name].mean() for g in groups]
    best = np.argmin if found.objective.better == "lower" else np.argmax
    assert found.rankings["objective"].point == best(means)


def test_where_the_criteria_differ_it_is_said():
    """Of the first point the seeds agree most, and it loses too much."""
    found = select(made(udrs=[0.99, 0.95, 0.8]))
    assert (found.rankings["udr"].point, found.point) == (0, 1)
    assert found.notes == (
        "the seeds agree most at bound 5, which loses more in held-out NLL than the "
        "rule allows; bound 10 does not",
    )
