"""What a real engine tells Prometheus, read by its own parser."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from greenflow import Runtime
from greenflow.engine.node import Node
from greenflow.errors import Inactive
from greenflow.metrics import exposing
from greenflow.metrics.catalogue import METRICS
from greenflow.nodes.listener import Listener
from tests.admin.asking import ask_raw, engine
from tests.metrics.scraping import Scrape

SERVICE: list[dict[str, Any]] = [
    {
        "kind": "listener",
        "name": "web",
        "port": 0,
        "links": {"out": [{"name": "routes"}]},
    },
    {
        "kind": "router",
        "name": "routes",
        "routes": [
            {"method": "GET", "path": "/users/:id", "port": "out[0]"},
            {"method": "GET", "path": "/broken", "port": "out[1]"},
        ],
        "links": {"out[0]": [{"name": "user"}], "out[1]": [{"name": "broken"}]},
    },
    {"kind": "snippet", "name": "user", "language": "text", "code": "ada"},
    {"kind": "snippet", "name": "broken", "language": "cel", "code": "1 / 0"},
]


def node_of(runtime: Runtime, name: str) -> Node[Any]:
    node = runtime.table.find(name).version.node
    assert node is not None
    return node


def get(runtime: Runtime, path: str, method: str = "GET", body: str = "") -> int:
    """The status of the answer."""
    listener = node_of(runtime, "web")
    assert isinstance(listener, Listener)
    port = int(listener.address.rpartition(":")[2])
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head += f"Connection: close\r\n\r\n{body}"
    return int(ask_raw(port, head.encode()).split()[1])


def test_requests_are_counted_by_route_method_and_status() -> None:
    with engine(SERVICE) as (runtime, ask):
        for number in range(3):
            assert get(runtime, f"/users/{number}?token=canary") == 200
        assert get(runtime, "/broken") == 500
        assert get(runtime, "/nowhere") == 404
        assert get(runtime, "/users/1", "DELETE") == 405
        assert get(runtime, "/users/1", body="{") == 400
        assert get(runtime, "/" + "x" * 100_000) == 414
        answer = ask("GET", "/metrics")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.body.decode()
        told = ask.get("/api/v1/nodes/web")
        assert 0 < told["p50"] <= told["p99"]
    assert "canary" not in text
    scrape = Scrape(text)
    requests = "greenflow_http_requests_total"
    web = {"namespace": "default", "listener": "web"}
    assert scrape.value(requests, **web, route="/users/:id", method="GET", status="2xx") == 3
    assert scrape.value(requests, **web, route="/broken", status="5xx") == 1
    assert scrape.value(requests, **web, route="none", method="DELETE", status="4xx") == 1
    # A 404, a body that is none, and a target that is too long, of which the method is not known.
    assert scrape.value(requests, **web, route="none", method="GET", status="4xx") == 2
    assert scrape.value(requests, **web, route="none", method="other", status="4xx") == 1
    seconds = "greenflow_http_request_seconds"
    assert scrape.value(f"{seconds}_count", route="/users/:id") == 3
    assert scrape.value(f"{seconds}_bucket", route="/users/:id", le="+Inf") == 3
    assert scrape.value("greenflow_http_requests_in_flight", listener="web") == 0
    assert scrape.value("greenflow_node_packets_total", node="user", kind="snippet") == 3
    assert scrape.value("greenflow_node_errors_total", node="broken") == 1
    assert scrape.value("greenflow_node_errors_total", node="user") == 0
    assert (scrape.value("greenflow_node_seconds_count", node="user") or 0) >= 1
    assert scrape.value("greenflow_processes_total", source="web") == 6
    assert scrape.value("greenflow_processes_failed_total", source="web") == 1
    assert scrape.value("greenflow_nodes", state="active") == 4


def test_names_types_and_labels_are_those_that_are_declared() -> None:
    with engine(SERVICE) as (runtime, _):
        assert get(runtime, "/users/1") == 200
        scrape = Scrape(runtime.metrics())
    declared = {metric.name.removesuffix("_total"): metric for metric in METRICS}
    for name, family in scrape.families.items():
        if name.startswith("process_"):
            continue
        metric = declared[name]
        assert family.type == metric.type
        assert family.documentation == metric.help
        for sample in family.samples:
            assert sample.name in metric.exposed
            labels = set(sample.labels) - {"le"}
            assert labels == {"namespace", *metric.labels}
    assert {"process_resident_memory_bytes", "process_open_fds"} <= scrape.names
    # Those of pools, of what blocked the hub and of failed events come with what they count.
    late = ("greenflow_pool_", "greenflow_hub_blocked", "greenflow_broker_redelivered")
    late += ("greenflow_broker_dead",)
    missing = declared.keys() - scrape.families.keys()
    assert all(name.startswith(late) for name in missing), missing


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_are_as_prometheus_wants_them(metric: Any) -> None:
    assert metric.name.startswith("greenflow_")
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert metric.unit or metric.type not in ("histogram", "summary")
    assert metric.help.endswith(".")
    assert not {"path", "id", "client", "request_id"} & set(metric.labels)


def test_counters_go_on_over_versions_and_end_with_their_node() -> None:
    hello = {"kind": "snippet", "name": "hello", "language": "text", "code": "one"}
    with engine([hello]) as (runtime, _):
        id, counted = runtime.table.find("hello").id, 0.0
        for revision, code in enumerate(("two", "three", "four"), 2):
            for _ in range(2):
                runtime.call("hello", None)
            document = {**hello, "id": id, "namespace": "default", "code": code}
            runtime.table.change({id: (document, revision)})
            counted += 2
            value = Scrape(runtime.metrics()).value("greenflow_node_packets_total", node="hello")
            assert value == counted
        assert runtime.call("hello", None) == "four"
        runtime.table.change({id: None})
        scrape = Scrape(runtime.metrics())
        assert scrape.value("greenflow_node_packets_total", node="hello") is None
        assert (scrape.value("greenflow_changes_total") or 0) >= 4


def test_nodes_in_blocks_are_told_with_their_way() -> None:
    block = {
        "kind": "block",
        "name": "prices",
        "specs": [{"kind": "snippet", "name": "check", "language": "cel", "code": "self.x"}],
    }
    with engine([block]) as (runtime, _):
        with pytest.raises(Exception, match="x"):
            runtime.call("prices", {})
        scrape = Scrape(runtime.metrics())
    assert scrape.value("greenflow_node_errors_total", node="prices > check") == 1
    assert scrape.value("greenflow_node_packets_total", node="prices > check") == 1
    assert scrape.value("greenflow_node_packets_total", node="prices", kind="block") == 1


def test_an_inactive_and_a_refused_node() -> None:
    specs = [
        {"kind": "sleep", "interval": 0, "name": "lost", "links": {"out": {"name": "nobody"}}},
        {"kind": "sleep", "interval": 0, "name": "found"},
    ]
    with engine(specs) as (runtime, _):
        id = runtime.table.find("found").id
        for _ in range(2):  # the same version twice is refused once
            spec = {"id": id, "namespace": "default", "kind": "sleep", "name": "found"}
            spec["interval"] = 0
            runtime.table.change({id: ({**spec, "links": {"out": [{"name": "nobody"}]}}, 9)})
        scrape = Scrape(runtime.metrics())
        assert scrape.value("greenflow_nodes", state="inactive") == 1
        assert scrape.value("greenflow_nodes", state="refused") == 1
        refused = scrape.value("greenflow_changes_refused_total")
        assert refused == 1


def test_many_series_come_in_pieces_and_no_more_than_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exposing, "PIECE", 7)
    monkeypatch.setattr("greenflow.metrics.limiting.SeriesLimits.__init__.__defaults__", (50,))
    specs = [{"kind": "nop", "name": f"n{number}"} for number in range(200)]
    with engine(specs) as (runtime, ask):
        for number in range(200):
            runtime.call(f"n{number}", None)
        answer = ask.respond("GET", "/metrics")
        pieces = list(answer.body)
        scrape = Scrape(b"".join(pieces).decode())  # type: ignore[arg-type]
    assert len(pieces) > 30
    family = scrape.families["greenflow_node_packets"]
    assert len(family.samples) == 50
    assert scrape.value("greenflow_node_packets_total", node="other", kind="other") == 151
    assert sum(sample.value for sample in family.samples) == 200


def test_a_registry_of_the_library_takes_a_runtime() -> None:
    runtime = Runtime(specs={"kind": "nop", "name": "hello"}, own_thread=True)
    registry = CollectorRegistry(auto_describe=True)
    registry.register(runtime)
    assert generate_latest(registry) == b""
    with runtime:
        runtime.call("hello", 1)
        scrape = Scrape(generate_latest(registry).decode())
        assert scrape.value("greenflow_node_packets_total", node="hello") == 1
        assert Scrape(runtime.metrics()).names == scrape.names
    assert generate_latest(registry) == b""
    with pytest.raises(Inactive):
        runtime.metrics()
