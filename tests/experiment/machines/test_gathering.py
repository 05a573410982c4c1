"""Rows that were trained in shards become the run that they are parts of."""

import json
import shutil

import jax
import numpy as np
import pytest

import jaxdis
from jaxdis import lock
from jaxdis.cli.merge import merge_command
from jaxdis.cli.show import report_command
from jaxdis.experiment.machines import gathering
from tests import own_method

pytestmark = pytest.mark.usefixtures("sketches")

NAME = f"{own_method.__file__}:METHOD"
TINY = {
    "data": {"known": True},
    "steps": 6,
    "chunk": 2,
    "seeds": 4,
    "hyper": {"penalty": [0, 1]},
}
SHARDS = [f"shard-000{i}-of-0004" for i in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Four shards as four tasks of an array train them: each has one seed."""
    out = tmp_path_factory.mktemp("apart") / "sweep [1]"
    for i in (3, 1, 4, 2):
        jaxdis.train(NAME, shard=(i, 4), out=out, **TINY)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same rows, trained in one piece."""
    return jaxdis.train(NAME, out=tmp_path_factory.mktemp("whole") / "run", **TINY)


@pytest.fixture(scope="module")
def merged(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("merged") / "sweep"
    shutil.copytree(trained, out)
    return jaxdis.merge(out)


@pytest.fixture
def shards(trained, tmp_path):
    """A copy to be damaged."""
    shutil.copytree(trained, tmp_path / "sweep")
    return tmp_path / "sweep"


def read(path):
    return json.loads(path.read_text())


def change(path, **changes):
    path.write_text(json.dumps(read(path) | changes))


def lines(directory):
    text = (directory / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def close(found, wanted):
    np.testing.assert_allclose(
        np.array(found, float), np.array(wanted, float), rtol=1e-4, atol=1e-6
    )


def test_the_table_is_that_of_a_run_in_one_piece(merged, whole):
    found = read(merged.directory / "results.json")
    wanted = read(whole.directory / "results.json")
    for name in ("seeds", "points", "steps", "failed_seeds", "scores", "arrays"):
        assert found[name] == wanted[name]
    for name in ("metrics", "mean", "std"):
        assert list(found[name]) == list(wanted[name])
        for score in wanted[name]:
            close(found[name][score], wanted[name][score])
    close(found["udr"], wanted["udr"])
    assert found["missing"] == []
    assert [d.split("/")[-1] for d in found["shards"]] == SHARDS


def test_the_lines_are_those_of_a_run_in_one_piece(merged, whole):
    found, wanted = lines(merged.directory), lines(whole.directory)
    assert len(found) == 3 * 2 * 4
    for one, other in zip(found, wanted, strict=True):
        assert list(one) == list(other)
        close(list(one.values()), list(other.values()))


def test_the_merged_run_is_used_like_any_other(merged, trained):
    params = merged.params
    for i, shard in enumerate(SHARDS):
        own = jaxdis.load(trained / shard).params
        same = jax.tree.map(
            lambda a, b, i=i: np.array_equal(a[:, i], b[:, 0]), params, own
        )
        assert all(jax.tree.leaves(same))
    x = np.zeros((3, *merged.model.spec.shape), np.float32)
    assert merged.encode(x, point=1).shape[:2] == (4, 3)
    assert merged.report().exists()


def test_the_time_is_that_of_the_longest_shard(merged):
    times = [
        read(merged.directory / shard / "results.json")["wall_s"] for shard in SHARDS
    ]
    assert read(merged.directory / "results.json")["wall_s"] == max(times)


def test_merging_again_changes_nothing_and_leaves_nothing(merged):
    before = (merged.directory / "metrics.jsonl").read_bytes()
    results = read(merged.directory / "results.json")["metrics"]
    jaxdis.merge(merged.directory)
    assert (merged.directory / "metrics.jsonl").read_bytes() == before
    assert read(merged.directory / "results.json")["metrics"] == results
    names = {path.name for path in merged.directory.iterdir()}
    assert not {name for name in names if name.startswith(".")}


def test_what_is_missing_is_named(shards):
    shutil.rmtree(shards / SHARDS[2])
    (shards / SHARDS[1] / "results.json").unlink()
    with (
        lock.held(shards / SHARDS[3]),
        pytest.raises(ValueError, match="merge") as refused,
    ):
        jaxdis.merge(shards)
    told = str(refused.value).splitlines()
    assert told[0] == "merge: 3 of 4 shards are not finished:"
    assert f"{SHARDS[1]} (seed 1): stopped or killed after step 6; go on" in told[1]
    assert f"{SHARDS[2]} (seed 2): never started" in told[2]
    assert f"{SHARDS[3]} (seed 3): trains now, in process " in told[3]
    assert "--partial" in told[4]
    assert not (shards / "results.json").exists()


def test_the_table_of_what_there_is_says_what_it_lacks(shards, capsys):
    shutil.rmtree(shards / SHARDS[2])
    assert merge_command([str(shards), "--partial"]) == 0
    run = jaxdis.load(shards / "partial")
    assert [group.seeds for group in run.record.groups] == [[0, 1, 3]] * 2
    assert run.scores["mcc"].shape == (2, 3)
    assert run.model.seeds == (0, 1, 3)
    (missing,) = run.record.results["missing"]
    assert f"{SHARDS[2]} (seed 2): never started" in missing
    assert "Not in this table" in run.report().read_text()
    assert "never started" in " ".join(capsys.readouterr().out.split())
    assert not (shards / "results.json").exists()


def test_rows_that_make_no_table_are_left_out(trained, tmp_path):
    parts = []
    for shard in SHARDS[:2]:
        parts.append(tmp_path / shard)
        shutil.copytree(trained / shard, parts[-1])
    # A run of one point and another seed beside those of two points.
    one = jaxdis.train(
        NAME,
        out=tmp_path / "one",
        first_seed=9,
        **TINY | {"seeds": 1, "hyper": {"penalty": 0}},
    )
    with pytest.raises(ValueError, match="some points lack the seeds 9"):
        jaxdis.merge([*parts, one.directory], out=tmp_path / "all")
    run = jaxdis.merge([*parts, one.directory], out=tmp_path / "all", partial=True)
    assert run.model.seeds == (0, 1)


def test_a_report_of_shards_merges_them(shards, capsys):
    assert report_command([str(shards)]) == 0
    assert (shards / "results.json").exists()
    assert (shards / "report.html").exists()


def test_runs_that_differ_in_their_seeds_are_merged(trained, merged, tmp_path):
    parts = [tmp_path / f"run{i}" for i in range(3)]
    for shard, part in zip((SHARDS[3], SHARDS[0], SHARDS[1]), parts, strict=True):
        shutil.copytree(trained / shard, part)
    run = jaxdis.merge(parts, out=tmp_path / "all")
    assert run.record.groups[0].seeds == [0, 1, 3]
    for score in ("mcc", "distance"):
        close(run.scores[score], merged.scores[score][:, [0, 1, 3]])
    again = jaxdis.load(tmp_path / "all")
    assert again.model.seeds == (0, 1, 3)
    with pytest.raises(ValueError, match="seeds 0, 1, 3 are there more than once"):
        jaxdis.merge([*parts, tmp_path / "all"], out=tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


def test_no_directory_is_emptied_for_its_name(trained, tmp_path):
    mine = tmp_path / "partial"
    mine.mkdir()
    (mine / "notes").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and is never overwritten"):
        jaxdis.merge([trained / SHARDS[0], trained / SHARDS[1]], out=mine)
    assert (mine / "notes").read_text() == "mine"


def test_nothing_is_left_of_a_merge_that_fails(trained, tmp_path, monkeypatch):
    def gone(*args):
        raise ValueError("the data are gone")

    monkeypatch.setattr(gathering, "prepare", gone)
    with pytest.raises(ValueError, match="the data are gone"):
        jaxdis.merge([trained / SHARDS[0], trained / SHARDS[1]], out=tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_seeds_with_gaps_get_no_more(trained, tmp_path):
    parts = [trained / SHARDS[0], trained / SHARDS[2]]
    run = jaxdis.merge(parts, out=tmp_path / "all")
    with pytest.raises(ValueError, match="lacks some between 0 and 2"):
        jaxdis.resume(run.directory, seeds=5)
    longer = jaxdis.resume(run.directory, steps=8)
    assert longer.model.seeds == (0, 2)
    assert longer.model.step == 8


def test_what_went_on_after_merging_is_not_overwritten(merged, tmp_path):
    shutil.copytree(merged.directory, tmp_path / "sweep")
    jaxdis.resume(tmp_path / "sweep", steps=8)
    with pytest.raises(ValueError, match="went on to step 8, its shards stand at 6"):
        jaxdis.merge(tmp_path / "sweep")


def test_shards_of_another_setting_are_refused(shards):
    change(shards / SHARDS[1] / "config.json", steps=7)
    with pytest.raises(ValueError, match=r"merge: .* other steps .*steps is 7 there"):
        jaxdis.merge(shards)


def test_shards_of_other_versions_are_refused_unless_asked_for(shards):
    path = shards / SHARDS[1] / "config.json"
    change(path, versions=read(path)["versions"] | {"jax": "0.1"})
    with pytest.raises(ValueError, match=r"merge: .* versions\.jax is 0.1 there"):
        jaxdis.merge(shards)
    assert jaxdis.merge(shards, other_versions=True).scores["mcc"].shape == (2, 4)
    change(path, x64=True)
    with pytest.raises(ValueError, match="x64 is True there"):
        jaxdis.merge(shards, other_versions=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": (1, 2)}, "is divided into 4 shards, and this is 1/2; give I/4"),
        ({"shard": (1, 4), "steps": 8}, "shard: the run in .* has other steps"),
        ({"shard": (1, 4), "seeds": 5}, "has other seeds"),
        ({"shard": (1, 4)}, "is not empty"),
        ({"shard": (1, 5)}, "4 or 6 shards work"),
        ({"shard": "5/4"}, "with I from 1 to N"),
    ],
)
def test_a_shard_that_is_no_part_of_the_run_is_refused(trained, options, message):
    with pytest.raises(ValueError, match=message):
        jaxdis.train(NAME, out=trained, **TINY | options)


def test_a_shard_needs_the_directory_of_the_whole(monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    with pytest.raises(ValueError, match="shard needs out"):
        jaxdis.train(NAME, shard=(1, 4), **TINY)


def test_nothing_is_left_of_a_shard_that_cannot_begin(tmp_path):
    data = {"data": str(tmp_path / "nothing.csv")}
    with pytest.raises(ValueError, match=r"nothing\.csv"):
        jaxdis.train(NAME, shard=(1, 4), out=tmp_path / "run", **TINY | data)
    assert not (tmp_path / "run").exists()


def test_other_things_are_not_taken_for_a_run_in_shards(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="something other than shards"):
        jaxdis.train(NAME, shard=(1, 4), out=tmp_path, **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(ValueError, match="is in one piece"):
        jaxdis.merge(trained / SHARDS[0])
    with pytest.raises(ValueError, match="go on with each"):
        jaxdis.resume(trained)


def test_the_run_of_other_shards_is_not_merged_into(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(
        json.dumps({"preset": "quickstart", "seeds": 2, "shards": 2})
    )
    (other / "results.json").write_text("{}")
    runs = [tmp_path / "a", tmp_path / "b"]
    for given in (runs, runs[0]):
        with pytest.raises(ValueError, match="holds the shards of another run"):
            jaxdis.merge(given, out=other)
    assert (other / "results.json").read_text() == "{}"


def test_a_partial_table_that_is_made_now_is_left_alone(shards):
    shutil.rmtree(shards / SHARDS[1])
    table = shards / "partial"
    table.mkdir()
    (table / "config.json").write_text("{}")
    with lock.held(table), pytest.raises(ValueError, match="has been training in"):
        jaxdis.merge(shards, partial=True)
    assert (table / "config.json").read_text() == "{}"
