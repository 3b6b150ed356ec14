"""CEL: the expressions of the system workflow, a loop over a list, compiles, and bombs.

cel-python's own runner is measured beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any

from contrib.bench.tools import stalls
from greenflow.errors import CompileFailed, InvalidArgument, SnippetFailed
from greenflow.lang import cel

REPEATS = 7  # the best of so many: what the machine can do when nobody else uses it
TIMES = 2_000

ITEMS = {"items": [{"price": i, "name": str(i)} for i in range(100)]}
EXPRESSIONS: dict[str, tuple[str, Any]] = {
    "equals_string": ('self == "invalid argument"', "invalid argument"),
    "equals_error": ('self == "invalid argument"', InvalidArgument("a reason")),
    "has_field": ("has(self.body) ? self.body : null", {"body": {"a": 1}}),
    "filter_map_100": ("self.items.filter(i, i.price > 50).map(i, i.name)", ITEMS),
}

TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
BOMBS = {
    "nested_all": "".join(f"{TEN}.all(x{i}, " for i in range(8)) + "true" + ")" * 8,
    "nested_map": "".join(f"{TEN}.map(x{i}, " for i in range(8)) + "0" + ")" * 8,
    "parentheses_5000": "(" * 5000 + "1" + ")" * 5000,
    "sum_of_20000": "1+" * 20_000 + "1",
    "bad_pattern": '"x".matches("(")',
    "doubled_list": "cel.bind(x, [0], " + "cel.bind(x, [x, x], " * 40 + "x" + ")" * 41,
}

# Long code that compiles: nearly as much as may be.
LONG = {
    "list_of_9000": "[" + "1, " * 9_000 + "]",
    "conditions_2000": "[" + "true ? 1 : 2, " * 2_000 + "]",
    "calls_4000": "[" + "size(self), " * 4_000 + "]",
}

# The first compile in a process that has loaded what every command loads.
FIRST = """
from time import perf_counter
import gevent
import greenflow.lang
begin = perf_counter()
greenflow.lang.compile("cel", 'has(self.body) ? self.body : null')
print(perf_counter() - begin)
"""


def best(run: Callable[[], object], times: int) -> float:
    """Seconds of one run."""
    found = float("inf")
    for _ in range(REPEATS):
        begin = perf_counter()
        for _ in range(times):
            run()
        found = min(found, (perf_counter() - begin) / times)
    return found


def bomb(code: str) -> float:
    """Seconds until the error, which must come."""
    begin = perf_counter()
    try:
        cel.compile(code)(None)
    except (CompileFailed, SnippetFailed):
        return perf_counter() - begin
    raise RuntimeError("a bomb had a result")


def held(code: str) -> float:
    """The longest in seconds that compiling holds the hub."""
    with stalls() as gaps, suppress(CompileFailed):
        cel.compile.__wrapped__(code)  # whether or not it is remembered
    return max(gaps)


def first(environment: Mapping[str, str]) -> float:
    """Milliseconds of the first compile of an OS process."""
    ran = subprocess.run(
        [sys.executable, "-c", FIRST], check=True, capture_output=True, env=environment
    )
    return float(ran.stdout) * 1e3


def other() -> dict[str, float]:
    """The same expressions by cel-python's runner."""
    import celpy

    found = {}
    for name, (code, payload) in EXPRESSIONS.items():
        if isinstance(payload, Exception):
            continue
        environment = celpy.Environment()
        program = environment.program(environment.compile(code))
        names = {"self": celpy.json_to_cel(payload)}
        found[f"{name}_us"] = best(lambda p=program, n=names: p.evaluate(n), 20) * 1e6
    return found


def measure() -> dict[str, Any]:
    runs = {}
    for name, (code, payload) in EXPRESSIONS.items():
        program = cel.compile(code)
        runs[f"{name}_us"] = best(lambda p=program, a=payload: p(a), TIMES) * 1e6
    return {
        **runs,
        "first_compile_ms": first(os.environ),
        "first_compile_without_cache_ms": first({**os.environ, "XDG_CACHE_HOME": os.devnull}),
        "compile_ms": best(lambda: cel.Program(EXPRESSIONS["has_field"][0], cel.SELF), 200) * 1e3,
        "bombs_ms": {name: bomb(code) * 1e3 for name, code in BOMBS.items()},
        "compile_stall_ms": {name: held(code) * 1e3 for name, code in {**BOMBS, **LONG}.items()},
        "cel_python": other(),
    }
