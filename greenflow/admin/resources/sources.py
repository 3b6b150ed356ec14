"""Hands for one node: pause and resume a source, run a schedule now, call a node.

Lives here: what may be asked of which node. How a source holds what comes is its kind's
(engine/source.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from greenflow.admin.declaring import post
from greenflow.admin.engine import Engine
from greenflow.admin.finding import NodeName, find_node
from greenflow.admin.problem import Problem
from greenflow.admin.resources.nodes import NodeState, shown
from greenflow.engine.source import Source
from greenflow.errors import Inactive, messages
from greenflow.log.secret import conceal
from greenflow.payload.json import dumps, loads
from greenflow.payload.origin import origin_of
from greenflow.payload.stream import plain_bytes
from greenflow.table.symbol import Symbol

#: Bytes of an answer of a node.
MOST_ANSWER = 8 * 1024 * 1024

#: Seconds that a call has, unless it says otherwise, and at most.
TIMEOUT, LONGEST_TIMEOUT = 30.0, 3600.0


class NoBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing need be said: `{}`."""


class CallOrder(msgspec.Struct, forbid_unknown_fields=True):
    """A payload for a node."""

    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    port: Annotated[str, Meta(min_length=1, description="in port of the node")] = "in"
    timeout: Annotated[float, Meta(gt=0, le=LONGEST_TIMEOUT, description="seconds it has")] = (
        TIMEOUT
    )


class CallAnswer(msgspec.Struct):
    """What a node answered: `answer`, or in `error` why not, and `node` and `at` where that arose.
    `timed_out`: it did not answer in time, and its process has been ended."""

    outcome: Literal["answered", "failed", "timed_out"]
    answer: Any = None
    error: str | None = None
    node: str | None = None
    at: str | None = None


@post("/api/v1/nodes/{name}/pause", problems=(404, 409))
def pause(engine: Engine, name: NodeName, body: NoBody) -> NodeState:
    """Have a source begin nothing until it is resumed, edits of it too: a listener answers 503 with
    Retry-After, schedules, triggers and watches hold. What is under way goes on."""
    symbol, source = _source(engine, name)
    if not source.can_pause:
        raise Problem(409, f"a {source.spec.kind} cannot be paused")
    engine.services.paused.add(symbol.id)
    engine.glances.forget()
    if not source.paused:
        source.pause()
    return shown(symbol, engine.services)


@post("/api/v1/nodes/{name}/resume", problems=(404, 409))
def resume(engine: Engine, name: NodeName, body: NoBody) -> NodeState:
    """Have a paused source go on."""
    symbol, source = _source(engine, name)
    engine.services.paused.discard(symbol.id)
    engine.glances.forget()
    if source.paused:
        source.resume()
    return shown(symbol, engine.services)


@post("/api/v1/nodes/{name}/run", statuses=(202,), problems=(404, 409))
def run(engine: Engine, name: NodeName, body: NoBody) -> NodeState:
    """Begin a run of a schedule now, also while it is paused; it counts as one of its runs."""
    symbol, source = _source(engine, name)
    if not symbol.active:
        raise Problem(409, f"{name!r} is inactive: {symbol.reason}")
    reason = source.begin_now()
    if reason:
        raise Problem(409, f"{name!r}: {reason}")
    return shown(symbol, engine.services)


@post("/api/v1/nodes/{name}/call", problems=(404, 409))
def call(engine: Engine, name: NodeName, body: CallOrder) -> CallAnswer:
    """Send a payload to a node, in a process of its own, and return what it answers. To a source
    without in ports it is sent as an event of it."""
    find_node(engine, name)
    if engine.is_draining:
        raise Problem(409, "the engine drains: it takes no more calls")
    payload = loads(bytes(body.payload)) if isinstance(body.payload, msgspec.Raw) else None
    return called(engine, name, payload, body.port, body.timeout)


def called(engine: Engine, node: str, payload: Any, port: str, timeout: float) -> CallAnswer:
    """What a node answers. Raises Inactive, and Problem for an answer that is too large."""
    try:
        answer = engine.call(node, payload, port, timeout)
    except Inactive:
        raise
    except TimeoutError as error:
        return CallAnswer("timed_out", error=str(error))
    except Exception as error:
        origin = origin_of(error)
        told = ", because of ".join(dict.fromkeys(messages(error))) or type(error).__name__
        where = (None, None) if origin is None else (origin.node, origin.at)
        return CallAnswer("failed", None, conceal(told), *where)
    content = dumps(plain_bytes(answer))
    if len(content) > MOST_ANSWER:
        raise Problem(409, f"the answer has {len(content):,} bytes: {MOST_ANSWER:,} at most")
    return CallAnswer("answered", msgspec.Raw(content))


def _source(engine: Engine, name: str) -> tuple[Symbol, Source[Any]]:
    symbol = find_node(engine, name)
    node = symbol.version.node
    if not isinstance(node, Source):
        reason = f": {symbol.reason}" if node is None else ""
        raise Problem(409, f"{name!r} is no source that runs{reason}")
    return symbol, node
