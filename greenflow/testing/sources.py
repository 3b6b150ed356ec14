"""Sources that begin nothing by themselves.

Lives here: Sources, which says which of them begin, and the scheme that makes such nodes. Under
test, and in `greenflow call`, no schedule comes due, no listener listens and no broker delivers
unless somebody asked for it by name.

A source that links lead to, such as a `trigger` or a `gateway`, begins once everything is loaded:
what it does, a packet has led to. What was published while nodes were loaded it does not hear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from greenflow.engine.node import Node
from greenflow.engine.source import Run, Source, begins_alone
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Spec


def label(spec: Spec) -> str:
    """What a node is called where only names are known: one without a name goes by its kind."""
    return spec.name or spec.kind


class Sources:
    """Which sources begin: those of these names, and those that links lead to, but for those which
    `excluded` is true of."""

    def __init__(
        self,
        names: Iterable[str] = (),
        excluded: Callable[[Node[Any]], bool] = lambda node: False,
    ) -> None:
        self.names, self.excluded = set(names), excluded
        self._open = False
        self._known: dict[Waiting, None] = {}  # those that are loaded

    def open(self) -> None:
        """Everything is loaded: let those begin that may."""
        self._open = True
        for source in list(self._known):
            if self.begins(source):
                source.begin()

    def begin(self, name: str) -> None:
        """Let the sources of that name begin. Raises what one of them is refused by."""
        self.names.add(name)
        for source in list(self._known):
            if label(source.spec) == name:
                source.begin()

    def begins(self, source: Waiting) -> bool:
        """Whether it begins now."""
        if not self._open or self.excluded(source):
            return False
        return label(source.spec) in self.names or not begins_alone(source)

    def unknown(self) -> list[str]:
        """The names that no source has which is loaded."""
        return sorted(self.names.difference(label(source.spec) for source in self._known))

    def loaded(self, source: Waiting) -> None:
        """A source is there, and may begin."""
        self._known[source] = None

    def unloaded(self, source: Waiting) -> None:
        """A source has stopped."""
        self._known.pop(source, None)


class Waiting(Source[Any]):
    """Mixed into the kind of a source: it begins when its Sources say so."""

    sources: Sources
    # Names that no kind has: a node is one object. What is prepared is let go of by `stop`, or by
    # `abandon`; of kinds the one may call the other.
    loaded_as: Run | None = None
    has_prepared = has_begun = False

    def prepare(self) -> None:
        if self.sources.begins(self):
            super().prepare()
            self.has_prepared = True

    def abandon(self) -> None:
        if self.has_prepared:
            super().abandon()
            self.has_prepared = False

    def start(self, run: Run) -> None:
        self.loaded_as = run
        self.sources.loaded(self)
        if self.has_prepared:
            self.has_begun = True
            super().start(run)

    def begin(self) -> None:
        """Begin, if it is loaded and has not. Raises what its kind does."""
        run = self.loaded_as
        if run is not None and not self.has_begun:
            super().prepare()
            self.has_prepared = self.has_begun = True
            super().start(run)

    def stop(self) -> None:
        self.loaded_as, self.has_begun = None, False
        self.sources.unloaded(self)
        if self.has_prepared:
            super().stop()
            self.has_prepared = False


class WaitingScheme(Scheme):
    """The kinds of another scheme, whose sources begin when `sources` says so."""

    def __init__(self, scheme: Scheme, sources: Sources) -> None:
        super().__init__(scheme._known, scheme.release)
        self._sources = sources
        self._waiting: dict[type[Node[Any]], type[Node[Any]]] = {}

    def class_for(self, spec: Spec) -> type[Node[Any]]:
        kind = super().class_for(spec)
        if kind not in self._waiting:
            self._waiting[kind] = waiting(kind, self._sources)
        return self._waiting[kind]


def waiting(kind: type[Node[Any]], sources: Sources) -> type[Node[Any]]:
    """The kind, or if it is one of sources a sub-class that waits."""
    if not issubclass(kind, Source):
        return kind
    body = {"kind": kind.kind, "spec_type": kind.spec_type, "sources": sources}
    return type(kind.__name__, (Waiting, kind), body)
