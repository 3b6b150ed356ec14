"""cel-spec's conformance cases; the corpus is read in place (see its README there)."""

from __future__ import annotations

import base64
import math
from typing import Any

from greenflow.errors import CompileFailed, SnippetFailed
from greenflow.lang import cel
from greenflow.lang.cel.values import (
    Duration,
    Timestamp,
    Type,
    UInt,
    key,
    type_of,
    unkey,
)
from tests import corpora

#: Cases that are answered otherwise on purpose, and why.
OTHERWISE = {
    "parse/bytes_literals/triple_double_quoted_unescaped_punctuation": (
        "the expected bytes hold a backslash that the expression does not have"
    ),
}

#: Cases that cel-spec evaluates without the check (`disable_check`), by the beginning of their id:
#: what is not declared is an error of the run there, which `||` absorbs.
UNCHECKED = (
    "basic/variables/unbound_is_runtime_error",
    "basic/functions/unbound_is_runtime_error",
    "parse/receiver_function_names/",
)


CASES = corpora.cases("cel")


def _value(typed: dict[str, Any]) -> Any:
    kind, value = typed["type"], typed.get("value")
    if kind == "uint":
        return UInt(value)
    if kind == "double":
        return float(value)
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "list":
        return [_value(item) for item in value]
    if kind == "map":
        return {key(_value(name)): _value(item) for name, item in value}
    if kind == "type":
        return Type(value)
    if kind in ("timestamp", "duration"):
        ns = value["seconds"] * 10**9 + value["nanos"]
        return Timestamp(ns) if kind == "timestamp" else Duration(ns)
    return value


def _same(left: Any, right: Any) -> bool:
    """The same type and value, any NaN like any other, maps without order."""
    if type_of(left).name != type_of(right).name:
        return False
    if isinstance(left, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            any(_same(unkey(a), unkey(b)) and _same(left[a], right[b]) for b in right) for a in left
        )
    if isinstance(left, Type):
        return bool(left.name == right.name)
    if isinstance(left, Timestamp | Duration):
        return bool(left.ns == right.ns)
    return bool(left == right)


def test_the_corpus_is_there_and_98_percent_of_it_hold() -> None:
    corpora.require()
    assert len(CASES) == 1128
    assert len(OTHERWISE) <= 0.02 * len(CASES)
    assert OTHERWISE.keys() <= {case["id"] for case in CASES}


@corpora.each(CASES)
def test_case(case: dict[str, Any]) -> None:
    bindings = {name: _value(typed) for name, typed in case["bindings"].items()}
    try:
        checked = not case["id"].startswith(UNCHECKED)
        program = cel.compile(case["expr"], tuple(bindings), checked=checked)
        result = program.evaluate(bindings)
    except (CompileFailed, SnippetFailed):
        holds = bool(case.get("error"))
    else:
        holds = "expect" in case and _same(result, _value(case["expect"]))
    assert holds is (case["id"] not in OTHERWISE)
