"""Windows of a series never leave an episode."""

from itertools import pairwise

import numpy as np
import pandas
import pytest

import jaxdis
from jaxdis.data.reading import series

LENGTHS = (5, 1, 7, 3)
EPISODE = np.repeat([30, 10, 20, 40], LENGTHS)
N = len(EPISODE)
RNG = np.random.default_rng(0)
STEP = np.concatenate([np.arange(n) for n in LENGTHS])
SERIES = {
    "x": RNG.normal(size=(N, 2)),
    "a": RNG.normal(size=(N, 1)),
    "z": RNG.normal(size=(N, 3)),
    "u": EPISODE // 20,
    "k": STEP % 2,
    "y": np.where(STEP == 2, np.nan, RNG.normal(size=N)),
    "episode": EPISODE,
}


def oracle(window, stride):
    """The last rows of all windows, one by one."""
    found = []
    for first, last in pandas.Series(range(N)).groupby(EPISODE, sort=False).agg(
        ["min", "max"]
    ).to_numpy():  # fmt: skip
        start = first
        while start + window - 1 <= last:
            found.append(start + window - 1)
            start += stride
    return np.array(found)


@pytest.mark.parametrize(
    ("window", "stride", "expected"),
    [(None, None, (2, 1)), (3, None, (3, 2)), (4, 1, (4, 1)), (2, 3, (2, 3))],
)
def test_windows(window, stride, expected, capsys):
    rows = jaxdis.read(SERIES, window=window, stride=stride)
    last = oracle(*expected)
    assert len(last) == len(rows.x)
    for name in ("x", "z"):
        parts = [SERIES[name][last - i] for i in reversed(range(expected[0]))]
        stacked = np.stack(parts, 1).astype(np.float32)
        np.testing.assert_array_equal(getattr(rows, name), stacked)
    # The action that led to the last observation.
    np.testing.assert_array_equal(rows.a, SERIES["a"][last].astype(np.float32))
    np.testing.assert_array_equal(rows.y[:, 0], SERIES["y"][last].astype(np.float32))
    np.testing.assert_array_equal(rows.k, SERIES["k"][last])
    assert np.array(rows.names.u)[rows.u].tolist() == (
        SERIES["u"][last].astype(str).tolist()
    )
    group = np.array([10, 20, 30, 40])[rows.group]
    np.testing.assert_array_equal(group, EPISODE[last])
    short = sum(n < expected[0] for n in LENGTHS)
    note = f"note: {short} of 4 episodes are shorter than a window of {expected[0]}"
    assert note in capsys.readouterr().out.replace("\n", " ")


def test_every_transition_is_in_one_window(capsys):
    """With the usual stride, where lengths allow."""
    window, episode = 4, np.repeat([0, 1], (10, 13))
    rows = series.windows(episode, window, None)
    pairs = [tuple(pair) for w in rows for pair in pairwise(w)]
    inside = [(i, i + 1) for i in range(22) if i != 9]
    assert sorted(pairs) == inside
    assert capsys.readouterr().out == ""


def test_windows_of_one_keep_rows_as_they_are():
    rows = jaxdis.read(SERIES, window=1)
    np.testing.assert_array_equal(rows.x, SERIES["x"].astype(np.float32))
    np.testing.assert_array_equal(rows.z, SERIES["z"].astype(np.float32))
    np.testing.assert_array_equal(np.array([10, 20, 30, 40])[rows.group], EPISODE)


def test_windows_of_images_and_words():
    x = RNG.integers(0, 256, (N, 4, 4, 1), np.uint8)
    episode = np.char.add("run ", EPISODE.astype(str))
    rows = jaxdis.read({"x": x, "e": episode}, episode="e", window=3, stride=1)
    assert (rows.x.shape[1:], rows.x.dtype) == ((3, 4, 4, 1), np.uint8)
    last = oracle(3, 1)
    np.testing.assert_array_equal(rows.x[:, 0], x[last - 2])
    assert rows.names.x == ()


def test_a_split_by_episode():
    split = np.array(["test", "train", "valid", "train"]).repeat(LENGTHS)
    rows = jaxdis.read(SERIES | {"split": split})
    expected = {30: 2, 10: 0, 20: 1, 40: 0}
    names = np.array([10, 20, 30, 40])
    assert [expected[e] for e in names[rows.group]] == rows.split.tolist()


def test_from_a_table(tmp_path):
    names = ["x_0", "x_1", "torque", "z_0", "z_1", "z_2", "u", "k", "y", "run"]
    columns = [np.atleast_2d(array.T) for array in SERIES.values()]
    frame = pandas.DataFrame(np.concatenate(columns).T, columns=names)
    frame.to_csv(tmp_path / "a.csv", index=False)
    rows = jaxdis.read(tmp_path / "a.csv", a="torque", episode="run", window=3)
    expected = jaxdis.read(SERIES, window=3)
    for found, value in zip(rows[:-1], expected[:-1], strict=True):
        if value is not None:
            np.testing.assert_array_equal(found, value)
    assert rows.names.a == ("torque",)
    assert rows.names.u == expected.names.u


def changed(**arrays):
    return {k: v for k, v in (SERIES | arrays).items() if v is not None}


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (changed(), {"window": 0}, "data.window must be at least 1, got 0"),
        (changed(), {"stride": 0}, "data.stride must be at least 1, got 0"),
        (changed(), {"window": 8}, "length of the longest episode, 7; got 8"),
        (
            changed(episode=np.arange(N) % 2),
            {},
            "keep the rows of an episode together; 2 come in several pieces: sort",
        ),
        (changed(episode=None), {"window": 2}, "data.episode must name .* has x, a, "),
        (changed(episode=None), {"stride": 2}, "data.episode must name the column"),
        (
            changed(episode=np.where(STEP == 3, np.nan, EPISODE)),
            {},
            "data.episode must not be missing; 'episode' is in row 3",
        ),
        (
            changed(x=RNG.normal(size=(N, 3, 2))),
            {},
            r"series of vectors or images where there are .*; got shape \(16, 3",
        ),
        (
            changed(split=np.arange(N) % 2),
            {},
            "same for all rows of an episode; 3 of 4 episodes are in several",
        ),
        (
            changed(x=np.where(np.arange(N) == 7, np.nan, 1.0)),
            {},
            "data.x must be finite; row 7 of column 'x' is missing",
        ),
    ],
)
def test_series_that_do_not_fit(source, settings, message):
    with pytest.raises(ValueError, match=message):
        jaxdis.read(source, **settings)


def test_windows_that_do_not_fit_into_memory(monkeypatch):
    from jaxdis.data import memory

    monkeypatch.setattr(memory, "free_memory", lambda: 100)
    with pytest.raises(ValueError, match=r"data.x in windows takes .* GB, and 1e-07"):
        jaxdis.read(SERIES)


def test_sequences_with_an_action_for_each_step_are_episodes():
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=(7, 5, 4)), rng.normal(size=(7, 5, 2))
    u = np.arange(7) % 2
    rows = jaxdis.read({"x": x, "a": a, "z": x[..., :2], "u": u})
    assert rows.x.shape == (7 * 4, 2, 4)
    pairs = np.stack([x[:, :-1], x[:, 1:]], 2).reshape(-1, 2, 4)
    np.testing.assert_array_equal(rows.x, pairs.astype(np.float32))
    np.testing.assert_array_equal(rows.z, pairs[..., :2].astype(np.float32))
    # The action of a window led to its last observation.
    np.testing.assert_array_equal(rows.a, a[:, 1:].reshape(-1, 2).astype(np.float32))
    np.testing.assert_array_equal(rows.group, np.repeat(np.arange(7), 4))
    np.testing.assert_array_equal(rows.u, np.repeat(u, 4))
    with pytest.raises(ValueError, match=r"data.a must be \[n, a\], or \[n, t, a\]"):
        jaxdis.read({"x": x, "a": a[:, :3]})
