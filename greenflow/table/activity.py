"""Which nodes are active, and why the others are not: the one rule (BEHAVIOUR 6.1, 6.2).

Lives here: the rule, as functions of a Graph that change nothing. The table asks it what a change
would do (plan.py), and the command line what is to be said of stored specs (stored.py).

A node is active when nothing is wrong with it and every one of its links leads to an in port of an
active node; a cycle is active together. That is the greatest set with this property. It is found
from the nodes that are looked at upwards along the links, so it costs what a change touches and not
the size of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from greenflow.hub.breathing import unhurried
from greenflow.spec.fields import Link

Key = tuple[str, str]  # ("id", ...) or ("name", ...): what a link calls its target


def key_of(link: Link) -> Key:
    """What the link calls its target; where both are given the id decides (BEHAVIOUR 2.4)."""
    return ("id", link.id) if link.id else ("name", link.name or "")


class Graph(Protocol):
    """What the rule has to know of the nodes of a namespace, by id."""

    @property
    def namespace(self) -> str:
        """What the nodes are all in."""

    def fault(self, id: str) -> str:
        """Why the node cannot be active whatever it links to; empty if it can."""

    def links(self, id: str) -> Iterable[tuple[str, Link]]:
        """Every link of the node, with the out port it leaves by."""

    def target(self, link: Link) -> str | None:
        """The node that a link leads to; None if there is none."""

    def has_input(self, id: str, port: str) -> bool:
        """Whether the node has that in port; true as well where that is not known."""

    def referrers_of(self, id: str) -> Iterable[tuple[str, str]]:
        """The nodes that link to the node, each with the out port that does."""

    def is_active(self, id: str) -> bool:
        """Whether the node was active before; asked of those only that are not looked at."""


class Activity(NamedTuple):
    """What the rule says of the nodes that were looked at."""

    reasons: dict[str, str]  # why a node is inactive; empty for an active one
    blamed: dict[str, str]  # for an inactive one, the inactive node that it waits for, if any


def work_out(
    graph: Graph, start: Iterable[str], suspects: Mapping[str, set[str]], changed: Container[str]
) -> Activity:
    """The rule for these nodes and all that depends on them.

    Of a node that was active and is not `changed`, only links that leave by its `suspects` are
    looked at: nothing became of the others. Lets other greenlets run.
    """
    suspected = {id: set(ports) for id, ports in suspects.items()}
    reasons: dict[str, str] = {}
    blamed: dict[str, str] = {}
    stack = list(start)[::-1]  # what comes first is looked at first, and so opened first
    for id in unhurried(_popped(stack)):  # assumed to be active, and what waited for it, too
        if id not in reasons:
            reasons[id] = ""
            stack += [
                referrer
                for referrer, _ in graph.referrers_of(id)
                if referrer not in reasons and not graph.is_active(referrer)
            ]

    def active(id: str) -> bool:
        return not reasons[id] if id in reasons else graph.is_active(id)

    queue = list(reasons)
    for id in unhurried(_popped(queue)):
        if reasons.get(id):
            continue
        partly = graph.is_active(id) and id not in changed
        reason, waits_for = graph.fault(id), None
        if not reason:
            ports = suspected.get(id) if partly else None
            reason, waits_for = lack(graph, graph.links(id), active, ports)
        if not reason:
            continue
        reasons[id] = reason
        if waits_for is not None:
            blamed[id] = waits_for
        for referrer, port in graph.referrers_of(id):
            if active(referrer):
                suspected.setdefault(referrer, set()).add(port)
                queue.append(referrer)
    return Activity(reasons, blamed)


def _popped(stack: list[str]) -> Iterator[str]:
    while stack:
        yield stack.pop()


def lack(
    graph: Graph,
    links: Iterable[tuple[str, Link]],
    active: Callable[[str], bool],
    ports: Container[str] | None = None,
) -> tuple[str, str | None]:
    """What a node with these links lacks to be active, or nothing; and the inactive node that it
    waits for, if it is that. `ports` are the out ports to look at; None is all."""
    for port, link in links:
        if ports is not None and port not in ports:
            continue
        called, target = link.id or link.name, graph.target(link)
        if target is None:
            return f"links.{port}: no node {called!r} in namespace {graph.namespace!r}", None
        if not graph.has_input(target, link.port):
            return f"links.{port}: node {called!r} has no in port {link.port!r}", None
        if not active(target):
            return f"links.{port}: node {called!r} is inactive", target
    return "", None
