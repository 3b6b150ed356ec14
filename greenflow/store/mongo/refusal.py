"""What a server says that has not everything of MongoDB.

Lives here: which of its errors mean "I have no such thing", and not "not now" or "not you". What is
done instead is for who asked.

Servers that speak MongoDB's protocol refuse what they lack in words of their own. The codes are
those of mongod (src/mongo/base/error_codes.yml), which some use for the nearest thing they know:

    Amazon DocumentDB   303 Feature not supported: capped:true
                        136 modifyChangeStreams has not been run for this collection/...
                        Field 'partialFilterExpression' is currently not supported
    Azure Cosmos DB     2   Change stream must be followed by a match and then a project stage ...
                        40324 Unrecognized pipeline stage name: $changeStream
    FerretDB 2          115 Stage $changeStream is not supported yet in native pipeline
    FerretDB 1          238 Support for ... is not implemented
    a single mongod     40573 The $changeStream stage is only supported on replica sets
                        20  Transaction numbers are only allowed on a replica set member or mongos
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pymongo.errors import OperationFailure

from greenflow.errors import StoreUnavailable

if TYPE_CHECKING:
    from greenflow.store.mongo.driver import Driver

# CommandNotFound, CommandNotSupported, NotImplemented, IllegalOperation, DocumentDB's own two, and
# those of stages of a pipeline that are not known, or not on a single server.
_CODES = frozenset((59, 115, 238, 20, 303, 304, 40324, 40573))

_WORDS = re.compile(
    r"not (?:yet |currently )?(?:supported|implemented|enabled)|unsupported|unrecognized"
    r"|has not been run|must be followed by|only (?:supported|allowed) on",
    re.IGNORECASE,
)


class Refused(Exception):
    """The server has no such thing; what it said is the text."""


def is_refusal(error: OperationFailure) -> bool:
    """Whether the server says that it has no such thing."""
    return error.code in _CODES or _WORDS.search(words(error)) is not None


def words(error: OperationFailure) -> str:
    """What the server said."""
    return str((error.details or {}).get("errmsg") or error)


@contextmanager
def refusable(driver: Driver) -> Iterator[None]:
    """In the driver: what the server may refuse is Refused then, or StoreUnavailable if the URL
    asks for it."""
    try:
        yield
    except OperationFailure as error:
        if not is_refusal(error):
            raise
        refusal = words(error)
    else:
        return
    if driver.feed is not None:
        raise StoreUnavailable(f"{driver.name}: {refusal}")
    raise Refused(refusal)
