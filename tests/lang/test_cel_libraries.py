"""CEL: the libraries, beside what the conformance cases have of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import CompileFailed, SnippetFailed
from greenflow.lang import cel


def run(code: str, payload: Any = None) -> Any:
    return cel.compile(code)(payload)


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("[1, 2, 3, 4].slice(1, 3)", [2, 3]),
        ("[1, [2, [3, [4]]]].flatten()", [1, 2, [3, [4]]]),
        ("[1, [2, [3, [4]]]].flatten(2)", [1, 2, 3, [4]]),
        ("[1, 1.0, 'a', 1u, 'a', [1], [1.0]].distinct()", [1, "a", [1]]),
        ("lists.range(3)", [0, 1, 2]),
        ("lists.range(-1)", []),
        ("[3, 1, 2].sort()", [1, 2, 3]),
        ("[3, 1.5, 2u].sort()", [1.5, 2, 3]),
        ("['b', 'a'].sort().reverse()", ["b", "a"]),
        ("[{'n': 2}, {'n': 1}].sortBy(x, x.n)", [{"n": 1}, {"n": 2}]),
        ("[1, 2].first().value() + [1, 2].last().value()", 3),
        ("[].first().hasValue()", False),
        ("sets.contains([1, 2], [2, 1.0, 1u])", True),
        ("sets.contains([1], [2])", False),
        ("sets.equivalent([1, 2, 2], [2u, 1])", True),
        ("sets.equivalent([1], [1, 2])", False),
        ("sets.intersects([1], [2, 1])", True),
        ("sets.intersects([], [1])", False),
        ("base64.decode('aGVsbG8')", b"hello"),
        ("regex.extract('a1b2', '[0-9]')", "1"),
        ("regex.extract('a1b2', 'b([0-9])')", "2"),
        ("regex.extract('ab', '[0-9]').hasValue()", False),
        ("regex.extractAll('a1b2', '[a-z]([0-9])')", ["1", "2"]),
        ("regex.replace('a1b2', '([a-z])([0-9])', '\\\\2\\\\1')", "1a2b"),
        ("regex.replace('aaa', 'a', 'b', 2)", "bba"),
        ("regex.replace('abc', '$', '!')", "abc!"),
        ("regex.replace('baac', 'a*', '-')", "-b-c-"),
        ("regex.replace('äöü', '', '-')", "-ä-ö-ü-"),
        ("regex.replace('aaab', 'a*', '-', 1)", "-b"),
        ("regex.replace('a\\nb', '(?m)$', '!')", "a!\nb!"),
        ("regex.extractAll('baac', 'a*')", ["", "aa", ""]),
        ("regex.extractAll('abc', '$')", [""]),
        ("regex.extractAll('val=a, val=, val=c', 'val=([^,]*)')", ["a", "c"]),
        ("regex.extractAll('a, b', '(x)?[ab]')", []),
        ("optional.unwrap([optional.of(1), optional.none(), optional.of('a')])", [1, "a"]),
        ("[optional.none(), optional.of(null)].unwrapOpt()", [None]),
        ("optional.unwrap([])", []),
        ("'%s %d'.format([2e-9, 2e-9])", "0.000000002 0.000000002"),
        ("'%s'.format([[1e21, -1e-7, 1.0, -0.0]])", "[1000000000000000000000, -0.0000001, 1, -0]"),
        ("'%s'.format([{'a': 1e22}])", "{a: 10000000000000000000000}"),
        ("'%s %d'.format([123456789012345680000.0, 1.5])", "123456789012345680000 1.5"),
        ("'%.3e %x %X %o %b'.format([1234.5, -255, 'hi', -8, true])", "1.234e+03 -ff 6869 -10 1"),
        ("'%s %s'.format([1.0 / 0.0, -1.0 / 0.0])", "Infinity -Infinity"),
        ("timestamp('2023-01-01T00:00:00+23:59')", datetime(2022, 12, 31, 0, 1, tzinfo=UTC)),
        (
            "timestamp('2023-01-01T00:00:00.1234567891Z')",
            datetime(2023, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
        ),
        ("duration('.5s')", 0.5),
        ("duration('-.5s')", -0.5),
        ("duration('1.s')", 1),
        ("duration('+0')", 0),
        ("duration('0000000000000000000000001s')", 1),
        ("duration('1.00000000000000000000000000001s')", 1),
        ("1e308", 1e308),
        ("1e-400", 0.0),
        ("double('1e308')", 1e308),
        ("double('-Infinity') < -1e308", True),
        ("-9223372036854775808 % -1", 0),
        ("{'in': 1, 'while': 2}.`in` + {'in': 1, 'while': 2}.?`while`.orValue(0)", 3),
        ("has({'package': 1}.`package`)", True),
        ("regex.replace('aaa', 'a', 'b', 0)", "aaa"),
        ("regex.replace('aaa', 'a', 'b', -1)", "bbb"),
        ("{'a': 1, 'b': 2}.transformMapEntry(k, v, {string(v): k})", {"1": "a", "2": "b"}),
        ("[1, 2].transformMapEntry(i, v, i > 0, {'x': v})", {"x": 2}),
        ("math.sqrt(16)", 4.0),
        ("math.round(-2.5)", -3.0),
        ("math.round(0.49999999999999994)", 0.0),
        (
            "string(1e21) + string(1e20) + string(1e-7) + string(-0.0)",
            "1e+211000000000000000000001e-07-0",
        ),
        ("'%s %s'.format([{'b': [1.0], 'a': null}, duration('1.5s')])", "{a: null, b: [1]} 1.5s"),
        ("'mañana'.upperAscii()", "MAñANA"),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
        ("'abc'.split('')", ["a", "b", "c"]),
        ("duration('-1.5h').getMinutes()", -90),
        ("duration('90061001ms').getMilliseconds()", 1),
        ("timestamp('2024-03-31T01:30:00Z').getHours('Europe/Berlin')", 3),
        ("timestamp('2024-01-01T00:00:00+02:00').getFullYear()", 2023),
        ("{true: 'a', 1: 'b'}[true] + {true: 'a', 1: 'b'}[1]", "ab"),
        ("{true: 1}.map(k, k)", [True]),
        ("-7 / 2 + -7 % 2", -4),
        ("1.0 / 0.0 > 1e308 && -1.0 / 0.0 < 0.0", True),
        ("optional.of(2).optMap(x, x + 1).orValue(0)", 3),
        ("[?optional.none(), ?optional.of(1)]", [1]),
    ],
)
def test_results(code: str, result: Any) -> None:
    found = run(code)
    assert found == result
    assert type(found) is type(result)


def test_not_a_number_is_unequal_to_itself() -> None:
    assert run("self == self || [self] == [self]", math.nan) is False


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("[1, 'a'].sort()", "cannot be sorted: int, string"),
        ("[[1]].sort()", "cannot be sorted"),
        ("[1].slice(0, 2)", "out of a list of 1"),
        ("[1].flatten(-1)", "not negative"),
        ("[1].join()", "takes strings, not int"),
        ("regex.extract('a', '(a)(b)')", "more than one group"),
        ("regex.replace('a', 'a', '\\\\1')", "group 1"),
        ("regex.replace('a', 'a', '\\\\x')", "before a digit"),
        ("base64.decode('?')", "no base64"),
        ("int('1_0')", "no int"),
        ("uint(-1)", "range of uint"),
        ("uint('-0')", "no uint"),
        ("double('0x1')", "no double"),
        ("string(b'\\xff')", "no UTF-8"),
        ("string([1])", "no such overload"),
        ("duration('1')", "no duration"),
        ("duration('')", "no duration"),
        ("timestamp('2024-02-30T00:00:00Z')", "no timestamp"),
        ("timestamp(0).getHours('Nowhere/None')", "unknown time zone"),
        ("timestamp(0).getHours('../../etc/passwd')", "unknown time zone"),
        ("timestamp('0001-01-01T00:00:00Z').getHours('-05:00')", "out of the years"),
        ("'%q'.format([1])", "no clause"),
        ("'%.9999f'.format([1.0])", "precision"),
        ("optional.none().value()", "no value"),
        ("optional.unwrap([1])", "int is no optional"),
        ("timestamp('2023-01-01T00:00:00+99:99')", "offsets go"),
        ("timestamp('2023-01-01T00:00:00+24:00')", "offsets go"),
        ("timestamp('2023-01-01T00:00:00-00:60')", "offsets go"),
        ("timestamp('2023-01-01T24:00:00Z')", "no timestamp"),
        ("timestamp('2023-01-01T23:59:60Z')", "no timestamp"),
        ("timestamp('0001-01-01T00:00:00+01:00')", "out of range"),
        ("timestamp('9999-12-31T23:59:59-01:00')", "out of range"),
        ("timestamp(253402300800)", "out of range"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "out of range"),
        ("timestamp(0).getHours('+02:60')", "unknown time zone"),
        ("duration('.s')", "no duration"),
        ("duration('9223372036854775808ns')", "out of range"),
        ("duration('9223372036s') + duration('9223372036s')", "out of range"),
        ("double('1e400')", "range of double"),
        ("double('-1e400')", "range of double"),
        ("9223372036854775807 + 1", "overflow"),
        ("-9223372036854775808 / -1", "overflow"),
        ("-(-9223372036854775807 - 1)", "overflow"),
        ("0u - 1u", "overflow"),
        ("[?1]", "no optional"),
        ("{'a': 1, 'a': 2}", "twice"),
        ("{1.0: 1}", "unsupported key type: double"),
        ("[1].map(x, x, x)", "boolean condition"),
        ("math.greatest([])", "needs a number"),
        ("math.bitShiftLeft(1, -1)", "not negative"),
        ("self.a", "has no fields"),
    ],
)
def test_errors(code: str, reason: str) -> None:
    with pytest.raises(SnippetFailed, match=reason):
        run(code, "text")


@pytest.mark.parametrize(
    "code",
    [
        "1.99e90000009",
        "1e309",
        "-1e400",
        "9223372036854775808",
        "18446744073709551616u",
        "0x10000000000000000",
    ],
)
def test_a_literal_that_no_value_has_is_found_at_load(code: str) -> None:
    with pytest.raises(CompileFailed):
        cel.compile(code)


@pytest.mark.parametrize("code", ["'a'.matches('(')", "regex.extract('a', '(?=a)')"])
def test_a_wrong_pattern_is_found_at_load(code: str) -> None:
    with pytest.raises(CompileFailed, match="the pattern is wrong"):
        cel.compile(code)
    with pytest.raises(CompileFailed, match="the pattern is wrong"):
        cel.compile(f"{code} == 1 || true")
    assert cel.compile(f"{code} == 1 || true", checked=False)({}) is True


def test_half_a_character_is_an_error_where_utf_8_is_wanted() -> None:
    for code in ("bytes(self)", "self.matches('a')", "'a'.matches(self)"):
        with pytest.raises(SnippetFailed, match="surrogate"):
            run(code, "\ud800")


numbers = st.integers(-(2**63), 2**63 - 1)


@given(numbers, numbers)
def test_division_is_that_of_c(left: int, right: int) -> None:
    values = {"a": left, "b": right}
    if right == 0 or (left, right) == (-(2**63), -1):
        with pytest.raises(SnippetFailed):
            run("self.a / self.b", values)
        return
    quotient, rest = run("[self.a / self.b, self.a % self.b]", values)
    assert quotient * right + rest == left
    assert abs(rest) < abs(right)
    assert rest == 0 or (rest < 0) == (left < 0)


@given(st.text(max_size=20), st.text(max_size=3))
def test_split_and_join_are_inverse(text: str, separator: str) -> None:
    values = {"t": text, "s": separator}
    assert run("self.t.split(self.s).join(self.s)", values) == text


# An int and a double compare as doubles, which are exact to 2**53.
@given(st.lists(st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False))))
def test_sort_sorts(items: list[Any]) -> None:
    assert run("self.sort()", items) == sorted(items, key=float)
