"""Fuzzing of a listener for a bounded time, anew each time. A failure says how to repeat it."""

from __future__ import annotations

import secrets
from time import monotonic

from hypothesis import given, seed, settings

from tests import fuzz

SECONDS = 100.0
ROUND = 1000  # streams of one seed


def test_whatever_comes_is_answered_or_closed() -> None:
    end = monotonic() + SECONDS
    with fuzz.fuzzed() as send:
        while monotonic() < end:
            chosen = secrets.randbits(32)
            print(f"seed {chosen}")
            seed(chosen)(
                settings(fuzz.SETTINGS, max_examples=ROUND)(
                    given(fuzz.STREAM_IN_PIECES, fuzz.ENDINGS)(send)
                )
            )()
