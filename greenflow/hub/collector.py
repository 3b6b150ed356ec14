"""Python's cyclic garbage collector, kept from holding the hub.

Lives here: `settle` and `drop`, for work that makes very many objects that stay. A full collection
looks at every object there is, in one stretch: 490 ms with 10,000 specs loaded, and it is repeated
as the heap grows (2.3 of 4.6 s of loading them). Objects that were settled are not looked at any
more.

What is settled is still freed when the last reference goes; only circles of references that die
later are kept. So whoever drops what was settled says so, and all is looked at again in time.
"""

from __future__ import annotations

import gc

#: Things dropped before everything is looked at again. Few, for what a circle of a node keeps alive
#: is some 10 KiB; and many enough that a service that is edited all day hardly ever does it.
DROPS = 1_000

_dropped = 0


def settle() -> None:
    """What was made until now will stay: collect the young garbage, and look at the rest no
    more."""
    gc.collect(1)
    gc.freeze()


def drop(things: int) -> None:
    """So many things that may have been settled are used no more."""
    global _dropped
    _dropped += things
    if _dropped >= DROPS and gc.get_freeze_count():
        _dropped = 0
        gc.unfreeze()
