"""parse and format, and the route that reads a body as what it is."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument, SpecInvalid
from greenflow.hub import breathing
from greenflow.net.mime import formats
from greenflow.payload.stream import Stream
from tests.flows import flow
from tests.nodes.test_listener import served

VALUE = {"a": [1, 2.5, None, True, "ä"], "b": {"c": "d"}}


def node(kind: str, **fields: Any) -> str:
    return json.dumps([{"kind": kind, "name": "n", **fields}])


@pytest.mark.parametrize("format", ["json", "yaml"])
@pytest.mark.parametrize("charset", [None, "utf-16", "utf-8"])
def test_what_was_formatted_is_parsed(format: str, charset: str | None) -> None:
    with flow(node("format", format=format, charset=charset)) as running:
        text = running.call("n", VALUE)
    assert type(text) is (str if charset is None else bytes)
    with flow(node("parse", format=format)) as running:
        assert running.call("n", text) == VALUE


@pytest.mark.parametrize(
    ("format", "text", "value"),
    [
        ("json", b"\xef\xbb\xbf[1]", [1]),
        ("json", "\ufeff[1]", [1]),
        ("json", "[1]".encode("utf-16"), [1]),
        ("ndjson", "1\n\n[2]\n", [1, [2]]),
        ("ndjson", b'{"a":1}', [{"a": 1}]),
        ("yaml", "a: [1, 2]\n", {"a": [1, 2]}),
        ("yaml", b"\xef\xbb\xbfa: \xc3\xa4", {"a": "ä"}),
        ("yaml", "", None),
        ("xml", "<a>1</a>", {"a": "1"}),
        ("csv", "a,b\n1,2", [{"a": "1", "b": "2"}]),
    ],
)
def test_texts_are_parsed(format: str, text: str | bytes, value: Any) -> None:
    with flow(node("parse", format=format)) as running:
        assert running.call("n", text) == value
    with flow(node("parse", format=format, field="x")) as running:
        assert running.call("n", {"x": text, "y": 1}) == {"x": value, "y": 1}


@pytest.mark.parametrize(
    ("format", "text", "reason"),
    [
        ("json", "{", "no JSON"),
        ("ndjson", "1\n{", "line 2: no JSON"),
        ("yaml", "a: [", "no YAML: line "),
        ("yaml", "a: 1\n---\nb: 2\n", "several"),
        ("yaml", "&a [*b]", "no YAML: line 1"),
        ("xml", "<a>", "no XML"),
        ("csv", 'a\n"', "no CSV: line 2"),
        ("csv", b"\xff", "name its charset"),
        ("csv", None, "not of NoneType"),
        ("json", {"a": 1}, "not of dict"),
    ],
)
def test_what_is_none_says_why(format: str, text: Any, reason: str) -> None:
    with flow(node("parse", format=format)) as running, pytest.raises(InvalidArgument) as error:
        running.call("n", text)
    assert reason in str(error.value.__cause__)


def test_a_field_that_is_missing() -> None:
    for kind, payload in (("parse", {}), ("parse", "text"), ("format", {}), ("format", [])):
        with flow(node(kind, format="json", field="x")) as running:
            with pytest.raises(InvalidArgument) as error:
                running.call("n", payload)
            assert "no field 'x'" in str(error.value.__cause__)


@pytest.mark.parametrize(("format", "value"), [("csv", {}), ("xml", []), ("ndjson", "x")])
def test_a_value_that_the_format_does_not_have(format: str, value: Any) -> None:
    with flow(node("format", format=format)) as running, pytest.raises(EncodeError):
        running.call("n", value)


@pytest.mark.parametrize("kind", ["parse", "format", "route"])
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"format": "json", "delimiter": ","}, "delimiter: json has none"),
        ({"format": "xml", "header": False}, "header: xml has none"),
        ({"format": "csv", "delimiter": ""}, "delimiter: '' is no delimiter"),
        ({"format": "csv", "delimiter": ";;"}, "delimiter: ';;' is no delimiter"),
        ({"format": "csv", "delimiter": '"'}, "delimiter: "),
        ({"format": "csv", "header": []}, "header: it is true, false, or"),
        ({"format": "csv", "header": ["a", "a"]}, "header: it is true, false, or"),
        ({"format": "csv", "charset": "klingon"}, "charset: unknown charset 'klingon'"),
        ({"format": "toml"}, "format: "),
        ({}, "format"),
    ],
)
def test_what_makes_no_sense_is_told(kind: str, fields: dict[str, Any], path: str) -> None:
    spec: dict[str, Any] = {"kind": kind, "name": "n", **fields}
    if kind == "route":
        route = {"method": "PUT", "path": "/", "parse": fields}
        spec, path = {"kind": "router", "name": "n", "routes": [route]}, path.partition(":")[0]
    with pytest.raises(SpecInvalid) as error, flow(json.dumps([spec])):
        pass
    assert path in str(error.value)


@given(
    st.sampled_from(["csv", "ndjson", "xml", "yaml", "json"]),
    st.binary(max_size=30) | st.text(st.sampled_from("<>&/a=\"'![]{}:,;- \n\r\x1e1"), max_size=30),
    st.sampled_from([None, "utf-16", "windows-1252"]),
)
def test_no_bytes_make_it_fail(format: Any, data: str | bytes, charset: str | None) -> None:
    with contextlib.suppress(InvalidArgument):
        formats.parse(format, data, formats.FormatOptions(charset=charset))


# -- what is large -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("csv", "a,b\n" + "1,2\n" * 5_000),
        ("xml", "<a>" + "<b>1</b>" * 20_000 + "</a>"),
        ("ndjson", '{"a":1}\n' * 5_000),
        ("yaml", "- a\n" * 2_000),
        ("json", "[" + '{"a":1},' * 20_000 + "1]"),
    ],
)
def test_answers_come_in_order(format: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others run in the middle of the large one, and the small ones behind it wait."""
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    small = {"csv": "a,b\n", "xml": "<a/>", "ndjson": "", "yaml": "", "json": "[]"}[format]
    spec = [
        {"kind": "loop", "name": "each", "links": {"out": {"name": "n"}}},
        {"kind": "parse", "name": "n", "format": format, "links": {"out": {"name": "seen"}}},
        {"kind": "probe", "name": "seen"},
    ]
    turns: list[int] = []
    let_others_run = breathing.let_others_run

    def count() -> None:
        turns.append(1)
        let_others_run()

    monkeypatch.setattr(breathing, "let_others_run", count)
    with flow(json.dumps(spec)) as running:
        running.call("each", [text, small, text, small])
        seen = running.probes.of("seen")
    assert len(seen) == 4
    assert seen[0] == seen[2]
    assert seen[1] == seen[3] != seen[0]
    assert len(turns) > 2 or format == "yaml"  # which is read in a thread


def test_long_yaml_is_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(
        formats.blocking, "call", lambda function, *args: called.append(1) or function(*args)
    )
    assert formats.parse("yaml", "- a\n" * 1000) == ["a"] * 1000
    assert len(str(formats.write("yaml", ["a"] * 1000))) > 3000
    assert formats.parse("yaml", "- a\n") == ["a"]
    assert len(called) == 2


# -- the field of a route ----------------------------------------------------------------------

# The first node, as `served` has it, is `a`.
ROUTED = """
- kind: router
  name: a
  routes: [{method: POST, path: /sheet, port: out, parse: %s}, {method: POST, path: /, port: out}]
  links: {out: {name: seen}%s}
- {kind: probe, name: seen, answer: done}
"""


def post(body: bytes, headers: str, path: str = "/sheet") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def ask(parse: str, body: bytes, headers: str = "", links: str = "", path: str = "/sheet") -> Any:
    """The status, and the payload that the route gave."""
    with served(ROUTED % (parse, links)) as (running, client):
        client.socket.sendall(post(body, headers, path))
        status = client.answer().status
        return status, next(iter(running.probes.of("seen")), None)


SHEET = "Name;Preis\r\nMüller;1,5\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize(
    ("parse", "body", "headers"),
    [
        ("csv", SHEET.encode(), "Content-Type: text/csv\r\n"),
        ("csv", SHEET.encode(), FORM),  # as curl --data-binary says of everything
        ("csv", SHEET.encode(), ""),
        ("csv", SHEET.encode("utf-16"), "Content-Type: application/vnd.ms-excel\r\n"),
        ("csv", SHEET.encode("latin-1"), "Content-Type: text/csv; charset=iso-8859-1\r\n"),
        ("{format: csv, charset: windows-1252}", SHEET.encode("latin-1"), ""),
        ("{format: csv, charset: windows-1252}", SHEET.encode("latin-1"), FORM),
        ("{format: csv, delimiter: ';', header: [Name, Preis]}", SHEET[12:].encode(), ""),
        ("csv", gzip.compress(SHEET.encode(), mtime=0), "Content-Encoding: gzip\r\n"),
    ],
)
def test_a_route_reads_the_body_as_what_it_is(parse: str, body: bytes, headers: str) -> None:
    status, payload = ask(parse, body, headers)
    assert status == 200
    assert payload["body"] == [{"Name": "Müller", "Preis": "1,5"}]


def test_others_are_left_alone() -> None:
    assert ask("csv", b"a=b", FORM, path="/")[1]["body"] == {"a": ["b"]}
    assert "body" not in ask("csv", b"")[1]


def test_a_body_that_is_none_is_400_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "greenflow.nodes.router")
    assert ask("csv", b"sesame\n1,2\n") == (400, None)
    (record,) = [each for each in caplog.records if "is refused" in each.getMessage()]
    assert record.levelname == "INFO"
    text = record.getMessage()
    assert text.startswith("POST /sheet is refused with 400: no CSV: line 2: ")
    assert "sesame" not in text
    fields: Any = record.__dict__
    assert (fields["node"], fields["path"], fields["status"]) == ("a", "/sheet", 400)


def test_or_the_error_link_has_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "greenflow.nodes.router")
    status, payload = ask("xml", b"<a>", links=", error: {name: seen}")
    assert status == 200
    assert isinstance(payload, InvalidArgument)
    assert "no XML" in str(payload.__cause__)
    assert "is refused" not in caplog.text


def test_a_step_before_has_the_last_word() -> None:
    code = r"{'method': 'POST', 'path': '/sheet', 'body': 'a\n1'}"
    before = {"kind": "snippet", "name": "a", "language": "cel", "code": code}
    text = json.dumps([before | {"links": {"out": {"name": "router"}}}])
    routed = (ROUTED % ("csv", "")).replace("name: a\n", "name: router\n")
    with served(f"- {text[1:-1]}{routed}") as (running, client):
        client.socket.sendall(post(b"x\n2", "Content-Type: text/csv\r\n"))
        assert client.answer().status == 200
        assert running.probes.of("seen")[0]["body"] == [{"a": "1"}]


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "windows-1252"])
def test_a_spreadsheet_in_a_form(charset: str) -> None:
    """As a browser sends what Excel saved."""
    said = "windows-1252" if charset == "windows-1252" else None
    spec = [
        {
            "kind": "snippet",
            "name": "a",
            "language": "cel",
            "code": "self.body.files.sheet[0].data",
            "links": {"out": {"name": "rows"}},
        },
        {"kind": "parse", "name": "rows", "format": "csv", "charset": said},
    ]
    part = b'--b\r\nContent-Disposition: form-data; name="sheet"; filename="a.csv"\r\n'
    body = part + b"Content-Type: application/vnd.ms-excel\r\n\r\n"
    body += SHEET.encode(charset) + b"\r\n--b--\r\n"
    text = "".join(f"- {json.dumps(each)}\n" for each in spec)
    with served(text) as (_, client):
        client.socket.sendall(post(body, "Content-Type: multipart/form-data; boundary=b\r\n", "/"))
        answer = client.answer()
    assert (answer.status, json.loads(answer.body)) == (200, [{"Name": "Müller", "Preis": "1,5"}])


def test_json_that_is_called_text_is_read() -> None:
    status, payload = ask("json", b'{"Type":"Notification"}', "Content-Type: text/plain\r\n")
    assert status == 200
    assert payload["body"] == {"Type": "Notification"}


def test_a_stream_is_not_parsed() -> None:
    with flow(node("parse", format="csv")) as running, pytest.raises(InvalidArgument):
        running.call("n", Stream((b"a",)))


def test_it_is_read_where_nothing_came() -> None:
    """A router that something else than a listener sends to."""
    with flow(ROUTED % ("json", "")) as running:
        assert running.call("a", {"method": "POST", "path": "/sheet", "body": "[1]"}) == "done"
        assert running.probes.of("seen")[0]["body"] == [1]
