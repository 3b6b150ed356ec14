"""What is told of a running engine: nodes, processes, health."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.admin import glancing
from greenflow.admin.paging import PageQuery, page, read, write
from greenflow.admin.problem import Problem
from tests.admin.asking import engine

NODES: list[dict[str, Any]] = [
    {
        "id": "00000000-0000-4000-8000-000000000001",
        "kind": "listener",
        "name": "web",
        "port": 0,
        "links": {"out": [{"name": "slow"}]},
    },
    {
        "id": "00000000-0000-4000-8000-000000000002",
        "kind": "sleep",
        "name": "slow",
        "interval": "1h",
    },
    {
        "id": "00000000-0000-4000-8000-000000000003",
        "kind": "listener",
        "name": "lost",
        "port": 0,
        "links": {"out": [{"name": "nobody"}]},
    },
]


def test_nodes_are_told_with_state_and_reason() -> None:
    with engine(NODES) as (_, ask):
        listed = ask.get("/api/v1/nodes")
        assert listed["next"] is None
        assert [(each["name"], each["state"]) for each in listed["items"]] == [
            ("web", "active"),
            ("slow", "active"),
            ("lost", "inactive"),
        ]
        assert "nobody" in listed["items"][2]["reason"]
        inactive = ask.get("/api/v1/nodes?state=inactive")["items"]
        assert [each["name"] for each in inactive] == ["lost"]
        sleeping = ask.get("/api/v1/nodes?kind=sleep")["items"]
        assert [each["name"] for each in sleeping] == ["slow"]
        one = ask.get("/api/v1/nodes/web")
        assert one["links"] == {"out": ["slow"]}
        assert one["is_source"]
        assert ask.get("/api/v1/nodes/slow")["links_in"] == 1
        assert ask("GET", "/api/v1/nodes/none").status == 404


def test_ready_means_that_every_source_listens() -> None:
    with engine(NODES) as (_, ask):
        assert ask("GET", "/readyz").status == 503
        assert ask("GET", "/readyz").data == {"ready": False}
        (missing,) = ask("GET", "/readyz?verbose").data["missing"]
        assert missing.startswith("lost is inactive: ")
        assert ask("GET", "/readyz/web").status == 200
        assert ask("GET", "/readyz/lost").status == 503
        assert ask("GET", "/readyz/none").status == 404
        status = ask.get("/api/v1/status")
        assert status["nodes"] == {"active": 2, "inactive": 1}
        assert not status["ready"]
    with engine(NODES[:2]) as (runtime, ask):
        assert ask("GET", "/readyz").status == 200
        runtime.interface.engine.is_leaving = True
        assert ask("GET", "/readyz").status == 503
        assert ask("GET", "/readyz/web").status == 503


def test_a_runtime_that_drains_is_not_ready() -> None:
    with engine(NODES[:2]) as (runtime, ask):
        runtime.drain()
        assert ask("GET", "/readyz?verbose").data["missing"] == ["the engine drains"]
        assert ask.get("/api/v1/status")["draining"]
        assert ask("GET", "/healthz").status == 200


@given(st.sets(st.text(max_size=5) | st.just("é")), st.integers(1, 7))
def test_pages_have_each_item_once_and_in_order(keys: set[str], limit: int) -> None:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        items, cursor = page(keys, str, PageQuery(limit, cursor), lambda key: key)
        assert len(items) <= limit
        found += items
    assert found == sorted(keys)


@given(st.text())
def test_a_cursor_is_what_it_was_made_of(key: str) -> None:
    if key.isprintable():
        assert read(write(key), str) == key


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_what_is_no_cursor_is_said(text: str) -> None:
    for key_type in (str, int):
        with suppress(Problem):
            assert type(read(text, key_type)) is key_type


def test_one_look_at_all_nodes_serves_who_asks_while_it_is_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []
    real = glancing._look

    def counted(table: Any, services: Any) -> Any:
        looks.append(1)
        return real(table, services)

    monkeypatch.setattr(glancing, "_look", counted)
    monkeypatch.setattr(glancing, "SHARE", 10**9)
    with engine(NODES[:2]) as (runtime, ask):
        for _ in range(5):
            assert ask.get("/api/v1/status")["ready"]
        assert looks == [1]
        ask.post("/api/v1/nodes/web/pause")
        assert ask.get("/api/v1/status")["nodes"] == {"paused": 1, "active": 1}
        assert looks == [1, 1]
        runtime.interface.engine.is_leaving = True
        assert not ask.get("/api/v1/status")["ready"]
        assert looks == [1, 1]
