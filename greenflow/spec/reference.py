"""What a spec takes of another spec, whose name it says: a template, a connection (BEHAVIOUR 13.5).

Lives here: Referred, what is found under a name; and Beside, which finds it among specs that are
checked together. What a kind makes of it is the kind's, by engine/resolving.py; a runtime finds it
in its table (table/compiling.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from greenflow.errors import SpecFault
from greenflow.spec.template import Deferred
from greenflow.spec.undecoded import inner_of

#: Where what is wrong in a spec stands, `file:line:column` or its id and revision, and what is said
#: there: as `Document.located` has it.
Located = Callable[[SpecFault], tuple[str, SpecFault]]


class Referred(NamedTuple):
    """A spec that another one refers to."""

    document: Mapping[str, Any]
    located: Located
    revision: int = 0
    fault: str = ""  # why nothing can be made of it

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others of its namespace."""
        name = self.document.get("name")
        return ("name", name) if name else ("id", self.document.get("id", ""))

    def place(self, path: str) -> str:
        """Where a path in it stands."""
        return self.located(SpecFault(path, ""))[0]

    def told(self, fault: SpecFault) -> str:
        """What is wrong in it, and where."""
        place, found = self.located(fault)
        return f"{place}: {str(found).removeprefix('$: ')}"


#: Finds the spec of that name or id in the namespace, None if there is none. Raises Deferred where
#: that cannot be known.
Find = Callable[[str], Referred | None]

#: The same for a namespace and what is called so there.
Lookup = Callable[[str, str], Referred | None]


def nothing_known(called: str) -> Referred | None:
    """Only one spec is looked at, and none is known besides."""
    raise Deferred


class Beside:
    """Specs that are checked together, each with what says where its parts stand; `namespace` is
    that of those that name none. What is not among them is looked for by `stored`."""

    def __init__(
        self,
        documents: Iterable[tuple[Mapping[str, Any], Located]],
        namespace: str,
        stored: Lookup | None = None,
    ) -> None:
        self._namespace, self._stored = namespace, stored
        documents = list(documents)
        self._known: dict[tuple[str, str], Referred | None] = {}
        for what in ("id", "name"):  # a name comes before an id
            for document, located in documents:
                called = document.get(what)
                if isinstance(called, str) and called:
                    within = document.get("namespace") or namespace
                    self._known[within, called] = Referred(document, located)

    def finder(self, document: Any) -> Find:
        """What one of them may refer to."""
        given = document.get("namespace") if isinstance(document, dict) else None
        namespace = given if isinstance(given, str) and given else self._namespace

        def find(called: str) -> Referred | None:
            key = namespace, called
            if key not in self._known:
                self._known[key] = None if self._stored is None else self._stored(*key)
            referred = self._known[key]
            if referred is None:
                raise Deferred  # it may come yet, as what a link leads to
            return referred

        return find


# By which fields specs refer to others, whatever their kind.
_FIELDS = ("template", "connection")


def referred_to(document: Mapping[str, Any]) -> Iterator[str]:
    """What a document, sound or not, calls the specs that it and the specs in it refer to."""
    for field in _FIELDS:
        if isinstance(called := document.get(field), str):
            yield called
    for inner in inner_of(document):
        yield from referred_to(inner)
