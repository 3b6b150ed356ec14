"""Where the out ports of nodes lead.

Lives here: linking the nodes of versions to one another, before and in a swap. Which ports are to
be linked anew, a plan says; when, the table.
"""

from __future__ import annotations

from greenflow.hub.breathing import unhurried
from greenflow.table.activity import key_of
from greenflow.table.plan import Plan, Ports
from greenflow.table.symbol import Version
from greenflow.table.view import View


def link_ahead(plan: Plan, early: Ports) -> Ports:
    """Do before the swap what changes nothing of what runs, so that the swap is short and cannot
    fail: link the ports of new nodes that lead to new nodes only, and make the in ports that the
    others will lead to. The ports that are left to the swap; `early` were linked before, and are
    looked at again. Lets others run."""
    prospect = plan.prospect
    ports = dict(plan.relinked)
    for version, port in early:
        if prospect.version(version.id) is version:
            ports[version, port] = None
    _link_new(plan, ports)
    if not plan.accepted and not prospect.names:
        return ports  # nothing is new or called otherwise: what links lead to is less than before
    for version, port in unhurried(ports):
        for link in () if version.spec is None else version.spec.links[port]:
            id = prospect.led_to(key_of(link))
            target = None if id is None else prospect.version(id)
            node = None if target is None else target.node
            if node is not None and link.port not in node.in_ports:
                node.input(link.port)
    return ports


def _link_new(plan: Plan, ports: dict[tuple[Version, str], None]) -> None:
    """Link the ports of new nodes that lead to new nodes only, none of which is in use yet, and
    take them out of `ports`. Lets others run."""
    new = plan.accepted
    for version in unhurried(new.values()):
        if version.node is None or version.spec is None or version.telling is not None:
            continue
        for port, links in version.spec.links.items():
            ids = [plan.prospect.led_to(key_of(link)) for link in links]
            nodes = [new[id].node if id in new else None for id in ids if id is not None]
            if len(nodes) == len(links) and None not in nodes:
                entries = [
                    node.input(link.port)
                    for node, link in zip(nodes, links, strict=True)
                    if node is not None
                ]
                version.entries[port] = entries
                version.node.link(port, tuple(entry for entry in entries if entry is not None))
                ports.pop((version, port), None)


def relink(view: View, version: Version, port: str, *, drains: bool) -> None:
    """Link one out port of a version to the nodes that run now.

    A version that is still draining keeps a node that was removed, for what begins in it or was
    begun before the grace was over. Its links do not count: no node of the newest graph waits for
    what comes by them.
    """
    symbol = view.symbols.get(version.id)
    runs = symbol is not None and symbol.version is version
    waits = symbol is not None and symbol.pending is version
    if version.node is None or version.spec is None or not (runs or drains or waits):
        return
    links = version.spec.links[port]
    entries = version.entries.setdefault(port, [None] * len(links))
    for place, link in enumerate(links):
        target = view.target(link)
        node = None if target is None else target.version.node
        entry = None if node is None else node.input(link.port)
        if entry is not None or not drains:
            entries[place] = entry
    led_to = tuple(entry for entry in entries if entry is not None)
    version.node.link(port, led_to, None if runs else ())


def retire(version: Version) -> None:
    """The version is not of the newest graph any more: its links lead on, and do not count."""
    for port, entries in version.entries.items():
        if version.node is not None:
            version.node.link(port, tuple(entry for entry in entries if entry is not None), ())


def unlink(version: Version) -> None:
    """The version leads nowhere any more."""
    if version.node is not None and version.spec is not None:
        for port in version.spec.links:
            version.node.link(port, ())
