"""The yardstick: the least an HTTP server on httptools and gevent's StreamServer can do.

It parses each request with httptools, builds the header map, and answers with fixed bytes. It
checks nothing, limits nothing and has no time-outs; what greenflow serves is measured against it
in the same run. Usage: python contrib/bench/http_bare.py PORT [HOST]
"""

from __future__ import annotations

import socket
import sys

from gevent.server import StreamServer
from httptools import HttpRequestParser

# Bytes asked of one recv: the usual figure of gevent programs; a small request needs one call.
RECV_BYTES = 65_536

# Connections that may wait to be accepted: 128, gevent's default, made 10,000 connections take 45
# s.
BACKLOG = 4_096

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\npong"
)


class Connection:
    """What httptools calls back for one connection."""

    def __init__(self) -> None:
        self.parser = HttpRequestParser(self)
        self.complete = 0
        self.keep_alive = True
        self.headers: dict[str, str] = {}
        self.url = ""

    def on_message_begin(self) -> None:
        self.headers = {}

    def on_url(self, url: bytes) -> None:
        self.url = url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        self.complete += 1
        self.keep_alive = self.parser.should_keep_alive()


def serve(client: socket.socket, address: object) -> None:
    """Answers the requests of one connection until the client or a request ends it."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection()
    try:
        while connection.keep_alive and (data := client.recv(RECV_BYTES)):
            connection.parser.feed_data(data)
            while connection.complete:
                connection.complete -= 1
                client.sendall(ANSWER)
    except ConnectionError:
        return


if __name__ == "__main__":
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    server = StreamServer((host, int(sys.argv[1])), serve, backlog=BACKLOG)
    print(f"http_bare on {host}:{sys.argv[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.stop()
