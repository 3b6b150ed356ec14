"""Methods: those that a spec may name are those that our parser takes (BEHAVIOUR 9.1)."""

from __future__ import annotations

from difflib import get_close_matches

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.grammar import is_token
from greenflow.net.head import HeadParser
from greenflow.net.limits import Limits
from greenflow.net.methods import METHODS, fault_of
from greenflow.net.refusal import Refused

# The other ones of IANA's registry, and what people write.
OTHERS = (
    *("BASELINE-CONTROL", "CHECKIN", "LABEL", "MKREDIRECTREF", "MKWORKSPACE", "ORDERPATCH", "PRI"),
    *("UNCHECKOUT", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL", "CONNECT"),
    *("GTE", "POTS", "ANY", "ALL", "*", "FETCH"),
)


def taken(method: str) -> bool:
    head = f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    try:
        return HeadParser().parse(head, Limits()).method == method
    except Refused:
        return False


@pytest.mark.parametrize("method", METHODS)
def test_what_the_parser_takes_a_spec_may_name(method: str) -> None:
    assert taken(method)
    assert fault_of(method) == fault_of(method.lower()) == ""


@pytest.mark.parametrize("method", OTHERS)
def test_what_the_parser_does_not_take_is_a_fault(method: str) -> None:
    assert not taken(method)
    assert "any_method: true" in fault_of(method)
    assert fault_of(method, any_method=True) == ""


@pytest.mark.parametrize(
    ("method", "meant"),
    [("GTE", "GET"), ("gett", "GET"), ("POTS", "POST"), ("PSOT", "POST"), ("DELTE", "DELETE"),
     ("PUTT", "PUT"), ("OPTION", "OPTIONS"), ("PATHC", "PATCH"), ("DEL", "DELETE")],
)  # fmt: skip
def test_what_was_meant(method: str, meant: str) -> None:
    assert f"did you mean {meant}?" in fault_of(method)


@pytest.mark.parametrize("method", ["", "G T", "GET\n", "GET,POST", "GÉT", "GET/"])
def test_what_is_no_token_never_is_a_method(method: str) -> None:
    assert "is no token" in fault_of(method, any_method=True)


@given(st.text(max_size=12))
def test_any_text_has_a_verdict(text: str) -> None:
    assert (fault_of(text, any_method=True) == "") is is_token(text)
    if fault_of(text) == "":
        assert taken(text.upper())
    elif is_token(text):
        close = get_close_matches(text.upper(), METHODS, 1)
        assert not close or close[0] in fault_of(text)
