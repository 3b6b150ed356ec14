"""Kinds of tests, and the cache."""

from __future__ import annotations

from typing import Any

from tests.nodes.matrix import PICKED, PICKY, Case, Exit, Missing, Row, Sent


def try_it(case: Case, payload: Any) -> Any:
    """Run the test, which takes no payload."""
    verdict = case.node.run()
    if verdict.error is not None:
        raise verdict.error
    return "passed"


def fails(case: Case) -> None:
    """The error goes to `error`, and is the verdict all the same."""
    case.running.runtime.operations.update({"name": "a", "code": '"bad" * 2'})
    revision = max(record.revision for record in case.running.runtime.operations.read())
    case.running.followed(revision)
    verdict = case.node.run()
    assert PICKED in str(verdict.error)
    assert len(case.handled) == (1 if case.linked else 0)


ROWS = {
    "test": Row(
        flow='- {kind: test, name: n, links: {out: {name: a}, "out[1]": {name: gate}}}\n'
        "- {kind: probe, name: gate}" + PICKY,
        happy=Sent(None, "passed"),
        error=fails,
        null=Missing("it has no in port, and what it sends is always null"),
        wrong=Missing("it has no in port"),
        exits=Exit(None, port="out[1]"),
        ask=try_it,
    ),
    "assert": Row(
        flow="- {kind: assert, name: n, expect: self != 2, links: {out: {name: gate}}}\n"
        "- {kind: probe, name: gate}",
        happy=Sent([1, -1], [1, -1]),
        error=Sent([2, -1], error="assert failed"),
        null=Sent(None, error="an assert takes a list of two"),
        wrong=Sent([1, "first"], error="the index of an assert is an integer"),
        exits=Exit([1, -1]),
    ),
    "cache": Row(
        flow="- {kind: cache, name: n, links: {out: {name: a}}}" + PICKY,
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED, taken=False),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("y"),
    ),
}
