"""The newest records, in memory: so many, and so many bytes, whatever comes.

Lives here: RecordMemory. A record is kept as JSON, for its bytes can be counted, and Python's
collector has nothing to look at. They are kept by segments: the oldest goes as a whole, so that
forgetting costs nothing while a thousand fail each second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from greenflow.payload.value import ITEM_BYTES
from greenflow.records.record import RunRecord, RunSummary, encode, summary

#: Parts of what is kept that are forgotten as one.
SEGMENTS = 16

#: Bytes that a record takes besides its JSON: its summary, and its places in lists and maps.
AROUND = 1024


class KeptRecord(NamedTuple):
    """A record in memory: its number in the order of coming, and what it began with, as it was,
    where that is small (`size` counts it)."""

    sequence: int
    summary: RunSummary
    data: bytes
    raw: Any
    size: int


class _Segment:
    __slots__ = ("kept", "size")

    def __init__(self) -> None:
        self.kept: list[KeptRecord] = []
        self.size = 0


class RecordMemory:
    """At most so many records of so many bytes together; with 0 of either, none."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most, self.most_bytes = most, most_bytes
        self.count = self.size = self.forgotten = 0
        self._segments: deque[_Segment] = deque()
        self._ids: dict[str, KeptRecord] = {}
        self._sequence = 0

    def add(self, record: RunRecord, raw: Any, raw_size: int) -> bytes:
        """Keep a record, and forget what there is no room for. Returns it as JSON."""
        data = encode(record)
        about = summary(record)
        size = len(data) + raw_size + AROUND + ITEM_BYTES * len(about.nodes)
        self._sequence += 1
        if size > self.most_bytes or not self.most:
            self.forgotten += 1
            return data
        segments = self._segments
        if not segments or self._is_full(segments[-1], size):
            segments.append(_Segment())
        newest = segments[-1]
        kept = KeptRecord(self._sequence, about, data, raw, size)
        newest.kept.append(kept)
        newest.size += size
        self._ids[record.id] = kept
        self.count, self.size = self.count + 1, self.size + size
        while self.count > self.most or self.size > self.most_bytes:
            self._forget(segments.popleft())
        return data

    def _is_full(self, segment: _Segment, size: int) -> bool:
        return (
            len(segment.kept) >= max(self.most // SEGMENTS, 1)
            or segment.size + size > self.most_bytes // SEGMENTS
        )

    def _forget(self, segment: _Segment) -> None:
        for kept in segment.kept:
            if self._ids.get(kept.summary.id) is kept:
                del self._ids[kept.summary.id]
        self.count -= len(segment.kept)
        self.size -= segment.size
        self.forgotten += len(segment.kept)

    def remove(self, id: str) -> None:
        """Keep the record of that id no more."""
        kept = self._ids.pop(id, None)
        if kept is None:
            return
        for segment in self._segments:
            if segment.kept and segment.kept[-1].sequence >= kept.sequence:
                segment.kept.remove(kept)
                segment.size -= kept.size
                self.count, self.size = self.count - 1, self.size - kept.size
                return

    def get(self, id: str) -> KeptRecord | None:
        """The record of that id."""
        return self._ids.get(id)

    def newest_first(self) -> Iterator[KeptRecord]:
        """All of them. For a loop that lets nobody else run."""
        for segment in reversed(self._segments):
            yield from reversed(segment.kept)
