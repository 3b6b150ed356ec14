"""CEL: programs on payloads, errors with their place, what goes in and out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from greenflow import lang
from greenflow.errors import CompileFailed, InvalidArgument, SnippetFailed
from greenflow.lang import cel

NOON = datetime(2024, 2, 29, 12, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))


def run(code: str, payload: Any = None) -> Any:
    return cel.compile(code)(payload)


def test_it_is_an_installed_language() -> None:
    assert lang.compile("cel", "self + 1")(41) == 42


@pytest.mark.parametrize(
    ("code", "payload", "result"),
    [
        ("has(self.body) ? self.body : null", {"body": [1]}, [1]),
        ("has(self.body) ? self.body : null", {}, None),
        ("self.items.filter(i, i.n > 1).map(i, i.name)", {"items": [{"n": 2, "name": "a"}]}, ["a"]),
        ("self == b'x'", b"x", True),
        ("self + duration('1s') > self", NOON, True),
        ("self.getHours()", NOON, 11),
        ("self.getHours('+01:00')", NOON, 12),
        ("string(self)", NOON, "2024-02-29T11:00:00.25Z"),
        ("self == timestamp('2024-02-29T11:00:00.25Z')", NOON, True),
        ("type(self) == google.protobuf.Timestamp", NOON, True),
        ("self > 9223372036854775807", 2**64 - 1, True),
        ("self.`a-b` + self['c']", {"a-b": "x", "c": "y"}, "xy"),
        ("1 == 1.0 && 1u == 1 && 1 < 2.5 && 2u > 1.5", None, True),
        ("self == true", 1, False),
        ("self.n == 'x' || self.n == null", {"n": None}, True),
        ("// a comment\n 1 // another", None, 1),
    ],
)
def test_payloads_are_values(code: str, payload: Any, result: Any) -> None:
    assert run(code, payload) == result


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("7u", 7),
        ("[7u, {'a': 7u}]", [7, {"a": 7}]),
        ("duration('90s')", 90),
        ("duration('1500ms')", 1.5),
        ("duration('-1500ms')", -1.5),
        ("type(1)", "int"),
        ("optional.of(3u)", 3),
        ("optional.none()", None),
        (
            "timestamp('2024-02-29T11:00:00.123456789Z')",
            datetime(2024, 2, 29, 11, 0, 0, 123456, UTC),
        ),
        ("{1: 'a', true: 'b', 2u: 'c'}", {"1": "a", "true": "b", "2": "c"}),
        ("cel.bind(self, 1u, self)", 1),
        ("[1u].map(self, self)", [1]),
        ("true ? 1u : 2u", 1),
    ],
)
def test_what_leaves_is_a_payload(code: str, result: Any) -> None:
    found = run(code)
    assert found == result
    assert type(found) is type(result)


def test_what_only_passes_is_not_copied() -> None:
    payload = {"body": {"a": [1]}}
    assert run("has(self.body) ? self.body : null", payload) is payload["body"]
    assert run("{'x': self}", payload)["x"] is payload


def test_two_keys_that_become_one_text_are_an_error() -> None:
    with pytest.raises(SnippetFailed, match="same text"):
        run("{1: 'a', '1': 'b'}")


def failure() -> InvalidArgument:
    return InvalidArgument("the reason")


def test_an_error_equals_its_messages() -> None:
    error = ExceptionGroup("several", [ValueError("one"), failure()])
    for text in ("several", "one", "invalid argument", "the reason"):
        assert run(f"self == '{text}' && '{text}' == self && self in ['{text}']", error) is True
        assert run(f"self != '{text}'", error) is False
    assert run("self == 'several (2 sub-exceptions)' || self == 1 || self == null", error) is False


def test_an_error_equals_an_error_of_its_message() -> None:
    pair = {"a": failure(), "b": failure(), "c": ValueError("the reason"), "d": ValueError("other")}
    assert run("self.a == self.b && self.a == self.c && self.c == self.a", pair) is True
    assert run("self.a == self.d", pair) is False


def test_an_error_can_be_written() -> None:
    assert run("string(self)", failure()) == "invalid argument: the reason"
    assert run("type(self)", failure()) == "error"


@pytest.mark.parametrize(
    ("code", "line", "column"),
    [
        ("1 +", 1, 4),
        ("self.a &&\n  (self.b", 2, 10),
        ("slef.body", 1, 1),
        ("self.map(x, y)", 1, 13),
        ("nothing(self)", 1, 1),
        ("self.nothing()", 1, 5),
        ("'abc", 1, 1),
        ("'\\q'", 1, 2),
        ("'\\ud800'", 1, 2),
        ("b'\\u0041'", 1, 3),
        ("9223372036854775808", 1, 1),
        ("18446744073709551616u", 1, 1),
        ("1 # 2", 1, 3),
        ("has(self)", 1, 5),
        ("self.matches('(')", 1, 5),
        ("if", 1, 1),
        ("A{b: 1}", 1, 2),
        ("self.map(1, 2)", 1, 10),
        ("{'a': 1}.exists(k, k, true)", 1, 9),
    ],
)
def test_a_compile_error_says_where(code: str, line: int, column: int) -> None:
    with pytest.raises(CompileFailed) as caught:
        cel.compile(code)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("code", "line", "column"),
    [
        ("self.body", 1, 5),
        ("1 +\n  self.a.b", 2, 7),
        ("[1][self]", 1, 4),
        ("1 / 0", 1, 3),
        ("9223372036854775807 + 1", 1, 21),
        ("'a'.charAt(7)", 1, 4),
        ("1 < 'a'", 1, 3),
        ("self ? 1 : 2", 1, 6),
    ],
)
def test_a_run_error_says_where(code: str, line: int, column: int) -> None:
    with pytest.raises(SnippetFailed) as caught:
        run(code, {})
    assert (caught.value.line, caught.value.column) == (line, column)


#: Where an operand or a part can stand; `@` is its place.
PLACES = [
    "@",
    "self && @",
    "@ || true",
    "true || (false && @)",
    "true ? @ : 1",
    "true ? 1 : @",
    "(@ && true) == false",
    "[1, 2].exists(x, @ || x == 2)",
    "[1, 2].all(x, true || @)",
    "[1].exists_one(x, true || @)",
    "[[1]].filter(x, x.exists(y, true || @))",
    "[1].map(x, true || @, x)",
    "[1].transformMap(i, x, true || @)",
    "[1].sortBy(x, @)",
    "optional.of(1).optMap(x, true || @)",
    "cel.bind(x, true || @, x)",
    "cel.bind(x, 1, true || @)",
    "true || has(@.a)",
    "true || [@] == {'a': @}",
    "true || size(@) > 0",
    "true || !@",
    "true || @.a[@]",
    "true || self[@]",
    "true ||\n  @",
]
UNKNOWN = {
    "slef": "'slef' is not declared; did you mean self[?]",
    "slef.b": "'slef' is not declared; did you mean self[?]",
    "nosuch(1)": "there is no function 'nosuch'$",
    "size(1, 2, 3)": r"size\(\) takes 1 argument, not 3$",
}


@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("place", PLACES)
def test_what_nobody_declared_is_refused_wherever_it_stands(place: str, unknown: str) -> None:
    code = place.replace("@", unknown)
    with pytest.raises(CompileFailed, match=UNKNOWN[unknown]) as caught:
        cel.compile(code)
    at = code.index(unknown)
    column = at - code.rfind("\n", 0, at)
    assert (caught.value.line, caught.value.column) == (code.count("\n", 0, at) + 1, column)


def test_unchecked_what_nobody_declared_is_an_error_of_the_run_where_it_may_be_absorbed() -> None:
    def unchecked(code: str) -> object:
        return cel.compile(code, checked=False)({})

    assert unchecked("nothing || true") is True
    assert unchecked("[1, 2].exists(x, nothing || x == 2)") is True
    assert unchecked("nothing(1) || size(1, 2) || true") is True
    with pytest.raises(SnippetFailed, match="'nothing' is not declared") as caught:
        unchecked("nothing || false")
    assert (caught.value.line, caught.value.column) == (1, 1)
    with pytest.raises(CompileFailed, match="'nothing' is not declared"):
        cel.compile("true ? nothing : 1", checked=False)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("count > 10", "'count' is not declared; did you mean self.count?"),
        ("maths.abs(1)", "'maths' is not declared; did you mean math?"),
        ("[1].all(item, itme > 0)", "'itme' is not declared; did you mean item?"),
        ("[1].all(x, y > 0)", "'y' is not declared; declared are x, self"),
        ("math.abz(1)", "there is no function 'math.abz'; did you mean math.abs()?"),
        ("math.greatest()", "math.greatest() takes 1 argument or more, not 0"),
        ("self.startWith('a')", "there is no method 'startWith'; did you mean startsWith()?"),
        ("self.al(x, x > 0)", "there is no method 'al'; did you mean all()?"),
        ("self.all(x, x, x, x)", "all() takes 2 or 3 arguments, not 4"),
        ("self.contains()", "contains() takes 1 argument, not 0"),
        ("startsWith(self, 'a')", "startsWith() is a method: write x.startsWith()"),
        ("self.has()", "has() is a function: write has(x)"),
        ("slef.nosuch(1)", "'slef' is not declared; did you mean self?"),
        ("self.nosuch(slef)", "there is no method 'nosuch'"),
        ("self.x && self.y.matches('(')", "the pattern is wrong: missing ): ("),
    ],
)
def test_what_is_near_is_told(code: str, reason: str) -> None:
    with pytest.raises(CompileFailed) as caught:
        cel.compile(code)
    assert str(caught.value).partition(": ")[2] == reason


def test_a_program_without_variables_says_so() -> None:
    with pytest.raises(CompileFailed, match="'a' is not declared; nothing is"):
        cel.compile("a", ())


@pytest.mark.parametrize(
    "code",
    [
        "1 / 0 > 1 || true",
        "!(1 / 0 > 1 && false)",
        "[1, 0].exists(x, 1 / x == 1)",
        "[0, 1].exists(x, 1 / x == 1)",
        "![0, 2].all(x, 1 / x == 1)",
    ],
)
def test_errors_are_absorbed(code: str) -> None:
    assert run(code) is True


@pytest.mark.parametrize(
    "code", ["1 / 0 > 1 || false", "[0, 2].exists(x, 1 / x == 1)", "[0, 1].all(x, 1 / x == 1)"]
)
def test_errors_that_decide_are_raised(code: str) -> None:
    with pytest.raises(SnippetFailed, match="division by zero"):
        run(code)


def test_a_program_takes_other_variables() -> None:
    program = cel.compile("a + b.c", ("a", "b.c"))
    assert program.evaluate({"a": 1, "b.c": 2}) == 3
    assert program.evaluate({"a": 5, "b.c": 2}) == 7
