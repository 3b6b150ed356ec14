"""Records that outlive the engine: one suite for each archive, and who writes into it."""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import gevent
import pytest
from gevent.event import Event

from greenflow.config.groups import RecordsSettings
from greenflow.errors import StoreMisconfigured, StoreUnavailable
from greenflow.records import archive as archiving
from greenflow.records.archive import Archive, Archived, Archiving, Choice
from greenflow.records.opening import open_archive
from greenflow.records.record import RunSummary
from tests import mongo
from tests.records.recorded import calls, running

PLACES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder}/runs.db",
    "mongodb": lambda folder: mongo.url(),
    "mongodb-standalone": lambda folder: mongo.url(standalone=True),
}


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return PLACES[request.param](tmp_path)


@pytest.fixture
def archive(url: str) -> Iterator[Archive]:
    opened = open_archive(url, "default")
    yield opened
    opened.close()


def archived(number: int, why: str = "failed", node: str = "a", size: int = 10) -> Archived:
    about = RunSummary(
        f"r-{number:03}", float(number), 0.1, "failed", (why,), "web", "GET /", "", node,
        frozenset({node, "web"}),
    )  # fmt: skip
    return Archived(about, f"{number:03}".encode().ljust(size))


def numbers(found: list[bytes]) -> list[int]:
    return [int(data) for data in found]


def test_records_are_found_newest_first_by_what_they_are(archive: Archive) -> None:
    archive.write([archived(1), archived(3, node="b"), archived(2, why="slow")])
    archive.write([archived(3, node="b")])  # once more is once
    assert numbers(archive.find(Choice())) == [3, 2, 1]
    assert numbers(archive.find(Choice(limit=2))) == [3, 2]
    assert numbers(archive.find(Choice(below=(3.0, "r-003")))) == [2, 1]
    assert numbers(archive.find(Choice(failed=True))) == [3, 1]
    assert numbers(archive.find(Choice(slow=True))) == [2]
    assert numbers(archive.find(Choice(node="b"))) == [3]
    assert numbers(archive.find(Choice(node="web", since=2.0))) == [3, 2]
    assert archive.get("r-002") == archived(2).data
    assert archive.get("r-009") is None


def test_what_is_old_or_too_much_is_forgotten(archive: Archive) -> None:
    archive.write([archived(number, size=100) for number in range(10)])
    assert archive.thin(3.0, 10_000) == 3
    assert numbers(archive.find(Choice())) == [9, 8, 7, 6, 5, 4, 3]
    assert archive.thin(0.0, 350) == 4
    assert numbers(archive.find(Choice())) == [9, 8, 7]
    assert archive.thin(0.0, 0) == 3
    assert archive.find(Choice()) == []


def test_namespaces_are_apart(url: str, archive: Archive) -> None:
    archive.write([archived(1)])
    other = open_archive(url, "other")
    assert other.find(Choice()) == []
    other.close()


def test_a_runtime_finds_what_an_earlier_one_recorded(url: str) -> None:
    text = "- {kind: snippet, name: half, language: cel, code: '10 / self'}"
    settings = RecordsSettings(sample=0.0, rate=1000, store=url)
    with running(text, settings) as runtime:
        assert runtime.call("half", 5) == 2
        assert [each.why for each in runtime.records.find().records] == [("slow",)]
        assert calls(runtime, "half", 0) is not None
        assert len(runtime.records.find().records) == 2
    with running(text, settings) as runtime:
        for _ in range(2):
            assert calls(runtime, "half", 0) is not None
        page = runtime.records.find(failed=True, limit=2)
        rest = runtime.records.find(failed=True, limit=2, cursor=page.cursor)
        assert (len(page.records), len(rest.records), rest.cursor) == (2, 1, None)
        record = runtime.records.get(rest.records[0].id)
        assert record is not None
        assert record.hops[0].node == "half"
        assert [each.why for each in runtime.records.find(slow=True).records] == [("slow",)]
        with pytest.raises(LookupError, match="no record"):
            runtime.records.event_of(record.id)
        assert runtime.records.counts().dropped == 0


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    opened = open_archive(f"sqlite:///{tmp_path}/runs.db", "default")
    opened.write([archived(1)])
    assert stat.S_IMODE((tmp_path / "runs.db").stat().st_mode) == 0o600
    opened.close()


@pytest.mark.parametrize("url", ["postgres://u:secret@h/db", "sqlite://runs.db", "sqlite:///"])
def test_what_is_no_archive(url: str) -> None:
    with pytest.raises(StoreMisconfigured) as caught:
        open_archive(url, "default")
    assert "secret" not in str(caught.value)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_text("this is the file of another program, and no database")
    opened = open_archive(f"sqlite:///{tmp_path}/runs.db", "default")
    with pytest.raises(StoreUnavailable, match="not a database"):
        opened.write([archived(1)])
    opened.close()


class Slow(Archive):
    """One that is stuck until it may go on, or that fails."""

    def __init__(self, fails: bool = False) -> None:
        self.goes_on, self.fails = Event(), fails
        self.written: list[Archived] = []

    def write(self, records: Sequence[Archived]) -> None:
        self.goes_on.wait()
        if self.fails:
            raise StoreUnavailable("the disk is full")
        self.written += records

    def find(self, choice: Choice) -> list[bytes]:
        return []

    def get(self, id: str) -> bytes | None:
        return None

    def thin(self, before: float, most_bytes: int) -> int:
        return 0

    def close(self) -> None:
        self.goes_on.set()


def test_nobody_waits_and_what_finds_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "WAITING", 3)
    slow = Slow()
    writer = Archiving(slow, 1.0, 1000)
    writer.put(archived(0))
    gevent.sleep(0)  # it writes that one, and is stuck
    for number in range(1, 6):
        writer.put(archived(number))
    assert writer.dropped == 2
    slow.goes_on.set()
    writer.settle(30.0)
    assert [each.about.started for each in slow.written] == [0, 1, 2, 3]
    writer.close()
    assert writer.dropped == 2


def test_what_cannot_be_written_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow(fails=True)
    slow.goes_on.set()
    writer = Archiving(slow, 1.0, 1000)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            writer.put(archived(number))
            writer.settle(30.0)
    writer.close()
    assert writer.dropped == 3
    assert [each.getMessage() for each in caplog.records] == [
        "records are not kept, 1 so far: the disk is full"
    ]
