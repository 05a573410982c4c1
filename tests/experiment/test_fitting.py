"""What does not fit is refused in one sentence, and what is said to fit does."""

import re

import jax
import numpy as np
import pytest

import jaxdis
from jaxdis import checkpoint, experiment, memory, program
from jaxdis.cli import parse_train
from jaxdis.cli.rehearsal import rehearse
from jaxdis.experiment import Execution, estimate, fitting
from jaxdis.experiment import run as running
from jaxdis.memory import OutOfMemory, Room
from tests import own_method

NAME = "mechanism_sparsity/quickstart"
TINY = {
    "config": {"encoder": (8,), "decoder": (8,), "transition": (8,), "batch": 16},
    "data": {"samples": 500, "worlds": 1},
    "steps": 6,
    "chunk": 2,
}
# What is compiled is so in a tenth of the time.
OWN = {"data": {"rows": 500}, "steps": 6, "chunk": 2}
GPU = Room(10**9, 2, "each H100", 10**10, shared=False)
MACHINE = Room(10**9, 2, "this machine", 10**9, shared=True)


def planned(**options):
    return experiment.plan(NAME, **(TINY | options))


def made(room=GPU, **options):
    fields = {"seeds": 8, "points": 2, "at_once": 16, "row": 10**6, "data": 10**7}
    return estimate.Estimate(**(fields | options), room=room)


def test_states_data_and_the_larger_program_count():
    found = made(step=5 * 10**6, evaluation=2 * 10**6)
    assert found.total == 2 * 8 * 10**6 + 10**7 + 5 * 10**6
    assert found.fits


def test_devices_of_one_machine_share_its_memory():
    found = made(MACHINE)
    # Rows of the end, the start and a checkpoint, and the data on each device.
    assert found.total == 3 * 16 * 10**6 + 2 * 10**7
    turns = made(MACHINE, at_once=2)
    assert turns.total == 3 * 2 * 10**6 + 2 * 14 * 10**6 + 2 * 10**7
    assert made(MACHINE, at_once=1).devices == 1


@pytest.mark.parametrize("room", [GPU, MACHINE])
@pytest.mark.parametrize("step", [0, 10**7])
def test_the_number_that_is_said_to_fit_does(room, step):
    found = made(room, step=step)
    seeds = estimate.most_seeds(found)
    assert seeds > 8
    assert found.holding(seeds * 2).fits
    assert not found.holding(int(1.2 * seeds) * 2).fits


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"seeds": 10_000, "at_once": 20_000},
            "10,000 seeds at 2 points need about 20.0 GB (states 20.0 GB, data 10.0 "
            "MB) on each H100, with 1.0 GB free; about 490 seeds fit at most",
        ),
        ({"seeds": 2_000, "at_once": 4_000}, "or all of them with rows_at_once 990"),
        ({"row": 10**10}, "not even one seed fits: take smaller networks"),
        ({"data": 10**10}, "the data alone do not fit: take fewer rows"),
    ],
)
def test_what_does_not_fit_and_what_would(options, sentence):
    found = made(**options)
    assert not found.fits
    with pytest.raises(OutOfMemory, match=re.escape(sentence)):
        estimate.check_fits(found)


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({}, "try 4 seeds, or rows_at_once 8"),
        ({"seeds": 1}, "rows_at_once 8"),
        ({"seeds": 1, "points": 1, "at_once": 1}, "take a smaller batch"),
    ],
)
def test_what_fits_by_the_estimate_and_did_not_is_halved(options, advice):
    assert estimate.shortage(made(**options)).endswith(f"free; {advice}")


def test_what_nobody_knows_fits():
    unknown = Room(None, 1, "the TPU", None, shared=False)
    estimate.check_fits(made(unknown, row=10**15))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seeds": 10_000_000}, "10,000,000 seeds need about"),
        ({"config": {"encoder": (200_000, 200_000)}}, "not even one seed fits"),
        ({"data": {"samples": 20_000_000_000}}, "the data alone do not fit"),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_drawn(
    tmp_path, monkeypatch, options, sentence
):
    monkeypatch.setattr(memory, "room", lambda devices: MACHINE)
    monkeypatch.setattr(fitting, "prepare", None)
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=f"out of memory: .*{sentence}"):
        jaxdis.train(NAME, out=out, **(TINY | options))
    assert not out.exists()


def test_data_that_cannot_be_drawn_are_the_same_sentence(monkeypatch):
    def load(self):
        raise MemoryError

    plan = planned()
    monkeypatch.setattr(type(plan.data), "load", load)
    with pytest.raises(OutOfMemory, match=r"out of memory: 8 seeds .*, or less data"):
        fitting.prepare_fitting(plan)


@pytest.fixture(scope="module")
def prepared():
    """Six rows of a tiny run."""
    hyper = {"penalty": [0.0, 0.1]}
    return fitting.prepare_fitting(
        experiment.plan(own_method.METHOD, seeds=3, hyper=hyper, **OWN)
    )


def test_states_are_those_of_the_run(prepared):
    made, needed = prepared
    rows = program.init_rows(made.system, made.keys, made.hyper)
    assert needed.row * needed.rows == memory.size(rows)
    assert (needed.seeds, needed.points, needed.at_once) == (3, 2, 6)
    assert needed.data >= memory.size(made.splits.test)


@pytest.fixture(scope="module")
def analysed(prepared):
    return fitting.analysed(*prepared)


def test_the_compiler_tells_of_step_and_evaluation(prepared, analysed):
    assert analysed.step > analysed.row  # a gradient and an update, at least
    assert analysed.evaluation > memory.size(prepared[0].batches.valid) // 10
    assert estimate.most_seeds(analysed) < estimate.most_seeds(prepared[1])


def test_a_rehearsal_says_all_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, prepared, analysed
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitting, "prepare_fitting", lambda *_: prepared)
    monkeypatch.setattr(fitting, "analysed", lambda *_: analysed)
    plan = prepared[0].plan
    assert rehearse(plan, Execution()) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "6 = 3 seeds, 0 to 2 x 2 points of penalty",
        "penalty 0 | 0.1",
        "rows 500",
        "steps: 6 in chunks of 2",
        "a step",
        "seeds would fit",
    ):
        assert words in said
    assert "None" not in said
    assert "()" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_rehearsal_of_what_does_not_fit_is_an_error(monkeypatch, prepared, analysed):
    small = analysed._replace(room=Room(10**4, 2, "this machine", 10**4, shared=True))
    monkeypatch.setattr(fitting, "prepare_fitting", lambda *_: prepared)
    monkeypatch.setattr(fitting, "analysed", lambda *_: small)
    with pytest.raises(OutOfMemory, match="out of memory: 3 seeds at 2 points"):
        rehearse(prepared[0].plan, Execution())


def exhausted(*args):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")


def test_a_run_that_runs_out_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "fit", exhausted)
    out = tmp_path / "run"
    with pytest.raises(OutOfMemory, match=r"a step .*; try 1 seed, or rows_at_once 1$"):
        jaxdis.train(own_method.METHOD, seeds=2, out=out, **OWN)
    assert not out.exists()


def test_a_run_that_runs_out_later_names_what_was_saved(tmp_path, monkeypatch):
    def later(experiment, directory, *args):
        checkpoint.save(directory / "checkpoints", 4, {"a": np.zeros(3)})
        exhausted()

    monkeypatch.setattr(running, "fit", later)
    out = tmp_path / "run"
    with pytest.raises(OutOfMemory, match="step 4 is saved in"):
        jaxdis.train(own_method.METHOD, seeds=2, out=out, **OWN)
    assert list(checkpoint.steps(out / "checkpoints")) == [4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows_at_once": 0}, "rows_at_once must be at least 1, got 0"),
        ({"rows_at_once": -2}, "rows_at_once must be at least 1, got -2"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds must be at least 0"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds must be at least 0"),
        ({"chunk_seconds": float("nan")}, "chunk_seconds must be finite"),
        ({"chunk_seconds": float("inf")}, "chunk_seconds must be finite"),
        ({"chunk_seconds": 0.0}, "chunk_seconds must be positive"),
    ],
)
def test_how_a_run_is_carried_out_is_checked(tmp_path, options, message):
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=re.escape(message)):
        jaxdis.train(NAME, out=out, **TINY, **options)
    assert not out.exists()


def test_disabled_compilation_is_refused(tmp_path):
    with (
        jax.disable_jit(),
        pytest.raises(ValueError, match="JAX_DISABLE_JIT must not be set"),
    ):
        Execution().check()


@pytest.mark.parametrize("callbacks", [[3], [print, None]])
def test_what_cannot_be_called_is_refused_before_training(callbacks):
    with pytest.raises(ValueError, match="callbacks must be a list of functions"):
        Execution()._replace(callbacks=callbacks).check()


def test_options_of_the_command_line():
    options = parse_train([NAME, "--rows-at-once", "2", "--dry-run"])[1]
    assert (options.rows_at_once, options.dry_run) == (2, True)
    options = parse_train([NAME])[1]
    assert (options.rows_at_once, options.dry_run) == (None, False)
