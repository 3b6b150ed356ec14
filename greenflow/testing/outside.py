"""Nodes that may not reach outside: a test changes nothing in the world unless it says so.

Lives here: Outside, what one test allows and what it found, and what such a node does. Whether a
node reaches outside its kind declares (`Node.reaches_outside`); no kind is named here. A node that
may not is not even opened: no module is imported for it, no connection made. It answers a packet
with an error, which fails the test whatever the workflow makes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from greenflow.engine.node import Context, Handler, Node
from greenflow.engine.source import Run, Source
from greenflow.errors import GreenflowError
from greenflow.testing.sources import label


class NotAllowed(GreenflowError):
    """A packet came to a node that reaches outside, and the test neither replaces nor allows it."""


class ReachedOutside(AssertionError):
    """A test came to nodes that reach outside; the message has a line for each."""


class Outside:
    """What the nodes of one test may reach: those that it allows, by name or, of nodes without one,
    by kind."""

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = frozenset(allowed)
        self.reached: list[NotAllowed] = []  # one for each node, in order
        self._told: set[str] = set()
        self._refused = 0  # packets
        self._waiting: dict[gevent.Timeout, Any] = {}  # to the greenlet that waits

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """Around asking a workflow: raises NotAllowed once a packet was refused, also while the
        workflow makes the best of it."""
        before, limit = self._refused, gevent.Timeout()
        self._waiting[limit] = gevent.getcurrent()
        try:
            yield
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
        except Exception:
            if self._refused == before:
                raise
        finally:
            self._waiting.pop(limit, None)
        if self._refused > before:
            raise self.reached[-1]

    def _break(self) -> None:
        """In the hub: wake who waits for an answer, once: the process is ending then, and a second
        throw would keep it from that."""
        while self._waiting:
            limit, waiting = self._waiting.popitem()
            waiting.throw(limit)

    def refuse(self, node: Node[Any]) -> NotAllowed:
        """The error of a packet that came to a node."""
        name = label(node.spec)
        self._refused += 1
        gevent.get_hub().loop.run_callback(self._break)
        error = NotAllowed(
            f"{node.spec.kind} node {name!r} reaches outside, and this test neither replaces nor "
            f"allows it: add `replace: {{{name}: {{answer: ...}}}}` or `allow: {name}` "
            f"(`greenflow test --allow {name}`)"
        )
        if name not in self._told:
            self._told.add(name)
            self.reached.append(error)
        return error

    def look(self) -> None:
        """Raises ReachedOutside if a packet came to a node that may not reach outside."""
        if self.reached:
            raise ReachedOutside("\n".join(map(str, self.reached))) from self.reached[0]


class Confined(Node[Any]):
    """Mixed into a kind that may reach outside only where the test allows it."""

    outside: Outside

    @property
    def is_confined(self) -> bool:
        """Whether it does nothing but refuse."""
        return self.reaches_outside and label(self.spec) not in self.outside.allowed

    def open(self) -> None:
        if not self.is_confined:
            super().open()

    def close(self) -> None:
        if not self.is_confined:
            super().close()

    def handler(self, port: str) -> Handler:
        return self._refuse if self.is_confined else super().handler(port)

    def _refuse(self, ctx: Context, payload: Any) -> Any:
        raise self.outside.refuse(self)


class ConfinedSource(Confined, Source[Any]):
    """Mixed into the kind of a source that may reach outside."""

    def prepare(self) -> None:
        if not self.is_confined:
            super().prepare()

    def abandon(self) -> None:
        if not self.is_confined:
            super().abandon()

    def start(self, run: Run) -> None:
        if not self.is_confined:
            super().start(run)

    def stop(self) -> None:
        if not self.is_confined:
            super().stop()


def confined(kind: type[Node[Any]], outside: Outside) -> type[Node[Any]]:
    """A sub-class of the kind that reaches outside only where the test allows it."""
    mixed = ConfinedSource if issubclass(kind, Source) else Confined
    body = {"kind": kind.kind, "spec_type": kind.spec_type, "outside": outside}
    return type(kind.__name__, (mixed, kind), body)
