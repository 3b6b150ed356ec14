"""What the installed packages offer us: kinds, languages, stores and brokers by their entry points.

Lives here: the look-up. What a group of entry points means is said where it is looked up.

Python reads the metadata of every installed package at each look, some milliseconds where a hundred
are installed. They are read once, and again when a folder of `sys.path` has changed, as it does
when a package is installed. importlib.metadata is imported late: it takes longer than a look.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

Folders = tuple[tuple[str, int], ...]  # each, and when something was last put in or taken out


def offered(group: str) -> EntryPoints:
    """The entry points of a group in all installed packages."""
    return _group(tuple(map(_state, sys.path)), group)


def _state(folder: str) -> tuple[str, int]:
    try:
        return folder, os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return folder, 0  # not there


@functools.lru_cache(maxsize=64)  # gevent asks for some, too
def _group(folders: Folders, group: str) -> EntryPoints:
    points: EntryPoints = _all(folders).select(group=group)
    return points


@functools.lru_cache(maxsize=1)
def _all(folders: Folders) -> Any:
    from importlib.metadata import entry_points

    return entry_points()
