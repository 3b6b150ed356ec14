"""`greenflow` on a MongoDB: specs from one terminal, runtimes in others, a server that is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import mongo
from tests.cli.conftest import Command, Start, get, get_until, service
from tests.ports import free_port


@pytest.fixture
def nobody() -> str:
    """A URL where nothing listens."""
    return f"mongodb://user:CANARY@127.0.0.1:{free_port()}/db?serverSelectionTimeoutMS=100"


@pytest.fixture
def server(hurried: None) -> Iterator[mongo.MongoServer]:
    mongo.require()
    with closing(mongo.MongoServer()) as server:
        yield server


@pytest.mark.parametrize("standalone", [False, True], ids=["replica-set", "standalone"])
def test_what_is_applied_is_served_by_every_runtime(
    greenflow: Command, start: Start, tmp_path: Path, standalone: bool
) -> None:
    database = mongo.url(standalone=standalone)
    file = tmp_path / "ping.yaml"
    file.write_text(service("one"))
    settings = {"GREENFLOW_DATABASE": database}
    assert greenflow("apply", "-f", "ping.yaml", **settings).code == 0
    one, two = (start("run", "--database", database) for _ in range(2))
    ports = one.port(), two.port()
    assert [get(port) for port in ports] == [(200, "one")] * 2
    file.write_text(service("two"))
    assert greenflow("apply", "-f", "ping.yaml", **settings).code == 0
    for port in ports:
        get_until(port, "two")
    assert len(greenflow("get", "--output", "json", **settings).data) == 2
    assert one.stop() == two.stop() == 0


@pytest.mark.parametrize("command", [["run"], ["get"], ["apply", "-f", "ping.yaml"]])
def test_a_server_that_is_away_is_exit_code_4(
    greenflow: Command, tmp_path: Path, nobody: str, command: list[str]
) -> None:
    (tmp_path / "ping.yaml").write_text(service("one"))
    result = greenflow(*command, "--database", nobody)
    assert result.code == 4
    assert result.out == ""
    assert "mongodb://***@127.0.0.1:" in result.err
    assert "refused" in result.err
    assert "CANARY" not in result.err
    assert "Traceback" not in result.err


def test_it_waits_for_a_server_that_is_away_if_told_to(
    greenflow: Command, start: Start, server: mongo.MongoServer, tmp_path: Path
) -> None:
    url = server.url(options="?serverSelectionTimeoutMS=200")
    (tmp_path / "ping.yaml").write_text(service("one"))
    assert greenflow("apply", "-f", "ping.yaml", "--database", url).code == 0
    server.kill()
    running = start("run", "--wait", "--database", url)
    assert "refused" in running.line("waiting for the store")
    server.start()
    assert get(running.port()) == (200, "one")
    assert running.stop() == 0


def test_waiting_ends_at_a_signal(start: Start, nobody: str) -> None:
    running = start("run", "--wait", "--database", nobody)
    running.line("waiting for the store")
    assert running.stop() == 0
    assert "CANARY" not in "".join(running.log)


def test_nobody_waits_for_a_url_that_cannot_work(greenflow: Command) -> None:
    result = greenflow("run", "--wait", "--database", "mongodb://h/d?feed=oplog")
    assert result.code == 4
    assert "allowed are stream, tail, poll" in result.err
