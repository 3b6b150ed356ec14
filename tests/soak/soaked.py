"""Functions of the `python` nodes of traffic.yaml."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from greenflow import Stream


def double(number: int) -> dict[str, int]:
    return {"body": number * 2}


def talk(number: int) -> dict[str, int]:
    print("a line of the worker")
    return {"body": number * 2}


def slow(number: int) -> dict[str, int]:
    time.sleep(0.05)
    return {"body": number}


def begets(number: int) -> None:
    """Leaves an OS process, which must end with the call."""
    subprocess.Popen(["sleep", "1000"])
    time.sleep(1000)


def fail(number: int) -> None:
    raise ValueError("x" * 100_000)


def pieces(request: dict[str, Any]) -> dict[str, Any]:
    return {"body": Stream(b"piece" * 1000 for _ in range(20))}
