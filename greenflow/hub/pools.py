"""The pools of a hub, for who wants to know how full they are.

Lives here: what a pool says of itself (PoolState), and which pools there are. A pool is one of OS
processes, or of connections; it enrols itself when it is made, and is forgotten with its last
reference. Nothing is counted for it: the state is read from the pool when somebody asks.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary, WeakSet

from gevent import get_hub


class PoolState(NamedTuple):
    """What a pool is like now. `size` is how many members it may have, `busy` how many work,
    `waiting` how many jobs wait for one, `oldest` when its oldest member began, by monotonic(). Two
    pools may have one kind and name."""

    kind: str
    name: str
    size: int
    busy: int
    waiting: int
    oldest: float | None

    @property
    def age(self) -> float:
        """Seconds that its oldest member is there; 0 without one."""
        return 0.0 if self.oldest is None else monotonic() - self.oldest


class Pooled(Protocol):
    """What is a pool."""

    def state(self) -> PoolState:
        """What it is like now."""


_pools: WeakKeyDictionary[Any, WeakSet[Pooled]] = WeakKeyDictionary()

# The pools of a parent are not a fork's.
os.register_at_fork(after_in_child=_pools.clear)


def enrol(pool: Pooled) -> None:
    """It is a pool of the calling thread's hub."""
    _pools.setdefault(get_hub(), WeakSet()).add(pool)


def withdraw(pool: Pooled) -> None:
    """It is closed."""
    for pools in _pools.values():
        pools.discard(pool)


def states() -> list[PoolState]:
    """Every pool of the calling thread's hub."""
    return [pool.state() for pool in list(_pools.get(get_hub(), ()))]
