"""A plan is a value: to work it out changes nothing, and its rule is the same for any way to it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from greenflow.table.activity import work_out
from greenflow.table.compiling import Candidates, compile_change
from greenflow.table.plan import Plan, work_out_plan
from greenflow.table.symbol import Version
from greenflow.table.table import Table
from greenflow.table.view import Change
from tests.table.test_table import changes
from tests.tables import Bench, probe


def written(version: Version | None) -> Any:
    """All that a version says."""
    if version is None:
        return None
    names = [name for name in Version.__slots__ if name not in ("entries", "tells")]
    return [getattr(version, name) for name in names]


def everything(table: Table) -> Any:
    """All that a table says, to be compared with what it says later."""
    return {
        "symbols": {
            id: (symbol.active, symbol.reason, written(symbol.version), written(symbol.pending))
            for id, symbol in table.symbols.items()
        },
        "names": dict(table.names),
        "referrers": {key: list(links) for key, links in table.referrers.items()},
        "failed": list(table.failed_to_load),
        "links": {
            id: {name: out.links for name, out in symbol.version.node.out_ports.items()}
            for id, symbol in table.symbols.items()
            if symbol.version.node is not None
        },
    }


class Unborn(Plan):
    """The nodes as they are, none of which was ever active."""

    def is_active(self, id: str) -> bool:
        return False


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
        change = Change(documents, retry=number % 2 == 0)
        candidates = compile_change(bench.table, change)
        if candidates:
            work_out_plan(bench.table, change, candidates)
        assert everything(bench.table) == before
        bench.table.change(documents)
        nothing = Change()
        graph = Unborn(bench.table, nothing, Candidates(bench.table, nothing))
        reasons = work_out(graph, dict.fromkeys(bench.table.symbols), {}, ()).reasons
        assert {id for id, reason in reasons.items() if not reason} == bench.active()
    bench.table.close()
