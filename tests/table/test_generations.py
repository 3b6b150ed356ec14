"""A process runs on one version of the graph, whatever changes meanwhile (BEHAVIOUR 6.7)."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.engine.node import Context, Node
from greenflow.engine.packet import merge
from greenflow.engine.process import Process
from greenflow.nodes.block import Block
from greenflow.nodes.cache import Cache
from greenflow.nodes.failure import Try
from greenflow.nodes.flow import Call, Fork, Sleep
from greenflow.nodes.joining import Merge
from greenflow.nodes.loop import Loop
from greenflow.nodes.retry import Retry
from greenflow.nodes.session import Session
from greenflow.spec.fields import Spec
from tests.tables import Bench, Feed, empty_table, feed, log, probe
from tests.waiting import until

KINDS: tuple[type[Node[Any]], ...] = (
    Merge,
    Fork,
    Call,
    Session,
    Block,
    Retry,
    Try,
    Cache,
    Loop,
    Sleep,
)


class Stop(Node[Spec]):
    """Holds every packet until the test lets it go on; adds what it is called."""

    kind = "stop"
    reads_only = True
    held: list[tuple[Process, Event]] = []
    is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def handle(self, ctx: Context, payload: Any) -> Any:
        assert not self.is_closed
        gate = Event()
        self.held.append((ctx.process, gate))
        gate.wait()
        return f"{payload}{self.spec.annotations['say']}"


class Fails(Node[Spec]):
    kind = "fails"

    def handle(self, ctx: Context, payload: Any) -> Any:
        raise ValueError("no")


class Names(Node[Spec]):
    """Answers what it is called, whatever comes."""

    kind = "names"

    def handle(self, ctx: Context, payload: Any) -> Any:
        return self.spec.annotations["say"]


def stop(id: str, *targets: Any, say: str = "", **fields: Any) -> dict[str, Any]:
    """A node that holds packets; a target is a name, or a whole link."""
    links = [target if isinstance(target, dict) else {"name": target} for target in targets]
    document = {"kind": "stop", "id": id, "name": id, "annotations": {"say": say or id}}
    return {**document, "links": {"out": links} if links else {}, **fields}


def go_on(place: int = 0) -> None:
    """Let one packet that is held go on; one that is on its way to be held is waited for."""
    until(lambda: len(Stop.held) > place)
    Stop.held.pop(place)[1].set()
    settle()


def settle() -> None:
    """Let all that can run do so."""
    for _ in range(5):
        gevent.sleep(0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench() as bench:
        yield bench


@contextmanager
def new_bench(grace: float = 60.0) -> Iterator[Bench]:
    """A table that keeps nothing old in the end."""
    Stop.held.clear()
    with empty_table(grace) as bench:
        for kind in (Stop, Fails, Names, *KINDS):
            bench.scheme.register(kind)
        yield bench
        while Stop.held:
            go_on()
        bench.drained()
        assert_nothing_kept(bench)


def assert_nothing_kept(bench: Bench) -> None:
    """No process lives, so no old version of anything is there."""
    generations = bench.services.generations
    assert not generations.old
    assert generations.newest.living == 0
    assert not len(bench.table.draining)
    assert not bench.table.draining._needed
    for symbol in bench.table.symbols.values():
        node = symbol.version.node
        if node is not None:
            assert all(type(port.links) is tuple for port in node.out_ports.values())
            assert all(port._past is None for port in node.in_ports.values())


def begin(bench: Bench, id: str) -> gevent.Greenlet[..., Any]:
    running = gevent.spawn(bench.call, id)
    settle()
    return running


def test_a_process_between_two_nodes_does_not_see_that_both_changed(bench: Bench) -> None:
    bench.change(stop("a", "wait"), stop("wait", "b"), probe("b"))
    old = begin(bench, "a")
    go_on()  # it waits in between, in a node that does not change
    bench.change(stop("a", "wait", say="A"), probe("b", say="B"))
    new = begin(bench, "a")
    go_on(1)
    go_on()
    assert old.get() == "awaitb"
    go_on()
    assert new.get() == "AwaitB"


def test_a_process_sees_as_little_of_a_hundred_changes(bench: Bench) -> None:
    bench.change(stop("a", "b"), probe("b", "c"), probe("c"))
    old = begin(bench, "a")
    for number in range(100):
        bench.change(probe("b", "c", say=f"b{number}"), probe("c", say=f"c{number}"))
        until(lambda: len(bench.table.draining) <= 2)  # only what the process may need
    assert len(bench.services.generations.old) == 1
    go_on()
    assert old.get() == "abc"
    bench.drained()
    assert_nothing_kept(bench)


def test_a_node_that_was_removed_is_there_for_who_began_before(bench: Bench) -> None:
    bench.change(stop("a", "b"), probe("b", "c"), probe("c"))
    old = begin(bench, "a")
    bench.change(remove=("b", "c"))
    assert bench.active() == set()
    go_on()
    assert old.get() == "abc"


def test_a_name_that_leads_elsewhere_leads_there_for_who_begins_now(bench: Bench) -> None:
    bench.change(stop("a", "x"), probe("1", name="x"), probe("2", name="y"))
    old = begin(bench, "a")
    bench.change(probe("1", name="y"), probe("2", name="x"))
    new = begin(bench, "a")
    go_on()
    go_on()
    assert (old.get(), new.get()) == ("a1", "a2")


def test_links_that_came_or_went_do_so_for_who_begins_now(bench: Bench) -> None:
    bench.change(stop("a", "m"), probe("m"), probe("n"))
    old = begin(bench, "a")
    bench.change(stop("a", "m", "n"))
    new = begin(bench, "a")
    bench.change(stop("a"))
    newest = begin(bench, "a")
    for _ in range(3):
        go_on()
    assert (old.get(), new.get(), newest.get()) == ("am", ["am", "an"], "a")


def test_an_error_link_is_that_of_its_graph(bench: Bench) -> None:
    fails = {"kind": "fails", "id": "f", "name": "f", "links": {"error": [{"name": "e"}]}}
    bench.change(stop("a", "f"), fails, probe("e"))
    old = begin(bench, "a")
    bench.change(probe("e", say="E"))
    bench.change(remove=("e",))
    go_on()
    assert old.get() == "noe"


def test_a_merge_waits_for_the_links_of_the_graph_of_its_process(bench: Bench) -> None:
    def to(place: int) -> dict[str, Any]:
        return {"name": "m", "port": f"in[{place}]"}

    merge_of = {"kind": "merge", "id": "m", "name": "m"}
    bench.change(probe("a", "b", "c"), stop("b", to(0)), stop("c", to(1)), probe("d"), merge_of)
    old = begin(bench, "a")
    bench.change(stop("c", "d"))  # in[1] is linked no more
    new = begin(bench, "a")
    go_on(2)
    go_on(2)
    assert new.get() == ["ab", "acd"]  # what the merge answers for its one port, and d
    go_on()
    go_on()
    assert old.get() == ["ab", "ac"]


def test_a_block_keeps_its_inside_and_what_is_linked_behind_it(bench: Bench) -> None:
    def block(say: str) -> dict[str, Any]:
        inside = [stop("i", say=f"i{say}"), probe("j", say=f"j{say}")]
        links = {"out": [{"name": "z"}]}
        return {"kind": "block", "id": "b", "name": "b", "specs": inside, "links": links}

    bench.change(block("1"), probe("z"))
    old = begin(bench, "b")
    bench.change(block("2"), probe("z", say="Z"))
    new = begin(bench, "b")
    go_on()
    go_on()
    assert (old.get(), new.get()) == ("i1j1z", "i2j2Z")


def test_a_fork_keeps_the_graph_of_its_parent(bench: Bench) -> None:
    heard: list[Any] = []

    class Hears(Node[Spec]):
        kind = "hears"

        def handle(self, ctx: Context, payload: Any) -> Any:
            heard.append((payload, self.spec.annotations["say"]))

    bench.scheme.register(Hears)
    hears = {"kind": "hears", "id": "h", "name": "h", "annotations": {"say": "old"}}
    fork = {"kind": "fork", "id": "f", "name": "f", "links": {"out": [{"name": "s"}]}}
    bench.change(stop("a", "f"), fork, stop("s", "h"), hears)
    parent = begin(bench, "a")
    bench.change({**hears, "annotations": {"say": "new"}})
    go_on()  # the fork begins after the change
    assert len(bench.services.generations.old) == 1
    go_on()
    parent.get()
    assert heard == [("as", "old")]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "call", "timeout": 60},
        {"kind": "block", "timeout": 60, "specs": [{"kind": "sleep", "name": "i", "interval": 0}]},
        {"kind": "retry", "threshold": 1, "timeout": 60},
        {"kind": "try"},
        {"kind": "cache"},
        {"kind": "loop", "concurrency": 2},
    ],
    ids=lambda fields: fields["kind"],
)
def test_a_part_of_a_process_sees_the_graph_of_the_process(
    bench: Bench, fields: dict[str, Any]
) -> None:
    links = {"out": [{"name": "s"}], "out[1]": [{"name": "after"}]}
    if fields["kind"] in ("call", "block"):
        del links["out[1]"]
    scope = {"id": "k", "name": "k", "links": links, **fields}
    bench.change(stop("a", "k"), scope, stop("s", "b"), stop("b"), stop("after"))
    old = begin(bench, "a")
    bench.change(stop("b", say="B"), remove=("after",))  # its part begins only now
    while Stop.held:
        go_on()
    behind = "" if len(links) == 1 else "after"
    assert old.get() == f"asb{behind}"


def test_elements_that_begin_after_a_change_see_the_graph_of_their_process(bench: Bench) -> None:
    class Three(Node[Spec]):
        kind = "three"

        def handle(self, ctx: Context, payload: Any) -> Any:
            return [1, 2, 3]

    bench.scheme.register(Three)
    three = {"kind": "three", "id": "a", "name": "a", "links": {"out": [{"name": "loop"}]}}
    loop = {"kind": "loop", "id": "loop", "name": "loop", "concurrency": 2}
    bench.change(three, {**loop, "links": {"out": [{"name": "s"}]}}, stop("s", "b"), probe("b"))
    old = begin(bench, "a")
    assert len(Stop.held) == 2
    bench.change(probe("b", say="B"), stop("s", "b", say="S"))
    while Stop.held:
        go_on()
    assert old.get() == ["1sb", "2sb", "3sb"]


def test_a_child_that_begins_anew_sees_the_newest(bench: Bench) -> None:
    bench.change(feed("f", "a"), probe("a"))
    run = Feed.runs["f"]
    connection = Process(registry=bench.services.processes)
    bench.change(probe("a", say="A"))
    message = run.begin(connection)
    assert run.ask(message, bench.node("f").output("out"), "") == "A"
    run.end(message)
    connection.exit()


def test_a_delivery_to_a_session_sees_the_newest(bench: Bench) -> None:
    session = {"kind": "session", "id": "s", "name": "s", "links": {"out": [{"name": "b"}]}}
    to_in = {"name": "s", "port": "in"}
    opens = probe("open", "m", links={"out": [{"name": "s", "port": "io"}, {"name": "a"}]})
    bench.change(session, opens, stop("a", to_in), {**stop("b"), "kind": "names"})
    old = begin(bench, "open")
    bench.change({**stop("b", say="B"), "kind": "names"})
    go_on()  # the process that opened the session, and began before the change, writes to it
    assert old.get() == "B"


def test_nodes_that_ask_which_ports_are_linked_ask_for_their_process(bench: Bench) -> None:
    links = {"out[0]": [{"name": "b"}], "out[1]": [{"name": "c"}]}
    call = {"kind": "call", "id": "call", "name": "call", "links": links}
    bench.change(stop("a", "call"), call, probe("b"), probe("c"))
    old = begin(bench, "a")
    bench.change(probe("b", say="B"), remove=("c",))
    assert bench.reason("call") == "links.out[1]: no node 'c' in namespace 'default'"
    go_on()
    assert old.get() == "abc"


def test_an_error_inside_a_block_is_taken_by_the_link_of_its_graph(bench: Bench) -> None:
    inside = [stop("i"), {"kind": "fails", "id": "j", "name": "j"}]
    links = {"error": [{"name": "e"}]}
    block = {"kind": "block", "id": "b", "name": "b", "specs": inside, "links": links}
    bench.change(block, probe("e"))
    old = begin(bench, "b")
    bench.change(remove=("e",))
    go_on()
    assert old.get() == "noe"


def test_what_only_waits_for_its_children_keeps_no_graph(bench: Bench) -> None:
    bench.change(feed("f", "a"), probe("a"))
    run = Feed.runs["f"]
    opener = run.begin()
    child = Process(opener)
    child.let_go()  # as a WebSocket does
    run.end(opener)
    settle()
    bench.change(probe("a", say="A"))
    bench.drained()
    assert_nothing_kept(bench)
    child.exit()
    until(lambda: not bench.services.processes)


def test_after_the_grace_a_process_goes_on_with_the_newest() -> None:
    with new_bench(grace=0.05) as bench:
        bench.change(stop("a", "b"), probe("b"))
        old = begin(bench, "a")
        bench.change(probe("b", say="B"))
        bench.drained()
        assert "close b" in log
        assert not bench.services.generations.old
        go_on()
        assert old.get() == "aB"


def test_what_only_added_something_is_over_after_the_grace_too() -> None:
    with new_bench(grace=0.05) as bench:
        bench.change(stop("a"), probe("x", "y"))
        old = begin(bench, "a")
        bench.change(probe("y"))
        assert bench.active() == {"a", "x", "y"}
        assert len(bench.services.generations.old) == 1
        bench.drained()
        assert not bench.services.generations.old
        go_on()
        assert old.get() == "a"


def test_an_old_version_dies_with_the_last_process_that_may_need_it(bench: Bench) -> None:
    bench.change(stop("a", "b"), probe("b"))
    began, nodes = [], []
    for number in range(3):
        began.append(begin(bench, "a"))
        nodes.append(weakref.ref(bench.node("b")))
        bench.change(probe("b", say=f"b{number}"))

    def alive() -> list[bool]:
        settle()
        gc.collect()
        return [node() is not None for node in nodes]

    assert alive() == [True, True, True]
    go_on(1)
    until(lambda: alive() == [True, False, True])  # in whatever order they end
    go_on(1)
    until(lambda: alive() == [True, False, False])
    go_on()
    bench.drained()
    assert [running.get() for running in began] == ["ab", "ab0", "ab1"]
    assert_nothing_kept(bench)


def test_a_version_that_runs_again_is_the_one_that_was_there(bench: Bench) -> None:
    bench.change(stop("a", "f"), feed("src", "a"), probe("f"))
    old = begin(bench, "a")
    node = bench.node("src")
    bench.change(feed("src", "a", fail="start"))
    assert bench.node("src") is node
    bench.change(probe("f", say="F"))
    new = begin(bench, "a")
    go_on()
    go_on()
    assert (old.get(), new.get()) == ("af", "aF")


def test_a_version_that_ran_again_is_kept_for_those_that_saw_it_then(bench: Bench) -> None:
    bench.change(stop("a"), feed("src", "a"))
    version = bench.table.symbols["src"].version
    first = begin(bench, "a")
    bench.change(feed("src", "a", fail="start"))
    second = begin(bench, "a")
    bench.change(feed("src", "a", say="new"))
    assert version in bench.table.draining
    go_on()
    first.get()
    until(lambda: len(bench.services.generations.old) == 1)
    settle()
    assert version in bench.table.draining
    go_on()
    second.get()
    until(lambda: version not in bench.table.draining)


def test_a_version_that_is_refused_makes_no_generation(bench: Bench) -> None:
    bench.change(stop("a", "b"), probe("b"))
    running = begin(bench, "a")
    bench.change(probe("b", fail="open"))
    assert not bench.services.generations.old
    go_on()
    assert running.get() == "ab"


# -- any history -----------------------------------------------------------------------------------

ids = "abcde"
one = st.sampled_from(ids)
link = st.tuples(st.sampled_from(["id", "name"]), one)
# Which node, the name that it asks for, where it leads, and whether it is removed instead.
entry = st.tuples(one, one, st.lists(link, max_size=2), st.sampled_from([False, False, True]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.lists(entry, max_size=3)),
        st.tuples(st.just("begin"), one),
        st.tuples(st.just("go on"), st.integers(0, 20)),
    ),
    max_size=30,
)


def document(
    id: str, name: str, targets: list[tuple[str, str]], turn: int, names: dict[str, str]
) -> dict[str, Any]:
    """A node that leads only to later ones, and has its own name or that of an earlier one, so that
    there are no circles; without a name where another has it, as a store gives none twice."""
    links = [
        {key: target if key == "id" else f"the {target}"} for key, target in targets if target > id
    ]
    made = stop(id, *links, say=f"{id}{turn} ", name=f"the {min(id, name)}")
    names.pop(id, None)
    if made["name"] in names.values():
        del made["name"]
    else:
        names[id] = made["name"]
    return made


def answer_of(bench: Bench, id: str) -> Callable[[str], Any]:
    """What the graph as it is now makes of a payload at that node."""
    version = bench.table.symbols[id].version
    say = version.document["annotations"]["say"]
    behind = [
        answer_of(bench, target.id)
        for _, link in version.links()
        if (target := bench.table.target(link)) is not None
    ]

    def answer(payload: str) -> Any:
        payload = f"{payload}{say}"
        return merge([after(payload) for after in behind]) if behind else payload

    return answer


@settings(max_examples=300, deadline=None)
@given(st.lists(entry, max_size=5), steps)
def test_every_process_answers_as_the_graph_did_when_it_began(
    first: list[Any], history: list[Any]
) -> None:
    with new_bench() as bench:
        under_way: list[tuple[Any, Any]] = []
        names: dict[str, str] = {}  # by id
        bench.change(*(document(id, id, [], 0, names) for id in ids))
        for turn, (what, detail) in enumerate([("change", first), *history], 1):
            if what == "change":
                documents = {
                    id: None if gone else document(id, name, targets, turn, names)
                    for id, name, targets, gone in detail
                }
                gone = tuple(id for id, each in documents.items() if each is None)
                for id in gone:
                    names.pop(id, None)
                there = [each for each in documents.values() if each is not None]
                bench.change(*there, remove=tuple(set(gone) & bench.table.symbols.keys()))
            elif what == "begin":
                if detail in bench.active():
                    expected = answer_of(bench, detail)("")
                    under_way.append((begin(bench, detail), expected))
            elif Stop.held:
                go_on(detail % len(Stop.held))
            live = {generation.number for generation in bench.services.generations.old}
            for version in bench.table.draining._needed:
                assert version.since is not None
                assert any(version.since <= number for number in live)
        while Stop.held:
            go_on()
        for running, expected in under_way:
            assert running.get() == expected
        bench.drained()
        assert_nothing_kept(bench)
