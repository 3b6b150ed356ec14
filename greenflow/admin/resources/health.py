"""`/healthz` and `/readyz`: whether the hub turns, and whether work should be sent here.

Lives here: what ready means. An orchestrator restarts what is not healthy, and sends no work to
what is not ready; so nothing that waits for others, such as a store that is away while workflows
run on, makes the first one fail. A node that somebody paused is not waited for: to take its
listener out of service, ask for that one.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from greenflow.admin.declaring import Given, get
from greenflow.admin.engine import Engine
from greenflow.admin.finding import find_node
from greenflow.admin.states import is_listening, name_in, state_of


class Health(msgspec.Struct):
    """The hub turns: it answered."""

    status: str = "ok"


class ReadyQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How much is told."""

    verbose: Annotated[str, Meta(description="say what is missing")] | None = None


class Readiness(msgspec.Struct, omit_defaults=True):
    """Whether work should be sent here; `missing` says what is in the way, if that was asked."""

    ready: bool
    missing: list[str] = []


@get("/healthz", is_open=True)
def healthz(engine: Engine) -> Health:
    """Whether the engine is alive: its hub turns."""
    return Health()


@get("/readyz", statuses=(200, 503), is_open=True)
def readyz(engine: Engine, query: ReadyQuery) -> Given[Readiness]:
    """Whether the engine should get work: its store is followed, all wanted sources listen, and it
    does not drain."""
    return _told(missing_of(engine), query)


@get("/readyz/{source}", statuses=(200, 503), problems=(404,), is_open=True)
def ready_source(
    engine: Engine,
    source: Annotated[str, Meta(description="name or id of a source")],
    query: ReadyQuery,
) -> Given[Readiness]:
    """Whether one source should get work: it listens, and is not paused."""
    missing = _of_engine(engine)
    if engine.running is not None:
        symbol = find_node(engine, source)
        state = state_of(symbol, engine.services)
        if state == "paused" or not is_listening(symbol):
            missing.append(f"{name_in(symbol)} is {state}: {symbol.reason or 'by hand'}")
    return _told(missing, query)


def missing_of(engine: Engine) -> list[str]:
    """What is in the way of being ready."""
    missing = _of_engine(engine)
    if engine.running is None:
        return missing
    return missing + engine.glances.at(*engine.running).missing


def _of_engine(engine: Engine) -> list[str]:
    missing = []
    if engine.is_leaving:
        missing.append("the engine has been told to end")
    elif engine.is_draining:
        missing.append("the engine drains")
    elif engine.running is None:
        missing.append("the engine does not run")
    elif not engine.is_followed:
        missing.append("the store is away")
    return missing


def _told(missing: list[str], query: ReadyQuery) -> Given[Readiness]:
    told = missing if query.verbose is not None else []
    return Given(503 if missing else 200, Readiness(not missing, told))
