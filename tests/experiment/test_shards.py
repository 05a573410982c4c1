"""Which rows a shard has, and what says which shard a process is."""

import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxdis import experiment, sweep
from jaxdis.experiment import identity, parents, shards
from jaxdis.experiment.model import seeds_of
from jaxdis.experiment.shards import Shard

NAME = "mechanism_sparsity/quickstart"


@pytest.fixture(scope="module")
def plan():
    """Three points and six seeds."""
    hyper = {"bound_a": [5, 10, 25]}
    return experiment.plan(NAME, seeds=6, first_seed=2, hyper=hyper)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 9, 12, 18])
def test_shards_are_rectangles_that_hold_every_row_once(plan, count):
    rows = []
    for index in range(1, count + 1):
        some = shards.part(plan, Shard(index, count))
        rows += itertools.product([p["bound_a"] for p in some.points], some.seeds)
    assert sorted(rows) == sorted(itertools.product((5.0, 10.0, 25.0), range(2, 8)))


@pytest.mark.parametrize(
    ("count", "points", "seeds", "grid"),
    [
        (4, 1, 8, (1, 4)),  # seeds alone
        (4, 3, 8, (1, 4)),
        (6, 3, 4, (2, 3)),
        (12, 3, 4, (3, 4)),
        (7, 7, 4, (7, 1)),  # no more than one group of seeds fits
    ],
)
def test_seeds_are_divided_first(count, points, seeds, grid):
    assert shards.grid_of(count, points, seeds) == grid


@pytest.mark.parametrize(
    ("count", "points", "seeds", "numbers"),
    [(5, 1, 3, "3 shards work"), (7, 2, 6, "6 or 8 shards work")],
)
def test_what_cannot_be_divided_is_refused_with_numbers_that_work(
    count, points, seeds, numbers
):
    with pytest.raises(ValueError, match=numbers) as refused:
        shards.grid_of(count, points, seeds)
    assert f"{seeds} seeds" in str(refused.value)
    assert f"into {count} shards" in str(refused.value)
    for number in map(int, numbers.removesuffix(" shards work").split(" or ")):
        shards.grid_of(number, points, seeds)


@pytest.mark.parametrize("given", [(2, 4), "2/4"])
def test_a_shard_is_asked_for_by_two_numbers(given):
    assert shards.asked(given) == Shard(2, 4)


@pytest.mark.parametrize(
    "given", ["5/4", "0/4", "-1/4", "1/0", "a/b", "1", "1/2/3", "", (5, 4)]
)
def test_what_is_no_shard_is_refused(given):
    with pytest.raises(ValueError, match="shard must be I/N") as refused:
        shards.asked(given)
    shown = given if isinstance(given, str) else "/".join(map(str, given))
    assert shown in str(refused.value)


ARRAY = {
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_ARRAY_TASK_COUNT": "4",
    "SLURM_ARRAY_TASK_MIN": "1",
    "SLURM_ARRAY_TASK_STEP": "2",
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "1",
}


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        (ARRAY, Shard(4, 4)),
        ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}, Shard(3, 3)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, Shard(2, 2)),
        ({"JAX_PROCESS_ID": "0", "JAX_NUM_PROCESSES": "2"}, Shard(1, 2)),
        ({"JAX_PROCESS_INDEX": "3", "JAX_PROCESS_COUNT": "4"}, Shard(4, 4)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, Shard(2, 2)),
    ],
)
def test_schedulers_say_which_shard_a_process_is(environment, shard):
    assert shards.asked("auto", environment) == shard


def test_without_a_scheduler_auto_names_the_variables():
    with pytest.raises(ValueError, match="none of them is set") as refused:
        shards.asked("auto", {"SLURM_PROCID": "1"})
    for source in shards.SOURCES:
        assert source.number in str(refused.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"SLURM_ARRAY_TASK_ID": "9"},
        {"SLURM_ARRAY_TASK_ID": "2"},
        {"SLURM_ARRAY_TASK_COUNT": "many"},
        {"SLURM_ARRAY_TASK_STEP": "0"},
    ],
)
def test_an_array_with_gaps_is_refused_with_what_it_says(changed):
    with pytest.raises(ValueError, match="unbroken row") as refused:
        shards.asked("auto", ARRAY | changed)
    ((name, value),) = changed.items()
    assert f"{name}={value}" in str(refused.value)


def test_tasks_of_an_array_have_one_directory_in_common(plan):
    environment = {"SLURM_ARRAY_JOB_ID": "77"}
    found = {
        parents.default_path(shards.part(plan, Shard(i, 3)), environment)
        for i in (1, 2, 3)
    }
    assert found == {Path("runs/mechanism_sparsity-quickstart-77")}
    with pytest.raises(ValueError, match="shard needs out"):
        parents.default_path(plan, {})


def test_numbers_of_seeds_with_gaps_are_kept_in_the_setting(plan):
    gaps = plan._replace(seeds=(2, 3, 7))
    assert seeds_of(identity.identity(gaps)) == (2, 3, 7)
    assert seeds_of(identity.identity(plan)) == (2, 3, 4, 5, 6, 7)
    assert "seed_numbers" not in identity.identity(plan)


def test_directories_tell_their_shard():
    shard = Shard(12, 10_000)
    assert shard.directory == "shard-0012-of-10000"
    assert shards.shard_named(shard.directory) == shard
    assert shards.shard_named("checkpoints") is None


def test_keys_depend_on_the_numbers_of_seeds_alone():
    whole = jax.random.key_data(sweep.seed_keys(8, 3))
    some = jax.random.key_data(sweep.keys_of((4, 9, 10)))
    assert np.array_equal(some, whole[np.array([1, 6, 7])])
