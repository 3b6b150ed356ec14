"""Calls of JavaScript as the engine has them, and the programs that they are of.

Lives here: PendingCall and ModuleSource, values without a will of their own. Who runs them is
pool.py's.
"""

from __future__ import annotations

from typing import Any

from gevent.event import AsyncResult


class PendingCall:
    """A call under way: where its answer goes, and what is needed to run it again."""

    __slots__ = (
        "answer",
        "deaths",
        "is_given_up",
        "number",
        "program",
        "seconds",
        "text",
        "waits",
        "worker",
    )

    def __init__(self, program: ModuleSource, seconds: float, text: str) -> None:
        self.program, self.seconds, self.text = program, seconds, text
        self.answer: AsyncResult[bytes] = AsyncResult()
        self.deaths = 0  # of workers that may have run it
        self.worker: Any = None  # the JavaScriptWorker that has it, by which number
        self.number = b""
        self.is_given_up = False  # nobody waits for the answer
        self.waits = False  # it began, and had to wait for a timer or a promise


class ModuleSource:
    """A program as workers know it, by a number of its own."""

    __slots__ = ("__weakref__", "code", "number")

    def __init__(self, number: int, code: str) -> None:
        self.number, self.code = number, code
