"""A worker: an OS process that imports a function once, and runs one call after another.

Started as a file, by pool.py; nothing is imported from it. The first frame brings the engine's
`sys.path`, so it is read with the standard library alone. What the function prints goes to the
engine's log. A worker ends with its engine: by the end of the wire when it is idle, by a signal of
the kernel's in mid-call.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h

_HEAD = 9  # bytes before the body of a frame (wire.py)


def end_with(engine: int) -> None:
    """Have the kernel end this OS process with the thread that started it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != engine:  # it was gone already
        os._exit(0)


def first_frame(wire: socket.socket) -> dict[str, Any]:
    """What the engine says first, read without anything of greenflow's."""
    head = _exactly(wire, _HEAD)
    setup: dict[str, Any] = json.loads(_exactly(wire, int.from_bytes(head[1:], "big")))
    return setup


def _exactly(wire: socket.socket, size: int) -> bytes:
    data = wire.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise EOFError
    return data


def serve(wire: socket.socket, first: dict[str, Any]) -> None:
    """Run calls until the engine is gone."""
    from msgspec import convert
    from msgspec import json as coder

    from greenflow.errors import CompileFailed, InvalidArgument
    from greenflow.payload.value import adopt
    from greenflow.python import wire as lines
    from greenflow.python.function import PythonFunction, Several, run

    setup = convert(first, lines.Setup)
    serialize = setup.serialize
    try:
        function = PythonFunction(
            setup.reference,
            setup.arguments,
            context=False,
            text=serialize == "json",
            as_written=True,
        )
    except CompileFailed as error:
        lines.send(wire, lines.REFUSED, str(error).encode("utf-8", "replace"))
        return
    lines.send(wire, lines.READY, coder.encode(lines.Ready(function.file, function.state)))

    def answer(body: bytes) -> tuple[bytes, bytes]:
        try:
            call = function.bind(lines.decode(body, serialize))
            result = run(call)
            kind = lines.SEVERAL if type(result) is Several else lines.VALUE
            return kind, lines.encode(adopt(result), serialize)
        except InvalidArgument as error:
            reason = str(error.__cause__ or error)
            return lines.INVALID, reason.encode("utf-8", "replace")
        except BaseException as error:  # also SystemExit, which scripts are full of
            return lines.ERROR, coder.encode(lines.tell(error, frames=1))

    while True:
        lines.send(wire, *answer(lines.receive(wire)[1]))


def main(descriptor: str, engine: str) -> None:
    end_with(int(engine))
    wire = socket.socket(fileno=int(descriptor))
    wire.setblocking(True)
    # What the function starts must not hold the wire open when this OS process is gone.
    wire.set_inheritable(False)
    os.register_at_fork(after_in_child=wire.close)
    try:
        first = first_frame(wire)
        sys.path[:] = first["path"]
        serve(wire, first)
    except (EOFError, ConnectionError):
        os._exit(0)  # the engine is gone, or wants no more; threads of the function may still run


if __name__ == "__main__":
    main(*sys.argv[1:])
