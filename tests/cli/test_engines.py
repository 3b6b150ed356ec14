"""The commands that ask a running engine, as its operator types them."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import zipfile
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.cli.conftest import Command, Running, Start, get, service

SLEEPER = "- {kind: sleep, name: slow, interval: 1h}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, environment: dict[str, str]) -> Path:
    """Where the sockets of this test's engines are."""
    environment["XDG_RUNTIME_DIR"] = str(tmp_path)
    return tmp_path / "greenflow"


def run(start: Start, tmp_path: Path, extra: str = SLEEPER, *options: str) -> Running:
    (tmp_path / "flow.yaml").write_text(service("pong", extra))
    running = start("run", "flow.yaml", *options)
    running.line("running ")
    return running


def port_of(running: Running) -> int:
    """The port that the log has said."""
    found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", "\n".join(running.log))
    assert found is not None
    return int(found[1])


def test_an_engine_is_found_by_its_socket(
    start: Start, greenflow: Command, tmp_path: Path, folder: Path
) -> None:
    running = run(start, tmp_path)
    (socket,) = folder.iterdir()
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    (engine,) = greenflow("ps", "-o", "json").data
    assert (engine["name"], engine["state"]) == ("default", "ready")
    assert engine["socket"] == str(socket)
    assert greenflow("ps").rows[0][:3] == ["default", str(engine["pid"]), "ready"]
    assert running.stop() == 0
    assert list(folder.iterdir()) == []
    assert greenflow("ps", "-o", "json").data == []


def test_status_shows_nodes_and_one_node(start: Start, greenflow: Command, tmp_path: Path) -> None:
    run(start, tmp_path, "- {kind: call, name: lost, links: {out: [{name: nobody}]}}\n")
    shown = greenflow("status").out.splitlines()
    assert "ready" in shown[0]
    assert "2 active, 1 inactive" in shown[0]
    assert any("lost" in line and "nobody" in line for line in shown)
    (lost,) = greenflow("status", "--state", "inactive", "-o", "json").data["nodes"]
    assert lost["name"] == "lost"
    node = greenflow("status", "web", "-o", "json").data
    assert (node["state"], node["links"]) == ("active", {"out": ["says"]})
    missing = greenflow("status", "none")
    assert (missing.code, "none" in missing.err) == (1, True)


def test_a_source_is_paused_and_resumed(start: Start, greenflow: Command, tmp_path: Path) -> None:
    port = port_of(run(start, tmp_path))
    assert get(port) == (200, "pong")
    assert greenflow("pause", "web").rows == [["web", "listener", "paused"]]
    assert get(port)[0] == 503
    waited = greenflow("wait", "--for", "active=web", "--timeout", "10ms")
    assert (waited.code, "paused" in waited.err) == (1, True)
    assert greenflow("resume", "web").rows == [["web", "listener", "active"]]
    assert greenflow("wait", "--for", "active=web").code == 0
    assert get(port) == (200, "pong")
    refused = greenflow("pause", "slow")
    assert (refused.code, "no source" in refused.err) == (1, True)


def test_a_process_is_seen_and_cancelled(start: Start, greenflow: Command, tmp_path: Path) -> None:
    schedule = "- {kind: schedule, name: soon, interval: 10ms, links: {out: [{name: slow}]}}\n"
    run(start, tmp_path, SLEEPER + schedule)
    found = []
    while not found:
        found = greenflow("processes", "-o", "json").data
    assert found[0]["source"] == "soon"
    number = str(found[0]["id"])
    stacks = greenflow("stacks", "--node", "slow").out
    assert re.search(rf"process {number} in slow: waits for the clock, [\d.]+ s in that", stacks)
    cancelled = greenflow("cancel", number, "999999", "--grace", "1s", "-o", "json")
    assert cancelled.code == 1
    assert cancelled.data["items"] == [{"id": int(number), "outcome": "ended", "left": 0}]
    assert cancelled.data["unknown"] == [999999]
    assert greenflow("cancel").code == 2


def test_without_an_engine_a_command_says_so(greenflow: Command) -> None:
    for command in ("status", "processes", "stacks", "bundle", "logs"):
        result = greenflow(command)
        assert result.code == 4
        assert "no engine of this user runs here" in result.err
    assert greenflow("wait", "--for", "ready", "--timeout", "10ms").code == 1
    assert greenflow("status", "--admin", "127.0.0.1:1").code == 4
    assert greenflow("status", "--admin", "unix:/none").code == 4
    assert greenflow("status", "--admin", "ftp://x").code == 2
    assert greenflow("status", "--admin", "x", "--engine", "y").code == 2
    assert greenflow("wait", "--for", "odd").code == 2


def test_of_several_engines_one_is_chosen(start: Start, greenflow: Command, tmp_path: Path) -> None:
    run(start, tmp_path)
    second = run(start, tmp_path, "", "-n", "other")
    undecided = greenflow("status")
    assert undecided.code == 4
    assert "2 engines run" in undecided.err
    assert greenflow("status", "--engine", "other", "-o", "json").data["namespace"] == "other"
    pid = str(second.process.pid)
    assert greenflow("status", "--engine", pid, "-o", "json").data["namespace"] == "other"
    assert "there are" in greenflow("status", "--engine", "lost").err


def test_an_engine_on_tcp_asks_for_its_token(
    start: Start, greenflow: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["GREENFLOW_ADMIN_TOKEN"] = "hunter2"
    (tmp_path / "flow.yaml").write_text(service("pong"))
    running = start("run", "flow.yaml", "--admin", "127.0.0.1:0")
    address = running.line("admin interface at").partition("admin interface at ")[2].split('"')[0]
    running.line("running ")
    assert greenflow("status", "--admin", address, "-o", "json").data["ready"]
    refused = greenflow("status", "--admin", address, GREENFLOW_ADMIN_TOKEN="wrong")
    assert (refused.code, "token" in refused.err) == (1, True)
    assert greenflow("ps", "-o", "json").data == []
    assert running.stop() == 0
    assert not any("hunter2" in line for line in running.log)


def test_beyond_loopback_it_does_not_start_unguarded(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(service("pong"))
    result = greenflow("run", "flow.yaml", "--admin", "0.0.0.0:0")
    assert result.code == 2
    assert "admin.token and admin.tls_cert" in result.err


def test_the_log_is_followed_to_the_end_of_the_engine(
    start: Start, greenflow: Command, tmp_path: Path
) -> None:
    running = run(start, tmp_path)
    following = start("logs", "-f", "-o", "json", stdout=PIPE)
    while '"running ' not in greenflow("logs", "-o", "json").out:
        pass
    (tmp_path / "flow.yaml").write_text(service("pung", SLEEPER))
    assert following.process.stdout is not None
    line = os.read(following.process.stdout.fileno(), 65536).splitlines()[0]
    assert "applied" in json.loads(line)["message"]
    assert running.stop() == 0
    assert following.wait() == 1
    assert any("the engine ends" in line for line in following.log)


def test_the_bundle_is_its_owners_alone(start: Start, greenflow: Command, tmp_path: Path) -> None:
    run(start, tmp_path)
    name = greenflow("bundle").out.strip()
    path = tmp_path / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        assert {"engine.json", "status.json", "stacks.json"} <= set(archive.namelist())
    assert greenflow("bundle", name).code == 1


def test_watching_shows_it_again_until_ctrl_c(start: Start, tmp_path: Path) -> None:
    run(start, tmp_path)
    watching = start("ps", "--watch", "0.1", stdout=PIPE)
    assert watching.process.stdout is not None
    seen = b""
    while seen.count(b"NAME") < 2:
        seen += os.read(watching.process.stdout.fileno(), 65536)
    assert watching.stop(signal.SIGINT) == 130


def test_an_engine_without_one_cannot_be_asked(
    start: Start, greenflow: Command, tmp_path: Path, folder: Path
) -> None:
    running = run(start, tmp_path, "", "--admin", "none")
    assert not folder.exists()
    assert greenflow("status").code == 4
    assert running.stop() == 0


def test_another_folder_in_its_place_is_said_and_it_runs_on(
    start: Start, tmp_path: Path, folder: Path
) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    (tmp_path / "flow.yaml").write_text(service("pong"))
    running = start("run", "flow.yaml")
    assert "other users may enter" in running.line("runs without its admin interface")
    assert running.stop() == 0


def test_it_is_not_ready_before_it_stops_to_listen(
    start: Start, greenflow: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["GREENFLOW_ADMIN_DELAY"] = "1h"
    running = run(start, tmp_path)
    port = port_of(running)
    running.process.send_signal(signal.SIGTERM)
    running.line("stopping")
    status = greenflow("status", "-o", "json").data
    assert (status["ready"], status["missing"]) == (False, ["the engine has been told to end"])
    assert get(port) == (200, "pong")
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() != 0


def test_top_shows_the_busiest_first(start: Start, greenflow: Command, tmp_path: Path) -> None:
    often = "- {kind: schedule, name: often, interval: 10ms, links: {out: [{name: says}]}}\n"
    run(start, tmp_path, often)
    result = greenflow("top", "--times", "2", "--interval", "0.2")
    assert result.code == 0
    looks = [json.loads(line) for line in result.out.splitlines()]
    assert len(looks) == 2
    busiest = looks[1]["nodes"][0]
    assert busiest["name"] in ("often", "says")
    assert busiest["rate"] > 0
    assert {node["name"] for node in looks[1]["nodes"]} == {"often", "says", "web"}


def test_a_node_of_a_running_engine_is_called(
    start: Start, greenflow: Command, tmp_path: Path
) -> None:
    bad = "- {kind: snippet, name: bad, language: cel, code: self.lost}\n"
    run(start, tmp_path, SLEEPER + bad)
    assert greenflow("call", "says", "--engine", "default").data == "pong"
    failed = greenflow("call", "bad", "{}", "--engine", "default")
    assert (failed.code, "lost" in failed.err, "flow.yaml:4:3" in failed.err) == (1, True, True)
    late = greenflow("call", "slow", "--engine", "default", "--timeout", "10ms")
    assert (late.code, "did not answer" in late.err) == (1, True)
    assert greenflow("call", "none", "--engine", "default").code == 1
    assert greenflow("call", "says", "--engine", "lost").code == 4
    assert greenflow("call", "says", "flow.yaml", "--engine", "default").code == 2
