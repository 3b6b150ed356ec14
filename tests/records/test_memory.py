"""Records in memory: bounded in number and bytes, whatever comes, and nothing of what is secret."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from greenflow.config.groups import RecordsSettings
from greenflow.log import secret
from greenflow.records.memory import SEGMENTS, RecordMemory
from greenflow.records.record import RunRecord, encode
from tests.records.recorded import calls, running

SECRET = "correct-horse-battery"


def record(number: int, size: int = 0) -> RunRecord:
    return RunRecord(
        id=f"r-{number}",
        number=number,
        namespace="n" * size,
        started=float(number),
        duration=0.0,
        outcome="ok",
        why=("failed",),
    )


@given(st.lists(st.integers(0, 30_000)), st.integers(0, 50), st.integers(0, 200_000))
def test_it_holds_the_newest_within_its_limits(
    sizes: list[int], most: int, most_bytes: int
) -> None:
    memory = RecordMemory(most, most_bytes)
    for number, size in enumerate(sizes):
        memory.add(record(number, size), "raw", 7)
        kept = list(memory.newest_first())
        assert memory.count == len(kept) <= most
        assert memory.size == sum(each.size for each in kept) <= most_bytes
        assert memory.forgotten + memory.count == number + 1
    numbers = [int(each.summary.id[2:]) for each in memory.newest_first()]
    assert numbers == sorted(numbers, reverse=True)
    assert all(memory.get(f"r-{number}") is not None for number in numbers)
    gone = set(range(len(sizes))) - set(numbers)
    assert all(memory.get(f"r-{number}") is None for number in gone)


def test_the_oldest_go_as_a_whole() -> None:
    memory = RecordMemory(160, 1 << 30)
    for number in range(160):
        memory.add(record(number), None, 0)
    assert memory.count == 160
    memory.add(record(160), None, 0)
    assert memory.count == 161 - 160 // SEGMENTS


def test_one_that_is_removed_is_gone() -> None:
    memory = RecordMemory(10, 1 << 20)
    for number in range(3):
        memory.add(record(number), None, 0)
    memory.remove("r-1")
    memory.remove("r-1")
    assert [each.summary.id for each in memory.newest_first()] == ["r-2", "r-0"]
    assert memory.count == 2
    assert memory.size == sum(each.size for each in memory.newest_first())


def test_a_flood_of_failures_with_large_bodies_stays_within_the_limit_and_shows_no_secret() -> None:
    """What fails 3,000 times with a megabyte, is 3,000 records or counts; each with the secret in
    clear in body, header, error and log."""
    text = """
    - kind: snippet
      name: a
      language: cel
      code: '{"body": self.body, "token": self.token, "n": self.n}'
      links: {out: {name: b}}
    - {kind: snippet, name: b, language: cel, code: 'self.lost[self.body]'}
    """
    limit = 400_000
    held = secret.hold([SECRET])
    body = SECRET + "y" * (1 << 20)
    try:
        settings = RecordsSettings(memory_bytes=limit, sample=0.0, rate=1000)
        with running(text, settings) as runtime:
            records = runtime.records
            kept: list[bytes] = []
            add: Any = records.memory.add
            records.memory.add = lambda one, raw, size: (  # type: ignore[method-assign]
                kept.append(encode(one)) or add(one, raw, size)
            )
            for _number in range(3000):
                calls(runtime, "a", {"body": body, "token": "hunter22", "n": SECRET * 100})
                assert records.memory.size <= limit
            counts = records.counts()
            assert counts.kept + counts.forgotten + sum(counts.shed.values()) == 3000
            assert counts.kept
            assert counts.forgotten
            shown = b"".join(kept)
            assert b"***" in shown
            for part in (SECRET[:8], SECRET[-8:], "hunter22"):
                assert part.encode() not in shown
    finally:
        secret.release(held)
