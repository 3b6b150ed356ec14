"""Has the store record what other programs wrote past it, once the loader has seen it.

Lives here: Claiming, with a greenlet of its own: no change waits for it. The loader tells it which
documents changed, whoever changed them; what of that was another program's, the store knows, and
that somebody else has recorded it already (BEHAVIOUR 7.19).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from greenflow.errors import GreenflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Set

    # A document and its revision.
    Known = tuple[Mapping[str, Any], int]
    Claim = Callable[[Set[str] | None, Mapping[str, Known]], int]

# Seconds for which what changes is gathered before the store is asked: a batch by another program
# is one change then, and asking costs little beside what was loaded.
GATHER = 0.1

# Seconds between two tries with a store that is away.
AGAIN = 5.0

_log = logging.getLogger("greenflow.loader")


class Claiming:
    """Asks for one namespace of a collection. `claim` gets the ids that changed, None for all, and
    the documents that were known under them before; it returns how many were another program's."""

    def __init__(self, claim: Claim, namespace: str) -> None:
        self._claim, self._namespace = claim, namespace
        self._known: dict[str, Known | None] = {}
        self._all = False
        self._news, self._stopping = Event(), Event()
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Ask from now on."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Ask no more, once what is under way is done."""
        self._stopping.set()
        self._news.set()
        if self._greenlet is not None:
            self._greenlet.join()

    def some(self, known: Mapping[str, Known | None]) -> None:
        """The documents with these ids changed; that is what was known of them before."""
        self._known = {**known, **self._known}
        self._news.set()

    def all(self) -> None:
        """Any document may have changed."""
        self._all = True
        self._news.set()

    def _run(self) -> None:
        while self._news.wait():
            self._stopping.wait(GATHER)
            # Not what `wait` says: on a hub with much to do its time may be over before it is told.
            if self._stopping.is_set():
                break
            self._news.clear()
            known, self._known = self._known, {}
            every, self._all = self._all, False
            try:
                count = self._ask(known, every)
            except GreenflowError as error:
                _log.debug("what others wrote is not recorded yet: %s", error)
                self.some(known)
                self._all = self._all or every
                self._stopping.wait(AGAIN)
            else:
                if count:
                    _log.info(
                        "%d documents were changed by another program, which is recorded",
                        count,
                        extra={"namespace": self._namespace},
                    )

    def _ask(self, known: Mapping[str, Known | None], every: bool) -> int:
        before = {id: each for id, each in known.items() if each is not None}
        count = self._claim(None, before) if every else 0
        return count + (self._claim(known.keys(), before) if known else 0)
