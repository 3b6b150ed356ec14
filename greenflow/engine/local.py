"""What code that knows nothing of workflows may hold for the process that runs it.

Lives here: Local and enter. What a process keeps is in data.py; which process runs, in process.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, TypeVar

from gevent.local import local

from greenflow.engine.process import current

T = TypeVar("T")
_MISSING = object()


class Local:
    """A bag of attributes of its own for each process, in the place of a `threading.local`.

    A child process reads what its parents hold; it writes and deletes its own (BEHAVIOUR 4.4).
    All greenlets of a process see the same, and nothing is left when it has ended. Outside of a
    process each greenlet, and each thread without greenlets, has a bag of its own.
    """

    __slots__ = ("_outside",)

    def __init__(self) -> None:
        object.__setattr__(self, "_outside", local())

    def __getattr__(self, name: str) -> Any:
        process = current()
        if process is None:
            return getattr(self._outside, name)
        value = process.data.get((self, name), _MISSING)
        if value is _MISSING:
            raise AttributeError(f"this process has no {name!r} here", name=name, obj=self)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        process = current()
        if process is None:
            setattr(self._outside, name, value)
        else:
            process.data.set((self, name), value)

    def __delattr__(self, name: str) -> None:
        process = current()
        if process is None:
            delattr(self._outside, name)
        elif not process.data.delete((self, name)):
            raise AttributeError(f"this process has no {name!r} here", name=name, obj=self)


def enter(resource: AbstractContextManager[T]) -> T:
    """`ctx.enter` for code without a Context: the process that runs commits or rolls the resource
    back when it settles. Raises RuntimeError outside of a process."""
    process = current()
    if process is None:
        raise RuntimeError("greenflow.enter was called outside of a process: use `with` there")
    return process.enter(resource)
