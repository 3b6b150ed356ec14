"""The thread that writes the log: pipes that nobody reads, closed ones, a full disk."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

from greenflow.log import writer
from greenflow.log.writer import Writer
from tests.waiting import DEADLINE, until


def notice(count: int) -> bytes:
    return b"%d dropped\n" % count


class Pipe:
    """A pipe with room for 8 KiB, and the writer at its end."""

    def __init__(self) -> None:
        self.read, number = os.pipe()
        fcntl.fcntl(number, fcntl.F_SETPIPE_SZ, 8192)
        self.stream: TextIO = os.fdopen(number, "w")
        self.writer = Writer(self.stream, notice)

    def lines(self, count: int) -> list[bytes]:
        """The next lines, so many."""
        data = b""
        while data.count(b"\n") < count:
            data += os.read(self.read, 65536)
        return data.splitlines()

    def close(self) -> None:
        self.writer.close()
        self.stream.close()
        os.close(self.read)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    found = Pipe()
    yield found
    found.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "STALLED", 0.0)


def records(count: int) -> list[bytes]:
    return [b"%d %s\n" % (number, b"x" * 90) for number in range(count)]


def test_records_keep_their_order_and_none_is_lost(pipe: Pipe) -> None:
    sent, got = records(3000), list[bytes]()
    reader = threading.Thread(target=lambda: got.extend(pipe.lines(3000)))
    reader.start()
    for record in sent:
        pipe.writer.put(record)
    reader.join(DEADLINE)
    assert [line + b"\n" for line in got] == sent
    assert pipe.writer.flush()


def test_what_finds_no_room_is_dropped_and_counted_once_it_is_read_again(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    monkeypatch.setattr(writer, "QUEUE", 20_000)
    sent = records(1000)
    for record in sent:  # the pipe holds some 80, the queue some 200
        pipe.writer.put(record)
    assert not pipe.writer.flush()
    kept = (20_000 + 8192 + 4096) // 91
    first = pipe.lines(100)
    while not first[-1].endswith(b"dropped"):
        first += pipe.lines(1)
    *written, said = first
    assert [line + b"\n" for line in written] == sent[: len(written)]
    assert 200 < len(written) < kept
    assert int(said.split()[0]) == len(sent) - len(written)
    pipe.writer.put(b"on\n")
    assert pipe.lines(1) == [b"on"]


def test_nobody_waits_for_a_pipe_that_is_closed_nor_do_errors_leave(pipe: Pipe) -> None:
    with open(os.devnull) as null:
        os.dup2(null.fileno(), pipe.read)
    for record in records(100):
        pipe.writer.put(record)
    assert pipe.writer.flush()


def test_a_disk_that_is_full_loses_records_and_they_are_counted_when_it_has_room(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, write, is_full = pipe.stream.fileno(), os.write, True

    def limited(descriptor: int, data: Any) -> int:
        if descriptor == number and is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", limited)
    for name in (b"a\n", b"b\n"):
        pipe.writer.put(name)
        assert pipe.writer.flush()
    is_full = False
    pipe.writer.put(b"c\n")
    assert pipe.lines(2) == [b"2 dropped", b"c"]


def test_a_record_that_was_torn_does_not_spoil_the_next_line(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, write, answers = pipe.stream.fileno(), os.write, [3, 0]

    def limited(descriptor: int, data: Any) -> int:
        if descriptor != number or not answers:
            return write(descriptor, data)
        if count := answers.pop(0):
            return write(descriptor, data[:count])
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "write", limited)
    pipe.writer.put(b"abcdef\n")
    assert pipe.writer.flush()
    pipe.writer.put(b"next\n")
    assert pipe.lines(3) == [b"abc", b"1 dropped", b"next"]


def test_dev_full_holds_up_nobody() -> None:
    with open("/dev/full", "w") as stream:
        full = Writer(stream, notice)
        for record in records(1000):
            full.put(record)
        assert full.flush()
        full.close()


def test_a_fork_writes_by_itself_and_nothing_twice(pipe: Pipe) -> None:
    pipe.writer.put(b"before\n")
    assert pipe.lines(1) == [b"before"]
    child = os.fork()
    if child == 0:
        pipe.writer.put(b"child\n")
        os._exit(0 if pipe.writer.flush() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert pipe.lines(1) == [b"child"]


def test_after_the_end_who_logs_writes_and_does_not_wait(pipe: Pipe) -> None:
    threads = threading.active_count()
    pipe.writer.put(b"before\n")
    pipe.writer.close()
    until(lambda: threading.active_count() <= threads)
    pipe.writer.put(b"after\n")
    assert pipe.lines(2) == [b"before", b"after"]
    for record in records(100):  # more than it holds
        pipe.writer.put(record)
