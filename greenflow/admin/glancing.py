"""A look at all nodes: how many are in each state, and which sources are wanted and do not work.

Lives here: Glances, one for each engine. A look at 10,000 nodes takes milliseconds of the hub's
time, and a probe may ask a hundred times a second. So one look serves all who ask while it goes on,
and for twenty times as long as it took: what is asked here takes a twentieth of the hub's time at
most. Of few nodes an answer is never older than a moment.
"""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import NamedTuple

from gevent.lock import RLock

from greenflow.admin.states import is_listening, name_in, source_kinds, state_of
from greenflow.engine.services import Services
from greenflow.hub.breathing import unhurried
from greenflow.table.table import Table

#: Times as long as it took for which a look is good.
SHARE = 20

#: Sources that are told which do not work: a person reads no more, and one is enough to be not
#: ready.
MOST_NAMED = 100


class Glance(NamedTuple):
    """How many nodes are in each state, and the sources in the way of being ready."""

    counts: dict[str, int]
    missing: list[str]


class Glances:
    """The last look at a table. Of one hub."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._last: Glance | None = None
        self._table: Table | None = None
        self._until = 0.0

    def forget(self) -> None:
        """Somebody has changed what is looked at."""
        self._until = 0.0

    def at(self, table: Table, services: Services) -> Glance:
        """What there is to see. Others run meanwhile."""
        with self._lock:
            begin = perf_counter()
            if self._last is None or begin >= self._until or self._table is not table:
                self._last, self._table = _look(table, services), table
                end = perf_counter()
                self._until = end + (end - begin) * SHARE
            return self._last


def _look(table: Table, services: Services) -> Glance:
    counts: Counter[str] = Counter()
    missing: list[str] = []
    is_source = source_kinds(table)
    for symbol in unhurried(list(table.symbols.values())):
        state = state_of(symbol, services)
        counts[state] += 1
        if not is_listening(symbol) and len(missing) < MOST_NAMED and is_source(symbol):
            missing.append(f"{name_in(symbol)} is {state}: {symbol.reason or 'not begun yet'}")
    return Glance(dict(counts), missing)
