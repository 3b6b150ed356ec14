"""What `greenflow test` runs, and what came of it.

Lives here: Test and Result, which the command fills and its reports read.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Test(Protocol):
    """A `test` node, or a case of a `*.flow.yaml`."""

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str:
        """The file it is in, or the namespace."""

    @property
    def line(self) -> int:
        """Where it begins, from 1; 0 is unknown."""

    def run(self) -> None:
        """Run it. Raises what it fails with."""


class Result(NamedTuple):
    """What came of a test; `reason` is empty if it passed, else it has a line for each cause."""

    test: Test
    seconds: float
    reason: str
