"""`router`: which out port a request leaves by (BEHAVIOUR 9).

Routes are a tree of path segments, so 10,000 of them cost no search. At each segment a static text
is tried before a parameter, and that before the rest, going back where a deeper match fails; no
place of the tree is looked at twice for one request.

Dot segments are taken out of the path of a request first (RFC 3986 5.2.4), also when their dots are
percent-encoded, and a `*` never gets a text with `..` between slashes: what the text of a parameter
names stays below the route.
"""

from __future__ import annotations

import logging
from bisect import insort
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.result import new_send
from greenflow.engine.services import Compiler, Services
from greenflow.engine.tracing import Traced
from greenflow.errors import InvalidArgument, SpecFault, noted
from greenflow.hub.breathing import unhurried
from greenflow.net.methods import fault_of
from greenflow.net.mime.formats import FormatName
from greenflow.nodes.formats import Parsing, parsed
from greenflow.nodes.formats import faults as faults_of_format
from greenflow.nodes.refusals import tell_refused
from greenflow.nodes.request import Received, raw_body, sent_body
from greenflow.nodes.unlinked import unlinked
from greenflow.spec.fields import Spec
from greenflow.spec.ports import OUT_PORT, canonical, parse

#: Segments of a route's path: where two routes match a request, all texts so far are kept for both.
MOST_SEGMENTS = 256

STATUS_TEXT = {400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}

_log = logging.getLogger("greenflow.nodes.router")


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One method and path, and the port for them."""

    method: Annotated[str, Meta(min_length=1, description="the HTTP method")]
    path: Annotated[str, Meta(description="`:name` is one segment, `*` the rest, `\\:` a colon")]
    port: Annotated[
        str, Meta(description="an `out[i]`", extra_json_schema={"pattern": OUT_PORT})
    ] = "out[0]"
    any_method: Annotated[
        bool, Meta(description="whether `method` may be a name that HTTP does not know")
    ] = False
    raw: Annotated[
        bool, Meta(description="give the bytes of the body, as they came, as `raw` beside `body`")
    ] = False
    parse: Annotated[
        FormatName | Parsing | None,
        Meta(
            description="read the body as this format, whatever its Content-Type says: csv, ndjson,"
            " xml, yaml, json, or a map with what else is to be said of it"
        ),
    ] = None

    @property
    def parsing(self) -> Parsing | None:
        """How the body is read, if the route says so."""
        return Parsing(self.parse) if isinstance(self.parse, str) else self.parse


class RouterSpec(Spec):
    routes: Annotated[list[Route], Meta(description="which requests leave by which port")] = []


class Leaf(NamedTuple):
    """Where a route ends: its port, the names of its parameters in order, whether it wants the body
    as it came, what it reads the body as, and its path as it was written."""

    port: str
    names: tuple[str, ...]
    raw: bool
    parsing: Parsing | None
    path: str


class Branch:
    """The routes below one path."""

    __slots__ = ("lengths", "parameter", "rests", "routes", "static")

    def __init__(self) -> None:
        self.static: dict[str, Branch] = {}
        self.parameter: Branch | None = None
        self.routes: dict[str, Leaf] = {}  # by method
        # By the text before the `*`, and the lengths of those texts, longest first.
        self.rests: dict[str, dict[str, Leaf]] = {}
        self.lengths: list[int] = []

    def rest(self, before: str) -> dict[str, Leaf]:
        """The routes that end in `before*`."""
        if len(before) not in self.lengths:
            insort(self.lengths, len(before), key=lambda length: -length)
        return self.rests.setdefault(before, {})

    def find_rests(self, texts: Sequence[str]) -> Iterator[tuple[dict[str, Leaf], str]]:
        """The routes ending in `*` that match these segments, and what their `*` gets."""
        if any("/" in text and ".." in text.split("/") for text in texts):
            return
        for length in self.lengths:
            routes = self.rests.get(texts[0][:length])
            if routes is not None and length <= len(texts[0]):
                yield routes, "/".join((texts[0][length:], *texts[1:]))


def segments(path: str) -> list[str]:
    """The segments of a path, still percent-encoded; a missing leading slash is added."""
    return path.removeprefix("/").split("/")


def texts_of(path: str) -> list[str]:
    """The decoded segments of a request's path, without dot segments."""
    found = segments(path)
    if "%" in path:
        found = [unquote(segment) for segment in found]
    if "." not in found and ".." not in found:
        return found
    kept: list[str] = []
    for text in found:
        if text == "..":
            del kept[-1:]
        elif text != ".":
            kept.append(text)
    if found[-1] in (".", ".."):
        kept.append("")
    return kept


class Routes:
    """The tree of a router's routes."""

    def __init__(self) -> None:
        self.root = Branch()
        self.plain: dict[str, dict[str, Leaf]] = {}  # the same, of paths that are all static text
        self.methods: set[str] = set()

    def add(self, route: Route) -> bool:
        """Add a route; False if one of the same method and shape is there."""
        branch, names = self.root, []
        routes = None
        for segment in segments(route.path):
            before, star, _ = segment.partition("*")
            if star:
                routes = branch.rest(_literal(before))
                names.append("*")
                break
            if segment.startswith(":") and len(segment) > 1:
                names.append(segment[1:])
                if branch.parameter is None:
                    branch.parameter = Branch()
                branch = branch.parameter
            else:
                branch = branch.static.setdefault(_literal(segment), Branch())
        if routes is None:
            routes = branch.routes
            if not names and "%" not in route.path and "\\" not in route.path:
                self.plain["/" + route.path.removeprefix("/")] = routes
        method = route.method.upper()
        if method in routes:
            return False
        routes[method] = Leaf(route.port, tuple(names), route.raw, route.parsing, route.path)
        self.methods.add(method)
        return True

    def match(self, method: str, path: str) -> tuple[Leaf, Sequence[str]] | set[str]:
        """The route of a request with its parameters' texts, or the methods that would match."""
        plain = self.plain.get(path)  # nothing is more specific, and most requests end here
        if plain is not None and method in plain:
            return plain[method], ()
        if path == "*":  # RFC 9110 9.3.7: OPTIONS asks about all of them
            return self.methods
        methods: set[str] = set()
        for routes, texts in self.find(texts_of(path)):
            leaf = routes.get(method)
            if leaf is None and method == "HEAD":
                leaf = routes.get("GET")
            if leaf is not None:
                return leaf, texts
            methods.update(routes)
        return methods

    def find(self, path: list[str]) -> Iterator[tuple[dict[str, Leaf], Sequence[str]]]:
        """Every set of routes that matches these segments, the most specific first, with the texts
        of its parameters. A loop, for a route may have as many segments as it likes."""
        # Where to look, last first: a branch, the segments that led there, the texts of parameters
        # so far, and whether the branch itself or only its rests are meant.
        places: list[tuple[Branch, int, tuple[str, ...], bool]] = [(self.root, 0, (), False)]
        while places:
            branch, at, texts, only_rests = places.pop()
            if only_rests:
                for routes, rest in branch.find_rests(path[at:]):
                    yield routes, (*texts, rest)
                continue
            if at == len(path):
                if branch.routes:
                    yield branch.routes, texts
                continue
            if branch.rests:
                places.append((branch, at, texts, True))
            text = path[at]
            if branch.parameter is not None and text:
                places.append((branch.parameter, at + 1, (*texts, text), False))
            below = branch.static.get(text)
            if below is not None:
                places.append((below, at + 1, texts, False))


def _literal(segment: str) -> str:
    return unquote(segment.replace("\\:", ":"))


@node("router", outputs=("out[i]",), reads_only=True)
class Router(Node[RouterSpec]):
    """Sends a request to the port of its route, with the path's parameters added as `params`.

    Without a route it answers, or sends to `error`, a 404 or 405; OPTIONS is answered 204.
    """

    @classmethod
    def check(cls, spec: RouterSpec, compiler: Compiler) -> list[SpecFault]:
        faults, routes = [], Routes()
        for i, route in unhurried(enumerate(spec.routes)):
            try:
                if parse(route.port)[0] != "out":
                    raise ValueError("a route leaves by out[0], out[1] and so on")
            except ValueError as error:
                faults.append(SpecFault(f"$.routes[{i}].port", str(error)))
            reason = fault_of(route.method, route.any_method)
            if reason:
                faults.append(SpecFault(f"$.routes[{i}].method", reason))
            if texts_of(route.path) != list(map(unquote, segments(route.path))):
                reason = "no request has such a path: dot segments are taken out of it"
                faults.append(SpecFault(f"$.routes[{i}].path", reason))
            if route.parsing is not None:
                options = route.parsing.options()
                faults += faults_of_format(route.parsing.format, options, f"$.routes[{i}].parse")
            if route.path.count("/") > MOST_SEGMENTS:
                reason = f"a path has at most {MOST_SEGMENTS} segments"
                faults.append(SpecFault(f"$.routes[{i}].path", reason))
            elif not routes.add(route):
                reason = f"{route.method} {route.path} is routed already"
                faults.append(SpecFault(f"$.routes[{i}]", reason))
        return faults

    @classmethod
    def doubts(cls, spec: RouterSpec, compiler: Compiler) -> list[SpecFault]:
        routes = enumerate(unhurried(spec.routes))
        ports = {f"$.routes[{i}].port": route.port for i, route in routes}
        return unlinked(spec, ports)

    def __init__(self, spec: RouterSpec, services: Services) -> None:
        self.routes = Routes()
        super().__init__(spec, services)
        for route in unhurried(spec.routes):
            port = canonical(route.port)
            self.routes.add(msgspec.structs.replace(route, port=port))
            self.output(port)

    def open(self) -> None:
        if any(route.raw or route.parse for route in self.spec.routes):
            self.services.keeps_requests = True

    def handle(self, ctx: Context, payload: Any) -> Any:
        if type(payload) is not dict:
            if isinstance(payload, Exception):
                raise payload
            raise InvalidArgument("a router takes a request, a map with method and path")
        method = str(payload.get("method") or "GET")
        found = self.routes.match(method, str(payload.get("path") or "/"))
        if isinstance(found, set):
            return ctx.to("error", unrouted(method, found))
        leaf, texts = found
        process = ctx.reader.process
        if type(process.trace) is Traced:
            process.trace.routed(method, leaf.path)
        while process.parent is not None:
            process = process.parent
        process.route = leaf.path  # what the request is counted under
        added: dict[str, Any] = {
            "params": dict(zip(leaf.names, texts, strict=True)) if texts else {}
        }
        if leaf.raw:
            received: Received | None = ctx.process.data.get(Received)
            if received is not None:
                added["raw"] = raw_body(received.request)
        if leaf.parsing is not None and payload.get("body") is not None:
            try:
                added["body"] = self._parsed(ctx, payload, leaf.parsing)
            except InvalidArgument as error:
                if self.error.leads(ctx.process.generation):
                    raise
                said, path = str(payload.get("method")), str(payload.get("path"))
                tell_refused(_log, self, said, path, 400, noted(error.__cause__ or error))
                return ctx.to("error", {"status": 400, "body": STATUS_TEXT[400]})
        return new_send((self.out_ports[leaf.port], payload | added))

    def _parsed(self, ctx: Context, payload: dict[str, Any], parsing: Parsing) -> Any:
        """The body as a value of the format that the route says. Raises InvalidArgument."""
        options = parsing.options()
        body = payload["body"]
        received: Received | None = ctx.process.data.get(Received)
        if received is not None and body is received.payload.get("body"):
            # The bytes that came: what the listener made of them was by their Content-Type.
            body, charset = sent_body(received.request)
            if options.charset is None:
                options = options._replace(charset=charset)
        return parsed(parsing.format, body, options)


def unrouted(method: str, methods: set[str]) -> dict[str, Any]:
    """The payload for a request without a route, given the methods of all routes of its path."""
    if not methods:
        return {"status": 404, "body": STATUS_TEXT[404]}
    allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    header = {"Allow": [", ".join(sorted(allowed))]}
    if method == "OPTIONS":
        return {"status": 204, "header": header}
    return {"status": 405, "header": header, "body": STATUS_TEXT[405]}
