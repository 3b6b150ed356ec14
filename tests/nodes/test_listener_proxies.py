"""listener: what proxies say of clients, and pages of other origins."""

from __future__ import annotations

import ipaddress
import json
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from gevent.ssl import SSLContext
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.forwarded import V2_SIGNATURE, Proxies, preface
from greenflow.net.refusal import Refused
from greenflow.runtime import Runtime
from tests.net.loopback import Client

ECHO = '{"body": {"host": self.host, "scheme": self.scheme, "header": self.header}}'


@contextmanager
def served(code: str = ECHO, **fields: Any) -> Iterator[Client]:
    """A listener whose requests are answered by a CEL expression; `fields` are the listener's."""
    listener = {"kind": "listener", "name": "http", "port": 0, "links": {"out": {"name": "a"}}}
    snippet = {"kind": "snippet", "name": "a", "language": "cel", "code": code}
    with Runtime("memory://", specs=[{**listener, **fields}, snippet]) as flow:
        client = Client(flow.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
        try:
            yield client
        finally:
            client.socket.close()


# -- Forwarded and X-Forwarded -----------------------------------------------------------------

SAID = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\n"


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        (SAID, "https", "shop.test"),
        ("X-Forwarded-Proto: http, https\r\n", "https", "a"),
        ("X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\r\n", "http", "a"),
        ('Forwarded: for=1.2.3.4;proto=https;host="shop.test:81"\r\n', "https", "shop.test:81"),
        ("Forwarded: proto=http;host=x, for=1.1.1.1; Proto=HTTPS\r\n", "https", "a"),
        ("Forwarded: proto=https;;\r\n", "http", "a"),
        ('Forwarded: host="a\\"b"\r\nX-Forwarded-Proto: https\r\n', "http", "a"),
    ],
)
def test_a_named_proxy_is_believed(headers: str, scheme: str, host: str) -> None:
    with served(proxies=["10.0.0.0/8", "127.0.0.0/8"]) as client:
        said = json.loads(client.ask(headers=headers).body)
        assert (said["scheme"], said["host"]) == (scheme, host)
        assert said["header"].keys() - {"Host"}


def test_from_anybody_else_they_are_taken_away() -> None:
    fields = f"{SAID}Forwarded: proto=https\r\nX-Real-IP: 1.1.1.1\r\nX-Own: kept\r\n"
    with served(proxies=["10.0.0.0/8", "unix"]) as client:
        said = json.loads(client.ask(headers=fields).body)
        assert said == {
            "host": "a",
            "scheme": "http",
            "header": {"Host": ["a"], "X-Own": ["kept"]},
        }


def test_without_proxies_they_are_headers_like_any_other() -> None:
    with served() as client:
        said = json.loads(client.ask(headers=SAID).body)
        assert (said["scheme"], said["host"]) == ("http", "a")
        assert said["header"]["X-Forwarded-For"] == ["9.9.9.9"]


def test_proxies_are_networks() -> None:
    proxies = Proxies(["10.0.0.0/8", "2001:db8::/32", "unix"])
    for peer in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "unix:/run/a"):
        assert (peer, 1) in proxies
    for peer in ("11.1.2.3", "fe80::1%eth0", "::1"):
        assert (peer, 1) not in proxies


# -- PROXY -------------------------------------------------------------------------------------


def version_2(source: str, command: int = 0x21, extra: bytes = b"") -> bytes:
    address = ipaddress.ip_address(source)
    family = 0x11 if address.version == 4 else 0x21
    ports = (1234).to_bytes(2, "big") * 2
    fields = address.packed * 2 + ports + extra
    return V2_SIGNATURE + bytes((command, family)) + len(fields).to_bytes(2, "big") + fields


HEADERS = {
    b"PROXY TCP4 9.8.7.6 1.1.1.1 1234 80\r\n": "9.8.7.6",
    b"PROXY TCP6 2001:db8::1 ::1 1234 80\r\n": "2001:db8::1",
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 ::1 1 2\r\n": None,
    version_2("9.8.7.6"): "9.8.7.6",
    version_2("9.8.7.6", extra=b"\x04\0\1x"): "9.8.7.6",
    version_2("2001:db8::1"): "2001:db8::1",
    version_2("9.8.7.6", command=0x20): None,
    V2_SIGNATURE + b"\x21\0\0\0": None,
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_proxy_header_tells_the_client(header: bytes) -> None:
    with served(proxies=["127.0.0.1"], proxy_protocol=True) as client:
        client.send_bytewise(header)
        for _ in range(2):
            said = json.loads(client.ask(headers="X-Forwarded-For: forged\r\n").body)
            address = HEADERS[header]
            assert said["header"]["X-Forwarded-For"] == [address or "forged"]


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 9.8.7.6 1.1.1.1 1234\r\n",
        b"PROXY TCP4 9.8.7.6 ::1 1234 80\r\n",
        b"PROXY TCP4 9.8.7.6 1.1.1.1 01 80\r\n",
        b"PROXY TCP4 9.8.7.6 1.1.1.1 99999 80\r\n",
        b"PROXY TCP4 " + b"9" * 100,
        V2_SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
        V2_SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
        V2_SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_proxy_header_is_refused(header: bytes) -> None:
    with served(proxies=["127.0.0.1"], proxy_protocol=True) as client:
        client.send(header)
        assert client.answer().status == 400
        assert client.closed()


def test_others_need_no_proxy_header() -> None:
    with served(proxies=["10.0.0.1"], proxy_protocol=True) as client:
        assert client.ask().status == 200


def test_a_proxy_header_stands_before_the_encryption(tmp_path: Path) -> None:
    authority = trustme.CA()
    made = authority.issue_cert("a.test")
    tls = {
        "cert": b"".join(blob.bytes() for blob in made.cert_chain_pems).decode(),
        "key": made.private_key_pem.bytes().decode(),
    }
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    with served(proxies=["127.0.0.1"], proxy_protocol=True, tls=tls) as client:
        client.send(version_2("9.8.7.6"))
        client.socket = context.wrap_socket(client.socket, server_hostname="a.test")
        said = json.loads(client.ask().body)
        assert (said["scheme"], said["header"]["X-Forwarded-For"]) == ("https", ["9.8.7.6"])


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda rest: V2_SIGNATURE + rest))
def test_any_bytes_have_one_verdict_however_they_come(data: bytes) -> None:
    def verdict(piece: bytes) -> object:
        try:
            return preface(piece)
        except Refused:
            return "refused"

    found = [verdict(data[:end]) for end in range(len(data) + 1)]
    decided = next((i for i, each in enumerate(found) if each is not None), len(found) - 1)
    assert all(each == found[decided] for each in found[decided:])


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"proxies": ["10.0.0.1/8"]}, r"\$\.proxies\[0\]"),
        ({"proxies": ["nginx"]}, r"\$\.proxies\[0\]"),
        ({"proxy_protocol": True}, r"\$\.proxies"),
        ({"cors": {"origins": ["example.com"]}}, r"\$\.cors\.origins\[0\]"),
        ({"cors": {"origins": ["https://a.test/"]}}, r"\$\.cors\.origins\[0\]"),
        ({"cors": {"origins": []}}, r"\$\.cors\.origins"),
        ({"cors": {"origins": ["*"], "credentials": True}}, r"\$\.cors\.credentials"),
        ({"cors": {"origins": ["*"], "methods": ["G T"]}}, r"\$\.cors\.methods\[0\]"),
        ({"cors": {"origins": ["*"], "methods": ["GET", "PTU"]}}, r"\[1\]: .*did you mean PUT\?"),
    ],
)
def test_what_makes_no_sense_is_told(fields: dict[str, Any], path: str) -> None:
    spec = {"kind": "listener", "name": "a", "port": 0, **fields}
    with Runtime("memory://") as flow, pytest.raises(Exception, match=path):
        flow.operations.apply(spec)


# -- CORS --------------------------------------------------------------------------------------

OURS, THEIRS = "Origin: https://app.test\r\n", "Origin: https://evil.test\r\n"
PREFLIGHT = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a, x-b\r\n"


def allowed(client: Client, headers: str, method: str = "GET") -> dict[str, str]:
    answer = client.ask(method=method, headers=headers)
    assert answer.status == (204 if method == "OPTIONS" else 200)
    return {
        name.removeprefix("access-control-"): value
        for name, value in answer.headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


def test_pages_of_named_origins_may_read_answers() -> None:
    cors = {"origins": ["https://app.test"], "expose": ["X-Total"], "credentials": True}
    with served("'x'", cors=cors) as client:
        assert allowed(client, OURS) == {
            "allow-origin": "https://app.test",
            "allow-credentials": "true",
            "expose-headers": "X-Total",
            "vary": "Accept, Origin",
        }
        assert "allow-origin" not in allowed(client, THEIRS)
        assert "Origin" in allowed(client, "")["vary"]


def test_a_preflight_starts_no_process() -> None:
    cors = {"origins": ["https://app.test"], "methods": ["GET", "PUT"], "max_age": "1h"}
    with served("{'status': 500}", cors=cors) as client:
        assert allowed(client, OURS + PREFLIGHT, "OPTIONS") == {
            "allow-origin": "https://app.test",
            "allow-methods": "GET, PUT",
            "allow-headers": "x-a, x-b",
            "max-age": "3600",
            "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        }
        assert list(allowed(client, THEIRS + PREFLIGHT, "OPTIONS")) == ["vary"]
        assert client.ask(method="OPTIONS", headers=OURS).status == 500


@pytest.mark.parametrize(
    ("fields", "methods"),
    [
        ({"methods": ["get", "Patch"]}, "GET, PATCH"),
        ({"methods": ["*"]}, "*"),
        ({"methods": ["Brew", "GET"], "any_method": True}, "Brew, GET"),
    ],
)
def test_methods_are_told_as_browsers_compare_them(fields: dict[str, Any], methods: str) -> None:
    with served("'x'", cors={"origins": ["*"], **fields}) as client:
        assert allowed(client, OURS + PREFLIGHT, "OPTIONS")["allow-methods"] == methods


def test_all_origins_and_the_workflows_own_word() -> None:
    with served("'x'", cors={"origins": ["*"], "headers": ["X-A"]}) as client:
        assert allowed(client, OURS) == {"allow-origin": "*", "vary": "Accept"}
        assert allowed(client, OURS + PREFLIGHT, "OPTIONS")["allow-headers"] == "X-A"
    own = "{'body': 'x', 'header': {'Access-Control-Allow-Origin': 'https://only.test'}}"
    with served(own, cors={"origins": ["*"]}) as client:
        assert allowed(client, OURS)["allow-origin"] == "https://only.test"
    with served("1 / 0", cors={"origins": ["*"]}) as client:
        answer = client.ask(headers=OURS)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, "*")


MANY = "X: a\r\n" * 200
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
# What the server itself answers, by the status.
REFUSED = {
    "400 line": (400, f"GET / HTTP/1.1\r\nHost: a\r\n{OURS}Bad Name: x\r\n\r\n"),
    "400 bare line feed": (400, f"GET / HTTP/1.1\r\nHost: a\r\n{OURS}X: a\n"),
    "400 chunk": (400, f"POST / HTTP/1.1\r\nHost: a\r\n{OURS}{CHUNKED}x\r\n"),
    "400 no host": (400, f"GET / HTTP/1.1\r\n{OURS}\r\n"),
    "400 json": (
        400,
        f"POST / HTTP/1.1\r\nHost: a\r\n{OURS}"
        "Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
    ),
    "408 body": (408, f"POST / HTTP/1.1\r\nHost: a\r\n{OURS}Content-Length: 5\r\n\r\na"),
    "408 head": (408, f"GET / HTTP/1.1\r\n{OURS}X: "),
    "413 length": (413, f"POST / HTTP/1.1\r\nHost: a\r\n{OURS}Content-Length: 99\r\n\r\n"),
    "413 chunk": (413, f"POST / HTTP/1.1\r\nHost: a\r\n{OURS}{CHUNKED}63\r\n"),
    "414": (414, f"GET /{'a' * 9000} HTTP/1.1\r\nHost: a\r\n{OURS}\r\n"),
    "415": (
        415,
        f"POST / HTTP/1.1\r\nHost: a\r\n{OURS}Content-Encoding: x\r\nContent-Length: 1\r\n\r\na",
    ),
    "417": (417, f"GET / HTTP/1.1\r\nHost: a\r\n{OURS}Expect: x\r\n\r\n"),
    "421": (421, f"GET https://a/ HTTP/1.1\r\nHost: a\r\n{OURS}\r\n"),
    "431 many": (431, f"GET / HTTP/1.1\r\nHost: a\r\n{OURS}{MANY}\r\n"),
    "431 large": (431, f"GET / HTTP/1.1\r\nHost: a\r\n{OURS}X: {'a' * 70_000}\r\n\r\n"),
    "501": (501, f"BREW / HTTP/1.1\r\nHost: a\r\n{OURS}\r\n"),
    "505": (505, f"GET / HTTP/2.0\r\nHost: a\r\n{OURS}\r\n"),
    # What llhttp refuses before it has seen more than a line.
    "400 garbage": (400, f"GET /\0 HTTP/1.1\r\nHost: a\r\n{OURS}\r\n"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_page_may_read_what_the_server_itself_refuses(case: str) -> None:
    status, data = REFUSED[case]
    limits = {"body": 8, "body_timeout": 0.05, "header_timeout": 0.05}
    cors = {"origins": ["https://app.test"], "expose": ["Retry-After"], "credentials": True}
    with served("'x'", cors=cors, limits=limits) as client:
        client.send(data)
        answer = client.answer()
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == "https://app.test"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", ["", THEIRS, OURS + THEIRS, "Origin: a\tb\r\n"])
def test_other_pages_may_not_read_it(origin: str) -> None:
    with served("'x'", cors={"origins": ["https://app.test"]}, limits={"body": 8}) as client:
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{origin}Content-Length: 99\r\n\r\n")
        answer = client.answer()
    assert answer.status == 413
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"


def test_without_cors_nothing_is_said_of_it() -> None:
    with served("'x'", limits={"body": 8}) as client:
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{OURS}Content-Length: 99\r\n\r\n")
        assert "vary" not in client.answer().headers


def test_a_page_may_read_the_404_and_405_of_a_router() -> None:
    routes = [{"method": "GET", "path": "/there", "port": "out[0]"}]
    listener = {"kind": "listener", "name": "http", "port": 0, "cors": {"origins": ["*"]}}
    specs = [
        {**listener, "links": {"out": {"name": "router"}}},
        {"kind": "router", "name": "router", "routes": routes},
    ]
    with Runtime("memory://", specs=specs) as flow:
        client = Client(flow.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
        for method, path, status in (("GET", "/", 404), ("PUT", "/there", 405)):
            answer = client.ask(path, method, headers=OURS)
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == "*"
        client.socket.close()


# -- names of requests -------------------------------------------------------------------------


NAMED = "self.?request_id.orValue('none')"


def test_a_request_that_is_named_says_so_in_its_response_and_payload() -> None:
    with served(NAMED, request_id=True) as client:
        first, second = client.ask(headers="X-Request-Id: mine\r\n"), client.ask()
        names = [answer.headers["x-request-id"] for answer in (first, second)]
        assert "mine" not in names  # nobody is believed
        assert len(set(names)) == 2
        assert second.text == names[1]


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [("01-ab:c/d", True), ("x" * 200, True), ("x" * 201, False), ("a b", False), ("\xe9", False)],
)
def test_the_name_that_a_believed_proxy_gave_is_kept(sent: str, is_kept: bool) -> None:
    with served(request_id=True, proxies=["127.0.0.0/8"]) as client:
        answer = client.ask(headers=f"X-Request-Id: {sent}\r\n")
        assert (answer.headers["x-request-id"] == sent) == is_kept


def test_refusals_carry_it_too() -> None:
    with served(request_id=True) as client:
        headers = "Content-Type: application/json\r\nContent-Length: 1\r\n"
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{{")
        answer = client.answer("POST")
        assert answer.status == 400
        assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("POST / HTTP/1.1", "Content-Length: 100000\r\n", 413),
        ("POST / HTTP/1.1", "Content-Length: 1\r\nContent-Encoding: rot13\r\n", 415),
        ("POST / HTTP/1.1", "Transfer-Encoding: gzip\r\n", 400),
        ("GET / HTTP/9.9", "", 505),
        ("GET / HTTP/1.1", "a b: c\r\n", 400),
        ("POST / HTTP/1.1", "Expect: miracles\r\n", 417),
    ],
)
@pytest.mark.parametrize("believed", [False, True])
def test_what_the_server_refuses_by_itself_is_named_too(
    request_line: str,
    headers: str,
    status: int,
    believed: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "greenflow.nodes.listener")
    proxies = ["127.0.0.0/8"] if believed else []
    with served(request_id=True, proxies=proxies, limits={"body": 1000}) as client:
        client.send(f"{request_line}\r\nHost: a\r\nX-Request-Id: mine\r\n{headers}\r\nx")
        answer = client.answer("POST")
        assert answer.status == status
        name = answer.headers["x-request-id"]
        assert (name == "mine") == believed
        told = [each for each in caplog.records if "is refused" in each.getMessage()]
        assert all(each.__dict__["request_id"] == name for each in told)


def test_a_refusal_without_the_field_has_no_name() -> None:
    with served() as client:
        client.send("GET / HTTP/9.9\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n")
        assert "x-request-id" not in client.answer("GET").headers


def test_without_the_field_there_is_none() -> None:
    with served(NAMED) as client:
        answer = client.ask()
        assert "x-request-id" not in answer.headers
        assert answer.text == "none"
