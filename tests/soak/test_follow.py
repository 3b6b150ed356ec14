"""80,000 random changes by several OS processes, followed by two runtimes: all equal at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gevent

from greenflow import Runtime
from tests.waiting import PAUSE

WRITERS = 4
CHANGES = 20_000  # of each writer
SECONDS = 600.0  # until it has failed

WRITER = """
import random, sys
from greenflow.errors import GreenflowError
from greenflow.store.operations import Operations
from greenflow.scheme.registry import Scheme
from greenflow.store.base import open_store

url, seed, changes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
with open_store(url + "?synchronous=NORMAL") as store:
    specs = Operations(store.specs, Scheme.installed(), "default")
    for i in range(changes):
        name, target = chance.sample([f"n{k}" for k in range(200)], 2)
        what = chance.random()
        try:
            if what < 0.2:
                specs.delete({"name": name})
            else:
                links = {"out": {"name": target}} if what < 0.6 else {}
                spec = {"kind": "snippet", "name": name, "code": f"{seed} {i}"}
                specs.apply({**spec, "links": links})
        except GreenflowError as error:
            print(error, file=sys.stderr)
"""


def newest(runtime: Runtime) -> dict[str, object]:
    """The newest documents that the runtime has looked at. Which older version runs in the place of
    one that was refused depends on the moment (BEHAVIOUR 6.6), so that is not compared."""
    symbols = runtime.table.symbols.values()
    return {symbol.id: (symbol.pending or symbol.version).document for symbol in symbols}


def test_two_runtimes_are_equal_to_the_store_at_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/soak.db"
    with Runtime(url) as first, Runtime(url) as second:
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, url, str(seed), str(CHANGES)])
            for seed in range(WRITERS)
        ]
        with gevent.Timeout(SECONDS):
            while any(writer.poll() is None for writer in writers):
                gevent.sleep(PAUSE)
            assert [writer.returncode for writer in writers] == [0] * WRITERS
            stored = {r.document["id"]: r.revision for r in first.operations.read()}
            while not first.table.revisions() == second.table.revisions() == stored:
                gevent.sleep(PAUSE)
        documents = {r.document["id"]: r.document for r in first.operations.read()}
        assert newest(first) == newest(second) == documents
