"""How much one process may do, with all that descends from it (BEHAVIOUR 3.10).

Lives here: Budget, one for each runtime, and Spending, what a process without a parent and its
descendants have used up of it. When that is looked at is process.py's.

Packets are counted by the turn, after every so many that a greenlet handled, so counting costs the
way of a packet nothing; a short process is not counted at all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Packets handled in all, descendants at a time, and packets open at a time in each process."""

    packets: int = 10_000_000  # 20 s of an empty chain; of work that waits, days
    children: int = 100_000
    open: int = 100_000


class Spending:
    """What was spent of a budget."""

    __slots__ = ("budget", "children", "packets")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.packets = self.children = 0

    @property
    def over(self) -> str:
        """What is over, or nothing."""
        budget = self.budget
        if self.packets > budget.packets:
            return f"more than {budget.packets:,} packets handled for one process (process.packets)"
        if self.children >= budget.children:
            return f"more than {budget.children:,} children of one process (process.children)"
        return ""
