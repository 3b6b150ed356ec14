"""Clients that count what fails: `python -m contrib.bench.listener_client PORT SECONDS [CA]`.

Half of them keep their connection, the others open one for each request; with the file of an
authority they speak TLS and trust nobody else. Writes JSON: how many requests and connections there
were, what failed and how often, and how many different certificates and CORS answers were seen.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections import Counter
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import monotonic
from typing import Any

CLIENTS = 8
TIMEOUT = 10.0  # seconds; an answer that takes longer has failed
ORIGIN = "https://page.example"


class Client(threading.Thread):
    """Asks again and again until its time is over."""

    def __init__(self, port: int, end: float, authority: str | None, keeps: bool) -> None:
        super().__init__()
        self.port, self.end, self.keeps = port, end, keeps
        self.context = None if authority is None else ssl.create_default_context(cafile=authority)
        self.requests = self.connections = 0
        self.failures: Counter[str] = Counter()
        self.certificates: set[bytes] = set()
        self.allowed: set[str | None] = set()

    def run(self) -> None:
        connection: HTTPConnection | None = None
        while monotonic() < self.end:
            self.requests += 1
            try:
                if connection is None:
                    connection = self.connect()
                connection.request("GET", "/ping", headers={"Origin": ORIGIN})
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    self.failures[f"status {response.status}"] += 1
                self.allowed.add(response.getheader("Access-Control-Allow-Origin"))
                closes = not self.keeps
            except (OSError, HTTPException) as error:
                self.failures[f"{type(error).__name__}: {error}"] += 1
                closes = True
            if closes and connection is not None:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def connect(self) -> HTTPConnection:
        if self.context is None:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
            connection.connect()
        else:
            connection = HTTPSConnection(
                "127.0.0.1", self.port, timeout=TIMEOUT, context=self.context
            )
            connection.connect()
            shown = connection.sock.getpeercert(True)
            assert shown is not None
            self.certificates.add(shown)
        self.connections += 1
        return connection


def load(port: int, seconds: float, authority: str | None) -> dict[str, Any]:
    end = monotonic() + seconds
    clients = [Client(port, end, authority, bool(i % 2)) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    failures: Counter[str] = sum((client.failures for client in clients), Counter())
    return {
        "requests": sum(client.requests for client in clients),
        "connections": sum(client.connections for client in clients),
        "failed": sum(failures.values()),
        "failures": failures,
        "certificates_seen": len(set[bytes]().union(*(each.certificates for each in clients))),
        "cors_answers_seen": len(set[str | None]().union(*(each.allowed for each in clients))),
    }


if __name__ == "__main__":
    authority = sys.argv[3] if len(sys.argv) > 3 else None
    print(json.dumps(load(int(sys.argv[1]), float(sys.argv[2]), authority)))
