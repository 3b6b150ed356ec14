"""How a kind is written: @node, Context, what a handler's result means (BEHAVIOUR 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.packet import NOTHING, Fault
from greenflow.spec.fields import Spec
from tests.graphs import SERVICES, FunctionNode, ask, entry, link


@node("upper")
def upper(ctx: Context, text: str) -> str:
    """Writes its text in capitals."""
    return text.upper()


@node("sieve", outputs=("out", "rejected"))
def sieve(ctx: Context, number: int) -> Any:
    """Lets even numbers through."""
    return number if number % 2 == 0 else ctx.to("rejected", number)


def make(kind: Any) -> Node[Any]:
    made: Node[Any] = kind(Spec(kind=kind.kind, id=kind.kind), SERVICES)
    return made


def test_a_function_becomes_a_kind() -> None:
    assert upper.kind == "upper"
    assert upper.__doc__ == "Writes its text in capitals."
    assert ask(entry(make(upper)), "a") == ["A"]
    (answer,) = ask(entry(make(upper)), 5)
    assert isinstance(answer.error, AttributeError)


def test_to_names_another_port() -> None:
    made = make(sieve)
    rejected = FunctionNode(lambda ctx, v: f"rejected {v}")
    link(made, rejected, "rejected")
    assert ask(entry(made), 2, 3) == [2, "rejected 3"]


def test_to_an_unknown_port_is_an_error_that_names_it() -> None:
    (answer,) = ask(entry(FunctionNode(lambda ctx, v: ctx.to("nowhere", v))), 1)
    assert "no out port 'nowhere'" in str(answer.error)


def test_a_generator_sends_several_and_is_answered_by_a_flat_list() -> None:
    def several(ctx: Context, v: Any) -> Iterator[Any]:
        yield v
        yield NOTHING
        yield ctx.to("out[1]", "second")
        yield "third"

    assert ask(entry(FunctionNode(several)), "first") == [["first", "second", "third"]]


def test_a_generator_that_fails_sends_nothing() -> None:
    seen: list[Any] = []

    def several(ctx: Context, v: Any) -> Iterator[Any]:
        yield v
        raise ValueError("half-way")

    failing = FunctionNode(several)
    link(failing, FunctionNode(lambda ctx, v: seen.append(v)))
    (answer,) = ask(entry(failing), 1)
    assert str(answer.error) == "half-way"
    assert seen == []


@pytest.mark.parametrize("nothing", [NOTHING, iter(())])
def test_a_handler_that_sends_nothing_answers_nothing(nothing: Any) -> None:
    def silent(ctx: Context, v: Any) -> Any:
        return (item for item in ()) if nothing is not NOTHING else NOTHING

    assert ask(entry(FunctionNode(silent)), 1) == [NOTHING]


def test_null_is_a_value() -> None:
    target = FunctionNode(lambda ctx, v: None)
    assert ask(entry(target), 1) == [None]
    assert ask(entry(target, target), 1) == [[None, None]]


def test_a_fan_out_is_merged_in_link_order() -> None:
    values = entry(*(FunctionNode(lambda ctx, v, i=i: i) for i in range(3)))
    assert ask(values, 0) == [[0, 1, 2]]
    silent = FunctionNode(lambda ctx, v: NOTHING)
    assert ask(entry(silent, FunctionNode(lambda ctx, v: "one"), silent), 0) == ["one"]
    assert ask(entry(silent, silent), 0) == [NOTHING]

    def fail(ctx: Context, v: Any) -> Any:
        raise ValueError("no")

    (answer,) = ask(entry(FunctionNode(fail), FunctionNode(lambda ctx, v: 1)), 0)
    assert str(answer.error) == "no"
    (answer,) = ask(entry(FunctionNode(fail), FunctionNode(fail)), 0)
    assert [str(error) for error in answer.error.exceptions] == ["no", "no"]


def test_call_returns_one_answer_for_each_value() -> None:
    def handle(ctx: Context, v: Any) -> Any:
        answers = ctx.call("out", 1, 2, 3)
        assert isinstance(answers[1], Fault)
        return ctx.to("out[1]", [answers[0], str(answers[1].error), answers[2]])

    def inner(ctx: Context, v: int) -> int:
        if v == 2:
            raise ValueError("two")
        return v * 10

    caller = FunctionNode(handle)
    link(caller, FunctionNode(inner))
    assert ask(entry(caller), 0) == [[10, "two", 30]]


def test_an_error_link_gets_the_error_and_its_answer_is_the_answer() -> None:
    def fail(ctx: Context, v: Any) -> Any:
        raise ValueError("no")

    failing = FunctionNode(fail)
    link(failing, FunctionNode(lambda ctx, error: f"handled {error}"), "error")
    assert ask(entry(failing), 1) == ["handled no"]


def test_only_functions_and_nodes_become_kinds() -> None:
    with pytest.raises(TypeError, match="function or a sub-class"):
        node("wrong")(int)
