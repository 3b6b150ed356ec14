"""Tables, and the YAML that is written."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenflow.cli.output import print_data, print_table
from greenflow.spec.document import read
from greenflow.spec.syntax.yaml import to_yaml

# The machine may be busy; what is tested is not how fast it is.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text(
        "0123456789+-.eExXoO_~<=:#'\"\\ \n\r\t,[]{}&*!|>%@`?ynaitrufls\u0085\u2028", max_size=8
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@untimed
@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_what_is_written_as_yaml_is_read_as_it_was(value: dict[str, Any]) -> None:
    [document] = read(to_yaml([value]), "-")
    assert document.data == value


def test_texts_of_several_lines_are_readable_in_yaml() -> None:
    assert to_yaml({"code": "one\n  two\n"}) == "code: |\n  one\n    two\n"


def test_equal_parts_are_written_out() -> None:
    part = {"a": 1}
    assert to_yaml([part, part]) == "- a: 1\n- a: 1\n"


def test_a_table_has_whole_lines_without_decoration(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    print_table(("NAME", "KIND"), [("[bold]a[/bold]", long), ("two\nlines\x1b[31m", None)])
    assert capsys.readouterr().out == (
        f"NAME                KIND\n[bold]a[/bold]      {long}\ntwo\\nlines\\x1b[31m  -\n"
    )


def test_json_keeps_what_people_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    print_data({"b": "\u20ac", "a": []}, "json")
    assert capsys.readouterr().out == '{\n  "b": "\u20ac",\n  "a": []\n}\n'


def test_without_standard_output_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    print_table(("A",), [("b",)])
    print_data({}, "json")
    print_data({}, "yaml")
