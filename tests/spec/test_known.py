"""Names that are none of those known."""

from __future__ import annotations

from greenflow.spec.known import closest, listed, listed_in_order


def test_the_closest_name_is_found_among_few_and_among_many() -> None:
    assert closest("snipet", ["nop", "snippet", "split"]) == "snippet"
    assert closest("zzz", ["nop", "snippet"]) is None
    many = [f"a{number:05}" for number in range(10_000)]
    assert closest("snipet", [*many, "snippet"]) == "snippet"


def test_names_that_are_long_are_not_compared() -> None:
    assert closest("a" * 65, ["a" * 65]) is None
    assert closest("a" * 60, ["a" * 65]) is None
    assert closest("a" * 60, ["a" * 64]) == "a" * 64


def test_of_many_names_the_first_are_listed() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([]) == ""
    many = [f"n{number}" for number in range(1_020)]
    assert listed(many).startswith("n0, n1, ")
    assert listed(many).endswith(", n19 and 1,000 more")


def test_few_names_are_listed_in_order_and_long_ones_are_cut() -> None:
    assert listed_in_order({"b", "a"}) == "a, b"
    assert listed_in_order(dict.fromkeys(map(str, range(1_020)))).endswith("19 and 1,000 more")
    assert len(listed(["a" * 1_000_000] * 1_000)) < 2_000
