"""1,000 requests whose commit fails: none is answered 2xx. And writers that are killed."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread

REQUESTS = 1_000
CLIENTS = 4
KILLS = 10
SECONDS = 60.0  # until something that was waited for has failed

SPECS = """
- {kind: listener, name: http, port: 0, links: {out: {name: router}}}
- kind: router
  name: router
  routes:
  - {method: POST, path: /bad, port: "out[0]"}
  - {method: POST, path: "/good/:n", port: "out[1]"}
  links: {"out[0]": {name: bad}, "out[1]": {name: good}}
- {kind: snippet, name: bad, code: INSERT INTO b VALUES (1), links: {out: {name: db}}}
- kind: snippet
  name: good
  language: cel
  code: '["INSERT INTO good VALUES (?)", [int(self.params.n)]]'
  links: {out: {name: db}}
- {kind: sql, name: db, driver: sqlite, source: "a.db?journal_mode=WAL&foreign_keys=ON"}
"""


class Server:
    """`greenflow run` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.log = open(folder / "log", "w+")  # noqa: SIM115 - as long as the server
        command = [sys.executable, "-m", "greenflow", "run", "specs.yaml"]
        self.process = subprocess.Popen(command, cwd=folder, stderr=self.log)
        while "listening on" not in (text := (folder / "log").read_text()):
            assert self.process.poll() is None, text
        self.port = int(text.partition("127.0.0.1:")[2].partition('"')[0])

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(SECONDS)
        self.log.close()


def prepare(folder: Path) -> Path:
    (folder / "specs.yaml").write_text(SPECS)
    with closing(sqlite3.connect(folder / "a.db")) as connection:
        connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("CREATE TABLE good (n INTEGER PRIMARY KEY)")
    return folder / "a.db"


def test_a_commit_that_fails_is_never_answered_2xx(tmp_path: Path) -> None:
    file = prepare(tmp_path)
    server = Server(tmp_path)
    statuses: list[int] = []

    def ask() -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
        for _ in range(REQUESTS // CLIENTS):
            connection.request("POST", "/bad")
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()

    clients = [Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    server.end(signal.SIGTERM)
    assert statuses == [500] * REQUESTS
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM b").fetchone() == (0,)


def test_what_was_answered_2xx_is_there_after_kills(tmp_path: Path) -> None:
    file = prepare(tmp_path)
    chance = random.Random(7)
    answered: set[int] = set()
    number = 0
    for _ in range(KILLS):
        server = Server(tmp_path)
        left = chance.randrange(20, 500)
        connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
        due, wanted = Event(), len(answered) + left
        killer = Thread(target=_kill, args=(server, due))
        killer.start()
        try:
            while True:
                number += 1
                connection.request("POST", f"/good/{number}")
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    answered.add(number)
                if len(answered) == wanted:
                    due.set()
        except (OSError, HTTPException):
            connection.close()
        killer.join()
    with closing(sqlite3.connect(file)) as connection:
        stored = {n for (n,) in connection.execute("SELECT n FROM good")}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(answered) >= KILLS * 20
    assert answered <= stored, json.dumps(sorted(answered - stored))
    assert len(stored - answered) <= KILLS


def _kill(server: Server, due: Event) -> None:
    due.wait(SECONDS)
    server.end(signal.SIGKILL)
