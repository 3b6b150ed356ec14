"""JSONTestSuite against the reader of bodies; the corpus is read in place (see its README
there)."""

from __future__ import annotations

import base64
from typing import Any

from greenflow.errors import InvalidArgument
from greenflow.net.mime import dumps, loads
from tests import corpora

CASES = corpora.cases("json")


def test_the_corpus_is_there() -> None:
    corpora.require()
    assert len(CASES) > 300


@corpora.each(CASES)
def test_case(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["bytes_base64"])
    try:
        value = loads(data)
    except InvalidArgument:
        assert case["expect"] != "accept"
    else:
        assert case["expect"] != "reject"
        assert loads(dumps(value)) == value
