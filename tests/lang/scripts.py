"""What the tests of JavaScript share: programs, their answers, and workers that end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from greenflow.lang import javascript


def run(code: str, payload: Any = None, **options: Any) -> Any:
    """The result of a program of its own."""
    return javascript.compile(code)(payload, **options)


def returning(expression: str) -> str:
    """A module whose default export, of `a`, is an expression."""
    return f"export default (a) => ({expression});"


@pytest.fixture(scope="module")
def shared_workers() -> Iterator[None]:
    """Workers that are there before a test, and after it."""
    run(returning("1"))
    yield
    javascript.close()


@pytest.fixture
def own_workers() -> Iterator[None]:
    """Workers of one test."""
    yield
    javascript.close()
