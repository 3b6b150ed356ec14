"""How much one process may do, with all that descends from it, and how many a source may have at a
time (BEHAVIOUR 3.10, 4.17).

Lives here: Budget, Spending, what a process without a parent and its descendants have used up of
one, and the fields of a source that say both. When they are looked at is process.py's, and that of
each kind of source.

Packets are counted by the turn, after every so many that a greenlet handled, so counting costs the
way of a packet nothing; a short process is not counted at all. A part and the child of a `fork`
count for some packets themselves.

When the runtime ends nobody knows whether what goes round in the graph ever would. So from then on
each process has a part of its packets left for cycles, those are counted, and what is over exits
with all that descends from the same one. What does not go round ends by itself, and has its whole
budget.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import Meta

from greenflow.config import ProcessSettings
from greenflow.engine.cycle import Cycles
from greenflow.errors import Runaway
from greenflow.net.limits import Limits
from greenflow.spec.fields import Spec

# Said once, with its reasons: in the settings.
_SETTINGS = ProcessSettings()

#: Processes that a schedule or watch has at one time if its spec does not say: as many as a
#: listener has.
IN_FLIGHT = Limits().in_flight


#: Packets that a part and the child of a fork count for besides those that they handle: a million
#: elements of a `loop` with `concurrency` are within the budget.
PART, FORK = 4, 4

#: The part of its packets that a process has left for cycles when the runtime ends, and the least
#: of that: 25,000, which is half a second of a cycle that waits as shortly as it can.
LAST, LEAST = 400, 1_000

#: What a greenlet that was begun on a cycle, and a round of a `while`, count for besides: 250 parts
#: or children of forks, each of which takes two, and 2,500 rounds.
GREENLET, ROUND = 50, 10


@dataclass(frozen=True, slots=True)
class Budget:
    """Packets handled in all, descendants at a time, and packets open at a time in each process.
    `field` is what its fields are called where they were said."""

    packets: int = _SETTINGS.packets
    children: int = _SETTINGS.children
    open: int = _SETTINGS.open
    field: str = "process"


class BudgetSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Other figures than those of the settings `process.*`."""

    packets: Annotated[
        int | None, Meta(ge=1, description="packets handled for one process, in all")
    ] = None
    children: Annotated[
        int | None, Meta(ge=1, description="children of one process, and theirs, at a time")
    ] = None
    open: Annotated[
        int | None, Meta(ge=1, description="packets of one process that are unanswered")
    ] = None


class BudgetedSpec(Spec, kw_only=True):
    """What every source may say."""

    budget: Annotated[
        BudgetSpec | None,
        Meta(
            description="how much a process may do with all that it begins, where that is another"
            " than by the settings `process.*`; more is an error"
        ),
    ] = None


class SourceLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a source has at a time."""

    in_flight: Annotated[
        int | None, Meta(ge=1, le=10_000, description="processes under way at one time")
    ] = None


class SourceSpec(BudgetedSpec, kw_only=True):
    """What every source may say that is no listener, whose `limits` are more."""

    limits: Annotated[SourceLimits, Meta(description="what it has at a time")] = SourceLimits()


def budget_of(spec: Spec, settings: Budget) -> Budget | None:
    """The budget of the processes that a source begins, if its spec says something of it."""
    said = spec.budget if isinstance(spec, BudgetedSpec) else None
    if said is None:
        return None
    figures = {name: figure for name, figure in msgspec.structs.asdict(said).items() if figure}
    return replace(settings, **figures, field="budget")


class Spending:
    """What was spent of a budget."""

    __slots__ = (
        "_error",
        "budget",
        "children",
        "cycles",
        "has_ended",
        "packets",
        "rounds",
        "was_over",
    )

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.packets = self.children = 0
        self._error: Runaway | None = None
        self.cycles: Cycles | None = None  # known when the runtime ends
        self.rounds = 0  # of packets handled since then, those that were on cycles
        self.has_ended = False
        self.was_over = False  # had too many children, and some of those are left

    def part(self) -> None:
        """A part begins."""
        self.packets += PART

    def fork(self) -> None:
        """The child of a fork begins."""
        self.packets += FORK

    def hurry(self, cycles: Cycles) -> None:
        """From now on there is only so much left for cycles."""
        if self.cycles is None:
            self.cycles = cycles

    def spend(self, packets: int) -> bool:
        """So many were handled. Whether that is too many."""
        self.packets += packets
        return self.packets > self.budget.packets

    def go_round(self, packets: int) -> bool:
        """So many were handled on a cycle, since the runtime ends. Whether that is too many."""
        self.rounds += packets
        return self.rounds > self.last

    @property
    def last(self) -> int:
        """What is left for cycles when the runtime ends."""
        return max(self.budget.packets // LAST, LEAST)

    @property
    def error(self) -> Runaway | None:
        """What is over, or None; one error for all that go on, for they may be many. Who had too
        many children may have none until all have ended: else those that make themselves again
        would go on for ever, just below the limit."""
        reason = self._over()
        if not reason:
            self._error = None
        elif self._error is None or str(self._error) != reason:
            self._error = Runaway(reason)
        return self._error

    def _over(self) -> str:
        budget, field = self.budget, self.budget.field
        if self.packets > budget.packets:
            return f"more than {budget.packets:,} packets handled for one process ({field}.packets)"
        if self.rounds > self.last:
            return (
                f"more than {self.last:,} packets handled on a cycle since the runtime ends: that "
                f"is what is left of the budget then ({field}.packets)"
            )
        self.was_over = self.children >= budget.children or (self.was_over and self.children > 0)
        if self.was_over:
            return f"more than {budget.children:,} children of one process ({field}.children)"
        return ""
