"""What a run's wall time was spent on, in words."""

from jaxdis.report import times


def test_stretches_are_added_and_small_parts_left_out():
    first = {"import": 1.0, "compile": 30.0, "training": 5.0, "saving": 0.1}
    second = {"compile": 10.0, "training": 50.0, "report": 4.0}
    results = {"parts": [{"first": 0, "seconds": s} for s in (first, second)]}
    assert times.spent(results) == {
        "import": 1.0, "compile": 40.0, "training": 55.0, "saving": 0.1, "report": 4.0,
    }  # fmt: skip
    assert times.in_words(results) == (
        "import 1 s (1 %), compile 40 s (40 %), training 55 s (55 %), report 4 s (4 %)"
    )


def test_runs_of_earlier_versions_say_nothing():
    for results in ({}, {"parts": [{"wall_s": 3.0}]}, {"parts": None}):
        assert times.in_words(results) == ""
