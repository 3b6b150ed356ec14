"""What a body without Content-Type looks like (BEHAVIOUR 10.11)."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.net.mime.guessing import BYTES, FORM, JSON, SNIFFED_BYTES, TEXT, guessed


@pytest.mark.parametrize(
    ("body", "kind", "value"),
    [
        (b"", TEXT, ""),
        (b'{"a": 1}', JSON, {"a": 1}),
        (b" [1, 2]\n", JSON, [1, 2]),
        (b"42", JSON, 42),
        (b"true", JSON, True),
        (b"a=1&b=2", FORM, {"a": ["1"], "b": ["2"]}),
        (b"a%20b", FORM, {"a b": [""]}),
        (b"hello there", TEXT, "hello there"),
        ("grüße".encode(), TEXT, "grüße"),
        (b"50% off", TEXT, "50% off"),
        (b"a=1;b=2", TEXT, "a=1;b=2"),
        (b"{a: 1", TEXT, "{a: 1"),
        (b"\xff\xfe=", BYTES, b"\xff\xfe="),
        (b"\x89PNG\r\n\x1a\n", BYTES, b"\x89PNG\r\n\x1a\n"),
        (b"a\x00b", BYTES, b"a\x00b"),
        (b"\n <!doctype html >", BYTES, b"\n <!doctype html >"),
        (b"<3 you", TEXT, "<3 you"),
        (b"%PDF-1.7;", BYTES, b"%PDF-1.7;"),
        (b"a" * SNIFFED_BYTES + b"\x01", TEXT, "a" * SNIFFED_BYTES + "\x01"),
    ],
)
def test_it_is_what_it_looks_like(body: bytes, kind: str, value: Any) -> None:
    assert guessed(body) == (kind, value)


def test_a_large_text_of_json() -> None:
    body = b"[" + b"1," * 100_000 + b"1]"
    assert guessed(body) == (JSON, [1] * 100_001)
