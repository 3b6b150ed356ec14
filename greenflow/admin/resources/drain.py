"""`/api/v1/drain`: the end of new work, while what is under way goes on."""

from __future__ import annotations

import msgspec

from greenflow.admin.declaring import post
from greenflow.admin.engine import Engine
from greenflow.admin.resources.sources import NoBody


class DrainingEngine(msgspec.Struct):
    """The engine drains; it does not begin again."""

    draining: bool = True


@post("/api/v1/drain", statuses=(202,), problems=(409,))
def drain(engine: Engine, body: NoBody) -> DrainingEngine:
    """Stop the sources for good, refuse calls, and let what is under way end, within the grace. The
    engine stays, and is not ready: stop it by a signal."""
    if not engine.is_draining:
        engine.services  # noqa: B018 - it runs
        engine.drain()
    return DrainingEngine()
