"""Means that are over fewer seeds than did not fail say so; the truth is named."""

import numpy as np

from jaxdis.metrics import MCC
from jaxdis.report import markup, tables
from jaxdis.report.averages import lacking
from jaxdis.report.headline import headline, run_facts, taken
from jaxdis.report.read import compared, load
from jaxdis.report.sentences import findings
from tests.report.records import NLL, make_group, make_record
from tests.report.runs import make_run


def group(label=""):
    """Seed 3 failed; seed 1 did not, and has no MCC."""
    mcc = [0.9, np.nan, 0.8, 0.1]
    return make_group(label, failed=(3,), mcc=mcc, nll=[1.0, 2.0, 3.0, 4.0])


def test_tables_of_pages_count():
    shown = tables.group_table([group("a"), group("b")], [MCC, NLL], "point")
    shown = shown.replace("&nbsp;", " ")
    assert shown.count("0.850 ± 0.071 (2 of 3)") == 2
    assert "2.000 ± 1.000<" in shown.replace("</span>", "<")
    whole = tables.results(make_record([group()]))
    assert ">2 of 3<" in whole
    plain = tables.results(make_record([make_group(mcc=[0.5, 0.6])]))
    assert "2 of 2" not in plain


def test_a_narrow_column_breaks_before_a_sign_and_never_behind_it():
    shown = tables.group_table([make_group("a", mcc=[0.5, 0.6])], [MCC], "point")
    for words in ("MCC&nbsp;↑", "0.550 ±&nbsp;0.071", "0.000 to&nbsp;1.000"):
        assert words in shown
    assert "a to b" in markup.words(["name"], [["a to b"]])


def test_the_headline_and_the_sentences_count():
    line = headline([group()], [MCC])
    assert "MCC 0.850 ± 0.071 (2 of 3)" in line
    said = findings(make_record([group()]))
    assert (
        "Seed 1 has no finite MCC, without having failed: its means are over 2 of 3 "
        "seeds."
    ) in said
    many = make_group(mcc=[0.5] + [np.nan] * 9, nll=[1.0] * 10)
    assert any("9 seeds have no finite MCC" in s for s in findings(make_record([many])))


def test_a_udr_says_of_how_many_seeds_it_is():
    groups = [
        make_group(failed=(2,), nll=[1.0] * 4, agreement=[0.5, 0.6, np.nan, 0.7]),
        make_group(nll=[1.0] * 4, agreement=[0.5, 0.6, 0.6, 0.7]),
    ]
    record = make_record(groups, [0.6, 0.6])
    assert list(map(compared, groups)) == [3, 4]
    shown = run_facts(record)["agreement of seeds (UDR)"]
    assert shown == "0.600 of 3 of 4 seeds, 0.600"


def of_points(**more):
    return [
        make_group(
            f"bound {b}", {"bound": b}, mcc=m, **{n: v[i] for n, v in more.items()}
        )
        for i, (b, m) in enumerate([(5, [0.9, 0.95]), (10, [0.6, 0.7])])
    ]


def test_the_point_of_the_headline_is_chosen_without_the_truth():
    record = make_record(of_points(nll=[[2.0, 2.1], [1.0, 1.1]]), [None, None])
    scores = list(record.scores.values())
    line = headline(record.groups, scores, taken(record))
    # MCC would take the other one.
    assert line.startswith("Of 2 points, bound 10, chosen without the truth: MCC 0.650")
    assert "Best" not in line


def test_where_nothing_else_chooses_the_truth_is_named():
    record = make_record(of_points(), [None, None])
    assert taken(record) == ""
    line = headline(record.groups, list(record.scores.values()), taken(record))
    assert line.startswith("Best of 2 by mean MCC, which looks at the truth: bound 5")


def test_a_udr_alone_chooses(tmp_path):
    record = make_record(of_points(), [0.5, 0.8])
    assert taken(record).startswith("Of 2 points, bound 10, chosen without the truth")


def test_nulls_of_a_written_run_are_counted(tmp_path):
    make_run(tmp_path / "run", seeds=4, null=(2,))
    record = load(tmp_path / "run")
    assert lacking(record.groups[0], "mcc") == "3 of 4"
    assert any("Seed 2 has no finite MCC" in said for said in findings(record))
