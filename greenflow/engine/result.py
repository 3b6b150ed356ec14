"""What a handler may return besides a value: Send, Answer.

Lives here: the results that are no payload. What becomes of them is node.py's; a Fault and NOTHING,
which are answers too, are packet.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import GeneratorType
from typing import Any, NamedTuple

from greenflow.engine.packet import NOTHING, Fault
from greenflow.engine.port import OutPort


class Send(NamedTuple):
    """A value and the out port it leaves by; `ctx.to` makes it."""

    port: OutPort
    value: Any


new_send: Callable[[tuple[OutPort, Any]], Send] = partial(tuple.__new__, Send)
"""`Send(*pair)` in half the time, for what is on the way of every request."""


class Answer(NamedTuple):
    """For a handler to return: the answer itself, sent nowhere."""

    value: Any


# Types of results that do not simply leave by `out`, and of those that need no adopting.
SPECIAL = frozenset((Send, Answer, Fault, type(NOTHING), GeneratorType))
AS_IT_IS = frozenset((Send, Answer, Fault, type(NOTHING), type(None), str, bool, float, bytes))
