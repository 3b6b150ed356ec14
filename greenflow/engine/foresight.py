"""What a kind can say of a spec before it runs: for who applies it and wants to know what will be.

Lives here: Foresight, the part of a kind that is asked beforehand, and Claim, what only one node
can have at a time. Nothing here is asked by a runtime, which finds out when it opens the node. What
makes a spec invalid is `Node.check`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from greenflow.spec.fields import Spec

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.engine.services import Compiler
    from greenflow.errors import SpecFault

S = TypeVar("S", bound=Spec)


class Claim(NamedTuple):
    """A part of something, or all of it. `path` is the field that says so, `called` is how messages
    call what is claimed."""

    path: str
    called: str
    whole: tuple[str, int]
    """What there is one of, such as a port of the machine."""
    part: str | None
    """Which part of it; None claims them all."""

    def meets(self, other: Claim) -> bool:
        """Whether not both can be had."""
        if self.whole != other.whole:
            return False
        return self.part is None or other.part is None or self.part == other.part


class Foresight(Generic[S]):
    """What a kind overrides to be asked beforehand. The specs are sound."""

    @classmethod
    def lacks(cls, spec: S, compiler: Compiler) -> list[SpecFault]:
        """What is not installed here, and the node cannot be opened without."""
        return []

    @classmethod
    def doubts(cls, spec: S, compiler: Compiler) -> list[SpecFault]:
        """What can run, and hardly does what its author means."""
        return []

    @classmethod
    def claims(cls, spec: S, settings: Settings) -> list[Claim]:
        """What only one node can have at a time, such as an address."""
        return []
