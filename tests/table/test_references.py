"""Specs that are made of others: what a change of a template or a connection reloads (BEHAVIOUR
6.14)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.nodes.block import Block
from greenflow.nodes.template import Template, Use
from tests.tables import Bench, empty_table, log, probe


@pytest.fixture
def bench() -> Iterator[Bench]:
    with table() as bench:
        yield bench


def table() -> Any:
    made = empty_table()
    return _Registered(made)


class _Registered:
    def __init__(self, made: Any) -> None:
        self.made = made

    def __enter__(self) -> Bench:
        bench: Bench = self.made.__enter__()
        for kind in (Block, Template, Use):
            bench.scheme.register(kind)
        return bench

    def __exit__(self, *error: Any) -> Any:
        return self.made.__exit__(*error)


def template(id: str, *specs: Any, parameters: tuple[str, ...] = (), **fields: Any) -> Any:
    known = {name: {"default": name} for name in parameters}
    return {
        "kind": "template",
        "id": id,
        "name": id,
        "specs": list(specs),
        "parameters": known,
        **fields,
    }


def use(id: str, template: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "use", "id": id, "name": id, "template": template, **fields}


def say(text: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "probe", "say": text, **fields}


def test_a_use_waits_for_its_template_and_says_so(bench: Bench) -> None:
    bench.change(use("u", "t"))
    assert bench.reason("u") == "$.template: no template 't' in namespace 'default'"
    bench.change(template("t", say("x")))
    assert bench.active() == {"u", "t"}
    assert bench.call("u") == "x"


def test_in_one_change_their_order_is_all_one(bench: Bench) -> None:
    bench.change(
        use("u", "outer"),
        template("outer", use("a", "inner"), say("!")),
        template("inner", say("x")),
    )
    assert bench.call("u") == "x!"


def test_a_changed_template_reloads_its_uses_and_only_those(bench: Bench) -> None:
    bench.change(
        template("t", say("{{ .p }}"), say("t"), parameters=("p",)),
        template("other", say("o")),
        use("a", "t"),
        use("b", "t", **{"with": {"p": "q"}}),
        use("c", "other"),
        probe("d"),
    )
    before = {id: bench.node(id) for id in ("a", "b", "c", "d", "other")}
    assert (bench.call("a"), bench.call("b")) == ("pt", "qt")
    bench.change(template("t", say("{{ .p }}"), say("T"), parameters=("p",)))
    assert (bench.call("a"), bench.call("b"), bench.call("c")) == ("pT", "qT", "o")
    after = {id: bench.node(id) for id in before}
    assert [id for id in before if before[id] is not after[id]] == ["a", "b"]
    # It says the same: a note, and a default that nobody takes.
    same = template("t", say("{{ .p }}"), say("T"), parameters=("p",), annotations={"by": "me"})
    same["parameters"]["p"]["description"] = "what is said"
    bench.change(same)
    assert all(bench.node(id) is after[id] for id in before)
    same["parameters"]["p"] = {"default": "P"}
    bench.change(dict(same))
    assert (bench.call("a"), bench.call("b")) == ("PT", "qT")
    assert bench.node("b") is after["b"]


def test_a_template_within_a_template_reloads_the_uses_of_both(bench: Bench) -> None:
    bench.change(
        template("inner", say("x")),
        template("outer", use("i", "inner"), say("!")),
        use("deep", "outer"),
        use("flat", "inner"),
        {
            "kind": "block",
            "id": "block",
            "name": "block",
            "specs": [use("i", "inner")],
        },
    )
    bench.change(template("inner", say("y")))
    assert [bench.call(id) for id in ("deep", "flat", "block")] == ["y!", "y", "y"]


def test_a_template_that_is_changed_for_the_worse_changes_nothing(bench: Bench) -> None:
    bench.change(template("t", say("x")), use("a", "t"))
    node = bench.node("a")
    bench.change(template("t", say("y", wrong=1)))
    assert "revision 3 does not run: $.specs[0].wrong: unknown field" in bench.reason("t")
    assert bench.reason("a") == ""
    assert bench.node("a") is node
    bench.change(use("b", "t"))  # made of the one that runs
    assert bench.call("b") == "x"
    bench.change(template("t", say("z")))
    assert (bench.call("a"), bench.call("b"), bench.reason("t")) == ("z", "z", "")


def test_a_use_that_cannot_do_with_the_new_template_keeps_the_old_one(bench: Bench) -> None:
    bench.change(
        template("t", say("{{ .p }}"), parameters=("p",)),
        use("a", "t"),
        use("b", "t", **{"with": {"p": "q"}}),
    )
    changed = template("t", say("{{ .p }}!"))
    changed["parameters"] = {"p": {}}
    bench.change(changed)
    assert bench.call("b") == "q!"
    assert bench.call("a") == "p"
    assert bench.reason("a").startswith(
        "revision 2 does not run: $.with.p: missing; this parameter"
    )
    bench.change(use("a", "t", **{"with": {"p": "r"}}))
    assert bench.call("a") == "r!"
    assert bench.active() == {"a", "b", "t"}


def test_a_name_that_moves_to_another_template_moves_the_uses(bench: Bench) -> None:
    bench.change(template("one", say("1"), name="t"), use("a", "t"))
    bench.change(template("one", say("1"), name="old"), template("two", say("2"), name="t"))
    assert bench.call("a") == "2"
    bench.change({**probe("two"), "name": "t"})
    assert bench.call("a") == "2"  # as with any change that fails
    assert "is of kind 'probe', not a template" in bench.reason("a")


def test_a_template_that_is_gone_is_said_and_comes_back(bench: Bench) -> None:
    bench.change(template("t", say("x")), use("a", "t"))
    bench.change(remove=("t",))
    assert bench.call("a") == "x"
    assert bench.reason("a") == (
        "revision 2 does not run: $.template: no template 't' in namespace 'default'"
    )
    bench.change(template("t", say("y")))
    assert (bench.call("a"), bench.reason("a")) == ("y", "")


def test_what_is_under_way_is_finished_and_the_old_sub_nodes_are_closed(bench: Bench) -> None:
    bench.change(template("t", say("x")), use("a", "t"), use("b", "t"))
    bench.change(template("t", say("y")))
    bench.drained()
    assert log.count("close x") == 2
    assert log.count("open y") == 2
    bench.change(remove=("a", "b", "t"))
    bench.drained()
    assert log.count("close y") == 2


def test_nothing_is_kept_of_what_is_gone(bench: Bench) -> None:
    for _ in range(20):
        bench.change(template("t", say("x")), use("a", "t"))
        bench.change(template("t", say("y")))
        bench.change(remove=("a", "t"))
    bench.drained()
    assert bench.table._bound == {}


CHANGES = st.lists(
    st.one_of(
        st.tuples(
            st.just("template"), st.sampled_from("stu"), st.sampled_from("stu."), st.integers(0, 3)
        ),
        st.tuples(st.just("use"), st.sampled_from("abc"), st.sampled_from("stu"), st.just(0)),
        st.tuples(st.just("remove"), st.sampled_from("abcstu"), st.just(""), st.just(0)),
    ),
    max_size=12,
)


@given(CHANGES)
@settings(max_examples=100, deadline=None)
def test_after_any_changes_it_is_as_if_it_had_been_loaded_so(changes: list[Any]) -> None:
    """But for what was refused: then it is as before, and says so, or what it is made of does."""
    documents: dict[str, Any] = {}
    with table() as bench, table() as fresh:
        for what, id, other, number in changes:
            if what == "remove":
                documents.pop(id, None)
                bench.change(remove=(id,))
                continue
            inside = say(f"{id}{number}") if other == "." else use("i", other)
            documents[id] = template(id, inside) if what == "template" else use(id, other)
            bench.change(documents[id])
        fresh.change(*documents.values())
        for id in documents:
            if fresh.reason(id):
                assert bench.reason(id) or any(one.pending for one in bench.table.symbols.values())
            elif documents[id]["kind"] == "use":
                assert bench.call(id) == fresh.call(id)
                assert bench.reason(id) == ""
        assert bench.table.symbols.keys() == documents.keys()
