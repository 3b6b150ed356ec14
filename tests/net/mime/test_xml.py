"""XML as a value, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub import breathing
from greenflow.net.mime import decode, xml
from greenflow.net.mime.formats import FormatOptions, parse, write
from greenflow.net.mime.xml import parse_xml, write_xml

ORDER = """<?xml version="1.0"?>
<!-- an order -->
<order id="7" xmlns:x="urn:x">
  <item sku="a">two &amp; &#8364;</item>
  <item sku="b"/>
  <item>plain</item>
  <note/>
  <x:price currency='EUR'><![CDATA[<1>]]></x:price>
  <text>say <b>it</b> loud</text>
  <blank> </blank>
</order>
"""


def test_a_document_is_a_value() -> None:
    assert parse_xml(ORDER) == {
        "order": {
            "@id": "7",
            "@xmlns:x": "urn:x",
            "item": [{"@sku": "a", "#text": "two & €"}, {"@sku": "b"}, "plain"],
            "note": None,
            "x:price": {"@currency": "EUR", "#text": "<1>"},
            "text": {"b": "it", "#text": "say  loud"},
            "blank": " ",
        }
    }


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ('<?xml version="1.0" encoding="iso-8859-1"?><a>\xe4</a>'.encode("latin-1"), None, "ä"),
        ("<a>ä</a>".encode("utf-16"), None, "ä"),
        (b"\xef\xbb\xbf<a>\xc3\xa4</a>", None, "ä"),
        ("<a>ソ</a>".encode("shift_jis"), "shift_jis", "ソ"),
        ('<?xml version="1.0" encoding="utf-8"?><a>\xe4</a>'.encode("latin-1"), "latin-1", "ä"),
        ('\ufeff<?xml version="1.0" encoding="utf-16"?><a>ä</a>', None, "ä"),
    ],
)
def test_in_its_charset(data: str | bytes, charset: str | None, text: str) -> None:
    assert parse("xml", data, FormatOptions(charset=charset)) == {"a": text}


BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><a>&y;</a>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "a document type"),
        ("<!DOCTYPE html><html/>", "a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "a document type"),
        ('<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/">%p;]><a/>', "a document type"),
        ('<!DOCTYPE a [<!ATTLIST a b CDATA "c">]><a/>', "a document type"),
        ("<a>&nbsp;</a>", "undefined entity: line 1"),
        ("<a>", "no element found"),
        ("", "no element found"),
        ("text", "syntax error: line 1"),
        ("<a></b>", "mismatched tag"),
        ("<a/><b/>", "junk after document element"),
        ("<a>&#0;</a>", "reference to invalid character number"),
        ("<a>\0</a>", "not well-formed"),
        ('<a b="1" b="2"/>', "duplicate attribute"),
        ("<a>\n<b c=d/></a>", "line 2"),
        ("<a>" * 201, "nested deeper than 200 elements"),
        ("<a>\ud800</a>", "not well-formed"),
    ],
)
def test_what_is_no_document(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_xml(text)
    assert reason in str(error.value.__cause__)
    assert str(error.value.__cause__).startswith("no XML: ")
    assert "passwd" not in str(error.value.__cause__)


def test_200_elements_inside_each_other() -> None:
    value: Any = parse_xml("<a>" * 200 + "x" + "</a>" * 200)
    for _ in range(200):
        value = value["a"]
    assert value == "x"


def test_elements_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "MAX_CONTAINERS", 5)
    assert parse_xml('<a><b c="1"/><b c="2"/></a>')["a"]["b"][1] == {"@c": "2"}
    for text in ("<a>" + "<b/>" * 5 + "</a>", '<a b="" c="" d="" e="" f=""/>'):
        with pytest.raises(InvalidArgument) as error:
            parse_xml(text)
        assert "more than 5 elements and attributes" in str(error.value.__cause__)


@pytest.mark.parametrize("begin", ["<a b='", "<!--", "<?pi ", "<a "])
def test_a_tag_has_a_limit(begin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "MAX_TAG_BYTES", 100_000)
    with pytest.raises(InvalidArgument) as error:
        parse_xml(begin + " " * 200_000)
    assert "a tag or a comment of more than 100,000 bytes" in str(error.value.__cause__)


def test_a_picture_in_an_attribute() -> None:
    data = "A" * 700_000
    text = f'<svg><image href="data:image/png;base64,{data}"/><t>{data}</t></svg>'
    value = parse_xml(text)["svg"]
    assert value["image"]["@href"].endswith(data)
    assert value["t"] == data


def test_others_run_between_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    turns: list[int] = []
    monkeypatch.setattr(breathing, "has_others", lambda: True)
    monkeypatch.setattr(breathing, "let_others_run", lambda: turns.append(1))
    text = "<a>" + "<b/>" * 10_000 + "</a>"
    value = parse_xml(text)
    assert len(turns) == -(-len(text) // xml.PIECE_LENGTH)
    write_xml(value)
    assert len(turns) > 10_000


# -- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": None}, "<a/>"),
        ({"a": ""}, "<a/>"),
        ({"a": "x<&>\r"}, "<a>x&lt;&amp;&gt;&#13;</a>"),
        ({"a": 1}, "<a>1</a>"),
        ({"a": {"b": [1, None, True]}}, "<a><b>1</b><b/><b>true</b></a>"),
        ({"a": {"b": []}}, "<a></a>"),
        ({"a": {"@b": 'x"\n', "#text": "y"}}, '<a b="x&quot;&#10;">y</a>'),
        ({"a": {"@b": None}}, '<a b=""/>'),
        ({"s:a": {"@xmlns:s": "urn:s"}}, '<s:a xmlns:s="urn:s"/>'),
    ],
)
def test_documents_are_written(value: Any, text: str) -> None:
    assert write_xml(value) == f'<?xml version="1.0" encoding="utf-8"?>\n{text}'


def test_in_the_charset_that_is_declared() -> None:
    data = write("xml", {"a": "ä"}, FormatOptions(charset="iso-8859-1"))
    assert data == b'<?xml version="1.0" encoding="iso-8859-1"?>\n<a>\xe4</a>'
    assert isinstance(data, bytes)
    assert parse("xml", data) == {"a": "ä"}
    text = decode("application/xml", data)
    assert parse("xml", text) == {"a": "ä"}


@pytest.mark.parametrize(
    "value",
    [
        *("text", None, [], {}, {"a": 1, "b": 2}, {"a": [1, 2]}, {"a b": 1}, {"": 1}, {"1": 1}),
        *({"a": {"b": [[1]]}}, {"a": "\0"}, {"a": "\ud800"}, {"a": {"@": 1}}, {"a": {"@b": {}}}),
        *({"a": {"#text": []}}, {"a": float("inf")}, {"a": {"@b c": 1}}, {"a": {"<b>": 1}}),
    ],
)
def test_what_cannot_be_written(value: Any) -> None:
    with pytest.raises(EncodeError):
        write_xml(value)


def test_nor_what_is_too_deep() -> None:
    value: Any = "x"
    for _ in range(200):
        value = {"a": value}
    assert parse_xml(write_xml(value)) == value
    with pytest.raises(EncodeError, match="nested deeper"):
        write_xml({"a": value})


TEXTS = st.text(st.sampled_from("a<&>\"' \t\n\r]ä€😀"), min_size=1, max_size=6)
NAMES = st.sampled_from(["a", "b", "x:y", "ä", "c-1.d"])


def content(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=2, max_size=3)
    elements = st.dictionaries(NAMES, inner | lists, min_size=1, max_size=3)
    attributes = st.dictionaries(NAMES.map("@{}".format), TEXTS, min_size=1, max_size=2)
    return elements | attributes | st.tuples(attributes, elements).map(lambda it: it[0] | it[1])


VALUES = st.recursive(st.none() | TEXTS, content, max_leaves=8)


@given(VALUES, st.integers(1, 20))
def test_what_was_written_is_read_back(value: Any, piece: int) -> None:
    before = xml.PIECE_LENGTH
    xml.PIECE_LENGTH = piece
    try:
        assert parse_xml(write_xml({"root": value})) == {"root": value}
    finally:
        xml.PIECE_LENGTH = before
