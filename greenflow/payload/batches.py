"""Large payloads written in batches, so that others run in between.

Lives here: `is_large`, `encoded` and `depth`. How one batch is written is the caller's.

An encoder of C writes a payload in one call, which holds the hub: 8 MiB of records took 150 ms. So
a list or map that is large is written a few items at a time, and what is large in it likewise.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from greenflow.hub.breathing import Breath, unhurried

#: Items, with keys, at any depth, from which on a payload is large: 100 us for the encoder. Each
#: level of a payload has one, so nothing that is not large goes deeper than Python can.
LARGE = 512

#: Items that are written in one go, and looked at before: none of them is large.
BATCH = 64


def is_large(payload: Any) -> bool:
    """Whether it has so many items that others should run while work is done on it."""
    # At the speed of C, for each call of a snippet asks. An error, too, refers to this and that, so
    # one that is in it may make it large, which does no harm.
    level, count = [payload], 0
    while level := gc.get_referents(*level):
        count += len(level)
        if count > LARGE:
            return True
    return False


def encoded(payload: Any, encode: Callable[[Any], str]) -> str:
    """The JSON text of a payload; `encode` is that of a part of it, without blanks between items.
    Lets others run. Raises what `encode` raises, RecursionError for a cycle."""
    pieces: list[str] = []
    _write(payload, encode, pieces, Breath())
    return "".join(pieces)


def _write(payload: Any, encode: Callable[[Any], str], pieces: list[str], breath: Breath) -> None:
    kind = type(payload)
    if kind is not dict and kind is not list:
        pieces.append(encode(payload))
        return
    items = list(payload.items()) if kind is dict else payload
    comma = ""
    for start in range(0, len(items), BATCH):
        batch = items[start : start + BATCH]
        if any(is_large(item[1] if kind is dict else item) for item in batch):
            for item in batch:
                pieces.append(comma or "{["[kind is list])
                if kind is dict:
                    pieces.append(encode({item[0]: None})[1:-5])
                _write(item[1] if kind is dict else item, encode, pieces, breath)
                comma = ","
        else:
            pieces.append(comma or "{["[kind is list])
            pieces.append(encode(kind(batch))[1:-1])
            comma = ","
        breath.take()
    pieces.append("}]"[kind is list] if items else encode(payload))


def depth(payload: Any, most: int) -> int:
    """How deep lists and maps are nested in it; no more than one beyond `most` is looked at. Lets
    others run."""
    level = [payload] if type(payload) is dict or type(payload) is list else []
    for found in range(most + 1):
        if not level:
            return found
        level = [
            child
            for item in unhurried(level)
            for child in (item.values() if type(item) is dict else item)
            if type(child) is dict or type(child) is list
        ]
    return most + 1
