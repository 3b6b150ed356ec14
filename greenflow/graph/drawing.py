"""What is drawn: vertices, edges between them, and groups around them.

Lives here: Drawing and its parts, without coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Vertex(NamedTuple):
    """One box. `title` is its first line, `detail` the second; `note` says what is wrong with it,
    and `group` is the key of the group that it is in."""

    key: str
    title: str
    detail: str = ""
    note: str = ""
    group: str = ""

    @property
    def lines(self) -> list[str]:
        """What is written in it."""
        return [line for line in (self.title, self.detail, self.note) if line]

    @property
    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines)


class Arrow(NamedTuple):
    """An arrow from one vertex to another, by their keys."""

    source: str
    target: str
    label: str = ""


class Group(NamedTuple):
    """A frame around vertices, and around other groups, whose key is `parent`."""

    key: str
    title: str
    parent: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """What is written at it, line by line."""
        return f"{self.title}\n{self.note}" if self.note else self.title


class Drawing(NamedTuple):
    """All that is drawn. Every key that is named is there."""

    vertices: tuple[Vertex, ...]
    edges: tuple[Arrow, ...]
    groups: tuple[Group, ...] = ()

    def inside(self, key: str) -> Iterator[Group]:
        """The groups directly inside of one, or of none (an empty key)."""
        return (group for group in self.groups if group.parent == key)

    def vertices_of(self, key: str) -> Iterator[Vertex]:
        """The vertices directly inside of a group, or of none."""
        return (vertex for vertex in self.vertices if vertex.group == key)


def one_line(text: str) -> str:
    """The text on one line: what cannot be printed is a space."""
    return "".join(character if character.isprintable() else " " for character in text)
