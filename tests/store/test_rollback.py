"""store/rollback.py and store/applying.py: the ways back, on every store."""

from __future__ import annotations

import json
import random
from typing import Any

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.errors import ChangedMeanwhile, UnknownChange
from greenflow.spec.signature import Signature
from greenflow.store import Store, open_store
from greenflow.store.applying import TooMuchDeleted, application, check_deletions
from greenflow.store.base import Rewrite
from greenflow.store.rollback import back_to, between, undoing
from tests.store.tools import documents, on_a_store, spec

ME = Signature("me@here")


def everything(store: Store) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return documents(store.specs.find(None)), documents(store.values.find(None))


def restore(store: Store, number: int) -> None:
    plan = back_to(store.history, "default", number)
    signature = ME._replace(expected={"default": plan.newest})
    store.rewrite(plan.of("specs"), plan.of("values"), signature)


def random_change(store: Store, randomness: random.Random) -> None:
    """Anything that a writer may do, to some of few documents, names swapped and all."""
    ids = randomness.sample("abcdefgh", randomness.randint(1, 4))
    names = randomness.sample(["one", "two", "three", "four", None, None, None, None], len(ids))
    collection = randomness.choice((store.specs, store.specs, store.values))
    batch = [
        spec(id, name, n=randomness.randint(0, 9), encrypted="x")
        for id, name in zip(ids, names, strict=True)
    ]
    if randomness.random() < 0.25:
        collection.delete({"id": {"$in": ids}})
        return
    # a name that another document has is taken from it
    holders = collection.find({"name": {"$in": [name for name in names if name]}})
    taken = {record.document["id"] for record in holders} - set(ids)
    rewrite = Rewrite(batch, taken)
    both = (rewrite, Rewrite()) if collection is store.specs else (Rewrite(), rewrite)
    store.rewrite(*both, ME)


@settings(on_a_store, max_examples=12)
@given(st.randoms(use_true_random=False), st.integers(2, 25))
def test_every_state_can_be_gone_back_to(url: str, randomness: random.Random, count: int) -> None:
    with open_store(url) as store:
        store.rewrite(Rewrite((), set("abcdefgh")), Rewrite((), set("abcdefgh")), ME)
        states = {store.history.newest("default"): everything(store)}
        for _ in range(count):
            random_change(store, randomness)
            states[store.history.newest("default")] = everything(store)
        for number in randomness.sample(sorted(states), min(5, len(states))):
            restore(store, number)
            assert everything(store) == states[number]


def test_undoing_the_newest_change_is_going_back_before_it(store: Store) -> None:
    randomness = random.Random(5)
    before: list[Any] = [everything(store)]
    while store.history.newest("default") < 12:
        random_change(store, randomness)
        if len(before) <= store.history.newest("default"):
            before.append(everything(store))
    for number in range(12, 0, -1):
        plan = undoing(store.history, "default", number) if number == 12 else None
        if plan is not None:
            store.rewrite(plan.of("specs"), plan.of("values"), ME)
            assert everything(store) == before[number - 1]


def test_a_change_that_another_one_built_on_is_not_undone_alone(store: Store) -> None:
    store.specs.insert([spec("a", "one"), spec("b")])
    store.specs.apply([spec("a", "one", n=1)])
    with pytest.raises(ChangedMeanwhile, match="one was changed again by change 2"):
        undoing(store.history, "default", 1)
    plan = undoing(store.history, "default", 1, {"b"})
    assert (plan.of("specs"), plan.newest) == (Rewrite([], {"b"}), 2)


def test_what_the_history_does_not_have_is_said(store: Store) -> None:
    with pytest.raises(UnknownChange, match="has no changes yet"):
        back_to(store.history, "default", 1)
    for n in range(4):
        store.specs.apply([spec("a", n=n)])
    store.history.thin(2, 2**40)
    for number in (5, 1):
        with pytest.raises(UnknownChange, match="from 3 to 4"):
            back_to(store.history, "default", number)
    with pytest.raises(UnknownChange, match="from 3 to 4"):
        undoing(store.history, "default", 2)
    assert len(between(store.history, "default", 4, 2)) == 1  # what change 2 had left is known


def test_four_writers_lose_nothing_of_each_other(store: Store) -> None:
    def write(number: int) -> None:
        randomness = random.Random(number)
        for _ in range(10):
            ids = randomness.sample("abcdefgh", 2)
            store.specs.apply([spec(id, n=randomness.random()) for id in ids], ME)

    gevent.joinall([gevent.spawn(write, number) for number in range(4)], raise_error=True)
    newest = store.history.newest("default")
    assert newest == 40
    replayed: dict[str, Any] = {}
    for edit in store.history.edits("default"):
        assert replayed.get(edit.id) == (json.loads(edit.before) if edit.before else None)
        replayed[edit.id] = json.loads(edit.after or "")
    assert [replayed[id] for id in sorted(replayed)] == documents(store.specs.find(None))


def test_only_one_of_several_who_saw_the_same_change_is_not_refused(store: Store) -> None:
    store.specs.insert([spec("a", n=0)])
    done: list[int] = []

    def write(number: int) -> None:
        try:
            store.specs.apply([spec("a", n=number)], ME._replace(expected={"default": 1}))
        except ChangedMeanwhile:
            return
        done.append(number)

    gevent.joinall([gevent.spawn(write, number) for number in range(1, 6)], raise_error=True)
    (winner,) = done
    assert documents(store.specs.find(None)) == [spec("a", n=winner)]


def test_a_plan_says_what_the_store_then_does(store: Store) -> None:
    store.specs.apply([spec("a", "one"), spec("b", "two"), spec("c")], ME._replace(group="web"))
    wanted = [{"namespace": "default", "name": "one", "n": 1}, spec("d", "two")]
    plan = application(store, "specs", wanted, ["default"], "web")
    assert plan.gone == {"b", "c"}
    assert plan.made_on == {"default": 1}
    store.rewrite(Rewrite(plan.documents, plan.gone), Rewrite(), ME)
    done = store.history.edits("default", 1)
    assert [(edit.verb, edit.before, edit.after) for edit in plan.edits] == sorted(
        ((edit.verb, edit.before, edit.after) for edit in done),
        key=lambda each: ("changed", "created", "deleted").index(each[0]),
    )
    again = application(store, "specs", wanted, ["default"])
    assert (again.edits, again.made_on) == ([], {"default": 2})


@pytest.mark.parametrize(
    ("members", "gone", "kept", "options", "reason"),
    [
        (10, 2, 8, (False, None), ""),
        (10, 3, 7, (False, None), "3 of 10 of the set, more than 2"),
        (10, 3, 7, (False, 3), ""),
        (10, 3, 7, (False, 2), "more than 2"),
        (4, 1, 3, (False, None), "1 of 4"),
        (4, 4, 0, (False, 4), "all 4"),
        (4, 4, 0, (True, None), ""),
        (4, 4, 0, (True, 3), "more than 3"),
        (4, 0, 0, (False, None), ""),
    ],
)
def test_more_than_a_fifth_of_a_set_takes_a_word(
    members: int, gone: int, kept: int, options: tuple[bool, int | None], reason: str
) -> None:
    with open_store("memory://") as store:
        plan = application(store, "specs", [spec(f"k{n}") for n in range(kept)], ["default"])
        plan = plan._replace(gone=frozenset(f"g{n}" for n in range(gone)))
        if reason:
            with pytest.raises(TooMuchDeleted, match=reason):
                check_deletions(plan, members, *options)
        else:
            check_deletions(plan, members, *options)
