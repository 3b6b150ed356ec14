"""The example of every kind (`examples/KIND.flow.yaml` beside its module): each case is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from greenflow.engine.node import Node
from greenflow.scheme.registry import Scheme, example
from greenflow.spec.document import read
from greenflow.testing.cases import Case, read_cases

NODES = Path(__file__).parents[2] / "greenflow" / "nodes"
SCHEME = Scheme.installed()
KINDS = sorted({SCHEME.node_type(kind).kind for kind in SCHEME.kinds()})
# Of the kinds that are installed: any may be left out.
FILES = sorted(file for file in NODES.rglob("examples/*.flow.yaml") if file.name[:-10] in KINDS)
CASES = [case for file in FILES for case in read_cases(str(file))]


def test_every_kind_has_an_example_with_itself_in_it() -> None:
    assert sorted(file.name.removesuffix(".flow.yaml") for file in FILES) == KINDS
    for kind in KINDS:
        text = example(SCHEME.node_type(kind))
        assert text is not None, f"write examples/{kind}.flow.yaml beside the module of {kind}"
        assert re.search(rf"kind: {kind}\b", text), kind
        assert all(len(line) <= 120 for line in text.splitlines()), kind


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{Path(case.document.source).name}: {case.name}" for case in CASES]
)
def test_an_example_does_what_it_says(case: Case) -> None:
    case.run()


def test_the_specs_of_an_example_say_what_they_need_in_our_words() -> None:
    for file in FILES:
        (document,) = read(file.read_text(), file.name)
        for spec in document.data["specs"]:
            assert spec["kind"] == SCHEME.node_type(spec["kind"]).kind


def test_a_kind_without_a_file_has_none() -> None:
    class Bare(Node):  # type: ignore[type-arg]
        """Declared here, where no folder of examples is."""

    assert example(Bare) is None
