"""What theory promises beside what was reached: sentences, facts and the picture."""

import json
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from jaxdis import report
from jaxdis.cli.show import report_command
from jaxdis.experiment.stored import plain
from jaxdis.metrics import BLOCK_R2, MCC, R_CON
from jaxdis.report import unfinished
from jaxdis.report.blocks import draw_given, draw_promised
from jaxdis.report.headline import run_facts
from jaxdis.report.kit import SHADES
from jaxdis.report.pictures import BEFORE, SO_FAR
from jaxdis.report.promised import given, known, promised
from jaxdis.report.read import Standing
from jaxdis.types import Spec, Truth
from tests.report.records import make_group, make_record
from tests.report.runs import METHOD, kill, make_run
from tests.report.test_page import check_picture, words

PAIRS = np.kron(np.eye(2, dtype=int), np.ones((2, 1), int))
MIXED = PAIRS[[0, 2, 1, 3]]  # z_0 with z_2, z_1 with z_3
PATTERN = MIXED @ MIXED.T == 1


def truth(**found) -> dict[str, Any]:
    """A spec as results.json holds it."""
    known = Truth(**{n: np.array(v) for n, v in found.items()})
    return json.loads(json.dumps({"truth": known._asdict()}, default=np.ndarray.tolist))


def record(spec, groups=None, scores=(R_CON, MCC), **more):
    groups = groups or [make_group(r_con=[0.9, 0.94], mcc=[0.6, 0.7])]
    made = make_record(groups, **more)
    return made._replace(spec=spec, scores={s.name: s for s in scores})


def actions(**more):
    return truth(ga=MIXED) | {"a_dim": 2, "z_dim": 4} | more


class TestSentences:
    def test_graphs(self):
        first, assumes, one, two, mcc = promised(record(actions()))
        assert first == (
            "By the graph ga theory promises 2 blocks of 2; reached: R_con "
            "0.920 ± 0.028, MCC 0.650 ± 0.071."
        )
        assert assumes.startswith("It assumes: observations are an injective function")
        assert one == (
            "z_0 and z_2 always change together: an action that moves one and not the "
            "other would tell it apart."
        )
        assert two.startswith("z_1 and z_3 always change together")
        assert mcc == (
            "MCC gives each latent one code: that it reaches 1 is not promised."
        )

    def test_mask_and_domains(self):
        spec = truth(mask=np.ones((3, 2))) | {"domains": ["a", "b", "c"], "z_dim": 2}
        groups = [make_group(block_r2=[0.8, 0.9], mcc=[0.5, 0.5])]
        said = promised(record(spec, groups, (BLOCK_R2, MCC)))
        assert said[0] == (
            "By the mask and 3 domains theory promises nothing: each of the 2 may be "
            "mixed with all; reached: R² of blocks 0.850 ± 0.071, MCC 0.500 ± 0.000."
        )
        assert "it takes 5 domains instead of 3" in said[2]
        enough = promised(record(spec | {"domains": [*"abcde"]}, groups))
        assert enough[0].startswith(
            "By the mask and 5 domains theory promises 2 blocks"
        )
        assert len(enough) == 2

    def test_supports_of_tasks(self):
        made = record({"z_dim": 4}, arrays={"supports": np.eye(4)})
        assert (
            "By the supports of tasks theory promises 4 blocks of 1"
            in (promised(made)[0])
        )

    def test_points_are_named(self):
        groups = [
            make_group("bound 1", {"bound": 1.0}, mcc=[0.5, 0.7]),
            make_group("bound 2", {"bound": 2.0}, mcc=[0.9, 0.9]),
        ]
        assert promised(record(actions(), groups))[0].endswith(
            "reached: MCC 0.600 ± 0.141 at bound 1; MCC 0.900 ± 0.000 at bound 2."
        )

    def test_failed_seeds_do_not_count(self):
        some = [make_group(failed=[1], mcc=[0.8, 0.1])]
        assert "reached: MCC 0.800." in promised(record(actions(), some))[0]
        none = [make_group(failed=[0, 1], mcc=[0.8, 0.1])]
        assert (
            "; nothing was reached, as every seed failed."
            in (promised(record(actions(), none))[0])
        )

    def test_no_true_latents(self):
        said = promised(record(actions(), [make_group(nll=[1.0, 2.0])], ()))
        assert said[0].endswith(
            "2 blocks of 2; no score was measured that could be set beside it."
        )
        assert not any("MCC" in sentence for sentence in said)

    @pytest.mark.parametrize("spec", [{}, {"truth": None}, truth(), {"z_dim": 3}])
    def test_nothing_is_known(self, spec):
        made = record(spec)
        assert promised(made) == [
            "Theory promises nothing here that scores could be set beside: no graph, "
            "supports or mask of these data are known."
        ]
        assert draw_promised(made) is None
        assert "promised by theory" not in run_facts(made)

    def test_what_it_assumes_is_not_given(self):
        told, nothing = promised(record(actions(a_dim=0)))
        assert told == "The graph ga is known, but the data have no actions."
        assert nothing.endswith("are known, or what it assumes is not given.")
        both = actions() | truth(gz=np.eye(4), ga=MIXED)
        assert promised(record(both))[:2] == [
            "The graph gz is known, but the data have no sequences.",
            promised(record(actions()))[0],
        ]
        assert (
            "graphs gz and ga theory promises 4 blocks of 1"
            in (promised(record(both | {"steps": 2}))[0])
        )

    def test_what_it_assumes_is_broken(self):
        said = promised(record(actions(breaks="actions hardly move them")))
        assert said[0].startswith("By the graph ga theory would promise 2 blocks of 2;")
        assert said[2] == (
            "Of these data that does not hold, as actions hardly move them: nothing is "
            "promised."
        )

    @pytest.mark.parametrize("ga", [[[2, 1]], [[1], [1, 0]], "abc", {"a": 1}])
    def test_damaged_truth_is_said(self, ga):
        made = record({"truth": {"ga": ga}, "a_dim": 2})
        (said,) = promised(made)
        assert said.startswith("What is known of the data is damaged: ")
        assert "promised by theory" not in run_facts(made)


def frames(ax):
    """Corners and sizes of the frames around blocks."""
    found = [p for p in ax.patches if isinstance(p, Rectangle)]
    return sorted((int(p.get_x()), int(p.get_y()), int(p.get_width())) for p in found)


def shades(ax):
    """Numbers of a matrix, as drawn."""
    mesh = ax.collections[0]
    assert mesh.get_cmap() is SHADES
    return np.asarray(mesh.get_array())


class TestPicture:
    def test_blocks_stand_together_on_both_sides(self):
        matrices = np.where(PATTERN, 0.8, 0.05) + 0.1 * np.eye(4)
        both = np.stack([matrices, matrices])[None]
        both[0, 0, 0, 1] = 0.25  # of a latent and a code of the other block
        made = record(actions(), arrays={"correlation": both})
        figure = draw_promised(made)
        assert figure is not None
        left, right, bar = figure.axes
        assert left.get_title() == "promised: 2 blocks of 2"
        assert frames(left) == frames(right) == [(0, 0, 2), (2, 2, 2)]
        np.testing.assert_array_equal(
            shades(left) > 0, np.kron(np.eye(2), np.ones((2, 2)))
        )
        order = [0, 2, 1, 3]
        expected = both[0].mean(0)[order][:, order]
        np.testing.assert_allclose(shades(right), expected)
        labels = [tick.get_text() for tick in right.get_yticklabels()]
        assert labels == ["0", "2", "1", "3"]
        assert right.get_title().startswith("reached: R_con 0.920 ± 0.028")
        notes = [note.get_text() for note in right.texts]
        assert "largest outside the pattern 0.150" in notes
        assert bar.get_ylabel() == "absolute correlation"

    def test_without_correlations_the_pattern_alone(self):
        figure = draw_promised(record(actions()))
        assert figure is not None
        assert len(figure.axes) == 1

    @pytest.mark.parametrize(
        ("failed", "size", "note"),
        [([0, 1], 4, "every seed failed"), ([], 3, "other latents were measured")],
    )
    def test_what_cannot_be_shown_is_said(self, failed, size, note):
        groups = [make_group(failed=failed, mcc=[0.8, 0.7])]
        arrays = {"correlation": np.ones((1, 2, size, size))}
        figure = draw_promised(record(actions(), groups, arrays=arrays))
        assert figure is not None
        right = figure.axes[1]
        assert [text.get_text() for text in right.texts] == [note]

    def test_what_nothing_is_promised_of_comes_last_and_is_not_framed(self):
        graph = np.array([[0, 0], [1, 0], [0, 1]])
        (answer,) = given({"ga": graph})
        figure = draw_given([answer], {"latent": ("a", "b", "c")})
        left, right = figure.axes
        assert [t.get_text() for t in right.get_yticklabels()] == ["b", "c", "a"]
        assert frames(right) == [(0, 0, 1), (1, 1, 1)]
        np.testing.assert_array_equal(shades(left), graph)
        np.testing.assert_array_equal(shades(right)[2] > 0, [True] * 3)
        assert shades(right)[2, 0] < shades(right)[2, 2]  # its own code is darker


def with_truth(path, **changes):
    """Writes a run of which the graph is known, in both of its files."""
    make_run(path, seeds=2, **changes)
    spec = Spec((20,), a_dim=2, z_dim=4, truth=Truth(ga=MIXED))
    results = json.loads((path / "results.json").read_text())
    results["spec"] = truth(ga=MIXED) | {"a_dim": 2, "z_dim": 4}
    (path / "results.json").write_text(json.dumps(results))
    return spec


class TestPage:
    def test_of_a_run(self, tmp_path, capsys):
        with_truth(tmp_path / "run")
        text = words(report.build(tmp_path / "run", METHOD))
        assert "<h2>What theory promises</h2>" in text
        assert "<li>By the graph ga theory promises 2 blocks of 2; reached: MCC" in text
        assert "<dt>promised by theory</dt><dd>2 blocks of 2</dd>" in text
        check_picture(tmp_path / "run/promised_and_reached.png")

    def test_of_a_run_without_a_truth(self, tmp_path):
        make_run(tmp_path / "run", seeds=2)
        text = words(report.build(tmp_path / "run", METHOD))
        assert "<li>Theory promises nothing here that scores could be set" in text
        assert not (tmp_path / "run/promised_and_reached.png").exists()

    def test_of_a_killed_run(self, tmp_path):
        spec = with_truth(tmp_path / "run")
        kill(tmp_path / "run", drop=2)
        data = json.loads((tmp_path / "run/data.json").read_text())
        data["spec"] = plain(spec)
        data = json.dumps(data, default=np.ndarray.tolist)
        (tmp_path / "run/data.json").write_text(data)
        found = unfinished.load(tmp_path / "run")
        assert [one.name for one in known(found)] == ["graph ga"]
        text = words(report.build(tmp_path / "run", METHOD))
        assert (
            "By the graph ga theory promises 2 blocks of 2; reached by step 1,900, on "
            "validation rows: MCC 0.991 ± 0.000."
        ) in text
        check_picture(tmp_path / "run/promised_and_reached.png")

    def test_the_command_says_it(self, tmp_path, capsys, monkeypatch):
        with_truth(tmp_path / "run")
        monkeypatch.setattr("jaxdis.systems.find", lambda name: METHOD)
        assert report_command([str(tmp_path / "run")]) == 0
        out = capsys.readouterr().out
        assert out.startswith("By the graph ga theory promises 2 blocks of 2; reached:")

    def test_pictures_of_every_page(self):
        for pictures in (BEFORE, SO_FAR):
            assert "promised_and_reached" in [picture.name for picture in pictures]


def test_a_run_that_has_logged_nothing_yet():
    standing = Standing(0, 10, None, "", "")
    group = make_group(nll=[1.0, 2.0])._replace(final={}, curves={})
    made = record(actions(), [group])._replace(standing=standing)
    assert promised(made)[0].endswith(
        "no score was measured that could be set beside it."
    )
