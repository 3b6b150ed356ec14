"""200 changes by four OS processes while requests come, then back to each of 50 points."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import threading
from pathlib import Path
from typing import Any

from greenflow.spec.signature import Signature
from greenflow.store import Store, open_store
from greenflow.store.rollback import back_to
from tests.cli.conftest import Start, environment, start
from tests.store.tools import python

__all__ = ["environment", "start"]  # fixtures of the commands

WRITERS, CHANGES, POINTS = 4, 50, 50

SERVICE = [
    {
        "id": "web",
        "namespace": "default",
        "name": "web",
        "kind": "listener",
        "port": 0,
        "links": {"out": [{"name": "says", "port": "in"}]},
    },
    {
        "id": "says",
        "namespace": "default",
        "name": "says",
        "kind": "snippet",
        "language": "text",
        "code": "0",
    },
]

WRITER = f"""
import random, sys
from greenflow.store import open_store
me = int(sys.argv[2])
randomness = random.Random(me)
with open_store(sys.argv[1]) as store:
    for number in range({CHANGES}):
        ids = randomness.sample(range(8), randomness.randint(1, 3))
        mine = [{{"id": f"w{{me}}-{{id}}", "namespace": "default", "name": f"w{{me}}-{{id}}",
                  "kind": "snippet", "language": "text", "code": str(randomness.random())}}
                for id in ids]
        if number and randomness.random() < 0.2:
            store.specs.delete({{"id": {{"$in": [each["id"] for each in mine]}}}})
        else:
            says = {{"id": "says", "namespace": "default", "name": "says", "kind": "snippet",
                     "language": "text", "code": f"{{me}}-{{number}}"}}
            store.specs.apply([*mine, says])
"""


def digest(documents: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()


def stored(store: Store) -> str:
    return digest([record.document for record in store.specs.find(None)])


def states(store: Store) -> dict[int, str]:
    """What was stored after each change, by the edits alone."""
    documents: dict[str, dict[str, Any]] = {}
    result: dict[int, str] = {}
    for edit in store.history.edits("default"):
        documents.pop(edit.id, None)
        if edit.after is not None:
            documents[edit.id] = json.loads(edit.after)
        result[edit.number] = digest([documents[id] for id in sorted(documents)])
    return result


class Clients:
    """Two threads that ask as fast as they are answered."""

    def __init__(self, port: int) -> None:
        self.port, self.answered, self.failed = port, 0, list[str]()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self._ended.is_set():
            connection.request("GET", "/")
            response = connection.getresponse()
            body = response.read()
            self.answered += 1
            if response.status != 200:
                self.failed.append(f"{response.status} {body!r}")
        connection.close()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_every_point_comes_back_under_traffic(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/greenflow.db"
    with open_store(url) as store:
        store.specs.apply(SERVICE)
    running = start("run")
    clients = Clients(running.port())
    try:
        writers = [python(WRITER, url, str(number)) for number in range(WRITERS)]
        for writer in writers:
            with writer as process:
                assert process.wait() == 0
        with open_store(url) as store:
            known = states(store)
            newest = store.history.newest("default")
            assert newest >= WRITERS * CHANGES * 0.8  # deleting what is not there is no change
            assert sorted(known) == list(range(1, newest + 1))
            for number in random.Random(3).sample(sorted(known), POINTS):
                plan = back_to(store.history, "default", number)
                signature = Signature("soak", expected={"default": plan.newest})
                store.rewrite(plan.of("specs"), plan.of("values"), signature)
                assert stored(store) == known[number]
    finally:
        clients.stop()
    print(f"{newest} changes, {POINTS} points, {clients.answered} requests")
    assert clients.failed == []
    assert clients.answered > POINTS
    assert running.stop() == 0
