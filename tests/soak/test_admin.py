"""The admin interface under ten thousand calls made of its own document."""

from __future__ import annotations

from tests.admin import fuzzed


def test_ten_thousand_calls_are_answered_as_documented() -> None:
    assert fuzzed.ask(10_000 // 14) > 10_000
