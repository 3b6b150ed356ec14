"""http: a host that a payload or a redirect names is public or allowed, however it is written, and
the address that was checked is the one connected to (BEHAVIOUR 11.6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from gevent.socket import gaierror

from greenflow.config import HttpSettings, Settings
from greenflow.errors import AddressForbidden, InvalidArgument, RequestFailed
from greenflow.net import address, transport
from greenflow.net.address import Place
from greenflow.runtime import Runtime
from tests.flows import Flow, flow
from tests.net.loopback import DEADLINE_SECONDS
from tests.net.scripted import Scripted, reply, scripted

# What the names of these tests resolve to; no other name is known.
NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.localdomain": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "loopback.test": ["127.0.0.1"],
    "ten.test": ["10.0.0.1"],
    "home.test": ["192.168.1.1"],
    "zero.test": ["0.0.0.0"],
    "six.test": ["::1"],
    "any.test": ["::"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "six-to-four.test": ["2002:7f00:1::1"],
    "unique.test": ["fd00::1"],
    "zone.test": ["fe80::1%lo"],
    "metadata.google.internal": ["169.254.169.254"],
    "127.0.0.1.wildcard.test": ["127.0.0.1"],
    "xn--bcher-kva.test": ["127.0.0.1"],
    "mixed.test": ["8.8.8.8", "127.0.0.1"],
    "public.test": ["8.8.8.8"],
}

IPV4 = """
    127.0.0.1 127.1 127.0.1 127.0.0.1. 127.000.000.001 127.0.0.001 0127.0.0.1 00127.0.0.1
    0177.0.0.1 0177.0x0.0.1 0x7f.0.0.1 0x7f.1 0x7F.0x0.0x0.0x1 0x7f000001 0X7F000001 0x07f000001
    2130706433 2130706433. 017700000001 127.0.0.2 127.255.255.254 -127.0.0.1 1e0.0.0.1
    0 00 0x0 0x 0.0.0.0 0.0.0.1 0.1 255.255.255.255 4294967295
    10.0.0.1 10.1 012.0.0.1 167772161 0xa000001 172.16.0.1 172.31.255.255 2886729729
    192.168.0.1 192.168.1 3232235521 0300.0250.0.1 0xc0.0xa8.0.1
    169.254.169.254 169.254.43518 2852039166 0xa9fea9fe 0251.0376.0251.0376
    100.64.0.1 100.100.100.200 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.7
    203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1 168.63.129.16 8.8.8.8. 08.8.8.8
"""

IPV6 = """
    [::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001] [::] [::127.0.0.1]
    [::7f00:1] [::ffff:127.0.0.1] [::FFFF:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1]
    [::ffff:10.0.0.1] [::ffff:a9fe:a9fe] [::ffff:0.0.0.0] [::ffff:0:127.0.0.1]
    [64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::127.0.0.1] [2002:7f00:1::]
    [2002:a9fe:a9fe::1] [2002:c0a8:1::1] [2001:0:7f00:1::] [2001:0:4136:e378:8000:63bf:80ff:fffe]
    [2001:10::1] [2001:20::1] [2001:db8::1] [3fff::1] [4000::1] [5f00::1] [100::1] [fc00::1]
    [fd00:ec2::254] [fe80::1] [fe80::5efe:127.0.0.1] [fe80::1%lo] [fe80::1%25lo] [::1%lo] [::1%25]
    [fec0::1] [ff02::1] [ff0e::1] ::1 [::1 ::1] [127.0.0.1] [::1]. [[::1]] [::127.1] [::ffff:127.1]
"""

# What IDNA reads as ASCII: letters and digits of full width, in circles or for mathematics; dots.
WIDE = {code: chr(code + 0xFEE0) for code in range(ord("!"), ord("~") + 1)}
CIRCLED = {ord("0"): "\u24ea", ord("1"): "\u2460", ord("2"): "\u2461", ord("7"): "\u2466"}
CIRCLED |= {code: chr(code - ord("a") + 0x24D0) for code in range(ord("a"), ord("z") + 1)}
BOLD = {code: chr(code - ord("0") + 0x1D7CE) for code in range(ord("0"), ord("9") + 1)}
UNICODE = [
    host.translate(letters)
    for host in ("127.0.0.1", "127.1", "0x7f.1", "2130706433", "ten.test")
    for letters in (WIDE, CIRCLED, BOLD)
    if host.translate(letters) != host
]
UNICODE += ["127.0.0.1".replace(".", dot) for dot in "\u3002\uff0e\uff61"]
UNICODE += ["localhost".translate(WIDE), "localhost".translate(CIRCLED), "\u2113ocalhost"]
UNICODE += ["\u0661\u0662\u0667.0.0.1", "B\xfccher.test", "127.0.0.1\xad", "[::1]".translate(WIDE)]
UNICODE += [f"127.0.0.1{one}public.test" for one in "\uff0f\uff20\uff03\uff1f\u2048"]

SPELT = """
    LOCALHOST LocalHost. localhost. localhost.. Ten.Test. TEN.TEST %6cocalhost %31%32%37.0.0.1
    user@127.0.0.1 public.test@127.0.0.1 127.0.0.1@public.test public.test:80@127.0.0.1 @127.0.0.1
    public.test#@127.0.0.1 public.test\\@127.0.0.1 127.0.0.1\\@public.test 127.0.0.1/public.test
    127.0.0.1?public.test 127.0.0.1#public.test 127.0.0.1%00.public.test 127.0.0.1%2f.public.test
    127.0.0.1,public.test 127.0.0.1;public.test 127..0.0.1 .127.0.0.1 +127.0.0.1 [::1]@public.test
    [::1].public.test http://127.0.0.1 //127.0.0.1 \\\\127.0.0.1 unix:/run/socket
"""

BLANKS = [f"127.0.0.1{one}" for one in ("\t", "\n", "\r\n", " ", "\0", "\x0b", "\u2028")]
BLANKS += [" 127.0.0.1", "127.0.0.1 .public.test", "127.0.0.1\0.public.test", "public.test\r\nX: y"]

HOSTS = [
    *f"{IPV4}{IPV6}{SPELT}".split(),
    *UNICODE,
    *(name for name in NAMES if name != "public.test"),
    *BLANKS,
]

REDIRECTS = """
    http://127.0.0.1:{port}/ http://127.1:{port}/ http://2130706433:{port}/ http://0x7f.1:{port}/
    http://0177.0.0.1:{port}/ http://0:{port}/ http://0.0.0.0:{port}/ http://127.0.0.1.:{port}/
    http://[::1]:{port}/ http://[::]:{port}/ http://[::ffff:127.0.0.1]:{port}/
    http://[::127.0.0.1]:{port}/ http://[64:ff9b::7f00:1]:{port}/ http://[2002:7f00:1::]:{port}/
    http://[fe80::1%25lo]:{port}/ http://localhost:{port}/ HTTP://LOCALHOST:{port}/
    //localhost:{port}/ //127.0.0.1:{port} //[::1]:{port}/ http://ten.test/ http://mapped.test/
    http://mixed.test/ http://169.254.169.254/latest/meta-data/ http://metadata.google.internal/
    https://127.0.0.1:{port}/ https://192.168.0.1/ http://user:pass@127.0.0.1:{port}/
    http://public.test@127.0.0.1:{port}/ http://public.test\\@127.0.0.1:{port}/
    \\\\127.0.0.1:{port}/ /\\127.0.0.1:{port}/ http:\\\\127.0.0.1:{port}/ http:/127.0.0.1:{port}/
    http:127.0.0.1:{port}/ http:///127.0.0.1:{port}/ ///127.0.0.1:{port}/ file:///etc/passwd
    gopher://127.0.0.1:{port}/_x ftp://127.0.0.1:{port}/ unix:/run/socket dict://127.0.0.1:{port}/
    http://127.0.0.1:{port}\\/ http://127.0.0.1%00:{port}/ http://127.0.0.1,public.test:{port}/
"""

PATHS = """
    @127.0.0.1:{port}/ :80@127.0.0.1:{port}/ //127.0.0.1:{port}/ ///127.0.0.1:{port}/
    http://127.0.0.1:{port}/ \\\\127.0.0.1:{port}/ /\\127.0.0.1:{port}/ /..//127.0.0.1:{port}/
    .127.0.0.1:{port}/ ?@127.0.0.1:{port}/ #@127.0.0.1:{port}/ /%2f%2f127.0.0.1:{port}/
"""


class Guarded:
    """A workflow of one http node, a server inside that must not be reached, and every address that
    was connected to."""

    def __init__(self, running: Flow, inside: Scripted, connected: list[str]) -> None:
        self.flow, self.inside, self.connected = running, inside, connected

    def call(self, **fields: Any) -> Any:
        return self.flow.call("http", {"scheme": "http", **fields}, timeout=DEADLINE_SECONDS)

    def nothing_happened(self) -> bool:
        return self.connected == [] and self.inside.accepted == 0


@contextmanager
def guarded(
    monkeypatch: pytest.MonkeyPatch, outside: Scripted | None = None, **fields: Any
) -> Iterator[Guarded]:
    """Such a workflow, without a url. What is public is found at `outside`."""
    connected: list[str] = []
    connect = transport._connect

    def resolve(host: str, port: int, *rest: Any) -> list[Any]:
        found = NAMES.get(host.rstrip("."))
        if found is None:
            raise gaierror(-2, "Name or service not known")
        return [(10 if ":" in one else 2, 1, 6, "", (one, port)) for one in found]

    def record(place: Place) -> Any:
        connected.append(place.address[0])
        found = address._inner(ip_address(place.address[0].partition("%")[0]))
        if outside is not None and address.is_public(found):
            place = Place(2, (outside.host, outside.port))
        elif not (found.is_loopback or found.is_unspecified):
            raise ConnectionRefusedError(111, "Connection refused")
        return connect(place)

    monkeypatch.setattr(address, "getaddrinfo", resolve)
    monkeypatch.setattr(transport, "_connect", record)
    settings = HttpSettings(allow=fields.pop("allow", []))
    with scripted(*[reply(b"reached")] * 3) as inside:
        spec = {"kind": "http", "name": "http", **fields}
        with flow(json.dumps(spec), http=settings) as running:
            yield Guarded(running, inside, connected)


def test_there_are_enough_forms() -> None:
    assert len(HOSTS) == len(set(HOSTS)) > 200
    assert len(REDIRECTS.split()) > 40


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_of_a_payload_that_is_not_public(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with guarded(monkeypatch) as one:
        for authority in (host, f"{host}:{one.inside.port}"):
            with pytest.raises((AddressForbidden, InvalidArgument)):
                one.call(host=authority)
        assert one.nothing_happened()


@pytest.mark.parametrize("location", REDIRECTS.split())
def test_a_redirect_to_what_is_not_public(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n"
    with scripted() as outside, guarded(monkeypatch, outside) as one:
        there = location.format(port=one.inside.port).encode()
        outside.answers = [answer % there, answer % b"//public.test/again", answer % there]
        for _ in range(2):
            with pytest.raises((AddressForbidden, RequestFailed)):
                one.call(host="public.test")
        assert set(one.connected) == {"8.8.8.8"}
        assert (len(outside.requests), one.inside.accepted) == (3, 0)


@pytest.mark.parametrize("path", PATHS.split())
def test_a_path_leads_to_no_other_host(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(reply(b"outside")) as outside, guarded(monkeypatch, outside) as one:
        answer = one.call(host="public.test", path=path.format(port=one.inside.port))
        assert answer["body"] == b"outside"
        assert one.connected == ["8.8.8.8"]
        assert outside.header("Host") == "public.test"


@pytest.mark.parametrize(
    "fields",
    [
        {"scheme": "file", "host": "", "path": "/etc/passwd"},
        {"scheme": "unix", "host": "/run/socket"},
        {"scheme": "gopher", "host": "127.0.0.1"},
        {"scheme": "http://127.0.0.1/", "host": "public.test"},
        {"scheme": "http", "host": ["127.0.0.1"]},
        {"scheme": "http", "host": {"127.0.0.1": 1}},
        {"scheme": "http", "host": b"127.0.0.1"},
        {"scheme": "http", "host": 2130706433},
        {"host": None, "header": {"Host": "127.0.0.1"}},
        {"host": "127.0.0.1", "header": {"Host": "public.test"}},
        {"scheme": "https", "host": "127.0.0.1"},
    ],
)
def test_other_fields_lead_nowhere(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with guarded(monkeypatch) as one:
        with pytest.raises((AddressForbidden, InvalidArgument)):
            one.call(**fields)
        assert one.nothing_happened()


def test_a_name_that_resolves_differently_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up that is checked is the one that counts; there is no other."""
    with scripted(reply(b"outside")) as outside, guarded(monkeypatch, outside) as one:
        answers = iter(["8.8.8.8", "127.0.0.1", "127.0.0.1"])

        def rebind(host: str, port: int, *rest: Any) -> list[Any]:
            return [(2, 1, 6, "", (next(answers), port))]

        monkeypatch.setattr(address, "getaddrinfo", rebind)
        assert one.call(host="rebinding.test")["body"] == b"outside"
        assert one.connected == ["8.8.8.8"]
        assert next(answers) == "127.0.0.1"  # it was asked once
        # The kept connection has gone: a new one is looked up, and checked.
        outside.close()
        with pytest.raises((AddressForbidden, RequestFailed)):
            one.call(host="rebinding.test")
        assert (one.connected, one.inside.accepted) == (["8.8.8.8"], 0)


def test_a_host_that_changes_between_two_redirects(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = reply(b"", "Location: http://rebinding.test/x", "Connection: close", status=302)
    with scripted(moved, moved) as outside, guarded(monkeypatch, outside) as one:
        answers = iter(["8.8.8.8", "8.8.4.4", "127.0.0.1"])
        monkeypatch.setattr(
            address, "getaddrinfo", lambda host, port, *rest: [(2, 1, 6, "", (next(answers), port))]
        )
        with pytest.raises(AddressForbidden):
            one.call(host="rebinding.test")
        assert (one.connected, one.inside.accepted) == (["8.8.8.8", "8.8.4.4"], 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "localhost", "loopback.test"])
def test_a_host_that_the_spec_names_may_be_any_address(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        scripted(reply(b"named")) as server,
        guarded(monkeypatch, url=f"http://{host}:{server.port}/") as one,
    ):
        assert one.call(host="public.test", scheme="https")["body"] == b"named"
        assert one.connected == ["127.0.0.1"]


def test_a_named_host_vouches_for_its_own_port_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as server, guarded(monkeypatch, url=f"http://127.0.0.1:{server.port}/") as one:
        here, there = (
            reply(b"", f"Location: http://127.0.0.1:{port}/", status=302)
            for port in (server.port, one.inside.port)
        )
        server.answers = [here, there]
        with pytest.raises(AddressForbidden):
            one.call()
        assert (len(server.requests), one.inside.accepted) == (2, 0)


@pytest.mark.parametrize(
    ("rule", "hosts"),
    [
        ("loopback", ["127.0.0.1", "localhost", "loopback.test", "[::ffff:127.0.0.1]"]),
        ("127.0.0.0/8", ["127.0.0.1", "mapped.test"]),
        ("127.0.0.1", ["loopback.test"]),
        ("Loopback.Test", ["loopback.test", "LOOPBACK.test."]),
    ],
)
def test_what_a_rule_allows(rule: str, hosts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMES, "localhost", ["127.0.0.1"])
    for host in hosts:
        with guarded(monkeypatch, allow=[rule]) as one:
            assert one.call(host=f"{host}:{one.inside.port}")["body"] == b"reached"
            assert one.inside.accepted == 1


@pytest.mark.parametrize(
    ("rule", "hosts"),
    [
        ("loopback", ["ten.test", "zero.test", "0.0.0.0", "127.1", "metadata.google.internal"]),
        ("private", ["127.0.0.1", "169.254.169.254", "[::1]"]),
        ("link-local", ["127.0.0.1", "10.0.0.1", "zero.test"]),
        ("127.0.0.1", ["127.0.0.2", "localhost", "[::1]"]),
        ("loopback.test", ["127.0.0.1", "ten.test", "xloopback.test", "a.loopback.test"]),
        ("10.0.0.0/8", ["home.test", "mixed.test"]),
    ],
)
def test_what_a_rule_does_not_allow(
    rule: str, hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded(monkeypatch, allow=[rule]) as one:
        for host in hosts:
            with pytest.raises((AddressForbidden, RequestFailed)):
                one.call(host=f"{host}:{one.inside.port}")
        assert one.nothing_happened()


def test_a_rule_that_is_none_keeps_the_node_inactive() -> None:
    settings = Settings(http=HttpSettings(allow=["127.1"]))
    spec = {"kind": "http", "name": "http"}
    with Runtime("memory://", specs=[spec], settings=settings) as running:
        assert "the setting http.allow: '127.1' does not appear" in running.status()[0]["reason"]
