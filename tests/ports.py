"""A port for a server that cannot be told 0, and for what nobody listens at.

It is below those that Linux gives to clients and to who asks for any port: else another test, which
runs beside this one, may be given it before the server is there.
"""

from __future__ import annotations

import secrets
import socket

# Linux begins at 32,768 (Documentation/networking/ip-sysctl.rst, ip_local_port_range).
FIRST, LAST = 20_000, 32_767


def free_port() -> int:
    """A port of 127.0.0.1 at which nobody listens."""
    while True:  # not by `random`, which begins alike in every test of properties
        port = FIRST + secrets.randbelow(LAST - FIRST + 1)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
