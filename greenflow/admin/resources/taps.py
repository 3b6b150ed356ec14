"""`/api/v1/nodes/{name}/tap`: what passes the ports of a node, as it passes.

Lives here: how a tap (records/tap.py) feeds a stream. It is opened by POST, for the node is
replaced by one that tells, and every packet of it pays.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from greenflow.admin.bounds import LEASE, LONGEST_LEASE
from greenflow.admin.declaring import post
from greenflow.admin.engine import Engine
from greenflow.admin.finding import NodeName, find_node
from greenflow.admin.problem import Problem
from greenflow.admin.streaming import EventStream
from greenflow.errors import CompileFailed
from greenflow.records.tap import MOST_RATE, MOST_TOTAL, RATE, TOTAL, TapPassage

#: Characters of a filter: it is compiled while all others wait.
MOST_FILTER = 4000


class TapOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Of what, and how much."""

    filter: Annotated[
        str, Meta(max_length=MOST_FILTER, description="CEL: only payloads (`self`) it is true of")
    ] = ""
    rate: Annotated[int, Meta(ge=1, le=MOST_RATE, description="passages told in a second")] = RATE
    total: Annotated[int, Meta(ge=1, le=MOST_TOTAL, description="passages told in all")] = TOTAL
    lease: Annotated[
        float, Meta(gt=0, le=LONGEST_LEASE, description="seconds after which the stream ends")
    ] = LEASE


@post("/api/v1/nodes/{name}/tap", problems=(404, 409, 429))
def tap(engine: Engine, name: NodeName, body: TapOrder) -> EventStream[dict[str, Any]]:
    """What passes the ports of a node from now on, one event (`passage`) each: `time`, `node`,
    `way` (`in` or `out`), `port`, number of the `process`, `payload`, and `of` how many in that
    second it is one; each is as likely as any other."""
    symbol = find_node(engine, name)
    stream: EventStream[Any] = EventStream(body.lease)

    def put(passage: TapPassage) -> bool:
        stream.put("passage", passage)
        return not stream.dropped

    try:
        opened = engine.records.tap(
            name,
            put,
            stream.end,
            filter=body.filter,
            rate=body.rate,
            total=body.total,
            lease=body.lease,
        )
    except CompileFailed as error:
        raise Problem(
            409, f"the filter: {error}"
        ) from None  # well-formed, for all JSON Schema says
    except LookupError:
        reason = symbol.reason or "it has stopped"
        raise Problem(409, f"{name!r} does not run: {reason}") from None
    stream.on_end = opened.close
    return stream
