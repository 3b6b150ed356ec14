"""What passed the nodes of one process: the record that `assert` looks at.

Lives here: Trace, where a process has it, and how a payload is shown to people. Who writes it is
not here: nodes under test do (greenflow.testing), and no others, so that the packets of a runtime
that serves pay nothing for it. A process without a trace has none to look at.

A process and its children have one trace together, in the order in which things happened, for a
test wants to see what a `fork` did, too.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from gevent.event import Event

from greenflow.engine.process import Process

MAX_SHOWN = 2000  # characters of a payload in a report; a megabyte helps nobody


class Passage(NamedTuple):
    """A packet that entered or left a node by one of its ports."""

    id: str  # of the node
    name: str | None  # of the node
    port: str
    payload: Any

    def __str__(self) -> str:
        return f"{self.name or self.id}.{self.port}"


class Trace:
    """What passed, in order."""

    def __init__(self) -> None:
        self.passed: list[Passage] = []
        self._more = Event()

    def note(self, passed: Passage) -> None:
        """Add to it."""
        self.passed.append(passed)
        self.wake()

    def wake(self) -> None:
        """Have those who wait look again."""
        self._more.set()

    def wait(self) -> None:
        """Block the calling greenlet until something was noted, or somebody was woken."""
        self._more.clear()
        self._more.wait()

    def find(self, start: int, id: str | None, name: str | None, port: str) -> int | None:
        """The place of the first packet from `start` on that passed that port of a node; where an
        id and a name are given, the id decides."""
        for place in range(start, len(self.passed)):
            one = self.passed[place]
            if one.port == port and (one.id == id if id else one.name == name):
                return place
        return None

    def ports(self) -> list[str]:
        """Every port that something passed, as `node.port`, in the order of the first time."""
        return list(dict.fromkeys(map(str, self.passed)))


def of(process: Process) -> Trace | None:
    """The trace of a process and its children; None if what passes is not noted."""
    trace: Trace | None = process.data.get(Trace)
    return trace


def begin(process: Process) -> Trace:
    """The trace of a process and its children, made if there is none yet."""
    trace = of(process)
    if trace is None:
        root = process
        while root.parent is not None:
            root = root.parent
        trace = Trace()
        root.data.set(Trace, trace)
    return trace


def shown(payload: Any) -> str:
    """A payload as JSON for a person: an error as its message, bytes as their text, and the end of
    what is long left out."""
    text = json.dumps(payload, ensure_ascii=False, default=as_text)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def as_text(value: Any) -> str:
    """What JSON has no form for."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
