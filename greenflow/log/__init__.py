"""Logs of the command line: one record is one line on standard error, and shows no secret.

Lives here: the set-up of the standard library's logging (`configure`) and its two formats. What a
secret is, redactor.py and secret.py say. What logs is elsewhere: library code calls
`logging.getLogger("greenflow....")` and nothing more, so that an embedding program keeps its own
set-up.

A record may carry the fields of FIELDS (through `extra=`). On a terminal it is text,
elsewhere a JSON object; both are redacted as a whole, after the arguments were put in. An error
that no greenlet caught is a record as well: gevent's hub would print it in many lines.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from greenflow.log.redactor import redact
from greenflow.log.secret import concealed

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
            "message": redact(record.getMessage()),
        }
        for field, shown in FIELDS.items():
            value = getattr(record, field, None)
            if value is not None:
                entry[shown] = redact(str(value))
        error = _error_of(record)
        if error is not None:
            entry["error"] = redact(_summary(error))
            entry["traceback"] = redact(_trace(error))
        # ASCII only: a line then is one line to every reader, in every locale.
        return json.dumps(entry)


class TextFormatter(logging.Formatter):
    """A record for people: time, level, message, fields; a traceback follows, indented."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        level = f"{record.levelname:<7}"
        fields = "".join(
            f" {shown}={printable(redact(str(value)))}"
            for field, shown in FIELDS.items()
            if (value := getattr(record, field, None)) is not None
        )
        if self.colour:
            level = f"{_COLOURS.get(record.levelno, '')}{level}{_PLAIN}"
            fields = f"\x1b[2m{fields}{_PLAIN}" if fields else ""
        line = f"{time} {level} {printable(redact(record.getMessage()))}{fields}"
        error = _error_of(record)
        if error is None:
            return line
        trace = "\n".join(f"    {printable(part)}" for part in redact(_trace(error)).splitlines())
        return f"{line}\n{trace}"


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error, and stays silent where nobody reads it any more."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handleError(record)


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
    handler = _Handler(target)
    if format == "json" or (format == "auto" and not terminal):
        handler.setFormatter(JSONFormatter())
    else:
        handler.setFormatter(TextFormatter(terminal and not os.environ.get("NO_COLOR")))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.INFO)
    logging.captureWarnings(True)
    _catch_hub_errors()


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


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
