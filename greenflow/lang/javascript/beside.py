"""Parsing large code in a helper OS process, for as long as that takes.

Lives here: `parsing_beside`, which says for a function from code to code where it runs, and the
helper. tree-sitter parses in one call that cannot be interrupted, and keeps the other threads of
Python waiting: 1 MiB of broken code takes 3 s. So what is longer than `LONG` is parsed beside, by a
helper that ends with it: such code is rare, and a start takes 0.2 s. What it says is the result, or
what is wrong with the code, and where.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path

from greenflow.errors import CompileFailed
from greenflow.hub.breathing import has_others
from greenflow.hub.child import Child

#: Characters from which on code is parsed beside: 5 ms if it is sound, 50 ms at the worst.
LONG = 16 * 1024

#: Processor seconds that a helper has: 1 MiB of broken code takes 3, and 1 MiB of `a<` minutes.
SECONDS = 20

_READ = 1 << 18  # bytes

Work = Callable[[str], str]


def parsing_beside(work: Work) -> Work:
    """The same function, by name one of its module, which runs in a helper where the code is long
    and others could run. Raises CompileFailed as it does."""

    @wraps(work)
    def run(code: str) -> str:
        if len(code) <= LONG or not has_others():
            return work(code)
        return _ask(f"{work.__module__}:{work.__name__}", code)

    return run


def _ask(name: str, code: str) -> str:
    import msgspec

    arguments = name, str(SECONDS)
    child = Child(lambda number: ("-m", __name__, str(number), *arguments), _environment())
    try:
        # Half a character is none in UTF-8, and no code either.
        child.socket.sendall(code.encode("utf-8", "replace"))
        child.socket.shutdown(1)
        told = b""
        while data := child.socket.recv(_READ):
            told += data
    except OSError:
        told = b""  # it died
    finally:
        child.close()
    if not told and os.WTERMSIG(child.status or 0) == signal.SIGXCPU:
        raise CompileFailed(f"the code takes more than {SECONDS} s of processor time to parse")
    if not told:
        raise CompileFailed("the code could not be parsed: the helper that parses it died")
    answer = msgspec.json.decode(told)
    if isinstance(answer, str):
        return answer
    reason, line, column = answer
    raise CompileFailed(reason, line, column)


def _environment() -> dict[str, str]:
    """What the helper is told of the engine's environment: nothing but where its code is."""
    ours = str(Path(__file__).parents[3])
    path = [ours, *(path for path in sys.path if path and path != ours)]
    return {"PYTHONPATH": os.pathsep.join(path), "LC_ALL": "C.UTF-8"}


def main(number: int, name: str, seconds: int) -> None:
    """The helper: its socket, which function of which module it runs, and for how long it may."""
    import resource
    import socket

    import msgspec

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    with socket.socket(fileno=number) as engine:
        engine.setblocking(True)
        parts = []
        while data := engine.recv(_READ):
            parts.append(data)
        module, _, function = name.partition(":")
        answer: object
        try:
            answer = getattr(import_module(module), function)(b"".join(parts).decode())
        except CompileFailed as error:
            answer = error.reason, error.line, error.column
        engine.sendall(msgspec.json.encode(answer))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
