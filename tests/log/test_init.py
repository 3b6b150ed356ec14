"""Logs: one record a line, the fields, the errors, and no secrets."""

from __future__ import annotations

import io
import json
import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import gevent
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenflow.log import configure, printable
from tests.waiting import DEADLINE, until

# The machine may be busy; what is tested is not how fast it is.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    root, hub = logging.getLogger(), gevent.get_hub()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("urllib3").setLevel(logging.NOTSET)
    vars(hub).pop("print_exception", None)


logger = logging.getLogger("greenflow.test")


def logged(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail() -> None:
    raise RuntimeError("no luck\nwith password=hunter2")


def test_a_json_record_is_one_line_with_its_fields() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    fields = {"namespace": "shop", "node": "pay", "process_id": 7}
    logger.info("paid %d \u20ac\nin two lines \u2028", 5, extra=fields)
    [entry] = logged(stream)
    assert stream.getvalue().count("\n") == 1
    assert entry.pop("ts").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "greenflow.test",
        "message": "paid 5 \u20ac\nin two lines \u2028",
        "namespace": "shop",
        "node": "pay",
        "process": "7",
    }


def test_the_time_is_rfc_3339_in_utc_with_milliseconds() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    record = logging.LogRecord("a", logging.INFO, "", 0, "x", None, None)
    record.created = 1_700_000_000.0
    logging.getLogger().handle(record)
    assert logged(stream)[0]["ts"] == "2023-11-14T22:13:20.000Z"
    assert datetime.fromisoformat(logged(stream)[0]["ts"]).timestamp() == record.created


def test_an_error_is_in_the_record_redacted() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    try:
        fail()
    except RuntimeError:
        logger.exception("it failed")
    [entry] = logged(stream)
    assert entry["level"] == "error"
    assert entry["error"] == "RuntimeError: no luck\nwith password=***"
    assert entry["traceback"].startswith("Traceback")
    assert "hunter2" not in stream.getvalue()


def test_text_is_one_line_and_a_traceback_follows_indented() -> None:
    stream = io.StringIO()
    configure(format="text", stream=stream)
    logger.warning("one\ntwo \x1b[31m", extra={"node": "pay"})
    try:
        fail()
    except RuntimeError:
        logger.exception("it failed")
    first, second, *trace = stream.getvalue().splitlines()
    assert first.endswith(r" WARNING one\ntwo \x1b[31m node=pay")
    assert second.endswith(" ERROR   it failed")
    assert trace[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in trace)
    assert "hunter2" not in stream.getvalue()


def test_the_form_follows_the_terminal_and_colour_can_be_turned_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    configure(stream=terminal)
    logger.info("coloured")
    assert "\x1b[32m" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    configure(stream=plain)
    logger.info("plain")
    assert "\x1b" not in plain.getvalue()
    assert "plain" in plain.getvalue()
    forced = Terminal()
    configure(format="json", stream=forced)
    logger.info("json")
    assert logged(forced)[0]["message"] == "json"


def test_the_level_decides_and_a_second_set_up_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(stream=first)
    configure("warning", stream=second)
    logger.info("not wanted")
    logger.warning("wanted")
    assert first.getvalue() == ""
    assert [entry["message"] for entry in logged(second)] == ["wanted"]


def test_what_the_http_client_asks_for_is_never_logged() -> None:
    stream = io.StringIO()
    configure("debug", stream=stream)
    asking = logging.getLogger("urllib3.connectionpool")
    asking.debug('"GET /private/path HTTP/1.1" 200')
    asking.warning("a warning")
    assert [entry["message"] for entry in logged(stream)] == ["a warning"]


@pytest.mark.parametrize("arguments", [{"level": "loud"}, {"format": "xml"}])
def test_an_unknown_level_or_format_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one of"):
        configure(**arguments)


def test_an_error_that_no_greenlet_caught_is_one_record() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    failing = gevent.spawn(fail)
    failing.join()
    [entry] = logged(stream)
    assert entry["logger"] == "greenflow.greenlet"
    assert entry["message"] == f"uncaught error in greenlet {failing.name}"
    assert entry["error"].startswith("RuntimeError: no luck")


def test_an_interrupt_of_the_program_is_no_error() -> None:
    """The hub was running when it came; the main greenlet gets it."""
    stream = io.StringIO()
    configure(stream=stream)
    gevent.get_hub().loop.run_callback(signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        gevent.sleep(DEADLINE)
    assert stream.getvalue() == ""


def test_an_error_of_a_callback_of_the_hub_is_one_record() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    gevent.get_hub().loop.run_callback(fail)
    until(stream.getvalue)
    [entry] = logged(stream)
    assert entry["message"].startswith("uncaught error in ")
    assert entry["error"].startswith("RuntimeError: no luck")


def test_a_killed_greenlet_is_no_error() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    greenlet = gevent.spawn(gevent.sleep, 60)
    gevent.sleep(0)
    greenlet.kill()
    assert stream.getvalue() == ""


def test_warnings_of_python_are_records() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    [entry] = logged(stream)
    assert (entry["level"], entry["logger"]) == ("warning", "py.warnings")


def test_where_nobody_reads_logging_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    configure(stream=Broken())
    logger.info("lost")
    closed = io.StringIO()
    configure(stream=closed)
    closed.close()
    logger.info("lost")
    assert capsys.readouterr() == ("", "")


def test_a_record_with_wrong_arguments_does_not_stop_the_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    configure(stream=io.StringIO())
    logger.info("%d", "no number")


def test_standard_error_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure()
    logger.info("here")
    assert logged(stream)[0]["message"] == "here"


@untimed
@given(st.text(max_size=40))
def test_what_is_printable_is_one_line(text: str) -> None:
    assert len(printable(text).splitlines()) <= 1
