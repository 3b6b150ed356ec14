"""The same answer as http_bare.py, from greenflow's own server: checked, limited, timed.

Usage, from the root of the project: python -m contrib.bench.http_server PORT [HOST]
"""

from __future__ import annotations

import sys

import gevent

from greenflow.net.message import Request, Respond, Response
from greenflow.net.server import Server, resolve

ANSWER = Response(200, [("Content-Type", "text/plain; charset=utf-8")], b"pong")


def answer(request: Request, respond: Respond) -> None:
    """The handler of every request."""
    respond(ANSWER)


if __name__ == "__main__":
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    server = Server.bind(resolve(host, int(sys.argv[1])))
    server.handler = answer
    server.start()
    print(f"http_server on {host}:{sys.argv[1]}", flush=True)
    try:
        gevent.get_hub().join()
    except KeyboardInterrupt:
        server.stop(1.0)
