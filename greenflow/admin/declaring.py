"""How a resource of the admin interface is declared: a function with a method and a path.

Lives here: `get` and `post`, and the Resource that they make. The signature says the rest: `engine`
is the Engine; a parameter that stands in the path is a part of it; `query` and `body` are Structs
of the query's parameters and of the JSON of the body; the return type is what is answered. So the
OpenAPI document (schema.py) cannot say anything else than what is done. The docstring's first
paragraph is its summary.

A module of resources/ needs no more than such functions; resources/__init__.py names the module.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

T = TypeVar("T")

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Text(NamedTuple):
    """An answer that is no JSON: its media type, and its pieces."""

    media_type: str
    pieces: Iterable[bytes]


class Given(NamedTuple, Generic[T]):
    """An answer with a status of its own, one of those declared."""

    status: int
    content: T


class Resource(NamedTuple):
    """What is answered to one method at one path."""

    method: str
    path: str
    function: Callable[..., Any]
    #: Parts of the path, by name, with their types.
    parts: dict[str, Any]
    query: Any
    body: Any
    answer: Any
    #: The statuses of its answers, and of its problems.
    statuses: tuple[int, ...]
    problems: tuple[int, ...]
    #: Whether it is answered without a token: a probe has none.
    is_open: bool

    @property
    def summary(self) -> str:
        """What it is for, in a sentence or two."""
        text = inspect.getdoc(self.function) or ""
        return " ".join(text.partition("\n\n")[0].split())

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of its path, `{name}` for one that may be anything."""
        return tuple(self.path.strip("/").split("/"))


Declare = Callable[[Callable[..., Any]], Resource]


def get(
    path: str,
    *,
    statuses: tuple[int, ...] = (200,),
    problems: tuple[int, ...] = (),
    is_open: bool = False,
) -> Declare:
    """Declare what is answered to GET: it changes nothing."""
    return lambda function: _resource("GET", path, function, statuses, problems, is_open)


def post(
    path: str, *, statuses: tuple[int, ...] = (200,), problems: tuple[int, ...] = ()
) -> Declare:
    """Declare what POST does."""
    return lambda function: _resource("POST", path, function, statuses, problems, False)


def _resource(
    method: str,
    path: str,
    function: Callable[..., Any],
    statuses: tuple[int, ...],
    problems: tuple[int, ...],
    is_open: bool,
) -> Resource:
    hints = get_type_hints(function, include_extras=True)
    names = _PLACEHOLDER.findall(path)
    return Resource(
        method,
        path,
        function,
        {name: hints[name] for name in names},
        hints.get("query"),
        hints.get("body"),
        hints["return"],
        statuses,
        problems,
        is_open,
    )
