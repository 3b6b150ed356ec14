"""Lines of the access log: their forms, what is kept out of them, and files that are moved away."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import GreenflowError
from greenflow.log import access
from greenflow.log.access import AccessEntry, AccessLog, open_access_log, to_combined, to_json
from tests.waiting import until

ENTRY = AccessEntry(
    client="203.0.113.7",
    method="GET",
    path="/users/7?token=canary&page=2",
    status=200,
    sent=12,
    seconds=0.01234567,
    listener="web",
    route="/users/:id",
    request_id="abc",
    referer="https://a.test/?password=canary",
    agent='curl "8"',
)
REFUSED = AccessEntry("-", "", "", 400, None, 0.0, "web")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_line_of_json() -> None:
    line = to_json(ENTRY, 0.5).decode()
    assert json.loads(line) == {
        "ts": "1970-01-01T00:00:00.500Z",
        "client": "203.0.113.7",
        "method": "GET",
        "path": "/users/7?token=***&page=2",
        "status": 200,
        "bytes": 12,
        "seconds": 0.012346,
        "listener": "web",
        "route": "/users/:id",
        "request_id": "abc",
    }
    assert json.loads(to_json(REFUSED, 0.0)) == {
        "ts": "1970-01-01T00:00:00.000Z",
        "client": "-",
        "status": 400,
        "seconds": 0.0,
        "listener": "web",
    }


def test_a_line_of_the_combined_format() -> None:
    assert to_combined(ENTRY, 0.0).decode() == (
        '203.0.113.7 - - [01/Jan/1970:00:00:00 +0000] "GET /users/7?token=***&page=2 HTTP/1.1" '
        '200 12 "https://a.test/?password=***" "curl \\"8\\""\n'
    )
    assert to_combined(REFUSED, 0.0).decode() == (
        '- - - [01/Jan/1970:00:00:00 +0000] "-" 400 - "-" "-"\n'
    )


@given(st.text(), st.text(), st.text())
def test_whatever_a_client_sends_is_one_line(method: str, path: str, agent: str) -> None:
    entry = ENTRY._replace(method=method, path=path, agent=agent)
    for line in (to_json(entry, 0.0), to_combined(entry, 0.0)):
        assert line.isascii()
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert all(byte >= 32 for byte in line[:-1])
    json.loads(to_json(entry, 0.0))


def test_a_long_path_has_an_end() -> None:
    line = to_json(ENTRY._replace(path="/" + "x" * 1_000_000), 0.0)
    assert len(line) < 3000
    assert json.loads(line)["path"].endswith(" ... [cut]")


def test_lines_are_written_to_a_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    log = AccessLog(str(path))
    for number in range(3):
        log.tell(ENTRY._replace(status=200 + number))
    log.close()
    before, *found = lines(path)
    assert before == "before"
    assert [json.loads(line)["status"] for line in found] == [200, 201, 202]
    assert log.dropped == 0


def test_a_file_that_is_moved_away_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "LOOK", -1.0)
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(str(path), "combined")
    log.tell(ENTRY)
    path.rename(old)
    log.tell(ENTRY._replace(status=201))
    log.tell(ENTRY._replace(status=202))
    log.close()
    until(lambda: len(lines(old)) == 1)
    assert [line.split()[8] for line in lines(path)] == ["201", "202"]


def test_the_old_file_is_written_while_no_new_one_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access, "LOOK", -1.0)
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(str(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    log.tell(ENTRY)
    log.close()
    assert len(lines(tmp_path / "moved" / "access.log")) == 1
    assert "the access log goes on in the old file" in caplog.text


def test_a_reader_that_has_stopped_holds_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(path))
    try:
        long = ENTRY._replace(path="/" + "x" * 2000)
        for _ in range(4000):
            log.tell(long)
        assert log.dropped > 0
    finally:
        os.close(reader)
    log.close()


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(GreenflowError, match=r"^log.access: .* cannot be written: No such file"):
        open_access_log(str(tmp_path / "none" / "access.log"), "json")
