"""JSONTestSuite against the reader of bodies; the corpus is read in place (see its README
there)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from greenflow.errors import InvalidArgument
from greenflow.net.mime import dumps, loads

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpora" / "json" / "cases.jsonl"


def _cases() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    with CORPUS.open(encoding="ascii") as lines:
        return [json.loads(line) for line in lines]


CASES = _cases()


def test_the_corpus_is_there() -> None:
    if not CASES:
        pytest.skip("corpora not found: expected ../shared/corpora")
    assert len(CASES) > 300


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["bytes_base64"])
    try:
        value = loads(data)
    except InvalidArgument:
        assert case["expect"] != "accept"
    else:
        assert case["expect"] != "reject"
        assert loads(dumps(value)) == value
