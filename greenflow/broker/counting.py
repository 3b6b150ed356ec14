"""Counts what was delivered again, and what went to the dead letters.

Metrics, in the default registry of prometheus-client if that is installed (extra `metrics`), by
namespace, topic and node: `greenflow_broker_redelivered_total`, deliveries that failed and are
tried again, and `greenflow_broker_dead_letters_total`.
"""

from __future__ import annotations

import functools
from typing import Any


def redelivered(namespace: str, topic: str, subscriber: str) -> None:
    """A delivery failed, and is tried again."""
    counters = _counters()
    if counters is not None:
        counters[0].labels(namespace, topic, subscriber).inc()


def dead(namespace: str, topic: str, subscriber: str) -> None:
    """A message went to the dead letters."""
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
