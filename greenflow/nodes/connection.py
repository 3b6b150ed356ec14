"""`connection`: a database that is written once, for all `sql` nodes that name it (BEHAVIOUR 13.5,
14.connection, 14.7).

Lives here: the kind, what says of a database which one it is, and the making of it. It is a spec of
this kind or a value, and an `sql` node may say the same itself. What runs there is sql.py's.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Node
from greenflow.engine.resolving import Resolving
from greenflow.engine.services import Compiler
from greenflow.errors import CompileFailed, SpecFault, SpecInvalid
from greenflow.spec.decoding import decode, no_specs
from greenflow.spec.fields import Duration, Spec
from greenflow.sql.source import Source, SqliteSource, isolation_of, parse
from greenflow.sql.transaction import Database
from greenflow.values.seal import Sealed

# Connections of one source that a node makes at most if its spec does not say: as SQLAlchemy's own
# pool has them.
CONNECTIONS = 5

# Seconds that a statement waits for a connection, or on SQLite for another program that writes:
# more than any transaction of a workflow takes, and less than who asked would wait.
TIMEOUT = 10.0


class DatabaseSpec(Spec):
    source: Annotated[
        str, Meta(description="the database: a URL, a path, or as its driver in Go takes it")
    ]
    driver: Annotated[
        str, Meta(description="sqlite, postgres, mysql ...; may be left out if the source is a URL")
    ] = ""
    isolation: Annotated[
        int | str | None,
        Meta(description="such as serializable; default: that of the database"),
    ] = None
    connections: Annotated[
        int, Meta(ge=1, le=1000, description="connections at once; on SQLite those that read")
    ] = CONNECTIONS
    timeout: Annotated[
        Duration,
        Meta(description="how long to wait for a connection, or for the lock of an SQLite file"),
    ] = TIMEOUT


# What a connection says of a database, and a node that names one does not.
SAID = ("source", "driver", "isolation", "connections", "timeout")


@node("connection", inputs=(), outputs=())
class DatabaseConnection(Node[DatabaseSpec]):
    """A database, written once for all `sql` nodes that name it. Nothing can be sent to it."""

    @classmethod
    def check(cls, spec: DatabaseSpec, compiler: Compiler) -> list[SpecFault]:
        return faults(spec)

    @classmethod
    def lacks(cls, spec: DatabaseSpec, compiler: Compiler) -> list[SpecFault]:
        return lacks(spec, "$.source")


def faults(spec: DatabaseSpec) -> list[SpecFault]:
    """What is wrong with what names a database."""
    found = []
    for path, look in (
        ("$.source", partial(parse, spec.driver, spec.source)),
        ("$.isolation", partial(isolation_of, spec.isolation)),
    ):
        try:
            look()
        except ValueError as error:
            found.append(SpecFault(path, str(error)))
    return found


def lacks(spec: DatabaseSpec, path: str) -> list[SpecFault]:
    """What is not installed here of what the database takes."""
    if not spec.source:
        return []  # it is not known
    source = parse(spec.driver, spec.source)
    if isinstance(source, SqliteSource):
        return []
    try:
        make(source, None, 1, 1.0).close()  # connects when it is first used
    except CompileFailed as error:
        return [SpecFault(path, str(error))]
    return []


def connection_of(resolving: Resolving) -> DatabaseSpec:
    """What a node's `connection` names: a spec, or a value. Raises SpecInvalid and Deferred."""
    called, found = resolving.look_up("connection")
    if found is None or found.document.get("kind") != "connection":
        try:
            return _of_value(resolving.bindings.value(called))
        except LookupError:
            if found is None:
                namespace = f"namespace {resolving.namespace!r}"
                reason = f"no spec of kind connection and no value {called!r} in {namespace}"
                resolving.fail("connection", reason)
        except Sealed as error:
            resolving.fail("connection", str(error))
        except SpecInvalid as error:
            resolving.fail("connection", f"the value {called!r}: {error}")
    found = resolving.find("connection", "connection")
    try:
        spec = resolving.decode(found.document)
    except SpecInvalid:  # the connection itself tells
        resolving.defer()
    assert isinstance(spec, DatabaseSpec)
    return spec


def _of_value(data: Any) -> DatabaseSpec:
    """The data of a value as a connection: a map of its fields, or its source alone. Raises
    SpecInvalid."""
    said = {"source": data} if isinstance(data, str) else data
    if not isinstance(said, dict):
        raise SpecInvalid([SpecFault("$", "a source is wanted, or a map with one")])
    unknown = [
        SpecFault(f"$.{key}", f"unknown; known are {', '.join(SAID)}")
        for key in said.keys() - set(SAID)
    ]
    if unknown:
        raise SpecInvalid(unknown)
    spec = decode(DatabaseSpec, {"kind": "connection", **said}, "$", no_specs)
    if wrong := faults(spec):
        raise SpecInvalid(wrong)
    return spec


def make(source: Source, isolation: str | None, connections: int, timeout: float) -> Database:
    """A database that is not open yet. Raises CompileFailed for what is not installed."""
    if isinstance(source, SqliteSource):
        from greenflow.sql.sqlite import SqliteDatabase

        return SqliteDatabase(source, isolation, connections, timeout)
    from greenflow.sql.server import ServerDatabase

    return ServerDatabase(source, isolation, connections, timeout)
