"""Workflows under test: specs of files or lists, run in memory and asked.

Lives here: `flow` and Flow. The nodes are real, the listeners are real and answer over real
sockets; only what a test names is replaced. What a flow started has to be gone when it ends.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.client import HTTPConnection, HTTPMessage
from os import PathLike
from typing import Any, NamedTuple

import gevent
import gevent.event
import gevent.socket
import gevent.ssl

from greenflow.config import Settings
from greenflow.engine.origin import name_of
from greenflow.engine.process import Process
from greenflow.engine.source import sources_of
from greenflow.errors import Inactive
from greenflow.hub.clock import Clock
from greenflow.log.secret import conceal, concealed
from greenflow.net import mime
from greenflow.net.url import parse_url
from greenflow.nodes.listener import Listener
from greenflow.nodes.test import Test, TestVerdict
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import check, read_files
from greenflow.spec.document import Document, read
from greenflow.table.symbol import Symbol
from greenflow.table.table import Table
from greenflow.testing.leaks import Held, LeftBehind
from greenflow.testing.observing import FlowRecord, ObservingScheme, Passed
from greenflow.testing.outside import NotAllowed, Outside
from greenflow.testing.sources import Sources, label

SECONDS = 10.0  # after which what a test waits for has failed
GRACE = 5.0  # seconds, for a flow whose settings say nothing: a test that blocks should end soon

Specs = str | PathLike[str] | Mapping[str, Any] | list[Any]


class Response(NamedTuple):
    """What a listener answered; `body` is decoded by its Content-Type, as a node would see it."""

    status: int
    header: HTTPMessage
    body: Any


class NodeTestFailed(AssertionError):
    """A workflow does not do what a `test` node wants; the message has a line for each cause."""


def run_test(runtime: Runtime, node: str, timeout: float, outside: Outside | None = None) -> None:
    """Run a `test` node of a runtime whose nodes are under test. Raises as `Flow.test` does, and
    ReachedOutside first of all."""

    def run() -> TestVerdict:
        symbol = runtime.table.find(node)
        found = symbol.version.node
        if not symbol.active:
            return TestVerdict(Inactive(f"it cannot run: {why_inactive(runtime, node)}"))
        if not isinstance(found, Test):
            raise LookupError(f"node {node!r} is of kind {symbol.version.document['kind']!r}")
        return found.run(timeout)

    try:
        with nullcontext() if outside is None else outside.breaking():
            verdict = runtime.run(run)
    finally:
        if outside is not None:
            outside.look()
    if verdict.error is not None:
        # What is a secret is only known while the runtime runs.
        raise NodeTestFailed(conceal("\n".join(verdict.reasons()))) from concealed(verdict.error)


def why_inactive(runtime: Runtime, node: str) -> str:
    """Why a node cannot run, a line for each node behind it that cannot; empty if it can."""
    symbol = runtime.table.find(node)
    return "" if symbol.active else "\n".join(_reasons(runtime.table, symbol))


def _reasons(table: Table, symbol: Symbol) -> Iterator[str]:
    """Why a symbol is inactive; where that is another one that it leads to, why that is, too."""
    yield symbol.reason
    told: set[str] = set()
    following: Symbol | None = symbol
    while following is not None:
        told.add(following.id)
        targets = [table.target(link) for _, link in following.version.links()]
        following = next(
            (one for one in targets if one and not one.active and one.id not in told), None
        )
        if following is not None:
            yield f"{following.name or following.id}: {following.reason}"


class Flow:
    """A workflow that runs, and what passed its nodes."""

    def __init__(
        self,
        runtime: Runtime,
        record: FlowRecord,
        sources: Sources | None = None,
        outside: Outside | None = None,
    ) -> None:
        self.runtime, self._record, self._sources = runtime, record, sources
        self._outside = outside

    def call(
        self, node: str, payload: Any = None, *, port: str = "in", timeout: float = SECONDS
    ) -> Any:
        """Send a payload to a node and return its answer, as `Runtime.call` does. To a source
        without in ports it is sent as an event of the source, which need not have begun."""
        with self._asking():
            return self.runtime.call(node, payload, port=port, timeout=timeout)

    def start(
        self, node: str, payload: Any = None, *, port: str = "in"
    ) -> gevent.Greenlet[..., Any]:
        """`call` in a greenlet of its own; its `get` returns the answer."""
        return gevent.spawn(self.call, node, payload, port=port)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        header: Mapping[str, str] | None = None,
        *,
        listener: str | None = None,
        timeout: float = SECONDS,
    ) -> Response:
        """Ask a listener over its socket: the one of that name, or the only one there is. It begins
        to listen if it has not.

        A body of bytes or text is sent as it is, any other as JSON. Redirects are not followed, and
        certificates not checked. Raises LookupError for no such listener, OSError and HTTPException
        for what a client may meet, TimeoutError.
        """
        headers = dict(header or {})
        if body is not None and not isinstance(body, bytes):
            kind, body, _ = mime.encode(body, None if isinstance(body, str) else mime.JSON)
            headers.setdefault("Content-Type", kind)
        late = TimeoutError(f"no answer within {timeout:g} s")
        with self._asking(), gevent.Timeout(timeout, late):
            connection = self._connect(self._listener(listener))
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                content = response.read()
            finally:
                connection.close()
        decoded = mime.decode(response.headers.get("Content-Type"), content) if content else None
        return Response(response.status, response.headers, decoded)

    def passed(self, node: str, port: str = "in", *, count: int = 0) -> list[Any]:
        """The payloads that entered or left a node by a port, in order; `out`, `error` and the like
        are out ports. Waits until there are `count`, or raises AssertionError.

        A node without a name goes by its kind. Raises LookupError for an unknown node.
        """
        return self._record.wait(node, port, count, SECONDS)

    def test(self, node: str, timeout: float = SECONDS) -> None:
        """Run a `test` node, by name or id. Raises NodeTestFailed, an AssertionError with a line
        for each cause, and LookupError for what is no such node."""
        run_test(self.runtime, node, timeout, self._outside)

    @property
    def record(self) -> list[Passed]:
        """Everything that passed, in order: node, port, payload, process."""
        return list(self._record.passed)

    def forget(self) -> None:
        """Leave out of `passed` and `record` what has passed so far."""
        self._record.forget()

    @property
    def reached(self) -> list[NotAllowed]:
        """The errors of packets that came to nodes which `allow` does not name, one for each."""
        return [] if self._outside is None else list(self._outside.reached)

    def settle(self, timeout: float = SECONDS) -> None:
        """Wait until no process runs, also none that `fork` left behind. Raises AssertionError."""
        processes = self.runtime.services.processes
        late = AssertionError(f"processes still run after {timeout:g} s: {processes}")
        with gevent.Timeout(timeout, late):
            while processes:
                one_less = gevent.event.Event()
                for process in list(processes):
                    process.on_exit(one_less.set)
                one_less.wait()

    def _asking(self) -> AbstractContextManager[None]:
        return nullcontext() if self._outside is None else self._outside.breaking()

    def _listener(self, name: str | None) -> Listener:
        found = {
            name_of(source): source
            for symbol in self.runtime.table.symbols.values()
            if symbol.version.node is not None
            for source in sources_of(symbol.version.node)
            if isinstance(source, Listener)
        }
        if name is None and len(found) == 1:
            name = next(iter(found))
        if name not in found:
            raise LookupError(f"which listener? There are {', '.join(found) or 'none'}")
        if self._sources is not None:
            self._sources.begin(label(found[name].spec))
        return found[name]

    def _connect(self, listener: Listener) -> HTTPConnection:
        url = parse_url(listener.address)
        connection = HTTPConnection(url.host, url.port)
        sock: Any = gevent.socket.create_connection((url.host, url.port))
        if url.scheme == "https":
            context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, gevent.ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        connection.sock = sock
        return connection


@contextmanager
def flow(
    specs: Specs,
    replace: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    seed: int | None = None,
    scheme: Scheme | None = None,
    values: Mapping[str, Any] | None = None,
    leaks: bool = True,
    allow: Collection[str] | None = None,
    sources: Collection[str] | None = None,
) -> Iterator[Flow]:
    """Run specs in memory until the block ends.

    `specs` is the path of a file or folder, a YAML text (of several lines), a spec, or a list of
    those. `replace` maps names of nodes, also in blocks, to what they do instead: a function of the
    payload, an error to raise, an answer, or a `sequence` of those; they keep their ports and
    links. `clock` is what the nodes wait by, and tells CEL the time; with `seed` its `uuid()` gives
    the same in each run; `values` maps names of values to their data. Listeners
    open a free port of 127.0.0.1.

    `allow` names the nodes that may reach outside, such as `http`, `sql` and `python` nodes. A
    packet that comes to another one is NotAllowed, which `call` and `request` raise, and an error
    of the flow, whatever the workflow makes of it.
    `sources` names those that begin by themselves, such as schedules; a listener then listens once
    it is asked. Without them every node may, and every source begins, as elsewhere.

    Raises Faulty with every fault of the specs, Inactive when a node cannot run, also for being of
    another namespace than the settings', LookupError for a node to be replaced, or a source,
    that is not there, ReachedOutside at the end for what `allow` does not name. With
    `leaks`, LeftBehind when greenlets, descriptors, threads or processes of the block are there
    after its end.
    """
    gevent.get_hub()  # where there is one, a runtime lives on it: tests and nodes take turns
    before = Held.now() if leaks else None
    record = FlowRecord()
    outside = None if allow is None else Outside(allow)
    held = None if sources is None else Sources(sources)
    settings = settings or Settings(grace=GRACE)
    chosen = ObservingScheme(
        scheme or Scheme.installed(compat=settings.compat),
        record,
        replace or {},
        sources=held,
        outside=outside,
    )
    documents = _documents(specs, chosen, settings.namespace)
    strange = sorted({document["namespace"] for document in documents} - {settings.namespace})
    if strange:
        reason = f"{', '.join(strange)}; the flow runs {settings.namespace!r}"
        raise Inactive(f"specs of other namespaces are not run: {reason}")
    runtime = Runtime(
        "memory://",
        specs=documents,
        values=[{"name": name, "data": data} for name, data in (values or {}).items()],
        settings=settings,
        scheme=chosen,
        clock=clock,
        seed=seed,
    )
    with runtime:
        _require(runtime, chosen, outside)
        if held is not None:
            _begin(held)
        yield Flow(runtime, record, held, outside)
        live = list(runtime.services.processes)
        for process in live:
            live.extend(process.children)
    if outside is not None:
        outside.look()
    if before is not None:
        _look_for_leaks(before, live)


def _look_for_leaks(before: Held, processes: list[Process]) -> None:
    """Raises LeftBehind for what is there after the end, and for processes that had to be ended."""
    ended = sum(process.error is not None for process in processes)
    found = [f"{ended} process(es) did not end within the grace"] if ended else []
    if (more := before.left()) is not None:
        found.append(f"left behind: {more}")
    if found:
        raise LeftBehind("the flow is over, but " + "; ".join(found))


def _documents(specs: Specs, scheme: Scheme, namespace: str) -> list[dict[str, Any]]:
    documents: list[Document] = []
    data: list[dict[str, Any]] = []
    for one in specs if isinstance(specs, list) else [specs]:
        if isinstance(one, str) and "\n" in one:
            documents += read(one, "specs")
        elif isinstance(one, str | PathLike):
            documents += read_files([os.fspath(one)])
        else:
            data.append(scheme.validate(scheme.translated(dict(one)).data, namespace))
    return [entry.data for entry in check(documents, scheme, namespace, named=False)] + data


def _begin(sources: Sources) -> None:
    """Raises LookupError for those that are not there."""
    if missing := sources.unknown():
        raise LookupError(f"no source is called {', '.join(map(repr, missing))}")
    sources.open()


def _require(runtime: Runtime, scheme: ObservingScheme, outside: Outside | None) -> None:
    if outside is not None:
        outside.look()  # what a node did as it was loaded
    inactive = [
        f"{status['name'] or status['id']}: {status['reason']}"
        for status in runtime.status()
        if not status["active"]
    ]
    if inactive:
        raise Inactive("not every node is active: " + "; ".join(inactive))
    if missing := scheme.missing():
        raise LookupError(f"no node to replace is called {', '.join(map(repr, missing))}")
