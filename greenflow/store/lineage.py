"""Whether the database of an SQLite store is still the one that was opened.

Lives here: Lineage. A file that was deleted and made anew, replaced, or overwritten with a backup
holds other specs than those that run, and nobody has asked for the change: it is not followed, and
nothing is read from it or written to it, until it is the old one again or the store is opened anew
(BEHAVIOUR 7.13). What counts is the journal and not the file: a copy that goes on from the last
number that was seen is the same database.
"""

from __future__ import annotations

import sqlite3

from greenflow.errors import StoreUnavailable
from greenflow.store.tables import goes_on, last_number


class Lineage:
    """The last number that was seen of a journal, from any thread. `name` is how messages call the
    store, `path` is its file."""

    def __init__(self, name: str, path: str) -> None:
        self._name, self._path = name, path
        self._number: int | None = None
        self.losses = 0  # how often it was found gone, or to be another one

    def check(self, connection: sqlite3.Connection) -> None:
        """Raises StoreUnavailable if the database does not go on from what was seen of it."""
        seen = self._number  # before the question: another thread may see more meanwhile
        newest = last_number(connection)
        if seen is not None and newest != seen and not goes_on(connection, seen):
            raise self.lost()
        if self._number is None or newest > self._number:
            self._number = newest

    def lost(self) -> StoreUnavailable:
        """What is said of a database that is not the one that was opened."""
        self.losses += 1
        return StoreUnavailable(
            f"{self._name}: {self._path} was replaced, or lost changes that were seen in it, and is"
            " not followed; put the old one back, or restart to run what is in it"
        )
