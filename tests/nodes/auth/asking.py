"""A listener with `auth` behind it, asked over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from greenflow.config import HttpSettings, Settings
from greenflow.hub.clock import Clock
from greenflow.runtime import Runtime
from tests.net.loopback import Answer, Client


class Guarded:
    """What is asked."""

    def __init__(self, runtime: Runtime) -> None:
        node: Any = runtime.table.find("web").version.node  # type: ignore[union-attr]
        self._address = node.lease.address

    def ask(self, *lines: str, body: bytes = b"", method: str = "POST") -> Answer:
        """The answer to a request with these header lines."""
        head = [f"{method} /x HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(body)}", "", ""]
        client = Client(self._address)
        with closing(client.socket):
            client.send("\r\n".join(head).encode("latin-1") + body)
            return client.answer(method)


#: What who is let in is answered: who it is, and the headers that went on.
SAID = "{'body': {'identity': self.identity, 'header': self.header}}"


@contextmanager
def guarded(clock: Clock | None = None, code: str = SAID, **fields: Any) -> Iterator[Guarded]:
    """A listener whose requests pass an `auth` with these fields, and are answered by that CEL."""
    specs: list[dict[str, Any]] = [
        {"kind": "listener", "name": "web", "port": 0, "links": {"out": {"name": "who"}}},
        {"kind": "auth", "name": "who", "links": {"out": {"name": "said"}}, **fields},
        {"kind": "snippet", "name": "said", "language": "cel", "code": code},
    ]
    settings = Settings(http=HttpSettings(allow=["loopback"]))
    with Runtime("memory://", specs=specs, clock=clock, settings=settings) as runtime:
        yield Guarded(runtime)
