"""`now()` and `uuid()`, of our own: what an expression asks of the run that it is in.

Lives here: the time and chance of the runtime (hub/world.py), so a test that sets its clock and its
seed sets them for expressions, too.
"""

from __future__ import annotations

from uuid import UUID

from greenflow.hub.world import here
from greenflow.lang.cel.library import function
from greenflow.lang.cel.values import Timestamp


@function("now")
def now() -> Timestamp:
    """The wall time, to the microsecond."""
    return Timestamp(round(here().clock.time() * 1e6) * 1000)


@function("uuid")
def uuid() -> str:
    """A new random UUID (RFC 9562, version 4)."""
    return str(UUID(int=here().random.getrandbits(128), version=4))
