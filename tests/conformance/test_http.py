"""What the server does with the requests of public suites, valid and invalid.

The corpus is read in place (see its README there); each case is sent twice, whole and byte by byte,
on a connection whose sending side the client then ends.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenflow.net.limits import Limits
from tests.net.loopback import Recorder, Served

CORPUS = Path(__file__).parents[2].parent / "shared" / "corpora" / "http" / "cases.jsonl"

# Cases that are answered in another way than their label asks for, each with the reason. None is
# left.
EXCEPTIONS: dict[str, str] = {}

# The statuses of a server that refuses on purpose.
REFUSALS = frozenset((400, 408, 411, 413, 414, 417, 421, 431, 501, 505))


def _cases() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    with CORPUS.open(encoding="ascii") as lines:
        return [json.loads(line) for line in lines]


CASES = _cases()


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def served(recorder: Recorder) -> Iterator[Served]:
    recorder.requests.clear()
    served = Served(recorder, Limits())
    yield served
    served.close()


def _statuses(data: bytes) -> list[int]:
    """The statuses of the answers that were read; each ends with what Recorder or the server
    wrote."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def _as_expected(request: dict[str, Any]) -> tuple[object, ...]:
    return (
        request["method"],
        request["target"],
        request["version"],
        [tuple(header) for header in request["headers"]],
        base64.b64decode(request["body_base64"]),
    )


def test_the_corpus_is_there() -> None:
    if not CASES:
        pytest.skip("corpora not found: expected ../shared/corpora")
    assert len(CASES) > 200


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(case: dict[str, Any], bytewise: bool, served: Served, recorder: Recorder) -> None:
    data = base64.b64decode(case["bytes_base64"])
    client = served.connect()
    try:
        if bytewise:
            client.send_bytewise(data)
        else:
            client.send(data)
        client.end()
    except (BrokenPipeError, ConnectionResetError):
        # The server refused and closed while the rest was on its way.
        assert case["expect"] != "accept"
    statuses = _statuses(client.rest())
    got = [
        (request.method, request.target, request.version, request.headers, request.body)
        for request in recorder.requests
    ]
    wanted = [_as_expected(request) for request in case.get("requests", [])]

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
