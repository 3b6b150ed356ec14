"""`greenflow` and `python -m greenflow`: what must happen before anything else is imported.

Lives here: the patches of gevent, standard streams, what an interrupt does while nothing has begun,
and nothing that knows a command. The library never patches; the
command line does, so that drivers and functions in workflows block their greenlet and no other. A
command that only tells something does without, for the patches cost most of its time.
"""

from __future__ import annotations

# Not signal, which takes a while: an interrupt may come at any moment.
import _signal  # type: ignore[import-not-found]
import os
import sys

_INTERRUPTED = 130  # as a shell expects it: 128 and the number of SIGINT


def _end_quietly(number: int, frame: object) -> None:
    os._exit(_INTERRUPTED)


def _interrupts_end_quietly() -> None:
    """There is nothing to undo, and an exception in the middle of an import is told by whoever it
    hits. The command takes interrupts over when it begins."""
    if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _end_quietly)


_IS_PROGRAM = __name__ == "__main__" or os.path.basename(sys.argv[0]) == "greenflow"
if _IS_PROGRAM:
    _interrupts_end_quietly()

TYPE_CHECKING = False  # as typing says it, which takes a while
if TYPE_CHECKING:
    from typing import Any

#: Commands and options that start no greenlet.
_QUICK = frozenset(
    {"version", "kinds", "schema", "migrate", "init", "completion", "--version", "--help", "-h"}
    | {
        "bundle",
        "cancel",
        "logs",
        "pause",
        "processes",
        "ps",
        "resume",
        "stacks",
        "status",
        "top",
        "wait",
    }
)


def main() -> int:
    """Runs the command that the arguments name; returns what the OS process is to exit with."""
    try:
        return _main()
    except KeyboardInterrupt:  # between the command and here
        return _INTERRUPTED
    finally:
        if _IS_PROGRAM:
            _interrupts_end_quietly()


def _main() -> int:
    _occupy_standard_descriptors()
    arguments = sys.argv[1:]
    if not _is_quick(arguments):
        _patch()
    from greenflow.cli import main as run

    return run(arguments)


def _patch() -> None:
    """The patches of gevent, without its looks for plugins of its own: it has 25 of them, and each
    reads the metadata of all installed packages, together as long as all else that is imported.
    They are read once."""
    from importlib import metadata

    from gevent import monkey

    from greenflow.plugins import offered

    look = metadata.entry_points

    def look_once(**by: Any) -> Any:
        return offered(by["group"]) if by.keys() == {"group"} else look(**by)

    metadata.entry_points = look_once
    try:
        monkey.patch_all()
    finally:
        metadata.entry_points = look


def _is_quick(arguments: list[str]) -> bool:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return not arguments or arguments[0] in _QUICK or not {"--help", "-h"}.isdisjoint(options)


def _occupy_standard_descriptors() -> None:
    """Opens what the caller closed of descriptors 0 to 2. The next file that is opened would get
    such a number, and what is printed would be written into the database."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:  # so nobody need ask whether it is there
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
