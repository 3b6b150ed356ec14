"""A MongoDB server that has not everything: a front of SecantusDB that refuses what others lack.

Lives here: the front, in an OS process of its own, and what each server says when it refuses, as
their users report it. All else goes through as it is. A client has to say `directConnection=true`,
or it would go to where the server behind says that it is.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import bson

from tests.bound import bound

OP_MSG = 2013


class Refusal(NamedTuple):
    """What a server says instead of doing it."""

    code: int
    text: str


def _streams(command: dict[str, Any]) -> bool:
    stages = command.get("pipeline") or [{}]
    return "aggregate" in command and "$changeStream" in stages[0]


def _caps(command: dict[str, Any]) -> bool:
    return "create" in command and bool(command.get("capped"))


def _has_partial(command: dict[str, Any]) -> bool:
    indexes = command.get("indexes", ()) if "createIndexes" in command else ()
    return any("partialFilterExpression" in index for index in indexes)


def _has_sparse(command: dict[str, Any]) -> bool:
    indexes = command.get("indexes", ()) if "createIndexes" in command else ()
    return any(index.get("sparse") for index in indexes)


def _transacts(command: dict[str, Any]) -> bool:
    return "startTransaction" in command


def _lists(command: dict[str, Any]) -> bool:
    return "listCollections" in command


SERVERS: dict[str, list[tuple[Callable[[dict[str, Any]], bool], Refusal]]] = {
    "documentdb": [
        (
            _streams,
            Refusal(
                136, "modifyChangeStreams has not been run for this collection/database/cluster"
            ),
        ),
        (_caps, Refusal(303, "Feature not supported: capped:true")),
        (_has_partial, Refusal(303, "Field 'partialFilterExpression' is currently not supported")),
    ],
    "cosmos": [
        (
            _streams,
            Refusal(2, "Change stream must be followed by a match and then a project stage"),
        ),
        (_caps, Refusal(2, "Capped collections are not supported")),
        (_has_partial, Refusal(67, "partialFilterExpression is not supported")),
        (_has_sparse, Refusal(67, "sparse indexes are not supported")),
    ],
    "ferretdb": [
        (_streams, Refusal(115, "Stage $changeStream is not supported yet in native pipeline")),
        (_caps, Refusal(115, "Capped collections not supported yet")),
    ],
}
# Its version 3.6.
SERVERS["documentdb3"] = [
    *SERVERS["documentdb"],
    (_transacts, Refusal(303, "Feature not supported: startTransaction")),
]
# Those that give collections no UUID.
NAMELESS = frozenset(("documentdb", "documentdb3", "cosmos"))


class Front:
    """The front, and the server behind it on `port`."""

    def __init__(self, like: str, port: int) -> None:
        command = bound(sys.executable, "-m", "tests.mongo_front", like, str(port))
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Connection:
    """One client, and its connection to the server."""

    def __init__(self, client: socket.socket, like: str, port: int) -> None:
        self._client, self._refusals = client, SERVERS[like]
        self._is_nameless = like in NAMELESS
        self._server = socket.create_connection(("127.0.0.1", port))
        self._lists: set[int] = set()  # questions whose answers are changed

    def run(self) -> None:
        threading.Thread(target=self._back, daemon=True).start()
        try:
            while (message := _message(self._client)) is not None:
                command = _command(message)
                refusal = command and self._refused(command)
                if refusal:
                    self._client.sendall(_answer(message, refusal))
                    continue
                if command and self._is_nameless and _lists(command):
                    self._lists.add(_header(message)[1])
                self._server.sendall(message)
        except OSError:
            pass  # one of them is gone
        finally:
            self._server.close()
            self._client.close()

    def _refused(self, command: dict[str, Any]) -> Refusal | None:
        return next((refusal for sees, refusal in self._refusals if sees(command)), None)

    def _back(self) -> None:
        try:
            while (message := _message(self._server)) is not None:
                if _header(message)[2] in self._lists:
                    message = _nameless(message)
                self._client.sendall(message)
        except OSError:
            pass  # one of them is gone
        finally:
            self._client.close()


def _exactly(source: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            return None
        data += more
    return data


def _message(source: socket.socket) -> bytes | None:
    head = _exactly(source, 16)
    if head is None:
        return None
    rest = _exactly(source, _header(head)[0] - 16)
    return None if rest is None else head + rest


def _header(message: bytes) -> tuple[int, int, int, int]:
    """Length, number, number of what it answers, operation."""
    header: tuple[int, int, int, int] = struct.unpack_from("<iiii", message)
    return header


def _command(message: bytes) -> dict[str, Any] | None:
    """The command of a message: its first section, which drivers send as its body."""
    if _header(message)[3] != OP_MSG or message[20] != 0:
        return None
    size = struct.unpack_from("<i", message, 21)[0]
    return bson.decode(message[21 : 21 + size])


def _packed(number: int, answers: int, document: dict[str, Any]) -> bytes:
    body = struct.pack("<i", 0) + b"\0" + bson.encode(document)
    return struct.pack("<iiii", 16 + len(body), number, answers, OP_MSG) + body


def _answer(message: bytes, refusal: Refusal) -> bytes:
    document = {"ok": 0.0, "errmsg": refusal.text, "code": refusal.code}
    return _packed(0, _header(message)[1], document)


def _nameless(message: bytes) -> bytes:
    document = bson.decode(message[21:])
    for each in document["cursor"]["firstBatch"]:
        each.get("info", {}).pop("uuid", None)
    return _packed(_header(message)[1], _header(message)[2], document)


def main(like: str, port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            client, _ = listening.accept()
            connection = Connection(client, like, int(port))
            threading.Thread(target=connection.run, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
