"""`greenflow run` for a long time: mixed traffic, edits, kills of workers, and pipes that are full.

It goes in rounds. In each of them clients send requests, specs are edited, and OS processes of
workers are killed, while nobody reads what the engine writes in every second round. Then all is
quiet, and its resident memory, descriptors and OS processes are looked at.

`--soak-minutes` says for how long. Memory must not grow: the slope of a line through what was seen
after the warm-up is at most 1 MiB an hour, or no further from that than chance would have it, which
in half an hour is little.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read
from greenflow.store.base import open_store
from greenflow.store.operations import Operations
from tests.ports import free_port
from tests.soak import traffic

HERE = Path(__file__).parent

CLIENTS, REQUESTS = 4, 300  # of each round, and of each client in it
EDITS_BEFORE = 2000  # what is remembered of specs, and the cache of the store, are full then
CODES = 100  # different ones that specs get in turn
BETWEEN_EDITS, BETWEEN_KILLS = 0.3, 1.5  # seconds
OLD = 4.0  # seconds after which a worker is no longer one that a call has for itself

# Has the C library give back what is free (mallopt(3)). By itself it keeps the memory of a large
# body for minutes, now and then, and what is to be seen are a few KiB of a leak.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

WARM_UP = 0.2  # of the whole time
QUIET = 60.0  # seconds until all must have ended
MOST_SLOPE = 1.0  # MiB an hour
CERTAIN = 3.0  # standard errors


class Seen(NamedTuple):
    """The engine at a quiet moment."""

    seconds: float
    resident_kib: int
    descriptors: int
    children: int


def children(pid: int) -> dict[int, str]:
    """The OS processes that one has, and theirs: number and command line."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                with suppress(OSError):
                    found[int(child)] = Path(f"/proc/{child}/cmdline").read_text()
                    found |= children(int(child))
    return found


def workers(pid: int) -> set[int]:
    """Those that run code of others, and the wardens of Python's workers."""
    return {number for number, line in children(pid).items() if "worker" in line}


class Engine:
    """`greenflow run`, its pipes, and who reads them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "greenflow", "run", "--database", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **MALLOC, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        )
        self.pid = self.process.pid
        self.is_read = threading.Event()
        self.last: bytes = b""  # of the log
        streams = (self.process.stdout, self.process.stderr)
        self._readers = [threading.Thread(target=self._read, args=(it,)) for it in streams]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any) -> None:
        with stream:
            while self.is_read.wait() and (data := os.read(stream.fileno(), 1 << 16)):
                if stream is self.process.stderr:
                    self.last = (self.last + data)[-20_000:]

    def stop(self) -> int:
        """Its exit code."""
        self.is_read.set()
        self.process.terminate()
        try:
            return self.process.wait(QUIET)
        finally:
            self.process.kill()
            for reader in self._readers:
                reader.join()

    def seen(self, begin: float) -> Seen:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return Seen(
            time.monotonic() - begin,
            int(status.split("VmRSS:")[1].split()[0]),
            len(os.listdir(f"/proc/{self.pid}/fd")),
            len(children(self.pid)),
        )


class Edits:
    """Changes specs: one that is asked for, some that are used, and some beside them."""

    def __init__(self, specs: Operations) -> None:
        self._specs, self.number = specs, 0

    def __call__(self) -> None:
        number = self.number + 1
        self.number = number  # before it can be seen
        # Of these there are not so many that what is remembered of code fills up for hours.
        code, other = number % CODES, f"beside{number % 5}"
        beside = {"id": other, "kind": "snippet", "name": other, "language": "cel"}
        version = {**traffic.VERSION, "code": str(number)}
        self._specs.apply([version, {**beside, "code": f"self + {code}"}])
        if number % 3 == 0:
            self._specs.delete({"name": other})
        if number % 7 == 0:
            trigger = {"id": "topic", "kind": "trigger", "name": "topic", "topic": f"topic {code}"}
            self._specs.apply([trigger])
        if number % 10 == 0:
            script = {"id": "js", "kind": "snippet", "name": "js", "language": "javascript"}
            double = "export default (request) => ({body: request.body.numbers.map((n) => n * 2)})"
            self._specs.apply([{**script, "code": f"{double} // {code}"}])


def slope(seen: list[Seen]) -> tuple[float, float]:
    """MiB an hour by linear regression over the resident memory, and the standard error of it."""
    hours = [one.seconds / 3600 for one in seen]
    sizes = [one.resident_kib / 1024 for one in seen]
    middle, mean = sum(hours) / len(hours), sum(sizes) / len(sizes)
    spread = sum((hour - middle) ** 2 for hour in hours)
    found = sum((x - middle) * (y - mean) for x, y in zip(hours, sizes, strict=True)) / spread
    away = sum((y - mean - found * (x - middle)) ** 2 for x, y in zip(hours, sizes, strict=True))
    return found, (away / (len(seen) - 2) / spread) ** 0.5


def least(seen: list[Seen], field: str) -> int:
    """The smallest of some numbers."""
    return min(getattr(one, field) for one in seen)


def client(port: int, seed: int, edits: Edits, errors: list[str]) -> None:
    try:
        with closing(traffic.Client(port, random.Random(seed), lambda: edits.number)) as user:
            user.run(REQUESTS)
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")


def a_round(engine: Engine, port: int, number: int, edits: Edits, errors: list[str]) -> None:
    """The clients of one round, what is edited and killed meanwhile."""
    chance = random.Random(number)

    users = [
        threading.Thread(target=client, args=(port, number * CLIENTS + at, edits, errors))
        for at in range(CLIENTS)
    ]
    for user in users:
        user.start()
    # Three workers in a row that end before they are ready are an error: only old ones are killed.
    # And a call whose worker died has a second one alone, which is not to die as well.
    born = dict.fromkeys(workers(engine.pid), time.monotonic())
    kill_at = time.monotonic() + BETWEEN_KILLS
    while any(user.is_alive() for user in users):
        edits()
        if time.monotonic() > kill_at:
            now = time.monotonic()
            born = {pid: born.get(pid, now) for pid in workers(engine.pid)}
            old = sorted(pid for pid, since in born.items() if since < now - OLD)
            with suppress(ProcessLookupError, IndexError):
                os.kill(chance.choice(old), signal.SIGKILL)
            kill_at = time.monotonic() + BETWEEN_KILLS
        users[0].join(BETWEEN_EDITS)
    for user in users:
        user.join()


def quiet(engine: Engine, port: int, begin: float) -> Seen:
    """The engine once nothing is under way. Each of its workers is there, as one call of each makes
    them, and no other OS process."""
    deadline = time.monotonic() + QUIET
    user = traffic.Client(port, random.Random(1), lambda: 0)
    before = None
    while True:
        for ask in (user.begets, user.js, user.talk, user.slow, user.fail):
            ask()
        user.close()
        time.sleep(0.3)
        seen = engine.seen(begin)
        if before == seen[2:]:
            return seen
        before = seen[2:]
        assert time.monotonic() < deadline, children(engine.pid)


@pytest.fixture
def minutes(request: pytest.FixtureRequest) -> float:
    return float(request.config.getoption("--soak-minutes"))


def test_nothing_grows_and_nothing_fails(tmp_path: Path, minutes: float) -> None:
    url = f"sqlite:///{tmp_path}/specs.db"
    port = free_port()
    shutil.copy(HERE / "soaked.py", tmp_path)
    text = (HERE / "traffic.yaml").read_text()
    text = text.replace("PORT", str(port)).replace("FOLDER", str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "rows.db")) as rows:
        rows.execute("CREATE TABLE seen (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    with open_store(url) as store:
        specs = Operations(store.specs, Scheme.installed(), "default")
        flow = read(text, "traffic.yaml")
        specs.apply([{"id": document.data["name"], **document.data} for document in flow])
        edits = Edits(specs)
        edits()
        engine = Engine(tmp_path, url)
        try:
            report = soak(engine, port, edits, minutes)
        finally:
            code = engine.stop()
    print(json.dumps(report, indent=1))
    assert code == 0
    assert report["descriptors"] == report["children"] == 0
    assert report["slope"] - CERTAIN * report["standard_error"] <= MOST_SLOPE


def soak(engine: Engine, port: int, edits: Edits, minutes: float) -> dict[str, Any]:
    begin, errors, seen = time.monotonic(), list[str](), list[Seen]()
    engine.is_read.set()
    listening = begin + traffic.SECONDS
    while not _answers(port):
        assert time.monotonic() < listening, engine.last.decode()
        time.sleep(0.1)
    for _ in range(EDITS_BEFORE):
        edits()
    while _version(port) != edits.number:
        assert time.monotonic() < begin + 2 * QUIET, engine.last.decode()
        time.sleep(0.1)
    begin, number = time.monotonic(), 0
    while time.monotonic() < begin + minutes * 60 and not errors:
        number += 1
        if number % 2:
            engine.is_read.clear()
        a_round(engine, port, number, edits, errors)
        engine.is_read.set()
        seen.append(quiet(engine, port, begin))
        print(*seen[-1], flush=True)
    assert not errors, [errors, engine.last.decode("utf-8", "replace")]
    warm = [one for one in seen if one.seconds > minutes * 60 * WARM_UP]
    third = max(1, len(warm) // 3)
    found, error = slope(warm)
    return {
        "rounds": number,
        "requests": number * CLIENTS * REQUESTS,
        "edits": edits.number,
        "resident_mib": [round(one.resident_kib / 1024, 1) for one in (warm[0], warm[-1])],
        "slope": round(found, 2),
        "standard_error": round(error, 2),
        # The least, for connections of the `http` node may be kept at one moment or the other.
        "descriptors": least(warm[-third:], "descriptors") - least(warm[:third], "descriptors"),
        "children": least(warm[-third:], "children") - least(warm[:third], "children"),
    }


def _version(port: int) -> int:
    with closing(traffic.Client(port, random.Random(0), lambda: 0)) as user:
        return int(user.ask("/version").body)


def _answers(port: int) -> bool:
    with closing(traffic.Client(port, random.Random(0), lambda: 0)) as user:
        try:
            user.ping()
        except OSError:
            return False
    return True
