"""Kinds that decide where a packet goes, and those about errors."""

from __future__ import annotations

from tests.nodes.matrix import PICKED, PICKY, Exit, Row, Sent

REQUEST = {"method": "GET", "path": "/users/7"}

ROWS = {
    "if": Row(
        flow="- {kind: if, name: n, when: 'self.age > 17'}",
        happy=Sent({"age": 18}, {"age": 18}),
        error=Sent({}, error="no such key: 'age'"),
        null=Sent(None, error="null_type has no fields"),
        wrong=Sent({"age": "old"}, error="string and int have no order"),
        exits=Exit({"age": 18}),
    ),
    "switch": Row(
        flow="- {kind: switch, name: n, match: [{when: 'self.age > 17', port: out}]}",
        happy=Sent({"age": 18}, {"age": 18}),
        error=Sent({}, error="no such key: 'age'"),
        null=Sent(None, error="null_type has no fields"),
        wrong=Sent({"age": "old"}, error="string and int have no order"),
        exits=Exit({"age": 18}),
    ),
    "router": Row(
        flow="- {kind: router, name: n, routes: [{method: GET, path: '/users/:id', port: out}]}",
        happy=Sent(REQUEST, {**REQUEST, "params": {"id": "7"}}),
        error=Sent("no request", error="invalid argument"),
        null=Sent(None, error="invalid argument"),
        wrong=Sent([REQUEST], error="invalid argument"),
        exits=Exit(REQUEST),
    ),
    "throw": Row(
        flow="- {kind: throw, name: n}",
        happy=Sent(["root", "outer"], error="outer: root"),
        error=Sent("bad", error="bad"),
        null=Sent(None, None),
        wrong=Sent({"a": 1}, error='{"a":1}'),
        exits=Exit("bad", port="error"),
    ),
    "try": Row(
        flow="- {kind: try, name: n, links: {out: {name: a}}}" + PICKY,
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x"),
    ),
    "retry": Row(
        flow="- {kind: retry, name: n, threshold: 2, links: {out: {name: a}}}" + PICKY,
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x"),
    ),
}
