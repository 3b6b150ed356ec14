"""The contract of a store: two collections that behave alike, and feeds that report their changes.

Lives here: what every store promises, and how a URL becomes one. Must not live here: how a store
keeps anything. One test suite (tests/store) runs against every store.

A collection holds documents: plain maps with `id`, `namespace` and perhaps `name`; (namespace,
name) is unique, and one whose name is missing, null or empty is reached by its id only. A document
without `namespace` is refused: the caller fills it in (BEHAVIOUR 7.6). Every batch is all or
nothing. Documents are copied on the way in and on the way out.

A store belongs to the hub, and so to the OS thread, that opened it; it is opened after a fork, not
before. It blocks the greenlet that calls, and no other. A greenlet that is killed or timed out
inside a call leaves the store usable; whether that call took effect is then not known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, NamedTuple, Self

from greenflow.errors import NoDatabase, StoreMisconfigured
from greenflow.extras import reason
from greenflow.log.redactor import redact_url
from greenflow.plugins import offered
from greenflow.spec.signature import Signature
from greenflow.store.history import History

# The group of entry points through which packages offer stores: scheme = class that takes the URL.
ENTRY_POINTS = "greenflow.stores"


class Record(NamedTuple):
    """A stored document, in full, and its revision.

    The revision grows with each change of the document and never repeats for an id, also not when
    the document is deleted and another one is stored under its id.
    """

    document: dict[str, Any]
    revision: int

    def __repr__(self) -> str:
        # Not the document: that of a value is a secret.
        return f"<Record {self.document.get('id')} at revision {self.revision}>"


class Batch(NamedTuple):
    """What a feed reports: look at these ids; with `gap`, something may be missing: compare all."""

    ids: frozenset[str]
    gap: bool


#: A document as it was, and its revision.
Known = tuple[Mapping[str, Any], int]

#: What is known where nothing is.
NOTHING_KNOWN: Mapping[str, Known] = MappingProxyType({})


class Rewrite(NamedTuple):
    """What becomes of a collection: documents to store whole, as `Collection.apply` does, and the
    ids of those to delete first, whose names are free then."""

    documents: Sequence[Mapping[str, Any]] = ()
    gone: Set[str] = frozenset()


class Feed(ABC):
    """The changes of one collection, of one namespace or of all. A context manager.

    It is open before anyone gets it, so nothing that happens afterwards is missed. It says only
    where to look: changes of one document may come as one, and a report may be out of date. One
    greenlet follows a feed.
    """

    @abstractmethod
    def next(self, timeout: float | None) -> Batch | None:
        """What came since the last call; waits for it, at most `timeout` seconds (None: for ever).

        None when nothing came, and from `close` on. Raises StoreUnavailable when the feed is lost,
        also because its store was closed: close it, open another one, and compare everything.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends the feed and wakes whoever waits in `next`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Collection(ABC):
    """Documents of one sort. Every method raises StoreUnavailable when the store is out of reach.

    A document that is no map of plain JSON data with a `namespace` is InvalidArgument; two that
    would share an id or a (namespace, name), in the store or in the batch, are DuplicateSpec.

    What a batch does is one change of the history of its namespace (BEHAVIOUR 7.18), signed by the
    user of this OS process unless a signature says otherwise. Raises ChangedMeanwhile when the
    newest change is not the one that the signature expects.
    """

    patient: ClassVar[bool] = False
    """Whether a call waits for a store that is away to come back, some seconds, before it fails."""

    @abstractmethod
    def insert(
        self, documents: Iterable[Mapping[str, Any]], signature: Signature | None = None
    ) -> list[Record]:
        """Stores new documents; one without `id` gets a UUIDv7. A taken id is DuplicateSpec."""

    @abstractmethod
    def apply(
        self, documents: Iterable[Mapping[str, Any]], signature: Signature | None = None
    ) -> list[Record]:
        """Stores whole documents, new ones and in place of old ones (BEHAVIOUR 7.4).

        One without `id` takes the id of the stored document with its (namespace, name), unless the
        batch itself names that id; else it gets a UUIDv7. One that equals what is stored keeps its
        revision and is no change. Names may be swapped within a batch. A known id in another
        namespace is InvalidArgument.
        """

    @abstractmethod
    def update(
        self,
        patches: Iterable[Mapping[str, Any]],
        validate: Callable[[dict[str, Any]], dict[str, Any]],
        signature: Signature | None = None,
    ) -> list[Record]:
        """Merges top-level fields into stored documents; null removes one (BEHAVIOUR 7.3).

        A document is found by `id`, or without one by (namespace, name). `validate` gets each
        merged document, in the greenlet that called, and returns what to store; what it raises
        leaves the batch undone. When another writer was faster, everything is read, merged and
        validated again. Raises UnknownSpec for what is not there, InvalidArgument for a change of
        id or namespace.
        """

    @abstractmethod
    def delete(
        self, filter: Mapping[str, Any] | None, signature: Signature | None = None
    ) -> list[Record]:
        """Deletes what the filter finds; returns it as it was, ordered by id."""

    @abstractmethod
    def find(self, filter: Mapping[str, Any] | None) -> list[Record]:
        """What the filter finds, ordered by id; None finds everything.

        Filters are those of BEHAVIOUR 7.5; a bad one is InvalidArgument.
        """

    @abstractmethod
    def revisions(self, namespace: str | None) -> dict[str, int]:
        """The revision of every id of a namespace, or of all of them."""

    @abstractmethod
    def feed(self, namespace: str | None) -> Feed:
        """Follows the changes of a namespace, or of all of them, from now on."""


class Store(ABC):
    """Specs, values and their history. A context manager; `url` says which store, without the
    secrets."""

    specs: Collection
    values: Collection
    history: History
    url: str

    @classmethod
    def absent(cls, url: str) -> str:
        """What a store of this URL would make, because it is not there; empty if it makes none."""
        return ""

    @abstractmethod
    def rewrite(
        self, specs: Rewrite, values: Rewrite, signature: Signature
    ) -> tuple[list[Record], list[Record]]:
        """Both collections in one change, all of it or nothing. Returns what is stored of the
        documents of each. Raises as `Collection.apply` does; an id that is not there is deleted
        already."""

    def claim(
        self,
        namespace: str,
        collection: str,
        ids: Set[str] | None = None,
        known: Mapping[str, Known] = NOTHING_KNOWN,
    ) -> int:
        """Records what other programs wrote past the store, as a change whose author is `unknown`
        (BEHAVIOUR 7.19): in all documents of a namespace and collection, or in those of some ids.
        `known` is what is known of documents that the history may not have. Returns how many it
        were; 0 if somebody else has recorded them. A store that nobody else can write to has none.
        """
        return 0

    @abstractmethod
    def close(self) -> None:
        """Ends all feeds and releases everything; waits for calls under way. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_store(url: str, create: bool = True) -> Store:
    """Opens the store of a URL, by its scheme: `memory://`, `sqlite:///relative/path`, ... Without
    `create` nothing is made: for who reads.

    Raises NoDatabase for one that is not there and is not to be made, StoreMisconfigured when the
    scheme is not installed or the URL says what the store does not take, StoreUnavailable when it
    cannot be opened.
    """
    scheme, separator, _ = url.partition("://")
    installed = {entry.name: entry for entry in offered(ENTRY_POINTS)}
    if not separator or scheme not in installed:
        schemes = ", ".join(f"{name}://" for name in sorted(installed)) or "none"
        raise StoreMisconfigured(f"{redact_url(url)}: no such store; installed are: {schemes}")
    try:
        kind = installed[scheme].load()
    except ImportError as error:
        raise StoreMisconfigured(
            f"{redact_url(url)}: the store {scheme}:// cannot be imported: {reason(error)}"
        ) from error
    absent = "" if create else getattr(kind, "absent", lambda url: "")(url)
    if absent:
        raise NoDatabase(
            f"{redact_url(url)}: there is no database {absent}; name one with --database"
        )
    store: Store = kind(url)
    return store
