"""Traces: who is traced, what spans say, and what is handed on (BEHAVIOUR 18)."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from greenflow.config import Settings, TracingSettings
from greenflow.engine.tracing import is_parent
from greenflow.runtime import Runtime, exporting
from tests.waiting import until

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"


class Collector:
    """Takes OTLP over HTTP in threads, as a collector that is another program does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(said(group.resource))
                    for scope in group.scope_spans:
                        collector.spans.extend(scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing goes to stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def named(self, name: str) -> Any:
        """The one span of that name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span


def said(of: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {
        each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in of.attributes
    }


@pytest.fixture
def collector() -> Iterator[Collector]:
    with closing(Collector()) as running:
        yield running


Run = Callable[..., Runtime]


@pytest.fixture
def run(collector: Collector) -> Iterator[Run]:
    """Starts a runtime that sends its traces there; they are there when it has stopped."""
    started: list[Runtime] = []

    def start(specs: Any, ratio: float = 0.0) -> Runtime:
        tracing = TracingSettings(to=collector.url, sampled=ratio, service="shop")
        settings = Settings(tracing=tracing)
        runtime = Runtime("memory://", specs=specs, settings=settings, own_thread=True)
        started.append(runtime)
        runtime.start()
        return runtime

    yield start
    for runtime in started:
        runtime.stop()


def ask(runtime: Runtime, name: str = "web", path: str = "/", **headers: str) -> bytes:
    """What a listener answers to one GET."""
    port = int(
        runtime.run(lambda: runtime.table.find(name).version.node.address).rpartition(":")[2]
    )
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{each}: {value}" for each, value in headers.items()]
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


WEB = [
    {"kind": "listener", "name": "web", "port": 0, "links": {"out": {"name": "ways"}}},
    {
        "kind": "router",
        "name": "ways",
        "routes": [
            {"method": "GET", "path": "/orders/:id", "port": "out[0]"},
            {"method": "GET", "path": "/broken", "port": "out[1]"},
        ],
        "links": {"out[0]": {"name": "hello"}, "out[1]": {"name": "broken"}},
    },
    {"kind": "snippet", "name": "hello", "language": "text", "code": "hello"},
    {"kind": "snippet", "name": "broken", "language": "cel", "code": "1 / 0"},
]


def test_a_request_goes_on_with_the_trace_of_its_caller(run: Run, collector: Collector) -> None:
    runtime = run(WEB)
    assert b"200 OK" in ask(runtime, path="/orders/7?token=secret", traceparent=SAMPLED)
    runtime.stop()
    span = collector.named("GET /orders/:id")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)
    attributes = said(span)
    assert attributes["http.route"] == "/orders/:id"
    assert attributes["http.request.method"] == "GET"
    assert attributes["url.path"] == "/orders/7"
    assert attributes["http.response.status_code"] == 200
    assert attributes["greenflow.node"] == "web"
    assert "secret" not in str(span)
    assert collector.resources[0]["service.name"] == "shop"


def test_what_the_caller_does_not_take_down_is_not_traced(run: Run, collector: Collector) -> None:
    runtime = run(WEB, ratio=1.0)
    ask(runtime, path="/orders/7", traceparent=NOT_SAMPLED)
    runtime.stop()
    assert collector.spans == []


@pytest.mark.parametrize(("ratio", "spans"), [(0.0, 0), (1.0, 20)])
def test_without_a_caller_chance_says(
    run: Run, collector: Collector, ratio: float, spans: int
) -> None:
    runtime = run(WEB, ratio)
    for _ in range(10):
        ask(runtime, path="/orders/7")
        ask(runtime, path="/orders/7", traceparent="nonsense")
    runtime.stop()
    assert len(collector.spans) == spans
    assert len({span.trace_id for span in collector.spans}) == spans


def test_a_failure_is_an_error_of_its_span(run: Run, collector: Collector) -> None:
    runtime = run(WEB)
    assert b" 500 " in ask(runtime, path="/broken", traceparent=SAMPLED)
    runtime.stop()
    span = collector.named("GET /broken")
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert said(span)["http.response.status_code"] == 500
    assert said(span)["error.type"]


CALLS = [
    {"kind": "listener", "name": "web", "port": 0, "links": {"out": {"name": "ask"}}},
    {
        "kind": "http",
        "name": "ask",
        "url": "{url}",
        "sends": "body",
        "links": {"out": {"name": "s"}},
    },
    {"kind": "snippet", "name": "s", "language": "cel", "code": "self.body"},
]
ECHO = [
    {"kind": "listener", "name": "echo", "port": 0, "links": {"out": {"name": "header"}}},
    {"kind": "snippet", "name": "header", "language": "cel", "code": "self.header"},
]


def calling(runtime: Runtime) -> Any:
    """A workflow that asks the listener `echo` of another runtime."""
    url = runtime.run(lambda: runtime.table.find("echo").version.node.address)
    return json.loads(json.dumps(CALLS).replace("{url}", url))


def sent(answer: bytes) -> dict[str, list[str]]:
    """The headers that the echo got."""
    headers: dict[str, list[str]] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return headers


def test_a_server_that_is_asked_is_told_of_the_trace(run: Run, collector: Collector) -> None:
    echo = run(ECHO)
    runtime = run(calling(echo))
    state = "vendor=abc"
    headers = sent(ask(runtime, traceparent=SAMPLED, tracestate=state))
    runtime.stop()
    echo.stop()
    node, (first, second) = (
        collector.named("ask"),
        sorted(
            (span for span in collector.spans if span.name == "GET" or span.name == "POST"),
            key=lambda span: span.start_time_unix_nano,
        ),
    )
    assert headers["Traceparent"] == [f"00-{TRACE}-{node.span_id.hex()}-01"]
    assert headers["Tracestate"] == [state]
    assert node.parent_span_id == first.span_id
    assert second.parent_span_id == node.span_id
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert node.kind == node.SPAN_KIND_CLIENT
    attributes = said(node)
    assert attributes["http.response.status_code"] == 200
    assert attributes["server.address"] == "127.0.0.1"


def test_a_server_is_told_what_is_not_taken_down(run: Run, collector: Collector) -> None:
    echo = run(ECHO, ratio=1.0)
    runtime = run(calling(echo))
    assert sent(ask(runtime, traceparent=NOT_SAMPLED))["Traceparent"] == [NOT_SAMPLED]
    (parent,) = sent(ask(runtime))["Traceparent"]
    assert is_parent(parent)
    assert parent.endswith("-00")
    runtime.stop()
    echo.stop()
    assert collector.spans == []


def test_an_event_goes_on_with_the_trace_of_who_published_it(
    run: Run, collector: Collector
) -> None:
    runtime = run(
        [
            {"kind": "listener", "name": "web", "port": 0, "links": {"out": {"name": "publish"}}},
            {"kind": "trigger", "name": "publish", "topic": "orders"},
            {"kind": "trigger", "name": "take", "topic": "orders", "links": {"out": {"name": "x"}}},
            {"kind": "snippet", "name": "x", "language": "json", "code": "1"},
        ]
    )
    ask(runtime, traceparent=SAMPLED)
    ask(runtime, traceparent=NOT_SAMPLED)
    runtime.run(lambda: until(lambda: not runtime.services.processes))
    runtime.stop()
    event, request = collector.named("process orders"), collector.named("GET")
    assert event.trace_id.hex() == TRACE
    assert event.parent_span_id == request.span_id
    assert event.kind == event.SPAN_KIND_CONSUMER
    assert said(event)["messaging.destination.name"] == "orders"


def parent_of_the_worker(_: object) -> str:
    """What a library that takes down traces sees in a worker."""
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x} {context.span_id:016x}"


@pytest.mark.parametrize("isolation", ["greenlet", "thread", "process"])
def test_python_functions_are_in_the_trace(run: Run, collector: Collector, isolation: str) -> None:
    function = f"{__name__}:parent_of_the_worker"
    runtime = run(
        [
            {"kind": "listener", "name": "web", "port": 0, "links": {"out": {"name": "python"}}},
            {"kind": "python", "name": "python", "call": function, "isolation": isolation},
        ]
    )
    seen = ask(runtime, traceparent=SAMPLED).partition(b"\r\n\r\n")[2].decode()
    outside = ask(runtime, traceparent=NOT_SAMPLED).partition(b"\r\n\r\n")[2].decode()
    runtime.stop()
    assert seen == f"{TRACE} {collector.named('python').span_id.hex()}"
    assert outside == f"{'0' * 32} {'0' * 16}"


def test_a_fork_is_a_child_in_the_trace(run: Run, collector: Collector) -> None:
    runtime = run(
        [
            {"kind": "listener", "name": "web", "port": 0, "links": {"out": {"name": "fork"}}},
            {"kind": "fork", "name": "fork", "links": {"out": {"name": "x"}}},
            {"kind": "snippet", "name": "x", "language": "json", "code": "1"},
        ]
    )
    ask(runtime, traceparent=SAMPLED)
    runtime.run(lambda: until(lambda: not runtime.services.processes))
    runtime.stop()
    assert collector.named("fork").parent_span_id == collector.named("GET").span_id


def test_a_collector_that_is_away_holds_nobody(run: Run, collector: Collector) -> None:
    runtime = run(WEB, ratio=1.0)
    collector._server.server_close()
    for _ in range(10):
        assert b"200 OK" in ask(runtime, path="/orders/7")
    runtime.stop()


def test_without_tracing_nothing_is_asked_and_nothing_sent() -> None:
    with (
        Runtime("memory://", specs=ECHO, own_thread=True) as echo,
        Runtime("memory://", specs=calling(echo), own_thread=True) as runtime,
    ):
        headers = sent(ask(runtime, traceparent=SAMPLED))
    assert "Traceparent" not in headers


# -- W3C Trace Context 3.2.2 -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (SAMPLED, True),
        (f"01-{TRACE}-{CALLER}-01-what-comes", True),
        (f"01-{TRACE}-{CALLER}-01", True),
        (f"00-{TRACE}-{CALLER}-01-more", False),
        (f"01-{TRACE}-{CALLER}-01.more", False),
        (f"ff-{TRACE}-{CALLER}-01", False),
        (f"00-{'0' * 32}-{CALLER}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (SAMPLED.upper(), False),
        (SAMPLED + "\n", False),
        (f"00-{TRACE[1:]}-{CALLER}-01", False),
        ("", False),
    ],
)
def test_parents(text: str, valid: bool) -> None:
    assert is_parent(text) is valid


@given(st.text("0123456789abcdef-", max_size=70))
@example(SAMPLED + "\n")
def test_no_text_breaks_the_reader(text: str) -> None:
    if is_parent(text):
        assert int(text[53:55], 16) in range(256)


def test_a_collector_that_is_away_is_told_of_once() -> None:
    sparing, record = exporting._Sparing(), logging.makeLogRecord({"msg": "away: %s"})
    assert [sparing.filter(record) for _ in range(3)] == [True, False, False]
    assert sparing.filter(logging.makeLogRecord({"msg": "another"}))
