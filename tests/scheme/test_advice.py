"""Advice about specs that are sound: what a retry repeats besides what it is meant for."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.scheme.advice import advice
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read

SCHEME = Scheme.installed()


def lines(text: str, stored: str = "[]") -> list[str]:
    documents, others = (
        [SCHEME.validate(document.data, "default") for document in read(each, "test")]
        for each in (text, stored)
    )
    return advice(documents, lambda: others, SCHEME)


PAY = """
- {kind: retry, name: pay, threshold: 3, links: {out: {name: ready}}}
- {kind: snippet, name: ready, code: x, links: {out: {name: bank}}}
- {kind: http, name: bank, url: "http://bank", links: {out: {name: shape}}}
- {kind: snippet, name: shape, code: x, links: {out: {name: receipt}}}
- {kind: sql, name: receipt, source: "sqlite:///r.db"}
"""
RECEIPT = (
    "'pay' (retry) also repeats 'receipt' (sql), which comes after 'bank' (http): link what comes "
    "after from its out[1]"
)


def test_a_retry_that_repeats_what_comes_after_is_told() -> None:
    assert lines(PAY) == [RECEIPT]


def test_what_is_stored_already_is_looked_at() -> None:
    first, *rest = PAY.strip().splitlines(keepends=True)
    assert lines(first, "".join(rest)) == [RECEIPT]
    assert lines("".join(rest), first) == []  # advice is about what is applied


@pytest.mark.parametrize(
    "text",
    [
        # The receipt is outside.
        """
- {kind: retry, name: pay, links: {out: {name: bank}, "out[1]": {name: receipt}}}
- {kind: http, name: bank, url: "http://bank"}
- {kind: sql, name: receipt, source: "sqlite:///r.db"}
""",
        # Nothing that follows has an effect.
        """
- {kind: retry, name: pay, links: {out: {name: bank}}}
- {kind: http, name: bank, url: "http://bank", links: {out: {name: shape}}}
- {kind: snippet, name: shape, code: x}
""",
        # Two that are both meant.
        """
- {kind: retry, name: pay, links: {out: [{name: bank}, {name: receipt}]}}
- {kind: http, name: bank, url: "http://bank"}
- {kind: sql, name: receipt, source: "sqlite:///r.db"}
""",
        # A link to nowhere, and one that is not a packet's.
        """
- {kind: retry, name: pay, links: {out: [{name: lost}, {name: bank}]}}
- {kind: http, name: bank, url: "http://bank", links: {init: {name: receipt}}}
- {kind: sql, name: receipt, source: "sqlite:///r.db"}
""",
        "{kind: retry, name: pay}",
    ],
)
def test_others_are_not(text: str) -> None:
    assert lines(text) == []


def test_a_cycle_through_a_retry_is_told() -> None:
    (line,) = lines("""
- {kind: retry, name: get, links: {out: {id: p}}}
- {kind: http, id: p, url: "http://pages", links: {out: {name: more}}}
- {kind: if, name: more, when: self.next, links: {out: {name: get}}}
""")
    assert line.startswith("'get' (retry) leads back to itself by 'p' (http): ")


def test_what_is_in_a_block_counts() -> None:
    text = """
- {kind: retry, name: pay, links: {out: {name: bank}}}
- {kind: http, name: bank, url: "http://bank", links: {out: {name: paper}}}
- {kind: block, name: paper, specs: [{kind: snippet, code: x}, {kind: write, filename: r.txt}]}
"""
    (line,) = lines(text)
    assert "also repeats 'paper' (block)" in line


def test_a_kind_of_another_package_may_advise() -> None:
    class Odd:
        reaches_outside = False

        @classmethod
        def advise(cls, document: dict[str, Any], around: Any) -> list[str]:
            return [f"{around.label(document)} is odd"]

    scheme: Any = SCHEME.installed()
    scheme._known["odd"] = Odd
    assert advice([{"kind": "odd", "name": "o"}], list, scheme) == ["'o' (odd) is odd"]
