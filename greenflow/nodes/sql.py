"""`sql`: statements in a transaction of the process (BEHAVIOUR 14.sql, 14.1, 14.3).

Lives here: the kind, and how its nodes share databases and transactions. What a statement is, and
how it is run without blocking anybody, is greenflow.sql's; which database it is, connection.py's.

Nodes of the same driver, source and isolation share one transaction in each process, and one set of
connections, which is counted: it is closed when the last node and the last transaction let go.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.process import RUNNING, Process
from greenflow.engine.resolving import Resolving
from greenflow.engine.services import Compiler, Services
from greenflow.errors import CompileFailed, SpecFault
from greenflow.nodes.connection import SAID, DatabaseSpec, connection_of, faults, lacks, make
from greenflow.sql.source import SqliteSource, isolation_of, parse
from greenflow.sql.statement import read
from greenflow.sql.transaction import Database, Subtransaction, Transaction

W = TypeVar("W", Transaction[Any], Subtransaction)

# Rows of one packet at most if a spec does not say: half a gigabyte of maps is no payload.
ROWS = 100_000


class SqlSpec(DatabaseSpec):
    connection: Annotated[
        str | None,
        Meta(description="a spec of kind connection or a value, which says all of these"),
    ] = None
    source: Annotated[
        str,
        Meta(
            description="the database, unless `connection` says it: a URL, a path, or as its driver"
            " in Go takes it"
        ),
    ] = ""
    rows: Annotated[
        int, Meta(ge=1, description="rows of one packet; more are an error, not memory")
    ] = ROWS

    @property
    def is_rendered(self) -> bool:
        return super().is_rendered or self.connection is not None


# A driver of uniflow's releases since 2025, which is no database.
UNIFLOW = "internal"


@node("sql", reads_only=True, reaches_outside=True)
class Sql(Node[SqlSpec]):
    """Runs SQL in the transaction that its process has at this source.

    The input is SQL, or `[SQL, arguments]`: a list for `?` or `$1`, a map for `:name`, a list of
    maps for a run with each. What leaves by `out` is the rows, a list of maps. The transaction is
    committed before the process's answer, and rolled back if that is an error.
    """

    waits = True

    database: Database | None = None

    @classmethod
    def resolve(cls, spec: SqlSpec, resolving: Resolving) -> SqlSpec:
        """With what its connection says."""
        if spec.connection is None:
            return spec
        for field in SAID:
            if resolving.document.get(field) is not None:
                resolving.fail(field, f"the connection {spec.connection!r} says it; leave one out")
        said = connection_of(resolving)
        return msgspec.structs.replace(spec, **{field: getattr(said, field) for field in SAID})

    @classmethod
    def check(cls, spec: SqlSpec, compiler: Compiler) -> list[SpecFault]:
        if spec.connection is not None:
            return []  # it has been checked
        if spec.driver == UNIFLOW:
            reason = (
                f"{UNIFLOW!r} is the window of uniflow on its own specs and processes; here a"
                " `syscall` reads specs (specs.read), and people look with `greenflow get`"
            )
            return [SpecFault("$.driver", reason)]
        if not spec.source:
            return [SpecFault("$.source", "missing; say it, or name a `connection`")]
        return faults(spec)

    @classmethod
    def lacks(cls, spec: SqlSpec, compiler: Compiler) -> list[SpecFault]:
        return lacks(spec, "$.source" if spec.connection is None else "$.connection")

    def __init__(self, spec: SqlSpec, services: Services) -> None:
        super().__init__(spec, services)
        try:
            self._source = parse(spec.driver, spec.source)
            self._isolation = isolation_of(spec.isolation)
        except ValueError as error:
            raise CompileFailed(str(error)) from None
        in_memory = isinstance(self._source, SqliteSource) and not self._source.path
        self.reaches_outside = not in_memory
        self._which = self._source.key, self._isolation
        self._databases: Databases = services.share("sql", Databases, Databases.close)

    def open(self) -> None:
        spec = self.spec
        key: tuple[Any, ...] = self._which
        if not isinstance(self._source, SqliteSource) or self._source.path:
            key = (*key, spec.connections, spec.timeout)
        # The data in memory is one for all nodes, whatever else their specs say.
        making = partial(make, self._source, self._isolation, spec.connections, spec.timeout)
        self._key = key
        self.database = self._databases.hold(key, making)
        try:
            self.database.open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.database is not None:
            self.database = None
            self._databases.let_go(self._key)

    def handle(self, ctx: Context, payload: Any) -> Any:
        sql, runs = read(payload)
        process = ctx.process.owner
        work: Transaction[Any] | Subtransaction | None = process.data.get((self._which, process))
        if work is None or work.ended:
            work = self._joined(process) or self._hold(process, self._begin(process))
        return work.run(sql, runs, self.spec.rows)

    def _joined(self, process: Process) -> Subtransaction | None:
        """The part of a process in the transaction of what it is a part of, if that has one open:
        the nearest, in which each part between has its part."""
        work, whole, between = None, process.whole, [process]
        while whole is not None:
            work = whole.data.get((self._which, whole))
            if work is not None and not work.ended:
                break
            work = None
            between.append(whole)
            whole = whole.whole
        while work is not None and between:
            inner = between.pop()
            work = self._hold(inner, work.part())
        return work

    def _begin(self, process: Process) -> Transaction[Any]:
        assert self.database is not None
        self._databases.hold(self._key)
        transaction = self.database.transaction(process.grace)
        transaction.on_end(partial(self._databases.let_go, self._key))
        transaction.is_doomed = partial(_ends, process)
        return transaction

    def _hold(self, process: Process, work: W) -> W:
        """Have the process end it, and find it again."""
        process.data.set((self._which, process), process.enter(work, self))
        return work


def _ends(process: Process) -> bool:
    return process.state is not RUNNING


class Databases:
    """What the nodes of a runtime have open, each counted."""

    def __init__(self) -> None:
        self._open: dict[Any, tuple[Database, int]] = {}

    def hold(self, key: Any, make: Callable[[], Database] | None = None) -> Database:
        """The database of that key, made if nobody holds it yet."""
        if key in self._open:
            database, count = self._open[key]
        else:
            assert make is not None
            database, count = make(), 0
        self._open[key] = database, count + 1
        return database

    def let_go(self, key: Any) -> None:
        """One less holds it; the last one closes it."""
        database, count = self._open.pop(key)
        if count > 1:
            self._open[key] = database, count - 1
        else:
            database.close()

    def close(self) -> None:
        """The runtime stops: nothing holds them any more."""
        while self._open:
            self._open.popitem()[1][0].close()
