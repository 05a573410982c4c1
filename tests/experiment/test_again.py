"""From config.json back to the setting that wrote it; nothing is trained."""

import dataclasses
import json

import jax
import numpy as np
import pandas as pd
import pytest
from flax import linen as nn

from jaxdis import data, experiment, log, systems
from jaxdis.data.own import OwnFile
from jaxdis.experiment import identity, stored
from jaxdis.experiment.again import plan_of
from jaxdis.experiment.model import restore
from jaxdis.types import Preparation
from tests import own_method

NAME = "mechanism_sparsity/quickstart"
X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)


def written(plan, path):
    """The directory of a run that starts."""
    path.mkdir(exist_ok=True)
    log.write_json(path / "config.json", identity.settings_of(plan, "jaxdis ...", {}))
    return path


def planned(name, **changes):
    """A plan; None where the data are in a file that is not here."""
    try:
        return experiment.plan(name, **changes)
    except ValueError:
        return None


PRESETS = [
    f"{m}/{preset}" for m in systems.names() for preset in systems.find(m).presets
]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_comes_back(name, tmp_path):
    plan = planned(name, seeds=3, first_seed=5)
    if plan is None:
        pytest.skip("needs a file")
    assert plan_of(written(plan, tmp_path)) == plan._replace(rule="")


def test_settings_that_are_no_defaults_come_back(tmp_path):
    plan = experiment.plan(
        NAME,
        seeds=2,
        steps=41,
        chunk=3,
        config={"encoder": (8, 4), "warmup": 0.1},
        data={"process": "TimeNonDiag", "samples": 500},
        hyper={"bound_z": [10, 24.5], "learning_rate": [1e-3, 1 / 3]},
    )
    found = plan_of(written(plan, tmp_path))
    assert found == plan._replace(rule="")
    assert len(found.points) == 4
    assert found.points[3]["learning_rate"] == 1 / 3
    assert type(found.config.encoder) is tuple


def test_every_data_set_comes_back(tmp_path):
    plan = experiment.plan(NAME, steps=4)
    for name in data.names():
        kind = data.find(name)
        value = kind()
        record = identity.settings_of(plan._replace(data=value), "", {})
        (tmp_path / "config.json").write_text(json.dumps(record))
        if planned(NAME, data=value) is not None:
            assert plan_of(tmp_path).data == value


def test_fields_that_an_earlier_version_had_not_have_their_defaults(tmp_path):
    """The defaults of the classes: a preset may have other ones since then."""
    plan = experiment.plan(NAME, steps=4, data={"worlds": 1}, config={"warmup": 0.0})
    config = written(plan, tmp_path) / "config.json"
    record = json.loads(config.read_text())
    del record["data"]["worlds"], record["config"]["warmup"]
    log.write_json(config, record)
    assert plan_of(tmp_path) == plan._replace(rule="")
    identity.check_same(plan, record, tmp_path, ["config", "data"])
    other = experiment.plan(NAME, steps=4, data={"worlds": 2})
    with pytest.raises(ValueError, match=r"data\.worlds is 1 there and 2 here"):
        identity.check_same(other, record, tmp_path, ["data"])


def test_chunk_of_an_earlier_version_is_that_of_the_preset(tmp_path):
    plan = experiment.plan(NAME, steps=10_000)
    path = written(plan, tmp_path) / "config.json"
    settings = json.loads(path.read_text())
    del settings["chunk"]
    path.write_text(json.dumps(settings))
    assert plan_of(tmp_path).chunk == plan.preset.chunk


def test_file_of_ones_own_is_found_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    pd.DataFrame(X, columns=["x_0", "x_1", "x_2"]).to_csv("mine.csv", index=False)
    plan = experiment.plan("beta_vae/own", data="mine.csv", config={"batch": 16})
    out = written(plan, tmp_path / "run")
    spec = plan.data.spec()
    assert plan_of(out) == plan._replace(rule="")
    monkeypatch.chdir(tmp_path)
    found = plan_of(out).data
    assert isinstance(found, OwnFile)
    assert found.spec().source == f"{tmp_path}/here/mine.csv has x_0, x_1, x_2"
    assert found.spec()._replace(source=spec.source) == spec


def test_method_and_data_in_a_file_of_ones_own(tmp_path):
    plan = experiment.plan(f"{own_method.__file__}:METHOD", data={"rows": 44})
    found = plan_of(written(plan, tmp_path))
    assert found.method.name == "own_method"
    assert dataclasses.asdict(found.data) == {"rows": 44, "known": False}
    assert found.config == plan.config
    assert found.points == plan.points


def test_arrays_must_be_given_again(tmp_path):
    plan = experiment.plan("beta_vae/own", data=X, config={"batch": 16})
    out = written(plan, tmp_path)
    with pytest.raises(ValueError, match=r"\(OwnRows\).*resume\(..., data=DATA"):
        plan_of(out)
    assert plan_of(out, data=X)._replace(data=None) == plan._replace(data=None, rule="")
    with pytest.raises(ValueError, match=r"has other data \(data.rows.x.sha256 is"):
        plan_of(out, data=X + 1)


def test_parts_must_be_given_again(tmp_path):
    parts = {"encoder": nn.Dense(2), "loss": own_method.distance}
    method = own_method.METHOD
    plan = experiment.plan(method, parts=parts)
    out = written(plan, tmp_path)
    with pytest.raises(ValueError, match=r"with encoder=Dense, .* encoder=\.\.\.\)"):
        plan_of(out)
    with pytest.raises(ValueError, match=r"with loss=distance, .* loss=\.\.\.\)"):
        plan_of(out, parts={"encoder": nn.Dense(2)})
    assert plan_of(out, parts=parts).parts == parts
    with pytest.raises(ValueError, match="own decoder; leave decoder out"):
        plan_of(out, parts=parts | {"decoder": nn.Dense(3)})
    with pytest.raises(ValueError, match="has other parts"):
        plan_of(out, data=plan.data, parts=parts | {"loss": max})


def test_method_that_is_nowhere(tmp_path):
    plan = experiment.plan(own_method.METHOD._replace(name="other"))
    out = written(plan, tmp_path)
    with pytest.raises(ValueError, match="was in no file; give it again, as method="):
        plan_of(out)
    assert plan_of(out, method=plan.method) == plan._replace(rule="")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no run"),
        ("{", "holds no run"),
        ("[1]", "holds no run"),
        ('{"seeds": 3}', "lacks preset"),
        ('{"preset": "quickstart", "seeds": 3, "method": "x"}', "not there any more"),
        (
            '{"preset": "quickstart", "seeds": 3, "method": "mechanism_sparsity"}',
            "is damaged",
        ),
    ],
)
def test_what_is_no_run(text, message, tmp_path):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        plan_of(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file holds no run \(it is a file\); give"):
        plan_of(tmp_path / "file")
    with pytest.raises(ValueError, match=r"no run \(there is no such folder\)"):
        plan_of(tmp_path / "none")


def test_other_switches_and_versions_are_told_apart(tmp_path, capsys):
    there = identity.environment()
    identity.check_environment(there, tmp_path, other_versions=False)
    identity.check_environment({}, tmp_path, other_versions=False)  # of earlier ones
    other = there | {"versions": there["versions"] | {"jax": "0.1"}}
    now = jax.__version__
    with pytest.raises(ValueError, match=f"versions.jax is 0.1 there and {now} here"):
        identity.check_environment(other, tmp_path, other_versions=False)
    capsys.readouterr()
    identity.check_environment(other, tmp_path, other_versions=True)
    assert "versions.jax is 0.1 there" in " ".join(capsys.readouterr().out.split())
    other = there | {"jax_default_matmul_precision": "highest"}
    with pytest.raises(ValueError, match="precision is highest there and None here"):
        identity.check_environment(other, tmp_path, other_versions=False)
    for more in (False, True):
        with pytest.raises(ValueError, match="x64 is True there and False here"):
            identity.check_environment(
                there | {"x64": True}, tmp_path, other_versions=more
            )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seeds": "two"}, "seeds must be a whole number"),
        ({"steps": 6.5}, "steps must be a whole number"),
        ({"steps": 10**30}, "steps must be at most"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"first_seed": -3}, "first_seed must be at least 0"),
        ({"extended": "x"}, "extended must be a list"),
        ({"checkpoint_seconds": "x"}, "checkpoint_seconds must be a number"),
        ({"versions": "x"}, "versions must be a table"),
        ({"hyper": {"beta": [float("nan")]}}, "hyper.beta must be finite"),
        ({"hyper": {"beta": ["a"]}}, "hyper.beta must hold numbers"),
        ({"hyper": {"beta": [1.0, 2.0], "bound_a": [1.0]}}, "one a point"),
    ],
)
def test_settings_that_cannot_be_are_named(changes, words, tmp_path):
    path = written(experiment.plan(NAME, steps=8), tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=words):
        plan_of(tmp_path)


def test_a_field_that_cannot_be_is_said_to_be_damage(tmp_path):
    path = written(experiment.plan(NAME, steps=8), tmp_path) / "config.json"
    record = json.loads(path.read_text())
    record["config"]["encoder"] = "x"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"config\.json of .* is damaged"):
        plan_of(tmp_path)


def test_a_run_of_a_version_with_fewer_hyper_parameters_is_refused(tmp_path):
    plan = experiment.plan(NAME, seeds=1, steps=2)
    directory = written(plan, tmp_path)
    settings = json.loads((directory / "config.json").read_text())
    del settings["hyper"]["temperature"]
    log.write_json(directory / "config.json", settings)
    with pytest.raises(ValueError, match=r"has no hyper\.temperature, which mech"):
        plan_of(directory)
    stored.keep_data(directory, plan.data.spec(), Preparation())
    with pytest.raises(ValueError, match=r"has no hyper\.temperature, which mech"):
        restore(directory, plan.method, settings, "last", {})
