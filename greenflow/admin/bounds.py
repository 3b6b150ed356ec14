"""How much is answered at a time, and for how long: what both sides of the admin interface know."""

from __future__ import annotations

#: Items of a page, unless more or fewer are asked for; and at most.
USUAL, MOST = 100, 1000

#: Seconds between two heartbeats of a stream: how long a client may be gone before it is noticed.
HEARTBEAT = 5.0

#: Seconds that a stream lasts, unless less is asked for, and at most: who wants more asks again.
LEASE, LONGEST_LEASE = 600.0, 86_400.0
