"""One process at a time trains in a directory."""

import errno
import os
import re
import subprocess
import sys
import textwrap
import threading

import pytest

from jaxdis import lock


def test_a_second_one_is_refused_by_name_while_the_first_lives(tmp_path):
    with lock.held(tmp_path):
        message = rf"out: process {os.getpid()} on .+ training in .+ since 20\d\d-"
        with pytest.raises(ValueError, match=message):
            lock.take(tmp_path)
        refused = []

        def work():
            try:
                lock.take(tmp_path)
            except ValueError as error:
                refused.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert re.search(message, refused[0])
    with lock.held(tmp_path):
        pass


def test_nothing_is_left_of_a_lock_that_was_given_back(tmp_path, capsys):
    with lock.held(tmp_path):
        assert lock.holder(tmp_path).pid == os.getpid()
    assert list(tmp_path.iterdir()) == []
    assert lock.holder(tmp_path) is None
    assert capsys.readouterr().out == ""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock until it is killed."""
    program = f"""
        import time
        from pathlib import Path
        from jaxdis import lock
        taken = lock.take(Path({str(tmp_path)!r}))
        print("taken", flush=True)
        time.sleep(300)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"taken\n"
        yield process
        process.kill()


def test_lock_of_a_process_that_was_killed_is_taken_over(other, tmp_path, capsys):
    assert lock.holder(tmp_path).pid == other.pid
    with pytest.raises(ValueError, match=f"out: process {other.pid} on"):
        lock.take(tmp_path)
    other.kill()
    other.wait()
    assert lock.holder(tmp_path) is None
    with lock.held(tmp_path):
        said = " ".join(capsys.readouterr().out.split())
        assert f"process {other.pid} on" in said
        assert "is gone; its lock is taken over" in said
        assert lock.holder(tmp_path).pid == os.getpid()


def test_lock_outlives_a_new_name_of_its_directory(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    taken = lock.take(first)
    first.rename(second)
    with pytest.raises(ValueError, match="has been training"):
        lock.take(second)
    lock.release(taken, second)
    assert list(second.iterdir()) == []


def test_a_file_that_was_removed_meanwhile_is_not_taken_for_the_lock(
    tmp_path, monkeypatch
):
    """As where the holder gives its lock back just after the file was opened."""
    opened, path = os.open, tmp_path / lock.NAME

    def late(*args):
        file = opened(*args)
        path.unlink()
        monkeypatch.undo()
        return file

    monkeypatch.setattr(os, "open", late)
    with lock.held(tmp_path):
        assert lock.holder(tmp_path).pid == os.getpid()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, capsys):
    def unknown(*args):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(lock.fcntl, "flock", unknown)
    with lock.held(tmp_path):
        assert "a file system without locks" in " ".join(
            capsys.readouterr().out.split()
        )


def test_a_file_that_was_cut_off_names_nobody(tmp_path, capsys):
    (tmp_path / lock.NAME).write_text('{"pid": 3, "ho')
    with lock.held(tmp_path):
        assert capsys.readouterr().out == ""
