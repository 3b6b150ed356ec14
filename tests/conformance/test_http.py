"""What the server does with the requests of public suites, valid and invalid.

Each case is sent whole, byte by byte, and cut at 20 places; the verdict must be the same.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from greenflow.net.limits import Limits
from greenflow.net.message import Request
from tests import corpora
from tests.conformance.corpus import CASES, REFUSALS, Verdict, verdict
from tests.net.loopback import Recorder, Served

# Cases that are answered in another way than their label asks for, each with the reason. None is
# left.
EXCEPTIONS: dict[str, str] = {}

# Places where a case is cut.
CUTS = 20


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def served(recorder: Recorder) -> Iterator[Served]:
    served = Served(recorder, Limits())
    yield served
    served.close()


def _ways(case: dict[str, Any]) -> dict[str, list[bytes]]:
    """How the bytes of a case arrive."""
    data = base64.b64decode(case["bytes_base64"])
    places = range(1, len(data))
    cuts = sorted(random.Random(case["id"]).sample(places, min(CUTS, len(places))))
    return {
        "whole": [data],
        "bytewise": [data[i : i + 1] for i in range(len(data))],
        "cut": [data[start:end] for start, end in pairwise([0, *cuts, len(data)])],
    }


def _read(request: Request) -> tuple[object, ...]:
    return request.method, request.target, request.version, request.headers, request.body


def _expected(request: dict[str, Any]) -> tuple[object, ...]:
    return (
        request["method"],
        request["target"],
        request["version"],
        [tuple(header) for header in request["headers"]],
        base64.b64decode(request["body_base64"]),
    )


def test_the_corpus_is_there() -> None:
    corpora.require()
    assert len(CASES) > 200


@corpora.each(CASES)
def test_case(case: dict[str, Any], served: Served, recorder: Recorder) -> None:
    found = {name: verdict(pieces, served, recorder) for name, pieces in _ways(case).items()}
    read = {name: [_read(request) for request in one.requests] for name, one in found.items()}
    for name in found:
        _check(case, found[name], read[name])
        assert read[name] == read["whole"], name
        assert found[name].statuses == found["whole"].statuses, name


def _check(case: dict[str, Any], found: Verdict, got: list[tuple[object, ...]]) -> None:
    statuses = found.statuses
    wanted = [_expected(request) for request in case.get("requests", [])]
    if found.cut_short:
        assert case["expect"] != "accept"
    if case["id"] in EXCEPTIONS:
        assert all(status in REFUSALS for status in statuses)
    elif case["expect"] == "accept":
        least = case.get("may_stop_after", len(wanted))
        assert least <= len(got) <= len(wanted)
        assert got == wanted[: len(got)]
        assert statuses == [200] * len(got)
    elif case["expect"] == "reject":
        least, most = case.get("served_before", [0, 0])
        assert least <= len(got) <= most
        assert statuses[: len(got)] == [200] * len(got)
        assert all(status in REFUSALS for status in statuses[len(got) :])
        assert len(statuses) <= len(got) + 1
    else:
        assert got == wanted[: len(got)] or not wanted
        assert statuses[: len(got)] == [200] * len(got)
        assert all(status in REFUSALS for status in statuses[len(got) :])
