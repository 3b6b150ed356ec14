"""What a change is, and what of the table those may see who work out what it would do.

Lives here: Change and View. Whoever has a View writes nothing: the table alone changes itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from greenflow.engine.services import Services
from greenflow.spec.fields import Link
from greenflow.table.activity import Key
from greenflow.table.symbol import Symbol, Version

Document = tuple[Mapping[str, Any], int]  # a spec as it is stored, and its revision

# Who links to what is called so, and by which port.
Referrers = Mapping[Key, Mapping[tuple[Version, str], None]]


class Change(NamedTuple):
    """What is to become of a table.

    `documents` are by id, None for one that is removed; `values` are those that changed; with
    `retry`, what failed is tried again. `dirty` are ids to look at again though their documents are
    the same; `back` are old versions, still loaded, to run again in the place of what failed to
    load.
    """

    documents: Mapping[str, Document | None] = {}
    retry: bool = False
    values: Collection[Key] = ()
    dirty: Collection[str] = ()
    back: Mapping[str, Version] = {}


class View(Protocol):
    """The table, to be read."""

    @property
    def services(self) -> Services: ...

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        """All symbols, by id."""

    @property
    def names(self) -> Mapping[str, str]:
        """The ids of those that have a name, by name."""

    @property
    def namesakes(self) -> Mapping[str, Mapping[str, None]]:
        """The ids of those that run under a name that another has taken since, by name, the last
        one last."""

    @property
    def referrers(self) -> Referrers:
        """Who links to what, and by which port: also refused versions, and old ones that still
        drain."""

    @property
    def failed_to_load(self) -> Mapping[Version, None]:
        """Versions that were opened, and then could not be loaded."""

    def bound_to(self, values: Collection[Key]) -> list[Version]:
        """The versions that were rendered with one of these values, or failed for lack of it."""

    def failed(self) -> list[str]:
        """The ids that trying again may help."""

    def target(self, link: Link) -> Symbol | None:
        """The symbol that a link leads to."""
