"""The corpora of others that tests compare with: where they are, and what is said if they are not.

They are read in place, in a folder beside the project's, and never copied into it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "corpora"

#: Why a test is skipped.
ABSENT = "corpora not found: expected ../shared/corpora"


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a corpus; none where there are no corpora. Raises FileNotFoundError where there
    are, and this one is not among them."""
    if not FOLDER.exists():
        return []
    with (FOLDER / name / "cases.jsonl").open(encoding="ascii") as lines:
        return [json.loads(line) for line in lines]


def each(found: list[dict[str, Any]]) -> pytest.MarkDecorator:
    """One test for each case; one that is skipped where there are no corpora."""
    absent = pytest.param(None, marks=pytest.mark.skip(ABSENT), id="absent")
    return pytest.mark.parametrize("case", found or [absent], ids=lambda case: case["id"])


def require() -> None:
    """Skip the test where there are none."""
    if not FOLDER.exists():
        pytest.skip(ABSENT)
