import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread
from scipy import stats

from jaxdis import report
from jaxdis.report import kit
from jaxdis.report import read as reading
from tests.report.runs import BOUNDS, METHOD, STEPS, make_run

PICTURES = ("curves", "seeds", "matrix")


def build(run):
    return report.build(run, METHOD)


class Tables(HTMLParser):
    """Rows of cells of every table of a page, and the exact numbers behind them."""

    def __init__(self):
        super().__init__()
        self.tables, self.exact, self.inside = [], [], False

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.tables.append([])
            self.exact.append([])
        elif tag == "tr":
            self.tables[-1].append([])
            self.exact[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.inside = True
        elif tag == "span":
            self.exact[-1][-1].append(float(dict(attributes)["title"]))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            # A browser keeps together what a reader sees as words apart.
            self.tables[-1][-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ")


def read(page):
    tables = Tables()
    tables.feed(page.read_text())
    return tables


def table(tables, first):
    """The first table whose first header is `first`, as rows of cells and numbers."""
    i = next(i for i, t in enumerate(tables.tables) if t[0][0] == first)
    return tables.tables[i], tables.exact[i]


def words(page):
    """The page without its embedded pictures."""
    return re.sub(r"base64,[^\"]*", "", page.read_text())


def check_picture(path):
    pixels = imread(path)[..., :3]
    height, width = pixels.shape[:2]
    assert 150 < height < 6000
    assert 300 < width < 6000
    ink = (pixels < 0.9).any(-1)
    assert 0.01 < ink.mean() < 0.9
    # The content fills the picture: nothing but a small margin is blank.
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    assert rows[0] < 80
    assert rows[-1] > height - 80
    assert columns[0] < 80
    assert columns[-1] > width - 80


@pytest.mark.parametrize(
    "kind",
    [
        {"seeds": 1, "size": 5},
        {"seeds": 8, "size": 10, "failed": (5,)},
        {"seeds": 3, "size": 3, "points": 5},
        {"seeds": 45, "size": 2},
        {"seeds": 2, "size": 4, "failed": (0, 1)},
    ],
    ids=str,
)
def test_pictures_are_drawn_and_embedded(tmp_path, kind):
    make_run(tmp_path / "run", **kind)
    page = build(tmp_path / "run")
    assert page == tmp_path / "run" / "report.html"
    for name in PICTURES:
        png = tmp_path / "run" / f"{name}.png"
        check_picture(png)
        assert base64.b64encode(png.read_bytes()).decode() in page.read_text()


def test_page_stands_alone_and_escapes_what_it_quotes(tmp_path):
    make_run(tmp_path / "run", size=3)
    text = words(build(tmp_path / "run"))
    assert "http" not in text
    assert "<script" not in text
    assert "--out &#x27;&lt;script&gt;alert(1)&lt;/script&gt;&#x27;</pre>" in text
    assert "diagonal &amp; &lt;b&gt;" in text
    assert set(re.findall(r'(?:src|href)="([^"]*)', text)) == {"data:image/png;"}


def test_seed_table_holds_the_results_their_means_and_deviations(tmp_path):
    metrics = make_run(tmp_path / "run", seeds=5, first=10)
    cells, exact = table(read(build(tmp_path / "run")), "seed")
    assert cells[0] == ["seed", "MCC ↑", "SHD ↓", "NLL ↓"]
    columns = np.stack([metrics[name][0] for name in ("mcc", "shd", "nll")], 1)
    np.testing.assert_array_equal(exact[1:6], columns)
    np.testing.assert_allclose(exact[6], columns.mean(0), rtol=1e-12)
    np.testing.assert_allclose(exact[7], columns.std(0, ddof=1), rtol=1e-12)
    names = [*map(str, range(10, 15)), "mean", "std", "95 % interval"]
    assert [row[0] for row in cells[1:]] == names
    assert cells[6][1] == f"{columns[:, 0].mean():.3f}"
    assert cells[7][3] == f"{columns[:, 2].std(ddof=1):.3f}"
    assert cells[1][3] == f"−{-columns[0, 2]:.3f}"  # with a proper minus


def test_headline_and_facts(tmp_path):
    metrics = make_run(tmp_path / "run")
    text = words(build(tmp_path / "run"))
    mcc, shd, nll = metrics["mcc"], metrics["shd"], metrics["nll"]
    assert (
        f"MCC {mcc.mean():.3f} ± {mcc.std(ddof=1):.3f}, "
        f"SHD {shd.mean():.3f} ± {shd.std(ddof=1):.3f}, "
        f"NLL −{-nll.mean():.3f} ± {nll.std(ddof=1):.3f} over 4 seeds"
    ) in text
    for fact in ("1 min 56 s", "10.5 s", "3.34 ms", "4 (0–3)", "2,000", "0.10.2"):
        assert f"<dd>{fact}</dd>" in text


def test_one_seed_has_no_deviation(tmp_path):
    metrics = make_run(tmp_path / "run", seeds=1)
    page = build(tmp_path / "run")
    cells, _ = table(read(page), "seed")
    assert cells[-1] == ["std", "–", "–", "–"]
    assert f"MCC {metrics['mcc'].item():.3f}, SHD" in words(page)
    assert "±" not in re.search("headline.>(.*)</p>", words(page))[1]


def test_failed_seed_is_named_and_left_out_of_the_mean(tmp_path):
    metrics = make_run(tmp_path / "run", first=10, failed=(2,))
    page = build(tmp_path / "run")
    assert "over 3 of 4 seeds; seed 12 failed" in words(page)
    cells, exact = table(read(page), "seed")
    assert cells[3][0] == "12 failed"
    assert exact[3][0] == metrics["mcc"][0, 2]
    good = metrics["mcc"][0, [0, 1, 3]]
    np.testing.assert_allclose(exact[5][0], good.mean(), rtol=1e-12)
    np.testing.assert_allclose(exact[6][0], good.std(ddof=1), rtol=1e-12)


def test_null_is_a_dash(tmp_path):
    metrics = make_run(tmp_path / "run", null=(1,))
    cells, exact = table(read(build(tmp_path / "run")), "seed")
    assert cells[2] == ["1", "–", "–", "–"]
    np.testing.assert_allclose(exact[5][0], np.nanmean(metrics["mcc"]), rtol=1e-12)


def test_grid_has_a_row_per_point_and_a_table_of_seeds_for_each(tmp_path):
    metrics = make_run(tmp_path / "run", points=3, failed=(1,))
    page = build(tmp_path / "run")
    tables = read(page)
    cells, _ = table(tables, "point")
    good = metrics["mcc"][:, [0, 2, 3]]
    for row, bound, mcc in zip(cells[1:], BOUNDS, good, strict=False):
        assert row[0] == f"bound_a {bound:g}"
        low, high = stats.t.interval(0.95, len(mcc) - 1, mcc.mean(), stats.sem(mcc))
        ends = f"{max(low, 0.0):.3f} to {min(high, 1.0):.3f}"
        assert row[1] == f"{mcc.mean():.3f} ± {mcc.std(ddof=1):.3f}{ends}"
        assert row[-2:] == ["3 of 4", "1"]
    assert [t[0][0] for t in tables.tables].count("seed") == 3
    best = BOUNDS[good.mean(1).argmax()]
    assert f"Best of 3 by mean MCC: bound_a {best:g}" in words(page)
    assert "3 of 12 runs failed" in words(page)
    settings, _ = table(tables, "name")
    assert settings[1] == ["bound_a", "10, 25, 40", "swept"]
    assert settings[2] == ["beta", "1", ""]


def test_cut_off_last_line_is_ignored(tmp_path):
    make_run(tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 2100, "point": 0, "se')
    build(tmp_path / "run")


def test_a_damaged_line_is_named_and_the_others_count(tmp_path):
    make_run(tmp_path / "run", seeds=2)
    path = tmp_path / "run" / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = "garbage\n"  # seed 0 after 200 steps
    path.write_text("".join(lines))
    record = reading.load(tmp_path / "run")
    (group,) = record.groups
    np.testing.assert_array_equal(group.steps, STEPS)
    lost = np.isnan(group.curves["mcc"])
    np.testing.assert_array_equal(np.argwhere(lost), [[0, 1]])
    said = f"{path}: line 3 is damaged and left out; 1 record is lost"
    assert record.notes[0].startswith(said)
    assert said in words(build(tmp_path / "run"))


def test_a_run_of_which_all_seeds_diverged_says_so(tmp_path):
    make_run(tmp_path / "run", seeds=2, failed=(0, 1))
    text = words(build(tmp_path / "run"))
    assert 'class="headline">All 2 seeds diverged: there is no score<' in text
    assert "<li>All 2 seeds diverged: nothing was learned, and no" in text


def test_points_of_which_all_seeds_diverged_are_named(tmp_path):
    make_run(tmp_path / "run", seeds=2, points=2)
    path = tmp_path / "run" / "results.json"
    results = json.loads(path.read_text()) | {"failed_seeds": [[], [0, 1]]}
    path.write_text(json.dumps(results))
    text = words(build(tmp_path / "run"))
    assert "<li>bound_a 25: all 2 seeds diverged: nothing was learned" in text
    assert "Best of 2 by mean MCC: bound_a 10" in text


def test_a_step_logged_twice_counts_once(tmp_path):
    make_run(tmp_path / "run", seeds=1)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 2000, "point": 0, "seed": 0, "mcc": 0.25}\n')
    (group,) = reading.load(tmp_path / "run").groups
    np.testing.assert_array_equal(group.steps, STEPS)
    assert group.curves["mcc"][0, -1] == 0.25


def test_a_run_needs_neither_mcc_nor_arrays(tmp_path):
    run = tmp_path / "run"
    make_run(run, seeds=2)
    results = json.loads((run / "results.json").read_text())
    results["metrics"] = {"accuracy": [[0.5, 0.75]]}
    results["scores"] = {"accuracy": {"title": "Accuracy", "better": "higher"}}
    results |= {"udr": [0.875], "skipped_updates": [[0, 7]]}
    (run / "results.json").write_text(json.dumps(results))
    lines = [
        {"step": 5, "point": 0, "seed": seed, "accuracy": 0.5} for seed in range(2)
    ]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = words(build(run))
    assert "Accuracy 0.625 ± 0.177 over 2 seeds" in text
    assert "<dd>0.875</dd>" in text
    assert "<dd>7</dd>" in text
    assert not (run / "matrix.png").exists()
    check_picture(run / "seeds.png")


def test_nothing_but_the_report_is_left_behind(tmp_path, monkeypatch):
    run = tmp_path / "run"
    make_run(run, seeds=1, size=3)
    before = {p.name for p in run.iterdir()}
    build(run)
    made = {f"{name}.png" for name in PICTURES} | {"report.html"}
    assert {p.name for p in run.iterdir()} == before | made

    old = (run / "report.html").read_bytes()

    def refuse(*paths):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        build(run)
    assert (run / "report.html").read_bytes() == old
    assert {p.name for p in run.iterdir()} == before | made


def test_global_style_is_left_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    make_run(tmp_path / "run", seeds=1)
    build(tmp_path / "run")
    assert dict(matplotlib.rcParams) == before


def test_compare_puts_runs_and_grid_points_side_by_side(tmp_path):
    one = make_run(tmp_path / "one", seeds=3, failed=(0,))
    two = make_run(tmp_path / "two", points=2)
    out = tmp_path / "new" / "comparison.html"
    assert report.side_by_side([tmp_path / "one", tmp_path / "two"], out) == out
    names = {"comparison.html", "comparison-curves.png", "comparison-seeds.png"}
    assert {p.name for p in out.parent.iterdir()} == names
    check_picture(out.with_name("comparison-curves.png"))
    check_picture(out.with_name("comparison-seeds.png"))

    cells, _ = table(read(out), "run")
    labels = [row[0] for row in cells[1:]]
    assert labels == ["one", "two, bound_a 10", "two, bound_a 25"]
    for row, mcc in zip(cells[1:], [one["mcc"][0, 1:], *two["mcc"]], strict=True):
        low, high = stats.t.interval(0.95, len(mcc) - 1, mcc.mean(), stats.sem(mcc))
        ends = f"{max(low, 0.0):.3f} to {min(high, 1.0):.3f}"
        assert row[1] == f"{mcc.mean():.3f} ± {mcc.std(ddof=1):.3f}{ends}"
    assert cells[1][-2:] == ["2 of 3", "0"]
    assert words(out).count("alert(1)") == 2
    assert "<script" not in words(out)


def test_compare_tells_runs_of_the_same_name_apart(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    for path in paths:
        make_run(path, seeds=1)
    cells, _ = table(read(report.side_by_side(paths, tmp_path / "out.html")), "run")
    assert [row[0] for row in cells[1:]] == ["a/run", "b/run"]


def test_compare_checks_its_arguments(tmp_path):
    make_run(tmp_path / "run", seeds=1)
    with pytest.raises(ValueError, match="at least one run"):
        report.side_by_side([], tmp_path / "out.html")
    with pytest.raises(ValueError, match="given twice"):
        report.side_by_side([tmp_path / "run"] * 2, tmp_path / "out.html")
    with pytest.raises(ValueError, match="out must be a file"):
        report.side_by_side([tmp_path / "run"], tmp_path)


def test_band_stays_in_the_range_of_the_seeds():
    curves = np.array([[1.0, np.nan], [1.0, np.nan], [1000.0, np.nan]])
    mean, low, high = kit._mean_curve(curves)
    assert mean[0] == curves[:, 0].mean()
    assert low[0] == 1.0
    assert high[0] == curves[:, 0].mean() + curves[:, 0].std(ddof=1)
    assert np.isnan([mean[1], low[1], high[1]]).all()


def test_results_of_the_first_format_are_read(tmp_path):
    """They had one level less for a single point, and declared nothing."""
    run = tmp_path / "run"
    metrics = make_run(run, seeds=3, size=3)
    config = json.loads((run / "config.json").read_text())
    config["system"] = config.pop("method")
    (run / "config.json").write_text(json.dumps(config))
    new = json.loads((run / "results.json").read_text())
    old = {k: new[k] for k in ("steps", "devices", "wall_s", "compile_s", "step_s")}
    old |= {"system": "invented", "preset": "small", "hyper": new["points"][0]}
    old["metrics"] = {name: values[0] for name, values in new["metrics"].items()}
    old |= {"failed_seeds": [1], "udr": 0.5}
    (run / "results.json").write_text(json.dumps(old))
    record = reading.load(run)
    np.testing.assert_array_equal(record.groups[0].final["mcc"], metrics["mcc"][0])
    assert record.groups[0].failed.tolist() == [False, True, False]
    assert record.arrays == {}
    assert "<dd>0.500</dd>" in words(build(run))


def test_results_of_a_later_format_are_refused(tmp_path):
    make_run(tmp_path / "run")
    path = tmp_path / "run" / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(ValueError, match="format 99, and this version"):
        build(tmp_path / "run")


def test_a_picture_that_cannot_be_drawn_is_named_and_the_others_are_there(tmp_path):
    make_run(tmp_path / "run", size=3)
    path = tmp_path / "run" / "figures.npz"
    with np.load(path) as file:
        arrays = dict(file) | {"true": np.array([["x"] * 3] * 3)}
    np.savez(path, **arrays)
    text = words(build(tmp_path / "run"))
    assert re.search(
        'class="failed">matrix could not be drawn: TypeError: .+</p>', text
    )
    assert "over 4 seeds" in text
    check_picture(tmp_path / "run" / "seeds.png")
    assert not (tmp_path / "run" / "matrix.png").exists()


def change(run, file, **changes):
    path = run / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def headline_of(page):
    return re.search("headline.>(.*)</p>", words(page))[1]


def test_runs_on_other_data_or_of_other_length_are_not_ranked(tmp_path):
    for name in ("one", "two"):
        make_run(tmp_path / name, seeds=2)
    runs = [tmp_path / "one", tmp_path / "two"]
    change(runs[1], "config.json", seeds=2, preset="other")
    line = headline_of(report.side_by_side(runs, tmp_path / "out.html"))
    assert line.startswith("Best of 2 by mean MCC")
    data = {"x_dim": 25, "graph": {"kind": "diagonal & <b>"}}
    change(runs[1], "config.json", data=data)
    line = headline_of(report.side_by_side(runs, tmp_path / "out.html"))
    assert line == "2 runs that cannot be ranked: they differ in data.x_dim: 20 and 25"
    change(runs[1], "results.json", steps=100)
    line = headline_of(report.side_by_side(runs, tmp_path / "out.html"))
    assert line.endswith("data.x_dim: 20 and 25; steps: 2000 and 100")


def test_runs_of_other_rows_in_a_file_of_one_name_are_not_ranked(tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for run, mean in zip(runs, (0.0, 3.0), strict=True):
        make_run(run, seeds=2)
        scale = {"mean": [mean], "std": [1.0]}
        kept = {"spec": {"rows": 60}, "preparation": {"x": scale}}
        (run / "data.json").write_text(json.dumps(kept))
    line = headline_of(report.side_by_side(runs, tmp_path / "out.html"))
    assert line.endswith("rows: the numbers of x have other means and deviations")


def test_scores_that_some_seeds_lack_are_counted(tmp_path):
    run = tmp_path / "run"
    values = make_run(run, seeds=4)["mcc"].tolist()
    values[0][2] = None
    change(run, "results.json", metrics={"mcc": values})
    page = build(run)
    assert "(3 of 4) over 4 seeds" in headline_of(page)
    cells, _ = table(read(page), "seed")
    assert cells[-1] == ["seeds", "3 of 4"]
    assert cells[-2][0] == "95 % interval"


def test_parts_of_one_setting_are_called_so(tmp_path):
    make_run(tmp_path / "one", seeds=2)
    make_run(tmp_path / "two", seeds=2, first=2)
    runs = [tmp_path / "one", tmp_path / "two"]
    line = headline_of(report.side_by_side(runs, tmp_path / "out.html"))
    assert line == (
        "2 parts of one setting, with the seeds 0–1, 2–3; `jaxdis merge` makes one run "
        "of them"
    )


def test_columns_that_no_seed_has_are_left_out(tmp_path):
    run = tmp_path / "run"
    make_run(run, seeds=2)
    results = json.loads((run / "results.json").read_text())
    change(run, "results.json", metrics=results["metrics"] | {"mcc": [[None, None]]})
    cells, _ = table(read(build(run)), "seed")
    assert cells[0] == ["seed", "SHD ↓", "NLL ↓"]
    assert headline_of(run / "report.html").startswith("SHD ")


@pytest.mark.parametrize("name", ["results.json", "figures.npz"])
def test_what_was_only_measured_is_not_to_be_trained_again(tmp_path, name):
    run = tmp_path / "a run"
    make_run(run, size=3)
    (run / name).write_text("")
    with pytest.raises(ValueError, match=r"remove .*results.json.*resume '.*a run'"):
        build(run)


def test_what_is_to_be_known_of_the_loss_is_said(tmp_path):
    make_run(tmp_path / "run")
    told = "The loss jumps <once>."
    page = report.build(tmp_path / "run", METHOD._replace(loss=told))
    assert "<li>The loss jumps &lt;once&gt;.</li>" in page.read_text()
    assert "The loss jumps" not in build(tmp_path / "run").read_text()


def test_compared_runs_are_ranked_by_a_score_that_all_have(tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for run in runs:
        make_run(run, seeds=2)
    scores = json.loads((runs[0] / "results.json").read_text())["scores"]
    first, second, *_ = scores
    assert first == "mcc"
    without = {name: score for name, score in scores.items() if name != first}
    change(runs[1], "results.json", scores=without)
    line = headline_of(report.side_by_side(runs, tmp_path / "out.html"))
    assert line.startswith(f"Best of 2 by mean {scores[second]['title']}")


def test_runs_are_columns_and_losses_of_other_methods_stay_apart(tmp_path):
    runs = [tmp_path / "one", tmp_path / "a_run_of_a_long_name"]
    for run in runs:
        make_run(run, seeds=2)
    apart = "Training losses are not drawn"
    page = report.side_by_side(runs, tmp_path / "out.html")
    assert apart not in words(page)
    cells, _ = table(read(page), "")
    assert cells[0] == ["", "one", "a_run_of_a_long_name"]
    assert cells[1] == ["preset", "invented/small", "invented/small"]
    change(runs[1], "config.json", reference="other")
    assert apart in words(report.side_by_side(runs, tmp_path / "out.html"))
