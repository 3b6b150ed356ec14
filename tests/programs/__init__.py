"""`greenflow` commands as users run them, each an OS process of its own.

Lives here: starting one (`Process`), and running one to its end (`run`). To import what a command
needs takes ten times as long as what most of them do. So each is a fork of a template
(template.py), which has imported it all and done nothing else: descriptors, environment, folder,
arguments, number and signals are the command's own, and it ends as a Python ends. `shell` is what
stands for `greenflow` in the lines of a shell (client.py).

What happens before `greenflow` has been imported is not seen in a fork: tests of that start
`python -m greenflow` themselves, and so do those of the README.

Who uses it asks for the fixture `templates`.
"""

from __future__ import annotations

import array
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, CompletedProcess, TimeoutExpired
from time import monotonic
from typing import IO, Any

from greenflow.__main__ import _QUICK, _is_quick

HERE = Path(__file__).parent
SECONDS = 60.0  # after which a command that hangs fails its test
TEMPLATES = ("patched", "plain")  # by gevent's patches, which a quick command does without

Stream = int | IO[Any] | None  # as subprocess has them


class Templates:
    """The two processes that the commands are forks of. They end with this one."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="greenflow-"))
        life, ours = os.pipe()  # at its end they end
        self._processes = [self._start(name, life) for name in TEMPLATES]
        os.close(life)
        self._life = ours

    def _start(self, name: str, life: int) -> subprocess.Popen[bytes]:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{self.folder}/{name}")
            listening.listen(128)
            return subprocess.Popen(
                [sys.executable, str(HERE / "template.py"), name, str(listening.fileno())],
                stdin=life,
                pass_fds=[listening.fileno()],
                start_new_session=True,  # an interrupt from a terminal is not for them
            )

    def close(self) -> None:
        os.close(self._life)
        for process in self._processes:
            process.wait()
        self._stack.close()


_templates: list[Templates] = []


def start() -> None:
    """Start the templates of this test run."""
    _templates.append(Templates())


def close() -> None:
    """End them."""
    while _templates:
        _templates.pop().close()


def shell() -> list[str]:
    """The words for `greenflow` in a line of a shell. They pass on signals and the exit code."""
    options = [_templates[-1].folder, ",".join(_QUICK)]
    return [sys.executable, "-I", "-S", str(HERE / "client.py"), *options]


class Process:
    """A command that runs, with what tests use of a `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        text: bool = False,
    ) -> None:
        self.args = ["greenflow", *arguments]
        self.returncode: int | None = None
        with ExitStack() as theirs:
            ends = [self._end(n, s, theirs) for n, s in enumerate((stdin, stdout, stderr))]
            if stderr == STDOUT:
                ends[2] = ends[1], None
            mode = ("w", "r", "r") if text else ("wb", "rb", "rb")
            self.stdin, self.stdout, self.stderr = (
                None if end[1] is None else os.fdopen(end[1], how, -1 if text else 0)
                for end, how in zip(ends, mode, strict=True)
            )
            request = {
                "arguments": list(arguments),
                "folder": os.fspath(cwd) if cwd is not None else os.getcwd(),
                "environment": dict(os.environ if env is None else env),
            }
            self._line = socket.socket(socket.AF_UNIX)
            self._line.connect(f"{_templates[-1].folder}/{TEMPLATES[_is_quick(list(arguments))]}")
            data = repr(request).encode() + b"\0"
            descriptors = array.array("i", [end[0] for end in ends])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
            rest = data[self._line.sendmsg([data], rights) :]
            if rest:  # to send nothing to a command that has ended already is a broken pipe
                self._line.sendall(rest)
        self._answers = self._line.makefile("rb", 0)
        self.pid = int(self._answers.readline())

    def _end(self, number: int, stream: Stream, theirs: ExitStack) -> tuple[int, int | None]:
        """What the process gets, and what is ours of a pipe."""
        if stream is None or stream == STDOUT:
            return number, None
        if stream == DEVNULL:
            null = os.open(os.devnull, os.O_RDWR)
            theirs.callback(os.close, null)
            return null, None
        if stream == PIPE:
            reads, writes = os.pipe()
            get, keep = (reads, writes) if number == 0 else (writes, reads)
            theirs.callback(os.close, get)
            return get, keep
        return (stream if isinstance(stream, int) else stream.fileno()), None

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            assert timeout is not None
            raise TimeoutExpired(self.args, timeout)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.PollSelector() as selector:
                selector.register(self._line, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            self.returncode = os.waitstatus_to_exitcode(int(self._answers.readline()))
            self._answers.close()
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: bytes, timeout: float) -> tuple[bytes, bytes]:
        """Write to its standard input, and read what it writes, to the end; all are pipes."""
        assert self.stdin is not None
        assert self.stdout is not None
        assert self.stderr is not None
        end, rest = monotonic() + timeout, memoryview(given)
        pieces: dict[IO[Any], list[bytes]] = {self.stdout: [], self.stderr: []}
        with selectors.PollSelector() as selector:
            for stream in pieces:
                selector.register(stream, selectors.EVENT_READ)
            selector.register(self.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                ready = selector.select(max(end - monotonic(), 0))
                if not ready:
                    self.kill()
                    raise TimeoutExpired(self.args, timeout)
                for key, _ in ready:
                    stream: Any = key.fileobj
                    if stream is self.stdin:
                        try:
                            rest = rest[os.write(key.fd, rest) :] if rest else rest
                        except BrokenPipeError:
                            rest = memoryview(b"")
                        is_done = not rest
                    else:
                        piece = os.read(key.fd, 65536)
                        pieces[stream].append(piece)
                        is_done = not piece
                    if is_done:
                        selector.unregister(stream)
                        stream.close()
        self.wait(max(end - monotonic(), 0))
        return b"".join(pieces[self.stdout]), b"".join(pieces[self.stderr])


def run(
    arguments: Sequence[str],
    stdin: bytes = b"",
    timeout: float = SECONDS,
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> CompletedProcess[bytes]:
    """Run a command to its end. Raises TimeoutExpired after so many seconds."""
    process = Process(arguments, cwd=cwd, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, err = process.communicate(stdin, timeout)
    return CompletedProcess(process.args, process.wait(), out, err)
