"""Documents as BSON, and back.

Lives here: the stored form of a document, and what its revision is. A document is stored as itself,
so that any tool of MongoDB can read and change it: `_id` is its id, `_revision` a number that every
write of ours raises, and all other fields are its own. One that MongoDB cannot hold as it is (null
characters and its operators in keys, nesting beyond 90) is kept as JSON text in `_text` instead.

What a tool of MongoDB's stored may have an `_id` of any type. It keeps it; its id is the text of
that: of an ObjectId its digits, of a UUID and a number what people write, and else Extended JSON.

A revision is that number with a checksum of the document behind it. So a change by a tool that
knows nothing of `_revision` makes another revision, too.
"""

from __future__ import annotations

import logging
import re
import time
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
import msgspec
from bson import ObjectId, json_util
from bson.binary import UUID_SUBTYPE, Binary
from bson.int64 import Int64

from greenflow.errors import InvalidArgument
from greenflow.store.document import Row, adopt, decode, encode, identifier

_ID, _TEXT = "_id", "_text"
REVISION = "_revision"

# The namespace and the name together, where a server has no index for documents with a name only.
KEY = "_key"

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

_OURS = frozenset((_ID, REVISION, KEY))

# The Extended JSON that keeps every type (its canonical form).
_EXTENDED = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL,
    uuid_representation=bson.binary.UuidRepresentation.UNSPECIFIED,
    tz_aware=False,
)
_INTEGER = re.compile(r"0|-?[1-9]\d{0,18}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WORDS = frozenset(("true", "false", "null"))

_log = logging.getLogger("greenflow.store")


def number(revision: int) -> int:
    """The `_revision` of a revision."""
    return revision >> _CHECK_BITS


def same_content(first: int, second: int) -> bool:
    """Whether two revisions of a document are of the same content, whatever their numbers are."""
    return not (first ^ second) & (1 << _CHECK_BITS) - 1


def next_number(before: int) -> int:
    """A `_revision` that is greater than `before`, and than those of documents that were deleted:
    they are milliseconds since 1970, if clocks are right, and never less than they were."""
    return max(before + 1, time.time_ns() // 1_000_000)


def id_text(key: Any) -> str:
    """The id of a document with this `_id`."""
    if isinstance(key, str):
        return key
    if isinstance(key, ObjectId) or (isinstance(key, int) and not isinstance(key, bool)):
        return str(key)
    if isinstance(key, float) and key.is_integer() and abs(key) < 1 << 53:
        return str(int(key))  # which is what shells make of whole numbers
    if isinstance(key, Binary) and key.subtype == UUID_SUBTYPE and len(key) == 16:
        return str(UUID(bytes=bytes(key)))
    return json_util.dumps(key, json_options=_EXTENDED, separators=(",", ":"))


def keys(ids: Iterable[str]) -> list[Any]:
    """What `_id` may be in documents with these ids."""
    found: list[Any] = []
    for id in ids:
        found += (id, *_other_keys(id))
    return found


def _other_keys(id: str) -> Iterator[Any]:
    """What is not a text, and has this text."""
    if len(id) == 24 and ObjectId.is_valid(id):
        yield ObjectId(id)
    elif _INTEGER.fullmatch(id) and -(1 << 63) <= int(id) < 1 << 63:
        yield Int64(id)
    elif _UUID.fullmatch(id):
        yield Binary(UUID(id).bytes, UUID_SUBTYPE)
    elif id.startswith("{") or id in _WORDS:
        try:
            key = json_util.loads(id, json_options=_EXTENDED)
        except (ValueError, TypeError, bson.errors.BSONError):
            return
        if id_text(key) == id:
            yield key


def stored(row: Row, number: int, has_key: bool = False) -> tuple[dict[str, Any], int]:
    """The stored form of a row, without `_id`, and its revision; with its namespace and name in one
    field, too, if the server needs that. Raises InvalidArgument for one that is too large."""
    document, text = decode(row.text), row.text
    document.pop("id", None)
    if not _fits(document, _MAX_DEPTH) or any(key.startswith("_") for key in document):
        document = {"namespace": row.namespace, _TEXT: row.text}
        if row.name is not None:
            document["name"] = row.name
    elif not text.startswith('{"id":'):
        text = encode({"id": row.id, **document}, "$")  # as it will be read
    form = {**document, REVISION: Int64(number)}
    if has_key and row.name is not None:
        form[KEY] = msgspec.json.encode([row.namespace, row.name]).decode()
    if len(row.text) > _SURELY_FITS and len(bson.encode(form)) > _MAX_BYTES:
        raise InvalidArgument(f"the document {row.id} is larger than the 16 MiB that MongoDB takes")
    return form, _revision(number, text)


def rows(found: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """The rows of stored documents. One that is no document of ours is left out, and logged."""
    taken = {each[_ID] for each in found if isinstance(each[_ID], str)}
    if len(taken) == len(found):
        taken = set()
    for each in found:
        key = each[_ID]
        try:
            if taken and not isinstance(key, str) and id_text(key) in taken:
                _log.warning("%r is left out: another document has the id %s", key, id_text(key))
                continue
            yield _row(each)
        except InvalidArgument as error:
            _log.warning("%s is left out: %s", id_text(key), error.__cause__)


def other_keys(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The `_id` of those that are no texts, by their ids."""
    return {id_text(each[_ID]): each[_ID] for each in found if not isinstance(each[_ID], str)}


def faults(found: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Those that are no documents of ours, and why."""
    for each in found:
        try:
            _row(each)
        except InvalidArgument as error:
            yield each, str(error.__cause__)


def _row(found: Mapping[str, Any]) -> Row:
    id, text = id_text(found[_ID]), found.get(_TEXT)
    if not id:
        raise InvalidArgument("$.id: is empty")
    if isinstance(text, str):
        document = decode(text)
    else:
        fields = {key: _plain(value) for key, value in found.items() if key not in _OURS}
        document = adopt({"id": id, **fields}, "$")
        text = encode(document, "$")
    namespace = identifier(document, "namespace", "$")
    if namespace is None:
        raise InvalidArgument("$.namespace: is missing")
    counted = found.get(REVISION)
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
