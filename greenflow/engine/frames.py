"""What the frames of errors hold, let go: `empty`, for a process that is over.

Lives here: that alone. Who met an error is process.py's.

An error refers to the frames that it passed, those to who called them, and one of these to the
packet or the answer with the error: a circle, which holds the request, too. Python's collector
finds it some hundred requests later: 60 bodies of 8 MB that a workflow failed on were 960 MB. A
frame that was cleared has no variables any more; the error keeps its traceback, and its text.
"""

from __future__ import annotations

from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from types import FrameType

#: Causes, contexts and members of an error that are looked at: chains of real errors are short.
MOST = 100

_MAY_GO_ON = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR


def empty(error: BaseException) -> None:
    """Have the frames of an error, and of those that it came of, hold nothing any more. Those that
    still run, in whichever greenlet, are left alone."""
    waiting: list[BaseException | None] = [error]
    seen, frames = set[int](), set[FrameType]()
    while waiting and len(seen) < MOST:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        trace = one.__traceback__
        while trace is not None:
            frame: FrameType | None = trace.tb_frame
            while frame is not None and frame not in frames:
                frames.add(frame)
                frame = frame.f_back
            trace = trace.tb_next
    for each in frames:
        if each.f_code.co_flags & _MAY_GO_ON:
            continue  # to clear it would end it
        try:
            each.clear()
        except RuntimeError:
            continue  # it runs
