"""Records: what ran and what became of it, kept for who asks after it.

Lives here: Records, what a runtime has of this room. Which processes are recorded is recorder.py's,
what of them writing.py's, where they are kept memory.py's and archive.py's. What passes a node now
is tap.py's. Whoever asks is another row's: nothing here knows a command or a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from greenflow.config.groups import RecordsSettings
from greenflow.engine.node import Node
from greenflow.engine.trail import FORGOTTEN
from greenflow.hub.breathing import unhurried
from greenflow.records.archive import Archived, Archiving, Choice
from greenflow.records.memory import KeptRecord, RecordMemory
from greenflow.records.opening import open_archive
from greenflow.records.record import FAILED, SLOW, RunRecord, RunSummary, decode, summary
from greenflow.records.recorder import ProcessRecorder
from greenflow.records.tap import LEASE, RATE, TAPS, TOTAL, Tap, TapPassage, TooManyTaps

#: Records of a page, if nothing else is said, and at the most.
PAGE, MOST_PAGE = 50, 200

#: Seconds that who asks the archive waits for what is on its way there.
SETTLES = 1.0


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
        self._archiving: Archiving | None = None
        self._slow: Archived | None = None  # of a minute that goes on: it is not known yet
        if settings.store:
            archive = open_archive(settings.store, namespace)
            self._archiving = Archiving(archive, settings.store_days, settings.store_bytes)

    def _keep(self, record: RunRecord, raw: Any, raw_size: int, is_slowest: bool) -> None:
        data = self.memory.add(record, raw, raw_size)
        archiving = self._archiving
        archived = None if archiving is None else Archived(summary(record), data)
        if is_slowest:
            before = self._slowest
            if before is not None and self.recorder.minute == before[0]:
                self.memory.remove(before[1])
            elif archiving is not None and self._slow is not None:
                archiving.put(self._slow)
            self._slowest, self._slow = (self.recorder.minute, record.id), archived
        elif archiving is not None and archived is not None:
            archiving.put(archived)

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
        most = max(1, min(limit, MOST_PAGE))
        choice = Choice(failed, slow, node, since, None, most)
        find = self._find if self._archiving is None else self._find_archived
        page: RecordPage = self._at_home(find, choice, cursor)
        return page

    def _find(self, choice: Choice, cursor: str | None) -> RecordPage:
        below, most = None if cursor is None else int(cursor), choice.limit
        is_wanted = partial(_is_wanted, choice)
        found = list(islice(self._below(below, is_wanted), most + 1))
        more = str(found[most - 1].sequence) if len(found) > most else None
        return RecordPage([kept.summary for kept in found[:most]], more)

    def _find_archived(self, choice: Choice, cursor: str | None) -> RecordPage:
        """Those of the archive, where what is in memory is, too, in a moment."""
        assert self._archiving is not None
        if cursor is not None:
            began, _, id = cursor.partition(" ")
            choice = choice._replace(below=(float(began), id))
        self._archiving.settle(SETTLES)
        found = self._archiving.archive.find(choice._replace(limit=choice.limit + 1))
        records = [summary(decode(data)) for data in unhurried(found)]
        if cursor is None and self._slow is not None and _is_wanted(choice, self._slow.about):
            records = sorted((self._slow.about, *records), key=_age)  # the one that is not there
        last = records[: choice.limit][-1] if len(records) > choice.limit else None
        after = None if last is None else f"{last.started!r} {last.id}"
        return RecordPage(records[: choice.limit], after)

    def _below(
        self, below: int | None, is_wanted: Callable[[RunSummary], bool]
    ) -> Iterator[KeptRecord]:
        for kept in self.memory.newest_first():
            if (below is None or kept.sequence < below) and is_wanted(kept.summary):
                yield kept

    def get(self, id: str) -> RunRecord | None:
        """The record of that id; None if there is none any more."""
        data: bytes | None = self._at_home(self._data_of, id)
        return None if data is None else decode(data)

    def _data_of(self, id: str) -> bytes | None:
        kept = self.memory.get(id)
        if kept is not None:
            return kept.data
        return None if self._archiving is None else self._archiving.archive.get(id)

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
        whether somebody takes them; `on_end` is told why it ended. To end it before, call its
        `close` on that hub: `runtime.run(tap.close)`.

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

    def end(self) -> None:
        """Write what waits for the archive, and close it: no process ends any more."""
        if self._archiving is not None:
            if self._slow is not None:
                self._archiving.put(self._slow)
            self._archiving.close()

    def counts(self) -> RecordCounts:
        """What became of records since the start."""
        counts: RecordCounts = self._at_home(self._counts)
        return counts

    def _counts(self) -> RecordCounts:
        memory = self.memory
        return RecordCounts(
            memory.count,
            memory.size,
            memory.forgotten,
            dict(self.recorder.shedding.shed),
            0 if self._archiving is None else self._archiving.dropped,
        )


def _is_wanted(choice: Choice, about: RunSummary) -> bool:
    return (
        (not choice.failed or FAILED in about.why)
        and (not choice.slow or SLOW in about.why)
        and (choice.node is None or choice.node in about.nodes)
        and (choice.since is None or about.started >= choice.since)
    )


def _age(about: RunSummary) -> tuple[float, str]:
    return -about.started, about.id
