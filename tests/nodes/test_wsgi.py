"""wsgi: old applications behind a router, equal to what their own test clients say."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from greenflow.errors import InvalidArgument, SpecInvalid
from greenflow.nodes.wsgi import same
from greenflow.scheme.registry import Scheme
from tests.flows import Flow, flow
from tests.net.loopback import Client
from tests.nodes import old
from tests.waiting import until

# What the servers of the two sides may say differently.
SERVERS_OWN = {"date", "server", "connection", "transfer-encoding"}

FLOW = """
- {kind: listener, name: http, port: 0, links: {out: {name: router}}}
- kind: router
  name: router
  routes: [ROUTES]
  links: {"out[0]": {name: step}}
- {kind: snippet, name: step, language: LANGUAGE, code: 'CODE', links: {out: {name: old}}}
- {kind: wsgi, name: old, app: "tests.nodes.old:APP"}
"""

# Each adds nothing that an application could see, the second but a header.
STEPS = {
    "cel": "self",
    "javascript": 'export default (r) => ({...r, header: {...r.header, "X-Step": ["js"]}})',
}

METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE")


class Case(NamedTuple):
    method: str
    path: str
    headers: dict[str, str] = {}
    body: bytes = b""


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=XyZ"}
UPLOAD = (
    b'--XyZ\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--XyZ\r\nContent-Disposition: form-data; name="f"; filename="n.bin"\r\n'
    b"Content-Type: application/x-thing\r\n\r\n" + bytes(range(256)) + b"\r\n--XyZ--\r\n"
)

CASES = [
    Case("GET", "/see/a"),
    Case("HEAD", "/see/a"),
    Case("GET", "/see/a%20b/%C3%A9%2Fc?x=1&y=%C3%A9&x=&flag&z=a+b"),
    Case("GET", "/see/a", {"Cookie": "a=1; b=2", "X-Mine": "one", "Accept": "text/html"}),
    Case("POST", "/see/form", FORM, b"b=2&a=1&b=%C3%A9+x&c"),
    Case("POST", "/see/json", JSON, b' {"b" : 1.0, "a":[1e2,true, "\\u00e9"] }\n'),
    Case("POST", "/see/large", {"Content-Type": "application/octet-stream"}, old.LARGE),
    Case("PUT", "/see/text", {"Content-Type": "text/plain; charset=latin-1"}, b"\xe9t\xe9"),
    Case("PUT", "/see/nothing"),
    Case("POST", "/upload", MULTIPART, UPLOAD),
    Case("GET", "/login"),
    Case("GET", "/stream?of=n"),
    Case("HEAD", "/stream?of=n"),
    Case("GET", "/large"),
    Case("HEAD", "/large"),
    Case("GET", "/large", {"Accept-Encoding": "gzip, br"}),
    Case("GET", "/file"),
    Case("GET", "/empty"),
    Case("GET", "/missing"),
    Case("DELETE", "/login"),
    Case("OPTIONS", "/see/a"),
]


class Got(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def comparable(status: int, headers: Any, body: bytes) -> Got:
    # Django says that a 204 has 0 bytes, which RFC 9110 8.6 forbids: no server may pass it on.
    unwanted = SERVERS_OWN | ({"content-length"} if status == 204 else set())
    kept = ((name.lower(), value) for name, value in headers if name.lower() not in unwanted)
    return Got(status, sorted(kept), body)


@contextmanager
def behind(app: str, step: str = "cel") -> Iterator[Flow]:
    routes = ", ".join(f'{{path: "/*", port: "out[0]", method: {name}}}' for name in METHODS)
    text = FLOW.replace("APP", app).replace("LANGUAGE", step).replace("ROUTES", routes)
    with flow(text.replace("CODE", STEPS[step])) as running:
        yield running


class Answer(io.BytesIO):
    """What a socket is to http.client."""

    def makefile(self, mode: str) -> Answer:
        return self


def fetch(running: Flow, case: Case) -> Got:
    """The answer of the listener."""
    client = Client(running.runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
    try:
        headers = {"Host": "a", "Connection": "close", **case.headers}
        if case.body:
            headers["Content-Length"] = str(len(case.body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        client.send(f"{case.method} {case.path} HTTP/1.1\r\n{lines}\r\n".encode() + case.body)
        received = bytearray()
        while piece := client.socket.recv(65536):
            received += piece
    finally:
        client.socket.close()
    response = http.client.HTTPResponse(Answer(bytes(received)), method=case.method)  # type: ignore[arg-type]
    response.begin()
    return comparable(response.status, response.getheaders(), response.read())


@pytest.fixture(scope="module")
def django_client() -> Any:
    old.django_application()
    from django.test import Client as DjangoClient

    return DjangoClient(raise_request_exception=False)


def by_flask(case: Case, added: dict[str, str]) -> Got:
    client = old.flask_app.test_client(use_cookies=False)
    answer = client.open(
        case.path,
        base_url="http://a/",
        method=case.method,
        headers={**case.headers, **added},
        data=case.body,
    )
    return comparable(answer.status_code, answer.headers.items(), answer.get_data())


def by_django(client: Any, case: Case, added: dict[str, str]) -> Got:
    headers = {**case.headers, **added}
    kind = headers.pop("Content-Type", "")
    answer = client.generic(
        case.method, case.path, case.body, content_type=kind, headers={**headers, "Host": "a"}
    )
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    cookies = [("Set-Cookie", morsel.OutputString()) for morsel in answer.cookies.values()]
    client.cookies.clear()
    return comparable(answer.status_code, [*answer.items(), *cookies], body)


@pytest.mark.parametrize("step", STEPS)
def test_flask_answers_as_its_test_client_says(step: str) -> None:
    added = {"X-Step": "js"} if step == "javascript" else {}
    with behind("flask_app", step) as running:
        for case in CASES:
            assert fetch(running, case) == by_flask(case, added), case[:3]


@pytest.mark.parametrize("step", STEPS)
def test_django_answers_as_its_test_client_says(step: str, django_client: Any) -> None:
    added = {"X-Step": "js"} if step == "javascript" else {}
    with behind("django_application()", step) as running:
        for case in CASES:
            expected = by_django(django_client, case, added)
            assert fetch(running, case) == expected, case[:3]


def test_an_error_that_the_framework_takes_is_its_answer(django_client: Any) -> None:
    for app in ("flask_app", "django_application()"):
        with behind(app) as running:
            assert fetch(running, Case("GET", "/broken")).status == 500


def test_a_conditional_request_is_answered_304() -> None:
    with behind("flask_app") as running:
        etag = dict(fetch(running, Case("GET", "/large")).headers)["etag"]
        case = Case("GET", "/large", {"If-None-Match": etag})
        assert fetch(running, case) == by_flask(case, {})
        assert fetch(running, case)[::2] == (304, b"")
        part = Case("GET", "/large", {"Range": "bytes=1-3"})
        assert fetch(running, part) == by_flask(part, {})
        assert fetch(running, part).body == b"\1\2\3"


@pytest.mark.parametrize("case", [case for case in CASES if case.path.startswith("/see")])
def test_the_validator_finds_nothing(case: Case) -> None:
    with behind("bare") as running:
        got = fetch(running, case)
        assert got.status == 200
        if case.method != "HEAD":
            assert json.loads(got.body)["body"].encode("latin-1") == case.body


def ask(running: Flow, payload: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = running.call("old", payload)
    seen: dict[str, Any] = json.loads(answer["body"])
    return seen


NODE = '- {kind: wsgi, name: old, app: "tests.nodes.old:bare"MORE}'


def test_the_environ_is_made_of_the_payload() -> None:
    with flow(NODE.replace("MORE", ", script_name: /shop")) as running:
        seen = ask(
            running,
            {
                "method": "POST",
                "path": "/shop/é/%20",
                "host": "b:81",
                "query": {"x": ["1", "é"]},
                "header": {"content-type": "application/json", "X-A": ["1", "2"], "X_B": "no"},
                "body": {"a": 1},
            },
        )
        assert seen["body"] == '{"a":1}\n'
        assert seen["environ"] == {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "/shop",
            "PATH_INFO": "/\xe9/ ",
            "QUERY_STRING": "x=1&x=%C3%A9",
            "CONTENT_TYPE": "application/json",
            "HTTP_HOST": "b:81",
            "HTTP_X_A": "1, 2",
        }
        assert ask(running, {"path": "/shop"})["environ"]["PATH_INFO"] == ""
        assert ask(running, {"path": "/shopping"})["environ"]["PATH_INFO"] == "/shopping"


def test_a_changed_body_is_written_anew() -> None:
    code = "export default (r) => ({...r, body: {...r.body, n: true}})"
    with behind("bare", "javascript") as running:
        (spec,) = running.runtime.operations.read({"name": "step"})
        running.runtime.operations.update({"name": "step", "code": code})
        before = spec.revision
        until(lambda: running.runtime.table.find("step").revision != before)
        got = fetch(running, Case("POST", "/see/a", JSON, b'{ "n": 1 }'))
        assert json.loads(got.body)["body"] == '{"n":true}\n'


def test_what_is_no_request_is_an_error() -> None:
    with flow(NODE.replace("MORE", "")) as running:
        for payload in (None, "x", {"method": "GET"}):
            with pytest.raises(InvalidArgument) as refused:
                running.call("old", payload)
            assert "takes an HTTP request" in str(refused.value.__cause__)


def test_a_streamed_body_is_read_as_it_comes() -> None:
    text = """
- {kind: listener, name: http, port: 0, stream: true, links: {out: {name: old}}}
- {kind: wsgi, name: old, app: "tests.nodes.old:sized"}
"""
    with flow(text) as running:
        got = fetch(running, Case("POST", "/", {}, b"one\ntwo\n" * 10_000))
        assert got.body == b"ONE\nTWO\n" * 10_000


def test_a_client_that_leaves_closes_the_answer() -> None:
    old.endless.closed = 0
    with behind("endless") as running:
        client = Client(running.runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.socket.recv(1000)
        client.socket.close()
        until(lambda: old.endless.closed == 1)
        until(lambda: not running.runtime.services.processes)


def test_an_answer_that_fails_late_is_broken_off() -> None:
    broken_off = (http.client.IncompleteRead, ConnectionResetError)
    with behind("fails_late") as running, pytest.raises(broken_off):
        fetch(running, Case("GET", "/"))


@pytest.mark.parametrize("app", ["nothing", "a:", "a:b(1)", "a b:c", ":app"])
def test_an_app_that_is_no_name_is_a_fault(app: str) -> None:
    with pytest.raises(SpecInvalid) as invalid:
        Scheme.installed().decode({"kind": "wsgi", "app": app}, "default")
    assert "$.app" in str(invalid.value)


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("no_such_module:app", "No module named"),
        ("tests.nodes.old:nothing", "no attribute 'nothing'"),
        ("tests.nodes.old:no_application", "not callable"),
    ],
)
def test_an_app_that_cannot_be_imported_says_why(app: str, reason: str) -> None:
    from greenflow.runtime import Runtime

    with Runtime("memory://", specs=[{"kind": "wsgi", "name": "old", "app": app}]) as runtime:
        (status,) = runtime.status()
        assert reason in status["reason"]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        ([0], [False], False),
        ({"a": [1, {"b": None}]}, {"a": [1.0, {"b": None}]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1], [1, 2], False),
        (b"a", "a", False),
    ],
)
def test_values_are_compared_as_json_has_them(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
