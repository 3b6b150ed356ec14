"""contrib/examples/system.yaml: the workflow that manages nodes, driven over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from greenflow.runtime import Runtime
from greenflow.spec.document import read
from greenflow.store.memory import MemoryStore
from tests.cli.conftest import DEADLINE, Command, Running, Start, get, get_until
from tests.net.loopback import Client

EXAMPLE = Path(__file__).parents[2] / "contrib" / "examples" / "system.yaml"
SYSTEM = EXAMPLE.read_text().replace("port: 8000", "port: 0")
NAMES = {
    "listener",
    "router",
    "nodes_create",
    "nodes_read",
    "nodes_update",
    "nodes_delete",
    "catch",
    "status_400",
    "status_500",
}


class Manager:
    """The HTTP interface of the workflow."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, body: Any = None, raw: str | None = None) -> tuple[int, Any]:
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            text = json.dumps(body) if raw is None else raw
            has_body = method in ("POST", "PATCH")
            headers = {"Content-Type": "application/json"} if has_body else {}
            connection.request(method, "/v1/nodes", text if has_body else None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def names(self) -> set[str]:
        status, specs = self.ask("GET")
        assert status == 200
        assert [spec["id"] for spec in specs] == sorted(spec["id"] for spec in specs)
        return {spec["name"] for spec in specs}


@pytest.fixture
def running(start: Start, tmp_path: Path) -> Running:
    """`greenflow run` of the example."""
    (tmp_path / "system.yaml").write_text(SYSTEM)
    return start("run", "system.yaml")


@pytest.fixture
def manager(running: Running) -> Manager:
    return Manager(running.port())


def snippet(name: str, code: str = "x") -> dict[str, Any]:
    return {"kind": "snippet", "name": name, "code": code}


def test_one_and_many_are_created_read_updated_and_deleted(manager: Manager) -> None:
    status, one = manager.ask("POST", snippet("one"))
    assert status == 200
    assert one == [{**snippet("one"), "id": one[0]["id"], "namespace": "default"}]
    status, many = manager.ask("POST", [snippet("two"), snippet("three")])
    assert (status, [spec["name"] for spec in many]) == (200, ["two", "three"])
    assert manager.names() == NAMES | {"one", "two", "three"}
    status, changed = manager.ask("PATCH", {"id": one[0]["id"], "code": "y"})
    assert (status, changed) == (200, [{**one[0], "code": "y"}])
    status, deleted = manager.ask("DELETE")
    assert status == 200
    assert {spec["name"] for spec in deleted} == NAMES | {"one", "two", "three"}
    assert changed[0] in deleted


def test_a_node_that_serves_is_changed(running: Running) -> None:
    manager = Manager(running.port())
    listener = {
        "kind": "listener",
        "name": "shop",
        "protocol": "http",
        "port": 0,
        "links": {"out": [{"name": "says"}]},
    }
    assert manager.ask("POST", [listener, snippet("says", "closed")])[0] == 200
    port = running.port()
    assert get(port) == (200, "closed")
    assert manager.ask("PATCH", {"name": "says", "code": "open"})[0] == 200
    get_until(port, "open")
    code = 'export default function (args) { return "js " + args.method; }'
    assert manager.ask("PATCH", {"name": "says", "language": "javascript", "code": code})[0] == 200
    get_until(port, "js GET")
    assert manager.ask("PATCH", {"name": "says", "code": "export default ;"})[0] == 400
    assert get(port) == (200, "js GET")


@pytest.mark.parametrize(
    ("method", "body", "raw", "reason"),
    [
        ("POST", {"kind": "snipet"}, None, "did you mean 'snippet'"),
        ("POST", {"kind": "snippet", "cod": 1}, None, "$.cod: unknown field"),
        ("POST", [snippet("a"), snippet("a")], None, "name 'a'"),
        ("POST", snippet("router"), None, "'router'"),
        ("POST", 5, None, "a spec is a map"),
        ("POST", None, '{"kind":', "no JSON"),
        ("POST", None, "", "a spec is a map"),
        ("PATCH", snippet("nobody"), None, "'nobody'"),
        ("PATCH", {"name": "router", "kind": "snippet"}, None, "routes"),
    ],
)
def test_an_invalid_body_is_400_with_the_message(
    manager: Manager, method: str, body: Any, raw: str | None, reason: str
) -> None:
    status, answer = manager.ask(method, body, raw)
    assert status == 400
    assert list(answer) == ["error"]
    assert answer["error"].startswith("invalid argument: ")
    assert answer["error"].count(reason) == 1
    assert manager.names() == NAMES


def test_an_unknown_failure_is_500_without_the_message() -> None:
    store = MemoryStore("memory://")
    specs = [document.data for document in read(SYSTEM, "system.yaml")]
    with store, Runtime(store, specs=specs) as runtime:
        client = Client(("127.0.0.1", bound_port(runtime)))

        def fail(filter: Any) -> Any:
            raise RuntimeError("the password is 1234")

        store.specs.delete = fail  # type: ignore[method-assign]
        answer = client.ask("/v1/nodes", "DELETE")
        client.socket.close()
    assert answer.status == 500
    assert json.loads(answer.body) == {"error": "Internal Server Error"}


def bound_port(runtime: Runtime) -> int:
    version = runtime.table.find("listener").version
    return int(version.node.lease.address[1])  # type: ignore[union-attr]


def test_two_namespaces_on_one_store(start: Start, greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "system.yaml").write_text(SYSTEM)
    database = ["--database", "sqlite:///both.db"]
    managers = {}
    for namespace, scope in (("north", None), ("south", "*")):
        options = [*database, "--namespace", namespace]
        assert greenflow("apply", "-f", "system.yaml", *options).code == 0
        if scope is not None:
            (tmp_path / "greenflow.toml").write_text(f'[syscall]\nnamespace = "{scope}"\n')
        managers[namespace] = Manager(start("run", *options).port())
    north, south = managers["north"], managers["south"]
    assert north.ask("POST", snippet("only"))[1][0]["namespace"] == "north"
    assert {spec["namespace"] for spec in north.ask("GET")[1]} == {"north"}
    status, everything = south.ask("GET")
    assert (status, len(everything)) == (200, 2 * len(NAMES) + 1)
    moved = {**snippet("sent"), "namespace": "north"}
    assert south.ask("POST", moved)[1][0]["namespace"] == "north"
    assert north.names() == NAMES | {"only", "sent"}
    status, deleted = south.ask("DELETE")
    assert (status, len(deleted)) == (200, 2 * len(NAMES) + 2)


def accepts(port: int) -> bool:
    try:
        Client(("127.0.0.1", port)).socket.close()
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    return True


@contextmanager
def idle_clients(port: int, count: int) -> Iterator[list[Client]]:
    clients = [Client(("127.0.0.1", port)) for _ in range(count)]
    yield clients
    for client in clients:
        client.socket.close()


def test_everything_is_deleted_while_requests_are_under_way(running: Running) -> None:
    manager = Manager(running.port())
    waits = [
        {
            "kind": "listener",
            "name": "slow",
            "protocol": "http",
            "port": 0,
            "links": {"out": [{"name": "nap"}]},
        },
        {"kind": "sleep", "name": "nap", "interval": "300ms", "links": {"out": [{"name": "end"}]}},
        snippet("end", "rested"),
    ]
    assert manager.ask("POST", waits)[0] == 200
    slow = running.port()
    with idle_clients(slow, 3) as sleepers, idle_clients(manager.port, 1) as deleters:
        assert [client.ask().status for client in sleepers] == [200] * 3
        for client in sleepers:
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = deleters[0].ask("/v1/nodes", "DELETE")
        assert answer.status == 200
        assert len(json.loads(answer.body)) == len(NAMES) + 3
        for client in sleepers:
            assert client.answer()[::2] == (200, b"rested")
    for port in (slow, manager.port):
        end = monotonic() + DEADLINE
        while accepts(port):
            assert monotonic() < end, "the listener is still there"
    assert running.stop() == 0
