"""CSV as spreadsheets write it, and back."""

from __future__ import annotations

import csv as library
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub import breathing
from greenflow.net.mime import csv
from greenflow.net.mime.csv import parse_csv, write_csv
from greenflow.net.mime.formats import FormatOptions, parse, write

ROWS = [{"Name": "Müller; & Söhne", "Preis": "1,50"}, {"Name": 'a "b"', "Preis": "2"}]
GERMAN = 'Name;Preis\r\n"Müller; & Söhne";1,50\r\n"a ""b""";2\r\n'

# What programs write, of the same two rows: bytes and the charset that has to be named.
SHEETS: dict[str, tuple[bytes, str | None]] = {
    "Excel: CSV UTF-8, German": (b"\xef\xbb\xbf" + GERMAN.encode(), None),
    "Excel: CSV, German": (GERMAN.encode("windows-1252"), "windows-1252"),
    "Excel: Unicode text": (
        GERMAN.replace("Söhne", "\0").replace(";", "\t").replace("\t &", "; &")
        .replace("\0", "Söhne").encode("utf-16"),
        None,
    ),
    "Excel for Mac: line ends of old": (
        GERMAN.replace("\r\n", "\r").encode("mac-roman"),
        "macroman",
    ),
    "Excel: sep= in front": (b"sep=;\r\n" + GERMAN.encode(), "utf-8"),
    "LibreOffice: commas, all texts quoted": (
        '"Name","Preis"\n"Müller; & Söhne","1,50"\n"a ""b""",2\n'.encode(),
        None,
    ),
    "LibreOffice: UTF-16 without a mark": (GERMAN.encode("utf-16-le"), "utf-16le"),
    "Google: no line end at the end": (
        'Name,Preis\r\nMüller; & Söhne,"1,50"\r\n"a ""b""",2'.encode(),
        None,
    ),
    "PostgreSQL COPY with pipes": (
        'Name|Preis\nMüller; & Söhne|1,50\n"a ""b"""|2\n'.encode(),
        None,
    ),
    "delimiters behind the last column, empty lines": (
        GERMAN.replace("\r\n", ";;\r\n").replace(";;\r\n2", "\r\n2").encode() + b"\r\n\r\n",
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("program", SHEETS)
def test_a_spreadsheet_arrives_as_rows(program: str) -> None:
    data, charset = SHEETS[program]
    assert parse("csv", data, FormatOptions(charset=charset)) == ROWS


def test_line_breaks_in_quotes_are_text() -> None:
    text = 'a,b\r\n"one\r\ntwo\n\rthree",2\r\n"",3\r\n'
    assert parse_csv(text) == [{"a": "one\r\ntwo\n\rthree", "b": "2"}, {"a": "", "b": "3"}]


@pytest.mark.parametrize(
    ("text", "delimiter", "header", "rows"),
    [
        ("a,b\n1,2\n", None, False, [["a", "b"], ["1", "2"]]),
        ("1,2\n3\n", None, ["a", "b"], [{"a": "1", "b": "2"}, {"a": "3", "b": ""}]),
        ("a;b,c\n1;2,3\n", None, True, [{"a;b": "1;2", "c": "3"}]),
        ("a;b,c\n1;2,3\n", ";", True, [{"a": "1", "b,c": "2,3"}]),
        ('"a,b,c";d\n1;2', None, True, [{"a,b,c": "1", "d": "2"}]),
        ("sep=|\na|b\n1|2\n", None, True, [{"a": "1", "b": "2"}]),
        ("sep=|\na|b\n", "|", True, []),
        ("sep=;,x\n1,2\n", ",", True, [{"sep=;": "1", "x": "2"}]),
        ("one\n1\n2\n", None, True, [{"one": "1"}, {"one": "2"}]),
        (" a , b \n 1 , 2 \n", None, True, [{"a": " 1 ", "b": " 2 "}]),
        ("a,b,\n1,2,\n3\n", None, True, [{"a": "1", "b": "2"}, {"a": "3", "b": ""}]),
        ("a\n\n\n1\n", None, True, [{"a": "1"}]),
        ("a,b\n,\n", None, True, [{"a": "", "b": ""}]),
        ('a\n5" pipe\n', None, True, [{"a": '5" pipe'}]),
        ("", None, True, []),
        ("\n\n", None, True, []),
        ("a,b\n", None, True, []),
        ("", None, False, []),
        ("a\x1fb\n1\x1f2", "\x1f", True, [{"a": "1", "b": "2"}]),
        ("a,b\n1\u2028,2\x0b\x85\n", None, True, [{"a": "1\u2028", "b": "2\x0b\x85"}]),
    ],
)
def test_tables(text: str, delimiter: str | None, header: Any, rows: list[Any]) -> None:
    assert parse_csv(text, delimiter, header) == rows


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('a,b\n"1,2\n', "line 2: a quote that is not closed"),
        ('a,b\n"1"x,2\n', "line 2: "),
        ("a,b\n1,2,3\n", "line 2: 3 cells, and the header has 2"),
        ("sep=,\na,b\n1,2,3\n", "line 3: 3 cells, and the header has 2"),
        ("a,a\n1,2\n", "line 1: two columns of the header have the name 'a'"),
        ("a,,b\n1,2,3\n", "line 1: column 2 has no name in the header"),
        ("a\n" + "x" * (csv.MAX_LINE + 1), "line 2: it has more than 524,288 characters"),
        ("x" * (csv.MAX_LINE + 1), "line 1: it has more than 524,288 characters"),
        ("a\n" + "x" * 131_073, "line 2: field larger than field limit (131072)"),
        ("a\n" + "," * csv.MAX_COLUMNS, "line 2: more than 16,384 columns"),
    ],
)
def test_a_bad_line_is_named(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_csv(text)
    assert reason in str(error.value.__cause__)
    assert str(error.value.__cause__).startswith("no CSV: line ")


def test_bytes_in_no_charset_that_is_known() -> None:
    with pytest.raises(InvalidArgument) as error:
        parse("csv", b"a\n\xfc\n")
    assert "name its charset" in str(error.value.__cause__)


def test_a_table_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "MAX_CELLS", 7)
    monkeypatch.setattr(csv, "MAX_CONTAINERS", 5)
    assert len(parse_csv("a\n" * 6)) == 5
    assert len(parse_csv("a,b,c\n1,2,3\n")) == 1
    for text in ("a\n" * 7, "a,b,c\n1,2,3\n4,5,6\n"):
        with pytest.raises(InvalidArgument):
            parse_csv(text)


def test_others_run_between_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    turns: list[int] = []
    monkeypatch.setattr(breathing, "has_others", lambda: True)
    monkeypatch.setattr(breathing, "let_others_run", lambda: turns.append(1))
    parse_csv("a\n" * 50 + '"' + "x\n" * 50 + '"')
    assert len(turns) == 101
    write_csv([{"a": 1}] * 50)
    assert len(turns) >= 151


# -- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "options", "text"),
    [
        ([{"a": 1, "b": "x"}], FormatOptions(), "a,b\r\n1,x\r\n"),
        ([{"a": 1}, {"b": None, "a": True}], FormatOptions(), "a,b\r\n1,\r\ntrue,\r\n"),
        ([{"a": 'x"\n;'}], FormatOptions(";"), 'a\r\n"x""\n;"\r\n'),
        ([{"a": 1.5, "b": 2}], FormatOptions(header=["b"]), "b\r\n2\r\n"),
        ([{"a": 1}], FormatOptions(header=False), "1\r\n"),
        ([[1, None], ["x"]], FormatOptions(), "1,\r\nx\r\n"),
        ([[1]], FormatOptions(header=["n"]), "n\r\n1\r\n"),
        ([], FormatOptions(), ""),
        ([], FormatOptions(header=["n"]), "n\r\n"),
        (
            [{"a": datetime(2026, 1, 2, tzinfo=UTC)}],
            FormatOptions(),
            "a\r\n2026-01-02T00:00:00Z\r\n",
        ),
        ([{"a": "ä"}], FormatOptions(mark=True), "\ufeffa\r\nä\r\n"),
        ([{"a": "ä"}], FormatOptions(charset="latin-1"), b"a\r\n\xe4\r\n"),
        ([{"a": "ä"}], FormatOptions(charset="utf-8", mark=True), b"\xef\xbb\xbfa\r\n\xc3\xa4\r\n"),
    ],
)
def test_tables_are_written(rows: Any, options: FormatOptions, text: str | bytes) -> None:
    assert write("csv", rows, options) == text


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ({"a": 1}, FormatOptions()),
        ("text", FormatOptions()),
        ([1], FormatOptions()),
        ([{"a": [1]}], FormatOptions()),
        ([{"a": float("nan")}], FormatOptions()),
        ([{"a": "€"}], FormatOptions(charset="latin-1")),
    ],
)
def test_what_is_no_table(rows: Any, options: FormatOptions) -> None:
    with pytest.raises(EncodeError):
        write("csv", rows, options)


CELLS = st.text(st.sampled_from('a;,"\t|\r\n =ä'), max_size=4)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2)), st.sampled_from([",", ";", "\t"]))
def test_what_was_written_is_read_back(table: list[list[str]], delimiter: str) -> None:
    rows = [{"first": one, "second": two} for one, two in table]
    assert parse_csv(write_csv(rows, delimiter), delimiter) == rows
    assert parse_csv(write_csv(rows, delimiter)) == rows


@given(st.text(st.sampled_from('a,"\r\n'), max_size=12))
def test_it_is_read_as_python_reads_it(text: str) -> None:
    try:
        rows = list(library.reader(io.StringIO(text, newline=""), strict=True))
    except library.Error:
        with pytest.raises(InvalidArgument):
            parse_csv(text, ",", header=False)
    else:
        assert parse_csv(text, ",", header=False) == [row for row in rows if row]
