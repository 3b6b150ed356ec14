"""Counts what was delivered again, and what went to the dead letters.

The numbers are in `failures`, for a runtime's own metrics (metrics/), and in the default registry
of prometheus-client, by namespace, topic and node: `greenflow_broker_redelivered_total`, deliveries
that failed and are tried again, and `greenflow_broker_dead_letters_total`.
"""

from __future__ import annotations

import functools
from typing import Any


class Failures:
    """What became of the messages of one subscriber that failed."""

    __slots__ = ("dead", "redelivered")

    def __init__(self) -> None:
        self.redelivered = self.dead = 0


#: By namespace, topic and subscriber.
failures: dict[tuple[str, str, str], Failures] = {}


def redelivered(namespace: str, topic: str, subscriber: str) -> None:
    """A delivery failed, and is tried again."""
    failures.setdefault((namespace, topic, subscriber), Failures()).redelivered += 1
    counters = _counters()
    if counters is not None:
        counters[0].labels(namespace, topic, subscriber).inc()


def dead(namespace: str, topic: str, subscriber: str) -> None:
    """A message went to the dead letters."""
    failures.setdefault((namespace, topic, subscriber), Failures()).dead += 1
    counters = _counters()
    if counters is not None:
        counters[1].labels(namespace, topic, subscriber).inc()


@functools.cache
def _counters() -> tuple[Any, Any] | None:
    try:
        from prometheus_client import Counter
    except ImportError:
        return None
    labels = ("namespace", "topic", "node")
    return (
        Counter(
            "greenflow_broker_redelivered", "Deliveries that failed and are tried again.", labels
        ),
        Counter("greenflow_broker_dead_letters", "Messages that nobody could process.", labels),
    )
