"""Keys of a payload that are names in CEL, said as fields of `self`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow import lang
from greenflow.errors import SnippetFailed
from greenflow.scheme.compat.keys import keys_as_fields
from greenflow.spec.translated import with_insertions


def meant(code: str) -> str:
    return with_insertions(code, keys_as_fields(code))


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("count > 10", "self.count > 10"),
        ("self.count > 10", "self.count > 10"),
        (".count > 10", "self.count > 10"),
        ("body.items[0].n + n", "self.body.items[0].n + self.n"),
        ("has(body.x) && body.x", "has(self.body.x) && self.body.x"),
        ("items.all(x, x > least)", "self.items.all(x, x > self.least)"),
        ("items.exists(x, x.tags.exists(y, y == x.tag))", None),
        ("items.map(x, x > 1, x * by)", "self.items.map(x, x > 1, x * self.by)"),
        ("items.transformList(i, v, i + v + k)", "self.items.transformList(i, v, i + v + self.k)"),
        ("cel.bind(x, a, x + b)", "cel.bind(x, self.a, x + self.b)"),
        ("x + cel.bind(x, 1, x)", "self.x + cel.bind(x, 1, x)"),
        ("math.greatest(a, 1)", "math.greatest(self.a, 1)"),
        ("math.level", "self.math.level"),
        ("size(items) == n ? 'a' : b", "size(self.items) == self.n ? 'a' : self.b"),
        ("{key: value, 'k': [one, ?two]}", "{self.key: self.value, 'k': [self.one, ?self.two]}"),
        ("map[index] || !flag", "self.map[self.index] || !self.flag"),
        ("type == 'order'", "self.type == 'order'"),
        (
            "type(n) == int && string(n) != text",
            "type(self.n) == int && string(self.n) != self.text",
        ),
        ("type(at) == google.protobuf.Timestamp", "type(self.at) == google.protobuf.Timestamp"),
        ("int > 3", "self.int > 3"),
        ("name.startsWith(prefix)", "self.name.startsWith(self.prefix)"),
        ("'count' + \"count\" + r'count'", "'count' + \"count\" + r'count'"),
        ("-n + -1", "-self.n + -1"),
        ("a\n  && b", "self.a\n  && self.b"),
        ("count >", "count >"),
        ("{{ .X }} > count", "{{ .X }} > count"),
        ("", ""),
    ],
)
def test_names_become_fields(code: str, wanted: str | None) -> None:
    if wanted is None:
        wanted = code.replace("items.", "self.items.", 1)
    assert meant(code) == wanted
    assert meant(wanted) == wanted


@pytest.mark.parametrize("payload", [3, "x", None, [1], {}])
def test_a_name_that_the_payload_lacks_is_an_error_that_others_absorb(payload: Any) -> None:
    with pytest.raises(SnippetFailed):
        lang.compile("cel", meant("count > 10"))(payload)
    assert lang.compile("cel", meant("count > 10 || true"))(payload) is True
    assert lang.compile("cel", meant("true || count > 10"))(payload) is True


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,3}\Z"), st.integers(-9, 9), min_size=1))
def test_every_key_is_its_value(payload: dict[str, int]) -> None:
    reserved = {"in", "as", "for", "if", "let", "var"}
    names = [name for name in payload if name not in reserved]
    code = " + ".join([*names, "0"])
    assert lang.compile("cel", meant(code))(payload) == sum(payload[name] for name in names)
