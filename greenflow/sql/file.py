"""One SQLite file: how it is opened, and what its errors mean to who must act.

Lives here: functions that run in the thread of a connection. What is done with the connection is
sqlite.py's.
"""

from __future__ import annotations

import os
import sqlite3
from time import monotonic
from urllib.parse import quote

from gevent.monkey import get_original

from greenflow.errors import SqlUnavailable
from greenflow.sql.source import SqliteSource

# Seconds between tries where SQLite reports a lock at once instead of waiting for it, as it does
# while another connection turns on WAL mode.
RETRY = 0.01

# In a monkey-patched program `time.sleep` would make a hub in the thread.
_native_sleep = get_original("time", "sleep")


def identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def connect(source: SqliteSource, timeout: float, reads_only: bool) -> sqlite3.Connection:
    target = f"file:{quote(source.path)}?mode={source.mode}" if source.path else ":memory:"
    connection = sqlite3.connect(
        target, uri=True, isolation_level=None, timeout=timeout, check_same_thread=False
    )
    try:
        if source.synchronous:
            connection.execute(f"PRAGMA synchronous={source.synchronous}")
        connection.execute(f"PRAGMA foreign_keys={int(source.foreign_keys)}")
        if reads_only:
            connection.execute("PRAGMA query_only=ON")
        elif source.path and source.mode != "ro":
            _set_journal(connection, source, timeout)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # is it a database?
    except BaseException:
        connection.close()
        raise
    return connection


def _set_journal(connection: sqlite3.Connection, source: SqliteSource, timeout: float) -> None:
    mode = source.journal_mode
    if not mode:
        ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
        mode = "" if pages else "WAL"
    end = monotonic() + timeout
    while mode:
        try:
            ((found,),) = connection.execute(f"PRAGMA journal_mode={mode}").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > end:
                raise
            _native_sleep(RETRY)
            continue
        if source.journal_mode and found.upper() != mode:
            raise SqlUnavailable(f"{source.name} cannot have the journal mode {mode}")
        return


def reason_of(source: SqliteSource, error: sqlite3.Error, waited: float = 0) -> str:
    """What went wrong, where, and what to do."""
    kind = getattr(error, "sqlite_errorname", type(error).__name__)
    folder = os.path.dirname(source.path)
    if kind.startswith("SQLITE_CANTOPEN"):
        if os.path.isdir(source.path):
            return f"{source.path} is a folder; name a file"
        if not os.path.isdir(folder):
            return f"the folder {folder} does not exist; create it"
        if not os.path.exists(source.path):
            return f"{source.path} does not exist, and its `mode` does not let it be created"
        return f"{source.path} cannot be opened; allow this user to write it and {folder}"
    for prefix, reason in (
        ("SQLITE_NOTADB", "is not an SQLite database; name another file"),
        ("SQLITE_READONLY", f"is read-only; allow writing it and {folder}"),
        ("SQLITE_BUSY", f"has been locked by another program for {waited:g} s"),
        ("SQLITE_FULL", "cannot grow: free some space on its disk"),
        ("SQLITE_CORRUPT", "is damaged; restore it from a backup"),
    ):
        if kind.startswith(prefix):
            return f"{source.path} {reason}"
    return f"{source.name}: {error} ({kind})"
