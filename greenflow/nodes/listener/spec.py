"""The fields of a `listener`.

Lives here: what may be written in its spec, and what is wrong in it beyond types. What becomes
of it is __init__.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from greenflow.engine.budget import BudgetedSpec
from greenflow.engine.foresight import Claim
from greenflow.errors import SpecFault
from greenflow.net.cors import METHODS, ORIGIN, Cors
from greenflow.net.forwarded import Proxies
from greenflow.net.grammar import is_token
from greenflow.net.limits import Limits
from greenflow.net.methods import fault_of
from greenflow.net.server import UNIX
from greenflow.spec.fields import Duration, TimeLimit


class LimitsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds."""

    body: Annotated[int, Meta(ge=0, description="bytes of a body, also decompressed")] = (
        Limits().body
    )
    connections: Annotated[int, Meta(ge=1, description="open connections")] = Limits().connections
    in_flight: Annotated[int, Meta(ge=1, description="requests under way at one time")] = (
        Limits().in_flight
    )
    header_timeout: Annotated[float, Meta(gt=0, extra={"format": "duration"})] = (
        Limits().header_timeout
    )
    body_timeout: Annotated[float, Meta(gt=0, extra={"format": "duration"})] = Limits().body_timeout
    idle_timeout: Annotated[float, Meta(gt=0, extra={"format": "duration"})] = Limits().idle_timeout
    write_timeout: Annotated[float, Meta(gt=0, extra={"format": "duration"})] = (
        Limits().write_timeout
    )
    least_rate: Annotated[
        int,
        Meta(ge=0, description="bytes a second that a client has to send or take; 0: any"),
    ] = Limits().least_rate


class TlsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each is PEM text or the path of a file. A file that changes is read again."""

    cert: Annotated[str, Meta(min_length=1, description="certificate, with its chain")]
    key: Annotated[str, Meta(min_length=1, description="private key, without a password")]

    def __repr__(self) -> str:
        return "<TlsSpec>"  # the key is a secret


class CorsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pages of other origins may use it; a preflight starts no process."""

    origins: Annotated[
        list[str], Meta(min_length=1, description="such as https://app.example.com, or * for all")
    ]
    methods: Annotated[tuple[str, ...], Meta(description="methods that pages may use")] = METHODS
    any_method: Annotated[
        bool, Meta(description="whether `methods` may be names that HTTP does not know")
    ] = False
    headers: Annotated[list[str], Meta(description="headers that pages may send; none: all")] = []
    expose: Annotated[list[str], Meta(description="headers of answers that pages may read")] = []
    credentials: Annotated[bool, Meta(description="whether pages may send cookies")] = False
    max_age: Annotated[
        Duration, Meta(description="how long a browser may remember a preflight")
    ] = 600.0


class ExitAfter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The process of a client that has left exits, and rolls back, after a while."""

    # Half a second is enough for a short commit to end, and too short to be worth an attack.
    exit_after: Annotated[Duration, Meta(description="how long it may go on")] = 0.5


class ListenerSpec(BudgetedSpec):
    port: Annotated[
        int | None,
        Meta(ge=0, le=65535, description="TCP port; 0 takes a free one; none for a Unix socket"),
    ] = None
    protocol: Annotated[str, Meta(pattern="^http$", description="http")] = "http"
    host: Annotated[
        str | None,
        Meta(description="address, or unix:PATH; default: setting listener.host"),
    ] = None
    tls: Annotated[TlsSpec | None, Meta(description="encrypts, with this certificate")] = None
    limits: Annotated[LimitsSpec, Meta(description="what a client may ask")] = LimitsSpec()
    cors: Annotated[CorsSpec | None, Meta(description="for pages of other origins")] = None
    proxies: Annotated[
        list[str],
        Meta(
            description="networks of proxies whose Forwarded and X-Forwarded-... headers are"
            " believed (`unix`: peers of a Unix socket); from others they are then removed"
        ),
    ] = []
    proxy_protocol: Annotated[
        bool, Meta(description="connections of `proxies` begin with a PROXY header, version 1 or 2")
    ] = False
    request_id: Annotated[
        bool,
        Meta(
            description="name each request in X-Request-Id of its response, in `request_id` of its"
            " payload and in the log; the name of a proxy that is believed is kept"
        ),
    ] = False
    deadline: Annotated[
        TimeLimit | None,
        Meta(
            description="how long a request may wait for its answer: then its process ends, rolled"
            " back, and the response is a 504",
        ),
    ] = None
    answers: Annotated[
        Literal["auto", "body", "response"],
        Meta(
            description="what `out` answers: a response if it looks like one, else the body of a"
            " 200 (auto); always the body; always a response, and anything else is a 500"
        ),
    ] = "auto"
    on_disconnect: Annotated[
        Literal["finish"] | ExitAfter,
        Meta(
            description="what becomes of the process whose client has left: it exits after a"
            " while, or it does its work to the end (finish)"
        ),
    ] = ExitAfter()
    untyped: Annotated[
        Literal["bytes", "guess"],
        Meta(
            description="what a body without Content-Type is: its bytes, and none if it is empty;"
            " or what it looks like, which its header then says: JSON, a form or text, and an empty"
            " text if it is empty (guess)"
        ),
    ] = "bytes"
    raw: Annotated[
        bool, Meta(description="give the bytes of the body, as they came, as `raw` beside `body`")
    ] = False
    stream: Annotated[
        bool, Meta(description="start the process before the body is there; it is a stream then")
    ] = False


def faults_of(spec: ListenerSpec) -> list[SpecFault]:
    """What is wrong in a spec beyond its types."""
    faults: list[SpecFault] = []
    is_path = (spec.host or "").startswith(UNIX)
    if is_path and spec.port is not None:
        faults.append(SpecFault("$.port", "a Unix socket has none"))
    if not is_path and spec.port is None:
        faults.append(SpecFault("$.port", "missing"))
    for i, network in enumerate(spec.proxies):
        try:
            Proxies([network])
        except ValueError as error:
            faults.append(SpecFault(f"$.proxies[{i}]", f"{error}, and not `unix`"))
    if spec.raw and spec.stream:
        faults.append(SpecFault("$.raw", "with `stream` the body is raw: read it"))
    if spec.untyped == "guess" and spec.stream:
        faults.append(SpecFault("$.untyped", "with `stream` nothing of the body is there yet"))
    if spec.proxy_protocol and not spec.proxies:
        faults.append(SpecFault("$.proxies", "missing: who sends PROXY headers?"))
    if spec.cors is not None:
        faults += cors_faults(spec.cors)
    return faults


def addresses(spec: ListenerSpec, host: str) -> list[Claim]:
    """What it would listen on, with the setting `listener.host`; not what the system is to choose,
    nor host names, which only who listens can look up."""
    host = spec.host or host
    if host.startswith(UNIX):
        return [Claim("$.host", host, ("unix", 0), host)]
    if not spec.port:
        return []
    try:
        number = ip_address(host or "0.0.0.0")
    except ValueError:
        if host != "localhost":
            return []
        number = ip_address("127.0.0.1")
    called = f"[{number}]:{spec.port}" if number.version == 6 else f"{number}:{spec.port}"
    part = None if number.is_unspecified else str(number)
    return [Claim("$.port", called, (f"tcp{number.version}", spec.port), part)]


def policy(spec: CorsSpec) -> Cors:
    """The policy of a spec. Browsers compare methods with those that are sent, which are in upper
    case."""
    fields = msgspec.structs.asdict(spec)
    if not fields.pop("any_method"):
        fields["methods"] = [method.upper() for method in spec.methods]
    return Cors(**fields)


def cors_faults(cors: CorsSpec) -> Iterator[SpecFault]:
    for i, each in enumerate(cors.origins):
        if each != "*" and ORIGIN.fullmatch(each) is None:
            reason = f"{each!r} is no origin: write scheme://host, with a port if it has one"
            yield SpecFault(f"$.cors.origins[{i}]", reason)
    if cors.credentials and "*" in cors.origins:
        yield SpecFault("$.cors.credentials", "browsers want origins by name with it, not *")
    for i, method in enumerate(cors.methods):
        reason = fault_of(method, cors.any_method or method == "*")
        if reason:
            yield SpecFault(f"$.cors.methods[{i}]", reason)
    for field in ("headers", "expose"):
        for i, name in enumerate(getattr(cors, field)):
            if not is_token(name):
                yield SpecFault(f"$.cors.{field}[{i}]", f"{name!r} is no token (RFC 9110 5.6.2)")
