"""Load for a WebSocket echo, from an OS process of its own: frames made beforehand, and epoll.

Usage, from the root of the project: python -m contrib.bench.websocket_load PORT CONNECTIONS SECONDS
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from time import perf_counter

AT_ONCE = 64  # connections being opened at one time: asyncio lets 100 wait
LIMIT_SECONDS = 60.0

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT = b"sixteen bytes!!!"


def frame() -> bytes:
    """A text message, masked."""
    key = os.urandom(4)
    masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(TEXT))
    return bytes((0x81, 0x80 | len(TEXT))) + key + masked


ECHOED = bytes((0x81, len(TEXT))) + TEXT


def connect(port: int, count: int) -> list[socket.socket]:
    """So many connections, their handshakes done."""
    poller, opened, waiting = select.epoll(), [], {}
    end = perf_counter() + LIMIT_SECONDS
    while len(opened) < count:
        if perf_counter() > end:
            raise RuntimeError(f"only {len(opened)} connections in {LIMIT_SECONDS:g} s")
        while len(waiting) < AT_ONCE and len(opened) + len(waiting) < count:
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(REQUEST)
            client.setblocking(False)
            waiting[client.fileno()] = client
            poller.register(client, select.EPOLLIN)
        for number, _ in poller.poll(1.0):
            client = waiting.pop(number)
            answer = client.recv(4096)
            if not (answer.startswith(b"HTTP/1.1 101 ") and answer.endswith(b"\r\n\r\n")):
                raise RuntimeError(f"no handshake: {answer!r}")
            poller.unregister(client)
            opened.append(client)
    poller.close()
    return opened


def measure(port: int, connections: int, seconds: float) -> dict[str, float]:
    """Messages a second that come back, one under way on each connection."""
    clients = {client.fileno(): client for client in connect(port, connections)}
    poller, message = select.epoll(), frame()
    for client in clients.values():
        poller.register(client, select.EPOLLIN)
        client.send(message)
    count, length = 0, len(ECHOED)
    begin = perf_counter()
    end = begin + seconds
    while (now := perf_counter()) < end:
        for number, _ in poller.poll(1.0, 64):
            client = clients[number]
            if client.recv(length) != ECHOED:
                raise RuntimeError("what came back is not what was sent")
            client.send(message)
            count += 1
    return {"messages_per_second": count / (now - begin), "connections": connections}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
