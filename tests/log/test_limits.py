"""How long a record is: cut, said so, and no part of a secret left over."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.log import JSONFormatter, TextFormatter, secret
from greenflow.log.limits import RECORD

FORMATS = (JSONFormatter(), TextFormatter(False), TextFormatter(True))


def record(message: str, error: BaseException | None = None, **fields: str) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": "%s", "args": (message,), "levelname": "INFO", **fields})
    made.exc_info = None if error is None else (type(error), error, error.__traceback__)
    return made


def failing(message: str, depth: int = 0) -> Exception:
    try:
        deep(message, depth)
    except ValueError as error:
        return error
    raise AssertionError


def deep(message: str, depth: int) -> None:
    if depth:
        shallow(message, depth - 1)  # two by turns: Python shortens a frame that repeats
    raise ValueError(message)


def shallow(message: str, depth: int) -> None:
    deep(message, depth)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", ["x", "\u20ac", "\n", "\\", "\U0001f600", "a\x1b[31m b://c:d@e "])
def test_a_record_has_eight_kibibytes_and_says_what_was_cut(
    format: logging.Formatter, text: str
) -> None:
    long = text * 3_000_000
    for made in (
        record(long),
        record("short", path=long, node=long),
        record(long, failing(long, 30), path=long),
    ):
        line = format.format(made)
        assert len(line.encode("utf-8", "backslashreplace")) <= RECORD
        assert "[cut]" in line
    assert len(format.format(record("x" * 7_000))) > 7_000


def test_what_is_short_is_kept_whole() -> None:
    line = json.loads(JSONFormatter().format(record("y" * 100_000, path="/orders", node="pay")))
    assert (line["path"], line["node"]) == ("/orders", "pay")
    assert line["message"].endswith("y ... [cut]")
    assert len(line["message"]) > 7_000


def test_a_long_traceback_keeps_both_its_ends() -> None:
    line = json.loads(JSONFormatter().format(record("it failed", failing("no luck", 200))))
    trace = line["traceback"]
    assert trace.startswith("Traceback")
    assert "in failing" in trace
    assert "parts cut]" in trace
    assert trace.endswith("ValueError: no luck")


@given(st.integers(RECORD - 200, RECORD + 200), st.integers(1, 200))
def test_no_part_of_a_secret_is_left_where_it_is_cut(before: int, length: int) -> None:
    hidden = "".join(chr(0x4E00 + number) for number in range(length + secret.SHORTEST))
    held = secret.hold([hidden])
    try:
        for around in (hidden, f"password={hidden}", f"amqp://me:{hidden}@host/"):
            for made in (record("x" * before + around + "x" * RECORD * 4), record("a" + around)):
                for format in FORMATS:
                    shown = format.format(made).encode().decode("unicode_escape", "replace")
                    assert not set(hidden) & set(json.dumps(shown))
                    assert hidden[: secret.SHORTEST] not in format.format(made)
    finally:
        secret.release(held)


def test_a_secret_that_is_known_by_its_look_is_not_seen_when_it_is_longer_than_a_record() -> None:
    value = "hunter2" * 100_000
    for around in (f"password={value}", f"amqp://me:{value}@host/", f"https://me:{value}@host/"):
        for format in FORMATS:
            assert "hunter2" not in format.format(record(around, failing(around)))


def test_the_command_line_sets_the_limit() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMATS[0])
    handler.handle(record("x" * 10_000))
    assert len(stream.getvalue()) <= RECORD + 1
