"""Going on with a run gives the numbers of one that had all from the start."""

import contextlib
import errno
import itertools
import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import jaxdis
from jaxdis import checkpoint
from jaxdis.experiment import more_seeds
from jaxdis.experiment.stopping import Stopped
from tests import own_method

# The penalty is set by the number of steps, as the length of a schedule would be.
METHOD = own_method.METHOD._replace(
    default_hyper=lambda config, spec, steps: own_method.Hyper(0.05, 0.01 * steps)
)
RATES = {"learning_rate": [0.05, 0.1]}


def train(out, steps=6, seeds=3, chunk=2, **options):
    return jaxdis.train(
        METHOD, steps=steps, seeds=seeds, chunk=chunk, out=out,
        checkpoint_seconds=0, **options,
    )  # fmt: skip


def resume(out, **options):
    return jaxdis.resume(out, method=METHOD, checkpoint_seconds=0, **options)


def settings(out):
    return json.loads((out / "config.json").read_text())


def results(out):
    return json.loads((out / "results.json").read_text())


def lines(out):
    return [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()]


def arrays(out):
    """All that the last checkpoint holds."""
    saved = out / "checkpoints"
    return checkpoint.everything(saved, max(checkpoint.steps(saved))).rest


def files(out):
    """The content of all files below a directory."""
    return {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}


def same(a, b, rtol=0.0):
    """Whether two runs have the same numbers, by default bit for bit."""
    close = partial(np.testing.assert_allclose, rtol=rtol, atol=rtol)
    one, other = arrays(a), arrays(b)
    assert one.keys() == other.keys()
    for name, array in one.items():
        close(array, other[name], err_msg=name)
    assert len(lines(a)) == len(lines(b))
    for x, y in zip(lines(a), lines(b), strict=True):
        assert list(x) == list(y)
        close([v or 0 for v in x.values()], [v or 0 for v in y.values()])
    found, wanted = results(a), results(b)
    for name in ("seeds", "points", "steps", "failed_seeds"):
        assert found[name] == wanted[name], name
    for name, values in wanted["metrics"].items():
        close(*(np.array(v, float) for v in (found["metrics"][name], values)))


# Rows that are trained beside others of another number are rounded otherwise.
nearly = partial(same, rtol=1e-6)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Ten steps at once, with the penalty that six steps would set."""
    out = tmp_path_factory.mktemp("runs") / "long"
    train(out, steps=10, hyper=RATES | {"penalty": 0.06})
    return out


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Six steps."""
    out = tmp_path_factory.mktemp("runs") / "short"
    train(out, hyper=RATES)
    return out


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Six steps of five seeds."""
    out = tmp_path_factory.mktemp("runs") / "wide"
    train(out, seeds=5, hyper=RATES)
    return out


@pytest.fixture
def run(short, tmp_path):
    """A copy of the short run, to be gone on with."""
    out = tmp_path / "run"
    shutil.copytree(short, out)
    return out


def test_a_finished_run_is_not_touched(run, capsys):
    before = files(run)
    found = resume(run)
    assert "is finished, 6 steps of 3 seeds, and is left as it is" in " ".join(
        capsys.readouterr().out.split()
    )
    assert files(run) == before
    assert found.scores["distance"].shape == (2, 3)
    for options in ({"resume": True}, {"start_or_resume": True}):
        train(run, hyper=RATES, **options)
        assert files(run) == before


def test_results_that_are_missing_are_measured_again(run):
    before = results(run)
    (run / "results.json").unlink()
    resume(run)
    assert results(run)["metrics"] == before["metrics"]
    assert results(run)["steps"] == 6


def test_more_steps_are_those_of_a_longer_run(run, long, capsys):
    resume(run, steps=10)
    same(run, long)
    said = " ".join(capsys.readouterr().out.split())
    assert "set by the number of steps, for 10: penalty 0.06 -> 0.1, but kept" in said
    assert settings(run)["steps"] == 10
    assert settings(run)["hyper"] == settings(long)["hyper"]
    # So it is found by who gives all options again, for either number of steps.
    before = files(run)
    train(run, steps=10, hyper=RATES, resume=True)
    train(run, steps=6, hyper=RATES, start_or_resume=True)
    assert files(run) == before
    with pytest.raises(ValueError, match=r"trained for 10 steps already.* become 6;"):
        train(run, steps=6, hyper=RATES, resume=True)
    assert files(run) == before


def test_more_steps_by_train_as_by_resume(run, long):
    train(run, steps=10, hyper=RATES, resume=True)
    same(run, long)


def test_stretched_hyper_parameters_are_said_and_taken(run, capsys):
    start = arrays(run)
    resume(run, steps=8, stretch=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "penalty 0.06 -> 0.08, from step 6 on" in said
    assert settings(run)["hyper"] == RATES | {"penalty": [0.08, 0.08]}
    assert results(run)["points"][1] == {"learning_rate": 0.1, "penalty": 0.08}
    assert results(run)["steps"] == 8
    assert not np.array_equal(
        start["rows/state/params/encoder"], arrays(run)["rows/state/params/encoder"]
    )
    # A value that somebody chose is not set by the number of steps.
    resume(run, steps=9)
    assert settings(run)["hyper"]["penalty"] == [0.08, 0.08]
    train(run, steps=9, hyper=RATES, resume=True)


def test_the_pace_of_a_run_is_kept(run):
    resume(run, steps=7, chunk_seconds=7.0, rows_at_once=3)
    told = settings(run)
    assert (told["chunk_seconds"], told["rows_at_once"]) == (7.0, 3)
    jaxdis.resume(run, method=METHOD, steps=8)
    assert settings(run) == told | {"steps": 8, "extended": [6, 7]}


def test_stretching_leaves_alone_what_was_chosen(tmp_path, capsys):
    train(tmp_path / "run", steps=2, hyper={"penalty": 0.5})
    resume(tmp_path / "run", steps=4, stretch=True)
    assert "set by the number of steps" not in capsys.readouterr().out
    assert settings(tmp_path / "run")["hyper"]["penalty"] == [0.5]


def stopped(work, after, monkeypatch):
    """Stops a run as a signal would, after a number of saved checkpoints."""
    save, calls = checkpoint.save, []

    def counting(*args, **options):
        save(*args, **options)
        calls.append(args)
        if len(calls) == after:
            raise Stopped(args[0].parent, args[1])

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", counting)
        with pytest.raises(Stopped) as stop:
            work()
    return stop.value


def test_more_steps_that_were_interrupted_go_on(run, long, monkeypatch):
    stop = stopped(lambda: resume(run, steps=10), 1, monkeypatch)
    assert stop.directory == run
    assert stop.step == 7
    assert settings(run)["steps"] == 10
    assert results(run)["steps"] == 6  # until there are better ones
    resume(run)
    same(run, long)
    assert not list((run / "checkpoints").glob("*.damaged*"))


def test_more_seeds_are_those_of_a_wider_run(run, wide, capsys):
    resume(run, seeds=5)
    nearly(run, wide)
    assert settings(run)["seeds"] == 5
    assert {p.name for p in run.iterdir()} == {p.name for p in wide.iterdir()}
    parts = results(run)["parts"]
    assert [(part["first"], part["last"]) for part in parts[:2]] == [(0, 6), (0, 6)]
    assert jaxdis.load(run, method=METHOD).record.groups[1].seeds == [0, 1, 2, 3, 4]


def test_more_seeds_and_steps_by_train(run, tmp_path):
    train(run, seeds=5, steps=8, hyper=RATES, resume=True)
    train(tmp_path / "whole", seeds=5, steps=8, hyper=RATES | {"penalty": 0.06})
    nearly(run, tmp_path / "whole")


@pytest.mark.parametrize("after", [1, 3])
def test_more_seeds_that_were_interrupted_go_on(after, run, wide, monkeypatch):
    stop = stopped(lambda: resume(run, seeds=5), after, monkeypatch)
    assert stop.directory == run
    assert (run / "seeds-3-4" / "config.json").is_file()
    assert settings(run)["seeds"] == 3
    with pytest.raises(ValueError, match=r"has 5 seeds already, .*become 4"):
        resume(run, seeds=4)
    resume(run)  # what was begun is not forgotten
    nearly(run, wide)


def test_seeds_are_added_again_and_again(run, wide, monkeypatch):
    stopped(lambda: resume(run, seeds=4), 1, monkeypatch)
    resume(run, seeds=5)
    nearly(run, wide)


class Killed(BaseException):
    """In the place of a kill."""


@pytest.fixture(scope="module")
def ready(short, tmp_path_factory):
    """A run to which seeds are about to be joined."""
    out = tmp_path_factory.mktemp("runs") / "ready"
    shutil.copytree(short, out)

    def killed(directory):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(more_seeds, "recover", killed)
        with pytest.raises(Killed):
            resume(out, seeds=5)
    return out


def killed_at(number, patch):
    """Ends the program in place of its `number`th change of the directory."""
    calls = []

    def dying(original):
        def call(*args, **options):
            calls.append(args)
            if len(calls) == number:
                raise Killed
            return original(*args, **options)

        return call

    patch.setattr(more_seeds.os, "replace", dying(os.replace))
    patch.setattr(more_seeds.shutil, "rmtree", dying(shutil.rmtree))
    patch.setattr(more_seeds.Path, "rename", dying(Path.rename))
    return calls


def test_a_kill_while_seeds_join_loses_nothing(ready, tmp_path, monkeypatch):
    for number in itertools.count(1):
        out = tmp_path / str(number)
        shutil.copytree(ready, out)
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            calls = killed_at(number, patch)
            more_seeds.recover(out)
        ended = len(calls) < number
        assert ended or (out / "joined").is_dir()
        more_seeds.recover(out)
        assert not {p.name for p in out.iterdir()} & {"joined", ".checkpoints.tmp"}
        assert settings(out)["seeds"] == 5
        assert len(lines(out)) == 2 * 3 * 5
        assert len(arrays(out)["rows/skipped"]) == 2 * 5
        if ended:
            break
    assert number > 5


def test_seeds_that_were_joined_are_measured(ready, wide, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(ready, out)
    assert results(out)["seeds"] == [0, 1, 2]
    resume(out)
    nearly(out, wide)
    assert {p.name for p in out.iterdir()} == {p.name for p in wide.iterdir()}


def test_an_unfinished_run_gets_more_seeds(tmp_path, wide, monkeypatch):
    out = tmp_path / "run"
    stopped(lambda: train(out, hyper=RATES), 2, monkeypatch)
    resume(out, seeds=5)
    nearly(out, wide)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"steps": 4}, "steps: the run in .* trained for 6 steps already.*become 4"),
        ({"seeds": 2}, "seeds: the run in .* has 3 seeds already, from 0 to 2"),
        ({"seeds": 10**9}, "seeds must be at most"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_less_is_refused(wishes, message, run):
    before = files(run)
    with pytest.raises(ValueError, match=message):
        resume(run, **wishes)
    assert files(run) == before


def test_a_run_that_lacks_seeds_gets_no_more(run):
    """As one that was merged while a shard was missing."""
    config = settings(run) | {"seed_numbers": [0, 1, 3]}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"lacks some between 0 and 3.*jaxdis merge"):
        resume(run, seeds=5)
    resume(run, steps=7)
    assert results(run)["seeds"] == [0, 1, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hyper": {"learning_rate": [0.05, 0.2]}}, "has other hyper"),
        ({"hyper": {"learning_rate": 0.05}}, "has other hyper"),
        ({"hyper": RATES, "first_seed": 1}, "has other first_seed"),
        ({"hyper": RATES, "data": {"rows": 44}}, "other data .data.rows is 40 there"),
        ({"hyper": RATES, "loss": max}, "has other parts"),
    ],
)
def test_another_setting_is_not_gone_on_with(options, message, run):
    before = files(run)
    with pytest.raises(ValueError, match=message):
        train(run, resume=True, **options)
    assert files(run) == before


def test_other_versions_are_refused_or_said(run, capsys):
    config = settings(run)
    config["versions"]["jax"] = "0.1"
    (run / "config.json").write_text(json.dumps(config))
    resume(run)  # nothing is trained
    with pytest.raises(ValueError, match=r"jax is 0.1 there.*--other-versions"):
        resume(run, steps=8)
    with pytest.raises(ValueError, match=r"jax is 0.1 there.*--other-versions"):
        train(run, steps=8, hyper=RATES, resume=True)
    assert settings(run)["steps"] == 6
    resume(run, steps=8, other_versions=True)
    assert results(run)["steps"] == 8


def test_other_data_are_refused(run):
    record = json.loads((run / "data.json").read_text())
    record["preparation"]["x"]["mean"]["values"][1] += 1
    (run / "data.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"other x \(data.json"):
        resume(run, steps=8)
    assert max(checkpoint.steps(run / "checkpoints")) == 6


def test_another_run_starts_from_the_last_parameters(
    short, tmp_path, capsys, monkeypatch
):
    out, seen, saved = tmp_path / "next", [], []
    save = checkpoint.save

    def noting(directory, step, tree, **options):
        save(directory, step, tree, **options)
        saved.append(checkpoint.everything(directory, step).rest)

    monkeypatch.setattr(checkpoint, "save", noting)
    train(
        out, seeds=2, steps=2, hyper={"learning_rate": [0.1, 0.3]}, start_from=short,
        callbacks=[lambda chunk: seen.append(chunk.step)],
    )  # fmt: skip
    assert seen == [2]
    first = saved[0]
    last = arrays(short)
    # Seeds 0 and 1 of the point of rate .1, and those of the one that is recommended.
    told = settings(out)["from"]
    assert told["run"] == str(short)
    assert told["step"] == 6
    recommended = jaxdis.load(short, method=METHOD).choose().point
    rows = [3, 4, 3 * recommended, 3 * recommended + 1]
    assert told["points"] == [1, recommended]
    for name in ("encoder", "decoder"):
        path = f"rows/state/params/{name}"
        np.testing.assert_array_equal(first[path], last[path][rows])
    assert (first["rows/state/step"] == 0).all()
    said = " ".join(capsys.readouterr().out.split())
    assert "point 0 starts from point 1 of" in said
    assert "after 6 steps, the one of equal learning_rate point 1" in said
    assert "the one that is recommended" in said


def test_what_a_run_started_from_may_go(short, tmp_path, monkeypatch):
    source, out, whole = tmp_path / "source", tmp_path / "out", tmp_path / "whole"
    shutil.copytree(short, source)
    options = {"hyper": RATES | {"penalty": 0.06}, "start_from": source}
    train(whole, steps=4, **options)
    stopped(lambda: train(out, steps=4, **options), 2, monkeypatch)
    shutil.rmtree(source)
    resume(out)
    same(out, whole)


def test_more_seeds_of_a_run_that_started_from_another(wide, tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    options = {"hyper": RATES | {"penalty": 0.06}, "start_from": wide}
    train(whole, seeds=5, steps=2, **options)
    train(out, seeds=2, steps=2, **options)
    resume(out, seeds=5)
    nearly(out, whole)
    with pytest.raises(ValueError, match="has seeds 0 to 4, and lacks 5, 6"):
        resume(out, seeds=7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 5}, "has seeds 0 to 2, and lacks 3, 4"),
        ({"config": {"z_dim": 3}}, r"does not fit: params.* has shape \(2, 3\) there"),
    ],
)
def test_a_run_that_cannot_be_started_from(options, message, short, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "out", start_from=short, **options)
    with pytest.raises(ValueError, match="holds no run"):
        train(tmp_path / "out", start_from=tmp_path / "none", **options)
    other = "mechanism_sparsity/quickstart"
    with pytest.raises(ValueError, match="is of own_method, and this one of mechanism"):
        jaxdis.train(other, out=tmp_path / "out", start_from=short)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("at", "message"),
    [(2, "is whole. Make room and go on with: jaxdis resume"), (0, "nothing was")],
)
def test_a_disk_that_fills_up_is_one_sentence(at, message, tmp_path, monkeypatch):
    out, save = tmp_path / "run", checkpoint.save

    def full(directory, step, *args, **options):
        if step > at or at == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(directory, step, *args, **options)

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(OSError, match=f"{out} cannot be written: No space.*{message}"):
        train(out)
    assert out.exists() == bool(at)
