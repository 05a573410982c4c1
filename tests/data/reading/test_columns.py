"""Which columns a field takes."""

import numpy as np
import pytest

from jaxdis.data.reading.columns import Columns, Fields, note_unread, resolve


def source(*names, **defaults):
    return Columns("a.csv", names, lambda wanted: {}, defaults)


ARM = source("time", "x_10", "x_2", "torque_b", "torque_a", "u", "episode", "a[0]")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"x": "x_2 x_10", "u": "u", "episode": "episode"}),
        ({"a": "torque_*"}, {"a": "torque_b torque_a"}),
        ({"a": ["torque_a", "torque_*"]}, {"a": "torque_a torque_b"}),
        ({"a": "a[0]"}, {"a": "a[0]"}),
        ({"y": "u"}, {"y": "u", "u": None}),
        ({"y": "u", "u": "u"}, {"y": "u", "u": "u"}),
        ({"u": (), "episode": []}, {"x": "x_2 x_10", "u": None, "episode": None}),
        # A pattern leaves others what is theirs, and a star what is anybody's.
        ({"x": "t*", "a": "torque_a"}, {"x": "time torque_b", "a": "torque_a"}),
        ({"x": "*", "a": "t*_*"}, {"x": "time x_10 x_2 a[0]"}),
        ({"x": "*", "z": "x_?*"}, {"x": "time torque_b torque_a a[0]"}),
        ({"x": ["*"], "episode": ["time"]}, {"episode": "time"}),
        ({"z": "x_2"}, {"x": "x_10", "z": "x_2"}),
    ],
)
def test_fields(fields, expected):
    found = resolve(ARM, Fields(**fields))
    for field, names in expected.items():
        assert found.get(field) == (names and tuple(names.split()))


def test_defaults():
    assert resolve(source("x", "x_0", "y1", "y0"), Fields()) == {
        "x": ("x",), "y": ("y0", "y1"),
    }  # fmt: skip
    assert resolve(source("x", "folder", u="folder"), Fields())["u"] == ("folder",)
    assert resolve(source("x", "u", "folder", u="folder"), Fields())["u"] == ("u",)
    # Rows have one episode and one split.
    assert resolve(source("x", "split_0", "episode_0"), Fields()) == {"x": ("x",)}


@pytest.mark.parametrize(
    ("columns", "fields", "message"),
    [
        (ARM, {"a": "torqe_a"}, "data.a: there is no column 'torqe_a'; the nearest "
         "name is 'torque_a'. a.csv has time, "),
        (ARM, {"a": "force_*"}, r"a must match a column, and 'force_\*' matches no"),
        (ARM, {"x": "u", "y": "u*"}, "data.y must leave itself a column; .* belong"),
        (source("b", "c"), {}, "must name the observations, .*; a.csv has b, c"),
        (source(*map(str, range(99))), {}, "has 0, 1, .*, 19 and 79 more"),
    ],
)  # fmt: skip
def test_fields_that_are_not_there(columns, fields, message):
    with pytest.raises(ValueError, match=message):
        resolve(columns, Fields(**fields))


@pytest.mark.parametrize(
    ("columns", "fields", "said"),
    [
        (source("x", "actions"), {}, "read of a.csv: actions. A field (a, u, y, k, z,"),
        (ARM, {}, "not read of a.csv: time, torque_b, torque_a, a[0]. A field (a, y,"),
        (ARM, {"a": "torque_*"}, "(y, k, z, split) takes what is called as it is, or "
         "what --data.y NAME (y= of jaxdis.read) names"),
        (source("x", "a"), {}, ""),
        (source("x", "time"), dict.fromkeys(Fields._fields[1:], ()), ""),
        (source("x", "folder")._replace(optional=("folder",)), {}, ""),
    ],
)  # fmt: skip
def test_what_no_field_takes_is_said(columns, fields, said, capsys):
    wanted = Fields(**fields)
    note_unread(columns, wanted, resolve(columns, wanted))
    shown = capsys.readouterr().out
    assert said in shown
    assert bool(shown) == bool(said)


def test_only_what_is_wanted_is_read():
    from jaxdis.data.reading import rows

    asked = []

    def get(names):
        asked.extend(names)
        return {name: np.random.default_rng(0).normal(size=9) for name in names}

    found = rows._read_columns(Columns("a", ("x", "b", "c"), get), {"x": ("b",)})
    assert (asked, list(found)) == (["b"], ["x"])
