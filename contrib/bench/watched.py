"""`python -m contrib.bench.watched FILE ARGUMENT...`: greenflow, with its hub watched.

Lives here: the watch, which runs in the server's OS process, and `Longest`, by which a benchmark
reads what it found. A stretch is the processor time of the hub's thread between two looks at its
sockets and timers: nobody else is let in meanwhile. It is the same on a machine that is busy with
other things, as the time of a ping is not. Where the code was at the time is told by a thread that
looks now and then.
"""

from __future__ import annotations

import gc
import mmap
import os
import struct
import sys
from _thread import get_ident, start_new_thread
from collections import Counter
from importlib import import_module
from pathlib import Path
from time import sleep, thread_time
from types import FrameType

LONG = 0.02  # seconds of a stretch from which on it is asked where the code is
BETWEEN_LOOKS = 0.01  # seconds
FRAMES = 6  # innermost calls that are told
PLACES = 2  # that are told, those that were seen most often
SIZE = 4096  # bytes of the file
_HEAD = struct.Struct("ddH")  # seconds, those of a collection, the length of the words behind them


class Longest:
    """The longest stretch since it was forgotten, in a file that both OS processes have."""

    def __init__(self, file: Path, *, create: bool = False) -> None:
        if create:
            file.write_bytes(bytes(SIZE))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), SIZE)

    def write(self, seconds: float, where: str) -> None:
        words = where.encode()[: SIZE - _HEAD.size]
        self._shared[_HEAD.size : _HEAD.size + len(words)] = words
        self._shared[: _HEAD.size] = _HEAD.pack(seconds, self.collection, len(words))

    def write_collection(self, seconds: float) -> None:
        self._shared[: _HEAD.size] = _HEAD.pack(self.seconds, seconds, self._head()[2])

    def _head(self) -> tuple[float, float, int]:
        return _HEAD.unpack(self._shared[: _HEAD.size])

    @property
    def seconds(self) -> float:
        return self._head()[0]

    @property
    def collection(self) -> float:
        """Seconds of the longest collection of garbage, in whatever thread."""
        return self._head()[1]

    @property
    def where(self) -> str:
        """The calls in which it was; empty where nothing took long."""
        words = self._shared[_HEAD.size : _HEAD.size + self._head()[2]]
        return bytes(words).decode("utf-8", "replace")

    def forget(self) -> None:
        self._shared[: _HEAD.size] = _HEAD.pack(0.0, 0.0, 0)


class Watch:
    """Of the hub of the thread that makes it."""

    def __init__(self, longest: Longest) -> None:
        from gevent import get_hub

        self._longest = longest
        self._thread = get_ident()
        self._begin, self._seen = thread_time(), Counter[str]()
        self._collection = 0.0
        self._watcher = get_hub().loop.check(ref=False)
        self._watcher.start(self._looks)
        gc.callbacks.append(self._collects)
        start_new_thread(self._watch, ())

    def _collects(self, phase: str, info: object) -> None:
        if phase == "start":
            self._collection = thread_time()
        elif (took := thread_time() - self._collection) > self._longest.collection:
            self._longest.write_collection(took)

    def _looks(self) -> None:
        """The hub has looked at its sockets."""
        now = thread_time()
        if now - self._begin > self._longest.seconds:
            often = self._seen.most_common(PLACES)
            told = " || ".join(f"{count} times {place}" for place, count in often)
            self._longest.write(now - self._begin, told)
        self._begin, self._seen = now, Counter()

    def _watch(self) -> None:
        while True:
            sleep(BETWEEN_LOOKS)
            place = _told(sys._current_frames().get(self._thread))
            if not place.startswith("gevent/hub.py"):
                self._seen[place] += 1


def _told(frame: FrameType | None) -> str:
    calls: list[str] = []
    while frame is not None and len(calls) < FRAMES:
        file = "/".join(frame.f_code.co_filename.split(os.sep)[-2:])
        calls.append(f"{file}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(calls)


def main() -> int:
    file, *arguments = sys.argv[1:]
    sys.argv = ["greenflow", *arguments]
    watch = Watch(Longest(Path(file)))
    try:
        return int(import_module("greenflow.__main__").main())
    finally:
        del watch


if __name__ == "__main__":
    sys.exit(main())
