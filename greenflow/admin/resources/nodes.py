"""`/api/v1/nodes`: the nodes of the engine, their states and reasons."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from greenflow.admin.declaring import get
from greenflow.admin.engine import Engine
from greenflow.admin.finding import NodeName, find_node
from greenflow.admin.paging import PageQuery, page
from greenflow.admin.states import State, kind_of, name_in, state_of
from greenflow.engine.services import Services
from greenflow.engine.source import Source
from greenflow.engine.tally import Tally
from greenflow.hub.breathing import unhurried
from greenflow.log.secret import conceal
from greenflow.table.symbol import Symbol


class NodeState(msgspec.Struct):
    """A node. `revision` is the newest that was looked at, `running` the one that works, if there
    is one; `in_flight` counts packets, and of a source the processes that are not answered. Over
    all its versions: `packets` it has handled, or of a source the processes that it began; `errors`
    that arose in it, or of a source that nobody took; `p50` and `p99`, the seconds within which it
    did half, and 99 of 100, of those that were timed."""

    id: str
    name: str | None
    kind: str
    state: State
    reason: str
    revision: int
    running: int | None
    is_source: bool
    in_flight: int
    packets: int
    errors: int
    p50: float | None
    p99: float | None


class NodeDetail(NodeState):
    """A node, with where its spec stands, what it links to, and who links to it counts."""

    at: str | None
    links: dict[str, list[str]]
    links_in: int


class NodesQuery(PageQuery, forbid_unknown_fields=True, frozen=True):
    """Which nodes."""

    state: Annotated[State | None, Meta(description="only those in this state")] = None
    kind: Annotated[str | None, Meta(description="only those of this kind")] = None


class NodesPage(msgspec.Struct):
    """A part of all nodes, by id; `next` is the cursor of the next one, if there is one."""

    items: list[NodeState]
    next: str | None


@get("/api/v1/nodes", problems=(409,))
def nodes(engine: Engine, query: NodesQuery) -> NodesPage:
    """The nodes, by id, in pages."""
    table, services = engine.table, engine.services
    ids = list(table.symbols)
    if query.state is not None or query.kind is not None:
        ids = [
            symbol.id
            for symbol in unhurried(list(table.symbols.values()))
            if query.kind in (None, kind_of(symbol))
            and query.state in (None, state_of(symbol, services))
        ]
    found, after = page(ids, str, query, table.symbols.get)
    items = [shown(symbol, services) for symbol in unhurried(found) if symbol is not None]
    return NodesPage(items, after)


@get("/api/v1/nodes/{name}", problems=(404, 409))
def node(engine: Engine, name: NodeName) -> NodeDetail:
    """One node, by name or id."""
    symbol = find_node(engine, name)
    links: dict[str, list[str]] = {}
    for port, link in symbol.version.links():
        links.setdefault(port, []).append(link.name or link.id or "")
    running = symbol.version.node
    locate = engine.services.locate
    return NodeDetail(
        **msgspec.structs.asdict(shown(symbol, engine.services)),
        at=None if locate is None else locate(symbol.id, "$"),
        links=links,
        links_in=0 if running is None else sum(port.linked for port in running.in_ports.values()),
    )


def shown(symbol: Symbol, services: Services) -> NodeState:
    """What a list says of a node."""
    running = symbol.version.node
    counted = symbol.counted()
    own = counted.get((name_in(symbol), kind_of(symbol))) or Tally()
    latency = own.latency
    errors = sum(part.errors + part.failed for part in counted.values())  # those of its parts, too
    return NodeState(
        symbol.id,
        symbol.name,
        kind_of(symbol),
        state_of(symbol, services),
        conceal(symbol.reason),
        symbol.revision,
        symbol.version.revision if symbol.active else None,
        isinstance(running, Source),
        0 if running is None else running.in_flight,
        own.packets + own.begun,
        errors,
        None if latency is None else latency.quantile(0.5),
        None if latency is None else latency.quantile(0.99),
    )
