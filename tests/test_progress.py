"""What is shown of a training where the output is no terminal."""

import re

import pytest

from jaxdis import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(capsys):
    """What was said, without the time of the day."""
    said = capsys.readouterr().out.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in said)
    return [line[20:] for line in said]


def test_a_line_a_minute(clock, capsys):
    with progress.progress(10_000) as advance:
        assert lines(capsys) == ["compiling; 10,000 steps"]
        clock[0] += 12
        advance(0)
        assert lines(capsys) == ["training from step 0 of 10,000, compiled in 12 s"]
        for second in range(10, 150, 10):
            clock[0] += 10
            advance(20 * second, f"MCC [{second}]")
        # 20 steps a second: after 60 s, 8,800 of them are left; after 120 s, 7,600.
        assert lines(capsys) == [
            "step 1,200 of 10,000, 20 steps/s, MCC [60], 7 min 20 s left",
            "step 2,400 of 10,000, 20 steps/s, MCC [120], 6 min 20 s left",
        ]
    assert lines(capsys) == [
        "step 2,800 of 10,000, 20 steps/s, MCC [140], trained for 2 min 20 s"
    ]


def test_a_resumed_training_counts_only_its_own_steps(clock, capsys):
    with progress.progress(1_000, 900) as advance:
        advance(900, "loss 1.5")
        clock[0] += 61
        advance(950)
    assert lines(capsys) == [
        "compiling; 1,000 steps, 900 of them taken",
        "training from step 900 of 1,000, compiled in 0 ms",
        "step 950 of 1,000, 0.82 steps/s, loss 1.5, 1 min 1 s left",
        "step 950 of 1,000, 0.82 steps/s, loss 1.5, trained for 1 min 1 s",
    ]


def test_an_interruption_says_where_it_stands(clock, capsys):
    def train():
        with progress.progress(10) as advance:
            advance(0)
            clock[0] += 1
            advance(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    last = lines(capsys)[-1]
    assert last == "step 4 of 10, 4 steps/s, trained for 1 s"


def test_compilation_that_fails_has_no_last_line(capsys):
    with pytest.raises(ValueError, match="too wide"), progress.progress(10):
        raise ValueError("too wide")
    assert lines(capsys) == ["compiling; 10 steps"]


def test_a_terminal_has_a_bar(monkeypatch):
    import io

    from rich.console import Console

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("TERM", raising=False)
    output = Terminal()
    monkeypatch.setattr(
        progress.log, "console", Console(file=output, width=100, markup=False)
    )
    with progress.progress(10, 2) as advance:
        advance(2)
        advance(10, "[red] 0.5")
    text = output.getvalue()
    assert "10/10" in text
    assert "training" in text
    assert "[red] 0.5" in text
