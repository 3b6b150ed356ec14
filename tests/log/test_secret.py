"""What must not be shown, as far as it is known (BEHAVIOUR 16.6)."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, RequestTimedOut, SpecFault, SpecInvalid, messages
from greenflow.log import secret
from greenflow.log.redactor import redact
from greenflow.log.secret import LONGEST, SHORTEST, Concealed, conceal, concealed, strings


@contextmanager
def known(*texts: str) -> Iterator[None]:
    held = secret.hold(texts)
    try:
        yield
    finally:
        secret.release(held)


def test_a_secret_is_concealed_while_it_is_held_and_not_longer() -> None:
    with known("hunter2"):
        assert conceal("a hunter2, b hunter2") == "a ***, b ***"
        assert redact("a hunter2") == "a ***"
    assert conceal("a hunter2") == "a hunter2"
    assert secret.held() == 0


def test_a_secret_that_is_held_twice_is_released_twice() -> None:
    first, second = secret.hold(["hunter2"]), secret.hold(["hunter2"])
    secret.release(first)
    assert conceal("hunter2") == "***"
    secret.release(second)
    assert conceal("hunter2") == "hunter2"


@pytest.mark.parametrize("text", ["1", "true", "", "     ", "a" * (SHORTEST - 1)])
def test_short_texts_are_no_secrets(text: str) -> None:
    with known(text):
        assert secret.held() == 0
        assert conceal(f"<{text}>") == f"<{text}>"


def test_the_longer_secret_is_concealed_as_a_whole() -> None:
    with known("secret", "secretive-password"):
        assert conceal("secretive-password secret") == "*** ***"


@given(st.text(min_size=SHORTEST).filter(lambda text: len(text.strip()) >= SHORTEST))
def test_a_secret_is_found_as_it_looks_elsewhere(text: str) -> None:
    text = text.strip()
    with known(f" {text}\n"):
        for form in (text, repr(text)[1:-1], json.dumps(text), quote_plus(text, errors="replace")):
            assert "***" in conceal(form)


def test_each_line_of_a_secret_is_one_and_the_frame_of_pem_is_none() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANB\nabcdefghijkl==\n-----END PRIVATE KEY-----\n"
    with known(key):
        assert conceal("line 2: MIIEvQIBADANB") == "line 2: ***"
        assert conceal("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"
        assert conceal(f"<{key.strip()}>") == "<***>"


def test_strings_of_a_value_are_texts_and_numbers_at_any_depth() -> None:
    value = {"key": ["a", {"b": "c", "d": None}], "e": 12, "f": True, "g": 1.5}
    assert list(strings(value)) == ["a", "c", "12", "True", "1.5"]


def shows(error: BaseException) -> bool:
    return "hunter2" in "".join(traceback.format_exception(error)) + repr(error)


def test_an_error_without_a_secret_is_itself() -> None:
    error = ValueError("plain")
    with known("hunter2"):
        assert concealed(error) is error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad hunter2"),
        KeyError("hunter2"),
        FileNotFoundError(2, "No such file", "/run/hunter2"),
        OSError(5, "hunter2 failed"),
        ModuleNotFoundError("No module named 'hunter2'", name="hunter2"),
        SpecInvalid([SpecFault("$.mode", "invalid enum value 'hunter2'")]),
        InvalidArgument("not hunter2"),
        SyntaxError("bad", ("hunter2.py", 1, 1, "x = hunter2")),
        UnicodeDecodeError("utf-8", b"hunter2", 0, 1, "bad"),
        ValueError({"password": "hunter2"}),
        ExceptionGroup("hunter2", [ValueError("hunter2"), KeyError("other")]),
        ExceptionGroup("two", [ValueError("hunter2"), KeyError("other")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_shows_no_secret(error: Exception) -> None:
    status = getattr(error, "status", 500)
    with known("hunter2"):
        other = concealed(error)
        assert not shows(other)
        assert any("***" in text for text in messages(other)) or type(other) is Concealed
        assert getattr(other, "status", 500) == status


def test_notes_causes_and_contexts_show_no_secret() -> None:
    text = "".join(("hunter", "2"))  # not in this file, which a traceback shows
    error = RequestTimedOut("GET http://example.test")
    error.__cause__, error.__context__ = OSError(text), KeyError(text)
    error.__cause__.__context__ = ExceptionGroup("two", [ValueError(text)])
    error.add_note(f"sent {text}")
    with known(text):
        assert concealed(error) is error
        assert not shows(error)


def test_an_error_that_cannot_be_changed_is_replaced() -> None:
    class Stubborn(RequestTimedOut):
        def __str__(self) -> str:
            return "hunter2 again"

    with known("hunter2"):
        other = concealed(Stubborn())
        assert isinstance(other, Concealed)
        assert (str(other), other.status) == ("Stubborn: *** again", 504)


def test_a_circle_of_causes_ends() -> None:
    one, two = ValueError("hunter2"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    with known("hunter2"):
        assert str(concealed(two).__cause__) == "***"


def test_a_text_that_is_a_book_is_searched_for_by_its_first_lines_only() -> None:
    lines = [f"line-{number:06}" for number in range(LONGEST // 8)]
    with known("\n".join(lines)):
        assert conceal(f"{lines[0]} {lines[999]} {lines[1000]}") == "*** *** line-001000"


def test_many_secrets_are_known_at_once() -> None:
    texts = [f"secret-{number:06}" for number in range(5_000)]
    helds = [secret.hold([text, "common-secret"]) for text in texts]
    assert conceal(f"{texts[0]} {texts[-1]} common-secret secret-9") == "*** *** *** secret-9"
    for held in helds:
        secret.release(held)
    assert conceal(texts[0]) == texts[0]
