"""Pictures of sparse mixings, from invented records."""

import itertools

import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from scipy.stats import gaussian_kde

from jaxdis.report.kit import FAINT, STYLE, WRONG
from jaxdis.report.read import Group, Record
from jaxdis.systems.sparse_mixing import METHOD
from jaxdis.systems.sparse_mixing.comparison import compare_domains
from jaxdis.systems.sparse_mixing.figures import density, draw_jacobians, draw_latents

MASK = [[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]]
ROWS = 90


def arrays(points, seeds, domains):
    rng = np.random.default_rng(0)
    true = rng.normal(size=(points, seeds, ROWS, 3))
    strength = np.array(MASK) + 0.02 * rng.random((points, seeds, 6, 3))
    strength[0, 0, 0, 2] = 0.7  # the one wrong entry of the first seed
    return {
        "jacobian": strength,
        "correlation": rng.random((points, seeds, 3, 3)),
        "latents": true + 0.1 * rng.normal(size=true.shape),
        "true_latents": true,
        "domains": np.arange(ROWS) % domains,
    }


def make_record(*, points=2, seeds=3, domains=3, failed=(), mask=MASK, **final):
    rng = np.random.default_rng(domains)
    names = ("mcc", "mcc_observed", "wrong_entries")
    drawn = {name: rng.uniform(0.5, 0.9, (points, seeds)) for name in names}
    final = drawn | {name: np.array(values) for name, values in final.items()}
    groups = [
        Group(
            label=f"alpha {0.1 * p:g}" if points > 1 else "",
            hyper={"alpha": 0.1 * p},
            seeds=list(range(seeds)),
            failed=np.isin(range(seeds), failed),
            final={name: values[p] for name, values in final.items()},
            steps=np.array([10, 100]),
            curves={},
        )
        for p in range(points)
    ]
    return Record(
        name="sparse_mixing/toy",
        settings={},
        results={},
        groups=groups,
        spec={"domains": list(map(str, range(domains))), "truth": {"mask": mask}},
        scores={},
        arrays=arrays(points, seeds, domains),
    )


def without(record, *names):
    kept = {n: a for n, a in record.arrays.items() if n not in names}
    return record._replace(arrays=kept)


@pytest.fixture(autouse=True)
def style():
    with matplotlib.style.context(["default", STYLE]):
        yield


def every_axes(figure):
    """All axes but the bars of shades."""
    axes = [ax for part in figure.subfigs or [figure] for ax in part.axes]
    return [ax for ax in axes if ax.get_label() != "<colorbar>"]


def test_jacobian_of_the_best_seed_and_the_median():
    mcc = [[0.9, 1.0, 0.5, 0.7]] * 2
    wrong_entries = [[3.0, 0.0, 2.0, 2.0]] * 2
    record = make_record(failed=(1,), seeds=4, mcc=mcc, wrong_entries=wrong_entries)
    jacobian = record.arrays["jacobian"]
    jacobian[:, :, 5] = 0.0  # a row of zeros stays so
    axes = every_axes(draw_jacobians(record))
    assert len(axes) == 2 * 3
    mask = np.array(MASK, bool)
    for point, row in enumerate((axes[:3], axes[3:])):
        np.testing.assert_array_equal(row[0].collections[0].get_array(), MASK)
        # Seed 1 failed; of the others 3 has the higher MCC at as many wrong entries.
        for ax, seed in zip(row[1:], (3, 2), strict=True):
            matrix = jacobian[point, seed]
            matrix = matrix / np.maximum(matrix.max(1, keepdims=True), 1e-300)
            np.testing.assert_allclose(ax.collections[0].get_array(), matrix)
            outlined = {False: np.zeros_like(mask), True: np.zeros_like(mask)}
            for cell in ax.patches:
                bad = to_hex(cell.get_edgecolor()) == WRONG.lower()
                outlined[bad][cell.get_y(), cell.get_x()] = True
            wrong = (matrix > 0.1) != mask
            assert wrong.sum() == 2
            np.testing.assert_array_equal(outlined[True], wrong)
            np.testing.assert_array_equal(outlined[False], mask & ~wrong)
            said = [t.get_text() for t in ax.texts]
            assert f"MCC {mcc[point][seed]:.3f}, 2 wrong" in said
    assert [ax.get_title("left") for ax in axes[:3]] == [
        "true mask", "best by truth: seed 3", "median: seed 2",
    ]  # fmt: skip
    assert "12 entries" in [t.get_text() for t in axes[0].texts]


def test_unmatched_latents_are_not_compared_with_the_mask():
    record = without(make_record(points=1), "true_latents", "correlation")
    axes = every_axes(draw_jacobians(record))
    assert [ax.get_xlabel() for ax in axes] == ["true latent", "latent", "latent"]
    assert not any(ax.patches for ax in axes)
    assert not any("wrong" in t.get_text() for ax in axes for t in ax.texts)
    assert len(every_axes(draw_latents(record))) == 3


def test_without_a_mask_there_is_none_to_draw():
    axes = every_axes(draw_jacobians(make_record(points=1, mask=None)))
    assert [ax.get_title("left").split(":")[0] for ax in axes] == [
        "best by truth",
        "median",
    ]


def without_truth(record, **final):
    """The record of a run on data of which nothing is known."""
    groups = [
        group._replace(final={n: np.array(v) for n, v in final.items()})
        for group in record.groups
    ]
    record = without(record, "true_latents", "correlation")
    return record._replace(groups=groups, spec=record.spec | {"truth": {}})


def test_without_truth_no_seed_is_called_the_best():
    record = without_truth(make_record(points=1), reconstruction=[3.0, 1.0, 2.0])
    names = ["least error: seed 1", "median: seed 2"]
    axes = every_axes(draw_jacobians(record))
    assert [ax.get_title("left") for ax in axes] == names
    named = record._replace(results={"columns": list("abcdef")})
    first = every_axes(draw_jacobians(named))[0]
    assert [t.get_text() for t in first.get_yticklabels()] == list("abcdef")
    jacobian = record.arrays["jacobian"][0, 1]
    np.testing.assert_allclose(
        axes[0].collections[0].get_array(), jacobian / jacobian.max(1, keepdims=True)
    )
    words = [t.get_text() for ax in every_axes(draw_latents(record)) for t in ax.texts]
    assert words == ["least error: seed 1"]


def test_jacobian_of_images_is_a_map_for_each_latent():
    """Of 3 x 1 pixels with two colours, over which it is averaged."""
    record = without_truth(make_record(failed=(1,)), reconstruction=[3.0, 1.0, 2.0])
    record = record._replace(spec=record.spec | {"shape": [3, 1, 2]})
    axes = every_axes(draw_jacobians(record))
    assert len(axes) == 2 * 2 * 3
    assert axes[0].get_title("left") == "least error: seed 2"
    assert [ax.get_xlabel() for ax in axes[:3]] == ["latent 0", "latent 1", "latent 2"]
    for at, (point, seed) in enumerate(((0, 2), (0, 0), (1, 2), (1, 0))):
        maps = record.arrays["jacobian"][point, seed].reshape(3, 2, 3).mean(1)
        for j, ax in enumerate(axes[3 * at : 3 * at + 3]):
            shown = ax.images[0].get_array()
            np.testing.assert_allclose(shown, (maps / maps.max())[:, None, j])
    assert draw_jacobians(record._replace(groups=failing(record))) is None


def failing(record):
    return [g._replace(failed=np.ones_like(g.failed)) for g in record.groups]


@pytest.mark.parametrize("domains", [2, 9])
def test_latents_of_the_best_seed_by_domain(domains):
    record = make_record(domains=domains)
    made, figure = record.arrays, draw_latents(record)
    axes = every_axes(figure)
    assert len(axes) == 2 * 3 * 3
    for point in range(2):
        best = int(np.argmin(record.groups[point].final["wrong_entries"]))
        some = axes[9 * point : 9 * point + 9]
        u, kinds = made["domains"], ("true_latents", "latents")
        for k, kind in enumerate(kinds):
            for j, ax in enumerate(some[3 * k : 3 * k + 3]):
                assert len(ax.lines) == domains
                labels = [t.get_text() for t in ax.get_yticklabels()]
                assert labels == record.spec["domains"]
                values = made[kind][point, best, :, j]
                for d, line in enumerate(ax.lines):
                    grid, height = line.get_data()
                    wanted = d - 1.7 * density(values[u == d], grid)
                    np.testing.assert_allclose(height, wanted)
                    assert grid[0] < values.min() < values.max() < grid[-1]
        for j, ax in enumerate(some[6:]):
            true, estimated = (made[kind][point, best, :, j] for kind in kinds)
            found = ax.collections[0].get_offsets()
            np.testing.assert_allclose(found, np.stack([true, estimated], 1))
            r = made["correlation"][point, best, j, j]
            assert [t.get_text() for t in ax.texts] == [f"r {r:.2f}"]
    # Names of rows stand one below the other.
    figure.draw_without_rendering()
    labels = [axes[i].yaxis.label.get_window_extent() for i in (0, 3, 6, 9, 12, 15)]
    for above, below in itertools.pairwise(labels):
        assert above.y0 > below.y1


def test_all_figures_are_drawn_or_left_out():
    """Of a run whose seeds all failed, and of one without the arrays."""
    record = make_record(points=1, seeds=1)
    drawn = {f.name: f.draw(record) is not None for f in METHOD.figures}
    assert drawn == {"correlation": True, "jacobian": True, "latents": True}
    for draw, array in (
        (draw_jacobians, "jacobian"),
        (draw_latents, "latents"),
        (draw_latents, "domains"),
    ):
        assert draw(without(record, array)) is None
        assert draw(make_record(failed=(0, 1, 2))) is None


def test_what_does_not_fit_is_explained():
    record = make_record(mask=MASK[:5])
    with pytest.raises(ValueError, match=r"jacobian must be as large as .* 5 x 3; got"):
        draw_jacobians(record)
    for domain in (3, -1, 0.5):
        record = make_record()
        record.arrays["domains"] = np.full(ROWS, domain)
        with pytest.raises(ValueError, match="domains must hold whole numbers below 3"):
            draw_latents(record)


def test_runs_by_number_of_domains():
    records = {f"d{d}": make_record(domains=d) for d in (2, 5, 9)}
    figure = compare_domains(records)
    ax = figure.axes[0]
    assert ax.get_xlabel() == "domains"

    def means(score, point):
        groups = [record.groups[point] for record in records.values()]
        return [np.mean(group.final[score]) for group in groups]

    lines = [c.lines[0].get_ydata() for c in ax.containers]
    np.testing.assert_allclose(lines, [means("mcc", 0), means("mcc", 1)])
    floor = means("mcc_observed", 0)
    assert any(np.allclose(line.get_ydata(), floor) for line in ax.lines
               if len(line.get_ydata()) == 3)  # fmt: skip
    # The floors differ, so that none lends its colour to their one name.
    (legend,) = figure.legends
    names = [t.get_text() for t in legend.get_texts()]
    assert names == ["alpha 0", "alpha 0.1", "raw observations"]
    assert to_rgba(legend.get_texts()[-1].get_color()) == to_rgba(FAINT)
    # Runs of as many domains have no such picture.
    assert compare_domains({"a": make_record(), "b": make_record()}) is None
    # Results of format 1 hold the number of domains.
    old = {n: r._replace(spec={"domains": int(n[1:])}) for n, r in records.items()}
    assert [t.get_text() for t in compare_domains(old).axes[0].get_xticklabels()] == [
        "2", "5", "9",
    ]  # fmt: skip


def test_runs_that_repeat_a_number_of_domains():
    records = {
        name: make_record(
            domains=domains,
            points=1,
            failed=(0,),
            mcc_observed=[[0.9, 0.5 + domains / 100, 0.5 + domains / 100]],
        )
        for name, domains in (("a", 2), ("b", 5), ("c", 5))
    }
    figure = compare_domains(records)
    (legend,) = figure.legends
    names = [t.get_text() for t in legend.get_texts()]
    assert names == ["a", "b", "c", "raw observations"]
    ax = figure.axes[0]
    assert [len(c.lines[0].get_ydata()) for c in ax.containers] == [1, 1, 1]
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert {to_rgba(line.get_color()) for line in dashed} == {to_rgba(FAINT)}
    floors = {y for line in dashed for y in np.round(line.get_ydata(), 6)}
    assert floors == {0.52, 0.55}
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "5"]


def test_density_is_that_of_gaussian_kernels():
    values = np.random.default_rng(0).gamma(2.0, size=400)
    grid = np.linspace(-2, 12, 401)
    # Of scipy the width is a factor of the sample's own deviation.
    factor = 1.06 * 400**-0.2 * values.std() / values.std(ddof=1)
    wanted = gaussian_kde(values, factor)(grid)
    found = density(values, grid)
    np.testing.assert_allclose(found, wanted / wanted.max(), atol=1e-12)
    np.testing.assert_array_equal(density(values[:0], grid), 0)
    # Equal values are a peak that the grid can show.
    peak = density(np.full(5, grid[200]), grid)
    assert peak[200] == 1
    assert 0.5 < peak[201] < 1
