"""Events, one by one, for as long as somebody listens. `events.yaml` sends them to a page."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep
from typing import Any

from greenflow import Stream


def events(request: dict[str, Any]) -> dict[str, Any]:
    """Server-Sent Events: a response whose body comes piece by piece."""
    last = request["header"].get("Last-Event-Id", ["0"])[0]  # of a page that comes back
    return {
        "header": {"Content-Type": "text/event-stream", "Cache-Control": "no-store"},
        "body": Stream(ticks(int(last))),
    }


def ticks(last: int) -> Iterator[bytes]:
    """Ten events from the one after the last on; then the page comes back for the next ones."""
    for number in range(last + 1, last + 11):
        yield f"id: {number}\nretry: 100\ndata: tick {number}\n\n".encode()
        sleep(0.1)
