"""A runtime for large bodies: `python -m contrib.bench.bodies_runtime PORT FILE`.

Its listener streams. POST /discard counts the bytes of a body, POST /save writes them to FILE, GET
/download answers with a body of SIZE bytes.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import sys
from collections.abc import Iterator
from typing import Any

import gevent

from greenflow import Node, Runtime, Scheme, Spec, Stream, node

SIZE = 100 * 2**20  # bytes of a body
PIECE = b"x" * 2**16  # what a download is made of: as much as the server asks of one recv


class SaveSpec(Spec):
    """Where to."""

    filename: str = ""


@node("discard", reads_only=True)
class Discard(Node[Spec]):
    """Reads a body and answers how long it was."""

    def handle(self, ctx: Any, payload: Any) -> Any:
        return sum(map(len, payload["body"]))


@node("save", reads_only=True)
class Save(Node[SaveSpec]):
    """Writes a body to a file, in the threadpool, and answers how long it was."""

    def handle(self, ctx: Any, payload: Any) -> Any:
        elsewhere = gevent.get_hub().threadpool.apply
        written = 0
        with elsewhere(open, (self.spec.filename, "wb")) as file:
            for piece in payload["body"]:
                written += elsewhere(file.write, (piece,))
        return written


@node("download", reads_only=True)
class Download(Node[Spec]):
    """Answers with a body that is made while it is sent."""

    def handle(self, ctx: Any, payload: Any) -> Any:
        def pieces() -> Iterator[bytes]:
            for _ in range(SIZE // len(PIECE)):
                yield PIECE

        return Stream(pieces())


def specs(port: int, filename: str) -> list[dict[str, Any]]:
    """The listener, a router, and a node for each path."""
    routes = [("POST", "discard"), ("POST", "save"), ("GET", "download")]
    return [
        {
            "kind": "listener",
            "name": "http",
            "port": port,
            "stream": True,
            "limits": {"body": 2 * SIZE},
            "links": {"out": {"name": "router"}},
        },
        {
            "kind": "router",
            "name": "router",
            "routes": [
                {"method": method, "path": f"/{name}", "port": f"out[{i}]"}
                for i, (method, name) in enumerate(routes)
            ],
            "links": {f"out[{i}]": {"name": name} for i, (_, name) in enumerate(routes)},
        },
        {"kind": "discard", "name": "discard"},
        {"kind": "save", "name": "save", "filename": filename},
        {"kind": "download", "name": "download"},
    ]


def main() -> None:
    scheme = Scheme.installed()
    for kind in (Discard, Save, Download):
        scheme.register(kind)
    with Runtime("memory://", specs=specs(int(sys.argv[1]), sys.argv[2]), scheme=scheme):
        gevent.get_hub().join()


if __name__ == "__main__":
    main()
