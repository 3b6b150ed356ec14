"""spec/formatting.py: one form that means the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.spec.document import DocumentError, read
from greenflow.spec.formatting import formatted
from greenflow.spec.syntax.yaml import to_yaml

EXAMPLES = sorted(
    path
    for path in (Path(__file__).parents[2] / "contrib" / "examples").rglob("*.yaml")
    if not path.name.endswith(".flow.yaml")
)

UNTIDY = """\
# The way in.
-   kind:   listener   # here
    name: "web"

    port: 8000
    links: {out: {name: hello},error: [{name: 'oops'}]}


-   kind: snippet
    name: hello
    code: |
      a  #  no comment
        b
    language: text
"""

TIDY = """\
# The way in.
- kind: listener       # here
  name: "web"

  port: 8000
  links: {out: {name: hello}, error: [{name: 'oops'}]}


- kind: snippet
  name: hello
  code: |
    a  #  no comment
      b
  language: text
"""


def test_comments_quotes_and_order_stay() -> None:
    assert formatted(UNTIDY, "a.yaml") == TIDY
    assert formatted(TIDY, "a.yaml") == TIDY


def test_several_documents_stay_several() -> None:
    text = "kind: nop\nname: a\n---\n# second\nkind:   nop\nname: b\n"
    assert formatted(text, "a.yaml") == text.replace("   nop", " nop")


def test_json_is_indented() -> None:
    assert formatted('[{"kind":"nop","name":"ä"}]', "a.json") == (
        '[\n  {\n    "kind": "nop",\n    "name": "ä"\n  }\n]\n'
    )


def test_what_cannot_be_read_is_not_written() -> None:
    with pytest.raises(DocumentError):
        formatted("kind: [", "a.yaml")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_form_is_stable_and_means_the_same(path: Path) -> None:
    once = formatted(path.read_text(), path.name)
    assert formatted(once, path.name) == once


scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"kind": st.just("nop"), "annotations": values}), min_size=1))
def test_any_specs_mean_the_same(specs: list[dict[str, object]]) -> None:
    text = to_yaml(specs)
    once = formatted(text, "a.yaml")
    assert [document.data for document in read(once, "a.yaml")] == [
        document.data for document in read(text, "a.yaml")
    ]
