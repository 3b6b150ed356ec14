"""Documents as BSON, and back.

Lives here: the stored form of a document, and what its revision is. A document is stored as itself,
so that any tool of MongoDB can read and change it: `_id` is its id, `_revision` a number that every
write of ours raises, and all other fields are its own. One that MongoDB cannot hold as it is (null
characters and its operators in keys, nesting beyond 90) is kept as JSON text in `_text` instead.

A revision is that number with a checksum of the document behind it. So a change by a tool that
knows nothing of `_revision` makes another revision, too.
"""

from __future__ import annotations

import logging
import time
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import bson
from bson import ObjectId
from bson.int64 import Int64

from greenflow.errors import InvalidArgument
from greenflow.store.document import Row, adopt, decode, encode, identifier

_ID, _REVISION, _TEXT = "_id", "_revision", "_text"

# Bits of the checksum: two changes of a tool in a row have the same one in a million.
_CHECK_BITS = 20

# Lists and maps inside each other that mongod takes in a stored document ("BSON Types" in its
# manual: 100 levels), less those around it in a command.
_MAX_DEPTH = 90

# Bytes of a stored document that mongod takes ("MongoDB Limits" in its manual), less some for what
# it adds itself.
_MAX_BYTES = (16 << 20) - (16 << 10)

# Characters of JSON up to which a document is within that, whatever is in it: an item of a list
# takes 2 of them at least, and 16 bytes at most of what is not text.
_SURELY_FITS = _MAX_BYTES // 8

_log = logging.getLogger("greenflow.store")


def number(revision: int) -> int:
    """The `_revision` of a revision."""
    return revision >> _CHECK_BITS


def next_number(before: int) -> int:
    """A `_revision` that is greater than `before`, and than those of documents that were deleted:
    they are milliseconds since 1970, if clocks are right, and never less than they were."""
    return max(before + 1, time.time_ns() // 1_000_000)


def keys(ids: Iterable[str]) -> list[Any]:
    """What `_id` may be in documents with these ids: tools make ObjectIds of their own."""
    found: list[Any] = list(ids)
    return [*found, *(ObjectId(id) for id in found if len(id) == 24 and ObjectId.is_valid(id))]


def stored(row: Row, number: int) -> tuple[dict[str, Any], int]:
    """The stored form of a row, without `_id`, and its revision. Raises InvalidArgument for one
    that is too large."""
    document = decode(row.text)
    document.pop("id", None)
    if not _fits(document, _MAX_DEPTH) or any(key.startswith("_") for key in document):
        document = {"namespace": row.namespace, _TEXT: row.text}
        if row.name is not None:
            document["name"] = row.name
    form = {**document, _REVISION: Int64(number)}
    if len(row.text) > _SURELY_FITS and len(bson.encode(form)) > _MAX_BYTES:
        raise InvalidArgument(f"the document {row.id} is larger than the 16 MiB that MongoDB takes")
    return form, _revision(number, row.text)


def rows(found: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """The rows of stored documents. One that is no document of ours is left out, and logged."""
    for each in found:
        try:
            yield _row(each)
        except InvalidArgument as error:
            _log.warning("%s is left out: %s", each.get(_ID), error.__cause__)


def _row(found: Mapping[str, Any]) -> Row:
    id, text = str(found[_ID]), found.get(_TEXT)
    if isinstance(text, str):
        document = decode(text)
    else:
        fields = {key: _plain(value) for key, value in found.items() if key not in (_ID, _REVISION)}
        document = adopt({"id": id, **fields}, "$")
        text = encode(document, "$")
    namespace = identifier(document, "namespace", "$")
    if namespace is None:
        raise InvalidArgument("$.namespace: is missing")
    counted = found.get(_REVISION)
    count = int(counted) if isinstance(counted, int | float) else 0
    return Row(id, namespace, identifier(document, "name", "$"), _revision(count, text), text)


def _revision(number: int, text: str) -> int:
    return number << _CHECK_BITS | zlib.crc32(text.encode()) & (1 << _CHECK_BITS) - 1


def _fits(value: Any, depth: int) -> bool:
    """Whether BSON holds the value as it is."""
    if isinstance(value, dict):
        return depth > 0 and all(
            _is_plain(key) and _fits(item, depth - 1) for key, item in value.items()
        )
    if isinstance(value, list):
        return depth > 0 and all(_fits(item, depth - 1) for item in value)
    return True


def _is_plain(key: str) -> bool:
    return not key.startswith("$") and "." not in key and "\0" not in key


def _plain(value: Any) -> Any:
    """A value of BSON as plain data: what a tool stored may be of any type."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return str(value)
