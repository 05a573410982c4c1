"""A trained run is used afterwards: elsewhere, without its data, on other devices."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdis
from jaxdis.experiment import stored
from jaxdis.experiment.using import observations
from jaxdis.experiment.watched import watched
from jaxdis.types import Label, Score, Spec, Truth
from tests import own_method

pytestmark = pytest.mark.usefixtures("sketches")

FILE = Path(own_method.__file__)
ROOT = FILE.parents[1]
X = own_method.draw(11, 5).x


@pytest.fixture(scope="module")
def ended():
    """The parameters at the end of the training, as a callback sees them."""
    return {}


@pytest.fixture(scope="module")
def run(tmp_path_factory, ended):
    """Two points and three seeds on six devices."""

    def keep(chunk):
        ended.update(jax.tree.map(np.array, chunk.rows.state.params))

    return jaxdis.train(
        f"{FILE}:METHOD/table",
        hyper={"penalty": [0.0, 0.1]},
        out=tmp_path_factory.mktemp("runs") / "run",
        checkpoint_seconds=0,
        callbacks=[keep],
    )


@pytest.fixture
def copied(run, tmp_path):
    """A copy of the run, to be damaged."""
    return Path(shutil.copytree(run.directory, tmp_path / "copy"))


def change(path: Path, **changes) -> None:
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | changes))


def scale() -> tuple[np.ndarray, np.ndarray]:
    train = own_method.draw(40).x[16:]
    return train.mean(0), train.std(0)


def codes_of(params: dict) -> np.ndarray:
    mean, std = scale()
    return ((X - mean) / std) @ params["encoder"]  # [row of the run, n, z]


ELSEWHERE = """
import sys, jax, jaxdis
from jaxdis import cli
assert len(jax.devices()) == 1
run, x, first, second, method, out = sys.argv[1:]
hyper = ["--hyper.penalty", "0", "0.1", "--checkpoint-seconds", "0"]
for command in (
    ["encode", run, x, "--out", first],
    ["encode", run, x, "--out", second, "--point", "1"],
    ["train", f"{method}:METHOD/table", *hyper, "--out", out],
):
    sys.argv[1:] = command
    try:
        cli.main()
    except SystemExit as done:
        assert done.code == 0
"""


def test_codes_elsewhere_are_those_at_the_end_of_training(run, ended, tmp_path):
    np.save(tmp_path / "x.npy", X)
    # The last of two flags counts; the others let it compile as fast as the tests do.
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    files = [tmp_path / name for name in ("x.npy", "1.npz", "2.npz")]
    words = [run.directory, *files, FILE, tmp_path / "b"]
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(str, words)],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    codes = []
    for file in files[1:]:
        with np.load(file) as found:
            codes.append(found["codes"])
            assert found["seeds"].tolist() == [0, 1, 2]
    z = np.concatenate(codes)
    assert z.shape == (6, 11, 2)
    np.testing.assert_allclose(z, codes_of(ended), rtol=1e-6, atol=1e-6)
    # And the other way round: trained on one device, used on the eight of the tests.
    other = jaxdis.load(tmp_path / "b")
    np.testing.assert_allclose(other.encode(X), z[:3], rtol=1e-4, atol=1e-5)


def test_a_run_is_resumed_on_other_devices(copied, run, monkeypatch):
    shutil.rmtree(copied / "checkpoints" / "5")
    (copied / "results.json").unlink()
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:2])
    again = jaxdis.train(
        FILE.as_posix(), hyper={"penalty": [0.0, 0.1]}, out=copied, resume=True
    )
    assert again.record.results["devices"] == 2
    np.testing.assert_allclose(again.scores["distance"], run.scores["distance"], 1e-5)


def test_codes_of_a_seed_are_its_row_of_all(run):
    z = run.encode(X, point=1)
    np.testing.assert_array_equal(run.encode(X, seed=2, point=1), z[2])
    assert z.shape == (3, 11, 2)


def test_slices_do_not_show(run, monkeypatch):
    whole = run.encode(X)
    monkeypatch.setattr("jaxdis.experiment.using.SLICE", 4 * 3 * 256)
    np.testing.assert_allclose(run.encode(X), whole, rtol=1e-6)
    back = run.decode(whole)
    monkeypatch.undo()
    np.testing.assert_allclose(back, run.decode(whole), rtol=1e-6)


def test_decoded_observations_are_in_the_units_of_the_data(run):
    mean, std = scale()
    z = np.array([[0.5, -1.0], [0.0, 0.0]], np.float32)
    expected = mean + std * (z @ np.asarray(run.params["decoder"][1, 2]))
    found = run.decode(z, seed=2, point=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found[1], mean, rtol=1e-6)


def test_traversals_start_from_the_code_of_a_row(run):
    found = run.traverse(X, latents=[1], span=2.0, steps=5, seed=0, row=3)
    assert found.shape == (1, 5, 3)
    z = run.encode(X, seed=0)
    np.testing.assert_allclose(found[0, 2], run.decode(z[3:4], seed=0)[0], rtol=1e-5)
    moved = z[3] + np.array([0, 2 * z[:, 1].std()])
    np.testing.assert_allclose(found[0, 4], run.decode(moved[None], seed=0)[0], 1e-5)
    assert run.traverse(X).shape == (2, 7, 3)


def test_predictions_are_in_the_units_of_what_is_predicted(run):
    y = own_method.draw(40).y[16:]
    expected = y.mean() + y.std() * run.encode(X, seed=1)[:, :1]
    np.testing.assert_allclose(run.predict(X, seed=1), expected, rtol=1e-5)
    assert run.predict(own_method.draw(4)).shape == (3, 4, 1)


def test_scores_on_the_same_rows_are_the_same(run):
    test = jax.tree.map(lambda a: a[8:16], own_method.draw(40))
    found = run.evaluate(test)
    assert list(found) == ["mcc", "error", "distance"]
    assert np.isnan(found["mcc"]).all()
    np.testing.assert_allclose(found["distance"], run.scores["distance"], rtol=1e-5)


def test_columns_of_a_frame_are_found_by_name(run):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=own_method.NAMES.x)[["mass", "width", "length"]]
    np.testing.assert_array_equal(run.encode(frame), run.encode(X))
    with pytest.raises(ValueError, match="x lacks the columns mass"):
        run.encode(frame.drop(columns="mass"))


def test_what_was_learned_and_logged(run):
    assert run.graphs["graph"].shape == (2, 3, 2, 2)
    assert run.heads["weights"].shape == (2, 3, 1, 2)
    assert run.params["encoder"].shape == (2, 3, 3, 2)
    assert run.history["step"].tolist() == [1, 2, 3, 4, 5]
    assert run.history["error"][1, 2].tolist() == [64, 16, 30, 31, 32]
    assert run.history["loss"].shape == (2, 3, 5)


def test_the_best_checkpoint_is_that_of_the_least_error(run):
    """The first score is not known, the second one is better when smaller."""
    kept = sorted(int(p.name) for p in (run.directory / "checkpoints").iterdir())
    assert kept == [2, 4, 5]
    best = jaxdis.load(run.directory, checkpoint="best")
    assert best.model.step == 2
    assert run.model.step == 5
    four = jaxdis.load(run.directory, checkpoint=4)
    assert four.model.step == 4
    assert not np.allclose(best.encode(X), four.encode(X))
    with pytest.raises(ValueError, match=r"steps that are kept, 2, 4, 5; got 3"):
        jaxdis.load(run.directory, checkpoint=3)


@pytest.mark.parametrize(
    ("first", "name", "sign"),
    [
        ({"mcc": [0.5], "nll": [1.0]}, "mcc", 1),
        ({"mcc": [np.nan], "nll": [np.nan, 2.0]}, "nll", -1),
        ({"mcc": [np.nan], "loss": [3.0]}, "loss", -1),
        ({"kl": [1.0], "loss": [3.0]}, "loss", -1),
    ],
)
def test_what_is_watched(first, name, sign):
    scores = {
        "kl": Score("kl", "KL"),
        "mcc": Score("mcc", "MCC", "higher"),
        "nll": Score("nll", "NLL", "lower"),
    }
    found = watched(scores, first)
    assert (found.name, found.sign) == (name, sign)
    assert found.value(first) == np.nanmean(first[name])


def rescore(directory: Path, **scores) -> None:
    path = directory / "results.json"
    found = json.loads(path.read_text())["metrics"]
    change(path, metrics=found | scores)


def test_the_seed_that_agrees_most_is_chosen(copied):
    rescore(copied, agreement=[[0.1, None, 0.7], [0.3, 0.8, 0.2]])
    change(copied / "results.json", udr=[0.3, 0.4])
    run = jaxdis.load(copied)
    # Errors of both points are alike, and the seeds of the second one agree more.
    assert run.choose() == (1, 1, "agreement with the other seeds")
    assert run.choose(point=0)[:2] == (0, 2)
    np.testing.assert_array_equal(run.encode(X, seed="best"), run.encode(X, point=1)[1])
    np.testing.assert_array_equal(
        run.encode(X, seed="best", point=0), run.encode(X, seed=2)
    )
    change(copied / "results.json", failed_seeds=[[], [1]])
    assert jaxdis.load(copied).choose(point=1)[:2] == (1, 0)
    change(copied / "results.json", failed_seeds=[[0, 1, 2], [0, 1, 2]])
    with pytest.raises(ValueError, match="all seeds of the run"):
        jaxdis.load(copied).choose()


def test_without_agreement_the_held_out_score_chooses(copied):
    none = [[None] * 3] * 2
    # MCC would need true latents, whatever it says.
    rescore(copied, agreement=none, mcc=[[1, 0, 0], [0, 0, 0]], error=[[3, 2, 1]] * 2)
    assert jaxdis.load(copied).choose(point=0) == (0, 2, "held-out Error")
    rescore(copied, error=none, distance=none)
    assert jaxdis.load(copied).choose().criterion == "training loss"


def test_a_run_of_an_earlier_version_keeps_its_scores(copied, run):
    (copied / "data.json").unlink()
    old = jaxdis.load(copied)
    assert len(old.rows()) == 6
    np.testing.assert_array_equal(old.scores["distance"], run.scores["distance"])
    assert old.report().exists()
    with pytest.raises(ValueError, match="earlier version of jaxdis"):
        old.encode(X)


def test_a_run_that_was_interrupted_can_be_used(copied, run):
    (copied / "results.json").unlink()
    stopped = jaxdis.load(copied)
    np.testing.assert_array_equal(stopped.encode(X), run.encode(X))
    with pytest.raises(ValueError, match="the run has not finished"):
        stopped.scores  # noqa: B018


def test_a_run_of_a_later_version_is_refused(copied):
    change(copied / "data.json", format=9)
    with pytest.raises(ValueError, match="has format 9"):
        jaxdis.load(copied).encode(X)
    (copied / "data.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        jaxdis.load(copied).encode(X)


def test_a_damaged_checkpoint_names_the_others(copied):
    for path in (copied / "checkpoints" / "5").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"checkpoint 5 .* choose another one of 2, 4"):
        jaxdis.load(copied).encode(X)


def test_a_method_that_is_gone_is_given_again(copied):
    change(copied / "config.json", reference="/nowhere/own.py:METHOD")
    with pytest.raises(ValueError, match=r"not there any more .*method=METHOD"):
        jaxdis.load(copied)
    assert jaxdis.load(copied, method=own_method.METHOD).encode(X).shape == (3, 11, 2)
    change(copied / "config.json", reference=None)
    with pytest.raises(ValueError, match="was in no file"):
        jaxdis.load(copied)
    assert jaxdis.load(copied, method=str(FILE)).encode(X).shape == (3, 11, 2)


def test_a_config_of_another_version_is_refused(copied):
    config = json.loads((copied / "config.json").read_text())["config"]
    change(copied / "config.json", config=config | {"width": 3})
    with pytest.raises(ValueError, match="has no width any more"):
        jaxdis.load(copied).encode(X)


@pytest.mark.parametrize(
    "changes", [{"seeds": "a"}, {"hyper": None}, {"config": None}, {"first_seed": {}}]
)
def test_a_damaged_config_is_one_sentence(copied, changes):
    change(copied / "config.json", **changes)
    with pytest.raises(ValueError, match=r"is damaged \(.*train the run again"):
        jaxdis.load(copied).encode(X)


def test_damaged_records_are_one_sentence(copied, run):
    change(copied / "results.json", scores=None)
    with pytest.raises(ValueError, match=r"results.json: it must hold scores, arrays"):
        jaxdis.load(copied).scores  # noqa: B018
    (copied / "metrics.jsonl").write_text("[1]\n")
    np.testing.assert_array_equal(jaxdis.load(copied).encode(X), run.encode(X))
    with pytest.raises(ValueError, match=r"metrics.jsonl holds no line"):
        jaxdis.load(copied).scores  # noqa: B018


def test_the_working_directory_may_change(copied, run, monkeypatch, tmp_path):
    monkeypatch.chdir(copied.parent)
    moved = jaxdis.load(copied.name)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    np.testing.assert_array_equal(moved.encode(X), run.encode(X))


def test_there_must_be_a_run(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        jaxdis.load(tmp_path)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[0], "x[None]"),
        (X[:, :2], "must have shape [n, 3]"),
        (X[:0], "must have shape [n, 3]"),
        (np.ma.masked_array(X, X[2, 1] == X), "row 2 of column 'width' is missing"),
        (np.where(np.arange(3) == 1, np.nan, X), "row 0 of column 'width'"),
        (X.astype(str), "x must hold numbers, got words"),
    ],
)
def test_other_observations_are_refused(run, x, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        run.encode(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.encode(X, seed=3), "seed must be one of 0, 1, 2, got 3"),
        (lambda run: run.encode(X, point=2), "point must be below 2, got 2"),
        (lambda run: run.decode(X), "z must have shape [3 seeds, n, z]"),
        (lambda run: run.decode(X[0], seed=0), "z must have shape [n, z] of one seed"),
        (lambda run: run.decode(X[:, :1], seed=0), "z must have 2 codes"),
        (lambda run: run.choose(2), "point must be one of 0, 1, got 2"),
        (lambda run: run.traverse(X, span=0), "span must be positive"),
        (lambda run: run.traverse(X, []), "number of latents must be at least 1"),
        (lambda run: run.traverse(X[:1]), "at least two rows"),
        (lambda run: run.traverse(X, [2]), "latents must be one of 0, 1, got 2"),
        (lambda run: run.traverse(X, row=11), "row must be below 11"),
        (lambda run: run.traverse(X, steps=1), "steps must be at least 2"),
    ],
)
def test_mistakes_are_one_sentence(run, call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(run)


def test_networks_of_ones_own_are_told_again(tmp_path):
    out = tmp_path / "run"
    run = jaxdis.train(
        own_method.METHOD,
        encoder=nn.Dense(2),
        optimiser=optax.adam(1e-2),
        seeds=1,
        steps=2,
        out=out,
    )
    assert run.encode(X).shape == (1, 11, 2)
    found = json.loads((out / "config.json").read_text())
    assert found["parts"]["encoder"] == "Dense"
    with pytest.raises(ValueError, match=r"encoder=Dense.*give it again"):
        jaxdis.load(out).encode(X)
    with pytest.raises(ValueError, match="do not fit this model"):
        jaxdis.load(out, encoder=nn.Sequential([nn.Dense(4), nn.Dense(2)]))
    with pytest.raises(ValueError, match="leave decoder out"):
        jaxdis.load(out, encoder=nn.Dense(2), decoder=nn.Dense(3))
    again = jaxdis.load(out, encoder=nn.Dense(2))
    np.testing.assert_array_equal(again.encode(X), run.encode(X))
    with pytest.raises(ValueError, match=r"parts.optimiser is .* there and None here"):
        jaxdis.train(
            own_method.METHOD, encoder=nn.Dense(2), seeds=1, steps=2, out=out,
            resume=True,
        )  # fmt: skip


def test_a_loss_is_wrapped_and_callbacks_stop(tmp_path):
    seen = []

    def doubled(x, y):
        return 2 * own_method.distance(x, y)

    def stop(chunk):
        seen.append(chunk.step)
        return chunk.step == 2

    options = {"seeds": 1, "callbacks": [stop, lambda chunk: None]}
    run = jaxdis.train(own_method.METHOD, loss=doubled, out=tmp_path / "a", **options)
    plain = jaxdis.train(own_method.METHOD, out=tmp_path / "b", **options)
    assert seen == [1, 2, 1, 2]
    assert run.record.results["steps"] == 2
    assert run.model.step == 2
    first, other = (r.history["loss"][0, 0, 0] for r in (run, plain))
    np.testing.assert_allclose(first, 2 * other, rtol=1e-6)


def test_what_is_known_of_data_comes_back_exactly(tmp_path):
    spec = Spec(
        shape=(4, 4, 3),
        labels=(Label("kind", 2, True, ("a", "b")), Label("price")),
        domains=("x", "y"),
        truth=Truth(
            gz=np.eye(2, dtype=np.int8), hues=np.array([0.1, 1 / 3], np.float32)
        ),
        rows=7,
    )
    train = own_method.Table().load()
    stored.keep_data(tmp_path, spec, train.preparation)
    found, preparation = stored.read_data(tmp_path)
    assert found._replace(truth=Truth()) == spec._replace(truth=Truth())
    assert isinstance(found.labels[0], Label)
    for name, array in spec.truth._asdict().items():
        other = getattr(found.truth, name)
        assert (other is None) == (array is None)
        if array is not None:
            assert other.dtype == array.dtype
            np.testing.assert_array_equal(other, array)
    assert preparation.names == train.preparation.names
    np.testing.assert_array_equal(preparation.x.mean, train.preparation.x.mean)
    np.testing.assert_array_equal(preparation.x.std, train.preparation.x.std)


def test_a_config_is_rebuilt_by_the_types_of_its_fields():
    changed = own_method.Config(z_dim=5, errors=(1.0,), scaled=((2, 0.25), (3, 1.0)))
    found = json.loads(json.dumps(stored.plain(changed)))
    settings = {"preset": "table", "config": found}
    assert stored.config_of(own_method.METHOD, settings) == changed


def test_table_is_a_frame_where_pandas_is(run, monkeypatch):
    assert len(run.table()) == 6
    assert run.rows()[4]["penalty"] == 0.1
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert run.table()[4]["seed"] == 1


def test_pixels_are_bytes_or_fractions(run):
    spec = run.model.spec._replace(shape=(2, 2, 1))
    model = run.model._replace(spec=spec, preparation=jaxdis.types.Preparation())
    assert observations(model, np.zeros((3, 2, 2, 1), np.uint8)).dtype == np.uint8
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\], got 0 to 255"):
        observations(model, np.array([0.0, 255.0, 1, 1]).reshape(1, 2, 2, 1))
    with pytest.raises(ValueError, match=r"bytes \(uint8\) or numbers"):
        observations(model, np.zeros((3, 2, 2, 1), int))
    with pytest.raises(ValueError, match="put the channels last"):
        observations(model, np.zeros((3, 1, 2, 2), np.uint8))
    assert jnp.ndim(observations(model, np.zeros((3, 5, 2, 2, 1)))) == 5
