"""Edits of a listener's spec under load: limits, CORS, proxies, certificates. Nothing may fail.

Keep-alive connections and new ones ask all the time, from OS processes of their own, while each
edit changes the listener; every answer that is not a 200, and every connection that is refused or
broken, counts as failed. Once without TLS, with wrk beside the clients, once with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import trustme

from contrib.bench.listener_client import ORIGIN
from contrib.bench.tools import free_port, on_core, server, wrk
from greenflow.store.base import open_store

SECONDS = 12
EDITS_A_SECOND = 20

Edit = Callable[[int], dict[str, Any]]


def limits(turn: int) -> dict[str, Any]:
    return {
        "body": 2**20 + turn,
        "connections": 10_000 + turn,
        "header_timeout": f"{5 + turn % 5}s",
        "idle_timeout": 60 + turn % 15,
    }


def cors(turn: int) -> dict[str, Any] | None:
    """None, every origin, that of the clients, and another one."""
    if turn % 4 == 0:
        return None
    origins = [[], ["*"], [ORIGIN], ["https://other.example"]][turn % 4]
    return {"origins": origins, "expose": [f"X-Turn-{turn}"], "max_age": f"{turn}s"}


def plain(turn: int) -> dict[str, Any]:
    """The fields of the listener that differ at each turn."""
    edits: list[dict[str, Any]] = [
        {"limits": limits(turn)},
        {"cors": cors(turn // 4)},
        {"proxies": [f"10.{turn % 250}.0.0/16"]},
        {"limits": limits(turn), "cors": cors(turn // 4)},
    ]
    return edits[turn % len(edits)]


class Certificates:
    """Certificates of one authority: in files, as text, and in files that are written anew."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._authority = folder, trustme.CA()
        self.authority = folder / "authority.pem"
        self.authority.write_bytes(self._authority.cert_pem.bytes())
        self.renew("a")

    def renew(self, name: str) -> dict[str, str]:
        """A new pair in the files of that name, each put in the old one's place as a whole."""
        made = self._authority.issue_cert("127.0.0.1")
        chain = b"".join(part.bytes() for part in made.cert_chain_pems)
        paths = {}
        for part, text in (("cert", chain), ("key", made.private_key_pem.bytes())):
            path = self.folder / f"{name}-{part}.pem"
            path.with_suffix(".new").write_bytes(text)
            path.with_suffix(".new").rename(path)
            paths[part] = str(path)
        return paths

    def text(self) -> dict[str, str]:
        """A new pair as PEM text."""
        return {part: Path(path).read_text() for part, path in self.renew("text").items()}

    def edit(self, turn: int) -> dict[str, Any]:
        if turn % 3 == 0:
            return {"tls": self.text(), **plain(turn)}
        # Other files, or the same ones with another content.
        return {"tls": self.renew("ab"[turn // 3 % 2]), **plain(turn)}


def specs(port: int, fields: dict[str, Any]) -> list[dict[str, Any]]:
    here = {"namespace": "default"}
    links = {"out": {"name": "pong"}}
    return [
        {**here, "kind": "listener", "name": "http", "port": port, "links": links, **fields},
        {**here, "kind": "snippet", "name": "pong", "code": "pong"},
    ]


def edited(folder: Path, name: str, edit: Edit, authority: Path | None) -> dict[str, Any]:
    port, url = free_port(), f"sqlite:///{folder}/{name}.db"
    clients = on_core(1, sys.executable, "-m", "contrib.bench.listener_client", str(port))
    clients += [str(SECONDS), *([] if authority is None else [str(authority)])]
    found: dict[str, Any] = {}
    with open_store(url + "?synchronous=NORMAL") as store:
        store.specs.apply(specs(port, edit(0)))
        command = (sys.executable, "-m", "greenflow", "run", "--database", url)
        with (
            server(port, *command, "--log-level", "warning") as process,
            subprocess.Popen(clients, stdout=subprocess.PIPE) as counting,
        ):
            load: dict[str, Any] = {}
            beside = threading.Thread(target=lambda: load.update(wrk(port, SECONDS)))
            if authority is None:
                beside.start()
            begin, edits = monotonic(), 0
            while counting.poll() is None and monotonic() - begin < SECONDS:
                edits += 1
                store.specs.apply(specs(port, edit(edits))[:1])
                sleep(max(0.0, begin + edits / EDITS_A_SECOND - monotonic()))
            output, _ = counting.communicate(timeout=60)
            found = {"edits": edits, **json.loads(output)}
            if authority is None:
                beside.join()
                found["wrk"] = load
            found["server_alive"] = process.poll() is None
    return found


def measure(folder: Path) -> dict[str, Any]:
    certificates = Certificates(folder)
    return {
        "plain": edited(folder, "plain", plain, None),
        "tls": edited(folder, "tls", certificates.edit, certificates.authority),
    }
