"""The directory of a run is there whole or not at all."""

import errno
import json
import os
import threading

import pytest

from jaxdis import lock
from jaxdis.experiment import directory

RECORD = {"method": "m", "preset": "p", "steps": 6}
NAME = "m/p"


def files(path):
    return sorted(p.name for p in path.iterdir())


def test_a_directory_appears_with_its_config_and_its_lock(tmp_path):
    out = tmp_path / "a" / "b"
    with directory.new(out, NAME, RECORD) as made:
        assert made == out
        assert files(out) == ["config.json", "lock"]
        assert json.loads((out / "config.json").read_text()) == RECORD
        assert lock.holder(out).pid == os.getpid()
    assert files(out) == ["config.json"]
    assert files(tmp_path / "a") == ["b"]


@pytest.mark.parametrize(
    "name",
    [
        "lr[0.01]",
        "[/x]",
        "[bold]",
        "two words",
        "é ü",
        "😀",
        "x" * 200,
        "-x",
        "'\"",
        "%s",
    ],
)
def test_every_name_that_the_file_system_allows_is_one(name, tmp_path):
    with directory.new(tmp_path / name, NAME, RECORD):
        pass
    assert files(tmp_path) == [name.split("/")[0]]
    assert files(tmp_path / name) == ["config.json"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "out must name a directory, got an empty name"),
        ("gs://nobody/x", "a directory of this machine, got gs://nobody/x"),
        ("a\0b", "without null characters"),
        ("x" * 300, "File name too long"),
        ("file", "got file: Not a directory"),
        ("file/below", "got file/below: Not a directory"),
        ("full/mine", "full/mine is not empty and is never overwritten"),
    ],
)
def test_other_names_are_one_sentence(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "full" / "mine" / ".git").mkdir(parents=True)
    with (
        pytest.raises(ValueError, match=message) as error,
        directory.new(name, NAME, RECORD),
    ):
        pass
    assert "\n" not in str(error.value)
    assert files(tmp_path) == ["file", "full"]
    assert files(tmp_path / "full" / "mine") == [".git"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(errno.ENOSPC, "No space left on device", *paths)

    monkeypatch.setattr(os, "replace", full)
    for out in (tmp_path / "a" / "b", tmp_path):
        with pytest.raises(ValueError, match=r"can be written, .*: No space left"):
            directory.new(out, NAME, RECORD).__enter__()
        assert files(tmp_path) == []


def test_a_relative_name_and_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with directory.new(".", NAME, RECORD):
        assert files(tmp_path) == ["config.json", "lock"]
    assert os.path.samefile(os.getcwd(), tmp_path)


def test_a_link_to_an_empty_folder_is_followed(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    with directory.new(tmp_path / "near", NAME, RECORD):
        pass
    assert (tmp_path / "near").is_symlink()
    assert files(tmp_path / "far") == ["config.json"]


def test_runs_of_the_same_second_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "now")
    made, start = [], threading.Barrier(8)

    def work():
        start.wait()
        with directory.new(None, NAME, RECORD) as out:
            made.append(out.name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = ["m-p-now", *(f"m-p-now-{i}" for i in range(2, 9))]
    assert sorted(made) == files(tmp_path / "runs") == wanted


@pytest.mark.parametrize("at", ["mkdir", "lock", "config", "temporary", "data"])
def test_what_a_kill_leaves_blocks_no_new_start(at, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    left = {
        "mkdir": [],
        "lock": ["lock"],
        "temporary": ["lock", ".config.json.tmp"],
        "config": ["lock", "config.json"],
        "data": ["lock", "config.json", "data.json", ".data.json.tmp"],
    }[at]
    for name in left:
        (out / name).write_text(json.dumps(RECORD))
    assert directory.untouched(out)
    with directory.new(out, NAME, RECORD | {"steps": 7}):
        pass
    assert json.loads((out / "config.json").read_text())["steps"] == 7
    assert files(out) == ["config.json"]


def test_a_run_that_takes_the_place_of_another_says_so(tmp_path, capsys):
    out = tmp_path / "run"
    (out / "checkpoints" / "0").mkdir(parents=True)
    (out / "config.json").write_text(json.dumps({"method": "other", "preset": "tiny"}))
    with directory.new(out, NAME, RECORD):
        assert files(out) == ["config.json", "lock"]
        assert json.loads((out / "config.json").read_text()) == RECORD
    said = "held a run of other/tiny that ended before its first checkpoint; this run"
    assert said in capsys.readouterr().out
    with directory.new(tmp_path / "fresh", NAME, RECORD):
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "names",
    [
        ["notes.txt"],
        [".gitignore"],
        [".notes.tmp"],
        ["metrics.jsonl"],  # without the config of a run it is of somebody else
        ["config.json"],
        ["checkpoints"],
        ["config.json", "checkpoints", "notes.txt"],
    ],
)
def test_what_is_not_ours_is_never_touched(names, tmp_path):
    for name in names:
        (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(ValueError, match="not empty and is never overwritten"):
        directory.new(tmp_path, NAME, RECORD).__enter__()
    assert files(tmp_path) == sorted(names)
    assert {(tmp_path / name).read_text() for name in names} == {'{"mine": 1}'}


@pytest.mark.parametrize("checkpoint", ["2", "40", "40.damaged"])
def test_what_was_trained_is_never_touched(checkpoint, tmp_path):
    out = tmp_path / "run"
    with directory.new(out, NAME, RECORD):
        (out / "checkpoints" / checkpoint).mkdir(parents=True)
    before = files(out)
    assert directory.holds_run(out)
    with pytest.raises(ValueError, match="not empty and is never overwritten"):
        directory.new(out, NAME, RECORD).__enter__()
    assert files(out) == before
    assert (out / "checkpoints" / checkpoint).is_dir()


def fails(error, out, *left):
    """A run that leaves some directories and then fails."""
    with directory.new(out, NAME, RECORD):
        for name in left:
            (out / name).mkdir(parents=True)
        raise error


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_a_run_that_never_began_is_gone(error, tmp_path):
    with pytest.raises(error):
        fails(error, tmp_path / "a" / "b", "checkpoints/0")
    assert files(tmp_path) == []
    with pytest.raises(error):
        fails(error, tmp_path)
    assert files(tmp_path) == []


def test_a_run_that_failed_after_it_began_is_kept(tmp_path):
    with pytest.raises(RuntimeError):
        fails(RuntimeError, tmp_path / "a", "checkpoints/20")
    assert files(tmp_path / "a") == ["checkpoints", "config.json"]


def test_two_at_once_on_one_empty_folder(tmp_path):
    with directory.new(tmp_path, NAME, RECORD) as out:
        with pytest.raises(ValueError, match="has been training in"):
            directory.new(out, NAME, RECORD).__enter__()
        assert files(out) == ["config.json", "lock"]
        (out / "checkpoints" / "20").mkdir(parents=True)
        with pytest.raises(ValueError, match="has been training in"):
            directory.new(out, NAME, RECORD).__enter__()
    with pytest.raises(ValueError, match="not empty and is never overwritten"):
        directory.new(tmp_path, NAME, RECORD).__enter__()
