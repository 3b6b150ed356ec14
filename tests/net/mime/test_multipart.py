"""multipart/form-data, read and written (BEHAVIOUR 10.1)."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub import breathing
from greenflow.net.mime import multipart
from greenflow.net.mime.multipart import (
    MAX_HEADER_BYTES,
    MAX_PARAMETERS,
    MAX_PARTS,
    encode_multipart,
    parse_multipart,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


# What the name of a part is does not matter.
NAMED = b'Content-Disposition: form-data; name=""\r\n'

BROWSER = (
    b"preamble\r\n"
    b"--X \t\r\n"
    b'Content-Disposition: form-data; name="text"\r\n'
    b"\r\n"
    b"one\r\n\r\ntwo\r\n"
    b"--X\r\n"
    b'content-disposition: form-data; name="text"\r\n'
    b"Content-Type: text/plain; charset=latin-1\r\n"
    b"\r\n"
    b"\xe4\r\n"
    b"--X\r\n"
    b'Content-Disposition: form-data; name="up"; filename="a%22\\\\b\xc3\xa4.bin"\r\n'
    b"Content-Type:  image/png \r\n"
    b"x-one: 1\r\n"
    b"\r\n"
    b"\x00\xff\r\n"
    b"--X\r\n" + NAMED + b"\r\n"
    b"no name\r\n"
    b"--X--\r\n"
    b"epilogue --X"
)


def test_multipart_is_read() -> None:
    assert parse_multipart(BROWSER, "X") == {
        "values": {"text": ["one\r\n\r\ntwo", "ä"], "": ["no name"]},
        "files": {
            "up": [
                {
                    "data": b"\x00\xff",
                    "filename": 'a"\\bä.bin',
                    "header": {
                        "Content-Disposition": [
                            'form-data; name="up"; filename="a%22\\\\bä.bin"',
                        ],
                        "Content-Type": ["image/png"],
                        "X-One": ["1"],
                    },
                    "size": 2,
                }
            ]
        },
    }


def test_a_form_without_parts() -> None:
    assert parse_multipart(b"--X--", "X") == {"values": {}, "files": {}}


def one(head: bytes, data: bytes = b"x") -> bytes:
    return b"--X\r\n" + head + b"\r\n\r\n" + data + b"\r\n--X--\r\n"


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (BROWSER, None),
        (BROWSER, ""),
        (BROWSER, "X "),
        (BROWSER, "x" * 71),
        (BROWSER, "\xe4"),
        (b"", "X"),
        (BROWSER[: BROWSER.index(b"--X--")], "X"),
        (BROWSER.replace(b"--X \t", b"--X y"), "X"),
        (b"--X\r\n--X--", "X"),
        (b"--X\r\nA: b\r\n--X--", "X"),
        (one(NAMED + b"A"), "X"),
        (one(NAMED + b" A: b"), "X"),
        (one(NAMED + b"A: b\r\n c"), "X"),
        (one(NAMED + b"A: \0"), "X"),
        (one(NAMED + b"A: b\rc: d"), "X"),
        (one(NAMED + b"A: " + b"b" * MAX_HEADER_BYTES), "X"),
        (one(b'Content-Disposition: form-data; name="a'), "X"),
        (one(b"Content-Disposition: form-data; name"), "X"),
        (one(NAMED[:-2], b"\xff"), "X"),
        (one(NAMED + b"Content-Type: text/plain; charset=klingon"), "X"),
    ],
)
def test_bad_multipart(body: bytes, boundary: str | None) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_multipart(body, boundary)
    assert error.value.__cause__ is not None


def test_multipart_has_a_limit_of_parts_and_of_each_header() -> None:
    part = b"--X\r\n" + NAMED + b"\r\n\r\n"
    found = parse_multipart(part * MAX_PARTS + b"--X--" + part * 3, "X")
    assert len(found["values"][""]) == MAX_PARTS
    for more in (1, 2, 100):
        with pytest.raises(InvalidArgument) as error:
            parse_multipart(part * (MAX_PARTS + more) + b"--X--", "X")
        assert "more than" in str(error.value.__cause__)
    header = NAMED + b"A: " + b"b" * (MAX_HEADER_BYTES - len(NAMED + b"\r\nA: "))
    assert parse_multipart(one(header), "X")["values"] == {"": ["x"]}
    with pytest.raises(InvalidArgument):
        parse_multipart(one(header + b"b"), "X")


def part(headers: str, data: bytes) -> bytes:
    return one(headers.encode(), data)


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        ("image/jpeg", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0"),
        ("application/octet-stream", b"text", b"text"),
        ("application/json", b'{"a": 1}', '{"a": 1}'),
        ("application/ld+json; charset=latin-1", b"\xe4", "\xe4"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        ("application/xml", b"<a/>", "<a/>"),
        ("text/csv", b"a,b", "a,b"),
        ("TEXT/html; charset=iso-8859-1", b"\xe4", "\xe4"),
        ("", b"a", "a"),
        ("no type", b"a", "a"),
    ],
)
def test_a_part_that_is_no_text_is_bytes(kind: str, data: bytes, value: str | bytes) -> None:
    body = part(f'Content-Disposition: form-data; name="a"\r\nContent-Type: {kind}', data)
    assert parse_multipart(body, "X") == {"values": {"a": [value]}, "files": {}}


@pytest.mark.parametrize(
    ("parameters", "filename"),
    [
        ("; filename*=UTF-8''a.txt", "a.txt"),
        ("; filename*=utf-8'de'%C3%A4%20b.txt", "\xe4 b.txt"),
        ("; FILENAME*=iso-8859-1''%E4.txt", "\xe4.txt"),
        ("; filename=\"a.txt\"; filename*=UTF-8''%C3%A4.txt", "\xe4.txt"),
        ("; filename*=\"UTF-8''a.txt\"", "a.txt"),
        ('; filename=""', ""),
        ('; filename="a; b=c.txt"', "a; b=c.txt"),
        ('; filename="a\\"; b.txt"', 'a"; b.txt'),
        ('; filename="C:\\dir\\a.txt"', "C:\\dir\\a.txt"),
        ('; filename="a\\\\"', "a\\"),
        ("; filename=a.txt", "a.txt"),
    ],
)
def test_a_part_with_a_file_name_is_a_file(parameters: str, filename: str) -> None:
    body = part(f'Content-Disposition: form-data; name="a"{parameters}', b"\xff")
    found = parse_multipart(body, "X")
    assert found["values"] == {}
    [file] = found["files"]["a"]
    assert (file["filename"], file["data"]) == (filename, b"\xff")


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data name="a"',
        '; name="a"',
        'form-data; name="a" b',
        'form-data; name="a\\"',
        'form-data; name="a"; filename*=a.txt',
        "form-data; name=\"a\"; filename*=UTF-8''%zz",
        "form-data; name=\"a\"; filename*=klingon''a",
        "form-data; name=\"a\"; filename*=UTF-8''%FF",
    ],
)
def test_a_disposition_against_its_grammar(disposition: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_multipart(part(f"Content-Disposition: {disposition}", b"x"), "X")
    assert error.value.__cause__ is not None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Content-Type: text/plain",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; filename=a.txt",
        "Content-Disposition: form-data; filename*=UTF-8''a.txt",
        "Content-Disposition: attachment",
    ],
)
def test_a_part_has_a_name(header: str) -> None:
    """RFC 7578 4.2: each part MUST have a Content-Disposition, and that a name."""
    body = part(header, b"x") if header else b"--X\r\n\r\nx\r\n--X--\r\n"
    with pytest.raises(InvalidArgument) as error:
        parse_multipart(body, "X")
    assert "7578 4.2" in str(error.value.__cause__)


@pytest.mark.parametrize(
    "body",
    [
        # The delimiter lines are those of another boundary, but for the last.
        b'--Y\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--X--\r\n',
        b"a preamble\r\n--X--\r\n",
        b"--Xy\r\n" + NAMED + b"\r\n\r\n--X--\r\n",
        b"--X\r\n" + NAMED + b"\r\n1\r\n--Xy\r\n" + NAMED + b"\r\n2\r\n--X--\r\n",
        b"--X\n" + NAMED.replace(b"\r", b"") + b"\n1\n--X--\n",
        b"--X\r\n" + NAMED + b"\r\n--X\r\n" + NAMED + b"\r\n1\r\n--X--\r\n",
        b"--X\r\n" + NAMED + b"\r\n--X \r\n--X--",
        one(NAMED + b"A: b\nC: d"),
        one(b'Content-Disposition: form-data; name="a"\r\nContent-Length: 2'),
    ],
)
def test_a_body_that_was_not_meant_so(body: bytes) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_multipart(body, "X")
    assert error.value.__cause__ is not None


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"--X\t\r\n%s\r\n1\r\n--X  \t\r\n%s\r\n2\r\n--X-- \r\n", ["1", "2"]),
        (b"--X\r\n%s\r\n\r\n --X \r\n\r\n--X--", ["\r\n --X \r\n"]),
        (b"--X\r\n%s\r\n\r\n--X--", [""]),
        (b"--X\r\n%s\r\n\r\n\r\n--X--", ["\r\n"]),
    ],
)
def test_boundaries_may_have_blanks_behind_them(body: bytes, values: list[str]) -> None:
    assert parse_multipart(body.replace(b"%s", NAMED), "X")["values"] == {"": values}


def test_an_empty_form_may_begin_with_a_line_end() -> None:
    assert parse_multipart(b"\r\n--X--\r\n", "X") == {"values": {}, "files": {}}


def test_names_in_another_charset_are_marked() -> None:
    body = part('Content-Disposition: form-data; name="a"', b"x").replace(b'"a"', b'"\xe4"')
    assert parse_multipart(body, "X")["values"] == {"\ufffd": ["x"]}


def test_escapes_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted is calls and lines of Python, which no slow machine makes more."""
    monkeypatch.setattr(breathing, "SLICE", 3600.0)  # a slow one would let others run
    escapes = MAX_HEADER_BYTES // 2 - 40
    lines = 0

    def count(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += 1
        return count

    def cost(name: bytes) -> int:
        nonlocal lines
        lines = 0
        body = one(b'Content-Disposition: form-data; name="' + name + b'"')
        before = sys.gettrace()
        sys.settrace(count)
        try:
            values = parse_multipart(body, "X")["values"]
        finally:
            sys.settrace(before)
        assert values == {'"' * (len(name) // 2): ["x"]}
        return lines

    cost(rb"\"")  # from now on, names and types of the header section are remembered
    assert cost(rb"\"" * escapes) == cost(rb"\"")


def test_multipart_is_written() -> None:
    value = {
        "values": {"a": ["1", 2]},
        "files": {"f": {"data": "text", "header": {"Content-Type": ["text/plain"], "X": "1"}}},
    }
    assert encode_multipart(value, "X") == (
        "X",
        b"--X\r\n"
        b'Content-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b"--X\r\n"
        b'Content-Disposition: form-data; name="a"\r\n\r\n2\r\n'
        b"--X\r\n"
        b'Content-Disposition: form-data; name="f"; filename="f"\r\n'
        b"Content-Type: text/plain\r\n"
        b"X: 1\r\n\r\ntext\r\n"
        b"--X--\r\n",
    )


def test_any_map_of_texts_is_multipart() -> None:
    boundary, body = encode_multipart({"a": "1"})
    assert parse_multipart(body, boundary) == {"values": {"a": ["1"]}, "files": {}}
    assert encode_multipart({"a": "1"})[0] != boundary


@pytest.mark.parametrize(
    "value",
    [
        1,
        {"a": {"b": 1}},
        {"files": {"f": "text"}},
        {"files": {"f": {"data": 1}}},
        {"files": ["f"]},
        {"files": {"f": {"data": b"", "header": {"A": "b\r\nC: d"}}}},
        {"files": {"f": {"data": b"", "header": {"A b": "c"}}}},
        {"files": {"f": {"data": b"", "filename": "\ud800"}}},
        {"a": "\r\n--X"},
    ],
)
def test_what_is_no_multipart(value: Any) -> None:
    with pytest.raises(EncodeError):
        encode_multipart(value, "X")


NAMES = TEXTS.filter(lambda text: not {"%", "\0"} & set(text))


@given(
    st.dictionaries(NAMES, st.lists(TEXTS, min_size=1, max_size=2), max_size=3),
    st.dictionaries(
        NAMES, st.lists(st.tuples(NAMES.filter(bool), st.binary()), min_size=1), max_size=2
    ),
)
def test_multipart_is_read_back(
    values: dict[str, list[str]], files: dict[str, list[tuple[str, bytes]]]
) -> None:
    written = {
        name: [{"data": data, "filename": filename} for filename, data in items]
        for name, items in files.items()
    }
    boundary, body = encode_multipart({"values": values, "files": written})
    got = parse_multipart(body, boundary)
    assert got["values"] == values
    assert {
        name: [(file["filename"], file["data"]) for file in items]
        for name, items in got["files"].items()
    } == files


@given(st.binary(max_size=60), st.integers(0, len(BROWSER)))
def test_no_bytes_make_it_fail(noise: bytes, at: int) -> None:
    with contextlib.suppress(InvalidArgument):
        parse_multipart(BROWSER[:at] + noise + BROWSER[at:], "X")


def test_parameters_have_a_limit() -> None:
    many = "; a=b" * (MAX_PARAMETERS - 1)
    form = parse_multipart(PART.replace(b"PARAMETERS", many.encode()), "b")
    assert form["values"] == {"x": [""]}
    with pytest.raises(InvalidArgument) as refused:
        parse_multipart(PART.replace(b"PARAMETERS", many.encode() + b"; c=d"), "b")
    assert "parameters" in str(refused.value.__cause__)


PART = b'--b\r\nContent-Disposition: form-data; name="x"PARAMETERS\r\n\r\n\r\n--b--\r\n'


@pytest.mark.parametrize("times", [10, 400])
def test_others_run_between_the_parts(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of nothing but escaped quotes, as many parts as there may be."""
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    turns: list[int] = []
    monkeypatch.setattr(breathing, "let_others_run", lambda: turns.append(1))
    part = b'--b\r\nContent-Disposition: form-data; name="' + b'\\"' * 3_000 + b'"\r\n\r\n\r\n'
    form = parse_multipart(part * times + b"--b--\r\n", "b")
    assert form["values"] == {'"' * 3_000: [""] * times}
    assert len(turns) == times


def test_of_padded_boundaries_no_more_are_looked_at_than_parts_are_allowed() -> None:
    with pytest.raises(InvalidArgument):
        parse_multipart(b"\r\n--b \t" * 100_000, "b")
    assert multipart._unpadded(b"\r\n--b \r\n" * (MAX_PARTS * 2), "b").count(b"b \r\n") > 0
