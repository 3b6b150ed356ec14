"""Which node an error arose in, and what a person calls that node (BEHAVIOUR 5.12).

Lives here: the name and the place of a node, and the marking of errors. What an error keeps of it
is payload/origin.py's; who marks is node.py, packet.py and data.py, who tells is source.py.

An error is marked when it becomes the answer of a packet. A packet that succeeds never comes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenflow.errors import SpecFault
from greenflow.payload.origin import Origin, mark, own_origin

if TYPE_CHECKING:
    from collections.abc import Callable

    Locate = Callable[[str, str], str | None]


def name_of(node: Any) -> str:
    """What a person calls a node, with its way through the blocks around it: `prices > check`. A
    sub-node without a name is called by its place: `$0`."""
    spec = node.spec
    names: list[str] = []
    while node.within is not None:
        names.append(spec.name or f"${node.place_within}")
        node = node.within
        spec = node.spec
    names.append(spec.name or spec.id)
    return " > ".join(reversed(names)) if len(names) > 1 else names[0]


def identity_of(node: Any) -> str:
    """The id of a node in its runtime; of a sub-node the way to it, for it has none."""
    if node.within is None:
        return str(node.spec.id)
    return f"{identity_of(node.within)}.{node.spec.name or f'${node.place_within}'}"


def place_of(node: Any) -> str:
    """Where the spec of a node stands: `file:line:column`, or its id and revision. Of one that a
    template brought, its place there, and that of each use around it."""
    path, places = "", []
    while node.within is not None:
        path = f".specs[{node.place_within}]{path}"
        node = node.within
        if node.written_in is not None:
            template = node.written_in
            id = template.document["id"]
            places.append(place_in(node.services.locate, id, template.revision, f"${path}"))
            path = ""
    places.append(place_in(node.services.locate, node.spec.id, node.revision, f"${path}"))
    return ", used at ".join(places)


def place_in(locate: Locate | None, id: str, revision: int, path: str) -> str:
    """Where a path in a spec stands, as far as that is known."""
    place = None if locate is None else locate(id, path)
    return place or f"{id} revision {revision}{f' {path}' if path != '$' else ''}"


def located_in(
    locate: Locate | None, id: str, revision: int, fault: SpecFault
) -> tuple[str, SpecFault]:
    """Where a fault of a spec stands, and what is to be said there."""
    place = None if locate is None else locate(id, fault.path)
    return place or f"{id} revision {revision}", fault


def blame(error: BaseException, node: Any, payload: Any = None, process_id: int = 0) -> None:
    """The error arose in that node, which was given that payload."""
    origin = Origin(name_of(node), node.spec.kind, place_of(node), payload, process_id)
    mark(error, origin)


def arose_here(error: BaseException, payload: Any, process_id: int) -> bool:
    """Whether what left a handler arose in it: not if it is the error that the handler was given,
    or one that arose deeper in the same process. An error object that is raised again and again,
    as one of a module, has the mark of another process."""
    origin = own_origin(error)
    return origin is None or (error is not payload and origin.process_id != process_id)
