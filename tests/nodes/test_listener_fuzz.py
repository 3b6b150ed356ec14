"""listener: what is nearly HTTP over real connections, the same each time. tests/soak/test_fuzz.py
goes on for longer."""

from __future__ import annotations

from hypothesis import given, settings

from tests import fuzz


def test_whatever_comes_is_answered_or_closed() -> None:
    with fuzz.fuzzed() as send:
        settings(fuzz.SETTINGS, max_examples=800, derandomize=True)(
            given(fuzz.STREAM_IN_PIECES, fuzz.ENDINGS)(send)
        )()
