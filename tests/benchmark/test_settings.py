"""Benchmarks of files, and what cannot be one."""

import dataclasses
import json
import re

import pytest

from jaxdis import data, systems
from jaxdis.benchmark import SANITY, Benchmark, Case, narrowed, of_table, read, scaled
from jaxdis.benchmark.blind import Blind
from jaxdis.benchmark.cells import cells, part
from jaxdis.benchmark.settings import checked, entries, full, missing
from jaxdis.benchmark.text import plain
from jaxdis.data.own import OwnFile
from jaxdis.experiment.shards import Shard
from jaxdis.types import Truth

TOML = """
name = "two"
seeds = 3
methods = ["beta_vae/own"]
[config]
encoder = [8, 4]
[[data]]
name = "ring"
dataset = "toy_mixing"
group = "domains"
settings = { mask = "ring", domains = 5 }
[[data]]
name = "factors"
dataset = "mixed_factors"
"""
TWO = Benchmark(
    name="two",
    seeds=3,
    methods=("beta_vae/own",),
    config={"encoder": [8, 4]},
    data=(
        Case("ring", "toy_mixing", {"mask": "ring", "domains": 5}, "domains"),
        Case("factors", "mixed_factors"),
    ),
)


def test_toml_and_json_say_the_same(tmp_path):
    (tmp_path / "two.toml").write_text(TOML)
    (tmp_path / "two.json").write_text(json.dumps(plain(TWO)))
    assert read(tmp_path / "two.toml") == TWO
    assert read(tmp_path / "two.json") == TWO


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": []}, "the benchmark 'two' has no data"),
        ({"sedes": 3}, "there is no field of the benchmark 'sedes'; the nearest name"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"seeds": "3"}, "seeds of the benchmark must be"),
        ({"methods": "beta_vae"}, "methods of the benchmark must be a list of names"),
        ({"methods": ["beta_vea"]}, "nearest name is 'beta_vae/own'"),
        ({"methods": ["beta_vae/onw"]}, "the nearest name is 'beta_vae/own'"),
        ({"data": [{"name": "ring"}]}, "data 0 lacks dataset"),
        ({"data": [{"name": "a", "dataset": "toy_mixin"}]}, "'toy_mixing'"),
        (
            {"data": [{"name": "a", "dataset": "toy_mixing", "settings": {"msk": 1}}]},
            "data 'a': there is no setting of toy_mixing 'msk'; the nearest name is "
            "'mask'",
        ),
        (
            {"data": [{"name": "a", "dataset": "mixed_factors"}] * 2},
            "'a' is twice",
        ),
        ({"data": [{"name": "a/b", "dataset": "mixed_factors"}]}, "got 'a/b'"),
        (
            {
                "data": [
                    {
                        "name": "a",
                        "dataset": "mixed_factors",
                        "settings": {"z_dim": 20},
                    }
                ]
            },
            "data 'a': data.z_dim must not exceed data.x_dim",
        ),
        (
            {
                "data": [
                    {
                        "name": "a",
                        "dataset": "mixed_factors",
                        "settings": {"test_rows": "many"},
                    }
                ]
            },
            "data 'a': settings.test_rows must be a whole number, got 'many'",
        ),
        ({"name": "../two"}, "the name of the benchmark must be made of letters"),
        (
            {"config": {"encodr": [8]}},
            "there is no field of config 'encodr'; the nearest name is 'encoder'",
        ),
        (
            {"config": {"encoder": "wide"}},
            "config.encoder must be a list of whole numbers, got 'wide'",
        ),
        ({"times": {"beta_vea": 2}}, "no method of times 'beta_vea'; the nearest name"),
        ({"times": {"pcl": 0}}, "times.pcl of the benchmark must be positive, got 0"),
        ({"times": {"pcl": "two"}}, "times.pcl of the benchmark must be a number"),
        ({"config": {"batch": 8.5}}, "config.batch must be a whole number, got 8.5"),
        (
            {"data": [{"name": "a", "dataset": "toy_mixing", "config": {"zdim": 3}}]},
            "there is no field of config of data 'a' 'zdim'; the nearest name is",
        ),
    ],
)
def test_what_cannot_be_is_said_with_the_nearest_name(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        checked(of_table(plain(TWO) | changes))


def test_a_file_with_nothing_in_it(tmp_path):
    file = tmp_path / "none.toml"
    file.write_text("")
    with pytest.raises(ValueError, match=r"none.toml is empty; it must hold name"):
        read(file)
    with pytest.raises(ValueError, match=r"missing.toml cannot be read: No such file"):
        read(tmp_path / "missing.toml")
    with pytest.raises(ValueError, match=r"a file of .toml or .json"):
        read(tmp_path / "missing.yaml")


def test_methods_are_all_presets_for_any_data():
    found = [entry.name for entry in entries(dataclasses.replace(TWO, methods=()))]
    known = {
        f"{name}/{preset}"
        for name in systems.names()
        for preset, value in systems.find(name).presets.items()
        if isinstance(value.data, OwnFile)
    }
    assert set(found) == known
    assert len(found) == len(known) >= 8
    twice = dataclasses.replace(TWO, methods=("beta_vae", "beta_vae/own"))
    assert [entry.name for entry in entries(twice)] == ["beta_vae/own"]


def test_data_are_chosen_by_name_or_group():
    assert narrowed(TWO, data=["domains"]).data == TWO.data[:1]
    assert narrowed(TWO, data=["factors"]).data == TWO.data[1:]
    with pytest.raises(ValueError, match="no data 'rings'; the nearest name is 'ring'"):
        narrowed(TWO, data=["rings"])
    assert narrowed(TWO, ["baselines"]).methods == ("baselines",)


def test_networks_are_scaled():
    assert scaled(TWO, 2.5).config == {"encoder": [20, 10]}
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        scaled(TWO, 0)
    with pytest.raises(ValueError, match=r"config.encoder at scale 0.01 must be"):
        scaled(TWO, 0.01)


def test_cells_know_the_data_without_their_truth():
    found = cells(checked(dataclasses.replace(TWO, methods=("beta_vae", "pcl"))))
    assert [cell.plan is not None for cell in found] == [True, False, True, False]
    assert "needs sequences" in found[1].why
    plan = found[0].plan
    assert plan.config.encoder == (8, 4)
    assert plan.steps == 10_000
    assert plan.seeds == (0, 1, 2)
    spec, whole = plan.data.spec(), data.find("toy_mixing")(domains=5).spec()
    assert whole.truth.mask is not None
    assert spec.truth == Truth()
    assert (spec.z_dim, spec.worlds, spec.domains) == (4, 0, whole.domains)
    with pytest.raises(ValueError, match="no method of the benchmark 'two' fits any"):
        cells(dataclasses.replace(TWO, methods=("pcl/own",)))


def test_a_method_may_take_longer():
    longer = dataclasses.replace(TWO, methods=("beta_vae", "linear"), steps=100)
    timed = dataclasses.replace(longer, times={"beta_vae": 2.5, "linear": 9.0})
    found = {c.entry.name: c.plan.steps for c in cells(checked(timed))}
    own = systems.find("linear").presets["own"].steps
    assert found["beta_vae/own"] == 250
    assert found["linear/own"] == own < 900  # a preset with fewer keeps them


def test_a_blind_data_set_has_the_same_rows():
    settings = {"domains": 2, "samples": 20, "valid_samples": 5, "test_samples": 5}
    own = data.find("toy_mixing")(**settings, worlds=0).load_worlds((3,))
    found = Blind("toy_mixing", settings | {"worlds": 0}).load_worlds((3,))
    assert (found.test.x == own.test.x).all()
    with pytest.raises(ValueError, match="draws all of its worlds or none"):
        Blind("own_file").load_worlds((0,))


@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_every_cell_is_trained_by_one_machine(total):
    every = cells(dataclasses.replace(TWO, methods=("beta_vae", "baselines", "linear")))
    parts = [part(every, Shard(i + 1, total)) for i in range(total)]
    names = [cell.name for some in parts for cell in some]
    assert sorted(names) == sorted(cell.name for cell in every if cell.plan)
    assert max(map(len, parts)) - min(map(len, parts)) <= 2


def test_fields_of_methods_that_take_no_part_are_fields():
    assert checked(narrowed(TWO, ["linear"])).config == TWO.config


def test_a_module_of_a_package_that_is_not_there_is_missing():
    case = Case("one", "mixed_factors", requires=("json", "no.such.module"))
    assert missing(case) == "no.such.module not installed"


def test_what_is_not_installed_is_skipped():
    case = dataclasses.replace(TWO.data[1], requires=("no_such_module",))
    found = cells(checked(dataclasses.replace(TWO, data=(TWO.data[0], case))))
    assert found[1].skipped
    assert found[1].why == "no_such_module not installed"


def test_the_sanity_benchmark_can_be():
    written = json.loads(json.dumps(plain(SANITY)))
    assert plain(of_table(written)) == written
    assert SANITY.seeds == 16
    assert not SANITY.methods
    assert {"process", "strength", "violation", "simulator"} == {
        case.group for case in SANITY.data
    }
    checked(SANITY)
    for case in SANITY.data:  # no two seeds see the same rows
        assert full(case).get("worlds", 0) in (0, SANITY.seeds)
