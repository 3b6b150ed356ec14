"""Runtimes in OS processes of their own on one MongoDB: how soon changes arrive, and after faults.

The server is SecantusDB, from the extra `test`, in its mode of a replica set (`stream`) and in that
of a single server (`tail`). Seconds are from before the write was asked for, writing included.
"""

from __future__ import annotations

import json
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from pymongo import MongoClient

from contrib.bench.mongo_runtime import digest
from contrib.bench.tools import PING, free_port, resident_kib
from greenflow.errors import GreenflowError
from greenflow.spec.document import read
from greenflow.store.base import Store, open_store
from tests.mongo import MongoServer

CHANGES = 100  # single changes of which the latency is taken
TAIL_CHANGES = 20  # of those that take a second each
AWAY = 30.0  # seconds that the server is gone: the figure
MANY = 1_000  # specs of a comparison, and changes at once after the server is back
WRITERS, WRITES = 4, 2_500  # random changes
WRITING = 1_800.0  # seconds: SecantusDB reads the whole journal for each change of it
LOAD = 10_000  # specs of a first load
LOSSES = (43, 96, 136, 175, 237, 50, 286)  # codes with which a feed ends
DEADLINE = 60.0  # seconds after which something that should have come has failed


class Runtime:
    """An OS process of mongo_runtime.py."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "contrib.bench.mongo_runtime", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._rest = b""
        self.probe: dict[str, Any] = {}
        self.started: float = self._next()["started"]

    def _next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        end = time.monotonic() + DEADLINE
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.process.stdout], [], [], end - time.monotonic())
            chunk = self.process.stdout.read(1 << 16) if ready else b""
            if not chunk:
                raise SystemExit("a runtime says nothing any more")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    def changed(self, text: str) -> float:
        """The moment at which the probe said this."""
        while self.probe.get("probe") != text:
            self.probe = self._next()
        at: float = self.probe["at"]
        return at

    def state(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        while "digest" not in (told := self._next()):
            self.probe = told
        return told

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.stdout is not None
        self.process.stdout.read()
        self.process.wait(DEADLINE)
        self.process.stdout.close()


@contextmanager
def runtimes(url: str, count: int) -> Iterator[list[Runtime]]:
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Runtime(url))) for _ in range(count)]


def counted(id: str, text: str) -> dict[str, Any]:
    return {"kind": "counted", "id": id, "namespace": "default", "name": id, "text": text}


def wait(condition: Callable[[], bool]) -> float:
    """Seconds until the condition holds."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() > begin + DEADLINE:
            raise SystemExit("what was waited for did not come")
        time.sleep(0.02)
    return time.monotonic() - begin


def milliseconds(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median_ms": median(ordered) * 1000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
        "worst_ms": ordered[-1] * 1000,
    }


def visible(url: str, store: Store, count: int, changes: int) -> dict[str, Any]:
    """From the call that writes to the swap in the slowest of the runtimes."""
    chance, seconds, written = random.Random(1), [], []
    store.specs.apply([counted("probe", "start")])
    with runtimes(url, count) as running:
        for number in range(changes):
            time.sleep(chance.uniform(0.0, 0.03))  # at any moment of the feed's wait
            begin = time.monotonic()
            store.specs.apply([counted("probe", str(number))])
            written.append(time.monotonic() - begin)
            seconds.append(max(each.changed(str(number)) for each in running) - begin)
        running[0].state()
        time.sleep(5.0)
        ticks = running[0].state()["ticks"]
    return {
        **milliseconds(seconds),
        "of_it_writing_median_ms": median(written) * 1000,
        "ticks_while_the_feed_waits": ticks,
    }


def away(server: MongoServer, url: str, store: Store) -> dict[str, Any]:
    """The server is killed, is gone for 30 s, and 1,000 specs change as soon as it is back."""
    port = free_port()
    ping = [each.data for each in read(PING.format(port=port), "ping.yaml")]
    store.specs.apply([{**each, "namespace": "default"} for each in ping])
    store.specs.apply([counted(f"n{at}", "before") for at in range(MANY)])
    with runtimes(url, 1) as (runtime,):
        before = runtime.state()
        server.kill()
        time.sleep(6.0)  # until the runtime has noticed and settled into waiting
        cpu, begin = runtime.state()["cpu_seconds"], time.monotonic()
        asked = failed = 0
        while time.monotonic() < begin + AWAY - 6.0:
            asked += 1
            with urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
                failed += answer.read() != b"pong"
            time.sleep(0.2)
        seconds = time.monotonic() - begin
        gone = runtime.state()
        server.start()
        back = time.monotonic()
        after = [counted(f"n{at}", "after") for at in range(MANY)]
        store.specs.apply(after)
        written = time.monotonic() - back
        documents = {each["id"]: each for each in after}
        records = store.specs.find(None)
        wanted = digest({each.document["id"]: each.document for each in records})
        assert documents.items() <= {r.document["id"]: r.document for r in records}.items()
        wait(lambda: bool(runtime.state()["digest"] == wanted))
        return {
            "cpu_percent_while_away": 100 * (gone["cpu_seconds"] - cpu) / seconds,
            "connected_while_away": gone["connected"],
            "requests": asked,
            "failed": failed,
            "written_seconds_after_it_was_back": written,
            "visible_seconds_after_it_was_back": time.monotonic() - back,
            "nodes_opened": runtime.state()["opened"] - before["opened"],
            "changes": MANY,
        }


def losses(url: str, store: Store, server: MongoServer) -> dict[str, Any]:
    """The feed ends in every way that the server knows, and one spec of 1,000 changes."""
    store.specs.apply([counted(f"n{at}", "x") for at in range(MANY)])
    store.specs.apply([counted("probe", "start")])
    result: dict[str, Any] = {}
    with (
        runtimes(url, 1) as (runtime,),
        closing(MongoClient[dict[str, Any]](url)) as client,
    ):
        database = client.get_default_database()

        def change(name: str, fault: Callable[[], object]) -> None:
            sys.stderr.write(f"    {name}\n")
            before = runtime.state()["opened"]
            fault()
            begin = time.monotonic()
            store.specs.apply([counted("probe", name)])
            seconds = runtime.changed(name) - begin
            opened = runtime.state()["opened"] - before
            result[name] = {"visible_seconds": seconds, "nodes_opened": opened}

        def fail(code: int) -> None:
            data = {"failCommands": ["getMore"], "errorCode": code, "appName": "greenflow"}
            point = {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
            client.admin.command(point)

        def roll_over() -> None:
            runtime.process.send_signal(signal.SIGSTOP)
            for _ in range(3):
                database.journal.insert_many([{"padding": "x" * 1000} for _ in range(500)])
            runtime.process.send_signal(signal.SIGCONT)

        for code in LOSSES:
            change(f"code {code}", lambda code=code: fail(code))  # type: ignore[misc]
        if "--standalone" in server.options:
            change("journal rolled over", roll_over)
            change("journal dropped", database.journal.drop)
        else:
            change("collection renamed and back", lambda: rename(database))
    return result


def rename(database: Any) -> None:
    """Every change stream of the collection is invalidated, and its documents stay."""
    database.specs.rename("elsewhere")
    database.elsewhere.rename("specs")


def write(store: Store, seed: int, changes: int) -> None:
    """Random changes, as of one of several writers."""
    from greenflow.store.operations import Operations

    chance, specs = random.Random(seed), Operations(store.specs, known(), "default")
    for number in range(changes):
        name, target = chance.sample([f"n{each}" for each in range(200)], 2)
        what = chance.random()
        try:
            if what < 0.2:
                specs.delete({"name": name})
            else:
                links = {"out": [{"name": target}]} if what < 0.6 else {}
                spec = {"kind": "counted", "name": name, "text": f"{seed} {number}"}
                specs.apply({**spec, "links": links})
        except GreenflowError as error:
            sys.stderr.write(f"{error}\n")


def known() -> Any:
    from contrib.bench.mongo_runtime import scheme

    return scheme()


def equal(url: str, store: Store) -> dict[str, Any]:
    """Four runtimes, four writers, 10,000 random changes: are the tables equal to the store?"""
    begin = time.monotonic()
    with runtimes(url, 4) as running:
        code = (
            "import sys; from contrib.bench.mongo import open_store, write\n"
            "with open_store(sys.argv[1]) as store: write(store, int(sys.argv[2]), WRITES)"
        ).replace("WRITES", str(WRITES))
        command = [sys.executable, "-c", code, url]
        writers = [subprocess.Popen([*command, str(seed)]) for seed in range(WRITERS)]
        try:
            if any(writer.wait(WRITING) for writer in writers):
                raise SystemExit("a writer failed")
        finally:
            for writer in writers:
                writer.kill()
        written = time.monotonic() - begin
        records = store.specs.find(None)
        wanted = digest({each.document["id"]: each.document for each in records})
        settled = wait(lambda: all(each.state()["digest"] == wanted for each in running))
        return {
            "changes": WRITERS * WRITES,
            "changes_per_second": WRITERS * WRITES / written,
            "equal_after_seconds": settled,
            "specs": len(records),
            "digest": wanted[:12],
        }


def first_load(url: str, store: Store) -> dict[str, float]:
    links = [{"out": [{"name": f"n{at + 1}"}]} for at in range(LOAD - 1)] + [{}]
    specs = [{**counted(f"n{at}", "x"), "links": links[at]} for at in range(LOAD)]
    begin = time.monotonic()
    for at in range(0, LOAD, 500):
        store.specs.insert(specs[at : at + 500])
    written = time.monotonic() - begin
    with runtimes(url, 1) as (runtime,):
        return {
            "written_seconds": written,
            "loaded_seconds": runtime.started,
            "resident_mib": resident_kib(runtime.process.pid) / 1024,
        }


def measure(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for mode, options in (("stream", ()), ("tail", ("--standalone",))):
        with closing(MongoServer(*options)) as server:
            found: dict[str, Any] = {}

            def section(
                name: str,
                run: Callable[[str, Store], Any],
                server: MongoServer = server,
                found: dict[str, Any] = found,
            ) -> None:
                sys.stderr.write(f"  {name}\n")
                url = server.url()
                with open_store(url) as store:
                    found[name] = run(url, store)
                    # Minutes pass until the next one is done, or fails.
                    sys.stderr.write(f"  {json.dumps(found[name])}\n")

            changes = CHANGES if mode == "stream" else TAIL_CHANGES
            for count in (1, 2, 4):
                section(
                    f"visible_in_{count}",
                    lambda url, store, count=count, changes=changes: visible(  # type: ignore[misc]
                        url, store, count, changes
                    ),
                )
            section("away", lambda url, store, server=server: away(server, url, store))  # type: ignore[misc]
            section("losses", lambda url, store, server=server: losses(url, store, server))  # type: ignore[misc]
            section("equal", equal)
            section("first_load", first_load)
            result[mode] = found
    return result
