"""The nodes of a table as they would be after a change.

Lives here: Prospect, the Graph that the rule of activity.py is asked about. It is made of a View of
the table and of the versions that are assumed to go in, and changes neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from greenflow.spec.fields import Link
from greenflow.table.activity import Key, key_of
from greenflow.table.symbol import Version
from greenflow.table.view import Referrers, View


class Prospect:
    """The table if `accepted` went in, and `removed` were gone; both are by id.

    `referrers` are the links of new versions, also of some that are not accepted: those may go in
    later. Those of the table count besides.
    """

    __slots__ = ("_lost_names", "accepted", "names", "referrers", "removed", "view")

    def __init__(
        self,
        view: View,
        accepted: Mapping[str, Version],
        removed: Collection[str],
        referrers: Referrers,
    ) -> None:
        self.view, self.accepted, self.removed = view, accepted, removed
        self.referrers = referrers
        #: Who has a name from now on, by name; others have theirs as before, or lose it.
        self.names = {v.name: id for id, v in accepted.items() if v.name is not None}
        self._lost_names = {
            v.name for v in self.gone() if v.name and view.names.get(v.name) == v.id
        }
        for name in self._lost_names.difference(self.names):
            for id in view.namesakes.get(name, ()):
                if id not in accepted and id not in removed:
                    self.names[name] = id

    # -- as a Graph ------------------------------------------------------------------------------

    @property
    def namespace(self) -> str:
        return self.view.services.namespace

    def fault(self, id: str) -> str:
        version = self.version(id)
        return "" if version is None else own_fault(version)

    def links(self, id: str) -> Iterable[tuple[str, Link]]:
        version = self.version(id)
        return () if version is None else version.links()

    def target(self, link: Link) -> str | None:
        id = self.led_to(key_of(link))
        return id if id is not None and self.version(id) is not None else None

    def has_input(self, id: str, port: str) -> bool:
        version = self.version(id)
        return version is None or version.node is None or version.node.has_input(port)

    def referrers_of(self, id: str) -> Iterator[tuple[str, str]]:
        version = self.version(id)
        keys = [("id", id)]
        if version is not None and version.name is not None:
            keys.append(("name", version.name))
        for key in keys:
            for referrer, port in self.links_to(key):
                if self.version(referrer.id) is referrer:
                    yield referrer.id, port

    def is_active(self, id: str) -> bool:
        """As it is before the change."""
        symbol = self.view.symbols.get(id)
        return symbol is not None and symbol.active

    # -- what else is asked of it ----------------------------------------------------------------

    def version(self, id: str) -> Version | None:
        """The version of that id after the change."""
        version = self.accepted.get(id)
        if version is None and id not in self.removed:
            symbol = self.view.symbols.get(id)
            version = None if symbol is None else symbol.version
        return version

    def led_to(self, key: Key) -> str | None:
        """The id that a link with this key leads to after the change, whether it is there or
        not."""
        what, called = key
        if what == "id":
            return called
        id = self.names.get(called)
        if id is None and called not in self._lost_names:
            id = self.view.names.get(called)
        return id

    def links_to(self, key: Key) -> Iterator[tuple[Version, str]]:
        """Every version that links to what is called so, and by which port."""
        yield from self.view.referrers.get(key, ())
        yield from self.referrers.get(key, ())

    def gone(self) -> list[Version]:
        """The old versions that the change replaces or removes."""
        symbols = self.view.symbols
        return [symbols[id].version for id in (*self.accepted, *self.removed) if id in symbols]

    def keys_of(self, changed: Mapping[str, Version]) -> Iterator[Key]:
        """What links may call these and what is removed, before the change and after it."""
        symbols = self.view.symbols
        for id in (*changed, *self.removed):
            yield "id", id
            if id in symbols and symbols[id].name is not None:
                yield "name", symbols[id].name or ""
            if id in changed and changed[id].name is not None:
                yield "name", changed[id].name or ""


def own_fault(version: Version) -> str:
    """Why a version cannot be active whatever it links to, or nothing."""
    if version.error is not None:
        return version.fault
    if version.waiting:
        return "init: not answered yet"
    if version.ending:
        return "its deactive and deinit are not answered yet"
    return ""
