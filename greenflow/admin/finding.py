"""Finding what a request names.

Lives here: nodes, by name or id.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from greenflow.admin.engine import Engine
from greenflow.admin.problem import Problem
from greenflow.errors import Inactive
from greenflow.table.symbol import Symbol

NodeName = Annotated[str, Meta(min_length=1, description="name or id of a node")]


def find_node(engine: Engine, name: str) -> Symbol:
    """The node of that name or id. Raises Problem."""
    try:
        return engine.table.find(name)
    except Inactive as error:
        raise Problem(404, str(error)) from None
