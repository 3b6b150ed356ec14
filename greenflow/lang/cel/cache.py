"""The user's folder for what can be made again, such as the built parser of a grammar.

Lives here: where a file of ours may be kept between processes, and whether its folder can be
trusted. Lark keeps a parser as a pickle, and whoever writes a pickle decides what its reader runs.
So the folder is the user's own (XDG Base Directory Specification: $XDG_CACHE_HOME, or ~/.cache),
private to the user, and in no folder in which another user could put something in its place: what
sshd asks of a home by StrictModes. Where that does not hold, nothing is kept.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: The folder in the user's cache.
NAME = "greenflow"


def place(name: str) -> Path | None:
    """The file of this name, in a folder that is there; None where nothing is to be kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(base):  # nobody's home, or to be ignored by the specification
        return None
    try:
        folder = Path(base).resolve() / NAME
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / name if _is_private(folder) else None
    except OSError:
        return None


def _is_private(folder: Path) -> bool:
    """Whether nobody but the user and root can read or change the folder, or put another there."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.geteuid():
        return False
    return all(_is_safe(parent.lstat()) for parent in folder.parents)


def _is_safe(status: os.stat_result) -> bool:
    """Whether other users cannot rename what the user has in a folder."""
    if status.st_uid not in (0, os.geteuid()):
        return False
    return not status.st_mode & 0o022 or bool(status.st_mode & stat.S_ISVTX)
