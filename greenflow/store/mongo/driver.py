"""The connection to MongoDB: its settings, where its calls run, and what their errors mean.

Lives here: Driver. A call of a workflow never runs in the workflow's own greenlet, because pymongo
is not to be interrupted in the middle: it runs in a greenlet of the driver if the program is
monkey-patched, else in a native thread, and only the wait for it can be given up.

No password of the URL is ever shown.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from pymongo import MongoClient, ReadPreference
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.write_concern import WriteConcern

from greenflow.config import mongodb
from greenflow.errors import StoreMisconfigured, StoreUnavailable
from greenflow.hub.blocking.threads import Task, Threads
from greenflow.hub.patching import is_patched
from greenflow.log.redactor import redact, redact_url

T = TypeVar("T")

# Milliseconds that a call waits for a server to be there, unless the URL says otherwise. A call of
# a workflow should fail before its client gives up; an election takes a second or two.
SELECTION_MS = 5_000

# Native threads of a program that is not patched: the feeds, and calls side by side.
THREADS = 16

# Milliseconds that a write waits for the other servers of a majority, unless the URL says
# otherwise: an election takes some 12 seconds, and who waits should be told before giving up.
WRITE_MS = 10_000

FEEDS = ("stream", "tail", "poll")

_log = logging.getLogger("greenflow.store")


class Driver:
    """A client of the database that the URL names, opened at the first call. Belongs to one hub."""

    def __init__(self, url: str) -> None:
        self.name = redact_url(url)
        plain, self.feed = self._without_feed(url)
        options: dict[str, Any] = {"appname": "greenflow", "connect": False, "tz_aware": False}
        given = mongodb.options(plain)
        if "w" not in given:
            options["w"] = "majority"
        if "journal" not in given and given.get("w") != "0":
            options["journal"] = True  # a single server would answer before the write is on disk
        if "serverselectiontimeoutms" not in given:
            options["serverSelectionTimeoutMS"] = SELECTION_MS
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # an unknown option is only warned of
                self.client: MongoClient[dict[str, Any]] = MongoClient(plain, **options)
            # Whatever the URL says: what was written a moment ago has to be read, and a transaction
            # reads from nowhere else.
            self.database: Database[dict[str, Any]] = self.client.get_default_database(
                mongodb.DEFAULT_DATABASE,
                read_preference=ReadPreference.PRIMARY,
                write_concern=self._in_time(self.client.write_concern),
            )
        except InvalidURI as error:
            reason = mongodb.UNREADABLE if "@" in url else str(error)
            raise StoreMisconfigured(f"{self.name}: {reason}") from None
        except (ConfigurationError, UserWarning, ValueError, TypeError, OSError) as error:
            raise StoreMisconfigured(f"{self.name}: {redact(str(error))}") from None
        if not self.client.write_concern.acknowledged:
            raise StoreMisconfigured(f"{self.name}: with w=0 nobody knows whether a write was done")
        self._threads = Threads(THREADS, cooperates=is_patched())
        self._is_closed = False
        self.polls = False
        #: Whether the server has transactions; None: it has not been asked for one.
        self.has_transactions: bool | None = None

    @staticmethod
    def _in_time(given: WriteConcern) -> WriteConcern:
        options = given.document
        return WriteConcern(**{"wtimeout": WRITE_MS, **options}) if "w" in options else given

    def kind(self, has_history: bool) -> str:
        """How changes are followed: `stream`, `tail` or `poll`."""
        return self.feed or ("poll" if self.polls else "stream" if has_history else "tail")

    def settle_for_polls(self, reason: str) -> None:
        """The server refused what changes are followed by otherwise; `reason` is in its words."""
        if not self.polls:
            self.polls = True
            _log.warning(
                "%s: changes are followed by comparing all revisions every second: %s",
                self.name,
                redact(reason),
            )

    def settle_for_steps(self, reason: str) -> None:
        """The server refused a transaction; `reason` is in its words."""
        if self.has_transactions is None:
            self.has_transactions = False
            _log.warning(
                "%s: documents are written one by one, without transactions: %s",
                self.name,
                redact(reason),
            )

    def _without_feed(self, url: str) -> tuple[str, str | None]:
        """The URL for the driver, and our own option in it."""
        location, _, query = url.partition("?")
        options = parse_qsl(query, keep_blank_values=True)
        wanted = [value for key, value in options if key == "feed"]
        if not wanted:
            return url, None
        if wanted[-1] not in FEEDS:
            raise StoreMisconfigured(
                f"{self.name}: unknown feed {wanted[-1]!r}; allowed are {', '.join(FEEDS)}"
            )
        rest = urlencode([(key, value) for key, value in options if key != "feed"])
        return f"{location}?{rest}" if rest else location, wanted[-1]

    def has_history(self) -> bool:
        """Whether the server has transactions and change streams: a replica set or a sharded
        cluster, not a single server. In `run`."""
        hello = self.client.admin.command("hello")
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    def run(self, function: Callable[[], T]) -> T:
        """What the function returns, which calls the driver. Raises StoreUnavailable, and what the
        function does. When the caller is killed meanwhile, the function goes on."""
        task = self.start(function)
        try:
            return task.outcome()
        except Exception as error:
            reason = self.meaning(error)
            cause = error.__cause__
        raise reason from cause

    def start(self, function: Callable[[], T]) -> Task[T]:
        """Begin a function that calls the driver."""
        if self._is_closed:
            raise self.closed()
        return self._threads.begin(function)

    def closed(self) -> StoreUnavailable:
        """The error of a store that was closed."""
        return StoreUnavailable(f"{self.name}: the store is closed")

    def meaning(self, error: Exception) -> Exception:
        """An error of the driver as one of ours; others stay as they are."""
        if isinstance(error, BulkWriteError):
            details = error.details or {}
            faults = details.get("writeErrors", ())
            if faults:
                return self._away(faults[0].get("errmsg", ""))
            unconfirmed = details.get("writeConcernErrors", ())
            return self._unconfirmed(unconfirmed[0].get("errmsg", "") if unconfirmed else "")
        if isinstance(error, WriteConcernError):
            return self._unconfirmed(str((error.details or {}).get("errmsg") or error))
        if isinstance(error, OperationFailure):
            return self._away(str((error.details or {}).get("errmsg") or error))
        if isinstance(error, PyMongoError):
            # The driver adds its settings and a picture of all servers behind the reason.
            return self._away(re.split(r" \(configured timeouts|, Timeout:", str(error))[0])
        return error

    def _unconfirmed(self, reason: str) -> StoreUnavailable:
        limit = self.database.write_concern.document.get("wtimeout", WRITE_MS) / 1000
        return self._away(
            f"the write was not confirmed by enough servers within {limit:g} s, and may be kept or"
            f" lost: {reason}"
        )

    def _away(self, reason: str) -> StoreUnavailable:
        return StoreUnavailable(f"{self.name}: {redact(reason)}")

    def close(self) -> None:
        """End the connections, once the calls under way are done. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._threads.join()
        self.client.close()
        self._threads.close()
