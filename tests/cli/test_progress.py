"""How far a command is: the bar on a terminal, lines elsewhere, only failures when quiet."""

import io
import re

import pytest

from dsr.cli import progress as module
from dsr.cli.progress import Progress, row_text
from dsr.results.report import Row


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Time that the test moves."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def on_terminal(monkeypatch):
    """Standard error as a terminal; not as a fixture, since pytest sets it anew when the test begins."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    return stream


def test_finished_things_have_a_line_each_with_the_time_left(clock, capsys):
    with Progress("fitting", 12, 2) as progress:
        clock.now += 3
        progress.advance("a.jpg: 1 person", 3.0)
        clock.now += 3
        progress.advance("b.jpg: failed", 3.0, failure="dsr-fit: b.jpg is broken")
    captured = capsys.readouterr()
    first = "[ 3/12] a.jpg: 1 person (3.00 s, 0:27 left)"
    assert captured.out.splitlines() == [first, "[ 4/12] b.jpg: failed (3.00 s, 0:24 left)"]
    assert captured.err == ""


def test_the_last_has_no_time_left(clock, capsys):
    progress = Progress("fitting", 1)
    clock.now += 90_061
    progress.advance("a.jpg: 1 person", 1.0)
    assert capsys.readouterr().out == "[1/1] a.jpg: 1 person (1.00 s)\n"


def test_counts_have_a_line_every_ten_seconds(clock, capsys):
    progress = Progress("training")
    for step in range(1, 26):
        clock.now += 1
        progress.update(step, 100_000, f"epoch {step // 10}")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["[    10/100000] epoch 1, 1 d 3:46:30 left", "[    20/100000] epoch 2, 1 d 3:46:20 left"]


def test_another_count_begins_anew(clock, capsys):
    progress = Progress("measuring", 4)
    clock.now += 60
    progress.update(3, text="one")
    clock.now += 20
    progress.update(1, text="other")
    clock.now += 20
    progress.update(2, text="other")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[3/4] one, 0:20 left" and lines[2] == "[2/4] other, 0:20 left"


def test_quiet_says_only_what_failed(clock, capsys):
    progress = Progress("fitting", 3, quiet=True)
    progress.status("reading")
    progress.line("something")
    clock.now += 60
    progress.update(1)
    progress.advance("a.jpg: 1 person", 1.0)
    progress.advance("b.jpg: failed", 1.0, failure="dsr-fit: b.jpg is broken")
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "dsr-fit: b.jpg is broken\n"


def test_lines_go_where_they_are_sent(clock, capsys):
    import sys

    progress = Progress("measuring", stream=sys.stderr)
    progress.status("reading the tracks")
    progress.line("done")
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "reading the tracks\ndone\n"


@pytest.mark.parametrize("ticking", [True, False])
def test_a_terminal_has_a_bar_and_lines_above_it(monkeypatch, capsys, ticking):
    terminal = on_terminal(monkeypatch)
    with Progress("fitting", 3, ticking=ticking) as progress:
        progress.advance("a.jpg: 1 person", 1.0)
        progress.advance("b.jpg: failed", 1.0, failure="dsr-fit: b.jpg is broken")
        progress.update(3, text="[bold]c.jpg")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "fitting" in shown and "3/3" in shown and "[2/3] b.jpg: failed" in shown
    assert "[bold]c.jpg" in shown and "a.jpg" not in shown
    assert capsys.readouterr().out == ""


def test_a_line_reaches_a_file_beside_the_terminal(monkeypatch, capsys):
    terminal = on_terminal(monkeypatch)
    with Progress("training", 3, ticking=False) as progress:
        progress.line("epoch 0: error 3")
    assert capsys.readouterr().out == "epoch 0: error 3\n" and "epoch 0" not in terminal.getvalue()


def test_what_came_of_a_picture():
    row = Row(input="a.jpg", name="a", status="ok", people=1)
    assert row_text(row) == "a.jpg: 1 person"
    row.people = 2
    assert row_text(row) == "a.jpg: 2 people"
    row.status = "no_person"
    assert row_text(row) == "a.jpg: no_person"
    row.status, row.message = "failed", "a.jpg: no picture"
    assert row_text(row) == "a.jpg: failed: no picture"
