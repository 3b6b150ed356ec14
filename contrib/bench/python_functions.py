"""Functions that the benchmark's `python` nodes call: they know nothing of greenflow."""

from __future__ import annotations

import ctypes
from http.client import HTTPConnection

_usleep = ctypes.CDLL(None).usleep


def nothing(payload: object) -> object:
    return payload


def ask(port: int) -> int:
    """Waits 100 ms in a socket, for the answer of a slow server."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    with connection.getresponse() as response:
        response.read()
    connection.close()
    return response.status


def block(microseconds: int) -> None:
    """Waits in C, as a driver does: gevent does not get to know."""
    _usleep(microseconds)


def compute(steps: int) -> int:
    found = 0
    for number in range(steps):
        found ^= number * number
    return found


def fail(payload: object) -> object:
    raise ValueError("no such thing")
