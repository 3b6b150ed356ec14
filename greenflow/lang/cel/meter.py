"""The step budget: how every evaluation ends.

Lives here: the frame's counters and `charge`. A frame is a list: the steps left in this slice, the
slices left, then the variables and the values that macros bind. A loop charges the size of its
body for each turn; whatever costs more than constant time charges its length. Outside loops an
expression is bounded by its own size, so nothing else needs to count.

After each slice the hub gets to run, so a long evaluation delays no other greenlet; parsing lets it
run by the same `breathe`. What goes through a long list charges it in pieces, for a charge lets
others run once, however large it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gevent._hub_local import get_hub_if_exists
from greenlet import getcurrent

from greenflow.hub.breathing import let_others_run
from greenflow.hub.collector import put_off
from greenflow.lang.cel.values import BudgetSpent, CelError

#: Steps of one slice: about 1 ms at 0.1 µs a step. Some steps take ten times as long, and others
#: must not wait longer than 20 ms.
SLICE = 10_000

#: Slices after the first: 1,000,000 steps in all, so that a bomb ends within 0.2 s.
SLICES = 99

#: The longest list, string or byte string that an operation may make: twice a body's limit of
#: 8 MiB.
MAX_LENGTH = 2**24

#: Elements that are gone through between two charges: a tenth of a slice and more.
PIECE = 1024

#: Characters or bytes from which on comparing two texts is charged: what is shorter takes less than
#: a step.
LONG = 1024

Frame = list[Any]

FIRST_SLOT = 2  # of the frame, after the two counters


def charge(frame: Frame, steps: int) -> None:
    """Take steps from the budget. Raises BudgetSpent."""
    frame[0] -= steps
    if frame[0] < 0:
        refill(frame)


def refill(frame: Frame) -> None:
    """Begin the next slice, after others had their turn. Raises BudgetSpent."""
    needed = -frame[0] // SLICE + 1
    if needed > frame[1]:
        raise BudgetSpent
    frame[1] -= needed
    frame[0] += needed * SLICE
    breathe()


def pieces(frame: Frame, items: list[Any], steps: int) -> Iterator[list[Any]]:
    """The items, `PIECE` at a time, each item charged so many steps. Raises BudgetSpent, at once
    where the budget cannot do for all of them."""
    if steps * len(items) > frame[0] + frame[1] * SLICE:
        raise BudgetSpent
    for start in range(0, len(items), PIECE):
        piece = items[start : start + PIECE]
        charge(frame, steps * len(piece))
        yield piece


def charge_text(frame: Frame, text: str | bytes) -> None:
    """Charge what comparing a text takes."""
    if len(text) > LONG:
        charge(frame, len(text) >> 8)


def has_others() -> bool:
    """Whether other greenlets of this thread could run: it has a hub, and this is not the hub."""
    hub = get_hub_if_exists()
    return hub is not None and getcurrent() is not hub


def breathe() -> None:
    """Let others run, if there are any."""
    if has_others():
        put_off()
        let_others_run()


def bounded(length: int) -> None:
    """Refuse a result before it is made. Raises CelError."""
    if length > MAX_LENGTH:
        raise CelError(f"the result is longer than {MAX_LENGTH} elements")
