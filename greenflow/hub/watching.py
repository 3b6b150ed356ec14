"""Following files: which of them were created, changed or deleted, however that was done.

Lives here: `follow` and its Watcher. Not here: what a change means to anybody.

The system's notifications (watchfiles, on Rust's notify) only wake us: what changed is found by
comparing what is there with what was there. So it does not matter whether an editor writes a file,
renames another over it, or deletes and creates it; nor whether a folder on the way is a link that
somebody swaps, as a Kubernetes config map is updated. What is watched are the folders on the way,
none of them recursively: those that hold a link, those that are followed, and where a path ends
before its time the last folder that exists. A slow comparison without any notification catches
what the system does not tell (network file systems, a folder above that was moved).

All of that runs in one native thread for each Watcher; `next` makes only the calling greenlet wait.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import gevent.monkey

from greenflow.hub.blocking.threads import Threads

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

logger = logging.getLogger("greenflow.files")

#: Changes of one path this close together are one, in milliseconds (BEHAVIOUR 14.watch). It is
#: also how long a closed Watcher takes to notice.
QUIET_MS = 50

#: A burst that does not end is reported every so many milliseconds.
BURST_MS = 500

#: Seconds after which all is compared although nothing was notified.
COMPARE_SECONDS = 5.0

#: The same where the system gives us no notifications at all.
POLL_SECONDS = 0.5

#: Links on the way to one path, as many as Linux follows itself (path_resolution(7)).
_MAX_LINKS = 40

#: Comparisons in a row that a moving tree may cost before we wait for the next notification.
_MAX_ROUNDS = 8

# Not the patched one: it would start a hub in our native thread.
_sleep = gevent.monkey.get_original("time", "sleep")

#: What tells two states of a file apart: device, inode, size, time of its last change.
_Mark = tuple[int, int, int, int]


class FileChange(NamedTuple):
    """What happened (`created`, `changed` or `deleted`), and the path, as it was asked for."""

    event: str
    path: str


class _Look:
    """One wait of the native thread; has the method that watchfiles wants of a stop event."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False

    def is_set(self) -> bool:
        return self.cancelled


class _State:
    """What was found: every followed file, and the folders where a change of it would show, with
    the names in them that matter (None: all)."""

    __slots__ = ("files", "folders", "names")

    def __init__(self) -> None:
        self.files: dict[str, _Mark] = {}
        self.folders: dict[str, tuple[int, int]] = {}
        self.names: dict[str, set[str] | None] = {}

    def watch(self, folder: str, name: str | None = None) -> None:
        if folder not in self.folders:
            try:
                found = os.stat(folder)
            except OSError:
                return
            self.folders[folder] = (found.st_dev, found.st_ino)
            self.names[folder] = set()
        names = self.names[folder]
        if name is None:
            self.names[folder] = None
        elif names is not None:
            names.add(name)

    def concerns(self, path: str) -> bool:
        """Whether a notification about a path can be a change of what is followed."""
        if path in self.folders:
            return True
        folder, name = os.path.split(path)
        names = self.names.get(folder, ())
        return names is None or name in names


def follow(paths: Iterable[str]) -> Watcher:
    """Starts to follow files and folders, which need not exist yet. When it returns, every change
    from then on will be reported. In a folder all files below it are followed, except those whose
    name, or that of a folder on the way down, begins with a dot."""
    return Watcher(paths)


class Watcher:
    """What follows some paths. Belongs to the thread in which it was made; close it after use."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._roots = [(os.fspath(path), os.path.abspath(path)) for path in paths]
        self._state = _State()
        self._notify: RustNotify | None = None
        self._watched: dict[str, tuple[int, int]] | None = None
        self._found: deque[set[FileChange]] = deque()
        self._closed = False
        self._look: _Look | None = None
        self._threads = Threads(1)
        # Why the system does not notify us; logged by the greenlet, for logging in a native thread
        # would take locks that belong to the hub.
        self._refusal: Exception | None = None
        self._threads.run(self._compare, True)
        self._found.clear()
        self._tell_refusal()

    def next(self, timeout: float | None = None) -> set[FileChange] | None:
        """Waits for changes, `timeout` seconds at most. None when there were none in that time, or
        when the Watcher was closed. One greenlet at a time may wait."""
        if self._closed:
            return None
        look = self._look = _Look()
        if not self._found:
            try:
                self._threads.run(self._wait, look, timeout)
            finally:
                # Also when the greenlet was killed: what the thread finds meanwhile is kept.
                look.cancelled = True
        self._tell_refusal()
        changes = _joined(self._found)
        return None if self._closed else changes or None

    def close(self) -> None:
        """Ends the thread, and wakes the greenlet that waits. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._look is not None:
            self._look.cancelled = True
        self._threads.close()
        if self._notify is not None:
            self._notify.close()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _tell_refusal(self) -> None:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            logger.warning(
                "files are compared every %s s, for the system refuses to notify: %s",
                POLL_SECONDS,
                refusal,
            )

    # Below: runs in the native thread.

    def _wait(self, look: _Look, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        compared = time.monotonic()
        while not look.cancelled and not self._found:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return
            pause = compared + (COMPARE_SECONDS if self._notify else POLL_SECONDS) - now
            if pause > 0:
                left = pause if deadline is None else min(pause, deadline - now)
                notified = self._notified(look, left)
                if not any(map(self._state.concerns, notified)):
                    continue
                self._compare(any(path in self._state.folders for path in notified))
            else:
                self._compare(False)
            compared = time.monotonic()

    def _notified(self, look: _Look, seconds: float) -> set[str]:
        """The paths of a burst of notifications, after it is over."""
        if self._notify is None:
            end = time.monotonic() + seconds
            while not look.cancelled and time.monotonic() < end:
                _sleep(min(QUIET_MS / 1000, seconds))
            return set()
        # 0 would wait for ever.
        milliseconds = max(int(seconds * 1000), 1)
        raw = self._notify.watch(BURST_MS, QUIET_MS, milliseconds, look)
        return set() if isinstance(raw, str) else {path for _, path in raw}

    def _compare(self, anew: bool) -> None:
        """Looks at everything, and keeps what is different. `anew`: a folder that we watch was
        moved or deleted, so its path may stand for another one now."""
        before = self._state.files
        for _ in range(_MAX_ROUNDS):
            self._state = self._look_around()
            if self._state.folders == self._watched and not anew:
                break
            # What changed between the look and the new watch is found in the next round.
            self._watched = self._state.folders if self._watch() else None
            anew = False
        changes = set(_differences(before, self._state.files))
        if changes:
            self._found.append(changes)

    def _watch(self) -> bool:
        """Asks for notifications about the folders of the state. False if one of them went."""
        from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

        old, self._notify = self._notify, None
        try:
            self._notify = RustNotify(list(self._state.folders), False, False, 0, False, True)
        except FileNotFoundError:
            return False
        except (OSError, WatchfilesRustInternalError) as error:
            # In Linux a user has 128 of them (fs.inotify.max_user_instances).
            self._refusal = error
        finally:
            if old is not None:
                old.close()
        return True

    def _look_around(self) -> _State:
        state = _State()
        for given, path in self._roots:
            _mark_way(state, path)
            _look_at(state, given, path, ())
        return state


def _look_at(state: _State, given: str, path: str, above: tuple[tuple[int, int], ...]) -> None:
    try:
        found = os.stat(path)
    except OSError:
        return
    if not stat.S_ISDIR(found.st_mode):
        state.files[given] = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        return
    here = (found.st_dev, found.st_ino)
    if here in above:
        return
    state.watch(path)
    try:
        entries = list(os.scandir(path))
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith("."):
            if entry.is_symlink():
                _mark_way(state, entry.path)
            _look_at(state, os.path.join(given, entry.name), entry.path, (*above, here))


def _mark_way(state: _State, path: str) -> None:
    """Notes every folder on the way to a path in which a change could make it lead elsewhere: those
    of links, the one of the file itself, or the last one before the path ends too early."""
    here, names = os.sep, _parts(path)
    links = 0
    while names:
        name = names.pop()
        try:
            found = os.lstat(os.path.join(here, name))
        except OSError:
            state.watch(here, name)
            return
        if stat.S_ISLNK(found.st_mode):
            state.watch(here, name)
            links += 1
            if links > _MAX_LINKS:
                return
            try:
                target = os.readlink(os.path.join(here, name))
            except OSError:
                return
            names += _parts(target)
            here = os.sep if target.startswith(os.sep) else here
        elif name == os.pardir:
            here = os.path.dirname(here)
        elif names or stat.S_ISDIR(found.st_mode):
            here = os.path.join(here, name)
        else:
            state.watch(here, name)


def _parts(path: str) -> list[str]:
    """The names in a path, the first one last."""
    return [name for name in reversed(path.split(os.sep)) if name not in ("", os.curdir)]


def _differences(before: dict[str, _Mark], after: dict[str, _Mark]) -> Iterator[FileChange]:
    for path in before.keys() | after.keys():
        old, new = before.get(path), after.get(path)
        if old is None:
            yield FileChange("created", path)
        elif new is None:
            yield FileChange("deleted", path)
        elif old != new:
            yield FileChange("changed", path)


def _joined(batches: deque[set[FileChange]]) -> set[FileChange]:
    """Takes all that was found out of the queue. A path has one change: from before the first to
    after the last."""
    there: dict[str, tuple[bool, bool]] = {}
    while batches:
        for event, path in batches.popleft():
            before, _ = there.get(path, (event != "created", True))
            there[path] = before, event != "deleted"
    names = {(False, True): "created", (True, True): "changed", (True, False): "deleted"}
    return {FileChange(names[state], path) for path, state in there.items() if state in names}
