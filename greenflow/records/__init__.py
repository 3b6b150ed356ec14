"""Records: what ran and what became of it, kept for who asks after it.

Lives here: Records, what a runtime has of this room. Which processes are recorded is recorder.py's,
what of them writing.py's, where they are kept memory.py's. What passes a node now is tap.py's.
Whoever asks is another row's: nothing here knows a command or a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from greenflow.config.groups import RecordsSettings
from greenflow.engine.node import Node
from greenflow.engine.trail import FORGOTTEN
from greenflow.records.memory import KeptRecord, RecordMemory
from greenflow.records.record import FAILED, SLOW, RunRecord, RunSummary, decode
from greenflow.records.recorder import ProcessRecorder
from greenflow.records.tap import LEASE, RATE, TAPS, TOTAL, Tap, TapPassage, TooManyTaps

#: Records of a page, if nothing else is said, and at the most.
PAGE, MOST_PAGE = 50, 200


class RecordPage(NamedTuple):
    """Some records, newest first, and what to ask for the next ones with; None: there are none."""

    records: list[RunSummary]
    cursor: str | None


class RecordCounts(NamedTuple):
    """What became of records: `kept` are in memory, in so many bytes; `forgotten` have made room;
    `shed` were not made, by node and type of error; `dropped` were not written to the store."""

    kept: int
    size: int
    forgotten: int
    shed: dict[tuple[str, str], int]
    dropped: int


class Records:
    """The records of one runtime, for any OS thread: `at_home` calls a function on the hub of the
    runtime. Every method raises Inactive once that has stopped."""

    def __init__(
        self,
        namespace: str,
        settings: RecordsSettings,
        at_home: Callable[..., Any],
        node_of: Callable[[str], Node[Any] | None],
    ) -> None:
        self._at_home, self._node_of = at_home, node_of
        self._taps: set[Tap] = set()
        self.memory = RecordMemory(settings.memory, settings.memory_bytes)
        self._slowest: tuple[float, str] | None = None  # of the minute that ends then, its id
        self.recorder = ProcessRecorder(namespace, self._keep, settings.sample, settings.rate)

    def _keep(self, record: RunRecord, raw: Any, raw_size: int, is_slowest: bool) -> None:
        if is_slowest:
            before = self._slowest
            if before is not None and self.recorder.minute == before[0]:
                self.memory.remove(before[1])
            self._slowest = self.recorder.minute, record.id
        self.memory.add(record, raw, raw_size)

    def find(
        self,
        *,
        failed: bool = False,
        slow: bool = False,
        node: str | None = None,
        since: float | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> RecordPage:
        """The newest records: only of what failed, was slow, passed a node of that name, began
        after a time in seconds since 1970. Raises ValueError for a cursor that is none of ours."""
        below = None if cursor is None else int(cursor)
        wanted = partial(_is_wanted, failed, slow, node, since)
        page: RecordPage = self._at_home(self._find, wanted, below, max(1, min(limit, MOST_PAGE)))
        return page

    def _find(
        self, is_wanted: Callable[[RunSummary], bool], below: int | None, most: int
    ) -> RecordPage:
        found = list(islice(self._below(below, is_wanted), most + 1))
        more = str(found[most - 1].sequence) if len(found) > most else None
        return RecordPage([kept.summary for kept in found[:most]], more)

    def _below(
        self, below: int | None, is_wanted: Callable[[RunSummary], bool]
    ) -> Iterator[KeptRecord]:
        for kept in self.memory.newest_first():
            if (below is None or kept.sequence < below) and is_wanted(kept.summary):
                yield kept

    def get(self, id: str) -> RunRecord | None:
        """The record of that id; None if there is none any more."""
        kept = self._at_home(self.memory.get, id)
        return None if kept is None else decode(kept.data)

    def event_of(self, id: str) -> Any:
        """What a process began with, as it was. Raises LookupError where that is not known: the
        record is no longer there, or it was too large to be kept whole."""
        kept = self._at_home(self.memory.get, id)
        if kept is None:
            raise LookupError(f"no record {id}")
        if kept.raw is FORGOTTEN:
            raise LookupError(f"what {id} began with is not kept whole")
        return kept.raw

    def tap(
        self,
        node: str,
        put: Callable[[TapPassage], bool],
        on_end: Callable[[str], object] = lambda reason: None,
        *,
        filter: str = "",
        rate: int = RATE,
        total: int = TOTAL,
        lease: float = LEASE,
    ) -> Tap:
        """Look at what passes the ports of a node: `put` is told of `rate` passages a second and of
        `total` in all, for `lease` seconds at most, of those alone for which the CEL expression
        `filter` is true of the payload. It is called on the runtime's hub, must not block, and says
        whether somebody takes them; `on_end` is told why it ended.

        Raises LookupError if no such node runs, CompileFailed for the filter, and TooManyTaps.
        """
        tap: Tap = self._at_home(self._tap, node, put, on_end, filter, rate, total, lease)
        return tap

    def _tap(
        self,
        name: str,
        put: Callable[[TapPassage], bool],
        on_end: Callable[[str], object],
        filter: str,
        rate: int,
        total: int,
        lease: float,
    ) -> Tap:
        if len(self._taps) >= TAPS:
            raise TooManyTaps(f"{TAPS} taps are open: close one")

        def ended(reason: str) -> None:
            self._taps.discard(tap)
            on_end(reason)

        find = partial(self._node_of, name)
        tap = Tap(find, put, ended, filter=filter, rate=rate, total=total, lease=lease)
        tap.open()
        self._taps.add(tap)
        return tap

    def close(self) -> None:
        """End what looks at nodes: the runtime stops."""
        for tap in list(self._taps):
            tap.close("the runtime stops")

    def counts(self) -> RecordCounts:
        """What became of records since the start."""
        counts: RecordCounts = self._at_home(self._counts)
        return counts

    def _counts(self) -> RecordCounts:
        memory = self.memory
        return RecordCounts(
            memory.count, memory.size, memory.forgotten, dict(self.recorder.shedding.shed), 0
        )


def _is_wanted(
    failed: bool, slow: bool, node: str | None, since: float | None, about: RunSummary
) -> bool:
    return (
        (not failed or FAILED in about.why)
        and (not slow or SLOW in about.why)
        and (node is None or node in about.nodes)
        and (since is None or about.started >= since)
    )
