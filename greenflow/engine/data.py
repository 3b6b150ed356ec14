"""What a process holds: data that its nodes keep for one another, and resources to release.

Lives here: Data and Resources. When they are released, and by whom, is process.py's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from greenflow.engine.origin import blame
from greenflow.payload.origin import origin_of

#: Told what a process failed with when its resources have been released; None: all committed.
Settled = Callable[[BaseException | None], object]

_log = logging.getLogger("greenflow.process")
_MISSING = object()


class Data:
    """The data of a process (BEHAVIOUR 4.4): reads fall through to the parents, writes stay
    here."""

    __slots__ = ("_items", "_parent")

    def __init__(self, parent: Data | None) -> None:
        self._items: dict[Any, Any] = {}
        self._parent = parent

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of the nearest level that has the key."""
        level: Data | None = self
        while level is not None:
            if key in level._items:
                return level._items[key]
            level = level._parent
        return default

    def set(self, key: Any, value: Any) -> None:
        """Write at this level."""
        self._items[key] = value

    def delete(self, key: Any) -> bool:
        """Remove from this level; whether it was there."""
        return self._items.pop(key, _MISSING) is not _MISSING

    def take(self, key: Any, default: Any = None) -> Any:
        """Read and remove at the nearest level that has the key: one taker gets the value."""
        level: Data | None = self
        while level is not None:
            if key in level._items:
                return level._items.pop(key)
            level = level._parent
        return default


class Resources:
    """What a process releases, the last first: resources when it settles, hooks when it exits; and
    who is told, in order, how that ended."""

    __slots__ = ("_held", "_told")

    def __init__(self) -> None:
        self._held: list[tuple[bool, Callable[..., object], Any]] = []
        self._told: deque[Settled] = deque()

    def hold(self, is_resource: bool, release: Callable[..., object], origin: Any = None) -> None:
        """Keep something; it is released like a context manager is left. `origin` is the node that
        opened it."""
        self._held.append((is_resource, release, origin))

    def tell(self, hook: Settled) -> None:
        """Call the hook once, when the resources have been released."""
        self._told.append(hook)

    def release(
        self, error: BaseException | None, *, hooks: bool, onto: Resources | None = None
    ) -> BaseException | None:
        """Release the resources, and at the end the hooks too; what is added meanwhile comes first.

        With an error the resources roll back. Returns it, or the first error of a commit; the
        resources that come after that one roll back. When all went well, the first error of a hook
        that was told so: what was committed stays so. Who is to be told of a commit is handed over
        to `onto`, if there is one: it is a part of that one's work.
        """
        kept: list[tuple[bool, Callable[..., object], Any]] = []
        while self._held:
            is_resource, release, origin = self._held.pop()
            if is_resource or hooks:
                failure = release_one(release, error)
                if error is None and is_resource:
                    error = failure
                    if error is not None and origin is not None and origin_of(error) is None:
                        blame(error, origin)
            else:
                kept.append((is_resource, release, origin))
        self._held = kept[::-1]
        outcome = error
        if onto is not None and error is None:
            onto._told.extend(self._told)
            self._told.clear()
        while self._told:
            failure = release_one(partial(_tell, self._told.popleft(), outcome), error)
            error = error or failure
        return error


def _tell(hook: Settled, outcome: BaseException | None, *_: object) -> None:
    hook(outcome)


def release_one(
    release: Callable[..., object], error: BaseException | None
) -> BaseException | None:
    """Release one thing; its own error is returned, and logged where it is not the first."""
    try:
        release(type(error) if error is not None else None, error, None)
    except Exception as failure:
        if failure is not error:
            if error is not None:
                _log.error("a resource failed to close: %s", failure, exc_info=failure)
            return failure
    return None
