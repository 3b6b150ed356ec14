"""Who changes what is stored, and why: what a change in the history is signed with.

Lives here: Signature. How a change is kept is the store's (store/change.py); this is what whoever
writes hands in, so it is known below the stores.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple


class Signature(NamedTuple):
    """Who writes a batch, why, and from what.

    `places` says for each document of the batch where it was written, as `path:line`; `files` holds
    the texts of those paths, so that their comments survive. With `group` the documents belong to
    that set from now on. The batch is refused unless the newest changes of the namespaces that are
    in `expected` are those.
    """

    author: str
    message: str = ""
    source: str = ""
    places: tuple[str, ...] = ()
    files: Mapping[str, str] = MappingProxyType({})
    group: str = ""
    expected: Mapping[str, int] = MappingProxyType({})


def here(message: str = "", source: str = "") -> Signature:
    """The signature of the user of this OS process."""
    return Signature(_user_at_host(), message, source) if message or source else _plain()


def node(label: str) -> Signature:
    """The signature of a `syscall` node, by its name or id."""
    return Signature(f"syscall:{label}", source="syscall")


def unknown() -> Signature:
    """The signature of what another program wrote past the store (BEHAVIOUR 7.19)."""
    return Signature("unknown", "written by another program")


@cache
def _plain() -> Signature:
    return Signature(_user_at_host())


@cache
def _user_at_host() -> str:
    number = os.geteuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:  # a container may run as a user that it has no name for
        user = str(number)
    return f"{user}@{socket.gethostname()}"
