"""Lists in pages: the next one is asked for with the cursor that the last one gave.

Lives here: the parameters of a page, and what makes one. A cursor is the key of the last item,
written so that nobody is tempted to make one; so a list may change between two pages, and what was
there all the time comes once.
"""

from __future__ import annotations

import base64
import heapq
from binascii import Error
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from greenflow.admin.bounds import MOST, USUAL
from greenflow.admin.problem import Problem

#: Characters of a cursor: a name of a node is not longer.
LONGEST = 2000

NO_CURSOR = "this is no cursor of this list: begin without one"

T = TypeVar("T")
K = TypeVar("K", str, int)

Limit = Annotated[int, Meta(ge=1, le=MOST, description="items of the page, at most")]
Cursor = Annotated[
    str, Meta(max_length=LONGEST, description="`next` of the page before; none: the first page")
]


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which page of a list."""

    limit: Limit = USUAL
    cursor: Cursor = ""


def page(
    keys: Iterable[K], key_type: type[K], query: PageQuery, find: Callable[[K], T]
) -> tuple[list[T], str | None]:
    """The items of a page, found by their keys in order, and the cursor of the next one."""
    if query.cursor:
        after = read(query.cursor, key_type)
        keys = (key for key in keys if key > after)
    found = heapq.nsmallest(query.limit + 1, keys)
    items = [find(key) for key in found[: query.limit]]
    return items, write(found[query.limit - 1]) if len(found) > query.limit else None


def write(key: str | int) -> str:
    """The cursor behind that key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def read(cursor: str, key_type: type[K]) -> K:
    """The key of a cursor. Raises Problem."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=key_type)
    except (Error, ValueError, msgspec.MsgspecError):
        raise Problem(400, NO_CURSOR) from None
