"""What changed in a MongoDB collection, found by comparing revisions every second.

Lives here: Poll, for servers that have neither change streams nor capped collections. It reads the
`_id` and `_revision` of every document, and takes them apart only when an answer of the server is
not, byte for byte, the one before. A change by a tool that leaves `_revision` as it was is noticed
when everything is compared, at the latest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import bson

from greenflow.store.mongo.documents import id_text
from greenflow.store.mongo.feed import AWAIT_MS, FeedReader

# Seconds between two looks. A change is to be seen within 1.5 s, and each look is a query.
INTERVAL = 1.0

# Seconds between looks at what is changing, and how many there are at most: until it rests, or for
# a fifth of a second.
SETTLE, SETTLES = 0.04, 5


class Poll(FeedReader):
    """All revisions, compared with those before."""

    told = "comparing all revisions every second"

    def _open(self) -> Callable[[], Iterable[str] | None]:
        namespace = self.feed.namespace
        self._query: dict[str, Any] = {} if namespace is None else {"namespace": namespace}
        self._answers = self._read()
        self._revisions = self._taken(self._answers)
        self._due = time.monotonic() + INTERVAL
        return self._next

    def _next(self) -> Iterable[str] | None:
        left = self._due - time.monotonic()
        if left > 0:
            time.sleep(min(left, AWAIT_MS / 1000))
            return ()
        self._due = time.monotonic() + INTERVAL
        answers = self._read()
        if answers == self._answers:
            return ()
        for _ in range(SETTLES):
            # Where a batch is no transaction, the rest of it may be under way.
            time.sleep(SETTLE)
            earlier, answers = answers, self._read()
            if answers == earlier:
                break
        before, self._answers = self._revisions, answers
        self._revisions = now = self._taken(answers)
        return [id for id in before.keys() | now.keys() if before.get(id) != now.get(id)]

    def _read(self) -> list[bytes]:
        # With the namespace where one is asked for, too: the index has it.
        fields = {"_id": 1, "_revision": 1, "namespace": 1}
        answers: Iterable[Any] = self._collection.find_raw_batches(self._query, fields)
        return [bytes(answer) for answer in answers]

    def _taken(self, answers: list[bytes]) -> dict[str, Any]:
        found = (each for answer in answers for each in bson.decode_all(answer))
        return {
            id_text(each["_id"]): (each.get("_revision"), each.get("namespace")) for each in found
        }
