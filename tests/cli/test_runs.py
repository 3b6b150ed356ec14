"""From a failing request to its line, by commands; and what the commands of runs end with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.cli.conftest import Command, Running, Start, get
from tests.cli.test_engines import port_of

FLOW = """
- {kind: listener, name: web, port: 0, host: 127.0.0.1, links: {out: {name: order}}}
- kind: snippet
  name: order
  language: cel
  code: '[int(self.query.n[0]), "password=hunter22"]'
  links: {out: {name: divides}}
- {kind: snippet, name: divides, language: cel, code: '10 / self[0]'}
"""


@pytest.fixture(autouse=True)
def sockets(tmp_path: Path, environment: dict[str, str]) -> None:
    environment["XDG_RUNTIME_DIR"] = str(tmp_path)


@pytest.fixture
def running(start: Start, tmp_path: Path) -> Running:
    (tmp_path / "flow.yaml").write_text(FLOW)
    running = start("run", "flow.yaml")
    running.line("running ")
    return running


def test_three_commands_lead_from_a_failing_request_to_its_line(
    running: Running, greenflow: Command
) -> None:
    port = port_of(running)
    assert get(port, "/?n=0")[0] == 500
    assert get(port, "/?n=5")[0] == 200
    listed = greenflow("runs", "--failed")  # 1
    assert len(listed.rows) == 1
    id = listed.rows[0][0]
    shown = greenflow("show", id).out  # 2
    for line in (
        r"request: +GET /",
        r"error: +SnippetFailed: line 1, column 4: division by zero",
        r"in: +divides \(snippet\)",
        r"at: +flow.yaml:8:3",
        r"line: +1:4",
    ):
        assert re.search(line, shown), shown
    assert "hunter22" not in shown
    again = greenflow("retry", id)  # 3
    assert again.code == 1
    assert "divides at flow.yaml:8:3" in again.err
    assert json.loads(greenflow("show", id, "-o", "json").out)["error"]["code"] == "1:4"


def test_runs_are_chosen(running: Running, greenflow: Command) -> None:
    port = port_of(running)
    for n in (0, 0, 5):
        get(port, f"/?n={n}")
    assert len(greenflow("runs", "--failed", "-o", "json").data) == 2
    assert len(greenflow("runs", "--failed", "--limit", "1", "-o", "json").data) == 1
    assert len(greenflow("runs", "--node", "divides", "--since", "10m", "-o", "json").data) >= 2
    assert greenflow("runs", "--node", "none", "-o", "json").data == []
    wrong = greenflow("runs", "--since", "soon")
    assert wrong.code == 2
    assert "--since" in wrong.err


def test_what_is_not_there(running: Running, greenflow: Command) -> None:
    for arguments, code, told in (
        (("show", "r00000000-1"), 1, "no run"),
        (("retry", "r00000000-1"), 1, "no run"),
        (("show", "7", "--engine", "default"), 2, "no id of a run"),
        (("tap", "none"), 1, "no node"),
    ):
        done = greenflow(*arguments)
        assert (done.code, told in done.err) == (code, True), done.err
    assert running.stop() == 0
    assert greenflow("show", "r00000000-1").code == 4


def test_a_tap_shows_what_passes_and_ends(running: Running, start: Start) -> None:
    port = port_of(running)
    tap = start("tap", "divides", "--total", "1", "--filter", "self[0] == 4", stdout=PIPE)
    while tap.process.poll() is None:  # until it looks, and has seen one
        get(port, "/?n=4")
    assert tap.process.wait(30) == 0
    assert tap.process.stdout is not None
    assert "-> in process" in tap.process.stdout.read().decode()
    tap.process.stdout.close()
