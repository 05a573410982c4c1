"""What is said of invented runs."""

import numpy as np

from jaxdis.metrics import MCC
from jaxdis.report import findings
from jaxdis.report.headline import headline, taken
from jaxdis.report.sentences import below_floor
from tests.report.records import grid, make_group, make_record

AGREED = [0.93, 0.92, 0.94, 0.41, 0.93, 0.45]


def test_seeds_that_disagree_are_named_and_the_best_may_be_one():
    nll = [1.0, 1.1, 1.2, 0.5, 1.3, 1.4]
    record = make_record([make_group(nll=nll, agreement=AGREED)], [0.92])
    assert findings(record) == [
        "Seeds 3 and 5 disagree with the others (agreement 0.430 against 0.925).",
        "Seed 3, best by held-out NLL, is one that disagrees.",
    ]


def test_a_failed_seed_is_no_seed_that_disagrees():
    agreement = [0.93, 0.92, 0.94, np.nan, 0.93, 0.93]
    group = make_group(nll=[1.0] * 6, agreement=agreement, failed=(3,))
    assert findings(make_record([group])) == []


def test_seeds_that_do_not_agree_at_all():
    (said,) = findings(make_record([make_group(agreement=[0.3, 0.32, 0.31])]))
    assert said.startswith("The seeds do not agree (agreement 0.310)")


def test_dead_codes():
    arrays = {"matched_codes": np.zeros((1, 3, 10), int)}
    record = make_record([make_group(dead=[2, 2, 2])], arrays=arrays)
    assert findings(record) == ["2 of 10 codes are dead in every seed."]
    record = make_record([make_group(dead=[0, 2, 1])], arrays=arrays)
    assert findings(record) == ["Between 0 and 2 of 10 codes are dead, by seed."]
    assert findings(make_record([make_group(dead=[0, 0])])) == []


def test_objective_and_seeds_that_prefer_other_points():
    record = grid([[1.0, 1.1], [1.01, 1.09], [2.0, 2.0]], [0.5, 0.8, 0.9])
    said = findings(record)
    assert said[0].startswith("Take bound 10: ")
    assert said[1] == (
        "Held-out NLL is best at bound 5, the seeds agree most at bound 20."
    )


def test_what_is_true_of_some_points_only_names_them():
    groups = [make_group(f"bound {i}", {"bound": i}, dead=[i > 0] * 2) for i in (0, 1)]
    assert findings(make_record(groups)) == ["bound 1: 1 code is dead in every seed."]


FLOORS = {
    "untrained": {"mcc": np.array([0.60, 0.62])},
    "observations": {"mcc": np.array([0.50, 0.50])},
}


def test_a_score_below_its_floor_is_said_in_words():
    group = make_group(mcc=[0.40, 0.42], floors=FLOORS)
    assert below_floor(group, MCC) == ("untrained", 0.61)
    assert findings(make_record([group])) == [
        "MCC 0.410 is below its floor: untrained 0.610."
    ]
    assert headline([group], [MCC]) == (
        "MCC 0.410 ± 0.014 (below its floor: untrained 0.610) over 2 seeds"
    )
    between = make_group(mcc=[0.55, 0.55], floors=FLOORS)
    assert below_floor(between, MCC) == ("untrained", 0.61)
    raw = {"untrained": FLOORS["observations"], "observations": FLOORS["untrained"]}
    assert below_floor(make_group(mcc=[0.55, 0.55], floors=raw), MCC) == (
        "observations", 0.61,
    )  # fmt: skip


def test_a_score_above_its_floor_has_it_beside_it():
    group = make_group(mcc=[0.98, 0.96], floors=FLOORS)
    assert below_floor(group, MCC) is None
    assert (
        headline([group], [MCC]) == "MCC 0.970 ± 0.014 (untrained 0.610) over 2 seeds"
    )
    # What rounding leaves is not below.
    near = make_group(mcc=[0.6099, 0.6099], floors=FLOORS)
    assert below_floor(near, MCC) is None
    # An untrained encoder equals its own floor.
    equal = make_group(mcc=[0.60, 0.62], floors=FLOORS)
    assert below_floor(equal, MCC) is None


def test_the_point_to_take_is_named_with_and_without_truth():
    record = grid([[1.0, 1.1], [1.01, 1.09], [2.0, 2.0]], [0.5, 0.8, 0.9])
    scores = list(record.scores.values())
    line = headline(record.groups, scores, taken(record))
    assert line == "Of 3 points, bound 10: NLL 1.050 ± 0.057"
    known = [
        group._replace(final=group.final | {"mcc": np.array([0.5, 0.6])})
        for group in record.groups
    ]
    line = taken(make_record(known, [0.5, 0.8, 0.9]))
    assert line.startswith("Of 3 points, bound 10, chosen without the truth: ")
    assert taken(make_record(record.groups[:1])) == ""


def test_scores_that_no_seed_has_are_not_named():
    group = make_group(mcc=[np.nan, np.nan], nll=[1.0, 2.0])
    record = make_record([group])
    line = headline([group], list(record.scores.values()))
    assert line == "NLL 1.500 ± 0.707 over 2 seeds"
    two = [group._replace(label="a"), group._replace(label="b")]
    line = headline(two, list(record.scores.values()))
    assert line == "Best of 2 by mean NLL: a with NLL 1.500 ± 0.707"
    nothing = make_group(mcc=[np.nan])
    assert headline([nothing], [MCC]) == "No score of 1 seed"
    assert headline([nothing] * 2, [MCC]) == "2 points, 2 runs"
