"""How many records are made each second: the rest is counted.

Lives here: Shedding. To make a record takes a millisecond or two. Two thousand that fail each
second fail all the same way, mostly, so a few of each kind are made whole; what one kind may take
leaves room for another one.
"""

from __future__ import annotations

from collections import Counter

#: The part of a second's records that one kind of failure may take, and that of those that did not
#: fail: they are never worth what they cost where many begin.
SHARE, WELL = 2, 4

#: Kinds of failures that are counted apart: the names of nodes and types of errors are the
#: workflows' to choose.
KINDS = 1000

#: In the place of the kinds beyond those.
OTHERS = ("", "others")


class Shedding:
    """At most so many records a second."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.shed: Counter[tuple[str, str]] = Counter()
        """Records that were not made, by the node and the type of the error."""
        self._second = -1
        self._made: Counter[tuple[str, str]] = Counter()
        self._all = 0

    def admits(self, kind: tuple[str, str], now: float, share: int = SHARE) -> bool:
        """Whether one more of this kind is made, which may take that part of a second's; else it is
        counted."""
        second = int(now)
        if second != self._second:
            self._second, self._all = second, 0
            self._made.clear()
        if self._all < self.most and self._made[kind] < max(self.most // share, 1):
            self._all += 1
            self._made[kind] += 1
            return True
        self.shed[kind if kind in self.shed or len(self.shed) < KINDS else OTHERS] += 1
        return False
