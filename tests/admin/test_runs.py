"""What ran, by the admin interface: runs in pages, one of them, running it again; and taps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from greenflow.config.groups import RecordsSettings
from tests.admin.asking import Asking, engine
from tests.waiting import until

SPECS: list[dict[str, Any]] = [
    {"kind": "listener", "name": "web", "port": 0, "links": {"out": [{"name": "first"}]}},
    {
        "kind": "snippet",
        "name": "first",
        "language": "cel",
        "code": "[self.n, 'password=hunter22']",
        "links": {"out": [{"name": "divides"}]},
    },
    {"kind": "snippet", "name": "divides", "language": "cel", "code": "10 / self[0]"},
    {
        "kind": "snippet",
        "name": "lost",
        "language": "text",
        "code": "",
        "links": {"out": [{"name": "none"}]},
    },
]
ALL = RecordsSettings(sample=0.0, rate=1000)


def fails(runtime: Any, payload: Any, node: str = "first") -> None:
    with pytest.raises(Exception, match=r"division|no such key"):
        runtime.call(node, payload)


def test_runs_are_listed_newest_first_in_pages() -> None:
    with engine(SPECS, records=ALL) as (runtime, ask):
        runtime.call("first", {"n": 1})
        for _ in range(3):
            fails(runtime, {"n": 0})
        page = ask.get("/api/v1/runs?failed=true&limit=2")
        rest = ask.get(f"/api/v1/runs?failed=true&limit=2&cursor={page['next']}")
        assert (len(page["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)
        started = [each["started"] for each in page["items"] + rest["items"]]
        assert started == sorted(started, reverse=True)
        assert {each["node"] for each in page["items"]} == {"divides"}
        (slow,) = ask.get("/api/v1/runs?slow=true")["items"]
        assert (slow["outcome"], slow["why"]) == ("ok", ["slow"])
        assert len(ask.get("/api/v1/runs?node=divides")["items"]) == 4
        assert ask.get("/api/v1/runs?node=web")["items"] == []
        assert len(ask.get(f"/api/v1/runs?failed=true&since={started[0]}")["items"]) == 1
        assert ask("GET", "/api/v1/runs?cursor=x").status == 400
        assert page["shed"] == []


def test_one_run_has_its_way_and_no_secret() -> None:
    with engine(SPECS, records=ALL) as (runtime, ask):
        fails(runtime, {"n": 0})
        (about,) = ask.get("/api/v1/runs?failed=true")["items"]
        answer = ask("GET", f"/api/v1/runs/{about['id']}")
        assert [hop["node"] for hop in answer.data["hops"]] == ["first", "divides"]
        assert answer.data["error"]["node"] == "divides"
        assert answer.data["error"]["code"] == "1:4"
        assert b"hunter22" not in answer.body
        assert ask("GET", "/api/v1/runs/r0-0").status == 404


def test_a_run_is_run_again_by_the_graph_that_runs_now() -> None:
    with engine(SPECS, records=ALL) as (runtime, ask):
        fails(runtime, {"n": 0})
        (about,) = ask.get("/api/v1/runs?failed=true")["items"]
        path = f"/api/v1/runs/{about['id']}/retry"
        again = ask.post(path)
        assert (again["outcome"], again["node"]) == ("failed", "divides")
        assert "division by zero" in again["error"]
        runtime.operations.update([{**_stored(runtime, "divides"), "code": "self[0] + 1"}])
        until_revision(runtime)
        assert ask.post(path)["answer"] == 1
        assert ask("POST", "/api/v1/runs/r0-0/retry", {}).status == 404


def test_what_is_not_kept_whole_is_not_run_again() -> None:
    with engine(SPECS, records=ALL) as (runtime, ask):
        fails(runtime, {"x": "y" * 10_000})
        (about,) = ask.get("/api/v1/runs?failed=true")["items"]
        answer = ask("POST", f"/api/v1/runs/{about['id']}/retry", {})
        assert answer.status == 409
        assert "not kept whole" in answer.detail


def test_a_tap_streams_what_passes_and_leaves_the_node_as_it_was() -> None:
    with engine(SPECS) as (runtime, ask):
        pieces = tapped(ask, "first", {"total": 2})
        next(pieces)
        (tap,) = runtime.records._taps
        runtime.call("first", {"n": 5})
        tap.tell()
        events = list(events_of(pieces))
        assert [(name, data.get("way")) for name, data in events] == [
            ("passage", "in"),
            ("passage", "out"),
            ("end", None),
        ]
        assert events[0][1]["payload"]["text"] == '{"n": 5}'
        assert events[2][1]["reason"] == "it has told all that it may"
        assert not runtime.records._taps
        assert "send" not in vars(runtime.table.find("first").version.node)


def test_a_tap_ends_with_its_client() -> None:
    with engine(SPECS) as (runtime, ask):
        response = ask.respond("POST", "/api/v1/nodes/first/tap", {})
        stream: Any = response.body
        pieces = iter(stream)
        next(pieces)
        assert runtime.records._taps
        stream.leave()
        list(pieces)
        assert not runtime.records._taps


def test_a_tap_that_cannot_be() -> None:
    with engine(SPECS) as (_, ask):
        for name, body, status in (
            ("none", {}, 404),
            ("lost", {}, 409),
            ("first", {"filter": "self +"}, 409),
            ("first", {"rate": 0}, 400),
        ):
            assert ask("POST", f"/api/v1/nodes/{name}/tap", body).status == status


def tapped(ask: Asking, node: str, body: Any) -> Iterator[bytes]:
    response = ask.respond("POST", f"/api/v1/nodes/{node}/tap", body)
    assert response.status == 200
    assert not isinstance(response.body, bytes)
    return iter(response.body)


def events_of(pieces: Iterator[bytes]) -> Iterator[tuple[str, Any]]:
    for event in b"".join(pieces).split(b"\n\n"):
        if event.startswith(b"event: "):
            name, _, data = event.decode().partition("\n")
            yield name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def _stored(runtime: Any, name: str) -> dict[str, Any]:
    [stored] = runtime.operations.read({"name": name})
    return dict(stored.document)


def until_revision(runtime: Any) -> None:
    newest = max(each.revision for each in runtime.operations.read())
    until(lambda: newest in runtime.table.revisions().values())
