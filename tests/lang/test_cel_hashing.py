"""hmac.sha256, hmac.equal, hex.encode in CEL (BEHAVIOUR 15.3)."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow import lang
from greenflow.errors import CompileFailed, GreenflowError

TEXTS = st.text() | st.binary()


def run(code: str, payload: Any) -> Any:
    return lang.compile("cel", code)(payload)


def as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def test_a_known_signature() -> None:
    """RFC 4231, section 4.3."""
    assert run("hex.encode(hmac.sha256('Jefe', self))", b"what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


@given(TEXTS, TEXTS)
def test_it_is_the_hmac_of_the_bytes(key: str | bytes, data: str | bytes) -> None:
    expected = hmac.digest(as_bytes(key), as_bytes(data), "sha256")
    assert run("hmac.sha256(self[0], self[1])", [key, data]) == expected
    assert run("hmac.equal(self[0], self[1])", [key, data]) == (as_bytes(key) == as_bytes(data))


@pytest.mark.parametrize("code", ["hmac.sha256(1, self)", "hex.encode('x')", "hmac.equal(self, 1)"])
def test_other_types_are_errors(code: str) -> None:
    with pytest.raises(GreenflowError, match="no such overload"):
        run(code, b"x")


def test_other_hashes_are_unknown_at_load() -> None:
    with pytest.raises(CompileFailed):
        lang.compile("cel", "hmac.md5('key', self)")
