"""multipart as it is really sent: each body as its sender meant it (BEHAVIOUR 10.1).

The bodies were written for this test, after how these programs write theirs: where they put
quotes, types, lengths and charsets, and how they call a file whose name is not ASCII.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from greenflow.errors import InvalidArgument
from greenflow.net.mime import decode

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


class Sent(NamedTuple):
    """A body: its Content-Type, its lines (each ends in CRLF, but the last if it is the end), and
    what was meant: values, files as (file name, data), and parts without a name."""

    content_type: str
    lines: tuple[str | bytes, ...]
    values: dict[str, list[Any]]
    files: dict[str, list[tuple[str, bytes]]] = {}
    parts: list[Any] | None = None

    @property
    def body(self) -> bytes:
        return b"\r\n".join(x if isinstance(x, bytes) else x.encode() for x in self.lines)


def form(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def named(name: str, more: str = "") -> str:
    return f'Content-Disposition: form-data; name="{name}"{more}'


CHROME = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
FIREFOX = "---------------------------293582696224464"
GECKO = "----geckoformboundary4f1fb5c1a1b4b6f3a1e0c2d3e4f50617"
CURL = "------------------------d74496d66958873e"
HEX = "3f2a9c0d8b7e6f5a4c3b2d1e0f9a8b7c"
GO = "5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7081"
DOTNET = "8e1d7a3c-3f0b-4f0a-9a55-1c7f6d0f8a11"
APACHE = "-o0k3fX2Q9b7GmYvTz1uRw8sLpEaHdC"
FILE = "application/octet-stream"

SENT: dict[str, Sent] = {
    # -- browsers ------------------------------------------------------------------------------
    "Chrome: text, several choices, a picture": Sent(
        form(CHROME),
        (
            f"--{CHROME}",
            named("name"),
            "",
            "Jürgen",
            f"--{CHROME}",
            named("size[]"),
            "",
            "S",
            f"--{CHROME}",
            named("size[]"),
            "",
            "XL",
            f"--{CHROME}",
            named("photo", '; filename="über uns.png"'),
            "Content-Type: image/png",
            "",
            PNG,
            f"--{CHROME}--",
            "",
        ),
        {"name": ["Jürgen"], "size[]": ["S", "XL"]},
        {"photo": [("über uns.png", PNG)]},
    ),
    "Chrome: quotes and line ends in names are escaped by percent": Sent(
        form(CHROME),
        (
            f"--{CHROME}",
            named("a%22b%0D%0Ac"),
            "",
            "line one",
            "line two",
            f"--{CHROME}",
            named("doc", '; filename="she said %22no%22; really.txt"'),
            "Content-Type: text/plain",
            "",
            "x",
            f"--{CHROME}--",
            "",
        ),
        {'a"b\r\nc': ["line one\r\nline two"]},
        {"doc": [('she said "no"; really.txt', b"x")]},
    ),
    "Chrome: no file was chosen": Sent(
        form(CHROME),
        (
            f"--{CHROME}",
            named("doc", '; filename=""'),
            f"Content-Type: {FILE}",
            "",
            "",
            f"--{CHROME}--",
            "",
        ),
        {},
        {"doc": [("", b"")]},
    ),
    "Chrome: FormData with a Blob that has no name": Sent(
        form(CHROME),
        (
            f"--{CHROME}",
            named("data", '; filename="blob"'),
            "Content-Type: application/json",
            "",
            '{"a":1}',
            f"--{CHROME}--",
            "",
        ),
        {},
        {"data": [("blob", b'{"a":1}')]},
    ),
    "Chrome: a folder": Sent(
        form(CHROME),
        (
            f"--{CHROME}",
            named("tree", '; filename="docs/a.txt"'),
            "Content-Type: text/plain",
            "",
            "a",
            f"--{CHROME}",
            named("tree", '; filename="docs/b/c.bin"'),
            f"Content-Type: {FILE}",
            "",
            b"\r\n\r\n",
            f"--{CHROME}--",
            "",
        ),
        {},
        {"tree": [("docs/a.txt", b"a"), ("docs/b/c.bin", b"\r\n\r\n")]},
    ),
    "Firefox: an emoji and a spreadsheet": Sent(
        form(FIREFOX),
        (
            f"--{FIREFOX}",
            named("mood 😀"),
            "",
            "😀",
            f"--{FIREFOX}",
            named("sheet", '; filename="Umsätze.csv"'),
            "Content-Type: text/csv",
            "",
            b"a;b\r\n1;2",
            f"--{FIREFOX}--",
            "",
        ),
        {"mood 😀": ["😀"]},
        {"sheet": [("Umsätze.csv", b"a;b\r\n1;2")]},
    ),
    "Firefox, new boundary: an empty form": Sent(form(GECKO), (f"--{GECKO}--", ""), {}),
    "Safari: a photo of a phone": Sent(
        form("----WebKitFormBoundaryqVb9GZcJv2E4kH1T"),
        (
            "------WebKitFormBoundaryqVb9GZcJv2E4kH1T",
            named("image", '; filename="IMG_0042.jpeg"'),
            "Content-Type: image/jpeg",
            "",
            JPEG,
            "------WebKitFormBoundaryqVb9GZcJv2E4kH1T--",
            "",
        ),
        {},
        {"image": [("IMG_0042.jpeg", JPEG)]},
    ),
    "a page with accept-charset=windows-1252 and _charset_": Sent(
        form(CHROME),
        (
            f"--{CHROME}",
            named("_charset_"),
            "",
            "windows-1252",
            f"--{CHROME}",
            b'Content-Disposition: form-data; name="stra\xdfe"',
            "",
            b"\x80 5 M\xfcller",
            f"--{CHROME}",
            b'Content-Disposition: form-data; name="doc"; filename="\xfcber.txt"',
            "Content-Type: text/plain",
            "",
            b"\xfc",
            f"--{CHROME}--",
            "",
        ),
        {"_charset_": ["windows-1252"], "straße": ["€ 5 Müller"]},
        {"doc": [("über.txt", b"\xfc")]},
    ),
    "Internet Explorer: the whole path": Sent(
        form("---------------------------7e02a81c0a2e"),
        (
            "-----------------------------7e02a81c0a2e",
            named("doc", '; filename="C:\\Users\\Jo\\my report.doc"'),
            "Content-Type: application/msword",
            "",
            b"\xd0\xcf\x11\xe0",
            "-----------------------------7e02a81c0a2e--",
            "",
        ),
        {},
        {"doc": [("C:\\Users\\Jo\\my report.doc", b"\xd0\xcf\x11\xe0")]},
    ),
    # -- command lines and libraries -----------------------------------------------------------
    "curl -F": Sent(
        form(CURL),
        (
            f"--{CURL}",
            named("a"),
            "",
            "1",
            f"--{CURL}",
            named("f", '; filename="a.bin"'),
            f"Content-Type: {FILE}",
            "",
            b"\x00\x01",
            f"--{CURL}--",
            "",
        ),
        {"a": ["1"]},
        {"f": [("a.bin", b"\x00\x01")]},
    ),
    "curl before 7.81: a backslash before a quote": Sent(
        form(CURL),
        (
            f"--{CURL}",
            named("f", '; filename="a\\"b\\\\c.txt"'),
            "Content-Type: text/plain",
            "",
            "x",
            f"--{CURL}--",
            "",
        ),
        {},
        {"f": [('a"b\\c.txt', b"x")]},
    ),
    "curl -F 'meta={...};type=application/json'": Sent(
        form(CURL),
        (
            f"--{CURL}",
            named("meta"),
            "Content-Type: application/json",
            "",
            '{"a": "ä"}',
            f"--{CURL}--",
            "",
        ),
        {"meta": ['{"a": "ä"}']},
    ),
    "curl -F 'img=<a.jpg;type=image/jpeg'": Sent(
        form(CURL),
        (f"--{CURL}", named("img"), "Content-Type: image/jpeg", "", JPEG, f"--{CURL}--", ""),
        {"img": [JPEG]},
    ),
    "curl -F with encoder=base64": Sent(
        form(CURL),
        (
            f"--{CURL}",
            named("f", '; filename="a.bin"'),
            "Content-Transfer-Encoding: base64",
            f"Content-Type: {FILE}",
            "",
            "AAEC/w==",
            f"--{CURL}--",
            "",
        ),
        {},
        {"f": [("a.bin", b"\x00\x01\x02\xff")]},
    ),
    "curl: several files in one part": Sent(
        form(CURL),
        (
            f"--{CURL}",
            'Content-Disposition: form-data; name="files"',
            "Content-Type: multipart/mixed; boundary=inner",
            "",
            "--inner",
            'Content-Disposition: attachment; filename="a.txt"',
            "Content-Type: text/plain",
            "",
            "a",
            "--inner",
            'Content-Disposition: attachment; filename="b.png"',
            "Content-Type: image/png",
            "",
            PNG,
            "--inner--",
            "",
            f"--{CURL}--",
            "",
        ),
        {},
        {"files": [("a.txt", b"a"), ("b.png", PNG)]},
    ),
    "wget --post-file of a script: no line end behind the last boundary": Sent(
        form("X"), ("--X", named("a"), "", "1", "--X--"), {"a": ["1"]}
    ),
    "Python requests": Sent(
        form(HEX),
        (
            f"--{HEX}",
            named("a"),
            "",
            "1",
            f"--{HEX}",
            named("f", '; filename="a.txt"'),
            "",
            "no type",
            f"--{HEX}--",
            "",
        ),
        {"a": ["1"]},
        {"f": [("a.txt", b"no type")]},
    ),
    "Python requests with urllib3 before 2: filename* alone": Sent(
        form(HEX),
        (
            f"--{HEX}",
            named("f", "; filename*=utf-8''%C3%BCber%20uns.txt"),
            "",
            "x",
            f"--{HEX}--",
            "",
        ),
        {},
        {"f": [("über uns.txt", b"x")]},
    ),
    "Python aiohttp": Sent(
        form(HEX),
        (
            f"--{HEX}",
            "Content-Type: text/plain; charset=utf-8",
            named("a"),
            "",
            "ä",
            f"--{HEX}",
            "Content-Type: image/png",
            "Content-Disposition: form-data; name=\"f\"; filename*=utf-8''%C3%A4.png",
            "",
            PNG,
            f"--{HEX}--",
            "",
        ),
        {"a": ["ä"]},
        {"f": [("ä.png", PNG)]},
    ),
    "Python httpx": Sent(
        form(HEX),
        (
            f"--{HEX}",
            named("f", '; filename="a%22b.json"'),
            "Content-Type: application/json",
            "",
            "[]",
            f"--{HEX}--",
            "",
        ),
        {},
        {"f": [('a"b.json', b"[]")]},
    ),
    "Go mime/multipart": Sent(
        form(GO),
        (
            f"--{GO}",
            named("a"),
            "",
            "1",
            f"--{GO}",
            named("f", '; filename="a\\\\b\\".txt"'),
            f"Content-Type: {FILE}",
            "",
            "x",
            f"--{GO}--",
            "",
        ),
        {"a": ["1"]},
        {"f": [('a\\b".txt', b"x")]},
    ),
    "Java: Apache HttpClient 4, strict": Sent(
        form(APACHE),
        (
            f"--{APACHE}",
            named("comment"),
            "Content-Type: text/plain; charset=ISO-8859-1",
            "Content-Transfer-Encoding: 8bit",
            "",
            b"gr\xfc\xdfe",
            f"--{APACHE}",
            named("f", '; filename="a.bin"'),
            f"Content-Type: {FILE}",
            "Content-Transfer-Encoding: binary",
            "",
            b"=3D\xff",
            f"--{APACHE}--",
            "",
        ),
        {"comment": ["grüße"]},
        {"f": [("a.bin", b"=3D\xff")]},
    ),
    "Java: Apache HttpClient 5, extended": Sent(
        f"multipart/form-data; charset=UTF-8; boundary={APACHE}",
        (
            f"--{APACHE}",
            named("f", '; filename="?.txt"; filename*="UTF-8\'\'%C3%A4.txt"'),
            "Content-Type: text/plain; charset=UTF-8",
            "",
            "x",
            f"--{APACHE}--",
            "",
        ),
        {},
        {"f": [("ä.txt", b"x")]},
    ),
    "Java: Spring RestTemplate": Sent(
        f"multipart/form-data;charset=UTF-8;boundary={APACHE}",
        (
            f"--{APACHE}",
            named("a"),
            "Content-Type: text/plain;charset=UTF-8",
            "Content-Length: 2",
            "",
            "ä",
            f"--{APACHE}",
            named("f", '; filename="=?UTF-8?Q?=C3=BCber_uns.txt?="'),
            "Content-Type: text/plain",
            "Content-Length: 1",
            "",
            "x",
            f"--{APACHE}--",
            "",
        ),
        {"a": ["ä"]},
        {"f": [("über uns.txt", b"x")]},
    ),
    "Java and Android: OkHttp with Retrofit": Sent(
        form("a0b1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d"),
        (
            "--a0b1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d",
            named("note"),
            "Content-Transfer-Encoding: binary",
            "Content-Type: application/json; charset=UTF-8",
            "Content-Length: 4",
            "",
            '"hi"',
            "--a0b1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d",
            named("f", '; filename="IMG_1.jpg"'),
            "Content-Type: image/*",
            f"Content-Length: {len(JPEG)}",
            "",
            JPEG,
            "--a0b1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d--",
            "",
        ),
        {"note": ['"hi"']},
        {"f": [("IMG_1.jpg", JPEG)]},
    ),
    ".NET HttpClient: names without quotes, the boundary with them": Sent(
        f'multipart/form-data; boundary="{DOTNET}"',
        (
            f"--{DOTNET}",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Disposition: form-data; name=title",
            "",
            "Ä",
            f"--{DOTNET}",
            "Content-Disposition: form-data; name=f; filename=a.txt; filename*=utf-8''a.txt",
            "",
            "x",
            f"--{DOTNET}--",
            "",
        ),
        {"title": ["Ä"]},
        {"f": [("a.txt", b"x")]},
    ),
    ".NET HttpClient: a name that is not ASCII": Sent(
        f'multipart/form-data; boundary="{DOTNET}"',
        (
            f"--{DOTNET}",
            'Content-Disposition: form-data; name="=?utf-8?B?c3RyYcOfZQ==?="',
            "",
            "1",
            f"--{DOTNET}",
            'Content-Disposition: form-data; name=f; filename="=?utf-8?B?w6QudHh0?="',
            "",
            "x",
            f"--{DOTNET}--",
            "",
        ),
        {"straße": ["1"]},
        {"f": [("ä.txt", b"x")]},
    ),
    "PowerShell Invoke-RestMethod -Form": Sent(
        f'multipart/form-data; boundary="{DOTNET}"',
        (
            f"--{DOTNET}",
            named("f", "; filename=\"a b.csv\"; filename*=utf-8''a%20b.csv"),
            f"Content-Type: {FILE}",
            "",
            "a,b",
            f"--{DOTNET}--",
            "",
        ),
        {},
        {"f": [("a b.csv", b"a,b")]},
    ),
    "PHP Guzzle": Sent(
        form("5f3e2d1c0b9a88776655443322110011aabbccdd"),
        (
            "--5f3e2d1c0b9a88776655443322110011aabbccdd",
            named("a"),
            "Content-Length: 4",
            "",
            "1",
            "2",
            "--5f3e2d1c0b9a88776655443322110011aabbccdd",
            named("f", '; filename="a.txt"'),
            "Content-Length: 1",
            "Content-Type: text/plain",
            "",
            "x",
            "--5f3e2d1c0b9a88776655443322110011aabbccdd--",
            "",
        ),
        {"a": ["1\r\n2"]},
        {"f": [("a.txt", b"x")]},
    ),
    "Node form-data": Sent(
        form("--------------------------515890814546601021194782"),
        (
            "----------------------------515890814546601021194782",
            named("f", '; filename="a.js"'),
            "Content-Type: application/javascript",
            "",
            "let a",
            "----------------------------515890814546601021194782--",
            "",
        ),
        {},
        {"f": [("a.js", b"let a")]},
    ),
    "Node fetch (undici)": Sent(
        form("----formdata-undici-036422961456"),
        (
            "------formdata-undici-036422961456",
            named("a"),
            "",
            "ä",
            "------formdata-undici-036422961456--",
            "",
        ),
        {"a": ["ä"]},
    ),
    "Ruby net/http": Sent(
        form("----RubyFormBoundaryq9Zb2Vd0kMnLxTyu"),
        (
            "------RubyFormBoundaryq9Zb2Vd0kMnLxTyu",
            named("f", '; filename="a.rb"'),
            f"Content-Type: {FILE}",
            "",
            "puts 1",
            "------RubyFormBoundaryq9Zb2Vd0kMnLxTyu--",
            "",
        ),
        {},
        {"f": [("a.rb", b"puts 1")]},
    ),
    "Perl LWP": Sent(
        form("xYzZY"),
        (
            "--xYzZY",
            named("a"),
            "",
            "1",
            "--xYzZY",
            named("f", '; filename="a.pl"'),
            "Content-Length: 7",
            "Content-Type: application/x-perl",
            "",
            "print 1",
            "--xYzZY--",
            "",
        ),
        {"a": ["1"]},
        {"f": [("a.pl", b"print 1")]},
    ),
    "iOS: AFNetworking": Sent(
        form("Boundary+A1B2C3D4E5F60718"),
        (
            "--Boundary+A1B2C3D4E5F60718",
            named("user[name]"),
            "",
            "Zoë",
            "--Boundary+A1B2C3D4E5F60718",
            named("user[photo]", '; filename="photo.jpg"'),
            "Content-Type: image/jpeg",
            "",
            JPEG,
            "--Boundary+A1B2C3D4E5F60718--",
            "",
        ),
        {"user[name]": ["Zoë"]},
        {"user[photo]": [("photo.jpg", JPEG)]},
    ),
    "iOS: Alamofire": Sent(
        form("alamofire.boundary.8f14e45fceea167a"),
        (
            "--alamofire.boundary.8f14e45fceea167a",
            'Content-Disposition: form-data; name="v"; filename="v.mov"',
            "Content-Type: video/quicktime",
            "",
            b"\x00\x00\x00\x14ftypqt",
            "--alamofire.boundary.8f14e45fceea167a--",
            "",
        ),
        {},
        {"v": [("v.mov", b"\x00\x00\x00\x14ftypqt")]},
    ),
    "a microcontroller: a semicolon too many, the boundary in quotes": Sent(
        'multipart/form-data; boundary="ESP32"',
        (
            "--ESP32",
            'content-disposition:form-data; name="picture"; filename="cam.jpg";',
            "content-type:image/jpeg",
            "",
            JPEG,
            "--ESP32--",
            "",
        ),
        {},
        {"picture": [("cam.jpg", JPEG)]},
    ),
    "a script: no quotes around names that are no tokens": Sent(
        form("b"),
        (
            "--b",
            "Content-Disposition: form-data; name=files[]; filename=my file (1).txt",
            "",
            "x",
            "--b--",
            "",
        ),
        {},
        {"files[]": [("my file (1).txt", b"x")]},
    ),
    # -- mail ----------------------------------------------------------------------------------
    "SendGrid: each value in the charset of the mail": Sent(
        form("xYzZY"),
        (
            "--xYzZY",
            named("charsets"),
            "",
            '{"to":"UTF-8","subject":"UTF-8","text":"iso-8859-1","html":"windows-1252"}',
            "--xYzZY",
            named("subject"),
            "",
            "Grüße",
            "--xYzZY",
            named("text"),
            "",
            b"Gr\xfc\xdfe",
            "--xYzZY",
            named("html"),
            "",
            b"<p>\x80 5</p>",
            "--xYzZY",
            named("attachment1", '; filename="a.pdf"'),
            "Content-Type: application/pdf",
            "",
            PDF,
            "--xYzZY--",
            "",
        ),
        {
            "charsets": [
                '{"to":"UTF-8","subject":"UTF-8","text":"iso-8859-1","html":"windows-1252"}'
            ],
            "subject": ["Grüße"],
            "text": ["Grüße"],
            "html": ["<p>€ 5</p>"],
        },
        {"attachment1": [("a.pdf", PDF)]},
    ),
    "Mailgun: an attachment, no quotes for nobody": Sent(
        form(HEX),
        (
            f"--{HEX}",
            named("body-plain"),
            "",
            "Hello",
            "",
            "-- ",
            "Bye",
            f"--{HEX}",
            named("attachment-1", '; filename="Rechnung Nr. 1.pdf"'),
            "Content-Type: application/pdf",
            f"Content-Length: {len(PDF)}",
            "",
            PDF,
            f"--{HEX}--",
            "",
        ),
        {"body-plain": ["Hello\r\n\r\n-- \r\nBye"]},
        {"attachment-1": [("Rechnung Nr. 1.pdf", PDF)]},
    ),
    "a gateway that passes on how the mail was encoded": Sent(
        form('"=_Part_1_2.3"'),
        (
            "This is a multi-part message in MIME format.",
            "--=_Part_1_2.3",
            named("text"),
            "Content-Type: text/plain; charset=iso-8859-1",
            "Content-Transfer-Encoding: quoted-printable",
            "",
            "Gr=FC=DFe, ein langer =",
            "Satz",
            "--=_Part_1_2.3",
            'Content-Disposition: form-data; name="file";'
            " filename*0*=UTF-8''Jahres%C3%BC; filename*1=\"bersicht.txt\"",
            "Content-Type: text/plain",
            "Content-Transfer-Encoding: BASE64",
            "",
            "SGVs",
            "bG8=",
            "--=_Part_1_2.3--",
            "",
        ),
        {"text": ["Grüße, ein langer Satz"]},
        {"file": [("Jahresübersicht.txt", b"Hello")]},
    ),
    "JavaMail in haste: a boundary that needs quotes and has none": Sent(
        "multipart/form-data; charset=utf-8;boundary=----=_Part_7_1.2; x=y",
        ("------=_Part_7_1.2", named("a"), "", "1", "------=_Part_7_1.2--", ""),
        {"a": ["1"]},
    ),
    "JavaMail: a file name in two encoded words": Sent(
        form('"----=_Part_0_1"'),
        (
            "------=_Part_0_1",
            named("f", '; filename="=?UTF-8?B?w7xiZXI=?= =?ISO-8859-1?Q?_M=FCller?="'),
            "",
            "x",
            "------=_Part_0_1--",
            "",
        ),
        {},
        {"f": [("über Müller", b"x")]},
    ),
    # -- what is no form -----------------------------------------------------------------------
    "Outlook and Graph: answers of a batch": Sent(
        "multipart/mixed; boundary=batchresponse_6e0f",
        (
            "--batchresponse_6e0f",
            "Content-Type: application/http",
            "Content-Transfer-Encoding: binary",
            "",
            "HTTP/1.1 204 No Content",
            "",
            "",
            "--batchresponse_6e0f--",
            "",
        ),
        {},
        {},
        [b"HTTP/1.1 204 No Content\r\n\r\n"],
    ),
    "Google Drive: a file with what is said of it": Sent(
        "multipart/related; boundary=foo_bar_baz",
        (
            "--foo_bar_baz",
            "Content-Type: application/json; charset=UTF-8",
            "",
            '{"name": "ä"}',
            "--foo_bar_baz",
            "Content-Type: image/png",
            "",
            PNG,
            "--foo_bar_baz--",
            "",
        ),
        {},
        {},
        ['{"name": "ä"}', PNG],
    ),
    "SOAP with an attachment": Sent(
        'multipart/related; type="text/xml"; start="<root>"; boundary="MIME_boundary"',
        (
            "--MIME_boundary",
            "Content-Type: text/xml; charset=UTF-8",
            "Content-ID: <root>",
            "",
            "<e:Envelope/>",
            "--MIME_boundary",
            "Content-Type: image/png",
            "Content-Transfer-Encoding: base64",
            "Content-ID: <1@a>",
            "",
            "iVBORw0KGgoA/w==",
            "--MIME_boundary--",
            "",
        ),
        {},
        {},
        ["<e:Envelope/>", PNG],
    ),
    "a server that answers with two ranges": Sent(
        "multipart/byteranges; boundary=3d6b6a416f9b5",
        (
            "",
            "--3d6b6a416f9b5",
            "Content-Type: application/pdf",
            "Content-Range: bytes 0-1/9",
            "",
            "%P",
            "--3d6b6a416f9b5",
            "Content-Type: application/pdf",
            "Content-Range: bytes 7-8/9",
            "",
            "OF",
            "--3d6b6a416f9b5--",
            "",
        ),
        {},
        {},
        [b"%P", b"OF"],
    ),
}


@pytest.mark.parametrize("sender", SENT)
def test_a_body_is_what_its_sender_meant(sender: str) -> None:
    sent = SENT[sender]
    value = decode(sent.content_type, sent.body)
    assert value["values"] == sent.values
    files = {
        name: [(file["filename"], file["data"]) for file in each]
        for name, each in value["files"].items()
    }
    assert files == sent.files
    assert all(f["size"] == len(f["data"]) for each in value["files"].values() for f in each)
    if sent.parts is None:
        assert "parts" not in value
    else:
        assert [part["data"] for part in value["parts"]] == sent.parts


def test_they_are_enough() -> None:
    assert len(SENT) >= 40
    assert len({sent.body for sent in SENT.values()}) == len(SENT)


@pytest.mark.parametrize("sender", SENT)
def test_a_body_that_was_cut_off_is_none(sender: str) -> None:
    """Wherever it was cut before its last boundary: never is it half a form."""
    sent = SENT[sender]
    end = sent.body.rindex(b"--", 0, len(sent.body.rstrip(b"\r\n-")) + 2)
    for cut in range(0, end, 7):
        with pytest.raises(InvalidArgument):
            decode(sent.content_type, sent.body[:cut])


def test_a_part_keeps_its_header() -> None:
    sent = SENT["SOAP with an attachment"]
    parts = decode(sent.content_type, sent.body)["parts"]
    assert parts[1]["header"]["Content-Id"] == ["<1@a>"]
    assert parts[1]["size"] == len(PNG)
