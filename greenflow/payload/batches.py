"""Large payloads written in batches, so that others run in between.

Lives here: `is_large`, `encoded` and `packed`, `in_order` and `depth`. How one batch is written is
the caller's.

An encoder of C writes a payload in one call, which holds the hub: 8 MiB of records took 150 ms. So
a list or map that is large is written a few items at a time, and what is large in it likewise. A
payload does not change meanwhile, as it is a value (value.py).
"""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import Callable, Iterable
from random import sample
from typing import Any, AnyStr, Generic, Protocol, TypeVar

from greenflow.hub.breathing import Breath, unhurried
from greenflow.hub.collector import put_off

C = TypeVar("C", str, int)

#: Items, with keys, at any depth, from which on a payload is large: 100 us for the encoder. Each
#: level of a payload has one, so nothing that is not large goes deeper than Python can.
LARGE = 512

#: Items that are written in one go, and looked at before: none of them is large.
BATCH = 64

#: Items at any depth that a batch may have without a look at each of its own: 1 ms.
LOADED = 4096

#: Values that are sorted in one go: 3 ms.
SORTED = 8192


def is_large(payload: Any) -> bool:
    """Whether it has so many items that others should run while work is done on it."""
    return _has_more(payload, LARGE)


def _has_more(payload: Any, most: int) -> bool:
    # At the speed of C, for each call of a snippet asks. An error, too, refers to this and that, so
    # one that is in it may make it large, which does no harm.
    level, count = [payload], 0
    while level := gc.get_referents(*level):
        count += len(level)
        if count > most:
            return True
    return False


def encoded(payload: Any, encode: Callable[[Any], AnyStr]) -> AnyStr:
    """The JSON text of a payload; `encode` is that of a part of it, without blanks between items.
    Lets others run. Raises what `encode` raises, RecursionError for a cycle."""
    form = _Json(encode)
    return form.nothing.join(_written(payload, form))


def packed(payload: Any, encode: Callable[[Any], bytes], *, ordered: bool = False) -> bytes:
    """The MessagePack of a payload; `encode` is that of a part of it. The keys of its maps are in
    order if they are to be, as they are of `encode`. Lets others run, and raises as `encoded`
    does."""
    return b"".join(_written(payload, _MessagePack(encode, ordered)))


class _Form(Protocol[AnyStr]):
    """How lists and maps are put together of the texts of batches."""

    encode: Callable[[Any], AnyStr]
    comma: AnyStr

    def keys(self, payload: dict[str, Any]) -> list[str]:
        """In their order."""

    def begin(self, kind: type, length: int) -> AnyStr: ...

    def key(self, key: str) -> AnyStr: ...

    def batch(self, part: Any) -> AnyStr:
        """The items of a list or map, which are not many."""

    def end(self, kind: type) -> AnyStr: ...


class _Json(Generic[AnyStr]):
    encode: Callable[[Any], AnyStr]
    nothing: AnyStr
    comma: AnyStr

    def __init__(self, encode: Callable[[Any], AnyStr]) -> None:
        self.encode = encode
        signs: AnyStr = encode([0, 0])  # [0,0]
        self.nothing, self.comma = signs[:0], signs[2:3]
        self._list: tuple[AnyStr, AnyStr] = signs[:1], signs[-1:]
        signs = encode({})
        self._map: tuple[AnyStr, AnyStr] = signs[:1], signs[-1:]

    def keys(self, payload: dict[str, Any]) -> list[str]:
        return list(payload)

    def begin(self, kind: type, length: int) -> AnyStr:
        return (self._list if kind is list else self._map)[0]

    def key(self, key: str) -> AnyStr:
        return self.encode({key: None})[1:-5]

    def batch(self, part: Any) -> AnyStr:
        return self.encode(part)[1:-1]

    def end(self, kind: type) -> AnyStr:
        return (self._list if kind is list else self._map)[1]


class _MessagePack:
    comma = b""

    def __init__(self, encode: Callable[[Any], bytes], ordered: bool) -> None:
        self.encode, self._ordered = encode, ordered

    def keys(self, payload: dict[str, Any]) -> list[str]:
        return in_order(payload) if self._ordered else list(payload)

    def begin(self, kind: type, length: int) -> bytes:
        few, more, many = (0x90, 0xDC, 0xDD) if kind is list else (0x80, 0xDE, 0xDF)
        if length < 16:
            return bytes((few | length,))
        if length < 1 << 16:
            return bytes((more,)) + length.to_bytes(2, "big")
        return bytes((many,)) + length.to_bytes(4, "big")

    def key(self, key: str) -> bytes:
        return self.encode(key)

    def batch(self, part: Any) -> bytes:
        return self.encode(part)[1 if len(part) < 16 else 3 :]

    def end(self, kind: type) -> bytes:
        return b""


def _written(payload: Any, form: _Form[AnyStr]) -> list[AnyStr]:
    pieces: list[AnyStr] = []
    put_off()
    _write(payload, form, pieces, Breath())
    return pieces


def _write(payload: Any, form: _Form[AnyStr], pieces: list[AnyStr], breath: Breath) -> None:
    kind = type(payload)
    if kind is not dict and kind is not list:
        pieces.append(form.encode(payload))
        return
    # Not of pairs, for the garbage collector would look at each of them.
    items = form.keys(payload) if kind is dict else payload
    pieces.append(form.begin(kind, len(items)))
    for start in range(0, len(items), BATCH):
        some = items[start : start + BATCH]
        batch = {key: payload[key] for key in some} if kind is dict else some
        if start:
            pieces.append(form.comma)
        if _has_more(batch, LOADED) and any(map(is_large, _values(batch))):
            for at, item in enumerate(_values(batch)):
                if at:
                    pieces.append(form.comma)
                if kind is dict:
                    pieces.append(form.key(some[at]))
                _write(item, form, pieces, breath)
        else:
            pieces.append(form.batch(batch))
        breath.take()
    pieces.append(form.end(kind))


def _values(batch: Any) -> Iterable[Any]:
    return batch.values() if type(batch) is dict else batch


def in_order(values: Iterable[C]) -> list[C]:
    """Texts or integers, of which none comes many times, sorted. Lets others run."""
    kept = list(values)
    if len(kept) <= SORTED:
        return sorted(kept)
    # Into heaps between some of them, each of which is sorted by itself. They are chosen at random,
    # so that nobody can send values of which most come into one heap.
    borders = sorted(sample(kept, len(kept) // (SORTED // 16)))
    heaps: list[list[C]] = [[] for _ in range(len(borders) + 1)]
    for value in unhurried(kept):
        heaps[bisect_right(borders, value)].append(value)
    return [value for heap in unhurried(heaps) for value in sorted(heap)]


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
