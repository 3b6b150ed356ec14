"""listener: requests as payloads, answers as responses, over real sockets (BEHAVIOUR 8)."""

from __future__ import annotations

import gc
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.engine.process import Process
from greenflow.errors import SpecInvalid
from greenflow.scheme.registry import Scheme
from tests.flows import Flow, flow
from tests.net.loopback import Answer, Client
from tests.waiting import until

LISTENER = """
- {kind: listener, name: http, protocol: http, port: 0, FIELDSlinks: {out: {name: a}LINKS}}
"""


@contextmanager
def served(text: str, links: str = "", fields: str = "") -> Iterator[tuple[Flow, Client]]:
    """A workflow behind a listener, and a client of it. The first node is `a`."""
    listener = LISTENER.replace("LINKS", links).replace("FIELDS", fields and f"{fields}, ")
    with flow(listener + text) as running:
        client = connect(running)
        try:
            yield running, client
        finally:
            client.socket.close()


def connect(running: Flow) -> Client:
    return Client(running.runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]


def snippet(code: str) -> str:
    return f"- {{kind: snippet, name: a, language: yaml, code: {code!r}}}"


ECHO = "- {kind: probe, name: a, answer: heard}"


def test_a_request_is_a_payload() -> None:
    with served(ECHO) as (running, client):
        client.ask("/a%20b?x=1&y=%C3%A9&x=", headers="x-many: 1\r\nX-Many: 2\r\n")
        (payload,) = running.probes.of("a")
        assert payload == {
            "method": "GET",
            "scheme": "http",
            "host": "a",
            "path": "/a%20b",
            "query": {"x": ["1", ""], "y": ["é"]},
            "protocol": "HTTP/1.1",
            "header": {"Host": ["a"], "X-Many": ["1", "2"]},
        }


def test_what_a_request_leaves_is_let_go_without_the_garbage_collector() -> None:
    with served(snippet("pong")) as (_, client):
        client.ask("/")
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                client.ask("/")
            assert sum(type(thing) is Process for thing in gc.get_objects()) <= 1
        finally:
            gc.enable()


def test_a_body_is_decoded_by_its_type() -> None:
    with served(ECHO) as (running, client):
        body = '{"a": [1, 2.5]}'
        headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
        assert client.answer().status == 200
        assert running.probes.of("a")[0]["body"] == {"a": [1, 2.5]}


@pytest.mark.parametrize(
    ("code", "status", "content_type", "body"),
    [
        ("pong", 200, "text/plain; charset=utf-8", b"pong"),
        ("{a: 1}", 200, "application/json; charset=utf-8", b'{"a":1}\n'),
        ("[1, 2]", 200, "application/json; charset=utf-8", b"[1,2]\n"),
        ("null", 200, None, b""),
        ("{status: 201, body: made}", 201, "text/plain; charset=utf-8", b"made"),
        ("{status: 0, body: x}", 200, "text/plain; charset=utf-8", b"x"),
        ("{status: 204}", 204, None, b""),
        ("{body: null}", 200, None, b""),
        (
            "{body: null, header: {Content-Type: application/json}}",
            200,
            "application/json",
            b"null\n",
        ),
        (
            "{status: 200, other: x}",
            200,
            "application/json; charset=utf-8",
            b'{"status":200,"other":"x"}\n',
        ),
        ("{method: GET}", 200, "application/json; charset=utf-8", b'{"method":"GET"}\n'),
        ("{body: hi, header: {content-type: text/html}}", 200, "text/html", b"hi"),
    ],
)
def test_an_answer_is_a_response_or_the_body_of_one(
    code: str, status: int, content_type: str | None, body: bytes
) -> None:
    with served(snippet(code)) as (_, client):
        answer = client.ask()
        assert (answer.status, answer.headers.get("content-type")) == (status, content_type)
        assert answer.body == body


def test_no_answer_is_a_200_without_a_body() -> None:
    with served("- {kind: nop, name: a}") as (_, client):
        answer = client.ask()
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == "0"


def test_headers_that_are_not_the_workflows_are_ignored() -> None:
    code = (
        "{body: x, header: {X-Own: [a, b], set-cookie: c=d, Content-Length: '99', Host: evil, "
        "Transfer-Encoding: chunked, If-None-Match: x, Accept: x, Accept-Ranges: none}}"
    )
    with served(snippet(code.replace("X-Own: [a, b]", "x-own: a"))) as (_, client):
        answer = client.ask()
        assert answer.body == b"x"
        assert answer.headers["x-own"] == "a"
        assert answer.headers["set-cookie"] == "c=d"
        assert answer.headers["accept-ranges"] == "none"
        assert answer.headers["content-length"] == "1"
        assert not {"host", "transfer-encoding", "if-none-match", "accept"} & set(answer.headers)


def test_accept_chooses_the_type_and_vary_says_so() -> None:
    with served(snippet("text")) as (_, client):
        answer = client.ask(headers="Accept: application/json, text/plain;q=0.5\r\n")
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.body == b'"text"\n'
        assert answer.headers["vary"] == "Accept"


def test_head_is_answered_with_the_headers_of_get() -> None:
    with served(snippet("pong")) as (_, client):
        answer = client.ask(method="HEAD")
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "4", b"")


FAILING = "- {kind: probe, name: a, raises: the secret reason, resource: true}"


def test_an_error_without_link_is_a_500_that_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served(FAILING) as (running, client):
        answer = client.ask(headers="X-Payload: in the payload\r\n")
        assert (answer.status, answer.text) == (500, "Internal Server Error")
        assert ("a", "rolled back") in running.probes.seen
    (unhandled,) = [r for r in caplog.records if "unhandled" in r.message]
    assert "invalid argument, because of ValueError: the secret reason" in unhandled.message
    assert "in the payload" not in caplog.text


def test_an_error_goes_to_the_error_link_and_its_answer_is_the_response() -> None:
    text = (
        FAILING + "\n- {kind: snippet, name: e, language: yaml, code: '{status: 418, body: tea}'}"
    )
    with served(text, ", error: {name: e}") as (running, client):
        answer = client.ask()
        assert (answer.status, answer.text) == (418, "tea")
        assert ("a", "rolled back") in running.probes.seen


def test_an_error_link_that_answers_well_commits() -> None:
    text = FAILING + "\n- {kind: snippet, name: e, code: sorry}"
    with served(text, ", error: {name: e}") as (running, client):
        assert client.ask().status == 200
        assert ("a", "committed") in running.probes.seen


def test_an_error_link_that_fails_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    text = FAILING + "\n- {kind: throw, name: e}"
    with served(text, ", error: {name: e}") as (_, client):
        assert client.ask().status == 500
    assert len([r for r in caplog.records if "unhandled" in r.message]) == 1


@pytest.mark.parametrize(
    ("status", "end"),
    [(200, "committed"), (399, "committed"), (400, "rolled back"), (599, "rolled back")],
)
def test_the_status_that_is_sent_decides_whether_the_process_commits(status: int, end: str) -> None:
    text = (
        "- {kind: probe, name: a, resource: true, links: {out: {name: b}}}\n"
        f"- {{kind: snippet, name: b, language: yaml, code: '{{status: {status}}}'}}"
    )
    with served(text) as (running, client):
        assert client.ask().status == status
        assert ("a", end) in running.probes.seen


def test_a_commit_precedes_the_answer_and_a_failed_one_is_a_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served(ECHO) as (running, client):
        node = running.runtime.table.find("a").version.node

        class Transaction:
            def __enter__(self) -> None:
                return None

            def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
                raise OSError("commit failed")

        def handle(ctx: Any, payload: Any) -> str:
            ctx.enter(Transaction())
            return "fine"

        monkeypatch.setattr(node, "handle", handle)
        node.in_ports["in"].receive = node.receiver(handle)
        assert client.ask().status == 500
    assert "commit failed" in caplog.text


@pytest.mark.parametrize(
    "code",
    ["{body: .nan}", "{status: 99}", "{status: 700}", "{status: x}", "{body: x, header: [1]}"],
)
def test_an_answer_that_cannot_be_sent_is_a_500(code: str) -> None:
    # Where it has to be a response; else what is none is a body, see test_envelope.
    text = "- {kind: probe, name: a, answer: ANSWER}"
    answer = {"{body: .nan}": "{body: nan}"}.get(code, code)
    with served(text.replace("ANSWER", answer), fields="answers: response") as (running, client):
        if "nan" in code:
            probe = running.runtime.table.find("a").version.node
            object.__setattr__(probe, "handle", lambda ctx, payload: {"body": float("nan")})
            probe.in_ports["in"].receive = probe.receiver(probe.handle)
        assert client.ask().status == 500
        assert client.ask().status == 500


def broken_json(client: Client) -> None:
    headers = "Content-Type: application/json\r\nContent-Length: 1\r\n"
    client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{{")


def test_a_body_that_cannot_be_decoded_is_400_or_goes_to_error() -> None:
    with served(ECHO) as (running, client):
        broken_json(client)
        assert client.answer().status == 400
        assert running.probes.seen == []
    with served(ECHO + "\n- {kind: probe, name: e, answer: heard}", ", error: {name: e}") as (
        running,
        client,
    ):
        broken_json(client)
        assert client.answer().text == "heard"
        (error,) = running.probes.of("e")
        assert str(error) == "invalid argument"
        assert error.__cause__ is not None


def test_limits_are_the_listeners() -> None:
    text = (
        "- {kind: listener, name: http, port: 0, limits: {body: 3}, links: {out: {name: a}}}\n"
        + ECHO
    )
    with flow(text) as running:
        client = connect(running)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")
        assert client.answer().status == 413
        client.socket.close()
        assert running.probes.seen == []


def test_the_children_of_a_process_do_not_hold_up_its_answer() -> None:
    text = """
- {kind: call, name: a, links: {out: {name: f}, "out[1]": {name: b}}}
- {kind: fork, name: f, links: {out: {name: slow}}}
- {kind: probe, name: slow}
- {kind: probe, name: b, answer: done}
"""
    with served(text) as (running, client):
        running.probes.gates["slow"] = Event()
        running.probes.reached["slow"] = Event()
        assert client.ask().text == "done"
        assert client.ask().text == "done"
        running.probes.reached["slow"].wait()
        assert len(running.runtime.services.processes) == 2
        running.probes.gates["slow"].set()
        until(lambda: not running.runtime.services.processes)


def test_the_process_of_a_client_that_has_left_is_rolled_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    with served("- {kind: probe, name: a, resource: true}") as (running, client):
        running.probes.gates["a"] = Event()
        running.probes.reached["a"] = Event()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        running.probes.reached["a"].wait()
        client.reset()
        until(lambda: ("a", "rolled back") in running.probes.seen)
        until(lambda: not running.runtime.services.processes)
    assert "the client left before its answer" in caplog.text
    assert "unhandled" not in caplog.text


def test_an_edited_listener_keeps_its_socket_and_its_connections() -> None:
    with served(ECHO) as (running, client):
        assert client.ask().status == 200
        before = running.runtime.table.find("http").version.node
        for i in range(5):
            (record,) = running.runtime.operations.update(
                {"name": "http", "annotations": {"edit": str(i)}}
            )
            running.followed(record.revision)
            assert client.ask().status == 200
        after = running.runtime.table.find("http").version.node
        assert after is not before
        assert after.lease.address == connect_address(client)  # type: ignore[union-attr]


def connect_address(client: Client) -> tuple[str, int]:
    host, port = client.socket.getpeername()[:2]
    return str(host), int(port)


def test_two_listeners_of_one_address_are_an_error_of_the_second() -> None:
    with served(ECHO) as (running, client):
        port = connect_address(client)[1]
        second = {"kind": "listener", "name": "second", "port": port}
        (record,) = running.runtime.operations.create(second)
        running.followed(record.revision)
        assert "another listener" in running.reason("second") or str(port) in running.reason(
            "second"
        )
        assert client.ask().status == 200


def test_at_the_end_requests_under_way_are_finished() -> None:
    with served(ECHO) as (running, client):
        running.probes.gates["a"] = Event()
        running.probes.reached["a"] = Event()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        running.probes.reached["a"].wait()
        stopping = gevent.spawn(running.runtime.stop)
        gevent.sleep(0)
        running.probes.gates["a"].set()
        answer = client.answer()
        assert answer.status == 200
        stopping.join()
        assert client.closed()


def test_a_listener_in_use_that_is_removed_delays_no_change() -> None:
    text = ECHO + "\n- {kind: snippet, name: other, code: old}\n"
    with served(text) as (running, client):
        running.probes.gates["a"] = Event()
        running.probes.reached["a"] = Event()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        running.probes.reached["a"].wait()
        running.runtime.operations.delete({"name": "http"})
        (record,) = running.runtime.operations.update({"name": "other", "code": "new"})
        running.followed(record.revision)
        assert running.call("other") == "new"
        with pytest.raises(ConnectionRefusedError):
            Client(connect_address(client))
        running.probes.gates["a"].set()
        assert client.answer().text == "heard"


def test_a_request_that_was_sent_before_the_end_is_answered_by_a_workflow_that_is_whole() -> None:
    with served(ECHO) as (running, client):
        assert client.ask().text == "heard"
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        stopping = gevent.spawn(running.runtime.stop)
        assert client.answer().text == "heard"
        client.socket.close()
        stopping.get()


@pytest.mark.parametrize(
    "fields", [{}, {"port": 70_000}, {"port": 1, "protocol": "gopher"}, {"port": 1, "tsl": {}}]
)
def test_a_faulty_listener_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecInvalid):
        Scheme.installed().decode({"kind": "listener", **fields}, "default")


def test_long_answers_are_compressed_for_those_who_take_it() -> None:
    with served(snippet("x" * 5000)) as (_, client):
        answer = client.ask(headers="Accept-Encoding: gzip\r\n")
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
        assert gzip.decompress(answer.body) == b"x" * 5000
        answer = client.ask()
        assert "content-encoding" not in answer.headers
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
        assert answer.body == b"x" * 5000


@pytest.mark.parametrize("status", [206, 416, 200])
def test_a_part_of_a_body_is_left_alone(status: int) -> None:
    """A range counts bytes; compressed ones would be others (RFC 9110 14.4)."""
    fields = "{}" if status == 206 else "{content-range: bytes 0-4999/9999}"
    code = f"{{status: {status}, body: {'x' * 5000}, header: {fields}}}"
    with served(snippet(code)) as (_, client):
        answer = client.ask(headers="Accept-Encoding: gzip\r\nRange: bytes=0-4999\r\n")
        assert answer.status == status
        assert "content-encoding" not in answer.headers
        assert answer.body == b"x" * 5000


@pytest.mark.parametrize(("etag", "weak"), [('"v1"', 'W/"v1"'), ('W/"v1"', 'W/"v1"')])
def test_a_strong_etag_is_weakened_by_compression(etag: str, weak: str) -> None:
    body = {"body": "x" * 5000, "header": {"ETag": etag}}
    text = f"- {{kind: snippet, name: a, language: json, code: {json.dumps(json.dumps(body))}}}"
    with served(text) as (_, client):
        assert client.ask(headers="Accept-Encoding: gzip\r\n").headers["etag"] == weak
        assert client.ask().headers["etag"] == etag


def test_cookies_are_headers_and_several_stay_several_lines() -> None:
    code = '{"body": self.header.Cookie, "header": {"Set-Cookie": ["a=1; Path=/", "b=2, c"]}}'
    snippet = f"- {{kind: snippet, name: a, language: cel, code: '{code}'}}"
    with served(snippet) as (_, client):
        cookies = "Cookie: a=1; b=2\r\nCookie: c=3\r\n"
        client.send(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cookies}\r\n")
        head, _, body = client.rest().partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if line.startswith(b"Set-Cookie:")]
        assert lines == [b"Set-Cookie: a=1; Path=/", b"Set-Cookie: b=2, c"]
        assert body == b'["a=1; b=2","c=3"]\n'


def test_a_content_encoding_of_the_workflow_is_carried_out() -> None:
    code = "{body: abc, header: {Content-Encoding: gzip}}"
    with served(snippet(code)) as (_, client):
        answer = client.ask()
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer.body) == b"abc"


def post(client: Client, body: bytes, headers: str) -> Answer:
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    client.send(head.encode() + body)
    return client.answer()


def test_a_compressed_body_is_read_and_a_bomb_or_an_unknown_coding_is_refused() -> None:
    text = (
        "- {kind: listener, name: http, port: 0, limits: {body: 1000}, links: {out: {name: a}}}\n"
        + ECHO
    )
    with flow(text) as running:
        client = connect(running)
        coded = "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n"
        assert post(client, gzip.compress(b"abc"), coded).status == 200
        assert running.probes.of("a")[0]["body"] == "abc"
        assert post(client, gzip.compress(b"x" * 1001), coded).status == 413
        assert post(client, b"abc", "Content-Encoding: rot13\r\n").status == 415
        assert post(client, b"no gzip", coded).status == 400
        assert len(running.probes.of("a")) == 1
        client.socket.close()
