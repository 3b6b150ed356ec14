"""The files that `greenflow run FILE` runs: read once, then followed.

Lives here: what becomes of a save. The specs of the files, and the values of those of `--values`,
are kept in a store in memory, which the runtime follows as any other; so a save is a change of that
store and nothing else.

A save is read, and checked as a whole; with one fault it is logged and changes nothing. Then what
left the files is deleted and what changed is applied, at once as the loader sees it. Only what came
from these files is ever deleted: specs that a workflow created stay. Texts are read in a native
thread, for a large file takes a second that nobody else should wait; a file that did not change is
not read again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import gevent

from greenflow.cli.verdict import doubts
from greenflow.errors import GreenflowError
from greenflow.hub import blocking, collector
from greenflow.hub.breathing import let_others_run, unhurried
from greenflow.hub.watching import Watcher, follow
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Entry, Faulty, check, read_files
from greenflow.spec.document import STANDARD_INPUT, Document, read_file
from greenflow.store.operations import lookup_in

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.spec.batch import Validator
    from greenflow.store.base import Collection

#: Seconds that a save under way has to be applied at the end: code that is parsed may take 20.
CLOSE = 1.0

logger = logging.getLogger("greenflow.cli.run")


class Followed:
    """Some files, and their specs or values in a collection; `validator` checks them, and `what` is
    how the log calls them. A context manager that ends the following."""

    def __init__(
        self,
        paths: Iterable[str],
        collection: Collection,
        validator: Validator,
        settings: Settings,
        what: str = "specs",
    ) -> None:
        self._paths = list(paths)
        self._collection, self._validator, self._what = collection, validator, what
        # A value that nothing can call is a mistake; a spec may do without a name.
        self._named, self._use = (True, "known") if what == "values" else (False, "run")
        self._settings, self._namespace = settings, settings.namespace
        # What of these files is in the collection, by id.
        self._applied: dict[str, dict[str, Any]] = {}
        # Where those stand, as far as somebody asked.
        self._documents: dict[str, Document] = {}
        self._places: dict[tuple[str, str], str] = {}
        # What was read of each file, and in which state it was.
        self._known: dict[str, tuple[object, list[Document]]] = {}
        self._watcher: Watcher | None = None
        self._greenlet: gevent.Greenlet[[Watcher], None] | None = None

    def __enter__(self) -> Followed:
        if self._paths:
            self._watcher = follow(path for path in self._paths if path != STANDARD_INPUT)
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def load(self) -> None:
        """Reads and applies everything. Raises Faulty, MissingFile, OSError."""
        self._apply(self._checked(read_files(self._paths, self._read)))

    def start(self) -> None:
        """From now on every save is applied, in a greenlet of its own."""
        if self._watcher is not None:
            self._greenlet = gevent.spawn(self._follow, self._watcher)

    def close(self) -> None:
        """Follows no more; what is applied stays."""
        if self._watcher is not None:
            self._watcher.close()
        if self._greenlet is not None:
            self._greenlet.join(CLOSE)
            self._greenlet.kill()  # it reads a file, or waits for code that is parsed

    def locate(self, id: str, path: str) -> str | None:
        """Where a part of what is applied stands, as `file:line:column`; None if it is not of these
        files."""
        place = self._places.get((id, path))
        if place is None and id in self._documents:
            document = self._documents[id]
            line, column = document.position(path)
            place = self._places[id, path] = f"{document.source}:{line}:{column}"
        return place

    def _follow(self, watcher: Watcher) -> None:
        while watcher.next() is not None:
            try:
                self._reload()
            except Faulty as error:
                for line in unhurried(error.lines):
                    self._log(logging.ERROR, "%s", line)
                self._log(logging.ERROR, "the files are faulty: nothing was changed")
            except (GreenflowError, OSError) as error:
                self._log(logging.ERROR, "the files were not applied: %s", error)
            except Exception as error:
                # A fault of ours must not end the following, nor what runs.
                logger.error("the files were not applied: %s", error, exc_info=error)

    def _reload(self) -> None:
        collector.begin()  # thousands of specs are much to look at, in the thread, too
        documents = blocking.call(read_files, self._paths, self._read)
        collector.put_off()
        self._apply(self._checked(documents))

    def _read(self, file: str) -> list[Document]:
        """The documents of a file, read again only if it is not as it was."""
        if file == STANDARD_INPUT:
            state: object = None
        else:
            found = os.stat(file)
            state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        known = self._known.get(file)
        if known is None or known[0] != state:
            known = self._known[file] = state, read_file(file)
        return known[1]

    def _checked(self, documents: list[Document]) -> list[Entry]:
        return check(
            documents,
            self._validator,
            self._namespace,
            named=self._named,
            derived=True,
            breathe=let_others_run,
            aside=blocking.call,
            stored=lookup_in(self._collection),
        )

    def _apply(self, entries: list[Entry]) -> None:
        new = {entry.data["id"]: entry.data for entry in entries}
        old = self._applied
        gone = [id for id in old if id not in new]
        changed = [data for id, data in new.items() if old.get(id) != data]
        # Deleted first: a name may have moved to another id. The loader sees both as one change,
        # for they are done within 10 ms (BEHAVIOUR 6.13).
        if gone:
            self._collection.delete({"id": {"$in": gone}})
        try:
            if changed:
                self._collection.apply(changed)
        except BaseException:
            self._collection.apply([old[id] for id in gone])
            raise
        self._applied = new
        self._documents = {entry.data["id"]: entry.document for entry in entries}
        self._places.clear()
        created = sum(data["id"] not in old for data in changed)
        if old and (gone or changed):
            self._log(
                logging.INFO,
                "applied the files%s: %d created, %d changed, %d deleted",
                "" if self._what == "specs" else f" of {self._what}",
                created,
                len(changed) - created,
                len(gone),
            )
        if isinstance(self._validator, Scheme):
            new_entries = [entry for entry in entries if old.get(entry.data["id"]) != entry.data]
            found = doubts(new_entries, self._validator, self._namespace, self._settings)
            for line in unhurried(found):
                self._log(logging.WARNING, "%s", line)
        strange = {data["namespace"] for data in new.values()} - {self._namespace}
        if strange:
            names = ", ".join(sorted(strange))
            message = f"{self._what} of other namespaces are not {self._use}: %s"
            self._log(logging.WARNING, message, names)

    def _log(self, level: int, message: str, *arguments: object) -> None:
        logger.log(level, message, *arguments, extra={"namespace": self._namespace})
