"""`connection`: a database that is named once (BEHAVIOUR 13.5, 14.connection, 14.7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from greenflow import Runtime, Scheme
from greenflow.errors import GreenflowError
from greenflow.nodes.sql import Databases
from greenflow.spec.batch import Faulty, check
from greenflow.spec.document import read
from greenflow.table.stored import inactive
from tests.waiting import until

Document = dict[str, Any]


def connection(name: str = "db", **fields: Any) -> Document:
    return {"kind": "connection", "name": name, "driver": "sqlite", "source": ":memory:", **fields}


def sql(name: str, connection: str = "db", **fields: Any) -> Document:
    return {"kind": "sql", "name": name, "connection": connection, **fields}


def link(kind: str, name: str, **links: str) -> Document:
    return {"kind": kind, "name": name, "links": {k: {"name": to} for k, to in links.items()}}


def value(name: str, data: Any) -> Document:
    return {"id": f"id-{name}", "namespace": "default", "name": name, "data": data}


@contextmanager
def running(*documents: Document, values: tuple[Document, ...] = ()) -> Iterator[Runtime]:
    with Runtime(
        "memory://", specs=list(documents), values=list(values), own_thread=False
    ) as runtime:
        yield runtime


def of(runtime: Runtime, name: str) -> Any:
    """The spec of a node that must be active."""
    symbol = runtime.table.find(name)
    assert symbol.active, symbol.reason
    return symbol.version.spec


def faults(text: str) -> list[str]:
    """What `apply` says of a file."""
    try:
        check(read(text, "t.yaml"), Scheme.installed(), "default", named=False)
    except Faulty as error:
        return error.lines
    return []


def test_nodes_of_one_connection_share_the_transaction_and_the_pool(tmp_path: Path) -> None:
    shared = connection(source=str(tmp_path / "shop.db"), connections=3, timeout="2s")
    with running(
        shared,
        sql("one"),
        sql("two"),
        link("call", "both", **{"out[0]": "one", "out[1]": "asks"}),
        {**link("snippet", "asks", out="two"), "code": "SELECT x FROM t"},
    ) as runtime:
        assert (of(runtime, "one").connections, of(runtime, "two").timeout) == (3, 2.0)
        one, two = (runtime.table.find(name).version.node for name in ("one", "two"))
        assert one is not None
        assert two is not None
        assert one.database is two.database  # type: ignore[attr-defined]
        runtime.call("one", "CREATE TABLE t (x)")
        assert runtime.call("both", "INSERT INTO t VALUES (1)") == [{"x": 1}]


def test_a_changed_connection_reloads_its_nodes_and_only_those(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{number}.db") for number in range(3)]
    with running(
        connection(source=files[0], id="c"),
        connection("other", source=files[2]),
        sql("one"),
        sql("two"),
        sql("three", "other"),
        {"kind": "sql", "name": "own", "driver": "sqlite", "source": files[0]},
    ) as runtime:
        names = ("one", "two", "three", "own", "other")
        before = {name: runtime.table.find(name).version.node for name in names}
        runtime.call("one", "CREATE TABLE t (x)")
        runtime.operations.apply([connection(source=files[1], id="c", annotations={"by": "me"})])
        until(lambda: of(runtime, "two").source == files[1])
        after = {name: runtime.table.find(name).version.node for name in names}
        assert [name for name in names if before[name] is not after[name]] == ["one", "two"]
        runtime.call("two", "CREATE TABLE t (x)")
        runtime.operations.apply([connection(source=files[1], id="c", annotations={"by": "you"})])
        until(lambda: runtime.table.find("db").revision > runtime.table.find("two").revision + 1)
        assert runtime.table.find("two").version.node is after["two"]
        runtime.table.draining.join()
        shared: Databases = runtime.services.share("sql", Databases, Databases.close)
        assert sorted(count for _, count in shared._open.values()) == [1, 1, 2]


def test_a_missing_connection_is_said_and_comes() -> None:
    reason = "$.connection: no spec of kind connection and no value 'db' in namespace 'default'"
    with running(sql("one")) as runtime:
        assert runtime.table.find("one").reason == reason
        runtime.operations.apply([connection(id="c")])
        until(lambda: runtime.table.find("one").active)
        assert runtime.call("one", "SELECT 1 AS x") == [{"x": 1}]
    stored = {**sql("one"), "id": "o", "namespace": "default"}
    assert inactive([stored], Scheme.installed(), "default") == {"o": reason}
    there = {**connection(id="c"), "namespace": "default"}
    assert inactive([stored, there], Scheme.installed(), "default") == {}
    assert inactive([stored], Scheme.installed(), "default", [value("db", "sqlite://")]) == {}


@pytest.mark.parametrize(
    "data", ["sqlite:///FILE", {"driver": "sqlite", "source": "FILE", "connections": "2"}]
)
def test_a_value_may_name_it_and_a_changed_one_reloads(data: Any, tmp_path: Path) -> None:
    def written(number: int) -> Any:
        path = str(tmp_path / f"{number}.db")
        if isinstance(data, str):
            return data.replace("FILE", path)
        return {**data, "source": path}

    with running(sql("one"), values=(value("db", written(1)),)) as runtime:
        runtime.call("one", "CREATE TABLE t (x)")
        assert (tmp_path / "1.db").exists()
        node = runtime.table.find("one").version.node
        runtime.apply_values([value("db", written(2))])
        until(lambda: runtime.table.find("one").version.node is not node)
        runtime.call("one", "CREATE TABLE t (x)")


def test_a_value_that_comes_later_is_seen_and_a_spec_goes_before_it(tmp_path: Path) -> None:
    with running(sql("one")) as runtime:
        runtime.apply_values([value("db", f"sqlite:///{tmp_path}/value.db")])
        until(lambda: runtime.table.find("one").active)
        runtime.operations.apply([connection(id="c")])
        until(lambda: of(runtime, "one").source == ":memory:")
        runtime.operations.delete({"id": "c"})
        until(lambda: of(runtime, "one").source != ":memory:")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (7, "the value 'db': $: a source is wanted, or a map with one"),
        ({}, "the value 'db': $.source: missing; this field is required"),
        ({"source": "x"}, "the value 'db': $.source: name a `driver`"),
        (
            {"source": "sqlite://", "rows": 5},
            "the value 'db': $.rows: unknown; known are source, driver, isolation",
        ),
    ],
)
def test_a_value_that_is_none_is_said(data: Any, said: str) -> None:
    with running(sql("one"), values=(value("db", data),)) as runtime:
        assert said in runtime.table.find("one").reason


def test_a_password_in_it_is_not_shown() -> None:
    for source in ("nowhere://anna:tops3cret@host/x", "postgresql://anna:tops3cret@h:1:2/x"):
        with running(sql("one"), values=(value("db", {"source": source}),)) as runtime:
            symbol = runtime.table.find("one")
            assert not symbol.active
            assert symbol.reason
            assert "tops3cret" not in f"{symbol.reason} {symbol.version.spec!r}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{kind: sql, name: a, connection: db, isolation: serializable}",
            "t.yaml:1:38: $.isolation: the connection 'db' says it; leave one out",
        ),
        ("{kind: sql, name: a}", "t.yaml:1:1: $.source: missing; say it, or name a `connection`"),
        (
            "- {kind: sql, name: a, connection: b}\n- {kind: connection, name: b, source: x}",
            "t.yaml:2:31: $.source: name a `driver`, such as sqlite, postgres or mysql, "
            "or write the source as a URL",
        ),
        (
            "- {kind: snippet, name: a, code: x, links: {out: {name: b}}}\n"
            "- {kind: connection, name: b, source: 'sqlite://', links: {out: {name: a}}}",
            "t.yaml:2:60: $.links.out: kind 'connection' has no out port 'out'; it has error",
        ),
    ],
)
def test_what_is_wrong_is_said_once_at_its_place(text: str, said: str) -> None:
    assert faults(text) == [said]


def test_a_node_of_another_kind_is_none_unless_a_value_is_called_so() -> None:
    nop = {"kind": "nop", "name": "db", "id": "n"}
    with running(sql("one"), nop) as runtime:
        reason = "$.connection: node 'db' (n revision 2 $.kind) is of kind 'nop', not a connection"
        assert runtime.table.find("one").reason == reason.replace(" $.kind", "")
        runtime.apply_values([value("db", "sqlite://")])
        until(lambda: runtime.table.find("one").active)


def test_a_template_may_leave_open_which_connection() -> None:
    ask = {"kind": "sql", "connection": "{{ .db }}"}
    template = {"kind": "template", "name": "t", "parameters": {"db": {}}, "specs": [ask]}
    use = {"kind": "use", "name": "u", "template": "t", "with": {"db": "db"}}
    with running(template, use, connection()) as runtime:
        assert runtime.call("u", "SELECT 1 AS x") == [{"x": 1}]
        assert runtime.table.find("t").active


def test_a_connection_has_values_of_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "own.db")
    own = connection(source="{{ .PATH }}", env={"PATH": {"name": "path"}})
    with running(own, sql("one"), values=(value("path", path),)) as runtime:
        assert of(runtime, "one").source == path
        runtime.apply_values([value("path", path + "2")])
        until(lambda: of(runtime, "one").source == path + "2")


def test_an_error_of_a_statement_is_told_without_the_secrets_of_the_connection() -> None:
    own = connection(source=":memory:", annotations={})
    with running(own, sql("one")) as runtime, pytest.raises(GreenflowError, match="no such table"):
        runtime.call("one", "SELECT * FROM missing")
