"""The indexes of a MongoDB collection, and what stands in for those that a server refuses.

Lives here: `make_indexes`. A name is unique in its namespace; a document without name, or with an
empty one, is reached by its id only, and there may be any number of those. So the index is of
documents with a name. A server without such indexes has one of a field of our own that only
documents with a name have; and one without those, too, has none that is unique: two writers at the
same moment may then give a name twice there.
"""

from __future__ import annotations

import logging
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from greenflow.store.mongo.documents import KEY, REVISION
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.refusal import is_refusal, words

# CannotCreateIndex, InvalidIndexSpecificationOption, InvalidOptions: the index is wrong for the
# server, and nothing else of it is ours to mend.
_UNFIT = frozenset((67, 197, 72))

_NAMES = [("namespace", ASCENDING), ("name", ASCENDING)]

_log = logging.getLogger("greenflow.store")


def make_indexes(driver: Driver, collection: Collection[dict[str, Any]]) -> bool:
    """In the driver: make them; whether documents need the field KEY."""
    collection.create_index([(REVISION, ASCENDING)], name="revisions")
    try:
        collection.create_index(
            _NAMES, unique=True, partialFilterExpression={"name": {"$gt": ""}}, name="names"
        )
        return False
    except OperationFailure as error:
        if not _is_unfit(error):
            raise
    try:
        collection.create_index([(KEY, ASCENDING)], unique=True, sparse=True, name="keys")
        return True
    except OperationFailure as error:
        if not _is_unfit(error):
            raise
        _log.warning(
            "%s: no unique index of %s: %s; two writers at the same moment may give a name twice",
            driver.name,
            collection.name,
            words(error),
        )
    collection.create_index(_NAMES, name="plain")
    return False


def _is_unfit(error: OperationFailure) -> bool:
    return error.code in _UNFIT or is_refusal(error)
