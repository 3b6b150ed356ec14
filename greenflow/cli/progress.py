"""What a command says while it works, to a person who waits: one line that goes again.

Lives here: Progress. Nothing is said of what is done within a second, nor where nobody looks: only
to a terminal, on standard error, and not with --quiet. A native thread draws, for work that gives
up the interpreter's lock now and then lets no greenlet run. End it before anything is printed.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Self

from greenflow.cli.output import is_quiet
from greenflow.hub.blocking.worker import Worker

# Seconds before the first word, and between two pictures.
AFTER, EACH = 1.0, 0.1

# Back to the first column, and clear to the end of the line (ECMA-48 8.3.41, EL).
_CLEAR = b"\r\x1b[K"

_FRAMES = "|/-\\"


class Progress:
    """Says what is being done, from its making until `end`. A context manager."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._worker: Worker | None = None
        terminal = _terminal()
        if terminal is not None:
            self._worker = Worker(is_native=True)
            self._worker.start(self._draw, self._worker, terminal)

    def now(self, text: str) -> None:
        """That is what is done from now on."""
        self._text = text

    def end(self) -> None:
        """All of it is gone, and nothing more is said. Idempotent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.inbox.put(None)
            worker.join()

    def _draw(self, worker: Worker, terminal: int) -> None:
        """In the thread."""
        began, frame, wait = monotonic(), 0, AFTER
        with suppress(OSError):  # the terminal was closed
            while not worker.received(wait):
                wait, frame = EACH, frame + 1
                seconds = f"{monotonic() - began:.0f} s"
                line = f"{_FRAMES[frame % len(_FRAMES)]} {self._text} {seconds}"
                width = os.get_terminal_size(terminal).columns or len(line) + 1
                os.write(terminal, _CLEAR + line[: width - 1].encode())
            if frame:
                os.write(terminal, _CLEAR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


def _terminal() -> int | None:
    """The descriptor of standard error, if somebody looks at it who wants to be told."""
    if sys.stderr is None or is_quiet() or os.environ.get("TERM") == "dumb":
        return None
    with suppress(OSError, ValueError):  # it is closed, or no file
        return sys.stderr.fileno() if sys.stderr.isatty() else None
    return None
