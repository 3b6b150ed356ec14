"""A transaction of MongoDB: begun again when the server says so, and not for ever.

Lives here: `in_transaction`. What is done in one is its owner's. The driver has a helper of its
own, which goes on for two minutes after a majority has gone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError, WriteConcernError
from pymongo.read_concern import ReadConcern

from greenflow.store.mongo.driver import Driver

T = TypeVar("T")

# Seconds for which it is begun or committed again: twice an election.
SECONDS = 24.0


def in_transaction(
    driver: Driver, function: Callable[[ClientSession], T], read_concern: ReadConcern | None = None
) -> T:
    """In the driver: what the function returns, once all that it did is committed."""
    end = monotonic() + SECONDS
    with driver.client.start_session() as session:
        while True:
            session.start_transaction(
                read_concern=read_concern,
                write_concern=driver.database.write_concern,
                read_preference=ReadPreference.PRIMARY,
            )
            try:
                result = function(session)
                _commit(session, end)
                return result
            except BaseException as error:
                if session.in_transaction:
                    with suppress(PyMongoError):  # the server does it after a while
                        session.abort_transaction()
                again = isinstance(error, PyMongoError) and error.has_error_label(
                    "TransientTransactionError"
                )
                if not again or monotonic() > end:
                    raise


def _commit(session: ClientSession, end: float) -> None:
    while True:
        try:
            session.commit_transaction()
            return
        except PyMongoError as error:
            # It may have been done, and to ask again does no harm; one that has waited for a
            # majority has had its time.
            is_unknown = error.has_error_label("UnknownTransactionCommitResult")
            if not is_unknown or isinstance(error, WriteConcernError) or monotonic() > end:
                raise
