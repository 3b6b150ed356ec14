"""Logs of the command line: one record is one line on standard error, and shows no secret.

Lives here: the set-up of the standard library's logging (`configure`) and its two formats. What a
secret is, redactor.py and secret.py say, how long a record may be limits.py; a thread writes them,
so that nobody waits for who reads them (writer.py); the last ones are kept (recent.py). What logs
is elsewhere: library code calls `logging.getLogger("greenflow....")` and nothing more, so that an
embedding program keeps its own set-up.

A record may carry the fields of FIELDS (through `extra=`). On a terminal it is text,
elsewhere a JSON object; both are redacted as a whole, after the arguments were put in. An error
that no greenlet caught is a record as well: gevent's hub would print it in many lines.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import sys
import time
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from greenflow.log import recent
from greenflow.log.limits import RECORD, fit, shown, shown_trace
from greenflow.log.secret import concealed
from greenflow.log.writer import Writer

#: What a setting `log.level` may say, and the level of logging it stands for.
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

#: What a setting `log.format` may say.
FORMATS = ("auto", "text", "json")

#: Fields a record may carry, in the order in which they are shown, and under which name: logging
#: keeps `process` for the number of the OS process, so a workflow's is passed as `process_id`.
FIELDS = {
    "namespace": "namespace",
    "node": "node",
    "kind": "kind",
    "source": "source",
    "at": "at",
    "code": "code",
    "method": "method",
    "path": "path",
    "status": "status",
    "request_id": "request_id",
    "process_id": "process",
}

# Libraries that log what they send at the level debug, and secrets with it: the path and the query
# of requests, commands to a database with their documents, messages of a broker.
_TALKATIVE = ("urllib3", "pymongo", "sqlalchemy", "amqp", "redis", "botocore")

# Control characters, of which a terminal would obey some, and characters that end a line for some
# readers. Text of others reaches the log: paths of requests, messages of errors.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_COLOURS = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[31;1m",
}
_PLAIN = "\x1b[0m"

# Bytes of a line for people that are of no text: time, level, colours, names of fields.
_AROUND = 256


def printable(text: str) -> str:
    """`text` on one line, with control characters written as escapes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class JSONFormatter(logging.Formatter):
    """A record as one JSON object: ts (RFC 3339, UTC, milliseconds), level, logger, message, the
    fields the record carries, and error and traceback where there is an error."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, str] = {
            "ts": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": shown(record.getMessage()),
        }
        for field, name in FIELDS.items():
            value = getattr(record, field, None)
            if value is not None:
                entry[name] = shown(str(value))
        error = _error_of(record)
        if error is not None:
            entry["error"] = shown(_summary(error))
            entry["traceback"] = shown_trace(traceback.format_exception(error))
        # ASCII only: a line then is one line to every reader, in every locale.
        line = json.dumps(entry)
        if len(line) <= RECORD:
            return line
        around = len(json.dumps(dict.fromkeys(entry, "")))
        return json.dumps(fit(entry, RECORD - around, lambda text: len(json.dumps(text)) - 2))


class TextFormatter(logging.Formatter):
    """A record for people: time, level, message, fields; a traceback follows, indented."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        level = f"{record.levelname:<7}"
        texts = {"": printable(shown(record.getMessage()))}
        for field, name in FIELDS.items():
            if (value := getattr(record, field, None)) is not None:
                texts[name] = printable(shown(str(value)))
        trace = "" if (error := _error_of(record)) is None else self._trace(error)
        texts = fit(texts, RECORD - _AROUND - _size(trace), _size)
        message = texts.pop("")
        fields = "".join(f" {name}={text}" for name, text in texts.items())
        if self.colour:
            level = f"{_COLOURS.get(record.levelno, '')}{level}{_PLAIN}"
            fields = f"\x1b[2m{fields}{_PLAIN}" if fields else ""
        return f"{time} {level} {message}{fields}{trace}"

    def _trace(self, error: BaseException) -> str:
        text = shown_trace(traceback.format_exception(error))
        lines = "".join(f"\n    {printable(part)}" for part in text.splitlines())
        return fit({"": lines}, RECORD * 3 // 4, _size)[""]


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream that a program keeps in memory, or put in the place of standard error."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handleError(record)


class _Writing(logging.Handler):
    """Has a thread write to a stream that is a file, a pipe or a terminal."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._encoding = stream.encoding or "utf-8"
        # Made here: the thread must not ask, as a record does, which greenlet it is in.
        self._notice = logging.makeLogRecord(
            {"name": "greenflow.log", "levelno": logging.WARNING, "levelname": "WARNING"}
            | {"msg": "%d records were dropped: they were not read, or could not be written"}
        )
        self._writer = Writer(stream, self._dropped)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._line(record)
            recent.keep(record, line)
            self._writer.put(line)
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handleError(record)

    @property
    def dropped(self) -> int:
        return self._writer.dropped

    def flush(self) -> None:
        self.drain()

    def drain(self) -> bool:
        """Wait until all is written; False if nobody reads it."""
        return self._writer.flush()

    def close(self) -> None:
        self._writer.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")

    def _dropped(self, count: int) -> bytes:
        record = copy.copy(self._notice)
        record.args, record.created = (count,), time.time()
        return self._line(record)


def configure(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:
    """Sends every record from `level` on to `stream` (standard error), replacing what handlers the
    root logger has. `format` is `auto` (text on a terminal, else JSON), `text` or `json`.

    From then on also logs Python's warnings, and errors that no greenlet of this thread caught.
    Raises ValueError for an unknown level or format.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}: one of {', '.join(LEVELS)}")
    if format not in FORMATS:
        raise ValueError(f"unknown log format {format!r}: one of {', '.join(FORMATS)}")
    target = sys.stderr if stream is None else stream
    terminal = target is not None and target.isatty()
    handler = _Writing(target) if _is_file(target) else _Handler(target)
    if format == "json" or (format == "auto" and not terminal):
        handler.setFormatter(JSONFormatter())
    else:
        handler.setFormatter(TextFormatter(terminal and not os.environ.get("NO_COLOR")))
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], [handler]
    for each in before:
        if isinstance(each, _Writing):
            each.close()
    root.setLevel(LEVELS[level])
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.INFO)
    logging.captureWarnings(True)
    _catch_hub_errors()


def flush() -> bool:
    """Wait, not for long, until what was logged by now is written; False if nobody reads it."""
    return all(
        handler.drain() for handler in logging.getLogger().handlers if isinstance(handler, _Writing)
    )


def dropped() -> int:
    """How many records were dropped by now, as they were not read, or could not be written."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped for handler in handlers if isinstance(handler, _Writing))


def _is_file(stream: TextIO | None) -> bool:
    """Whether the system knows it. What it does not know is in memory, or not there."""
    try:
        return stream is not None and stream.fileno() >= 0
    except (AttributeError, OSError, ValueError):
        return False


def _catch_hub_errors() -> None:
    """Makes the hub of this thread log what it would print (its documented hook)."""
    from gevent import get_hub

    logger = logging.getLogger("greenflow.greenlet")

    def log_error(
        context: object,
        kind: type[BaseException],
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return  # no error: the hub hands it on to the main greenlet, which ends the program
        error = concealed(kind() if error is None else error)
        logger.error(
            "uncaught error in %s", _name(context), exc_info=(type(error), error, trace or None)
        )

    hub: Any = get_hub()
    hub.print_exception = log_error


def _name(context: object) -> str:
    """What a person calls the greenlet or callback in which the hub met an error."""
    name = getattr(context, "name", None)
    return f"greenlet {name}" if isinstance(name, str) else repr(context)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _summary(error: BaseException) -> str:
    """The error in one line."""
    return "".join(traceback.format_exception_only(error)).strip()


def _size(text: str) -> int:
    """Bytes of a text in a line for people."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))
