"""A plan is a value: to work it out changes nothing, and its rule is the same for any way to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.engine.node import Node
from greenflow.log import secret
from greenflow.table.activity import lack, work_out
from greenflow.table.compiling import Candidates, compile_change
from greenflow.table.plan import Plan, work_out_plan
from greenflow.table.prospect import Prospect
from greenflow.table.stored import inactive
from greenflow.table.symbol import Version
from greenflow.table.table import Table
from greenflow.table.view import Change
from tests.table.test_table import changes
from tests.tables import Bench, feed, probe


def written(version: Version | None) -> Any:
    """All that a version says."""
    if version is None:
        return None
    entries = {port: list(each) for port, each in version.entries.items()}
    names = [name for name in Version.__slots__ if name not in ("entries", "tells")]
    return [entries, *(getattr(version, name) for name in names)]


def ports(node: Node[Any]) -> Any:
    """All ports of a node, where they lead, and what counts them as linked."""
    return (
        {name: (port, port.linked, port.in_flight) for name, port in node.in_ports.items()},
        {name: (port, port.links, port.counted) for name, port in node.out_ports.items()},
        node.retiring,
    )


def everything(table: Table) -> Any:
    """All that a table says, to be compared with what it says later."""
    versions = [
        version
        for symbol in table.symbols.values()
        for version in (symbol.version, symbol.pending)
        if version is not None
    ]
    return {
        "symbols": {
            id: (symbol.active, symbol.reason, written(symbol.version), written(symbol.pending))
            for id, symbol in table.symbols.items()
        },
        "names": dict(table.names),
        "namesakes": {name: list(ids) for name, ids in table.namesakes.items()},
        "referrers": {key: list(links) for key, links in table.referrers.items()},
        "bound": {key: list(bound) for key, bound in table._bound.items()},
        "failed": list(table.failed_to_load),
        "draining": [version for version in versions if version in table.draining],
        "waits": (len(table.draining), set(table._awaited), set(table._unloading)),
        "ports": [ports(version.node) for version in versions if version.node is not None],
    }


def as_it_is(table: Table) -> Prospect:
    """The nodes as they are, of a change that does nothing."""
    return Prospect(table, {}, (), {})


class Unborn(Prospect):
    """The nodes as they are, none of which was ever active."""

    def is_active(self, id: str) -> bool:
        return False


def plan_of(table: Table, change: Change) -> tuple[Plan | None, Candidates]:
    candidates = compile_change(table, change)
    return (work_out_plan(table, change, candidates) if candidates else None), candidates


@settings(max_examples=150, deadline=None)
@given(changes)
def test_a_plan_that_is_thrown_away_leaves_the_table_as_it_was(
    history: list[dict[str, Any]],
) -> None:
    bench = Bench()
    for number, step in enumerate(history):
        documents = {
            id: None
            if entry is None
            else (probe(id, *entry[1], say=str(number), fail=entry[2]), 1_000 + number)
            for id, entry in step.items()
        }
        bench.table.draining.join()  # what drains changes the table by itself
        before = everything(bench.table)
        plan_of(bench.table, Change(documents, retry=number % 2 == 0))
        assert everything(bench.table) == before
        bench.table.change(documents)
        graph = Unborn(bench.table, {}, (), {})
        reasons = work_out(graph, dict.fromkeys(bench.table.symbols), {}, ()).reasons
        assert {id for id, reason in reasons.items() if not reason} == bench.active()
    bench.table.close()


ids = st.sampled_from("abcdef")
links = st.tuples(st.sampled_from(["id", "name"]), ids, st.sampled_from(["in"] * 6 + ["in[1]"]))
nodes = st.tuples(
    st.sampled_from([probe, probe, feed]),
    ids,  # the name, of whoever asks first
    st.lists(links, max_size=3),
    st.sampled_from([""] * 6 + ["compile", "open", "prepare", "start"]),
)
steps = st.tuples(
    st.dictionaries(ids, st.none() | nodes, max_size=5),
    st.booleans(),  # whether what failed is tried again
)


def documents_of(
    step: dict[str, Any], names: dict[str, str], number: int
) -> dict[str, tuple[dict[str, Any], int] | None]:
    """The documents of a step; `names` are those given, by id, which the store keeps unique."""
    for id in step:
        names.pop(id, None)
    documents: dict[str, tuple[dict[str, Any], int] | None] = {}
    for id, entry in step.items():
        if entry is None:
            documents[id] = None
            continue
        make, name, targets, fail = entry
        name = f"{name}-"
        if name in names.values():
            name = f"{id}!"
        names[id] = name
        out = [
            {"id": called, "port": port} if what == "id" else {"name": f"{called}-", "port": port}
            for what, called, port in targets
        ]
        document = make(id, name=name, say=str(number), fail=fail)
        document["links"] = {"out": out} if out else {}
        documents[id] = document, 1_000 + number
    return documents


def running_specs(table: Table) -> list[dict[str, Any]]:
    """The specs that run, whoever has its name after those that have lost theirs to it; one that no
    kind takes where a version has failed by itself."""
    versions = [symbol.version for symbol in table.symbols.values()]
    versions.sort(key=lambda version: table.names[version.name or ""] == version.id)
    return [
        version.document if version.error is None else {**version.document, "kind": "failed"}
        for version in versions
    ]


def lacks(graph: Prospect, id: str, active: set[str]) -> set[str]:
    """Whatever could be said of why a node is inactive: each of its links by itself."""
    single: Iterable[Any] = [[link] for link in graph.links(id)]
    said = {lack(graph, link, active.__contains__)[0] for link in single}
    return (said | {graph.fault(id)}) - {""}


@settings(max_examples=300, deadline=None)
@given(st.booleans(), st.lists(steps, max_size=8))
def test_a_table_is_what_the_rule_says_of_all_its_specs_from_scratch(
    running_before: bool, history: list[tuple[dict[str, Any], bool]]
) -> None:
    bench = Bench()
    names: dict[str, str] = {}
    if running_before:  # so that a change has something to lose
        whole = {id: (probe, id, [], "") for id in "abcdef"}
        bench.table.change(documents_of(whole, names, -1))
    for number, (step, retry) in enumerate(history):
        documents = documents_of(step, names, number)
        bench.table.draining.join()
        before = everything(bench.table)
        held = len(secret._held)
        plan_of(bench.table, Change(documents, retry))
        assert everything(bench.table) == before
        assert len(secret._held) == held
        bench.table.change(documents, retry)
        symbols, active = bench.table.symbols, bench.active()
        table_names, running = bench.table.names, running_specs(bench.table)
        assert symbols.keys() - inactive(running, bench.scheme, "default").keys() == active
        graph = as_it_is(bench.table)
        for id, symbol in symbols.items():
            name = symbol.version.name or ""
            assert (table_names[name] == id) != (id in bench.table.namesakes.get(name, ()))
        for id, symbol in symbols.items():  # what is said is so, whenever it was found out
            if symbol.pending is None and not symbol.active:
                assert symbol.reason in lacks(graph, id, active)
    bench.table.close()
    assert bench.table.referrers == {}
    assert bench.table.names == {}
    assert bench.table.namesakes == {}
    assert bench.table._bound == {}


def test_a_plan_makes_no_port_of_a_node_that_runs() -> None:
    bench = Bench()
    bench.change(probe("a", "b"), probe("b"), probe("c"))
    node = bench.node("c")
    plan, _ = plan_of(bench.table, Change({"a": (probe("a", "c"), 99)}))
    assert plan is not None
    assert plan.accepted.keys() == {"a"}
    assert node.in_ports == {}
    bench.table.close()
