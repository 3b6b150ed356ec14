"""The page on events: its settings are those there are, with their defaults."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenflow.broker.memory import MemoryBroker
from greenflow.config import BrokerSettings
from greenflow.errors import BrokerUnavailable
from tests.flows import flow
from tests.test_docs import DOCS
from tests.waiting import until


def test_the_settings_are_those_of_the_page() -> None:
    page = (DOCS / "events.md").read_text().partition("\n## Settings")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", page, re.MULTILINE)
    defaults = msgspec.structs.asdict(BrokerSettings())
    assert set(dict(rows)) == set(defaults)
    for name, text in rows:
        assert type(defaults[name])(text) == defaults[name]


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as shop:
        return [event for (event,) in shop.execute("SELECT event FROM outbox")]


def test_the_table_of_events_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe for work of which no event may be lost: while the broker takes none, they stay."""
    page = (DOCS / "events.md").read_text()
    (recipe,) = [
        each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "outbox" in each
    ]
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as shop:
        shop.executescript(
            "CREATE TABLE outbox (event TEXT); INSERT INTO outbox VALUES ('a'), ('b'), ('c');"
        )
    text = recipe.replace("shop.db", str(path)).replace("1s", "50ms")
    heard = """
- {kind: trigger, name: subscriber, topic: orders, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""
    publish, tries = MemoryBroker.publish, []

    def sometimes(self: MemoryBroker, topic: str, payload: Any) -> None:
        if topic == "orders":
            tries.append(payload)
            if len(tries) in (1, 3):  # the first run, and the second in its middle
                raise BrokerUnavailable("not now")
        publish(self, topic, payload)

    monkeypatch.setattr(MemoryBroker, "publish", sometimes)
    with flow(text + heard) as running:
        until(lambda: not rows(path))
        until(lambda: not running.runtime.services.processes)
        events = [event["event"] for event in running.probes.of("heard")]
    assert set(events) == {"a", "b", "c"}
    assert len(events) > 3  # those of a run that failed go out again
