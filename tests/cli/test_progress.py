"""What is said to who waits at a terminal, and to nobody else."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from greenflow.cli import main, progress
from greenflow.cli.options import MANNER
from greenflow.cli.progress import Progress
from tests.waiting import until

CLEAR = "\r\x1b[K"


class Terminal:
    """A terminal that somebody looks at."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        os.set_blocking(self.ours, False)
        self.seen = ""

    def shows(self, text: str) -> bool:
        """Whether it showed that by now."""
        while True:
            try:
                self.seen += os.read(self.ours, 4096).decode()
            except BlockingIOError:
                return text in self.seen


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Standard error of this process, of people who do not wait."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "AFTER", 0.0)
    monkeypatch.setattr(progress, "EACH", 0.001)
    with open(terminal.theirs, "w") as stream:
        # Not in sys itself: there pytest has its own.
        monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
        yield terminal
    os.close(terminal.ours)


def test_it_says_what_is_done_and_is_gone_at_the_end(terminal: Terminal) -> None:
    with click.Context(click.Command("apply")), Progress("reading files") as told:
        until(lambda: terminal.shows("reading files 0 s"))
        told.now("storing 5 specs")
        until(lambda: terminal.shows("storing 5 specs"))
        told.end()
        told.end()
    assert terminal.shows("")
    assert terminal.seen.endswith(CLEAR)
    assert terminal.seen.count("\n") == 0


def test_it_is_gone_when_something_fails(terminal: Terminal) -> None:
    def fail() -> None:
        with click.Context(click.Command("apply")), Progress("reading files"):
            until(lambda: terminal.shows("reading files"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert terminal.shows("")
    assert terminal.seen.endswith(CLEAR)


def test_what_is_done_at_once_is_done_without_a_word(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "AFTER", 60.0)
    with click.Context(click.Command("apply")), Progress("reading files"):
        pass
    assert terminal.shows("")
    assert terminal.seen == ""


@pytest.mark.parametrize("why", ["quiet", "dumb", "no terminal", "closed"])
def test_nothing_is_said_where_nobody_wants_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str
) -> None:
    with open(tmp_path / "errors", "w") as file, click.Context(click.Command("apply")) as context:
        if why == "quiet":
            context.meta[MANNER] = "quiet"
        elif why == "dumb":
            monkeypatch.setenv("TERM", "dumb")
        else:
            errors = SimpleNamespace(stderr=file if why == "no terminal" else None)
            monkeypatch.setattr(progress, "sys", errors)
        with Progress("reading files") as told:
            told.now("storing")
            assert told._worker is None
    assert terminal.shows("")
    assert terminal.seen == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lint", "a.yaml"], "looking at files"),
        (["apply", "a.yaml"], "reading files"),
        (["diff", "a.yaml"], "comparing files with the store"),
        (["export", "out"], "reading specs"),
        (["rollback", "1", "--yes"], "reading the history"),
    ],
)
def test_each_command_says_what_it_does(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    told: str,
) -> None:
    """Its first words wait until they are seen."""
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("- {kind: nop, name: a}\n")
    if words[0] in ("export", "rollback"):
        assert main(["apply", "-q", "a.yaml"]) == 0
    begin = Progress.__init__

    def slow(self: Progress, text: str) -> None:
        begin(self, text)
        until(lambda: terminal.shows(text))

    monkeypatch.setattr(Progress, "__init__", slow)
    assert main(words) == 0
    assert told in terminal.seen
    assert terminal.shows("")
    assert terminal.seen.endswith(CLEAR)
