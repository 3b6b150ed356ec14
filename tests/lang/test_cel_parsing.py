"""CEL: from text to a tree, what a person is told of text that is none, and limits."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.errors import CompileFailed
from greenflow.lang import cel
from greenflow.lang.cel import parsing, tree
from greenflow.lang.cel.tree import Binary, Literal, Logic, Name, Select, Unary, Wrong
from greenflow.lang.cel.values import UInt
from tests import corpora
from tests.lang.cel_text import BINDING, WORDS, shape, text


def run(code: str, payload: Any = None) -> Any:
    return cel.compile(code)(payload)


# -- what CEL has grown ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("self.?a.orValue(9)", 1),
        ("self.?x.orValue(9)", 9),
        ("self . ? a . orValue ( 9 )", 1),
        ("self.?m.?x.orValue(9)", 7),
        ("self.?x.?y.hasValue()", False),
        ("self[?'a'].orValue(9)", 1),
        ("self[?'x'].orValue(9)", 9),
        ("self.l[?0].orValue(9)", 5),
        ("self.l[?7].orValue(9)", 9),
        ("self.?l[?0].orValue(9)", 5),
        ("self.?`in`.orValue(9)", 3),
        ("[?self.?x, ?self.?a, 2]", [1, 2]),
        ("[?optional.none(), ?self[?'x'],]", []),
        ("{?'k': self.?a, ?'j': self.?x, 'i': 0,}", {"k": 1, "i": 0}),
        ("self.a == 1 ? [?self.?a] : []", [1]),
    ],
)
def test_optional_syntax(code: str, result: Any) -> None:
    assert run(code, {"a": 1, "in": 3, "m": {"x": 7}, "l": [5]}) == result


@pytest.mark.parametrize("name", ["in", "as", "true", "null", "x-y", "a.b", "a/b", "a b", "1", "x"])
def test_a_field_in_backticks_may_have_any_name(name: str) -> None:
    payload = {name: {name: 1}}
    assert run(f"self.`{name}`.`{name}`", payload) == 1
    assert run(f"has(self.`{name}`) && !has(self.`{name}x`)", payload) is True
    assert run(f"self.?`{name}`.hasValue()", payload) is True
    assert run(f"[self].map(x, x.`{name}`.`{name}` + 1)", payload) == [2]


@pytest.mark.parametrize("name", ["as", "if", "true", "false", "null", "_x", "In"])
def test_a_field_may_be_a_reserved_word(name: str) -> None:
    assert run(f"self.{name}", {name: 1}) == 1


@pytest.mark.parametrize(
    "code", ["`self`", "self.`a`(1)", "self.``", "self.`a\nb`", "self.`a", "`"]
)
def test_backticks_are_for_fields(code: str) -> None:
    with pytest.raises(CompileFailed):
        cel.compile(code)


@pytest.mark.parametrize(
    "code", ["?1", "self.?f()", "f(?1)", "{1: ?2}", "self[?]", "self?.a", "[?]"]
)
def test_optional_syntax_has_its_places(code: str) -> None:
    with pytest.raises(CompileFailed):
        cel.compile(code)


def test_an_integer_may_be_called_on() -> None:
    call = parsing.parse("42.charAt(1)")
    assert shape(call) == shape(tree.Call(Literal(42, at=0), "charAt", [Literal(1, at=10)], at=2))


# -- numbers and signs -------------------------------------------------------------------------


def literal(value: Any) -> Literal:
    return Literal(value, at=0)


@pytest.mark.parametrize(
    ("code", "node"),
    [
        ("-1", literal(-1)),
        ("- 1", literal(-1)),
        ("--1", Unary("-", literal(-1), at=0)),
        ("-(1)", Unary("-", literal(1), at=0)),
        ("-1u", Unary("-", literal(UInt(1)), at=0)),
        ("1-1", Binary("-", literal(1), literal(1), at=1)),
        ("1--1", Binary("-", literal(1), literal(-1), at=1)),
        ("1 -1", Binary("-", literal(1), literal(1), at=1)),
        ("-1.5e3", literal(-1500.0)),
        ("-.5", literal(-0.5)),
        ("-0.0", literal(-0.0)),
        ("-0x10", literal(-16)),
        ("-9223372036854775808", literal(-(2**63))),
        ("-1.a", Select(literal(-1), "a", False, at=2)),
        ("-x.a", Unary("-", Select(Name("x", at=0), "a", False, at=0), at=0)),
        ("!!x", Unary("!", Unary("!", Name("x", at=0), at=0), at=0)),
        ("x - !y", Binary("-", Name("x", at=0), Unary("!", Name("y", at=0), at=0), at=0)),
        ("1.a", Select(literal(1), "a", False, at=1)),
        ("1.5.a", Select(literal(1.5), "a", False, at=3)),
    ],
)
def test_signs_and_points(code: str, node: tree.Node) -> None:
    assert shape(parsing.parse(code)) == shape(node)


def test_what_begins_like_a_word_is_a_name() -> None:
    for name in ("inside", "in_", "trueish", "nullable", "ifx", "b", "r", "u", "e1"):
        assert shape(parsing.parse(name)) == shape(Name(name, at=0))
        assert shape(parsing.parse(f".{name}")) == shape(Name(name, True, at=0))
    with pytest.raises(Wrong):
        parsing.parse("a inside")


def test_a_chain_of_logic_is_one_node_unless_in_brackets() -> None:
    chain = parsing.parse("a && b && c || d")
    assert isinstance(chain, Logic)
    assert [type(operand) for operand in chain.operands] == [Logic, Name]
    closed = parsing.parse("(a && b) && c")
    assert isinstance(closed, Logic)
    assert [type(operand) for operand in closed.operands] == [Logic, Name]


# -- what a person is told ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "1:1: unexpected the end, a value is wanted"),
        ("1 +", "1:4: unexpected the end, a value is wanted"),
        ("1 + // more", "1:12: unexpected the end, a value is wanted"),
        ("(1 2", "1:4: unexpected '2', ')' is wanted"),
        ("[1 2]", "1:4: unexpected '2', ',' or ']' is wanted"),
        ("{1 2}", "1:4: unexpected '2', ':' is wanted"),
        ("{1: 2\n 3}", "2:2: unexpected '3', ',' or '}' is wanted"),
        ("f(1 2)", "1:5: unexpected '2', ',' or ')' is wanted"),
        ("f(1", "1:4: unexpected the end, ',' or ')' is wanted"),
        ("a ? b", "1:6: unexpected the end, ':' is wanted"),
        ("a[1", "1:4: unexpected the end, ']' is wanted"),
        ("a.", "1:3: unexpected the end, the name of a field is wanted"),
        ("a.?1", "1:4: unexpected '1', the name of a field is wanted"),
        ("a.in", "1:3: 'in' is no field's name, unless in backticks: `in`"),
        (".", "1:2: unexpected the end, a name is wanted"),
        ("a b", "1:3: unexpected 'b'"),
        ("a 'b\\'", "1:3: the string has no end"),
        ("a '''b\nc'''", "1:3: unexpected '''b\\nc'''"),
        ("a" + " b" * 9, "1:3: unexpected 'b'"),
        ("1 " + "b" * 100, f"1:3: unexpected '{'b' * 80}'"),
        ("a = 1", "1:3: unexpected character '='"),
        ("a & b", "1:3: unexpected character '&'"),
        ("1 # 'x", "1:3: unexpected character '#'"),
        ("1 ) 'x", "1:3: unexpected ')'"),
        ("'abc", "1:1: the string has no end"),
        ("'a\nb'", "1:1: the string has no end"),
        ("1 + b'abc", "1:5: the string has no end"),
        ('1 + Rb"abc', "1:5: the string has no end"),
        ("ab'abc", "1:3: the string has no end"),
        ("'''a'b", "1:1: the string has no end"),
        ("r'\\' + 'a", "1:8: the string has no end"),
        ("A{b: 1}", "1:2: messages are not supported, write a map"),
        ("a.b{c}", "1:4: messages are not supported, write a map"),
        ("if + 1", "1:1: 'if' is a reserved word"),
        ("1 + .while", "1:5: 'while' is a reserved word"),
        ("for(1)", "1:1: 'for' is a reserved word"),
        ("!-1", "1:2: unexpected '-': write brackets between ! and -"),
        ("--!x", "1:3: unexpected '!': write brackets between ! and -"),
        ("'a\\q'", "1:3: unknown escape \\q"),
        ("1 + 99999999999999999999", "1:5: the number does not fit 64 bits"),
    ],
)
def test_what_is_wrong_and_where(code: str, message: str) -> None:
    with pytest.raises(CompileFailed) as caught:
        cel.compile(code)
    place, reason = message.split(": ", 1)
    line, column = place.split(":")
    assert str(caught.value) == f"line {line}, column {column}: {reason}"


def test_the_first_fault_is_told() -> None:
    with pytest.raises(Wrong, match="'b'"):
        parsing.parse("a b !- 'c")
    with pytest.raises(Wrong, match="write brackets"):
        parsing.parse("!-a b 'c")


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("(" * 5000 + "1" + ")" * 5000, "brackets are nested deeper than 100"),
        ("(" * 5000, "brackets are nested deeper than 100"),
        ("f(" * 101 + ")" * 101, "brackets are nested deeper than 100"),
        ("1+" * 20_000 + "1", "the expression has more than 10000 parts"),
        ("1+" * 300 + "1", "the expression is nested deeper than 200"),
        ("a" + ".b" * 300, "the expression is nested deeper than 200"),
        ("!" * 5000 + "a", "the expression is nested deeper than 200"),
        ("a ? b : " * 5000 + "c", "the expression is nested deeper than 200"),
        ("[" + "-1, " * 10_000 + "1]", "the expression has more than 10000 parts"),
        ("a b " * 10_000, "the expression has more than 10000 parts"),
        ("a" * 100_001, "the code is longer than 100000 characters"),
    ],
)
def test_too_much_is_refused(code: str, reason: str) -> None:
    with pytest.raises(CompileFailed) as caught:
        cel.compile(code)
    assert str(caught.value).endswith(f": {reason}")


@pytest.mark.parametrize(
    "code",
    [
        "(" * 100 + "1" + ")" * 100,
        "(1)" + " + (1)" * 150,
        "[" + "-1, " * 9_999 + "]",
        "[" + "a ? b : c, " * 2_000 + "]",
        "[" + "[?a.?b], " * 2_000 + "]",
        "{" + "?a: b ? c : d, " * 1_900 + "}",
    ],
)
def test_as_much_as_may_be_is_read(code: str) -> None:
    assert parsing.parse(code).depth <= tree.MAX_DEPTH


def test_others_run_while_much_is_compiled() -> None:
    parsing.parse("1")  # the parser is there
    turns = 0

    def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(1e-6)  # a timer, so the hub must look at more than what is ready

    greenlet = gevent.spawn(other)
    try:
        cel.Program("[" + "1, " * 9_000 + "]", cel.SELF)
    finally:
        greenlet.kill()
    assert turns >= 2 * 18_000 // parsing.TOKENS_A_TURN // 2


def test_the_hub_itself_may_compile() -> None:
    result: AsyncResult[Any] = AsyncResult()
    code = "[" + "1, " * 5_000 + "].size()"
    gevent.get_hub().loop.run_callback(lambda: result.set(cel.Program(code, cel.SELF)(None)))
    assert result.get() == 5_000


def test_who_is_killed_meanwhile_is_killed() -> None:
    greenlet = gevent.spawn(parsing.parse, "[" + "1, " * 9_000 + "]")
    gevent.sleep(1e-6)
    greenlet.kill()
    assert isinstance(greenlet.value, gevent.GreenletExit)
    assert shape(parsing.parse("1")) == shape(literal(1))


# -- a text for each tree, a tree for each text ------------------------------------------------

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,3}", fullmatch=True).filter(
    lambda n: n not in WORDS
)
FIELDS = NAMES | st.sampled_from(["in", "if", "true", "null", "a-b", "a.b", "a b", "0"])
VALUES = st.one_of(
    st.none() | st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1).map(UInt),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.binary(max_size=3),
)
LEAVES = st.one_of(
    VALUES.map(literal),
    st.builds(Name, NAMES, st.booleans(), at=st.just(0)),
)


def _branches(inner: st.SearchStrategy[tree.Node]) -> st.SearchStrategy[tree.Node]:
    at = st.just(0)
    items = st.lists(st.tuples(inner, st.booleans()), max_size=3)
    entries = st.lists(st.tuples(inner, inner, st.booleans()), max_size=3)
    return st.one_of(
        st.builds(Select, inner, FIELDS, st.booleans(), at=at),
        st.builds(tree.Index, inner, inner, st.booleans(), at=at),
        st.builds(tree.Call, st.none() | inner, NAMES, st.lists(inner, max_size=3), at=at),
        items.map(lambda pairs: tree.ListOf([a for a, _ in pairs], [b for _, b in pairs], at=0)),
        entries.map(_map_of),
        st.builds(Unary, st.sampled_from("!-"), inner, at=at),
        st.builds(
            Binary, st.sampled_from(sorted(BINDING.keys() - {"&&", "||"})), inner, inner, at=at
        ),
        st.builds(
            Logic, st.sampled_from(["&&", "||"]), st.lists(inner, min_size=2, max_size=4), at=at
        ),
        st.builds(tree.Condition, inner, inner, inner, at=at),
    )


def _map_of(entries: list[tuple[tree.Node, tree.Node, bool]]) -> tree.Node:
    keys, values = [key for key, _, _ in entries], [value for _, value, _ in entries]
    return tree.MapOf(keys, values, [optional for _, _, optional in entries], at=0)


TREES = st.recursive(LEAVES, _branches, max_leaves=20)


@settings(max_examples=300)
@given(TREES, st.sampled_from([" ", "", "\n\t", " // note\n"]))
def test_a_tree_that_is_written_is_read_as_the_same(node: tree.Node, gap: str) -> None:
    assert shape(parsing.parse(text(node, gap=gap))) == shape(node)


def test_every_text_of_the_corpus_is_read_and_written() -> None:
    corpora.require()
    refused = 0
    for code in [case["expr"] for case in corpora.cases("cel")]:
        try:
            node = parsing.parse(code)
        except Wrong:
            refused += 1
            continue
        assert shape(parsing.parse(text(node))) == shape(node)
    assert refused <= 10
