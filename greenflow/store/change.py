"""One change of what is stored: who made it, when and why, with each document before and after.

Lives here: Change, its parts, and the packed form in which stores keep an edit. Must not live here:
where a store puts them, and what is made of them (rollback.py).

A document's edits form a chain. Most hold only how the document differs from the one before:
compressed with that one's text as the dictionary, so a change of one field of a specification costs
tens of bytes. An edit of depth 0 is whole, both texts in it; so is every 32nd, and each whose
document was not as the last edit had left it, because another program wrote in between.

The data of a value is kept only when it is encrypted.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from greenflow.errors import ChangedMeanwhile, StoreUnavailable
from greenflow.spec.signature import Signature
from greenflow.store.document import Row, decode, encode
from greenflow.values.values import without_clear_data

SPECS, VALUES, FILES = "specs", "values", "files"

# Edits from one that is whole to the next: to read one is to read those before it, some
# microseconds each.
CHAIN = 32

# zlib's window of 2**13 bytes takes the time of a specification of some KiB, not that of clearing
# 32 KiB; a longer text has the full one.
_SMALL_WINDOW, _FULL_WINDOW = 13, 15

# Names that a heading gives: what a line of `greenflow log` has room for.
NAMES = 4

CREATED, CHANGED, DELETED = "created", "changed", "deleted"


class Edit(NamedTuple):
    """One document of a change, as JSON text before and after; None where it was not there.

    `place` is where it was written, as `path:line`. The edit of a file has its path as `id`.
    """

    number: int
    collection: str
    id: str
    name: str | None
    revision: int
    before: str | None
    after: str | None
    place: str

    def __repr__(self) -> str:
        return f"<Edit of {self.name or self.id} in change {self.number}>"  # values are secrets

    @property
    def verb(self) -> str:
        """What was done: created, changed or deleted."""
        return verb(self.before, self.after)


class Counts(NamedTuple):
    """How many documents of specs and values a change created, changed and deleted."""

    created: int
    changed: int
    deleted: int


class Heading(NamedTuple):
    """A change without its documents: `time` in seconds since 1970; `names` are those of the first
    documents."""

    namespace: str
    number: int
    time: float
    author: str
    message: str
    source: str
    group: str
    counts: Counts
    names: tuple[str, ...]


class Pair(NamedTuple):
    """A row before and after a batch."""

    before: Row | None
    after: Row | None
    place: str = ""

    @property
    def row(self) -> Row:
        """The one that is there."""
        row = self.after if self.after is not None else self.before
        assert row is not None
        return row


class Packed(NamedTuple):
    """An edit as stores keep it. `depth` is how many edits before it are needed to read it."""

    number: int
    collection: str
    id: str
    name: str | None
    revision: int
    verb: str
    depth: int
    place: str
    data: bytes


class Last(NamedTuple):
    """The newest edit of a document: what the next one may lean on; `is_gone` if it deleted it."""

    revision: int
    depth: int
    is_gone: bool = False


def verb(before: str | None, after: str | None) -> str:
    """What a change from one text to the other is called."""
    if before is None:
        return CREATED
    return DELETED if after is None else CHANGED


def kept(collection: str, text: str | None) -> str | None:
    """The text as the history keeps it: that of a value has its data only if it is encrypted."""
    if collection != VALUES or text is None:
        return text
    return encode(without_clear_data(decode(text)), "$")


def pack(number: int, collection: str, pair: Pair, last: Last | None) -> Packed:
    """The edit of one document, leaning on its last one if the document is as that left it."""
    row = pair.row
    before = None if pair.before is None else kept(collection, pair.before.text)
    after = None if pair.after is None else kept(collection, pair.after.text)
    leans = (
        before is not None
        and pair.before is not None
        and last is not None
        and last.revision == pair.before.revision
        and last.depth + 1 < CHAIN
    )
    depth = last.depth + 1 if leans and last is not None else 0
    data = _squeezed(after or "", before) if leans else _squeezed(f"{before or ''}\0{after or ''}")
    return Packed(
        number,
        collection,
        row.id,
        row.name,
        row.revision,
        verb(before, after),
        depth,
        pair.place,
        data,
    )


def unpack(packed: Iterable[Packed]) -> Iterator[Edit]:
    """The edits of documents, each of which begins with one of depth 0, in the order of their
    numbers. Raises StoreUnavailable for what is damaged."""
    texts: dict[tuple[str, str], str | None] = {}
    for each in packed:
        key = each.collection, each.id
        try:
            if each.depth:
                before = texts[key]
                after = _restored(each.data, before)
            else:
                first, _, after = _restored(each.data).partition("\0")
                before = first or None
        except (zlib.error, KeyError, UnicodeDecodeError) as error:
            raise StoreUnavailable(
                f"change {each.number} of {each.name or each.id} is damaged ({error!r}); restore"
                " the database from a backup"
            ) from error
        texts[key] = after or None
        yield Edit(
            each.number,
            each.collection,
            each.id,
            each.name,
            each.revision,
            before,
            after or None,
            each.place,
        )


def pack_files(
    number: int,
    namespace: str,
    files: Mapping[str, str],
    last: Mapping[str, Last],
    text_of: Callable[[str], str | None],
) -> Iterator[Packed]:
    """The edits of files whose texts are not what the history has of them; `text_of` says that."""
    for path, text in files.items():
        check = zlib.crc32(text.encode())
        before = None
        if path in last:
            if last[path].revision == check:
                continue
            before = text_of(path)
        old = None if before is None else Row(path, namespace, None, last[path].revision, before)
        new = Row(path, namespace, None, check, text)
        yield pack(number, FILES, Pair(old, new), last.get(path))


def unpack_with(packed: Sequence[Packed], lead: Callable[[Packed], list[Packed]]) -> Iterator[Edit]:
    """The edits, after those that the first of each document leans on, which `lead` finds."""
    leads: list[Packed] = []
    seen: set[tuple[str, str]] = set()
    for first in packed:
        if (first.collection, first.id) not in seen and first.depth:
            leads += lead(first)
        seen.add((first.collection, first.id))
    return unpack([*leads, *packed])


def _squeezed(text: str, dictionary: str | None = None) -> bytes:
    content = text.encode()
    known = b"" if dictionary is None else dictionary.encode()
    small = len(content) + len(known) < 1 << _SMALL_WINDOW
    window = _SMALL_WINDOW if small else _FULL_WINDOW
    if known:
        packer = zlib.compressobj(wbits=window, zdict=known)
    else:
        packer = zlib.compressobj(wbits=window)
    return packer.compress(content) + packer.flush()


def _restored(data: bytes, dictionary: str | None = None) -> str:
    if dictionary:
        unpacker = zlib.decompressobj(wbits=_FULL_WINDOW, zdict=dictionary.encode())
    else:
        unpacker = zlib.decompressobj(wbits=_FULL_WINDOW)
    return (unpacker.decompress(data) + unpacker.flush()).decode()


def check_expected(signature: Signature, newest: Callable[[str], int]) -> None:
    """Raises ChangedMeanwhile if the signature expects other changes to be the `newest` of their
    namespaces."""
    for namespace, expected in signature.expected.items():
        number = newest(namespace)
        if expected != number:
            raise ChangedMeanwhile(
                f"namespace {namespace}: the newest change is {number}, not {expected}: somebody"
                " changed it meanwhile; see `greenflow log`, and begin again from there"
            )
