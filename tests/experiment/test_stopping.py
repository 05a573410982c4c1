"""Signals end a run within seconds, whatever it is at."""

import signal
import subprocess
import sys
import threading

import pytest

import jaxdis
from jaxdis import experiment
from jaxdis.experiment import Execution, Stopped, carrying, run, stopping
from jaxdis.experiment.stopping import exit_code, stop_signals
from tests import own_method

# While a hash of days is computed Python's own handlers are never called.
BUSY = """
import hashlib
import signal
from functools import partial
from jaxdis.experiment.stopping import leave_at_once, stop_signals

def busy():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

# Under nohup, or behind a shell's "&", these are ignored, and so in what is started.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
with stop_signals(partial(leave_at_once, lambda: "go on with [/x]")) as stopping:
    stopping.training = {training}
    print("ready", flush=True)
    busy()
"""


def started(training):
    program = [sys.executable, "-c", BUSY.format(training=training)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGUSR1, 130),
        (signal.SIGHUP, 130),
    ],
)
def test_what_is_not_training_ends_at_once(number, code):
    process = started(training=False)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code == exit_code(number)
    assert "go on with [/x]" in said


def test_training_ends_at_the_second_signal():
    process = started(training=True)
    process.send_signal(signal.SIGTERM)
    assert "stopping within seconds" in process.stdout.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "go on with" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_program_that_goes_on_is_told_and_has_its_handlers_back(number):
    before = signal.getsignal(number)
    threads = threading.active_count()
    with stop_signals() as wish:
        assert not wish
        signal.raise_signal(number)
        assert wish
        assert wish.first == number
        while not wish.received:  # the thread hears it too
            pass
        signal.pthread_sigmask(signal.SIG_BLOCK, [number])
        signal.raise_signal(number)
        wish.wish(number)  # as the thread that hears the second one does
        with pytest.raises(KeyboardInterrupt):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    assert signal.getsignal(number) == before
    assert threading.active_count() == threads


def test_a_closed_terminal_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as wish:
            signal.raise_signal(signal.SIGHUP)
            assert not wish
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_ask_for_no_signals():
    seen = []

    def work():
        with stop_signals() as wish:
            seen.append((bool(wish), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, signal.getsignal(signal.SIGTERM))]


def test_stopped_says_where_and_after_which_step(tmp_path):
    error = stopping.Stopped(tmp_path, 7, signal.SIGTERM)
    assert (error.directory, error.step, error.signal) == (tmp_path, 7, signal.SIGTERM)
    assert str(error) == f"stopped after step 7; saved in {tmp_path}"


@pytest.mark.parametrize(
    ("command", "others", "again"),
    [
        ("jaxdis all", False, "jaxdis all"),
        ("", False, "jaxdis resume {run}"),
        ("", True, "jaxdis resume {run} --other-versions"),
    ],
)
def test_what_goes_on_is_the_same_command_where_it_says_so(
    tmp_path, monkeypatch, command, others, again
):
    said = []

    def interrupted(plan, directory, execution, stopping, source):
        signal.raise_signal(signal.SIGTERM)
        while not said:  # a thread hears it
            pass
        raise Stopped(directory, 0)

    monkeypatch.setattr(carrying, "complete", interrupted)
    monkeypatch.setattr(carrying, "leave_at_once", lambda say, _: said.append(say()))
    plan = experiment.plan("mechanism_sparsity/quickstart", seeds=1, steps=1)
    run = tmp_path / "run"
    execution = Execution(
        out=run,
        start_or_resume=True,
        other_versions=others,
        command=command,
        exits=True,
    )
    with pytest.raises(Stopped):
        carrying.carry_out(plan, execution)
    assert said == ["interrupted; go on with:\n  " + again.format(run=run)]


def test_only_measuring_that_compiles_or_is_slow_is_not_waited_for(
    tmp_path, monkeypatch
):
    seen, wishes = [], []
    fit, evaluator = run.fit, run.evaluator

    def fitted(experiment, out, execution, stopping, clock):
        wishes.append(stopping)
        return fit(experiment, out, execution, stopping, clock)

    def seeing(*given):
        evaluate = evaluator(*given)

        def evaluated(state):
            seen.append(wishes[-1].training)
            return evaluate(state)

        return evaluated

    monkeypatch.setattr(run, "fit", fitted)
    monkeypatch.setattr(run, "evaluator", seeing)
    for seconds in 1e3, 1e-6:
        jaxdis.train(
            own_method.METHOD, seeds=1, steps=3, chunk=1, chunk_seconds=seconds,
            out=tmp_path / str(seconds),
        )  # fmt: skip
    assert seen == [False, True, True, False, False, False]
