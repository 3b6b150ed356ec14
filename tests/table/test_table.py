"""The symbol table: activation, reload, refusal, hooks, draining (BEHAVIOUR 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.errors import Inactive
from tests.tables import Bench, Feed, Probe, check, empty_table, feed, log, probe


@pytest.fixture
def bench() -> Iterator[Bench]:
    with empty_table() as bench:
        yield bench


def test_links_resolve_whatever_the_order_of_arrival(bench: Bench) -> None:
    bench.change(probe("a", "b"))
    assert bench.active() == set()
    assert bench.reason("a") == "links.out: no node 'b' in namespace 'default'"
    bench.change(probe("b", "c"))
    assert bench.active() == set()
    assert bench.reason("a") == "links.out: node 'b' is inactive"
    bench.change(probe("c"))
    assert bench.active() == {"a", "b", "c"}
    assert bench.call("a") == "abc"


def test_an_id_decides_over_a_name(bench: Bench) -> None:
    links = {"out": [{"id": "c", "name": "b"}]}
    bench.change(probe("a", links=links), probe("b"), probe("c"))
    assert bench.call("a") == "ac"


def test_a_cycle_is_active_when_its_last_member_is_linked(bench: Bench) -> None:
    bench.change(probe("a", "b"))
    bench.change(probe("b", "a"))
    assert bench.active() == {"a", "b"}
    bench.change(remove=("b",))
    assert bench.active() == set()
    bench.change(probe("b", "a"))
    assert bench.active() == {"a", "b"}


def test_a_changed_node_is_replaced_and_the_others_stay_the_same(bench: Bench) -> None:
    bench.change(probe("a", "b"), probe("b", "c"), probe("c"))
    nodes = {id: bench.node(id) for id in "abc"}
    bench.change(probe("b", "c", say="B"))
    assert bench.call("a") == "aBc"
    assert bench.node("a") is nodes["a"]
    assert bench.node("c") is nodes["c"]
    assert bench.node("b") is not nodes["b"]
    assert log.count("open a") == 1


def test_a_spec_that_did_not_change_keeps_its_node(bench: Bench) -> None:
    bench.change(probe("a"))
    before = bench.node("a")
    bench.change(probe("a"))
    assert bench.node("a") is before
    assert log == ["open a"]


@pytest.mark.parametrize("fail", ["compile", "open"])
def test_a_version_that_fails_is_refused_and_the_old_one_runs_on(bench: Bench, fail: str) -> None:
    bench.change(probe("a", "b"), probe("b"))
    bench.change(probe("b", say="bad", fail=fail))
    assert bench.active() == {"a", "b"}
    assert bench.call("a") == "ab"
    assert "revision 3 does not run" in bench.reason("b")
    assert "open" in bench.reason("b") or "told to fail" in bench.reason("b")
    bench.change(probe("b", say="good"))
    assert bench.call("a") == "agood"
    assert bench.reason("b") == ""


def test_a_version_with_an_unknown_field_is_refused_with_its_path(bench: Bench) -> None:
    bench.change(probe("a"))
    bench.change(probe("a", sya="x"))
    assert bench.call("a") == "a"
    assert "$.sya: unknown field; did you mean 'say'?" in bench.reason("a")
    bench.change(probe("a"))
    assert bench.reason("a") == ""


def test_a_version_that_would_be_inactive_is_refused_until_its_target_comes(bench: Bench) -> None:
    bench.change(probe("a"))
    bench.change(probe("a", "new", say="A"))
    assert bench.call("a") == "a"
    assert "no node 'new'" in bench.reason("a")
    bench.change(probe("new"))
    assert bench.call("a") == "Anew"
    assert bench.reason("a") == ""


def test_a_refused_version_goes_in_when_its_target_becomes_active(bench: Bench) -> None:
    bench.change(probe("a", "c"), probe("b", say="old"))
    bench.change(probe("b", "a"))
    assert bench.call("b") == "old"
    bench.change(probe("c"))
    assert bench.call("b") == "bac"
    assert bench.reason("b") == ""


def test_a_batch_is_one_change(bench: Bench) -> None:
    bench.change(probe("a", "b"), probe("b"))
    bench.change(probe("a", "c", say="A"), probe("c"), remove=("b",))
    assert bench.call("a") == "Ac"
    assert bench.active() == {"a", "c"}


def test_one_bad_spec_of_a_batch_stops_no_other(bench: Bench) -> None:
    bench.change(probe("a"), {"id": "x", "kind": "no such"}, probe("b", fail="compile"), probe("c"))
    assert bench.active() == {"a", "c"}
    assert "unknown kind 'no such'" in bench.reason("x")


def test_a_removed_node_makes_those_that_point_to_it_inactive(bench: Bench) -> None:
    bench.change(feed("f", "a"), probe("a", "b"), probe("b"))
    bench.change(remove=("b",))
    assert bench.active() == set()
    bench.drained()
    assert log[-2:] == ["stop f", "close b"]
    with pytest.raises(Inactive, match="no node 'b'"):
        bench.call("a")
    bench.change(probe("b"))
    assert bench.active() == {"f", "a", "b"}
    assert log[-3:] == ["open b", "prepare f", "start f"]


def test_a_renamed_node_is_gone_under_its_old_name(bench: Bench) -> None:
    bench.change(probe("a", "b"), probe("b"))
    bench.change(probe("b", name="c"))
    assert bench.active() == {"b"}
    bench.change(probe("a", "c"))
    assert bench.active() == {"a", "b"}


def test_names_may_be_swapped_in_one_change(bench: Bench) -> None:
    bench.change(probe("a", "b"), probe("b"), probe("c"))
    bench.change(probe("b", name="c"), probe("c", name="b"))
    assert bench.call("a") == "ac"


def test_a_name_that_another_took_is_given_back_when_it_goes(bench: Bench) -> None:
    bench.change(probe("a", "f"), probe("f"))
    bench.change(probe("f", "gone", name="g"))  # refused: the old version runs on as f
    bench.change(probe("e", name="f"))
    assert bench.call("a") == "ae"
    bench.change(probe("d", name="f"), probe("e", name="e"))
    assert bench.call("a") == "ad"
    bench.change(remove=("d",))
    assert bench.active() == {"a", "e", "f"}
    assert bench.call("a") == "af"
    bench.change(probe("e", name="f", say="E"))
    bench.change(remove=("f",))
    assert bench.call("a") == "aE"
    bench.change(remove=("e",))
    assert bench.reason("a") == "links.out: no node 'f' in namespace 'default'"


def test_a_name_is_not_given_back_to_who_is_called_otherwise_by_then(bench: Bench) -> None:
    bench.change(probe("a", "f"), probe("f"))
    bench.change(probe("f", "gone", name="g"))
    bench.change(probe("e", name="f"))
    bench.change(probe("gone"), remove=("e",))  # now it is renamed, in the same change
    assert bench.active() == {"f", "gone"}
    assert bench.table.find("g").id == "f"
    assert bench.reason("a") == "links.out: no node 'f' in namespace 'default'"


def test_load_hooks_run_inner_to_outer_and_unload_hooks_outer_to_inner(bench: Bench) -> None:
    bench.change(feed("f", "g"), feed("x"), probe("g", "h"), probe("h"))
    opened = [line for line in log if line.startswith("open")]
    assert opened == ["open h", "open g"]
    assert log.index("open g") < log.index("start f")
    log.clear()
    bench.change(remove=("f", "g", "h", "x"))
    bench.drained()
    assert log[0].startswith("stop")
    assert log[1].startswith("stop")
    assert sorted(log[2:]) == ["close g", "close h"]


def test_a_source_that_replaces_one_starts_before_the_old_one_stops(bench: Bench) -> None:
    bench.change(feed("f", "a"), probe("a"))
    log.clear()
    bench.change(feed("f", "a", say="F"))
    assert log == ["prepare F", "start F", "stop f"]


def test_a_source_that_cannot_be_prepared_is_refused(bench: Bench) -> None:
    bench.change(feed("f", "a"), probe("a"))
    log.clear()
    bench.change(feed("f", "a", say="F", fail="prepare"))
    assert log == []
    assert bench.active() == {"f", "a"}
    assert "address in use" in bench.reason("f")
    bench.change(feed("g", fail="prepare"))
    assert "g" not in bench.active()


def test_what_was_prepared_for_nothing_is_abandoned(bench: Bench) -> None:
    bench.change(feed("f", "a"), probe("a"))
    log.clear()
    bench.change(feed("f", "a", say="F"), feed("g", fail="prepare"))
    assert "start F" in log
    bench.change(feed("f", "new", say="G"), probe("new", fail="open"))
    assert "F" in Feed.runs
    assert bench.node("f").spec.say == "F"


def test_a_source_that_fails_to_start_is_inactive_and_says_why(bench: Bench) -> None:
    bench.change(feed("f", "a", fail="start"), probe("a"))
    assert bench.active() == {"a"}
    assert "cannot start" in bench.reason("f")


def test_a_packet_delivered_before_the_swap_is_finished_by_the_old_node(bench: Bench) -> None:
    Probe.gates["b"] = Event()
    bench.change(probe("a", "b"), probe("b", "c"), probe("c"))
    under_way = gevent.spawn(bench.call, "a")
    gevent.sleep(0)
    bench.change(probe("b", "c", say="B"))
    assert bench.call("a") == "aBc"
    assert "close b" not in log
    Probe.gates["b"].set()
    assert under_way.get() == "abc"
    bench.drained()
    assert "close b" in log


def test_what_is_under_way_outlives_the_deletion_of_everything(bench: Bench) -> None:
    Probe.gates["b"] = Event()
    bench.change(probe("a", "b"), probe("b", "c"), probe("c", "d"), probe("d"))
    under_way = gevent.spawn(bench.call, "a")
    gevent.sleep(0)
    bench.change(remove=("a", "b", "c", "d"))
    assert bench.table.symbols == {}
    assert "close d" not in log
    Probe.gates["b"].set()
    assert under_way.get() == "abcd"
    bench.drained()
    assert {"close a", "close b", "close c", "close d"} <= set(log)


def test_after_the_grace_what_is_left_is_exited() -> None:
    log.clear()
    bench = Bench(grace=0.01)
    Probe.gates["a"] = Event()
    bench.change(probe("a"))
    under_way = gevent.spawn(bench.call, "a")
    gevent.sleep(0)
    bench.change(remove=("a",))
    answer = under_way.get()
    assert "process exited" in str(answer.error)
    assert "grace" in str(answer.error.__cause__)
    bench.table.close()
    assert log[-1] == "close a"
    Probe.gates.clear()


def test_retrying_compiles_again_what_failed(bench: Bench) -> None:
    bench.change(probe("a", fail="open"))
    assert bench.active() == set()
    assert bench.table.failed() == ["a"]
    Probe.open, original = lambda self: None, Probe.open  # type: ignore[method-assign]
    try:
        bench.table.change({}, retry=True)
    finally:
        Probe.open = original  # type: ignore[method-assign]
    assert bench.active() == {"a"}
    assert bench.table.failed() == []


def test_a_change_costs_what_it_touches(bench: Bench) -> None:
    chain = [probe(f"n{i}", f"n{i + 1}") for i in range(300)]
    bench.change(*chain, probe("n300"))
    assert len(bench.active()) == 301
    looked_at: list[str] = []
    lookup = bench.scheme.decode
    bench.scheme.decode = lambda document, *rest: (  # type: ignore[method-assign]
        looked_at.append(document["id"]) or lookup(document, *rest)
    )
    bench.change(probe("n150", "n151", say="!"))
    assert looked_at == ["n150"]
    assert "!" in bench.call("n0")


ids = st.sampled_from("abcdef")
changes = st.lists(
    st.dictionaries(
        ids,
        st.none()
        | st.tuples(
            ids, st.lists(ids, max_size=2), st.sampled_from(["", "", "", "compile", "open"])
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(changes)
def test_any_history_leaves_a_table_that_is_consistent(history: list[dict[str, Any]]) -> None:
    bench = Bench()
    newest: dict[str, dict[str, Any]] = {}
    for number, step in enumerate(history):
        for id, entry in step.items():
            if entry is None:
                newest.pop(id, None)
            else:
                name, targets, fail = entry
                newest[id] = probe(id, *targets, name=f"{name}-", say=str(number), fail=fail)
                newest[id]["links"] = {"out": [{"name": f"{t}-"} for t in targets]}
        named: dict[str, str] = {}
        for id in list(newest):  # the store keeps names unique
            if named.setdefault(newest[id]["name"], id) != id:
                newest[id] = {**newest[id], "name": None}
        known = {id: s.pending or s.version for id, s in bench.table.symbols.items()}
        bench.change(
            *(d for id, d in newest.items() if id not in known or known[id].document != d),
            remove=tuple(id for id in known if id not in newest),
        )
        check(bench, newest)
    bench.table.close()
    assert bench.table.referrers == {}
    assert bench.table.names == {}
