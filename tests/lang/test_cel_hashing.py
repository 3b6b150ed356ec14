"""The hashes, signatures and hexadecimal of CEL that are ours (BEHAVIOUR 15.3)."""

from __future__ import annotations

import hashlib
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


@given(TEXTS, TEXTS)
def test_every_hash_is_that_of_the_bytes(key: str | bytes, data: str | bytes) -> None:
    for name in ("md5", "sha1", "sha256", "sha512"):
        expected = hashlib.new(name, as_bytes(data)).digest()
        assert run(f"hash.{name}(self)", data) == expected
        assert run("hex.decode(hex.encode(self))", expected) == expected
    for name in ("sha1", "sha512"):
        expected = hmac.digest(as_bytes(key), as_bytes(data), name)
        assert run(f"hmac.{name}(self[0], self[1])", [key, data]) == expected
    assert run("secure.equal(self[0], self[1])", [key, data]) == (as_bytes(key) == as_bytes(data))


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 21) + 5])
def test_long_data_is_hashed_piece_by_piece(size: int) -> None:
    data = b"ab" * (size // 2) + b"c" * (size % 2)
    assert run("hash.sha256(self)", data) == hashlib.sha256(data).digest()
    assert run("hmac.sha256('k', self)", data) == hmac.digest(b"k", data, "sha256")


def test_what_a_hash_costs_grows_with_its_data() -> None:
    """1,000,000 steps hash 16 MB."""
    code = "self.n.exists(i, hash.sha256(self.data) == b'')"
    assert run(code, {"n": list(range(90)), "data": b"a"}) is False
    long = {"n": list(range(90)), "data": bytes(1 << 18)}
    for each in ("hash.md5(self.data)", "hmac.sha1('k', self.data)", "hash.sha512(self.data)"):
        with pytest.raises(GreenflowError, match="steps"):
            run(f"self.n.exists(i, {each} == b'')", long)


@pytest.mark.parametrize("text", ["0", "0g", "0 0", " 00", "00 ", "\u0660\u0660", "0x00", "-1"])
def test_what_is_no_hexadecimal_is_an_error(text: str) -> None:
    with pytest.raises(GreenflowError, match="no hexadecimal"):
        run("hex.decode(self)", text)


def test_hexadecimal_is_read_in_either_case() -> None:
    assert run("hex.decode(self)", "00fFaB") == b"\x00\xff\xab"
    assert run("hex.decode(self)", "") == b""


@pytest.mark.parametrize(
    "code",
    [
        "hmac.sha256(1, self)",
        "hex.encode('x')",
        "hmac.equal(self, 1)",
        "hash.md5(1)",
        "hex.decode(self)",
        "secure.equal(1, 1)",
    ],
)
def test_other_types_are_errors(code: str) -> None:
    with pytest.raises(GreenflowError, match="no such overload"):
        run(code, b"x")


def test_other_hashes_are_unknown_at_load() -> None:
    with pytest.raises(CompileFailed):
        lang.compile("cel", "hmac.md5('key', self)")
