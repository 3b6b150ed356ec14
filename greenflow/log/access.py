"""The access log: one line for each answered request, without secrets.

Lives here: AccessEntry, what is known of a request; its two forms, JSON and the combined format of
Apache; and AccessLog, which has a thread write them (writer.py), so that who answers never waits.
Who knows what was answered is the listener.

What strangers send stands in these lines: secrets in paths and queries are taken out as in the log
(redactor.py), control characters are escaped, and a text has an end. A file that was moved away, as
logrotate does, is opened anew within a second.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import NamedTuple

from greenflow.errors import GreenflowError
from greenflow.log.limits import CUT, shown
from greenflow.log.writer import Writer, WriteTarget, native_lock

#: What a setting `log.access_format` may say.
ACCESS_FORMATS = ("json", "combined")

#: Characters of one text in a line: a path, or what a client says of itself.
TEXT = 2048

#: Seconds between looks whether the file is still there.
LOOK = 1.0

_log = logging.getLogger("greenflow.log")


class AccessEntry(NamedTuple):
    """One answered request. `client` is who asked, as far as proxies are believed; `path` has the
    query; `sent` are the bytes of the answer's body, None where nobody counted them. Method and
    path are empty for one that could not be read."""

    client: str
    method: str
    path: str
    status: int
    sent: int | None
    seconds: float
    listener: str
    route: str = ""
    request_id: str | None = None
    version: str = "1.1"
    referer: str | None = None
    agent: str | None = None


class _File:
    """A file that is only added to; it is closed with its last reference, which a thread has."""

    closed = False

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o640)
        self.inode = os.fstat(self._descriptor).st_ino

    def fileno(self) -> int:
        return self._descriptor

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


class AccessLog:
    """Writes the lines to a file, or to standard output for `-`. From any OS thread.

    Raises OSError for a file that cannot be opened.
    """

    def __init__(self, to: str, format: str = "json") -> None:
        self._write = to_json if format == "json" else to_combined
        self._path = None if to == "-" else os.path.abspath(to)
        self._lock = native_lock()
        self._inode, self._look_at, self._dropped = 0, 0.0, 0
        self._writer = self._open()

    def tell(self, entry: AccessEntry) -> None:
        """Have the line of that request written soon."""
        line = self._write(entry, time.time())
        with self._lock:
            if self._path is not None and (now := time.monotonic()) >= self._look_at:
                self._look_at = now + LOOK
                self._follow()
            self._writer.put(line)

    @property
    def dropped(self) -> int:
        """How many lines were dropped, as the file could not be written quickly enough."""
        return self._dropped + self._writer.dropped

    def close(self) -> None:
        """Write what waits, if that is soon done."""
        self._writer.close()

    def _open(self) -> Writer:
        stream: WriteTarget = sys.stdout
        if self._path is not None:
            stream = file = _File(self._path)
            self._inode = file.inode
        return Writer(stream, _notice)

    def _follow(self) -> None:
        """Open the file anew if another one, or none, has its name."""
        assert self._path is not None
        try:
            if os.stat(self._path).st_ino == self._inode:
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        before = self._writer
        try:
            self._writer = self._open()
        except OSError as error:
            _log.warning("the access log goes on in the old file: %s", error.strerror)
            return
        self._dropped += before.dropped
        before.end()


def _notice(dropped: int) -> bytes:
    return json.dumps({"ts": _moment(time.time()), "dropped": dropped}).encode() + b"\n"


def to_json(entry: AccessEntry, now: float) -> bytes:
    """A line of JSON, in ASCII."""
    fields: dict[str, object] = {
        "ts": _moment(now),
        "client": entry.client,
        "method": _text(entry.method) or None,
        "path": _text(entry.path) or None,
        "status": entry.status,
        "bytes": entry.sent,
        "seconds": round(entry.seconds, 6),
        "listener": entry.listener,
        "route": entry.route or None,
        "request_id": entry.request_id,
    }
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode() + b"\n"


def to_combined(entry: AccessEntry, now: float) -> bytes:
    """A line of the combined format (Apache's LogFormat `combined`)."""
    request = f"{entry.method} {entry.path} HTTP/{entry.version}" if entry.method else ""
    sent = "-" if entry.sent is None else entry.sent
    moment = datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    line = (
        f"{_quoted(entry.client) or '-'} - - [{moment}] "
        f'"{_quoted(request) or "-"}" {entry.status} {sent} '
        f'"{_quoted(entry.referer or "") or "-"}" "{_quoted(entry.agent or "") or "-"}"\n'
    )
    return line.encode("ascii")


def _text(text: str) -> str:
    """Without secrets, and not too long."""
    text = shown(text)
    return text if len(text) <= TEXT else text[:TEXT] + CUT


def _quoted(text: str) -> str:
    """As Apache writes it between quotes: quotes and backslashes escaped, and all that is no
    printable ASCII as the bytes of its UTF-8."""
    return "".join(map(_escaped, _text(text)))


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def _moment(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def open_access_log(to: str, format: str) -> AccessLog:
    """The access log that the settings ask for. Raises GreenflowError."""
    try:
        return AccessLog(to, format)
    except OSError as error:
        raise GreenflowError(
            f"log.access: {to} cannot be written: {error.strerror}; name a file in a folder that "
            "this user may write to, or - for standard output"
        ) from error
