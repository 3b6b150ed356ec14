"""Payloads as the engine sends them to workers and has them from there: large ones in pieces.

Lives here: what needs the hub, and so is none of wire.py, which the workers have, too. What stands
on the wire is wire.py's. Pickles are paced there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from greenflow.payload.batches import encoded, is_large
from greenflow.payload.large import LARGE_BYTES, loads_in_turns
from greenflow.python import wire


def encode(payload: Any, serialize: str) -> bytes:
    """A payload as bytes. Lets others run. Raises InvalidArgument for what cannot travel so."""
    if serialize == "json" and is_large(payload):
        return encoded(payload, partial(wire.encode, serialize=serialize))
    return wire.encode(payload, serialize)


def decode(data: bytes, serialize: str) -> Any:
    """The payload that was encoded. Lets others run. Raises InvalidArgument."""
    if serialize == "json" and len(data) >= LARGE_BYTES:
        return loads_in_turns(data, limited=False)
    return wire.decode(data, serialize)
