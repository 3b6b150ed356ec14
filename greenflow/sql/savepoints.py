"""The savepoints of one connection, as its lane sees them.

Lives here: Savepoints. Which part of a process has one, and who waits for it, is transaction.py's.

They are made in a stack: to undo or keep one ends all that were made after it. One that was never
made, because its transaction did not begin or has ended, is no business of anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

Execute = Callable[[str], object]


class _Words(NamedTuple):
    """How a database says it, with a name; nothing where it has no word for it."""

    make: str = "SAVEPOINT {}"
    undo: str = "ROLLBACK TO SAVEPOINT {}"
    keep: str = "RELEASE SAVEPOINT {}"


# Those that do not say it as SQL:2023 does. SQL Server begins a transaction with a statement, of
# which this is none.
_WORDS = {
    "mssql": _Words(
        "IF @@TRANCOUNT = 0 BEGIN TRANSACTION; SAVE TRANSACTION {}", "ROLLBACK TRANSACTION {}", ""
    ),
    "oracle": _Words(keep=""),
}


class Savepoints:
    """Those of one transaction, the outermost first. `dialect` is SQLAlchemy's name for it."""

    def __init__(self, dialect: str) -> None:
        self._words = _WORDS.get(dialect, _Words())
        self.names: list[str] = []

    def make(self, execute: Execute, names: Iterable[str]) -> None:
        """Make those that are not there. Raises what the driver does."""
        for name in names:
            if name not in self.names:
                execute(self._words.make.format(name))
                self.names.append(name)

    def undo(self, execute: Execute, name: str) -> None:
        """Undo all that was done since it was made. Raises what the driver does."""
        if name in self.names:
            del self.names[self.names.index(name) :]
            execute(self._words.undo.format(name))
            if self._words.keep:  # else it stands there, with nothing after it
                execute(self._words.keep.format(name))

    def keep(self, execute: Execute, name: str) -> None:
        """Keep what was done since it was made, but not since those that were made after it. Raises
        what the driver does."""
        if name in self.names:
            self.undo_above(execute, self.names.index(name) + 1)
            if self._words.keep:
                execute(self._words.keep.format(name))
            self.names.remove(name)

    def undo_above(self, execute: Execute, level: int = 0) -> None:
        """Undo all but so many: their parts have not ended well by now."""
        if len(self.names) > level:
            self.undo(execute, self.names[level])
