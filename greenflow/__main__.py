"""`greenflow` and `python -m greenflow`: what must happen before anything else is imported.

Lives here: the patches of gevent, and nothing that knows a command. The library never patches; the
command line does, so that drivers and functions in workflows block their greenlet and no other. A
command that only tells something does without, for the patches cost most of its time.
"""

from __future__ import annotations

import os
import sys
from typing import Any

#: Commands and options that start no greenlet.
_QUICK = frozenset({"version", "kinds", "schema", "migrate", "--version", "--help"})


def main() -> int:
    """Runs the command that the arguments name; returns what the OS process is to exit with."""
    try:
        return _main()
    except KeyboardInterrupt:  # while the command was loading
        import signal

        return 128 + signal.SIGINT  # as a shell expects it


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
    return not arguments or arguments[0] in _QUICK or "--help" in options


def _occupy_standard_descriptors() -> None:
    """Opens what the caller closed of descriptors 0 to 2. The next file that is opened would get
    such a number, and what is printed would be written into the database."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
