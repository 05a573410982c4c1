"""What every method promises, tested once over all of them.

A method's `tiny.py` names settings that compile in seconds and together take every
branch of it.
"""

import math
from importlib import import_module
from typing import Any, NamedTuple

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from matplotlib.figure import Figure
from PIL import Image

from jaxdis import (
    checkpoint,
    devices,
    experiment,
    log,
    metrics,
    program,
    report,
    runner,
    systems,
)
from jaxdis import (
    compiled as training,
)
from jaxdis.data import preparation
from jaxdis.experiment import identity, stored
from jaxdis.report import read
from jaxdis.types import Source, Stream

SEEDS, DEVICES, STEPS, CHUNK = 4, 2, 4, 2  # two rows on each device
# On eight devices a device's two rows are the program that they are on two, and a row
# alone is another: that is tested of all methods, and this of three that differ most.
SPREAD = ("flow_factorized", "mechanism_sparsity", "shared_features")


def _cases():
    """Every tiny setting; those that compile for long run with the claims."""
    for name in systems.names():
        tiny = import_module(f"tests.systems.{name}.tiny")
        for variant in tiny.TINY:
            slow = variant in getattr(tiny, "SLOW", ())
            marks = [pytest.mark.claims] if slow else []
            yield pytest.param((name, variant), id=f"{name}-{variant}", marks=marks)


class Trained(NamedTuple):
    """A short run of one setting.

    Attributes:
      experiment: what was trained.
      start: the rows before the first step.
      result: the end of it.
      traces: how often the step was traced.
      compiled: the programs of the chunks.
      program: the chunk, not lowered yet.
      arguments: what it takes.
      first: whether the setting is the first one of its method.
    """

    experiment: experiment.Experiment
    start: program.StackedRows
    result: runner.Result
    traces: int
    compiled: list[Any]
    program: Any
    arguments: tuple
    first: bool


def tiny_plan(name, variant):
    config, data, hyper = import_module(f"tests.systems.{name}.tiny").TINY[variant]
    first = next(iter(systems.find(name).presets))
    return experiment.plan(
        f"{name}/{first}",
        seeds=SEEDS,
        steps=STEPS,
        chunk=CHUNK,
        config=config,
        data=data,
        hyper={n: [v] for n, v in hyper.items()},
    )


@pytest.fixture(scope="module", params=list(_cases()))
def trained(request):
    name, variant = request.param
    tiny = import_module(f"tests.systems.{name}.tiny").TINY
    plan = tiny_plan(name, variant)
    plan = plan._replace(points=plan.points[:1])
    made = experiment.prepare(plan)
    traces, compiled, arguments = [], [], []
    inner = made.system.step

    def step(*args):
        traces.append(1)
        return inner(*args)

    made = made._replace(system=made.system._replace(step=step))
    make_chunk = program.make_chunk

    class Listening:
        """The chunk, remembering what it was lowered for and compiled to."""

        def __init__(self, *args):
            self.program = make_chunk(*args)

        def lower(self, *args):
            arguments[:] = [self.program, *jax.tree.map(shape, args)]
            self.lowered = self.program.lower(*args)
            return self

        def compile(self):
            compiled.append(self.lowered.compile())
            return compiled[-1]

    def shape(a):
        if isinstance(a, jax.ShapeDtypeStruct):
            return a
        # Step and length of a chunk are on no device in particular.
        sharding = a.sharding if getattr(a, "committed", False) else None
        return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "make_chunk", Listening)
        result = train(made, mesh=devices.seed_mesh(DEVICES))
    # By the program that the run began with.
    start = program.init_rows(
        made.system, made.keys, made.hyper, devices.seed_mesh(DEVICES)
    )
    first = variant == next(iter(tiny))
    lowered, shapes = arguments[0], tuple(arguments[1:])
    yield Trained(made, start, result, len(traces), compiled, lowered, shapes, first)
    jax.clear_caches()  # no other setting has these programs


def train(made, rows=slice(None), mesh=None, start=None):
    return runner.run(
        made.system,
        made.batches.sample,
        made.keys[rows],
        jax.tree.map(lambda h: h[rows], made.hyper),
        steps=STEPS,
        chunk=CHUNK,
        mesh=mesh,
        start=start,
        world=None if made.world is None else made.world[rows],
    )


def mesh_of(count):
    every = devices.seed_mesh(8)
    return Mesh(every.devices[:count], every.axis_names, axis_types=every.axis_types)


def test_one_trace_and_one_program(trained):
    assert trained.traces == 1
    assert len(trained.compiled) == 1


def test_no_seed_fails(trained):
    assert not np.asarray(trained.result.rows.failed).any()
    assert (np.asarray(trained.result.rows.skipped) == 0).all()
    assert (np.asarray(trained.result.rows.state.step) == STEPS).all()


@pytest.mark.parametrize(
    ("rows", "count"), [([1], 3), ([0, 1, 2, 3] * 4, 8)], ids=["alone", "sixteen"]
)
def test_no_bit_of_a_row_depends_on_the_others_or_on_the_devices(trained, rows, count):
    """Alone with two idle devices, and sixteen on eight, as four on two."""
    if not trained.first:
        pytest.skip("each takes two more programs: the first setting of a method")
    if len(rows) > SEEDS and trained.experiment.plan.method.name not in SPREAD:
        pytest.skip("on eight devices, three methods")
    found = train(trained.experiment, np.array(rows), mesh_of(count))
    assert found.devices == min(len(rows), count)
    # On the host: on devices the rows of every shape are a program of their own.
    found, every = jax.device_get((found.rows, trained.result.rows))
    wanted = jax.tree.map(lambda a: a[np.array(rows)], every)
    chex.assert_trees_all_equal(found, wanted)


def test_one_device_gives_the_same_numbers(trained):
    """Up to rounding: XLA compiles a program of one device otherwise.

    What makes the first rows is compiled for it too, for the first setting of a method.
    """
    row, start = slice(1, 2), None
    if not trained.first:
        start = 0, jax.device_get(jax.tree.map(lambda a: a[row], trained.start))
    alone = train(trained.experiment, row, mesh_of(1), start)
    alone, every = jax.device_get((alone.rows.state, trained.result.rows.state))
    wanted = jax.tree.map(lambda a: a[row], every)
    chex.assert_trees_all_equal_shapes_and_dtypes(alone, wanted)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(wanted), strict=True):
        # In units of the array: numbers near 0 are what rounding leaves of large ones.
        scale = np.abs(b).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * scale)


def test_no_collectives_in_the_chunk(trained):
    assert trained.result.devices == DEVICES
    text = trained.compiled[0].as_text()
    for word in ("all-reduce", "all-gather", "collective", "all-to-all"):
        assert word not in text


def test_the_chunk_exports(trained):
    export = jax.export.export(trained.program, platforms=["tpu", "cuda"])
    exported = export(*trained.arguments)
    assert exported.platforms == ("tpu", "cuda")
    # Solvers of LAPACK hang on as many CPU devices as cores.
    assert "lapack" not in exported.mlir_module().lower()


def test_the_report_exports(trained):
    made = trained.experiment

    def first(tree):
        return jax.eval_shape(lambda tree: jax.tree.map(lambda a: a[0], tree), tree)

    batch = made.batches.test if made.world is None else first(made.batches.test)
    state, key = first((trained.result.rows.state, made.keys))
    export = jax.export.export(jax.jit(made.system.report), platforms=["tpu", "cuda"])
    found = export(state, batch, key)
    assert found.platforms == ("tpu", "cuda")


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """The directory of the run, as the command line leaves it."""
    out = tmp_path_factory.mktemp("run")
    plan = trained.experiment.plan
    made = trained.experiment
    log.write_json(out / "config.json", identity.settings_of(plan, "", {}))
    stored.keep_data(out, made.spec, made.splits.preparation)
    checkpoint.save(out / "checkpoints", STEPS, {"rows": trained.result.rows})
    lines = [
        {"step": step, "point": 0, "seed": seed, "loss": 1.0}
        for step in (CHUNK, STEPS)
        for seed in plan.seeds
    ]
    log.append_lines(out / "metrics.jsonl", lines)
    timing = experiment.Timing((), 0, DEVICES)
    experiment.write(trained.experiment, trained.result, out, timing.parts)
    return out


def test_every_score_and_array_is_declared_and_in_range(trained, written):
    record = read.load(written)
    declared = trained.experiment.scores
    own = set(record.scores) - {metrics.AGREEMENT.name, metrics.DEAD.name}
    assert own <= set(declared)
    assert set(trained.experiment.plan.preset.scores) & set(record.scores)
    for name, score in record.scores.items():
        low, high = declared.get(name, score).range
        values = record.groups[0].final[name]
        seen = values[np.isfinite(values)]
        assert (seen >= low - 1e-5).all(), (name, values)
        assert (seen <= high + 1e-5).all(), (name, values)
        assert score.title
        assert score.better in ("higher", "lower", None)
        assert score.range == (low, high) or math.isinf(low) or math.isinf(high)
    for name, axes in trained.experiment.plan.method.arrays.items():
        if name in record.arrays:
            leading = 2 if axes.startswith("seed") else 0
            assert record.arrays[name].ndim == len(axes.split()) + leading // 2


def drawn_once(figure, file, **_):
    """In place of `savefig`, which draws twice, and then makes pixels."""
    figure.draw_without_rendering()
    Image.new("L", (1, 1)).save(file, "PNG")


def test_every_figure_is_drawn(trained, written, monkeypatch):
    if not trained.first:
        monkeypatch.setattr(Figure, "savefig", drawn_once)
    page = report.build(written)
    assert page.stat().st_size > 1_000
    assert "could not be drawn" not in page.read_text()
    drawn = {path.stem for path in written.iterdir() if path.suffix in (".png", ".gif")}
    DRAWN.setdefault(trained.experiment.plan.method.name, set()).update(drawn)


def test_a_run_is_loaded_and_used(trained, written):
    """Its states are those of the end, and it works on rows as a user has them."""
    made, run = trained.experiment, experiment.load(written)
    assert run.model.config == made.plan.config
    found, wanted = run.model.state, trained.result.rows.state
    chex.assert_trees_all_equal(
        (found.params, found.extra, found.step),
        (wanted.params, wanted.extra, wanted.step),
    )
    test = made.splits.test
    if made.world is not None:
        test = jax.tree.map(lambda a: np.asarray(a)[0], test)
    few = jax.tree.map(lambda a: np.array(np.asarray(a)[:3]), test)
    seen, done = jnp.asarray(few.x), made.splits.preparation
    if done.x is not None:
        few = few._replace(x=preparation.undo_x(done, few.x))
    if made.system.encode is not None:
        z = run.encode(few.x)
        params = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[1]), wanted.params)
        codes = made.system.encode(params, seen)
        np.testing.assert_allclose(z[1], codes, rtol=1e-4, atol=1e-5)
        if made.system.decode is not None:
            decoded = run.decode(z)
            assert decoded.shape[-len(made.spec.shape) :] == made.spec.shape
    if made.system.predict is not None:
        assert run.predict(few).shape[:2] == (SEEDS, 3)


def test_rows_of_the_host_stay_there_or_are_refused(trained):
    made = trained.experiment
    spec, train = made.spec, made.splits.train
    if isinstance(train, Source):
        world = () if spec.worlds is None else (jax.numpy.int32(0),)
        train = train.draw(jax.random.key(0), 40, *world)
    splits = made.splits._replace(train=jax.device_get(train), block=1)
    try:
        sample = made.plan.method.batches(made.plan.config, spec, splits).sample
    except ValueError as error:
        assert str(error).startswith("data.block")  # noqa: PT017
    else:
        assert isinstance(sample, Stream)
        assert sample.rows is splits.train


DRAWN: dict[str, set[str]] = {}


@pytest.mark.parametrize("name", systems.names())
def test_some_setting_draws_each_figure(name):
    """Runs last, after all settings were drawn."""
    figures = {figure.name for figure in systems.find(name).figures}
    if name in DRAWN:
        # Those that take more than one point of a grid have tests of their own.
        tiny = import_module(f"tests.systems.{name}.tiny")
        assert figures - getattr(tiny, "ELSEWHERE", set()) <= DRAWN[name]


@pytest.mark.parametrize("name", systems.names())
def test_a_method_declares_itself(name):
    method = systems.find(name)
    assert method.name == name
    assert method.citation.startswith("@")
    for preset_name, preset in method.presets.items():
        try:
            spec = preset.data.spec()
        except ValueError:  # a file or folder of one's own
            continue
        declared = [score.name for score in method.scores(preset.config, spec)]
        assert len(set(declared)) == len(declared)
        assert set(preset.scores) <= set(declared), preset_name
        assert {one.score for one in preset.expects} <= set(declared), preset_name
        hyper = method.default_hyper(preset.config, spec, preset.steps)
        assert isinstance(hyper, method.hyper)
        assert set(preset.hyper) <= set(hyper._fields)
        assert {*method.positive, *method.fractions} <= set(hyper._fields)
        for name in method.positive:
            assert getattr(hyper, name) > 0, (preset_name, name)
        for point in preset.points:
            assert set(point) <= set(hyper._fields)
