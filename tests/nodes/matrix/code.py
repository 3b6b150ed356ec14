"""Kinds that run code: of a spec, of Python modules, of the runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gevent.event import Event

from tests.nodes.matrix import ANY, Case, Exit, Missing, Row, Sent, call

entered, leave = Event(), Event()


def double(number: int) -> int:
    """For a `python` node; 0 takes long."""
    if not number:
        entered.set()
        leave.wait()
    return number * 2


def application(environ: Any, start_response: Any) -> list[bytes]:
    """For a `wsgi` node."""
    if environ["PATH_INFO"] == "/bad":
        raise ValueError("the application failed")
    if environ["PATH_INFO"] == "/long":
        entered.set()
        leave.wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode()]


def entering(case: Case) -> bool:
    return entered.is_set()


@contextmanager
def apart() -> Iterator[dict[str, str]]:
    entered.clear()
    yield {"MODULE": __name__}
    leave.clear()


def body(case: Case, payload: Any) -> Any:
    """What a response says."""
    answer = call(case, payload)
    return str(answer["body"], "ascii") if isinstance(answer, dict) else answer


ROWS = {
    "snippet": Row(
        flow="- {kind: snippet, name: n, language: cel, code: self.age}",
        happy=Sent({"age": 18}, 18),
        error=Sent({}, error="no such key: 'age'"),
        null=Sent(None, error="null_type has no fields"),
        wrong=Sent(b"x", error="bytes has no fields"),
        exits=Exit({"age": 18}),
    ),
    "snippet (javascript)": Row(
        flow="""
- kind: snippet
  name: n
  language: javascript
  timeout: 1h
  code: "export default (x) => { while (x == 'long'); return x.age.years }"
""",
        happy=Sent({"age": {"years": 18}}, 18),
        error=Sent({"a": 1}, error="Cannot read properties of undefined"),
        null=Sent(None, error="Cannot read properties of null"),
        wrong=Sent(5, error="Cannot read properties of undefined"),
        exits=Exit("long", began=lambda case: case.node.in_flight),
    ),
    "python": Row(
        flow="- {kind: python, name: n, call: 'MODULE:double'}",
        happy=Sent(2, 4),
        error=Sent("two", error="invalid argument"),
        null=Sent(None, error="invalid argument"),
        wrong=Sent({"a": 1}, error="invalid argument"),
        exits=Exit(0, began=entering),
        using=apart,
    ),
    "wsgi": Row(
        flow="- {kind: wsgi, name: n, app: 'MODULE:application'}",
        happy=Sent({"path": "/", "method": "PUT"}, "PUT"),
        error=Sent({"path": "/bad"}, error="the application failed"),
        null=Sent(None, error="invalid argument"),
        wrong=Sent({"path": 5}, error="invalid argument"),
        exits=Exit({"path": "/long"}, began=entering),
        ask=body,
        using=apart,
    ),
    "parse": Row(
        flow="- {kind: parse, name: n, format: json}",
        happy=Sent('{"a": 1}', {"a": 1}),
        error=Sent("{", error="invalid argument"),
        null=Sent(None, error="invalid argument"),
        wrong=Sent({"a": 1}, error="invalid argument"),
        exits=Missing("it answers at once and holds nothing"),
    ),
    "auth": Row(
        flow="- {kind: auth, name: n, bearer: {keys: [{name: ann, key: k}]}}",
        happy=Sent(
            {"header": {"Authorization": ["Bearer k"]}},
            {"header": {}, "identity": {"name": "ann", "scheme": "bearer", "scopes": []}},
        ),
        error=Sent({"header": []}, error="invalid argument"),
        null=Sent(None, error="invalid argument"),
        wrong=Sent("text", error="invalid argument"),
        exits=Missing("it answers at once and holds nothing"),
    ),
    "validate": Row(
        flow="- {kind: validate, name: n, payload: {type: object, required: [a]}}",
        happy=Sent({"a": 1}, {"a": 1}),
        error=Sent({"b": 1}, error="the payload does not fit"),
        null=Sent(None, error="the payload does not fit"),
        wrong=Sent("text", error="the payload does not fit"),
        exits=Missing("it answers at once and holds nothing"),
    ),
    "format": Row(
        flow="- {kind: format, name: n, format: csv}",
        happy=Sent([{"a": 1}], "a\r\n1\r\n"),
        error=Sent([1], error="row 1 is no map"),
        null=Sent(None, error="CSV is a list of rows"),
        wrong=Sent("text", error="CSV is a list of rows"),
        exits=Missing("it answers at once and holds nothing"),
    ),
    "syscall": Row(
        flow="- {kind: syscall, name: n, opcode: nodes.read}",
        happy=Sent({"name": "nobody"}, []),
        error=Sent({"name": {"$near": 1}}, error="invalid argument"),
        null=Sent(None, ANY),
        wrong=Sent("all", error="invalid argument"),
        exits=Exit({"name": "nobody"}),
    ),
}
