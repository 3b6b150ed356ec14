"""Asks the admin interface of a running engine: what commands use.

Lives here: EngineClient, and which engine is meant by a name or an address. A request is a plain
one of the standard library's, over a Unix socket or TCP; errors are those of this side.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from greenflow.admin.bounds import HEARTBEAT, MOST
from greenflow.admin.sockets import RunningEngine, folder, running_engines
from greenflow.errors import GreenflowError

UNIX = "unix:"

#: Seconds that an engine has to answer: more than it may be blocked for, and than `status` takes.
PATIENCE = 30.0


class NoEngine(GreenflowError):
    """No engine runs that is meant, or it does not answer: the operator must act."""

    status = 503
    exit_code = 4


class AdminFailed(GreenflowError):
    """An engine answered that it does not do what was asked. `code` is the status of its answer."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class EngineAddress(NamedTuple):
    """Where an engine is: the path of a Unix socket, or a URL."""

    path: str
    url: str

    def __str__(self) -> str:
        return f"{UNIX}{self.path}" if self.path else self.url


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class EngineClient:
    """Asks one engine; each request has a connection of its own."""

    def __init__(self, target: EngineAddress, token: str = "") -> None:
        self.target, self._token = target, token

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of an answer. Raises AdminFailed, NoEngine."""
        return self._ask("GET", _with(path, query), None, PATIENCE)

    def look(self, path: str) -> tuple[int, Any]:
        """Status and JSON of an answer that may be one of 5xx. Raises NoEngine."""
        try:
            return 200, self.get(path)
        except AdminFailed as failed:
            return failed.code, None

    def post(self, path: str, body: Any = None, patience: float = PATIENCE) -> Any:
        """The JSON that a change answers, within so many seconds. Raises AdminFailed, NoEngine."""
        return self._ask("POST", path, json.dumps(body or {}).encode(), patience)

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(path, **{"limit": MOST, **query, "cursor": cursor})
            yield from page["items"]
            cursor = page["next"]

    def events(self, path: str, order: Any = None, **query: Any) -> Iterator[tuple[str, Any]]:
        """The events of a stream, to its end; of one that is ordered by POST, with what is ordered.
        Raises AdminFailed, NoEngine where the engine is gone without a word."""
        method, body = ("GET", None) if order is None else ("POST", json.dumps(order).encode())
        connection, response = self._request(method, _with(path, query), body, HEARTBEAT * 6)
        try:
            self._check(response)
            name = ""
            for line in response:
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    yield name, json.loads(line[6:])
        except (OSError, HTTPException) as error:
            raise self._lost(error) from error
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: bytes | None, patience: float) -> Any:
        connection, response = self._request(method, path, body, patience)
        try:
            self._check(response)
            return json.loads(response.read())
        except (OSError, HTTPException) as error:
            raise self._lost(error) from error
        finally:
            connection.close()

    def _request(
        self, method: str, path: str, body: bytes | None, patience: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection, prefix = self._connection(patience)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, prefix + path, body, headers)
            return connection, connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._lost(error) from error

    def _connection(self, patience: float) -> tuple[http.client.HTTPConnection, str]:
        if self.target.path:
            return _UnixConnection(self.target.path, patience), ""
        url = urlsplit(self.target.url)
        assert url.hostname is not None
        prefix = url.path.rstrip("/")
        if url.scheme == "https":
            context = ssl.create_default_context()
            return (
                http.client.HTTPSConnection(
                    url.hostname, url.port, timeout=patience, context=context
                ),
                prefix,
            )
        return http.client.HTTPConnection(url.hostname, url.port, timeout=patience), prefix

    def _check(self, response: http.client.HTTPResponse) -> None:
        if response.status < 400:
            return
        content = response.read()
        try:
            detail = json.loads(content)["detail"]
        except (ValueError, KeyError, TypeError):
            detail = f"{self.target} answers {response.status} {response.reason}"
        if response.status == 401:
            detail = f"{detail}; the setting admin.token (GREENFLOW_ADMIN_TOKEN) is sent"
        raise AdminFailed(response.status, detail)

    def _lost(self, error: Exception) -> NoEngine:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return NoEngine(f"the engine at {self.target} does not answer: {reason}")


def _with(path: str, query: dict[str, Any]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def segment(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")


def target_of(address: str) -> EngineAddress:
    """What `--admin` means: `unix:PATH`, a URL or HOST:PORT. Raises ValueError."""
    if address.startswith(UNIX):
        return EngineAddress(address.removeprefix(UNIX), "")
    url = address if "://" in address else f"http://{address}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("unix:PATH, http://HOST:PORT, https://HOST:PORT or HOST:PORT")
    if parts.port is None and parts.scheme == "http" and "://" not in address:
        raise ValueError("a port is missing: HOST:PORT")
    return EngineAddress("", url)


def engines(name: str | None) -> list[RunningEngine]:
    """The running engines of this user: all, or those that are called so. Raises AdminRefused."""
    found = running_engines()
    if name is None:
        return found
    return [each for each in found if name in (each.name, str(each.pid), f"{each.name}-{each.pid}")]


def the_engine(name: str | None) -> EngineAddress:
    """The one that is meant. Raises NoEngine, which says which there are."""
    found = engines(name)
    if len(found) == 1:
        return EngineAddress(found[0].path, "")
    if found:
        shown = ", ".join(f"{each.name}-{each.pid}" for each in found)
        raise NoEngine(f"{len(found)} engines run: choose one by --engine: {shown}")
    others = ", ".join(f"{each.name}-{each.pid}" for each in running_engines())
    if others:
        raise NoEngine(f"no engine called {name!r} runs; there are {others}")
    raise NoEngine(
        f"no engine of this user runs here ({folder()}): start one with `greenflow run`, "
        "or name one by --admin URL"
    )
