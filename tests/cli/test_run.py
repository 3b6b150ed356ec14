"""`greenflow run`: files that are followed, a store that others write, and signals."""

from __future__ import annotations

import http.client
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from click.testing import CliRunner

from greenflow.cli import run
from tests import programs
from tests.cli.conftest import DEADLINE, Command, Running, Start, get, get_until, service


def test_it_serves_a_file_and_ends_with_0_at_sigterm(start: Start, tmp_path: Path) -> None:
    (tmp_path / "ping.yaml").write_text(service("pong"))
    running = start("run", "ping.yaml")
    assert get(running.port()) == (200, "pong")
    assert "running 2 specs of ping.yaml" in running.line("running")
    assert running.stop() == 0
    for line in running.log:
        assert json.loads(line)["namespace"] == "default"


def test_it_may_open_as_many_files_as_the_hard_limit_allows(start: Start, tmp_path: Path) -> None:
    (tmp_path / "ping.yaml").write_text(service("pong"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        running = start("run", "ping.yaml")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    running.port()
    assert resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    assert running.stop() == 0


def test_saving_changes_what_is_served(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "ping.yaml"
    file.write_text(service("one"))
    running = start("start", "ping.yaml")
    port = running.port()
    assert get(port) == (200, "one")
    file.write_text(service("two"))
    get_until(port, "two")
    assert "0 created, 1 changed, 0 deleted" in running.line("applied the files")
    (tmp_path / "ping.new").write_text(service("three", "- {kind: nop, name: extra}\n"))
    (tmp_path / "ping.new").rename(file)
    get_until(port, "three")
    assert "1 created, 1 changed, 0 deleted" in running.line("applied the files")
    file.write_text(service("three"))
    assert "0 created, 0 changed, 1 deleted" in running.line("applied the files")
    assert get(port) == (200, "three")
    assert running.stop(signal.SIGINT) == 0


def test_a_faulty_save_is_logged_with_its_place_and_changes_nothing(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "ping.yaml"
    file.write_text(service("one"))
    running = start("run", "ping.yaml")
    port = running.port()
    file.write_text(service("two", "- {kind: nope}\n"))
    assert "ping.yaml:3:4: $.kind: " in running.line("ping.yaml:")
    running.line("nothing was changed")
    assert get(port) == (200, "one")
    file.write_text("- {")
    assert "ping.yaml:2:1: " in running.line("ping.yaml:")
    running.line("nothing was changed")
    file.unlink()
    running.line("ping.yaml: no such file or folder")
    assert get(port) == (200, "one")
    file.write_text(service("three"))
    get_until(port, "three")
    assert running.stop() == 0


def test_a_folder_is_followed(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    listener, says = service("one").splitlines()
    (folder / "web.yaml").write_text(listener)
    (folder / "says.yaml").write_text(says)
    running = start("run", "specs")
    port = running.port()
    assert get(port) == (200, "one")
    (folder / "says.yaml").unlink()
    running.line("1 deleted")
    (folder / "other.json").write_text(
        '{"kind": "snippet", "name": "says", "language": "text", "code": "two"}'
    )
    running.line("1 created")
    assert running.port() > 0
    assert running.stop() == 0


def test_faulty_files_end_it_with_3_before_anything_runs(
    greenflow: Command, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text(service("one", "- {kind: nope}\n- {kind: snippet, x: 1}\n"))
    result = greenflow("run", "bad.yaml")
    assert (result.code, result.out) == (3, "")
    places = [line.split(": ")[:2] for line in result.err.splitlines()]
    assert ["bad.yaml:3:4", "$.kind"] in places
    assert ["bad.yaml:4:19", "$.x"] in places
    assert greenflow("run", "missing.yaml").code == 2


def test_specs_may_come_from_standard_input(start: Start) -> None:
    running = start("run", "-", stdin=subprocess.PIPE)
    assert running.process.stdin is not None
    running.process.stdin.write(service("piped").encode())
    running.process.stdin.close()
    assert get(running.port()) == (200, "piped")
    assert running.stop() == 0


def test_specs_of_other_namespaces_are_not_run(start: Start, tmp_path: Path) -> None:
    (tmp_path / "ping.yaml").write_text(
        service("one", "- {kind: nop, name: x, namespace: other}\n")
    )
    running = start("run", "ping.yaml")
    assert "are not run: other" in running.line("other namespaces")
    assert "running 2 specs" in running.line("running")
    assert running.stop() == 0


def test_an_inactive_spec_is_one_line_that_says_why(start: Start, tmp_path: Path) -> None:
    (tmp_path / "ping.yaml").write_text(service("one").replace("name: says,", "name: silent,"))
    running = start("run", "ping.yaml", "--wait-for-sources")
    entry = json.loads(running.line("no node 'says'"))
    assert (entry["level"], entry["node"]) == ("warning", "web")
    assert "1 of them are not active" in running.line("running 2 specs")
    assert running.stop() == 0


def test_apply_in_another_terminal_changes_what_is_served(start: Start, greenflow: Command) -> None:
    greenflow("apply", "-f", "-", stdin=service("one"))
    running = start("run")
    port = running.port()
    assert get(port) == (200, "one")
    greenflow("apply", "-f", "-", stdin=service("two"))
    get_until(port, "two")
    greenflow("apply", "-f", "-", "-n", "other", stdin=service("three"))
    assert greenflow("delete", "says", "-n", "other").code == 0
    assert get(port) == (200, "two")
    greenflow("delete", "web", "says")
    assert running.stop() == 0


def slow(seconds: float) -> str:
    return (
        "- {kind: listener, name: web, protocol: http, port: 0, links: {out: [{name: wait}]}}\n"
        f"- {{kind: sleep, name: wait, interval: {seconds}, links: {{out: [{{name: says}}]}}}}\n"
        "- {kind: snippet, name: says, language: text, code: late}\n"
    )


@contextmanager
def under_way(running: Running) -> Iterator[http.client.HTTPConnection]:
    """A connection with a request that the command has read and not answered."""
    port = running.port()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    connection.request("GET", "/")
    end = monotonic() + DEADLINE
    while not is_read(running.process.pid, port, connection.sock.getsockname()[1]):
        assert monotonic() < end
    try:
        yield connection
    finally:
        connection.close()


def is_read(pid: int, port: int, client: int) -> bool:
    """Whether the process has taken all bytes that came on a connection."""
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, here, there, _, queues, *rest = line.split()
        if (here[-4:], there[-4:]) == (f"{port:04X}", f"{client:04X}"):
            accepted = rest[4] != "0"
            return accepted and queues.endswith(":00000000")
    return False


def test_what_is_under_way_is_answered_before_the_end(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(slow(1))
    running = start("run", "slow.yaml")
    with under_way(running) as connection:
        assert running.stop() == 0
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"late")


def test_the_grace_limits_the_drain(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(slow(3600))
    running = start("run", "slow.yaml", "--grace", "100ms")
    with under_way(running) as connection:
        assert running.stop() == 0
        try:
            status = connection.getresponse().status
        except (http.client.HTTPException, OSError):
            status = 0  # broken off
        assert status == 0 or status >= 500


def test_a_second_signal_ends_at_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(slow(3600))
    running = start("run", "slow.yaml", "--grace", "1h")
    with under_way(running):
        running.process.send_signal(signal.SIGTERM)
        running.line("stopping")
        assert running.stop() == -signal.SIGTERM


def test_a_signal_while_it_starts_is_not_lost(start: Start, tmp_path: Path) -> None:
    (tmp_path / "many.yaml").write_text(
        "".join(f"- {{kind: nop, name: n{number}}}\n" for number in range(3000))
    )
    running = start("run", "many.yaml", "--log-level", "debug")
    handled = Path(f"/proc/{running.process.pid}/status")
    bit = 1 << (signal.SIGTERM - 1)
    while not int(handled.read_text().split("SigCgt:")[1].split()[0], 16) & bit:
        assert running.process.poll() is None
    assert running.stop() == 0


def test_on_a_terminal_the_log_is_coloured_text(
    tmp_path: Path, environment: dict[str, str], templates: None
) -> None:
    (tmp_path / "ping.yaml").write_text(service("pong"))
    ours, theirs = pty.openpty()
    process = programs.Process(
        ("run", "ping.yaml"),
        cwd=tmp_path,
        env={name: value for name, value in environment.items() if name != "NO_COLOR"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    text = b""
    try:
        while b"running 2 specs" not in text:
            assert select.select([ours], [], [], 60)[0]
            text += os.read(ours, 65536)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"\x1b[32mINFO" in text
    assert b"namespace=default" in text


def test_modules_beside_the_files_are_found_after_installed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", list(before))
    run.find_modules(("-", str(tmp_path / "a.yaml"), str(tmp_path), str(tmp_path / "b" / "c.yaml")))
    assert sys.path == [*before, str(tmp_path), str(tmp_path / "b")]


@pytest.mark.parametrize(
    ("options", "seconds"),
    [([], 0.1), (["--hub-guard", "50ms"], 0.05), (["--hub-guard=1s", "--no-hub-guard"], 0.0)],
)
def test_the_hub_guard_may_be_set_and_left_out(
    options: list[str], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    monkeypatch.setattr("greenflow.log.configure", lambda *_, **__: None)
    monkeypatch.setattr(run, "stop_at_signals", lambda *_: None)
    monkeypatch.setattr(run, "_allow_many_files", lambda: None)
    monkeypatch.setattr(run, "_run_store", lambda settings, *_: given.append(settings.hub_guard))
    done = CliRunner().invoke(run.command, options)
    assert (done.exit_code, given) == (0, [seconds]), done.output


LOST = "- {kind: listener, name: web, port: 0, links: {out: [{name: gone}]}}\n"


@pytest.mark.parametrize("stored", [False, True])
def test_without_any_source_that_starts_it_ends_with_1(
    greenflow: Command, tmp_path: Path, stored: bool
) -> None:
    (tmp_path / "a.yaml").write_text(LOST + "- {kind: nop, name: idle}\n")
    if stored:
        assert greenflow("apply", "a.yaml").code == 5
    result = greenflow("run", *([] if stored else ["a.yaml"]))
    assert result.code == 1
    last = json.loads(result.err.splitlines()[-1])
    assert last["level"] == "error"
    assert last["message"] == (
        "no source could start: web: links.out: no node 'gone' in namespace 'default'"
        " (--wait-for-sources runs on)"
    )


def test_with_one_source_that_starts_or_none_at_all_it_runs(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("one", LOST.replace("web", "lost")))
    (tmp_path / "b.yaml").write_text("{kind: nop, name: idle}")
    running = start("run", "a.yaml")
    assert get(running.port()) == (200, "one")
    assert running.stop() == 0
    running = start("run", "b.yaml", "--strict")
    running.line("running 1 specs")
    assert running.stop() == 0


def test_it_may_wait_for_sources(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(LOST)
    running = start("run", "a.yaml", "--wait-for-sources")
    running.line("running 1 specs")
    (tmp_path / "a.yaml").write_text(LOST + "- {kind: snippet, name: gone, code: back}\n")
    assert get(running.port()) == (200, "back")
    assert running.stop() == 0


def test_strict_ends_with_1_when_anything_is_inactive(greenflow: Command, tmp_path: Path) -> None:
    lost = "- {kind: fork, name: lost, links: {out: [{name: gone}]}}\n"
    (tmp_path / "a.yaml").write_text(service("one", lost))
    result = greenflow("run", "a.yaml", "--strict")
    assert result.code == 1
    assert "with --strict all has to be active: lost: links.out: no node 'gone'" in result.err


def test_what_hardly_does_what_it_says_is_in_the_log(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("'{{ .path }}'"))
    running = start("run", "a.yaml")
    entry = json.loads(running.line("is taken as text"))
    assert entry["level"] == "warning"
    assert entry["message"].startswith("a.yaml:2:47: says: $.code: {{ .path }} is taken as text")
    assert running.stop() == 0


def test_a_refused_change_says_that_a_restart_would_not_bring_the_old_version_back(
    start: Start, greenflow: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(service("one"))
    assert greenflow("apply", "a.yaml").code == 0
    running = start("run")
    port = running.port()
    (tmp_path / "a.yaml").write_text(service("one").replace("[{name: says}]", "[{name: sais}]"))
    result = greenflow("apply", "a.yaml")
    assert result.code == 5
    assert result.err.splitlines()[0] == "1 of 2 will not run:"
    assert "did you mean 'says'?; an engine that runs the old version runs it on" in result.err
    assert result.err.endswith("and a restart would not bring it back\n")
    line = json.loads(running.line("the old version runs on"))["message"]
    assert "web: a change was refused and the old version runs on, though a restart would" in line
    assert get(port) == (200, "one")
    result = greenflow("get", "--output", "wide")
    assert [row[1:3] + row[5:] for row in result.rows] == [
        ["says", "snippet", "active", "-"],
        ["web", "listener", "inactive", "links.out: no node 'sais' in namespace 'default'"],
    ]
    assert "a restart would not bring it back" in result.err
    assert running.stop() == 0
    assert greenflow("run").code == 1


@pytest.mark.parametrize("made", ["apply", "copy", "nothing"])
def test_a_database_that_is_deleted_or_replaced_is_not_followed(
    start: Start, greenflow: Command, tmp_path: Path, made: str
) -> None:
    (tmp_path / "a.yaml").write_text(service("one"))
    assert greenflow("apply", "a.yaml").code == 0
    running = start("run")
    port = running.port()
    assert get(port) == (200, "one")
    for file in tmp_path.glob("greenflow.db*"):
        file.unlink()
    new = {"apply": "greenflow.db", "copy": "other.db"}.get(made)
    if new is not None:
        spec = "{kind: nop, name: only}"
        assert greenflow("apply", "-", "--database", f"sqlite:///{new}", stdin=spec).code == 0
    if made == "copy":
        (tmp_path / "other.db").rename(tmp_path / "greenflow.db")
    line = running.line("the store is away, workflows run on")
    assert "put it back" in line or "put the old one back" in line
    assert get(port) == (200, "one")
    assert running.stop() == 0
    assert "inactive" not in "\n".join(running.log)
