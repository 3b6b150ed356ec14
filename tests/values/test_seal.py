"""Data at rest (BEHAVIOUR 16.6)."""

from __future__ import annotations

import sys
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.values.seal import KeyInvalid, Keys, Sealed

ONE, TWO, THREE = (b64encode(bytes([byte]) * 32).decode() for byte in (1, 0xFF, 3))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_what_is_sealed_is_opened(data: Any) -> None:
    keys = Keys([ONE])
    assert keys.open(keys.seal(data)) == data


def test_the_text_shows_nothing_and_is_another_each_time() -> None:
    keys = Keys([ONE])
    first, second = keys.seal("hunter2"), keys.seal("hunter2")
    assert first != second
    assert "hunter2" not in first
    assert keys.holds(first, "hunter2")
    assert not keys.holds(first, "hunter3")


def test_the_first_key_encrypts_and_each_decrypts() -> None:
    old = Keys([ONE]).seal("data")
    both = Keys([TWO, ONE])
    assert both.open(old) == "data"
    assert not both.holds(old, "data")
    new = both.seal("data")
    assert Keys([TWO]).open(new) == "data"
    assert both.holds(new, "data")


@pytest.mark.parametrize(
    ("keys", "text", "reason"),
    [
        (Keys([]), Keys([ONE]).seal(1), "the setting values.key is not set"),
        (Keys([TWO, THREE]), Keys([ONE]).seal(1), "not among those of values.key, or was damaged"),
        (Keys([ONE]), "", "damaged"),
        (Keys([ONE]), "gAAAAA", "damaged"),
        (Keys([ONE]), "ä", "damaged"),
        (Keys([ONE]), Keys([ONE]).seal(1)[:-4] + "AAA=", "damaged"),
    ],
    ids=["no key", "other keys", "empty", "short", "no base64", "damaged"],  # each text is another
)
def test_what_cannot_be_opened_says_why(keys: Keys, text: str, reason: str) -> None:
    with pytest.raises(Sealed, match=reason):
        keys.open(text)


def test_what_was_sealed_before_stays_readable() -> None:
    text = (
        "gAAAAABo53gAAAAAAAAAAAAAAAAAAAAAAIjIwf3Y__ljC5J3Le"
        "20TcjgAHvuBfdq0a59tl4kqleoqanSFBJjKY8BaG_XtLNJkw=="
    )
    assert Keys([TWO, ONE]).open(text) == {"old": True}


def test_a_key_may_be_in_either_alphabet() -> None:
    assert Keys([TWO]).open(Keys([urlsafe_b64encode(b"\xff" * 32).decode()]).seal(1)) == 1


@pytest.mark.parametrize("key", ["", "short", "ä" * 32, b64encode(b"x" * 31).decode()])
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(KeyInvalid) as raised:
        Keys([ONE, key])
    assert str(raised.value) == (
        "values.key: key 2 is not 32 bytes in base64; make one with `openssl rand -base64 32`"
    )


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    assert not Keys([])
    with pytest.raises(KeyInvalid, match=r"pip install 'greenflow\[secrets\]'"):
        Keys([ONE])
