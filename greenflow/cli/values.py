"""Values on the command line: `{id, namespace, name, annotations, data}` (BEHAVIOUR 16.1).

Lives here: their check, and what of them may be shown.
"""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

from msgspec import Meta, Struct

from greenflow.errors import SpecFault, SpecInvalid
from greenflow.log import MASK
from greenflow.spec import decode


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named piece of data that specs refer to."""

    id: Annotated[str, Meta(min_length=1, description="unique; made when it is left out")] = ""
    namespace: Annotated[str, Meta(min_length=1, description="where it is known")] = "default"
    name: Annotated[str | None, Meta(min_length=1, description="unique in its namespace")] = None
    annotations: Annotated[dict[str, Any], Meta(description="notes, without effect")] = {}
    data: Annotated[Any, Meta(description="what templates see")] = None


class Values:
    """Checks values as a Scheme checks specs."""

    def validate(self, document: Any, namespace: str) -> dict[str, Any]:
        """The value as it is to be stored. Raises SpecInvalid."""
        decode(Value, document, "$", _no_spec)
        return {**document, "namespace": document.get("namespace") or namespace}


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """A value as it may be printed: its data may be a secret (BEHAVIOUR 16.6)."""
    return {**document, "data": MASK} if "data" in document else document


def _no_spec(document: Any, path: str) -> NoReturn:
    raise SpecInvalid([SpecFault(path, "a value holds no specs")])
