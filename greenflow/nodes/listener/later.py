"""An answer that is taken after its handler has returned.

Lives here: Later. Who takes it is a WSGI server (net/wsgi/); when a process settles for its answer
is __init__.py's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from greenflow.engine.process import Process
from greenflow.engine.source import Run
from greenflow.errors import Interrupt
from greenflow.net.message import ClientDisconnected
from greenflow.payload.stream import Stream


class Later:
    """The pieces of an answer that are asked for after the handler has returned. Its process goes
    on until they are closed."""

    def __init__(
        self, process: Process, run: Run, stream: Stream, pieces: Generator[bytes]
    ) -> None:
        self._process, self._run, self._stream, self._pieces = process, run, stream, pieces
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._process.run(self._pieces.__next__)
        except Interrupt as interrupt:
            if interrupt.process is not self._process:
                raise
            self.close()
            raise ClientDisconnected("the process exited") from None
        except BaseException:  # the end, too
            self.close()
            raise

    def close(self) -> None:
        """The answer was taken, or nobody wants the rest of it."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._process.run(self._end)
        finally:
            self._run.end(self._process)

    def _end(self) -> None:
        self._pieces.close()
        self._stream.close()  # the generator does that only if it was begun
        self._process.settle(ClientDisconnected("the answer was not sent to its end"))
