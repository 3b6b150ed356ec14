"""The cases of the Autobahn test suite, driven by kosoku (an OS process of its own).

Behaviour and closing of every case have to be what the suite calls OK, or INFORMATIONAL where the
RFC leaves it open. The cases of groups 9, 12 and 13 (megabytes, and a thousand messages each) take
minutes; one of each sort is run, and all of them with GREENFLOW_TEST_AUTOBAHN=all.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from typing import Any

import gevent
import pytest
from gevent import subprocess

from tests.flows import flow

SECONDS = 60.0

# The 247 cases of what RFC 6455 says, and some of those about time and compression.
LARGE = ["9.*", "12.*", "13.*"]
SOME_LARGE = ["9.*.1", "12.*.2", "13.*.2"]

# What kosoku cannot run: the payloads of these cases are text where Python 3 wants bytes ("Strings
# must be encoded before hashing").
BROKEN = ["12.1.1", "12.2.1", "12.3.1", "12.4.1", "12.5.1"] + [f"13.{i}.1" for i in range(1, 8)]

# Cases whose outcome is another one, each with the reason. None is left.
EXCEPTIONS: dict[str, str] = {}

# Cases of which the RFC does not say what is to happen: data after a Close, codes that nobody has.
OPEN_QUESTIONS = {"7.1.6", "7.13.1", "7.13.2"}

SERVER = """
- {kind: listener, name: http, port: 0, links: {out: {name: ws, port: io}}}
- kind: gateway
  name: ws
  compression: true
  limits: {message: 20000000}
  links: {out: {name: ws}}
"""

TEST_A_SERVER = """
import asyncio, json, sys
from kosoku import FailureError, run_fuzzingclient

async def main(url, cases, excluded):
    try:
        results = await run_fuzzingclient(url, cases, excluded, concurrency=4)
    except FailureError as failure:
        results = failure.results
    print(json.dumps([[r.case_id, r.behavior.value, r.behavior_close.value] for r in results]))

asyncio.run(main(*json.loads(sys.argv[1])))
"""


def selections() -> list[tuple[list[str] | None, list[str]]]:
    """Cases to run and to leave out, one run after the other."""
    if os.environ.get("GREENFLOW_TEST_AUTOBAHN") == "all":
        return [(None, BROKEN)]
    return [(None, LARGE), (SOME_LARGE, [*BROKEN, "12.*.12", "13.*.12"])]


@pytest.fixture(autouse=True)
def kosoku() -> None:
    """Skips where it is not installed, but in CI that is a failure."""
    if find_spec("kosoku") is None:
        reason = "kosoku is not installed (the extra `test` has it)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def run(script: str, *arguments: Any) -> list[list[str]]:
    """What the script prints, run while our side goes on."""
    command = [sys.executable, "-c", script, json.dumps(arguments)]
    with gevent.Timeout(SECONDS):
        output = subprocess.check_output(command)
    found: list[list[str]] = json.loads(output)
    return found


def judge(results: list[list[str]]) -> None:
    wrong = {
        case: (behavior, closing)
        for case, behavior, closing in results
        if (behavior, closing) != ("OK", "OK")
        and not (case in OPEN_QUESTIONS and behavior == closing == "INFORMATIONAL")
    }
    assert wrong.keys() == EXCEPTIONS.keys() & {case for case, _, _ in results}, wrong


def test_as_a_server() -> None:
    with flow(SERVER) as running:
        listener = running.runtime.table.find("http").version.node
        results = []
        for cases, excluded in selections():
            url = listener.address.replace("http", "ws")  # type: ignore[union-attr]
            results += run(TEST_A_SERVER, url, cases, excluded)
    judge(results)
    assert len(results) >= 247
