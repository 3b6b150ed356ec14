"""Makes a record of a process that ends: its way, its payloads, its error.

Lives here: `Writing`. That a process is recorded at all is recorder.py's to say.

It runs on the hub, so its work is bounded: so many packets of the way, so many characters of all
payloads. The first payload, with which the process began, and those next to its end come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greenflow.engine.origin import name_of
from greenflow.engine.port import InPort
from greenflow.engine.process import Process
from greenflow.engine.source import in_words, position_in
from greenflow.engine.trail import FORGOTTEN, Arrival, EndedChild, Trail
from greenflow.log.limits import CUT
from greenflow.log.limits import shown as redacted
from greenflow.payload.origin import origin_of
from greenflow.records.record import RunFailure, RunHop, RunPart
from greenflow.records.shown import MOST, Shown, shown

#: Packets of the way that a record has; those before them are counted.
HOPS = 200

#: Characters of all payloads in a record. With those of its ways it stays below 64 KiB, so that a
#: thousand are 64 MiB, and to redact them takes 2 ms.
CHARACTERS = 16 * 1024

#: Characters of an error's message, and of a name.
MESSAGE, NAME = 2 * 1024, 200

#: Out ports of a node that are looked at for where a packet came from.
_PORTS = 64


class Writing:
    """One record in the making. `start` is when the process began, by monotonic()."""

    def __init__(self, process: Process, start: float) -> None:
        self.process, self.start = process, start
        self.room, self.hops = CHARACTERS, HOPS
        self.event: Shown | None = None
        self.raw: Any = FORGOTTEN  # what it began with
        self.entry: tuple[str, str] | None = None
        self.forgotten = 0
        self._names: dict[Any, str] = {}
        self._shown: dict[int, Shown] = {}  # by identity: all are held by the trail meanwhile

    def payload(self, payload: Any) -> Shown | None:
        """A payload, if there is room for it."""
        if payload is FORGOTTEN:
            return None
        known = self._shown.get(id(payload))
        if known is not None:
            return known
        if self.room <= 0:
            return None
        text = self._shown[id(payload)] = shown(payload, min(MOST, self.room))
        self.room -= len(text.text)
        return text

    def way(self, trail: Trail | None) -> tuple[list[RunHop], list[RunPart]]:
        """The way of the process, in the order of time; and its parts."""
        if trail is None:
            return [], []
        trails = list(_before(trail))[::-1]
        first = trails[0].entry
        if first is None and trails[0].number == 1:
            first = next(iter(trails[0]), None)
        if first is not None:
            self.raw, self.event = first.payload, self.payload(first.payload)
            self.entry = self._place(first.port)
        hops = self._hops(trails)
        parts = [self._part(part) for each in trails for part in each.parts or ()]
        return hops, parts

    def _hops(self, trails: list[Trail]) -> list[RunHop]:
        passed = sorted((each for trail in trails for each in trail), key=lambda each: each.time)
        kept = passed[-self.hops :] if self.hops else []
        self.hops -= len(kept)
        self.forgotten += len(passed) - len(kept) + sum(trail.forgotten for trail in trails)
        texts = [self.payload(each.payload) for each in reversed(kept)][::-1]  # the last ones first
        hops: list[RunHop] = []
        came: dict[InPort, str] = {}
        before: Any = FORGOTTEN
        for each, text in zip(kept, texts, strict=True):
            is_same = each.payload is before and text is not None
            hops.append(
                self._hop(each, came.get(each.port, ""), None if is_same else text, is_same)
            )
            before = each.payload
            self._lead(each.port.node, came)
        return hops

    def _hop(self, passed: Arrival, by: str, payload: Shown | None, same: bool) -> RunHop:
        node = passed.port.node
        return RunHop(
            self.name(node),
            "" if node is None else node.spec.kind,
            _name_of(passed.port),
            round(passed.time - self.start, 6),
            round(passed.end - passed.time, 6) if passed.end else None,
            by,
            payload,
            same,
        )

    def _lead(self, node: Any, came: dict[InPort, str]) -> None:
        """What comes to the ports that this node leads to, comes from it."""
        if node is None or len(node.out_ports) > _PORTS:
            return
        for name, port in node.out_ports.items():
            for link in port.links_for(self.process.generation)[:_PORTS]:
                came[link] = f"{self.name(node)}.{name}"

    def _part(self, part: EndedChild) -> RunPart:
        trails = list(_before(part.trail))[::-1]
        start = trails[0].began
        return RunPart(
            part.id,
            round(start - self.start, 6) if start else 0.0,
            self._hops(trails),
            None if part.failure is None else self.failure(part.failure),
            [self._part(each) for trail in trails for each in trail.parts or ()],
        )

    def failure(self, error: BaseException) -> RunFailure:
        """An error, with where it arose."""
        origin = origin_of(error)
        if origin is None:
            # An answer that says so: the last error that a handler had is what it is about.
            met = next((each for each in reversed(self.process.met) if origin_of(each)), None)
            if met is not None and hasattr(error, "answered"):
                error, origin = met, origin_of(met)
        cause = error.__cause__
        told = error if origin is not None or cause is None else cause
        origin = origin_of(told) if origin is None else origin
        return RunFailure(
            type(told).__name__,
            _cut(redacted(in_words(told)), MESSAGE),
            *(
                ("", "", "")
                if origin is None
                else (_cut(origin.node, NAME), origin.kind, _cut(origin.at, MESSAGE))
            ),
            position_in(told) or "",
            None if origin is None else self.payload(origin.input),
        )

    def name(self, node: Any) -> str:
        """What a person calls a node."""
        if node is None:
            return ""
        name = self._names.get(node)
        if name is None:
            name = self._names[node] = _cut(name_of(node), NAME)
        return name

    def _place(self, port: InPort) -> tuple[str, str] | None:
        return None if port.node is None else (port.node.spec.id, _name_of(port))


def _before(trail: Trail) -> Iterator[Trail]:
    each: Trail | None = trail
    while each is not None:
        yield each
        each = each.before


def _name_of(port: InPort) -> str:
    node = port.node
    ports = {} if node is None else node.in_ports
    return next((name for name, each in ports.items() if each is port), "")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - len(CUT)] + CUT
