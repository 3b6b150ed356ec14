"""Parsing with tree-sitter, and edits of a text that keep every other character in its place.

Lives here: what module.py needs of a parser. Not here: what it looks for; and what TypeScript has
more than JavaScript (script/).

tree-sitter counts bytes, authors count characters: positions are translated for error messages.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from tree_sitter import Language, Node, Parser, Tree

from greenflow.errors import CompileFailed
from greenflow.hub.breathing import pause
from greenflow.lang import MAX_CODE, MAX_DEPTH

FUNCTIONS = frozenset(
    (
        "function_declaration",
        "function_expression",
        "generator_function",
        "generator_function_declaration",
        "arrow_function",
        "method_definition",
        "class_static_block",
    )
)


@functools.cache
def _javascript() -> Language:
    import tree_sitter_javascript

    return Language(tree_sitter_javascript.language())


class Code:
    """A parsed text and the edits to it. Raises CompileFailed if it does not parse."""

    def __init__(self, text: str) -> None:
        self.data = text.encode("utf-8", "replace")
        if len(self.data) > MAX_CODE:
            raise CompileFailed(f"the code has more than {MAX_CODE} bytes")
        self.tree: Tree = Parser(_javascript()).parse(self.data)
        self._edits: list[tuple[int, int, str]] = []
        for node in walk(self.tree.root_node):
            if node.is_missing:
                raise self.fault(node, f"syntax error: {node.type!r} is missing")
            if node.type == "ERROR":
                raise self.fault(node, f"syntax error at {self._shown(node)}")

    @property
    def root(self) -> Node:
        return self.tree.root_node

    def text(self, node: Node) -> str:
        """The text of a node."""
        return self.data[node.start_byte : node.end_byte].decode()

    def fault(self, node: Node, reason: str) -> CompileFailed:
        """An error at the begin of a node, to be raised."""
        row, column = node.start_point
        start = node.start_byte - column
        characters = len(self.data[start : node.start_byte].decode("utf-8", "replace"))
        return CompileFailed(reason, row + 1, characters + 1)

    def blank(self, start: int, end: int, first: str = " ") -> None:
        """Put spaces over the bytes from start to end; line ends stay. `first` is written over the
        first character."""
        text = self.data[start:end].decode()
        spaces = "".join(character if character in "\r\n" else " " for character in text)
        self._edits.append((start, end, first + spaces[1:] if spaces else ""))

    def erase(self, node: Node, first: str = " ") -> None:
        """Put spaces over a node."""
        self.blank(node.start_byte, node.end_byte, first)

    def put(self, start: int, end: int, text: str) -> None:
        """Replace bytes by a text that must have as many line ends."""
        self._edits.append((start, end, text))

    def result(self) -> str:
        """The text after the edits. Of edits inside one another the outer one counts."""
        parts: list[str] = []
        done = 0
        for start, end, text in sorted(self._edits, key=lambda edit: (edit[0], -edit[1])):
            if start < done:
                continue
            parts += self.data[done:start].decode(), text
            done = end
        parts.append(self.data[done:].decode())
        return "".join(parts)

    def _shown(self, node: Node) -> str:
        line = self.text(node).strip().partition("\n")[0]
        return repr(line[:40]) if line else "the end of a line"


def walk(root: Node) -> Iterator[Node]:
    """A node and all below it, in the order of the text, without recursion."""
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            row, column = node.start_point
            raise CompileFailed(f"nested deeper than {MAX_DEPTH}", row + 1, column + 1)
        yield node
        pause()
        pending.extend((child, depth + 1) for child in reversed(node.children))


def token(node: Node, kind: str) -> Node | None:
    """The first child of a kind."""
    return next((child for child in node.children if child.type == kind), None)


def is_in_function(node: Node) -> bool:
    """Whether a function stands around the node."""
    above = node.parent
    while above is not None:
        if above.type in FUNCTIONS:
            return True
        above = above.parent
    return False
