"""What ports are called.

Lives here: the grammar of port names, and the ports that every kind has. What a port is to a packet
is engine/port.py's.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import TypeVar

Ports = tuple[tuple[str, ...], tuple[str, ...]]
"""The in and the out ports that a node declares."""

T = TypeVar("T")

ERROR = "error"  # the out port that every kind has (BEHAVIOUR 2.5)
LIFECYCLE = ("init", "active", "deactive", "deinit")  # out ports of every kind (BEHAVIOUR 2.8)

# A word, then at most one index without leading zeros, matched whole (BEHAVIOUR 2.2).
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_INDEX = r"(?:\[(0|[1-9][0-9]{0,5})\])"
_NAME = re.compile(rf"({_WORD}){_INDEX}?")

#: Port names, and the names of `out[i]` ports, as the patterns of JSON Schema are written.
PORT = rf"^{_WORD}{_INDEX}?$"
OUT_PORT = rf"^out{_INDEX}?$"


def parse(name: str) -> tuple[str, int]:
    """The word and the index of a port name; without an index it is 0 (BEHAVIOUR 2.1).

    Raises ValueError for what is no port name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no port name; write a word, or a word and an [index]")
    return match[1], int(match[2] or 0)


def canonical(name: str) -> str:
    """The one spelling under which a port is kept: `out[0]` is `out`. Raises ValueError."""
    word, index = parse(name)
    return f"{word}[{index}]" if index else word


def misspelt(name: str) -> str | None:
    """Why it is no port name; None if it is one."""
    try:
        canonical(name)
    except ValueError as error:
        return str(error)
    return None


def by_port(bounds: Mapping[str, T]) -> dict[str, T]:
    """What is said of each port, by its one spelling; of two for one port the first counts."""
    return {canonical(port): said for port, said in reversed(list(bounds.items()))}


def each_once(ports: Ports) -> tuple[frozenset[str], frozenset[str]]:
    """The same, to be asked for many names."""
    return frozenset(ports[0]), frozenset(ports[1])


def has_port(declared: Container[str], name: str) -> bool:
    """Whether ports declared like this include one of that canonical name."""
    return name in declared or (f"{parse(name)[0]}[i]" in declared)


def has_output(declared: Container[str], name: str) -> bool:
    """Whether a kind that declares these out ports has one of that canonical name."""
    return name == ERROR or name in LIFECYCLE or has_port(declared, name)
