"""Cycles that wait are no runaways (BEHAVIOUR 3.10)."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from greenflow import Runtime
from greenflow.errors import Runaway
from greenflow.spec.document import read
from greenflow.testing.clock import ManualClock

# Asks for the next page until there are no more; each round is three writes.
PAGES = """
- {kind: switch, name: more, match: [{when: self < PAGES, port: out}, {when: true, port: 'out[1]'}],
   links: {out: {name: page}, 'out[1]': {name: done}}}
- {WAITS, name: page, links: {out: {name: next}}}
- {kind: snippet, name: next, language: cel, code: self + 1, links: {out: {name: more}}}
- {kind: snippet, name: done, language: cel, code: "['done', self]"}
"""


def specs(waits: str, pages: int) -> list[dict[str, Any]]:
    text = PAGES.replace("WAITS", waits).replace("PAGES", str(pages))
    return [document.data for document in read(text, "test")]


def waits(payload: int) -> int:
    """Lets others run, as a socket that is read does."""
    gevent.sleep(0)
    return payload


def waits_not(payload: int) -> int:
    """Only computes."""
    return payload


@pytest.mark.parametrize(
    "node",
    [
        "kind: sleep, interval: 1s",
        f"kind: python, call: '{__name__}:waits'",
        f"kind: python, call: '{__name__}:waits_not', isolation: thread",
    ],
    ids=["sleep", "python", "thread"],
)
def test_ten_thousand_pages(node: str) -> None:
    with Runtime("memory://", specs=specs(node, 10_000), clock=ManualClock(jump=True)) as runtime:
        assert runtime.call("more", 0) == ["done", 10_000]


@pytest.mark.parametrize(
    "node", ["kind: sleep, interval: 0", f"kind: python, call: '{__name__}:waits_not'"]
)
def test_a_cycle_that_does_not_wait_is_one(node: str) -> None:
    with (
        Runtime("memory://", specs=specs(node, 1_000_000)) as runtime,
        pytest.raises(Runaway, match="10,000 writes"),
    ):
        runtime.call("more", 0)
