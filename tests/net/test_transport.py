"""What the client takes of urllib3 and http.client that is not public must be there, as it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from http import client
from importlib.metadata import requires, version
from typing import Any

import pytest
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from greenflow.net.response import StrictResponse
from greenflow.net.transport import Pool, TlsPool, _Cooperative, _CooperativeTls

MOVED = (
    "urllib3 {0}: {1}. greenflow/net/transport.py stands on it: read what took its place, then "
    "widen the pin in setup.cfg"
)
CHANGED = "http.client: {}. greenflow/net/response.py stands on it: read what took its place"


def names_used(function: Callable[..., Any]) -> set[str]:
    """The attributes and globals that a function mentions, its inner functions included."""
    found, codes = set[str](), [function.__code__]
    for code in codes:
        found |= set(code.co_names)
        codes += [each for each in code.co_consts if inspect.iscode(each)]
    return found


def moved(what: str) -> str:
    return MOVED.format(version("urllib3"), what)


def test_the_versions_are_pinned_to_those_that_were_read() -> None:
    [pin] = [each for each in requires("greenflow") or () if each.startswith("urllib3")]
    assert "<" in pin, f"{pin}: a private name may move in any version of urllib3"


@pytest.mark.parametrize("kind", [HTTPConnection, HTTPSConnection])
def test_a_socket_comes_from_new_conn(kind: type[Any]) -> None:
    assert list(inspect.signature(kind._new_conn).parameters) == ["self"], moved(
        "_new_conn of a connection takes something"
    )
    assert "_new_conn" in names_used(kind.connect), moved("connect does not call _new_conn")


def test_a_pool_takes_its_proxy() -> None:
    parameters = inspect.signature(HTTPConnectionPool.__init__).parameters
    assert {"_proxy", "_proxy_headers"} <= parameters.keys(), moved(
        "a pool does not take _proxy and _proxy_headers"
    )


def test_a_pool_hands_on_what_a_connection_takes() -> None:
    parameters = inspect.signature(HTTPConnectionPool.__init__).parameters
    kinds = {each.kind for each in parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD in kinds, moved("a pool takes no arguments of connections")
    pool: Any
    for pool, kind in (
        (Pool("a.example", reach=list), _Cooperative),
        (TlsPool("a.example", reach=list), _CooperativeTls),
    ):
        connection = pool._get_conn()
        assert type(connection) is kind, moved("a pool does not make connections of ConnectionCls")
        assert connection._reach is list
        pool.close()


def test_a_pool_keeps_connections_in_its_queue() -> None:
    pool: Any = Pool("a.example", maxsize=1, reach=list)
    assert type(pool.pool) is Pool.QueueCls, moved("a pool does not make its queue of QueueCls")
    first, second = pool._get_conn(), pool._get_conn()
    pool._put_conn(first)
    pool._put_conn(second)  # no warning, for there is no room
    assert first.idle_since > 0, moved("a pool does not put idle connections into its queue")
    assert pool.pool.qsize() == 1
    pool.close()


def test_whether_a_server_is_verified_is_asked_of_its_connection() -> None:
    names = names_used(HTTPSConnectionPool._validate_conn)
    assert {"is_verified", "InsecureRequestWarning"} <= names, moved(
        "the warning of an unverified server does not ask for is_verified"
    )
    connection: Any = _CooperativeTls("a.example", reach=list)
    connection.is_verified = False
    assert connection.is_verified is True


@pytest.mark.parametrize(
    ("caller", "name", "parameters"),
    [
        (client.HTTPResponse.read, "_close_conn", ["self"]),
        (client.HTTPResponse.read1, "_close_conn", ["self"]),
        (client.HTTPConnection._tunnel, "_read_status", ["self"]),  # type: ignore[attr-defined]
        (client.HTTPResponse._read_chunked, "_get_chunk_left", ["self"]),  # type: ignore[attr-defined]
        (client.HTTPResponse._read1_chunked, "_get_chunk_left", ["self"]),  # type: ignore[attr-defined]
    ],
)
def test_what_a_response_overrides_is_called(
    caller: Callable[..., Any], name: str, parameters: list[str]
) -> None:
    assert name in vars(StrictResponse)
    assert name in names_used(caller), CHANGED.format(f"{caller.__qualname__} calls no {name}")
    original = getattr(client.HTTPResponse, name)
    assert list(inspect.signature(original).parameters) == parameters, CHANGED.format(
        f"{name} takes something else"
    )


@pytest.mark.parametrize("name", ["_method", "chunk_left", "chunked", "length", "will_close", "fp"])
def test_a_response_has_what_is_set_of_it(name: str) -> None:
    assert name in names_used(client.HTTPResponse.__init__), CHANGED.format(f"there is no {name}")


def test_a_connection_makes_its_response_by_response_class() -> None:
    assert "response_class" in names_used(client.HTTPConnection.getresponse), CHANGED.format(
        "getresponse does not use response_class"
    )
    assert urllib3.HTTPResponse.shutdown
