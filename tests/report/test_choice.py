"""Which point of a grid is taken, of invented runs whose answer is known."""

import numpy as np
import pytest

from jaxdis.metrics import MCC
from jaxdis.report.choice import choose, judged_by, objective, recommendation
from tests.report.records import NLL, grid, make_group, make_record

LOWER = {"bound": "lower"}
# Differences of 0.01 at most, as noisy as large: points 10 and 20 are as good.
BEST = [1.00, 1.10, 1.20, 1.30]
ALIKE = [1.02, 1.09, 1.21, 1.29]
WORSE = [1.50, 1.60, 1.70, 1.80]


def test_the_sparsest_of_those_that_are_as_good_where_seeds_agree_there():
    record = grid([WORSE, ALIKE, BEST], [0.99, 0.95, 0.80], sparser=LOWER)
    choice = choose(record)
    assert (choice.best, choice.near) == (2, (1, 2))
    assert (choice.sparsest, choice.agreed, choice.point) == (1, 1, 1)
    assert recommendation(record) == (
        "take bound 10: of the 2 points whose held-out NLL is within one standard "
        "error of the best (bound 20), it is the sparsest, and the seeds agree most "
        "there (UDR 0.950)"
    )


def test_the_seeds_decide_and_the_sparsest_is_named_where_they_conflict():
    record = grid([WORSE, ALIKE, BEST], [0.99, 0.80, 0.95], sparser=LOWER)
    choice = choose(record)
    assert (choice.sparsest, choice.agreed, choice.point) == (1, 2, 2)
    said = recommendation(record)
    assert said.startswith("take bound 20: ")
    assert said.endswith("(UDR 0.950); the sparsest is bound 10 (UDR 0.800)")


def test_the_side_on_which_it_is_sparser_is_the_declared_one():
    record = grid([BEST, ALIKE, WORSE], [None] * 3, sparser={"bound": "higher"})
    assert choose(record).sparsest == choose(record).point == 1
    assert "it is the sparsest; but the objective alone" in recommendation(record)
    record = grid([BEST, ALIKE, WORSE], [None] * 3, sparser=LOWER)
    assert choose(record).point == 0
    # Without a declaration nothing is called sparse.
    undeclared = grid([BEST, ALIKE, WORSE], [None] * 3)
    assert choose(undeclared).sparsest is None
    assert choose(undeclared).point == 0
    assert "sparsest" not in recommendation(undeclared)


def test_points_that_lose_little_count_and_the_seeds_decide():
    """Every edge pays a little, so that the objective alone takes all of them."""
    means, noise = [0.87, 0.77, 0.58, 0.53, 0.47], np.array([1, -1, 1, -1]) * 1e-3
    losses = [mean + noise * i for i, mean in enumerate(means)]
    bounds = (5.0, 9.0, 14.0, 22.0, 36.0)
    record = grid(losses, [0.99, 0.76, 0.81, 0.80, 0.75], bounds, LOWER)
    choice = choose(record)
    assert (choice.best, choice.near, choice.little) == (4, (2, 3, 4), True)
    assert recommendation(record) == (
        "take bound 14: of the 3 points that lose at most half of what the worst loses "
        "in held-out NLL (the best is bound 36), it is the sparsest, and the seeds "
        "agree most there (UDR 0.810)"
    )


def test_the_error_is_paired_over_seeds():
    """Seeds differ by 0.1, and by 0.05 +- 0.001 between points: one is worse."""
    worse = np.array(BEST) + 0.05 + np.array([1, -1, 1, -1]) * 1e-3
    record = grid([worse, BEST], [0.99, 0.9], (10.0, 20.0), LOWER)
    assert choose(record).near == (1,)
    assert recommendation(record) == (
        "take bound 20: no other point has a held-out NLL as good within one standard "
        "error, paired over seeds; but the seeds agree most at bound 10 (UDR 0.990, "
        "here 0.900)"
    )


def test_without_agreement_the_objective_is_not_trusted_alone():
    """Seeds with worlds of their own have no UDR, and every edge pays a little."""
    worse = np.array(BEST) + 0.05 + np.array([1, -1, 1, -1]) * 1e-3
    said = recommendation(grid([worse, BEST], [None] * 2, (10.0, 20.0), LOWER))
    assert said.startswith("take bound 20: no other point has a held-out NLL as good")
    assert "the objective alone takes too little regularisation" in said
    assert said.endswith("train seeds on the same data to choose")
    # Where it takes the sparsest there is nothing to warn of.
    said = recommendation(grid([BEST, worse], [None] * 2, (10.0, 20.0), LOWER))
    assert "alone" not in said


def test_failed_seeds_and_points_are_left_out():
    groups = [
        make_group("bound 5", {"bound": 5.0}, failed=(0, 1), nll=[-9.0, -9.0]),
        make_group("bound 10", {"bound": 10.0}, failed=(0,), nll=[-9.0, 2.0]),
        make_group("bound 20", {"bound": 20.0}, nll=[1.0, 1.0]),
    ]
    choice = choose(make_record(groups, [None, None, 0.5], LOWER))
    assert choice.best == choice.point == 2
    assert choice.near == (2,)  # of one pair of seeds there is no error


def test_one_seed_has_no_error():
    record = grid([[2.0], [1.0], [1.5]], [None] * 3, sparser=LOWER)
    assert recommendation(record) == (
        "the best held-out NLL is at bound 10; several seeds are needed to say which "
        "other points are as good, and where seeds agree"
    )


@pytest.mark.parametrize(
    "record",
    [
        make_record([make_group(nll=[1.0, 2.0])], [0.5]),  # a single point
        make_record([make_group(agreement=[0.5, 0.5])] * 2, [0.5, 0.5]),
        make_record([make_group(mcc=[0.5, 0.5])] * 2, [0.5, 0.5]),
        make_record([make_group(nll=[np.nan] * 2)] * 2, [None] * 2),
        make_record([make_group(nll=[1.0, 2.0], failed=(0, 1))] * 2, [None] * 2),
    ],
)
def test_nothing_is_said_where_there_is_nothing_to_choose_by(record):
    assert choose(record) is None
    assert recommendation(record) is None


def test_the_objective_is_the_first_that_needs_no_truth():
    record = make_record([make_group(mcc=[0.5], nll=[1.0], agreement=[0.5])])
    assert objective(record) == NLL
    assert judged_by(record) == MCC
    # Runs of older versions do not say which scores need truth.
    del record.results["scores"]["nll"]["truth"]
    assert objective(record) is None


def test_a_udr_of_fewer_than_all_seeds_says_of_how_many():
    record = grid([WORSE, ALIKE, BEST], [0.99, 0.95, 0.80], sparser=LOWER)
    groups = [
        g._replace(
            failed=np.array([False, False, False, True]),
            final=g.final | {"agreement": np.array([0.9, 0.9, 0.9, np.nan])},
        )
        for g in record.groups
    ]
    said = recommendation(record._replace(groups=groups))
    assert "(UDR 0.950 of 3 of 4 seeds)" in said
