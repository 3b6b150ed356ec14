"""The page on events: its settings are those there are, with their defaults."""

from __future__ import annotations

import re

import msgspec

from greenflow.config import BrokerSettings
from tests.test_docs import DOCS


def test_the_settings_are_those_of_the_page() -> None:
    page = (DOCS / "events.md").read_text().partition("\n## Settings")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", page, re.MULTILINE)
    defaults = msgspec.structs.asdict(BrokerSettings())
    assert set(dict(rows)) == set(defaults)
    for name, text in rows:
        assert type(defaults[name])(text) == defaults[name]
