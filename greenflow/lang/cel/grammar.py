"""The grammar of CEL, and the parser that Lark builds of it.

Lives here: where the rules come from and how they become a Lark parser. What CEL text is says
cel-python, in its file cel.lark; grown.lark beside this module adds what CEL has grown since. The
file is read from the installed package without importing it, which would import all of cel-python.

Importing this module imports Lark, and building takes about 80 ms: parsing.py does both when the
first expression is compiled, and a built parser is kept in the user's cache (cache.py).
"""

from __future__ import annotations

import hashlib
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lark

from greenflow.lang.cel import cache
from greenflow.lang.cel.tree import Node

#: Where cel-python keeps its grammar.
PACKAGE, FILE = "celpy", "cel.lark"


def text() -> str:
    """The rules: cel-python's and then ours. Raises ImportError where cel-python is not whole."""
    spec = find_spec(PACKAGE)
    loader: Any = spec.loader if spec is not None else None
    if spec is None or spec.origin is None or not hasattr(loader, "get_data"):
        raise ImportError("CEL needs cel-python: pip install cel-python", name=PACKAGE)
    file = Path(spec.origin).with_name(FILE)
    try:
        theirs: bytes = loader.get_data(str(file))
    except OSError as error:
        reason = f"cel-python has no grammar in {file}: pip install --force-reinstall cel-python"
        raise ImportError(reason, name=PACKAGE) from error
    ours = files(__package__).joinpath("grown.lark").read_text("utf-8")
    return f"{theirs.decode()}\n{ours}"


def build(builder: object, gate: object) -> lark.Lark:
    """The parser whose rules call `builder`, and whose tokens go through `gate`."""
    rules = text()
    named = f"{rules}{lark.__version__}{sys.version_info[:2]}"
    place = cache.place(f"cel-{hashlib.sha256(named.encode()).hexdigest()[:16]}.lark")
    return lark.Lark(
        rules,
        parser="lalr",
        lexer="basic",  # a token is the same wherever it stands, so a fault can be named
        start="expr",
        keep_all_tokens=True,  # they have the places
        maybe_placeholders=False,  # as cel-python's rules are meant
        transformer=builder,
        postlex=gate,
        cache=str(place) if place is not None else False,
    )


class Refused(Exception):
    """Text that the grammar has no rule for: at which offset and token, and what could stand there.
    `token` is None where no token begins."""

    def __init__(self, at: int, token: lark.Token | None, wanted: frozenset[str]) -> None:
        self.at, self.token, self.wanted = at, token, wanted
        super().__init__(at)


def parse(parser: lark.Lark, code: str) -> Node:
    """What the rules make of the code. Raises Refused, and what the builder and the gate raise."""
    try:
        tree: Any = parser.parse(code)
    except lark.UnexpectedCharacters as error:
        raise Refused(error.pos_in_stream or 0, None, frozenset()) from None
    except lark.UnexpectedToken as error:
        token = error.token
        end = token.type == "$END"
        at = len(code) if end else token.start_pos
        raise Refused(at or 0, token, frozenset(error.accepts or ())) from None
    node: Node = tree
    return node
