"""Python's cyclic garbage collector, kept from holding the hub.

Lives here: `settle` and `drop`, for work that makes very many objects that stay, and `begin` and
`put_off`, for work that makes very many that do not. A full collection looks at every object there
is, in one stretch: 490 ms with 10,000 specs loaded, and it is repeated as the heap grows (2.3 of
4.6 s of loading them). Objects that were settled are not looked at any more.

What is settled is still freed when the last reference goes; only circles of references that die
later are kept. So whoever drops what was settled says so, and all is looked at again in time.

A payload of 8 MiB can be 500,000 lists and maps. The collector begins when there are many more than
before, which is in the middle of the work with them, and then looks at all of them in vain: 150 ms.
A moment later they are gone. So who works for long puts full collections off; young objects are
still collected.
"""

from __future__ import annotations

import gc
from time import monotonic

#: Things dropped before everything is looked at again. Few, for what a circle of a node keeps alive
#: is some 10 KiB; and many enough that a service that is edited all day hardly ever does it.
DROPS = 1_000

#: Seconds for which full collections are put off: what was worked on is gone by then, or kept.
QUIET = 0.5

#: Seconds after which there is a full collection all the same, however much work there is, and new
#: lists, maps and objects: all of them may be circles that nobody has any more.
LONGEST, MOST_NEW = 30.0, 10_000_000

#: Young objects that one collection looks at meanwhile: 5 ms.
MOST_YOUNG = 20_000

#: How many times as long as full collections take is between two of them that are not waited for.
SHARE = 50

_FULL = 2  # the generation that a full collection is of

_dropped = 0

_usual = 0, 0, 0  # the thresholds when none is put off
_raised: tuple[int, int, int] | None = None  # those until `_until`
_since = _until = 0.0
_is_due = False  # there was none for `LONGEST`
_began = _ended = 0.0  # the last full collection


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


def put_off() -> None:
    """Have no full collection for `QUIET`, unless `MOST_NEW` objects are made meanwhile, or there
    was none for `LONGEST`."""
    global _usual, _raised, _since, _until
    now = monotonic()
    _until = now + QUIET
    if _raised is None and not _is_due:
        usual = gc.get_threshold()
        youngest = usual[0]
        if not youngest:  # the program has a mind of its own
            return
        younger = min(usual[1], max(1, MOST_YOUNG // youngest - 1))
        raised = youngest, younger, MOST_NEW // (youngest * (younger + 1))
        if raised[2] <= usual[2]:
            return
        _usual, _raised, _since = usual, raised, now
        gc.set_threshold(*raised)
        if _collects not in gc.callbacks:
            gc.callbacks.append(_collects)


def begin() -> None:
    """Much will be made. A full collection that is due is done now, as there is less to look at,
    and none after it: if nothing was made for `QUIET`, or it could not be put off much longer."""
    global _since
    now = monotonic()
    is_time = now > _until or (_raised is not None and now > _since + LONGEST / 2)
    put_off()
    if is_time and _raised is not None and gc.get_count()[_FULL] > _usual[_FULL]:
        _since = now
        if now - _ended > SHARE * (_ended - _began):
            gc.collect()


def _collects(phase: str, info: dict[str, int]) -> None:
    """Around any collection: without new objects none is missed, so no timer is needed."""
    global _raised, _is_due, _began, _ended
    is_full = info["generation"] == _FULL
    if phase == "start":
        if is_full:
            _began = monotonic()
        return
    now = monotonic()
    if is_full:
        _ended, _is_due = now, False
    if _raised is not None and (now > _until or now > _since + LONGEST):
        if gc.get_threshold() == _raised:  # else somebody else has changed it since
            gc.set_threshold(*_usual)
        _raised, _is_due = None, not is_full and now > _since + LONGEST
