"""One call in a thread of the hub's own pool."""

from __future__ import annotations

import threading

import pytest

from greenflow.hub import blocking


def test_a_call_runs_in_another_thread_and_its_result_comes_back() -> None:
    assert blocking.call(threading.get_ident) != threading.get_ident()
    assert blocking.call(divmod, 7, 3) == (2, 1)


def test_an_error_is_raised_once_and_printed_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        blocking.call(divmod, 1, 0)
    with pytest.raises(SystemExit):
        blocking.call(exit, 3)
    assert capfd.readouterr() == ("", "")
