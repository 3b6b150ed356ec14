"""Out ports that a kind chooses among and that lead nowhere, and links that nothing leaves by.

Lives here: what `router` and `switch` say of them beforehand. A packet sent to a port without links
is its own answer (BEHAVIOUR 3.5), which is seldom what a route is written for.
"""

from __future__ import annotations

from collections.abc import Mapping

from greenflow.errors import SpecFault
from greenflow.hub.breathing import unhurried
from greenflow.spec.fields import Spec
from greenflow.spec.known import listed_in_order
from greenflow.spec.ports import canonical, parse


def unlinked(spec: Spec, chosen: Mapping[str, str]) -> list[SpecFault]:
    """The doubts about a spec that chooses among `chosen`: ports by the paths that name them."""
    linked = {canonical(port) for port in unhurried(spec.links)}
    used = {canonical(port) for port in unhurried(chosen.values())}
    faults = [
        SpecFault(
            path,
            f"{port!r} leads nowhere, so what goes there is its own answer; link it, or write"
            f" `links: {{{port}: []}}` if that is meant",
        )
        for path, port in unhurried(chosen.items())
        if canonical(port) not in linked
    ]
    known = listed_in_order(used) or "no port at all"
    faults += [
        SpecFault(f"$.links.{port}", f"nothing leaves by {port!r}; what is chosen goes to {known}")
        for port in unhurried(spec.links)
        if parse(port)[0] == "out" and canonical(port) not in used
    ]
    return faults


def leads_nowhere(spec: Spec) -> list[SpecFault]:
    """The doubt about a source that begins workflows and has none."""
    if any(canonical(port) == "out" for port in spec.links):
        return []
    return [
        SpecFault(
            "$", f"this {spec.kind} leads nowhere: link its out, or write `links: {{out: []}}`"
        )
    ]
