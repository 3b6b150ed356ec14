"""A helper OS process at the other end of a socket pair: started, ended and awaited.

Lives here: Child. Which program it runs, and what is said over the socket, is the caller's.

The library is not monkey-patched and its user's program may be: OS processes are started with
`os.posix_spawn` and awaited through a pidfd, which works in both and on every hub. A child belongs
to the hub of the thread that starts it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from gevent import socket
from gevent.monkey import get_original

STOP = 10.0  # seconds a killed child is waited for; one that held gigabytes may take one, or more


class Child:
    """One OS process of this Python, and our end of its socket.

    `command` gives what follows the interpreter's name, for the number of the child's descriptor.
    `output` is a descriptor for what it prints; without one that is lost. `ending` is the signal at
    which it ends: one that has children of its own must have the time to end them.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        environment: Mapping[str, str],
        output: int | None = None,
        ending: int = signal.SIGKILL,
    ) -> None:
        self._ending = ending
        self.status: int | None = None  # as os.waitpid tells it; None before the end, or if unknown
        ours, theirs = socket.socketpair()
        try:
            # The descriptors of Python are closed by exec; this one must not be.
            os.set_inheritable(theirs.fileno(), True)
            to: list[tuple[object, ...]] = [
                (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0)
                if output is None
                else (os.POSIX_SPAWN_DUP2, output, number)
                for number in (1, 2)
            ]
            # gevent's own, in a patched program, works on the main thread's hub alone.
            self.pid: int = get_original("os", "posix_spawn")(
                sys.executable,
                [sys.executable, *command(theirs.fileno())],
                environment,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), *to],
                setpgroup=0,  # an interrupt from the terminal is the engine's to handle
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.socket, self._handle = ours, os.pidfd_open(self.pid)

    def kill(self) -> None:
        """End the OS process, whatever it does."""
        try:
            signal.pidfd_send_signal(self._handle, self._ending)
        except OSError:
            return  # it ended by itself, or is a fork's parent's

    def close(self) -> bool:
        """End the OS process, wait until it is gone, give back what it held. False if it does not
        go."""
        self.socket.close()
        self.kill()
        return self.reap()

    def reap(self) -> bool:
        """Wait for the end of an OS process that is ending. False if it does not go."""
        if self._handle < 0:
            return True
        handle, self._handle = self._handle, -1
        try:
            socket.wait_read(handle, timeout=STOP, timeout_exc=TimeoutError())
            _, self.status = get_original("os", "waitpid")(self.pid, os.WNOHANG)
        except ChildProcessError:
            return True  # somebody waits for all children, and had it
        except TimeoutError:
            return False
        finally:
            os.close(handle)
        return True

    def abandon(self) -> None:
        """Forget the OS process in a fork: it is the parent's."""
        os.close(self.socket.detach())
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1  # the number will be somebody else's
