"""What may have been meant by what is wrong.

Lives here: the words that are added to a fault of a stored spec for a person who is about to mend
it. The faults themselves are activity.py's and those of the kinds; a runtime's log has them without
advice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from greenflow.errors import SpecFault
from greenflow.spec.fields import Link
from greenflow.spec.known import closest, listed

# How a missing value is called in values/values.py's message.
_NO_VALUE = re.compile(r"no value '(.*)' in namespace")


def meant(word: str, known: Collection[str]) -> str:
    """`; did you mean 'this'?`, or nothing if none of the known words is like it."""
    close = closest(word, known)
    return f"; did you mean {close!r}?" if close else ""


def _other_node(link: Link, known: Mapping[str, str]) -> str:
    if link.id in known:
        return f"; did you mean the name: {{name: {link.id}}}?"
    if link.name in known.values():
        return f"; did you mean the id: {{id: {link.name}}}?"
    return meant(link.id or link.name or "", known) or "; apply it, or mend the link"


def advise(
    fault: SpecFault,
    known: Mapping[str, str],
    link: Link | None = None,
    inputs: tuple[str, ...] = (),
) -> SpecFault:
    """The fault with what to do. `known` are the names that could have been meant, with their ids:
    of nodes where a link is at fault, else of values; `inputs` are the in ports of what the link
    leads to."""
    reason = fault.reason
    if link is None:
        missing = _NO_VALUE.search(reason)
        if missing is None:
            return fault
        advice = meant(missing[1], known) or "; apply it with `greenflow apply values`"
    elif reason.startswith("no node"):
        advice = _other_node(link, known)
    elif "has no in port" in reason:
        advice = meant(link.port, inputs) or f"; it has {listed(inputs) or 'no in ports'}"
    else:
        return fault
    return fault._replace(reason=reason + advice)
