"""What a payload looks like in a log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.payload.outline import outline

SECRET = "correct horse battery staple"


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "None"),
        (True, "True"),
        (12, "12"),
        (4556737586899855000, "<an integer>"),
        (1.5, "1.5"),
        ("", "''"),
        ("a\nb", "<3 characters>"),
        (b"\0", "<1 bytes>"),
        ({"sku": "A1", "count": 3}, "{'sku': <2 characters>, 'count': 3}"),
        ([[], {}], "[[], {}]"),
        (list(range(12)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, <2 more>]"),
        ([[[[[[[1]]]]]]], "[[[[[[[...]]]]]]]"),
        ({"k" * 50: 1}, f"{{'{'k' * 40}': 1}}"),
        (ValueError(SECRET), "<ValueError>"),
    ],
)
def test_an_outline(payload: Any, text: str) -> None:
    assert outline(payload) == text


values = st.recursive(
    st.none() | st.booleans() | st.just(SECRET) | st.just(SECRET.encode()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
)


@given(values)
def test_no_text_is_in_it(payload: Any) -> None:
    assert "horse" not in outline(payload)
