"""A worker: an OS process that imports a function once, and runs one call after another.

Started as a file, by pool.py; nothing is imported from it. The first frame brings the engine's
`sys.path`, so it is read with the standard library alone. What the function prints goes to the
engine's log.

It is three OS processes. The one that is started is a warden, which forks its ward and waits:
until the ward ends, the engine asks for the end (SIGTERM), or the engine is gone, of which the
kernel tells it by the same signal. Then it kills the ward and whatever that has started: its
process group, and those who left the group, for they become the warden's children when their
parent is gone (PR_SET_CHILD_SUBREAPER). It ends last, as the ward did. The ward is a warden, too,
and only its ward is the worker: should somebody kill one of the two, the other clears up.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h

CLEARING = 5.0  # seconds that a warden has to clear up: half of those that the engine waits

_HEAD = 9  # bytes before the body of a frame (wire.py)


def end_with(parent: int, number: int) -> None:
    """Have the kernel send a signal when the thread that started this OS process is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it was gone already
        os._exit(0)


def be_warden(parent: int, *, is_outer: bool) -> None:
    """Fork the ward, which is a warden if this is the outer one. Returns in the ward."""
    signals = {signal.SIGCHLD, signal.SIGTERM}
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # they wait until they are waited for
    end_with(parent, signal.SIGTERM)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    warden, ward = os.getpid(), os.fork()
    if not ward:
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        end_with(warden, signal.SIGKILL)
        return
    with suppress(OSError):  # it did so itself already, or has ended
        os.setpgid(ward, ward)
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the engine waits for the ends of those that the worker has
            os.close(int(descriptor))
    while not has_ended(ward) and signal.sigwait(signals) != signal.SIGTERM:
        pass
    # One that is a warden knows how its own ended; the other is killed by it.
    with suppress(OSError):
        os.kill(ward, signal.SIGTERM if is_outer else signal.SIGKILL)
    deadline = time.monotonic() + CLEARING
    while not has_ended(ward) and (seconds := deadline - time.monotonic()) > 0:
        signal.sigtimedwait({signal.SIGCHLD}, seconds)
    end_as(clear(ward))


def has_ended(ward: int) -> bool:
    """Whether the ward has. Reaps those others that have."""
    while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if found.si_pid == ward:
            return True
        os.waitpid(found.si_pid, 0)
    return False


def clear(ward: int) -> int:
    """Kill the ward and all that came of it, until nobody is left; how the ward ended."""
    kill(-ward)  # its group has this number for sure, for it was not reaped
    status = 0
    while True:
        # Whose parent is killed becomes a child, and stands here the next time.
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            for child in file.read().split():
                kill(int(child))
        try:
            number, code = os.waitpid(-1, 0)
        except ChildProcessError:
            return status
        if number == ward:
            status = code


def kill(number: int) -> None:
    with suppress(OSError):  # it is gone, or another user's
        os.kill(number, signal.SIGKILL)


def end_as(status: int) -> None:
    """End as another did."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its memory was dumped already
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


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
        kind, body = lines.receive(wire)
        if kind == lines.TRACE:
            trace = coder.decode(body)
            _, body = lines.receive(wire)
            lines.send(wire, *_in_trace(trace, answer, body))
        else:
            lines.send(wire, *answer(body))


def _in_trace(trace: dict[str, str], answer: Any, body: bytes) -> Any:
    """Answer a call as a part of a trace, for what of the function's libraries takes that down."""
    from contextvars import copy_context

    from opentelemetry.context import attach
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    sent = {name.lower(): value for name, value in trace.items()}
    context = copy_context()
    context.run(attach, TraceContextTextMapPropagator().extract(sent))
    return context.run(answer, body)


def main(descriptor: str, engine: str) -> None:
    be_warden(int(engine), is_outer=True)
    be_warden(os.getppid(), is_outer=False)
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
