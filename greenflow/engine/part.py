"""Parts of a process: children that do a piece of its work, and whose transactions they use.

Lives here: ProcessPart and Strand. A child that is none of them, such as that of a `fork`, has
nothing to do with what its parent holds (BEHAVIOUR 4.10). There is one notion of whose resources a
process uses: `owner` holds them, and `whole` is the owner that a part does a piece of the work of.

- A ProcessPart owns what is opened in it, and settles it for itself: what it did is kept or undone
  as one, also where that was done in a transaction that the whole has open (BEHAVIOUR 4.14).
- A Strand owns nothing: all is opened in its whole, and ends with that (BEHAVIOUR 4.16).

What is to be done after a commit, such as to publish events, is done after that of the outermost
whole. Parts may be parts of parts, in any order.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, TypeVar

from greenflow.engine.data import Settled
from greenflow.engine.process import Process
from greenflow.errors import Runaway

T = TypeVar("T")


class ProcessPart(Process):
    """A part that is kept or undone as one: the whole goes on either way. Raises Runaway when the
    budget of the parent is over."""

    __slots__ = ()

    def __init__(self, parent: Process, hops: int) -> None:
        super().__init__(parent, hops)
        _begin(self, parent)


class Strand(Process):
    """A part that shares the transactions and files of the whole: what is entered here is committed
    or rolled back with the whole, not when the strand ends. Raises Runaway as ProcessPart."""

    __slots__ = ()

    def __init__(self, parent: Process, hops: int) -> None:
        super().__init__(parent, hops)
        _begin(self, parent)

    @property
    def owner(self) -> Process:
        """The process that it is a strand of."""
        assert self.whole is not None
        return self.whole

    def enter(self, resource: AbstractContextManager[T], origin: Any = None) -> T:
        """Open a resource that the owner commits or rolls back."""
        return self.owner.enter(resource, origin)

    def on_settled(self, hook: Settled) -> None:
        """Call the hook when the owner has settled."""
        self.owner.on_settled(hook)


def _begin(part: Process, parent: Process) -> None:
    if isinstance(part.error, Runaway):
        raise part.error.with_traceback(None)  # it is raised again and again
    part.whole = parent.owner
    part.spending().part()
