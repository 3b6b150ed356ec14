"""read, write, print (BEHAVIOUR 14): files, pipes, the standard output."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.monkey import get_original

from greenflow.errors import EncodeError, EndOfFile, FileFailed, InvalidArgument, messages
from greenflow.nodes.file import disk
from greenflow.testing import Flow, flow
from tests.waiting import until

SECONDS = 20.0  # after which something that a test waits for has failed


def node(kind: str, file: Path | str | None, **fields: Any) -> dict[str, Any]:
    named = {} if file is None else {"filename": str(file)}
    return {"kind": kind, "name": "f", **named, **fields}


def loop(kind: str, file: Path | str | None, **fields: Any) -> list[dict[str, Any]]:
    """A node that gets each element of a list, in one process."""
    return [
        {"kind": "loop", "name": "l", "links": {"out": {"name": "f"}}},
        node(kind, file, **fields),
    ]


@contextmanager
def elsewhere(function: Any, *args: Any) -> Iterator[None]:
    """Run a function in a native thread, and see that it ends."""
    thread = get_original("threading", "Thread")(target=function, args=args)
    thread.start()
    yield
    until(lambda: not thread.is_alive())
    thread.join()


# -- read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [None, "all", 0, -1, 2.5, True, [], {}, "3"])
def test_anything_reads_the_rest(payload: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("grün\n")
    with flow(node("read", tmp_path / "a")) as running:
        assert running.call("f", payload) == "grün\n"
        assert running.call("f", payload) == "grün\n"  # another process, another position


def test_a_number_reads_so_many_bytes_at_most(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("abcdefgh")
    with flow(loop("read", tmp_path / "a")) as running:
        assert running.call("l", [3, 2, None, None]) == ["abc", "de", "fgh", ""]
        assert running.call("l", [100]) == ["abcdefgh"]


def test_the_end_of_a_file_is_an_error_where_a_number_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("ab")
    specs = loop("read", tmp_path / "a", links={"error": {"name": "e"}})
    specs.append({"kind": "snippet", "name": "e", "code": 'self == "EOF" ? "the end" : "?"'})
    specs[-1]["language"] = "cel"
    with flow(specs) as running:
        assert running.call("l", [2, 2]) == ["ab", "the end"]
    with flow(node("read", tmp_path / "a")) as running:
        (tmp_path / "a").write_text("")
        assert running.call("f") == ""
        with pytest.raises(EndOfFile, match="end of file"):
            running.call("f", 1)


def test_characters_are_not_torn_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("aüb€")
    with flow(loop("read", tmp_path / "a")) as running:
        assert running.call("l", [2, 2, 3, 9]) == ["a", "ü", "b", "€"]
        assert running.call("l", [2, 1, 1, None]) == ["a", b"\xc3", b"\xbc", "b€"]
        assert running.call("l", [2, None]) == ["a", "üb€"]


def test_what_is_no_text_is_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\xffb\xc3")
    with flow(loop("read", tmp_path / "a")) as running:
        assert running.call("l", [None]) == [b"a\xffb\xc3"]
        assert running.call("l", [1, 2, 1]) == ["a", b"\xffb", b"\xc3"]


@pytest.mark.parametrize("kind", ["read", "write", "print"])
@pytest.mark.parametrize("linked", [True, False])
def test_a_file_that_cannot_be_had_is_an_error(kind: str, linked: bool, tmp_path: Path) -> None:
    for name in ("none/a", "."):
        specs = [node(kind, tmp_path / name), {"kind": "nop", "name": "e"}]
        if linked:
            specs[0]["links"] = {"error": {"name": "e"}}
        with flow(specs) as running:
            if not linked:
                with pytest.raises(FileFailed, match=f"{tmp_path / name}': .* directory"):
                    running.call("f", "x")
                continue
            assert running.call("f", "x") is None
            (error,) = running.passed("e")
            assert "directory" in str(error)


def test_more_than_the_limit_is_an_error_and_not_a_full_memory(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 101)
    for file in (tmp_path / "a", "/dev/zero"):
        with flow(loop("read", file, limit=100)) as running:
            with pytest.raises(FileFailed, match="more than 100 bytes"):
                running.call("f")
            with pytest.raises(InvalidArgument):
                running.call("f", 101)
            assert len(running.call("f", 100)) == 100


def test_a_pipe_is_read_when_something_is_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    specs = [node("read", tmp_path / "pipe"), {"kind": "nop", "name": "other"}]
    with flow(specs) as running:
        for count, payload in ((1, 100), (2, None)):
            reading = running.start("f", payload)
            running.passed("f", count=count)
            assert running.call("other", 1) is None
            assert not reading.ready()
            with elsewhere((tmp_path / "pipe").write_text, "hello"):
                assert reading.get(timeout=SECONDS) == "hello"


def test_who_waits_for_a_pipe_can_be_ended(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with flow(node("read", tmp_path / "pipe")) as running:
        with pytest.raises(TimeoutError):
            running.call("f", 1, timeout=0.01)
        assert not running.runtime.services.processes


# -- write -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        ("grün", "grün".encode()),
        (b"\xff\0", b"\xff\0"),
        ("", b""),
        (None, b"null\n"),
        ({"b": [1, 2.5, True]}, b'{"b":[1,2.5,true]}\n'),
        (5, b"5\n"),
        (ValueError("no"), b'"no"\n'),
    ],
)
def test_strings_and_bytes_and_other_values_are_written(
    payload: Any, content: bytes, tmp_path: Path
) -> None:
    with flow(node("write", tmp_path / "a")) as running:
        assert running.call("f", payload) == len(content)
        assert (tmp_path / "a").read_bytes() == content


@pytest.mark.parametrize("append", [True, False])
def test_the_first_write_of_a_process_empties_the_file_unless_it_appends(
    append: bool, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("old ")
    with flow(loop("write", tmp_path / "a", append=append)) as running:
        assert running.call("l", ["one ", "two "]) == [4, 4]
        assert (tmp_path / "a").read_text() == ("old one two " if append else "one two ")
        running.call("l", ["three"])
        assert (tmp_path / "a").read_text() == ("old one two three" if append else "three")


@pytest.mark.parametrize(
    ("payload", "error"), [(float("nan"), EncodeError), ("\ud800", InvalidArgument)]
)
def test_what_cannot_be_written_leaves_the_file_alone(
    payload: Any, error: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("old")
    with flow(node("write", tmp_path / "a")) as running:
        with pytest.raises(error):
            running.call("f", payload)
        assert (tmp_path / "a").read_text() == "old"


def test_packets_of_many_processes_are_written_whole(tmp_path: Path) -> None:
    with flow(node("write", tmp_path / "a", append=True)) as running:
        texts = [str(i % 10) * (1 + i * 997) + "\n" for i in range(60)]
        gevent.joinall([running.start("f", text) for text in texts], raise_error=True)
    assert sorted((tmp_path / "a").read_text().splitlines(True)) == sorted(texts)


APPENDING = """
import sys
from greenflow.testing import flow
specs = [{"kind": "loop", "name": "l", "links": {"out": {"name": "f"}}},
         {"kind": "write", "name": "f", "filename": sys.argv[1], "append": True}]
with flow(specs) as running:
    running.call("l", [sys.argv[2] * 70_000 + "\\n"] * 50)
"""


def test_packets_of_many_os_processes_are_written_whole(tmp_path: Path) -> None:
    file = str(tmp_path / "a")
    started = [subprocess.Popen([sys.executable, "-c", APPENDING, file, letter]) for letter in "ab"]
    assert [process.wait(SECONDS * 3) for process in started] == [0, 0]
    lines = (tmp_path / "a").read_text().splitlines()
    assert sorted(lines) == ["a" * 70_000] * 50 + ["b" * 70_000] * 50


def test_a_disk_that_is_full_tears_no_packet_apart(tmp_path: Path) -> None:
    script = f"""
import resource
from greenflow.testing import flow
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
spec = {{"kind": "write", "name": "f", "filename": {str(tmp_path / "a")!r}, "append": True}}
with flow(spec) as running:
    running.call("f", "x" * 600)
    try:
        running.call("f", "y" * 600)
    except Exception as error:
        print(error)
    running.call("f", "z" * 100)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == f"cannot write to '{tmp_path / 'a'}': File too large\n", done.stderr
    assert (tmp_path / "a").read_text() == "x" * 600 + "z" * 100


def test_a_disk_that_hangs_blocks_nobody_and_what_was_begun_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, write = get_original("threading", "Event")(), disk._write

    def hang(number: int, data: bytes) -> None:
        go_on.wait(SECONDS)
        write(number, data)

    monkeypatch.setattr(disk, "_write", hang)
    specs = [node("write", tmp_path / "a"), {"kind": "nop", "name": "other"}]
    with flow(specs) as running:
        with pytest.raises(TimeoutError):
            running.call("f", "whole", timeout=0.5)  # it has begun to write by then
        assert not running.runtime.services.processes
        assert running.call("other", 1) is None
        go_on.set()
        until(lambda: (tmp_path / "a").read_text() == "whole")


def test_a_file_is_closed_when_its_process_ends(tmp_path: Path) -> None:
    """Also while children go on; also when it is ended in the middle of something."""
    specs = [
        node("write", tmp_path / "a", links={"out": {"name": "wait"}}),
        {"kind": "nop", "name": "wait"},
    ]
    gate = Event()

    def open_files() -> int:
        links = (os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd"))
        return sum(os.path.realpath(link) == str(tmp_path / "a") for link in links)

    with flow(specs, replace={"wait": lambda _: gate.wait()}) as running:
        writing = running.start("f", "x")
        running.passed("wait", count=1)
        assert open_files() == 1
        (process,) = running.runtime.services.processes
        process.exit()
        writing.join()
        until(lambda: not open_files())
        gate.set()
        running.call("f", "x")
        assert not open_files()


def test_a_pipe_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with flow(node("write", tmp_path / "pipe")) as running, pytest.raises(FileFailed, match="pipe"):
        running.call("f", "x")


def test_a_pipe_is_written_as_fast_as_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    specs = [node("write", tmp_path / "pipe"), {"kind": "nop", "name": "other"}]
    found = b""
    with flow(specs) as running:
        writing = running.start("f", "x" * 300_000)
        running.passed("f", count=1)
        assert running.call("other", 1) is None
        with gevent.Timeout(SECONDS):
            while len(found) < 300_000:
                gevent.sleep(0.001)
                with suppress(BlockingIOError):  # the writer has not come further yet
                    found += os.read(reader, 400_000)
        assert writing.get() == 300_000
    os.close(reader)


# -- print -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("grün", "grün"),
        (["%s has %d of %d\n", "A1", 3, 5], "A1 has 3 of 5\n"),
        (["no verb"], "no verb"),
        ({"a": 1}, '{"a":1}\n'),
        (None, "null\n"),
        (b"bytes", "bytes"),
        (ValueError("no"), "no"),
    ],
)
def test_text_is_printed(
    payload: Any, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with flow(node("print", None)) as running:
        assert running.call("f", payload) == len(text.encode())
    assert capsys.readouterr().out == text
    (tmp_path / "a").write_text("old ")
    with flow(node("print", tmp_path / "a")) as running:
        assert running.call("f", payload) == len(text.encode())
    assert (tmp_path / "a").read_text() == "old " + text


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ([], "[format, args...]"),
        ([1, 2], "[format, args...]"),
        (["%d"], "nothing is left"),
        (["%d", 1, 2], "1 arguments, not 2"),
        (["%d", "x"], "%d does not write what is string"),
        (["%y", 1], "no verb"),
    ],
)
def test_a_wrong_format_is_an_error(payload: Any, reason: str) -> None:
    with flow(node("print", None)) as running, pytest.raises(InvalidArgument) as caught:
        running.call("f", payload)
    assert reason in ": ".join(messages(caught.value))


PRINTING = """
from greenflow.testing import flow
specs = [{"kind": "loop", "name": "l", "links": {"out": {"name": "f"}}},
         {"kind": "print", "name": "f"}]
with flow(specs) as running:
    try:
        print(running.call("l", ["x" * 10_000 + "\\n"] * 20), file=__import__("sys").stderr)
    except ExceptionGroup as group:
        print(group.exceptions[0], file=__import__("sys").stderr)
"""


def printing(stdout: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRINTING]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)


def test_the_standard_output_may_be_anything(tmp_path: Path) -> None:
    with open(tmp_path / "out", "w") as file, open("/dev/null", "w") as null:
        for process in (printing(file), printing(null), printing(subprocess.PIPE)):
            out, err = process.communicate(timeout=SECONDS)
            assert err == f"{[10_001] * 20}\n"
    assert (tmp_path / "out").read_text() == out == ("x" * 10_000 + "\n") * 20


def test_a_standard_output_that_nobody_reads_is_an_error_of_the_packet() -> None:
    read, write = os.pipe()
    os.close(read)
    process = printing(write)
    os.close(write)
    assert "cannot write to the standard output: Broken pipe" in process.communicate()[1]
    assert process.returncode == 0


def test_a_standard_output_that_is_closed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with flow(node("print", None)) as running, pytest.raises(FileFailed, match="it is closed"):
        running.call("f", "x")


def test_threads_end_with_the_runtime(tmp_path: Path) -> None:
    before = threading.active_count()
    with flow(node("write", tmp_path / "a")) as running:
        running.call("f", "x")
    assert threading.active_count() <= before


def test_a_file_is_read_and_written_within_a_process(tmp_path: Path) -> None:
    specs: list[dict[str, Any]] = [
        {"kind": "write", "name": "f", "filename": str(tmp_path / "a")},
        {"kind": "read", "name": "r", "filename": str(tmp_path / "a")},
    ]
    specs[0]["links"] = {"out": {"name": "r"}}

    def once(running: Flow) -> Any:
        return running.call("f", "round")

    with flow(specs) as running:
        assert once(running) == "round"
