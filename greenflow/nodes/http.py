"""`http`: a packet becomes a request to an HTTP server, what it answers is sent on (BEHAVIOUR 11).

Lives here: the kind, and what a payload is as a request and an answer as a payload. HTTP itself and
the guard of 11.6 are net/client.py's, which is imported when the first node of the kind opens, for
urllib3 costs 90 ms. Bodies are mime's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.services import Compiler, Services
from greenflow.errors import (
    BodyTooLarge,
    EncodeError,
    InvalidArgument,
    RequestFailed,
    SpecFault,
    UnsupportedCoding,
)
from greenflow.net import mime
from greenflow.net.address import Allowed
from greenflow.net.fields import FRAMING, HOP_BY_HOP
from greenflow.net.grammar import BLANKS, has_control, is_token
from greenflow.net.message import canonical_name
from greenflow.net.mime.coding import known_codings
from greenflow.net.mime.urlencoded import encode_form
from greenflow.net.outgoing import ClientRequest, ClientResponse, basic
from greenflow.net.url import (
    PORTS,
    Url,
    parse_authority,
    parse_url,
    quote_path,
    remove_dot_segments,
)
from greenflow.nodes.envelope import no_request
from greenflow.nodes.traced import tell_status, trace_call
from greenflow.payload.stream import Stream
from greenflow.spec.fields import Spec

if TYPE_CHECKING:
    from greenflow.net.client import Client

# Seconds that an exchange may take if the spec does not say: long for an API, short enough that a
# server that hangs does not hold processes for ever.
TIMEOUT = 30.0

# Bytes of an answer's body, as sent and decompressed; that of a listener's requests (8.8).
BODY_LIMIT = 8 * 1024 * 1024

# The scheme of a host that comes without one.
DEFAULT_SCHEME = "https"

# Headers that are not sent as they are, in lower case: those that concern one hop or frame a
# message (RFC 9110 7.6.1), and Host (BEHAVIOUR 11.3); Expect, for the body is sent at once; and
# those that say what is done to the bodies.
_NOT_SENT = (
    HOP_BY_HOP
    | FRAMING
    | {"proxy-authorization", "host", "expect"}
    | {"content-type", "content-encoding", "accept-encoding"}
)

# Headers of an answer that say how its body was sent, which is not true of it any more (BEHAVIOUR
# 11.4); a stream is still encoded.
_FRAMED = tuple(map(canonical_name, FRAMING))
_UNDONE = ("Content-Encoding", *_FRAMED)


class TlsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How TLS is spoken. `ca`, `cert` and `key` are PEM texts or names of files."""

    verify: Annotated[bool, Meta(description="whether the server's certificate is checked")] = True
    ca: Annotated[str | None, Meta(description="authorities trusted in place of the system's")] = (
        None
    )
    cert: Annotated[str | None, Meta(description="our certificate, for the host asked only")] = None
    key: Annotated[str | None, Meta(description="its key, if it is not in `cert`")] = None

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise ValueError("tls.key needs tls.cert")


class LimitsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes."""

    body: Annotated[
        int | None,
        Meta(
            ge=0,
            description="bytes of an answer's body, also decompressed (8 MiB; a stream: any)",
        ),
    ] = None


class HttpSpec(Spec):
    url: Annotated[
        str, Meta(description="where to; what it leaves out of scheme and host the payload says")
    ] = ""
    timeout: Annotated[
        float,
        Meta(
            gt=0,
            extra={"format": "duration"},
            description="for the whole exchange; with `stream` again for each piece",
        ),
    ] = TIMEOUT
    sends: Annotated[
        Literal["auto", "body", "request"],
        Meta(
            description="what a payload is: a request if it looks like one, else the body of one"
            " (auto); always the body; always a request"
        ),
    ] = "auto"
    stream: Annotated[
        bool, Meta(description="answer with a body that is read as it comes, not decoded")
    ] = False
    redirects: Annotated[
        Literal["follow", "hand_on"],
        Meta(
            description="whether a redirect is followed, or is an answer like others (hand_on): for"
            " a proxy, whose client follows it"
        ),
    ] = "follow"
    proxy: Annotated[
        str | None, Meta(description="http://HOST:PORT of a proxy; the environment has no say")
    ] = None
    tls: Annotated[TlsSpec | None, Meta(description="certificates, ours and theirs")] = None
    limits: Annotated[LimitsSpec, Meta(description="what an answer may be")] = LimitsSpec()


@node("http", reads_only=True, reaches_outside=True)
class Http(Node[HttpSpec]):
    """Sends an HTTP request and answers `{status, header, body}`; any status is a normal answer.

    A map of payload fields (`method`, `path`, `query`, `header`, `body` ...) is the request, any
    other value its body; `sends` says it for all. A host that a payload or a redirect names must be
    public, unless the setting `http.allow` names it. What got no usable answer goes to `error`.
    """

    waits = True

    client: Client | None = None

    @classmethod
    def check(cls, spec: HttpSpec, compiler: Compiler) -> list[SpecFault]:
        found = []
        for path, text, read in (
            ("$.url", spec.url, parse_url),
            ("$.proxy", spec.proxy, read_proxy),
        ):
            if text is not None:
                try:
                    read(text)
                except ValueError as error:
                    found.append(SpecFault(path, str(error)))
        return found

    def __init__(self, spec: HttpSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.url = parse_url(spec.url)
        self.proxy = None if spec.proxy is None else read_proxy(spec.proxy)

    def open(self) -> None:
        from greenflow.net.client import Client, Tls

        allowed = Allowed.of_setting(self.services.settings.http.allow)
        tls = Tls() if self.spec.tls is None else Tls(**msgspec.structs.asdict(self.spec.tls))
        self.client = Client(homes(self.url), allowed, self.proxy, tls)

    def close(self) -> None:
        if self.client is not None:
            self.client.close()

    def handle(self, ctx: Context, payload: Any) -> Any:
        assert self.client is not None
        seconds, limit, stream = self.spec.timeout, self.spec.limits.body, self.spec.stream
        follows = self.spec.redirects == "follow"
        request = to_request(self.url, payload, stream, self.spec.sends)
        tracer = self.services.tracer
        if tracer is not None:
            trace_call(tracer, ctx.process, request)
        if stream:
            response = self.client.exchange(request, seconds, limit, stream, follows=follows)
            return ctx.enter(_begun(response))
        limit = BODY_LIMIT if limit is None else limit
        response = self.client.exchange(request, seconds, limit, follows=follows)
        if tracer is not None:
            tell_status(ctx.process, response.status)
        return to_answer(request, response, limit)


def homes(url: Url) -> list[tuple[str, int]]:
    """Hosts and ports that a spec with that `url` names: its own, and with the port of http that
    of https, which servers redirect to."""
    if not url.host:
        return []
    ports = {url.port} if url.port else set(PORTS.values())
    return [(url.host, port) for port in ports | ({443} if 80 in ports else set())]


def read_proxy(text: str) -> Url:
    """The `proxy` of a spec. Raises ValueError."""
    url = parse_url(text)
    if url.scheme != "http" or not url.host or url.path not in ("", "/") or url.query is not None:
        raise ValueError(
            "a proxy is http://HOST:PORT, with NAME:PASSWORD@ before the host if need be"
        )
    return url


def to_request(url: Url, payload: Any, stream: bool = False, sends: str = "auto") -> ClientRequest:
    """A payload as a request of a node with that URL (BEHAVIOUR 11.1 to 11.3), by what the spec
    says that it `sends`. If its answer is to be a `stream`, codings are not asked for but by the
    payload, for nothing is decoded.

    Raises InvalidArgument for fields that make no request, and EncodeError for a body that its
    Content-Type or Content-Encoding cannot hold.
    """
    fields: dict[str, Any] = {"body": payload}
    if sends != "body":
        reason = no_request(payload)
        if not reason:
            fields = payload
        elif sends == "request":
            text = f"the node has `sends: request`, and this is none: {reason}"
            raise InvalidArgument(text)
    target = _whole_url(url, fields)
    headers, content_type, coding = _headers(fields.get("header"), stream)
    body = fields.get("body")
    if isinstance(body, Stream):
        content_type = content_type or mime.BYTES
    elif body is not None or ("body" in fields and _is_json(content_type)):
        content_type, body, _ = mime.encode(body, content_type)
        if coding is not None:
            body, coding = mime.compress(body, coding)
    if content_type is not None:
        headers["Content-Type"] = content_type
    if coding is not None and body is not None:
        headers["Content-Encoding"] = coding
    method = fields.get("method") or ("GET" if body is None else "POST")
    if type(method) is not str or not is_token(method) or method.upper() == "CONNECT":
        raise InvalidArgument("the method of a request is a word such as GET, and not CONNECT")
    if url.user is not None:
        headers.setdefault("Authorization", basic(url.user))
    return ClientRequest(method.upper(), target, headers, body)


def _is_json(content_type: str | None) -> bool:
    """Whether null is a body of that type, and not the lack of one (BEHAVIOUR 8.4)."""
    return content_type is not None and mime.media_type(content_type).is_json


def _whole_url(url: Url, fields: dict[str, Any]) -> Url:
    """The URL of a node, with what the payload adds to it."""
    path, query = fields.get("path"), fields.get("query")
    scheme, host, port = _origin(url, fields)
    whole = url.path
    if path:
        if type(path) is not str:
            raise InvalidArgument("the path of a request is a string")
        try:
            added = quote_path(path if path[0] == "/" else f"/{path}")
        except ValueError as error:
            raise InvalidArgument() from ValueError(f"the path of a request: {error}")
        whole = whole.rstrip("/") + remove_dot_segments(added)
    queries = []
    if query:
        try:
            queries.append(encode_form(query).decode("ascii"))
        except EncodeError as error:
            raise InvalidArgument() from ValueError(f"the query of a request: {error}")
    if url.query:
        queries.append(url.query)
    return Url(scheme, host, port, whole, "&".join(queries) or None)


def _origin(url: Url, fields: dict[str, Any]) -> tuple[str, str, int]:
    """Scheme, host and port: the node's, and what it leaves open the payload's."""
    scheme = url.scheme or fields.get("scheme") or DEFAULT_SCHEME
    if type(scheme) is not str or scheme not in PORTS:
        raise InvalidArgument("the scheme of a request is http or https")
    if url.host:
        return scheme, url.host, url.port or PORTS[scheme]
    authority = fields.get("host")
    if type(authority) is not str or not authority:
        raise InvalidArgument("no host: neither the url of the node nor the payload names one")
    try:
        user, host, port = parse_authority(authority)
        if user is not None:
            raise ValueError("it holds a user name")
    except ValueError as error:
        raise InvalidArgument() from ValueError(f"the host of a request: {error}")
    return scheme, host, port or PORTS[scheme]


def _headers(header: Any, stream: bool) -> tuple[dict[str, str], str | None, str | None]:
    """The headers of a request, its Content-Type, and its Content-Encoding."""
    sent: dict[str, str] = {"Accept-Encoding": "identity" if stream else ", ".join(known_codings())}
    special: dict[str, str] = {}
    if header is not None and type(header) is not dict:
        raise InvalidArgument("the header of a request is a map")
    for name, values in (header or {}).items():
        texts = [_text(name, value) for value in (values if type(values) is list else [values])]
        lower = name.lower()
        joined = ("; " if lower == "cookie" else ", ").join(texts)
        if lower in _NOT_SENT:
            special[lower] = joined
        elif texts:
            sent[canonical_name(name)] = joined
    for option in special.get("connection", "").split(","):  # named there, of this hop only
        sent.pop(canonical_name(option.strip(BLANKS)), None)
    if "accept-encoding" in special:
        asked = special["accept-encoding"]
        sent["Accept-Encoding"] = asked if stream else _decodable(asked)
    elif "Range" in sent:  # a part of something compressed could not be decoded
        sent["Accept-Encoding"] = "identity"
    sent.setdefault("User-Agent", _user_agent())
    return sent, special.get("content-type") or None, special.get("content-encoding") or None


@cache
def _user_agent() -> str:
    return f"greenflow/{version('greenflow')}"


def _text(name: str, value: Any) -> str:
    """A value of a header. Raises InvalidArgument for what would not be one line of RFC 9110 5."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise InvalidArgument(f"the header {name!r} is no string")
    text = str(value).strip(BLANKS)
    if not is_token(name) or has_control(text):
        raise InvalidArgument(f"the header {name!r} has characters that no header has")
    if not text.isascii() and max(text) > "\xff":
        raise InvalidArgument(f"the header {name!r} is not ISO-8859-1 (RFC 9110 5.5)")
    return text


def _decodable(accept_encoding: str) -> str:
    """An Accept-Encoding less what could not be decoded here, whoever wrote it."""
    elements = [element.strip(BLANKS) for element in accept_encoding.split(",")]
    codings = known_codings()
    known = [one for one in elements if one.partition(";")[0].strip(BLANKS).lower() in codings]
    return ", ".join(known) or "identity"


@contextmanager
def _begun(response: ClientResponse) -> Iterator[dict[str, Any]]:
    """An answer whose body is a stream, if there is one, as a payload. What is not read of it is
    given up with the process."""
    body = response.body or None
    try:
        yield {"status": response.status, "header": _header(response, _FRAMED), "body": body}
    finally:
        if isinstance(body, Stream):
            body.close()


def to_answer(request: ClientRequest, response: ClientResponse, limit: int) -> dict[str, Any]:
    """An answer as a payload (BEHAVIOUR 11.4); without a body it is null. Raises RequestFailed for
    a body that makes no sense, or that has more than `limit` bytes once it is decompressed."""
    body: Any = None
    if response.body:
        assert isinstance(response.body, bytes)
        coding = response.header("content-encoding")
        try:
            plain = response.body
            if coding is not None:
                plain = mime.decompress(plain, coding, limit)
            body = mime.decode(response.header("content-type"), plain)
        except (InvalidArgument, UnsupportedCoding, BodyTooLarge) as error:
            reason = error.__cause__ or error
            raise RequestFailed(f"{request}: the answer cannot be decoded: {reason}") from error
    return {"status": response.status, "header": _header(response, _UNDONE), "body": body}


def _header(response: ClientResponse, without: tuple[str, ...]) -> dict[str, list[str]]:
    header = response.header_lists()
    for name in without:
        header.pop(name, None)
    return header
