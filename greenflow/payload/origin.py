"""Where an error arose, kept by the error itself (BEHAVIOUR 5.12).

Lives here: Origin, how an error is given one and asked for it, and what code may see of an error.
Who knows that an error has arisen is the engine (engine/origin.py).

It is an attribute of the error, for an error is handed on by many: links, groups, causes,
languages. For Python code its parts are attributes of their own, except where the error's class has
something else by that name.
"""

from __future__ import annotations

from typing import Any, Final

_ATTRIBUTE: Final = "_greenflow_origin"

#: What code sees of an error, in each language (BEHAVIOUR 5.12).
FIELDS: Final = ("message", "node", "kind", "at", "input", "cause")


class Origin:
    """The name of a node, its kind, where its spec stands, the payload that it was given, and the
    number of the process. Plain values: an error may outlive its node."""

    __slots__ = ("at", "attributes", "input", "kind", "node", "process_id")

    def __init__(self, node: str, kind: str, at: str, input: Any, process_id: int = 0) -> None:
        self.node, self.kind, self.at = node, kind, at
        self.input, self.process_id = input, process_id
        self.attributes: tuple[str, ...] = ()  # those of the error that tell of it

    def __reduce__(self) -> tuple[Any, ...]:
        # A payload may hold what cannot be copied, such as a stream.
        return Origin, (self.node, self.kind, self.at, None, self.process_id)

    def __repr__(self) -> str:
        return f"<Origin {self.node} at {self.at}>"


def mark(error: BaseException, origin: Origin) -> None:
    """The error arose there; what an earlier mark said is forgotten."""
    attributes = error.__dict__
    before: Origin | None = attributes.get(_ATTRIBUTE)
    origin.attributes = tuple(
        field
        for field in FIELDS
        if (before is not None and field in before.attributes) or not hasattr(error, field)
    )
    attributes[_ATTRIBUTE] = origin
    told = shown(error)
    for field in origin.attributes:
        attributes[field] = told[field]


def own_origin(error: BaseException) -> Origin | None:
    """Where it arose; None for a group that was put together of several."""
    origin: Origin | None = error.__dict__.get(_ATTRIBUTE)
    return origin


def origin_of(error: BaseException) -> Origin | None:
    """Where it arose; of a group, where the first of its members did that knows."""
    pending = [error]
    while pending:
        error = pending.pop()
        origin = own_origin(error)
        if origin is not None:
            return origin
        if isinstance(error, BaseExceptionGroup):
            pending.extend(reversed(error.exceptions))
    return None


def shown(error: BaseException) -> dict[str, Any]:
    """What code sees of an error, by the names of FIELDS; None where nothing is known."""
    origin = origin_of(error)
    told: dict[str, Any] = {"message": _text(error), "cause": error.__cause__}
    for field in ("node", "kind", "at", "input"):
        told[field] = None if origin is None else getattr(origin, field)
    return told


def _text(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return error.message
    try:
        return str(error)
    except Exception as broken:  # the text of an error of others is code of others
        return f"{type(error).__qualname__}, whose text cannot be had: {type(broken).__qualname__}"
