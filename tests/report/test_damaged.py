import json

import pytest

from jaxdis import report
from tests.report.runs import METHOD, make_run


def build(run):
    return report.build(run, METHOD)


@pytest.mark.parametrize("name", ["config.json", "results.json", "figures.npz"])
def test_corrupt_files_are_named(tmp_path, name):
    make_run(tmp_path / "run", size=3)
    path = tmp_path / "run" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].replace(b"}", b"", 1))
    with pytest.raises(ValueError, match=rf"run/{name}.*train"):
        build(tmp_path / "run")
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_file_is_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"/file is a file; give the directory of a"):
        build(tmp_path / "file")


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "figures.npz"])
def test_missing_files_are_named(tmp_path, name):
    make_run(tmp_path / "run", size=3)
    (tmp_path / "run" / name).unlink()
    with pytest.raises(ValueError, match=r"there is no folder .*none; give the direct"):
        build(tmp_path / "none")
    with pytest.raises(ValueError, match=rf"run/{name} is missing.*again"):
        build(tmp_path / "run")
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "results.json",
            {"metrics": {"mcc": [[0.5]]}},
            r"metrics\.mcc must hold 1 x 4",
        ),
        ("results.json", {"metrics": {"mcc": [["x"] * 4]}}, r"metrics\.mcc must hold"),
        (
            "results.json",
            {"failed_seeds": [], "points": [{"beta": 1.0}]},
            "do not describe one run",
        ),
        ("results.json", {"metrics": 3}, "do not describe one run"),
        ("config.json", {"first_seed": 7}, r"metrics\.jsonl: .*a seed in 7\.\.10"),
        ("config.json", {"seeds": "four"}, "do not describe one run"),
    ],
)
def test_contradictions_are_explained(tmp_path, name, change, message):
    make_run(tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        build(tmp_path / "run")


def test_figures_of_another_run_are_refused(tmp_path):
    make_run(tmp_path / "run", seeds=4, size=3)
    make_run(tmp_path / "other", seeds=3, size=3)
    (tmp_path / "other" / "figures.npz").replace(tmp_path / "run" / "figures.npz")
    with pytest.raises(
        ValueError, match=r"figures\.npz: matrix must hold 1 point x 4 seed"
    ):
        build(tmp_path / "run")
