"""What state a node is in, in one word, and whether a source works.

Lives here: that one rule, which lists, health and commands share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from greenflow.engine.services import Services
from greenflow.engine.source import Source
from greenflow.errors import GreenflowError
from greenflow.table.symbol import STARTED, Symbol
from greenflow.table.table import Table

State = Literal["active", "starting", "paused", "refused", "inactive"]
"""`active`: it works as its newest version says. `refused`: an older version works, as the newest
could not. `paused`: a source that was told to begin nothing. `starting`: its `init` goes on.
`inactive`: it does not work, and `reason` says why."""


def state_of(symbol: Symbol, services: Services) -> State:
    """The state of one node."""
    if symbol.version.waiting:
        return "starting"
    if not symbol.active:
        return "inactive"
    if symbol.id in services.paused:
        return "paused"
    return "refused" if symbol.pending is not None else "active"


def name_in(symbol: Symbol) -> str:
    """What a person calls it."""
    return symbol.name or symbol.id


def kind_of(symbol: Symbol) -> str:
    """Its kind; whatever stands there in a spec that is wrong."""
    return str(symbol.version.document.get("kind"))


def is_listening(symbol: Symbol) -> bool:
    """Whether a source has begun: it takes events."""
    return symbol.active and symbol.version.reached >= STARTED


def source_kinds(table: Table) -> Callable[[Symbol], bool]:
    """What tells whether a node of a table is a source, or would be if it worked."""
    compiler: Any = table.services.compiler
    known: dict[str, bool] = {}

    def is_source(symbol: Symbol) -> bool:
        kind = kind_of(symbol)
        if kind not in known:
            try:
                known[kind] = issubclass(cast(type, compiler.node_type(kind)), Source)
            except (LookupError, GreenflowError):
                known[kind] = False  # nobody knows what it would be; its reason says so
        return known[kind]

    return is_source
