"""The bytes of a body beside what was decoded of it (BEHAVIOUR 8.15)."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from greenflow.errors import SpecInvalid
from greenflow.scheme.registry import Scheme
from greenflow.testing import flow

BODY = b'{ "a" :1.0}'
LINKS: dict[str, Any] = {"out": [{"name": "router"}]}


def specs(listener: bool = False, route: bool = False) -> list[dict[str, Any]]:
    routes = [
        {"method": "POST", "path": "/hook", "port": "out", "raw": route},
        {"method": "POST", "path": "/other", "port": "out"},
    ]
    show = "has(self.raw) ? {'raw': string(self.raw), 'body': self.?body} : {'body': self.?body}"
    return [
        {"kind": "listener", "name": "web", "port": 0, "raw": listener, "links": LINKS},
        {"kind": "router", "name": "router", "routes": routes, "links": {"out": [{"name": "s"}]}},
        {"kind": "snippet", "name": "s", "language": "cel", "code": f"{{'body': {show}}}"},
    ]


def asked(running: Any, path: str, body: bytes, **header: str) -> Any:
    return running.request("POST", path, body=body, header=header).body


@pytest.mark.parametrize(
    ("listener", "route", "hook", "other"),
    [(True, False, True, True), (False, True, True, False), (False, False, False, False)],
)
def test_raw_is_there_where_it_is_wanted(
    listener: bool, route: bool, hook: bool, other: bool
) -> None:
    kind = {"Content-Type": "application/json"}
    with flow(specs(listener, route)) as running:
        for path, has_raw in (("/hook", hook), ("/other", other)):
            found = asked(running, path, BODY, **kind)
            assert found["body"] == {"a": 1}
            assert found.get("raw") == (BODY.decode() if has_raw else None)


def test_without_a_body_it_is_empty() -> None:
    with flow(specs(route=True)) as running:
        assert asked(running, "/hook", b"") == {"raw": "", "body": None}


def test_it_is_what_came_also_compressed() -> None:
    given = specs(route=True)
    given[-1]["code"] = "{'body': [self.raw.size(), self.body.a]}"
    packed = gzip.compress(BODY)
    with flow(given) as running:
        kind = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert asked(running, "/hook", packed, **kind) == [len(packed), 1]


def test_a_stream_is_raw_already() -> None:
    spec = {"kind": "listener", "port": 0, "raw": True, "stream": True}
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode(spec, "default")
    assert [fault.path for fault in raised.value.faults] == ["$.raw"]
