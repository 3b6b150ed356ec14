"""What every greenlet of a hub is at: which node it runs, what it waits for, where in the code.

Lives here: that look, from inside the hub. A node is known by the frame that received a packet, as
for the guard of the hub (engine/culprit.py); what is waited for by the innermost module of ours.
The greenlets of processes are known; the others are found among the objects that the garbage
collector looks at, which takes some milliseconds for each million.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from time import monotonic
from types import FrameType

import msgspec
from gevent import get_hub, getcurrent
from greenlet import greenlet

from greenflow.engine.culprit import running_in
from greenflow.engine.process import Process
from greenflow.engine.trail import Trail
from greenflow.hub.breathing import let_others_run, unhurried

#: The code whose frame knows the trail of the greenlet that runs it.
_DRAIN = Process._drain.__code__

#: Greenlets that are told, and calls of each: a person reads no more.
MOST, CALLS = 2000, 24

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

#: What a greenlet waits for whose innermost module of ours begins so, the longest first.
_WORDS = {
    "admin/": "a client of the admin interface",
    "broker/": "the broker",
    "engine/data": "what a process holds to be released",
    "engine/process": "answers of its packets",
    "hub/blocking/": "a thread or worker",
    "hub/clock": "the clock",
    "hub/turns": "its turn",
    "hub/breathing": "the others to have their turn",
    "hub/watching": "a change of a file",
    "lang/javascript/": "JavaScript",
    "net/client": "an HTTP server",
    "net/outgoing": "an HTTP server",
    "net/response": "an HTTP server",
    "net/transport": "an HTTP server",
    "net/websocket/": "a WebSocket",
    "net/": "a client",
    "nodes/joining": "other branches",
    "nodes/schedule/": "its due time",
    "python/": "a Python function",
    "sql/": "a database",
    "store/": "the store",
    "table/": "the table",
    "cli/": "a signal to stop",
}


class Stack(msgspec.Struct):
    """A greenlet: the number of its process and its node, if it runs one; what it waits for, if
    that is known; for how many seconds its packet has been in that node; its calls, the innermost
    first."""

    process: int | None
    node: str | None
    waits_for: str | None
    seconds: float | None
    calls: list[str]


def look(processes: list[Process]) -> tuple[list[Stack], int]:
    """The greenlets of this hub, those of these processes first, and how many there are in all."""
    owners: dict[greenlet, int] = {}
    for process in unhurried(processes):
        for runner in process.runners:
            owners.setdefault(runner, process.id)
    others = [each for each in _greenlets() if each not in owners]
    found = [*owners, *others]
    return [_stack(each, owners.get(each)) for each in unhurried(found[:MOST])], len(found)


def _greenlets() -> Iterator[greenlet]:
    """Those that wait, on this hub's thread; not who looks, nor the hub."""
    hub, me = get_hub(), getcurrent()
    root = _root(hub)
    for generation in range(3):
        let_others_run()
        for each in unhurried(gc.get_objects(generation)):
            # Not isinstance: a proxy of somebody's would make what it stands for.
            is_other = issubclass(type(each), greenlet) and each not in (hub, me)
            if is_other and each.gr_frame is not None and _root(each) is root:
                yield each


def _root(one: greenlet) -> greenlet:
    """The main greenlet of its thread."""
    while one.parent is not None:
        one = one.parent
    return one


def _stack(waiting: greenlet, process: int | None) -> Stack:
    frame: FrameType | None = waiting.gr_frame
    calls: list[str] = []
    culprit, reason, since = None, None, None
    while frame is not None:
        code = frame.f_code
        if len(calls) < CALLS:
            calls.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_name}")
        if culprit is None:
            culprit = running_in(frame)
        if since is None and code is _DRAIN:
            since = _since(frame.f_locals["trail"])
        if reason is None and code.co_filename.startswith(_OURS):
            reason = _reason(code.co_filename.removeprefix(_OURS).removesuffix(".py"))
        frame = frame.f_back
    return Stack(process, None if culprit is None else culprit.name, reason, since, calls)


def _since(trail: Trail) -> float | None:
    """For how long the packet has been handled that a greenlet handles now."""
    arrivals = list(trail)
    return monotonic() - arrivals[-1].time if arrivals and not trail.end else None


def _reason(module: str) -> str:
    for beginning, words in _WORDS.items():
        if module.startswith(beginning):
            return words
    return module
