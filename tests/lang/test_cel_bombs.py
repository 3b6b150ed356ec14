"""CEL: whatever is written, an evaluation ends with an error, and others run meanwhile."""

from __future__ import annotations

import contextlib

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import CompileFailed, SnippetFailed
from greenflow.lang import cel
from greenflow.lang.cel.meter import SLICE, SLICES

TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
BUDGET = f"more than {SLICE * (SLICES + 1):,} steps"


def loops(macro: str, inner: str) -> str:
    return "".join(f"{TEN}.{macro}(x{i}, " for i in range(8)) + inner + ")" * 8


def doubled(first: str, grown: str, result: str) -> str:
    return f"cel.bind(x, {first}, " + f"cel.bind(x, {grown}, " * 40 + result + ")" * 41


@pytest.mark.parametrize(
    "code",
    [
        loops("all", "true"),
        loops("map", "0"),
        loops("all", "1 / 0 == 0"),
        loops("exists", "false") + " || true",
        doubled("[0]", "[x, x]", "x"),
        doubled("[0]", "[x, x]", "x == x.map(y, y)"),
        doubled("[0]", "[x, x]", "'%s'.format([x])"),
        doubled("[0]", "{'a': x, 'b': x}", "x"),
        doubled("'aaaaaaaaaaaaaaaa'", "x + x", "x"),
        doubled("[0]", "x + x", "x"),
        doubled("'aaaaaaaaaaaaaaaa'", "[x, x].join(x)", "x"),
        doubled("'aaaaaaaaaaaaaaaa'", "x.replace('a', x)", "x"),
        doubled("'aaaaaaaaaaaaaaaa'", "'%s%s'.format([x, x])", "x"),
        doubled("'aaaaaaaaaaaaaaaa'", "regex.replace(x, 'a', x)", "x"),
        "lists.range(9000000)",
        "lists.range(2000).map(x, lists.range(2000)).flatten()",
        "lists.range(20000).map(x, [x]).distinct()",
        f"lists.range(4000).all(x, duration('{'0h' * 60}') == duration('0'))",
        "lists.range(20000).all(x, 'a'.matches('[a-z]{9}' + string(x)) || true)",
        "lists.range(20000).all(x, 'a'.matches('(' + string(x)) || true)",
    ],
)
def test_a_bomb_ends(code: str) -> None:
    program = cel.compile(code)
    with pytest.raises(SnippetFailed, match=rf"{BUDGET}|is longer than"):
        program(None)


@pytest.mark.parametrize(
    "code",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "1+" * 20_000 + "1",
        "[" * 5000,
        "self" + ".a" * 1000,
        "self" + "[0]" * 1000,
        "!" * 1000 + "true",
        "true ? 1 : " * 1000 + "1",
        "[" + "1, " * 20_000 + "1]",
        " " * 200_000,
        "size(" * 500 + "'a'" + ")" * 500,
    ],
)
def test_code_that_is_too_much_is_refused(code: str) -> None:
    with pytest.raises(CompileFailed):
        cel.compile(code)


TWINS = {"s": "é" * 100_000, "t": "".join(["é" * 100_000])}


@pytest.mark.parametrize(
    "test",
    [
        "self.s == self.t",
        "self.s != self.t",
        "self.s <= self.t",
        "self.s.startsWith(self.t)",
        "self.s.endsWith(self.t)",
        "self.s in {self.t: 1}",
        "self.s in [self.t]",
        "{self.t: 1}[self.s] == 1",
        "{self.t: 1}[?self.s] == optional.of(1)",
        "[self.s] == [self.t]",
        "[self.s, self.t].distinct().size() == 1",
        "bytes(self.s) == b''",
        "string(bytes(self.s)) == ''",
        "self.s.matches('^a')",
        "strings.quote(self.s) == ''",
        "double(self.s) == 1.0",
        "math.greatest(lists.range(1000)) == 1",
    ],
)
def test_what_takes_as_long_as_its_values_is_charged(test: str) -> None:
    assert TWINS["s"] is not TWINS["t"]
    program = cel.compile(f"lists.range(100000).all(x, {test} || true)")
    with pytest.raises(SnippetFailed, match=BUDGET):
        program(TWINS)


def others_ran(code: str, value: object) -> int:
    """How often others ran while the expression did."""
    turns: list[None] = []

    def other() -> None:
        while True:
            turns.append(None)
            gevent.sleep(1e-6)

    def run() -> None:
        with contextlib.suppress(SnippetFailed):
            program(value)

    program = cel.compile(code)
    greenlet = gevent.spawn(other)
    try:
        gevent.spawn(run).join()
    finally:
        greenlet.kill()
    return len(turns)


NUMBERS = list(range(200_000))
TEXTS = [str(number) for number in NUMBERS]


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("self == [] + self", NUMBERS),
        ("-1 in self", NUMBERS),
        ("math.greatest(self)", NUMBERS),
        ("self.map(x, x)", NUMBERS),
        ("self.join()", TEXTS),
        ("self.distinct()", TEXTS),
        ("self.flatten()", NUMBERS),
        ("{'a': type(self), 'b': self}", NUMBERS),
        ("self == self.transformMap(k, v, v)", dict.fromkeys(TEXTS, 1)),
        ("strings.quote(self)", '"' * 2_000_000),
        ("duration(self)", "0h" * 100_000),
        ("regex.extractAll(self, 'a')", "a" * 100_000),
        ("regex.replace(self, 'a', 'b')", "a" * 100_000),
    ],
)
def test_others_run_in_the_middle_of_long_values(code: str, value: object) -> None:
    assert others_ran(code, value) >= 10


def test_a_search_that_takes_long_is_done_in_a_thread() -> None:
    text = "ab" * 200_000
    assert others_ran("self.matches('a[ab]{100}c')", text) > 1
    greenlet = gevent.spawn(cel.compile("regex.extract(self, 'a[ab]{9}$').value()"), text)
    assert greenlet.get() == "ab" * 5


def test_patterns_have_a_limit() -> None:
    cel.compile(f"self.matches('{'a' * 2_000}')")
    with pytest.raises(CompileFailed, match="a pattern has at most 2,000 characters"):
        cel.compile(f"self.matches('{'a' * 2_001}')")
    with pytest.raises(SnippetFailed, match="a pattern has at most 2,000 characters"):
        cel.compile("'a'.matches(self)")("a" * 2_001)


def test_a_double_is_read_in_one_way_only() -> None:
    with pytest.raises(SnippetFailed, match="the string is no double"):
        cel.compile("double(self)")("1" * 1_000_000 + "x")


def test_chains_of_logic_are_not_nested() -> None:
    assert cel.compile("false || " * 2000 + "true")(None) is True


def test_code_as_deep_as_it_may_be_runs() -> None:
    assert cel.compile("[" * 99 + "]" * 99)(None) == cel.compile("[" * 99 + "]" * 99)(None)
    assert cel.compile("1+" * 190 + "1")(None) == 191


def test_others_run_while_a_bomb_does() -> None:
    program, turns = cel.compile(loops("all", "true")), []

    def other() -> None:
        while True:
            turns.append(None)
            gevent.sleep(1e-6)  # a timer, so the hub must look at more than what is ready

    greenlet = gevent.spawn(other)
    try:
        with pytest.raises(SnippetFailed, match=BUDGET):
            program(None)
    finally:
        greenlet.kill()
    assert len(turns) >= SLICES // 2


def test_calls_may_overlap() -> None:
    program = cel.compile("lists.range(self).map(x, x * 2).filter(x, x > 20000 && self > 0).size()")
    sizes = [30_000, 20_000, 25_000]
    found = [gevent.spawn(program, size) for size in sizes]
    gevent.joinall(found)
    assert [greenlet.value for greenlet in found] == [size - 10_001 for size in sizes]


def test_a_pattern_is_linear() -> None:
    assert cel.compile("self.matches('(a+)+$')")("a" * 100_000 + "b") is False


@given(st.text(alphabet="self.ab0123\"'[](){}+-*/%!=<>&|?:, \\ru`\n", max_size=60))
def test_any_text_compiles_or_says_why(code: str) -> None:
    failed: CompileFailed | SnippetFailed | None = None
    try:
        cel.compile(code)({"a": [1, {"b": 2}]})
    except (CompileFailed, SnippetFailed) as error:
        failed = error
    assert failed is None or str(failed)
    assert not isinstance(failed, CompileFailed) or min(failed.line, failed.column) >= 1
