"""Specs in which something is large, and the whole way of a spec before it runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from greenflow.config import Settings
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Faulty, check
from greenflow.spec.document import DocumentError, read
from greenflow.table.stored import judge

MOST_BYTES = 64 * 1024

#: What texts are made large of: the signs of every language that stands in specs, and what scanners
#: are known to go back over.
UNITS = (
    *("a", " ", "\n", "\\", '"', "'", "`", "é", "€", "😀", "0", "1", "-", "+", "%", "%s", "%%"),
    *("(", ")", "[", "]", "{", "}", "{{", "}}", "{{ .A }}", "{{ .A.b", "${", "$a$", "/*", "--\n"),
    *("//", "/", "/a", "/:a", "/*a", "..", "/..", "a.", ".a", ":", ":a", "@", "a@", "#", "?", "&"),
    *("a=b&", "%41", "*", "**/", "*,", "1,", "1-2,", "* ", "1h", "1h ", "a:", "a: b\n", "- a\n"),
    *(
        "&a ",
        "*a ",
        "<",
        "<a>",
        "a<",
        "=",
        "==",
        "&&",
        " || a",
        "!",
        "1+",
        "self.",
        "a,",
        "a ? b : ",
    ),
    *("[a-z]{9}", "(a?)*", "\\pL", "let a = (1;", "a=1;", "`${", "import a from 'b';\n", "select "),
    *("self == 'a' && ", "[1, 2].map(x, ", "has(self.a) ", "size(self), ", "matches('a') "),
)


def texts(most: int) -> st.SearchStrategy[str]:
    """One unit, or a few of them in turn, again and again between a beginning and an end."""
    units = st.lists(st.sampled_from(UNITS), min_size=1, max_size=3).map("".join)
    ends = st.sampled_from(("", *UNITS))
    return st.builds(
        lambda begin, unit, end, share: begin + unit * (most * share // 8 // len(unit)) + end,
        *(ends, units, ends, st.integers(1, 8)),
    )


@st.composite
def large(draw: st.DrawFn, value: Any, most: int) -> Any:
    """Something large that is or is not like the value."""
    way = draw(st.integers(0, 4))
    if way == 0 or isinstance(value, str):
        return draw(texts(most))
    one = copy.deepcopy(value[0] if isinstance(value, list) and value else value)
    if isinstance(value, dict) and value:
        key, one = next(iter(value.items()))
    else:
        key = draw(st.sampled_from(("a", "out[", "snipet", "/")))
    count = max(1, most // (len(json.dumps(one)) + 12))
    if way == 1 or isinstance(value, list):
        return [one] * count
    if way in (2, 3):
        close = "]" if key.endswith("[") else ""
        return {f"{key}{number}{close}": one for number in range(count)}
    for _ in range(draw(st.integers(1, 90))):
        one = {"kind": draw(st.sampled_from(("step", "block"))), "specs": [one]}
    return one


def size(spec: Any) -> int:
    return len(json.dumps(spec, ensure_ascii=False).encode("utf-8", "replace"))


def whole_way(text: str, scheme: Scheme) -> str:
    """Read, check and plan what a file says; what it was refused for, if it was."""
    try:
        documents = read(text, "grown.yaml")
        entries = check(documents, scheme, "default", named=False)
    except (DocumentError, Faulty) as error:
        return str(error)
    specs = [entry.data for entry in entries if "kind" in entry.data]
    judged = judge(specs, scheme, "default", (), Settings(), [spec["id"] for spec in specs])
    return "; ".join(str(fault) for faults in judged.faults.values() for fault in faults)


Grown = Callable[[int], list[dict[str, Any]]]


def _steps(count: int) -> list[dict[str, Any]]:
    names = [f"n{number}" for number in range(count)]
    return [
        {
            "kind": "block",
            "name": "big",
            "specs": [
                {"kind": "pipe", "name": name, "links": {"out": {"name": names[number - 1]}}}
                for number, name in enumerate(names)
            ],
            "inbounds": {"in": [{"name": name, "port": "in"} for name in names]},
            "outbounds": {
                f"out[{number}]": [{"name": name, "port": "out[1]"}]
                for number, name in enumerate(names)
            },
        }
    ]


def _snippet(language: str, code: Callable[[int], str]) -> Grown:
    return lambda count: [
        {"kind": "snippet", "name": "a", "language": language, "code": code(count)}
    ]


#: Specs that are the larger the more there is of one thing.
GROWN: dict[str, Grown] = {
    "nodes": lambda count: [{"kind": "nop", "name": f"n{number}"} for number in range(count)],
    "a chain of nodes": lambda count: [
        {"kind": "pipe", "name": f"n{number}", "links": {"out": {"name": f"n{number + 1}"}}}
        for number in range(count)
    ],
    "sub-nodes": _steps,
    "links of one port": lambda count: [
        {"kind": "pipe", "name": "a", "links": {"out": [{"name": "a"}] * count}}
    ],
    "links of many ports": lambda count: [
        {
            "kind": "pipe",
            "name": "a",
            "links": {f"out[{number}]": {"name": "a"} for number in range(count)},
        }
    ],
    "routes": lambda count: [
        {
            "kind": "router",
            "name": "a",
            "routes": [
                {"method": "GET", "path": f"/{number}/:a", "port": f"out[{number}]"}
                for number in range(count)
            ],
        }
    ],
    "methods that are none": lambda count: [
        {"kind": "router", "routes": [{"method": "GETT", "path": f"/{i}"} for i in range(count)]}
    ],
    "unknown fields": lambda count: [
        {"kind": "nop", **{f"nam{number}": "" for number in range(count)}}
    ],
    "names that are taken": lambda count: [
        {"kind": "step", "specs": [{"kind": "pipe", "name": "a"}] * count}
    ],
    "placeholders": lambda count: [
        {
            "kind": "snippet",
            "name": "a",
            "language": "text",
            "code": "{{ .A }}" * count,
            "env": {"A": {"data": "1"}},
        }
    ],
    "keys of env": lambda count: [
        {"kind": "nop", "name": "a", "env": {f"A{i}": {"data": "1"} for i in range(count)}}
    ],
    "conditions": lambda count: [
        {
            "kind": "switch",
            "name": "a",
            "match": [{"when": f"self == {i}", "port": f"out[{i}]"} for i in range(count)],
        }
    ],
    "cel": _snippet("cel", lambda count: "[" + "self + 1, " * count + "1]"),
    "cel without an end": _snippet("cel", lambda count: "[" + "self + 1, " * count),
    "json": _snippet("json", lambda count: "[" + "1, " * count + "1]"),
    "json without an end": _snippet("json", lambda count: "[" + "1, " * count),
    "yaml": _snippet("yaml", lambda count: "- a\n" * count),
    "yaml without an end": _snippet("yaml", lambda count: '"' + "a\n" * count),
    "javascript": _snippet("javascript", lambda count: "export default x => x;" + "a=1;" * count),
    "broken javascript": _snippet("javascript", lambda count: "a=(1;" * count),
    "typescript": _snippet(
        "typescript", lambda count: "export default (x: any) => x;" + "let a: any = 1;" * count
    ),
}
