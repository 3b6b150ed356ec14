"""Generations of the graph, and what is kept for old ones (BEHAVIOUR 6.7)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.engine.generation import Generation, Generations, Past
from greenflow.engine.port import InPort, OutPort
from greenflow.engine.process import Process


def entry() -> InPort:
    return InPort(lambda reader, packet: False)


def test_a_change_makes_no_generation_where_nobody_lives() -> None:
    generations = Generations()
    newest = generations.newest
    generations.turn(1.0)
    assert generations.newest is newest
    assert generations.old == []
    assert not generations.keep(0, lambda: None)


def test_a_process_keeps_its_generation_until_it_has_ended() -> None:
    generations = Generations()
    process = Process(generation=generations.newest)
    generations.turn(1.0)
    assert generations.old == [process.generation]
    process.exit()
    assert process.generation is None
    assert generations.old == []


def test_a_child_of_a_process_that_ended_lives_in_no_generation() -> None:
    generations = Generations()
    parent = Process()
    parent.exit()
    assert Process(parent, generation=generations.newest).generation is None
    assert generations.newest.living == 0


def test_links_are_a_plain_tuple_but_while_they_differ() -> None:
    generations, port, old, new = Generations(), OutPort(), entry(), entry()
    port.lead((old,), generations)
    process = Process(generation=generations.newest)
    generations.turn(1.0)
    port.lead((new,), generations)
    assert port.links_for(process.generation) == (old,)
    assert port.links_for(generations.newest) == port.links_for(None) == (new,)
    assert len(port.links) == 2  # nobody takes it for one link, or for none
    with pytest.raises(RuntimeError, match="ask links_for"):
        port.links[0].receive(None, None)
    process.exit()
    assert port.links == (new,)
    assert type(port.links) is tuple


def test_a_generation_whose_grace_is_over_sees_the_newest() -> None:
    generations, port, old, new = Generations(), OutPort(), entry(), entry()
    port.lead((old,), generations)
    process = Process(generation=generations.newest)
    generations.turn(1.0)
    port.lead((new,), generations)
    generations.expire(0.5)
    assert port.links_for(process.generation) == (old,)
    generations.expire(1.0)
    assert port.links_for(process.generation) == (new,)
    assert type(port.links) is tuple
    process.exit()  # a second end does nothing
    assert generations.old == []


actions = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 0)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("expire"), st.integers(1, 3)),
        st.tuples(st.just("change"), st.integers(1, 15)),  # which of four ports, as bits
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(actions)
def test_each_generation_sees_what_was_there_and_nothing_is_kept_for_nobody(
    history: list[tuple[str, int]],
) -> None:
    generations, ports, ins = Generations(), [OutPort() for _ in range(4)], entry()
    entries, counts = [(entry(),) for _ in ports], 0
    for port, links in zip(ports, entries, strict=True):
        port.lead(links, generations)
    ins.count(0, generations)
    living: list[tuple[Process, list[tuple[InPort, ...]], int]] = []
    kept: dict[int, tuple[int, int]] = {}  # what was let in and taken out, by number
    keys, since, now = itertools.count(), 0, 0
    for what, number in history:
        if what == "begin":
            living.append((Process(generation=generations.newest), list(entries), counts))
        elif what == "end" and living:
            living.pop(number % len(living))[0].exit()
        elif what == "expire":
            now += number
            generations.expire(now)
        elif what == "change":
            generations.turn(now + 4.0)
            last = generations.newest.number - 1
            key = next(keys)
            if since <= last and generations.keep(since, lambda key=key: kept.pop(key)):
                kept[key] = since, last
            since = last + 1
            for bit, port in enumerate(ports):
                if number >> bit & 1:
                    entries[bit] = (entry(),)
                    port.lead(entries[bit], generations)
            counts += 1
            ins.count(1, generations)
        numbers = {
            generation.number
            for process, _, _ in living
            if (generation := process.generation) is not None and not generation.is_over
        }
        for process, links, count in living:
            over = process.generation is None or process.generation.is_over
            seen = [port.links_for(process.generation) for port in ports]
            assert seen == (entries if over else links)
            assert ins.linked_for(process.generation) == (counts if over else count)
        assert [port.links_for(None) for port in ports] == entries
        old = {generation.number for generation in generations.old}
        assert old == numbers - {generations.newest.number}
        for first, last in kept.values():
            assert any(first <= number <= last for number in old)
        if not old:
            assert all(type(port.links) is tuple for port in ports)
    for process, _, _ in living:
        process.exit()
    assert not kept
    assert not generations.old
    assert all(type(port.links) is tuple for port in ports)
    assert generations.newest.living == 0


def test_the_past_is_what_was_added_for_the_generations_up_to_it() -> None:
    generations, past = Generations(), Past[str]()
    at = {number: Generation(generations, number) for number in range(6)}
    past.add(1, "a")
    past.add(3, "b")
    seen: list[Any] = [past.seen_by(at[number], "now") for number in range(6)]
    assert seen == ["a", "a", "b", "b", "now", "now"]
    past.drop(1)
    assert past.seen_by(at[2], "now") == "b"
    assert len(past) == 1
