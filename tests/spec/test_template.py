"""Placeholders and what they stand for (BEHAVIOUR 16.2, 16.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.spec.template import PENDING, Deferred, Insertions, Scope

ROOT = {
    "NAME": "world",
    "PORT": 8080,
    "OFF": False,
    "NONE": None,
    "DB": {"user": "shop", "hosts": ["one", "two"], "pool": {"size": 5}},
    "my-key": "dashed",
    "LOOP": "{{ .NAME }}",
}


def render(value: Any, **more: Any) -> Any:
    return Scope(ROOT, "env", Insertions(), **more).render(value)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("hello {{ .NAME }}!", "hello world!"),
        ("{{.NAME}}{{ .NAME}}", "worldworld"),
        ("{{ .PORT }}", 8080),
        (":{{ .PORT }}", ":8080"),
        ("{{ .OFF }}", False),
        ("{{ .OFF }} {{ .NONE }}", "false null"),
        ("{{ .NONE }}", None),
        ("{{ .DB.user }}@{{ .DB.hosts.1 }}", "shop@two"),
        ("{{ .DB.pool.size }}", 5),
        ("{{ .DB.pool }}", {"size": 5}),
        ("pool {{ .DB.pool }}", 'pool {"size": 5}'),
        ("{{ .my-key }}", "dashed"),
        (" {{ .PORT }}", " 8080"),
        ("{{ .PORT }}\n", "8080\n"),
        (["{{ .PORT }}", {"deep": "{{ .NAME }}"}], [8080, {"deep": "world"}]),
        (7, 7),
        (None, None),
    ],
)
def test_what_a_placeholder_becomes(template: Any, rendered: Any) -> None:
    assert render(template) == rendered


@pytest.mark.parametrize(
    "text",
    [
        "{{ NAME }}",
        "{{ .NAME | upper }}",
        "{{ if .NAME }}x{{ end }}",
        "{{ . }}",
        "{{ .NAME }",
        "{ { .NAME }}",
        "{{- .NAME -}}",
        "{{ .NAME. }}",
        "{{",
        "${{ matrix }}",
    ],
)
def test_any_other_braces_are_left_alone(text: str) -> None:
    assert render(text) == text


def test_what_was_inserted_is_not_looked_at_again() -> None:
    assert render("{{ .LOOP }}, {{ .LOOP }}") == "{{ .NAME }}, {{ .NAME }}"


def test_keys_of_maps_are_not_rendered() -> None:
    assert render({"{{ .NAME }}": 1}) == {"{{ .NAME }}": 1}


def test_the_root_itself_stands_where_it_may() -> None:
    assert Scope("secret", "the value", Insertions(), has_root=True).render("<{{ . }}>") == (
        "<secret>"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ .PASS }}", "env has no 'PASS'; it has DB, LOOP, NAME, NONE, OFF, PORT, my-key"),
        ("a {{ .DB.pass }}", "'DB' of env has no 'pass'; it has hosts, pool, user"),
        ("{{ .DB.hosts.2 }}", "'hosts' of 'DB' of env is a list of 2, which has no '2'"),
        ("{{ .NAME.x }}", "'NAME' of env is no map, and has no 'x'"),
    ],
)
def test_what_stands_for_nothing_says_what_is_there_and_no_value(text: str, reason: str) -> None:
    with pytest.raises(LookupError) as raised:
        render(text)
    assert str(raised.value).endswith(f"stands for nothing: {reason}")
    assert "world" not in str(raised.value)


def test_what_is_inserted_is_noted_but_not_what_is_public() -> None:
    noted = Insertions()
    Scope(ROOT, "env", noted, public={"NAME"}).render("{{ .NAME }} {{ .DB }} {{ .PORT }}")
    assert noted.inserted == {"shop", "one", "two", "5", "8080"}


def test_what_is_not_known_yet_is_deferred() -> None:
    noted = Insertions()
    scope = Scope({"KEY": PENDING}, "env", noted)
    assert scope.render("plain {{ other }}") == "plain {{ other }}"
    assert not noted.deferred
    with pytest.raises(Deferred):
        scope.render(["{{ .KEY.field }}"])
    assert noted.deferred
    with pytest.raises(LookupError):
        scope.render("{{ .OTHER }}")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_a_placeholder_alone_takes_any_value_with_its_type(value: Any) -> None:
    rendered = Scope({"KEY": value}, "env", Insertions()).render("{{ .KEY }}")
    assert rendered == value
    assert type(rendered) is type(value)


@given(plain.filter(lambda value: "{{" not in str(value)))
def test_what_has_no_placeholder_stays_as_it_is(value: Any) -> None:
    noted = Insertions()
    assert Scope({}, "env", noted).render(value) == value
    assert not noted.inserted
