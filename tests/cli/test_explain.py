"""`jaxdis explain`: files of graphs, supports and masks, in words and drawn."""

import json
import sys

import numpy as np
import pytest

from jaxdis.cli import main
from jaxdis.cli.explain import explain_command
from jaxdis.cli.matrices import as_edges, read_matrices
from tests.report.runs import make_run

PAIRS = np.kron(np.eye(3, dtype=int), np.ones((2, 1), int))


@pytest.fixture
def told(tmp_path, capsys, monkeypatch):
    """What the command says of a file in an empty directory, and its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*args, **arrays):
        if arrays:
            np.savez(tmp_path / "file.npz", **arrays)
        words = ["file.npz", *args] if arrays else [*args]
        monkeypatch.setattr(sys, "argv", ["jaxdis", "explain", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


class TestAnswers:
    def test_actions(self, told, tmp_path):
        code, out, _ = told(ga=PAIRS)
        lines = out.splitlines()
        assert code == 0
        assert lines[0] == "By the graph ga theory promises 3 blocks of 2."
        assert lines[1] == "Blocks: z_0, z_1; z_2, z_3; z_4, z_5."
        assert lines[2] == (
            "- z_0 and z_1 always change together: an action that moves one and not "
            "the other would tell it apart"
        )
        assert len([line for line in lines if line.startswith("- ")]) == 3
        assert lines[-2].startswith("It assumes: observations are an injective ")
        assert lines[-1] == "picture: explain.png"
        assert (tmp_path / "explain.png").read_bytes()[:4] == b"\x89PNG"

    def test_time_tells_the_pairs_apart(self, told):
        _, out, _ = told("--out", "a.png", gz=np.tril(np.ones((6, 6), bool)), ga=PAIRS)
        first, second, last = out.splitlines()
        assert first == "By the graphs gz and ga theory promises 6 blocks of 1."
        assert second.startswith("It assumes: ")
        assert last == "picture: a.png"

    def test_domains_of_a_mask(self, told):
        dense = np.ones((4, 2))
        assert "promises 2 blocks of 1" in told(mask=dense)[1]
        assert "5 domains in which the latents change" in told(mask=dense)[1]
        out = told("--domains", "3", mask=dense)[1]
        assert "the mask and 3 domains theory promises nothing: each of the 2" in out
        assert "it takes 5 domains instead of 3" in out

    def test_several_answers(self, told):
        out = told(supports=PAIRS.T, mask=np.eye(4))[1]
        assert "By the supports of tasks theory promises 3 blocks of 2." in out
        assert "By the mask theory promises 4 blocks of 1." in out

    def test_many_latents_are_cut_short(self, told, tmp_path):
        out = told(supports=np.triu(np.ones((201, 201), int)))[1]
        assert "- and 180 more sentences of the kind" in out
        assert "note: not drawn: more than 200 rows or columns" in out
        assert not (tmp_path / "explain.png").exists()


class TestFiles:
    def test_weights_need_a_threshold(self, told, tmp_path):
        np.save(tmp_path / "w.npy", np.array([[0.05, -0.9], [0.7, 0.0]]))
        code, _, err = told("w.npy", "--kind", "support")
        assert code == 2
        assert "supports holds 0.05 in row 0, column 0, and must hold 0 and 1" in err
        assert "give --threshold" in err
        _, out, _ = told("w.npy", "--kind", "support", "--threshold", "0.1")
        assert "promises 2 blocks of 1" in out  # also for weights below 0
        assert told("w.npy", "--kind", "support", "--threshold", "0")[0] == 0

    def test_names_are_used_and_are_no_markup(self, told, tmp_path):
        text = ",push,pull\n[red],1,0\nhue,1,0\nspeed,0,1\n"
        code, out, _ = told(write(tmp_path / "a.csv", text), "--kind", "actions")
        assert code == 0
        assert "Blocks: [red], hue; speed." in out
        assert "- [red] and hue always change together: an action that" in out

    @pytest.mark.parametrize(
        ("name", "text", "rows", "columns"),
        [
            ("a.csv", "1,0\n0,1\n", (), ()),
            ("a.tsv", "a\tb\n1\t0\n\n0\t1\n", (), ("a", "b")),
            ("a.csv", "a;b\nx;1;0\ny;0;1\n", ("x", "y"), ("a", "b")),
            ("a.csv", ",0,1\n0,1,0\n1,0,1\n", ("0", "1"), ("0", "1")),
            ("a.csv", "x,1,0\ny,0,1\n", ("x", "y"), ()),
            ("a.csv", "\ufeffTrue,False\r\nFalse,True\r\n", (), ()),
        ],
    )
    def test_tables(self, tmp_path, name, text, rows, columns):
        (tmp_path / name).write_bytes(text.encode())
        found = read_matrices(tmp_path / name, "support")
        np.testing.assert_array_equal(found.arrays["supports"], np.eye(2))
        wanted = {"task": rows, "latent": columns}
        assert dict(found.names) == {n: v for n, v in wanted.items() if v}

    def test_a_single_array_of_another_name(self, told):
        assert "3 blocks of 2" in told("--kind", "actions", edges=PAIRS)[1]

    def test_integers_and_booleans(self):
        for kind in (np.uint8, bool, np.float16):
            np.testing.assert_array_equal(
                as_edges("g", PAIRS.astype(kind), None), PAIRS
            )


class TestRuns:
    def run(self, path, **spec):
        make_run(path, seeds=2)
        results = json.loads((path / "results.json").read_text())
        results["spec"] = spec
        (path / "results.json").write_text(json.dumps(results))
        return str(path)

    def test_what_is_known_of_its_data(self, told, tmp_path):
        truth = {"ga": PAIRS.tolist(), "gz": None, "mask": None}
        path = self.run(tmp_path / "run", truth=truth, a_dim=3)
        code, out, _ = told(path)
        assert code == 0
        assert out.startswith("What is known of the data:\nBy the graph ga theory")
        assert "kind is for files" in told(path, "--kind", "mask")[2]

    def test_else_its_learned_graphs(self, told, tmp_path):
        path = self.run(tmp_path / "run")
        results = json.loads((tmp_path / "run/results.json").read_text())
        results |= {"graphs": ["edges"], "codes": ["child"]}
        results["arrays"] = {"edges": "seed child action"}
        (tmp_path / "run/results.json").write_text(json.dumps(results))
        edges = np.stack([0.6 * PAIRS, PAIRS])[None]
        np.savez(tmp_path / "run/figures.npz", edges=edges)
        _, out, _ = told(path)
        assert out.startswith(
            "If what seed 0 learned is true:\nBy the graph ga theory "
            "promises 3 blocks of 2."
        )
        assert "promises nothing" in told(path, "--threshold", "0.7")[1]

    def test_neither(self, told, tmp_path):
        code, _, err = told(self.run(tmp_path / "run"))
        assert code == 2
        assert "no graph, supports or mask of its data are known, and no graph" in err


BAD = {
    "no such key": (
        {"codes": PAIRS},
        "holds codes; it must hold one or more of gz, ga",
    ),
    "not square": ({"gz": np.ones((3, 4))}, "gz has shape (3, 4); it must be square"),
    "empty": ({"ga": np.ones((0, 3))}, "ga is empty: it has shape (0, 3)"),
    "not binary": ({"ga": 2 * PAIRS}, "ga holds 2 in row 0, column 0, and must hold 0"),
    "nan": ({"ga": PAIRS * np.nan}, "ga holds nan in row 0, column 0; all entries"),
    "three axes": (
        {"ga": np.ones((2, 2, 2))},
        "ga has shape (2, 2, 2); it must be one",
    ),
    "complex": ({"ga": PAIRS * 1j}, "ga holds complex128; it must hold real numbers"),
    "words": ({"ga": np.array([["a"]])}, "ga holds <U1; it must hold real numbers"),
    "objects": ({"ga": np.array([[None]])}, "ga holds objects; it must hold real"),
    "mismatched": (
        {"ga": PAIRS, "gz": np.eye(3)},
        "ga has 6 rows and gz has 3; both must have one row per latent",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(told, case):
    arrays, message = BAD[case]
    code, out, err = told(**arrays)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "file.npz" in err
    assert message in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.npz"], "there is no file none.npz"),
        (["a.txt"], "file must end in .npz, .npy, .csv, .tsv, or be the directory"),
        (["a.csv"], "a.csv holds one matrix; say what it is: --kind graph, actions"),
        (["rag.csv", "--kind", "mask"], "rag.csv: line 2 has 1 cells; all must have 2"),
        (["word.csv", "--kind", "mask"], "word.csv: line 3 holds 'q', which is no"),
        (["empty.csv", "--kind", "mask"], "empty.csv is empty"),
        (["head.csv", "--kind", "mask"], "head.csv has names of columns and no row"),
        (["bytes.csv", "--kind", "mask"], "bytes.csv is no text in UTF-8"),
        (["bytes.npz"], "bytes.npz"),
        (["g.npz", "--kind", "mask"], "g.npz holds ga, gz; --kind is for files of one"),
        (["g.npz", "--domains", "3"], "domains is for a mask, and g.npz holds gz, ga"),
        (["g.npz", "--domains", "0"], "domains must be at least 1, got 0"),
        (["g.npz", "--threshold", "nan"], "threshold must be finite, got nan"),
        (["g.npz", "--out", "x.jpg"], "out must end in .png, got x.jpg"),
        (["g.npz", "--out", "no/x.png"], "out must be a file in a directory"),
    ],
)
def test_bad_files_and_options(told, tmp_path, args, message):
    write(tmp_path / "a.csv", "1,0\n0,1\n")
    write(tmp_path / "rag.csv", "1,0\n0\n")
    write(tmp_path / "word.csv", "1,0\n0,1\nq,1\n")
    write(tmp_path / "empty.csv", "\n")
    write(tmp_path / "head.csv", "a,b\n")
    write(tmp_path / "a.txt", "1")
    for name in ("bytes.csv", "bytes.npz"):
        (tmp_path / name).write_bytes(bytes(range(200, 256)))
    np.savez(tmp_path / "g.npz", ga=np.eye(3), gz=np.eye(3))
    code, out, err = told(*args)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert message in err


def test_help_without_a_file(capsys):
    with pytest.raises(SystemExit) as ended:
        explain_command([])
    assert ended.value.code == 0
    assert "--threshold" in capsys.readouterr().out
