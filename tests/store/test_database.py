"""The file of an SQLite store: its URL, its faults, and what happens when it is replaced."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from greenflow.errors import StoreUnavailable
from greenflow.store import Batch, open_store
from greenflow.store.database import APPLICATION, SCHEMA_VERSION, StoreDatabase
from greenflow.store.sqlite import SqliteStore
from tests.store.tools import (
    DEADLINE,
    another,
    documents,
    ids,
    locked,
    next_batch,
    pragma,
    spec,
)


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_what_was_written_is_there_when_it_is_opened_again(url: str) -> None:
    with open_store(url) as store:
        written = store.specs.insert([spec("a", "one", x=[{}]), spec("b")])
        store.values.insert([spec("v", data=5)])
    with open_store(url) as store:
        assert store.specs.find(None) == written
        assert documents(store.values.find(None)) == [spec("v", data=5)]
        (changed,) = store.specs.apply([spec("a", "one", x=[])])
        assert changed.revision > written[1].revision


def test_a_closed_store_is_one_file(url: str, path: Path) -> None:
    with open_store(url) as store, store.specs.feed(None):
        store.specs.insert([spec("a")])
        store.specs.find(None)
    assert os.listdir(path.parent) == ["store.db"]


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///flow.db") as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.specs.insert([spec("a")])
        assert ids(store.specs.find(None)) == ["a"]
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "flow.db"]


def test_a_path_may_hold_anything(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/a%20b%3F%23%25ü&.db") as store:
        store.specs.insert([spec("a")])
        assert "a b?#%ü&.db" in os.listdir(tmp_path)


def test_writes_survive_a_power_cut_unless_told_otherwise(url: str) -> None:
    with open_store(url) as store:
        assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 2)
    with open_store(f"{url}?synchronous=normal") as store:
        assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 1)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "write sqlite:///relative"),
        ("sqlite:///", "write sqlite:///relative"),
        ("sqlite://store.db", "write sqlite:///relative"),
        ("sqlite:///x.db?synchronous=OFF", "unknown option synchronous=OFF"),
        ("sqlite:///x.db?timeout=long", "unknown option timeout=long"),
        ("sqlite:///x.db?mode=ro", "unknown option mode=ro; allowed are timeout"),
    ],
)
def test_a_wrong_url_says_what_is_allowed(url: str, message: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        open_store(url)
    assert str(caught.value).startswith(f"{url}: {message}")


# faults


def fails_to_open(url: str) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        open_store(url)
    message = str(caught.value)
    assert message.startswith(f"{url}: ")
    return message


def test_a_file_that_is_no_database(url: str, path: Path) -> None:
    path.write_text("specs: []\n" * 1000)
    assert f"{path} is not an SQLite database; name another file" in fails_to_open(url)
    assert path.read_text() == "specs: []\n" * 1000


def test_the_database_of_another_program_is_left_alone(url: str, path: Path) -> None:
    with another(path) as connection:
        connection.execute("CREATE TABLE songs (title)")
    before = path.read_bytes()
    assert "is the database of another program" in fails_to_open(url)
    assert path.read_bytes() == before


def test_a_newer_layout_asks_for_an_upgrade(url: str, path: Path) -> None:
    open_store(url).close()
    with another(path) as connection:
        connection.execute("PRAGMA user_version=99")
    assert "was written by a newer greenflow (layout 99" in fails_to_open(url)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    message = fails_to_open(f"sqlite:///{tmp_path}/deep/store.db")
    assert f"the folder {tmp_path}/deep does not exist; create it" in message


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    assert "is a folder; name a file" in fails_to_open(f"sqlite:///{tmp_path}")


def test_a_file_that_is_locked(url: str, path: Path) -> None:
    with open_store(f"{url}?timeout=0.01") as store:
        store.specs.insert([spec("a")])
        with locked(path):
            with pytest.raises(StoreUnavailable, match=r"locked by another program for 0\.01 s"):
                store.specs.insert([spec("b")])
            assert ids(store.specs.find(None)) == ["a"]
        store.specs.insert([spec("c")])
        assert ids(store.specs.find(None)) == ["a", "c"]


def test_a_file_that_is_locked_while_it_is_opened(url: str, path: Path) -> None:
    with another(path) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        message = fails_to_open(f"{url}?timeout=0.01")
        connection.execute("ROLLBACK")
    assert "locked by another program" in message
    open_store(url).close()


def test_a_disk_that_is_full(url: str) -> None:
    with open_store(url) as store:
        before = store.specs.insert([spec("a")])
        pragma(store, "max_page_count=1")  # of this connection only: as large as it is now
        with pytest.raises(StoreUnavailable, match=r"no space left for .* free some on its"):
            store.specs.apply([spec("a", x=1), spec("b", text="x" * 1_000_000)])
        assert store.specs.find(None) == before
        store.specs.apply([spec("b", text="x" * 1_000_000)])
        assert ids(store.specs.find(None)) == ["a", "b"]


def error_of(path: Path, mode: str, statement: str) -> sqlite3.Error:
    with (
        closing(sqlite3.connect(f"file:{path}?mode={mode}", uri=True)) as connection,
        pytest.raises(sqlite3.Error) as caught,
    ):
        connection.execute(statement)
    return caught.value


def test_a_file_that_is_read_only(url: str, path: Path) -> None:
    """A super-user's tests cannot take a permission away, so SQLite's error is made by its mode."""
    with open_store(url) as store:
        assert isinstance(store, SqliteStore)
        error = error_of(path, "ro", "DELETE FROM specs")
        message = str(store._writer._database.explain(error))
    assert message == f"{url}: {path} is read-only; allow writing it and {path.parent}"


def test_a_fault_that_nobody_thought_of_keeps_its_words(url: str, path: Path) -> None:
    with open_store(url) as store:
        assert isinstance(store, SqliteStore)
        error = error_of(path, "rw", "SELEC")
        message = str(store._writer._database.explain(error))
    assert message == f'{url}: {path}: near "SELEC": syntax error (SQLITE_ERROR)'


def test_tables_that_are_damaged(url: str, path: Path) -> None:
    with open_store(url) as store:
        store.specs.insert([spec("a")])
        with another(path) as connection:
            connection.execute("UPDATE specs SET document = '{'")
        with pytest.raises(StoreUnavailable, match="damaged"):
            store.specs.find(None)
        with another(path) as connection:
            connection.execute("DROP TABLE specs")
        with pytest.raises(StoreUnavailable, match="no such table: specs"):
            store.specs.find(None)
        assert store.values.find(None) == []


def test_the_file_says_whose_it_is(url: str, path: Path) -> None:
    open_store(url).close()
    with another(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchall() == [(APPLICATION,)]
        assert connection.execute("PRAGMA user_version").fetchall() == [(SCHEMA_VERSION,)]


# the file under a running store


def test_a_file_that_goes_away_is_not_made_anew(url: str, path: Path) -> None:
    with open_store(url) as store, store.specs.feed(None) as feed:
        before = store.specs.insert([spec("a")])
        assert next_batch(feed).ids == {"a"}
        path.rename(f"{path}.away")
        with pytest.raises(StoreUnavailable, match="is gone; put it back"):
            feed.next(DEADLINE)
        for call in (
            lambda: store.specs.find(None),
            lambda: store.specs.insert([spec("b")]),
            lambda: store.specs.feed(None),
        ):
            with pytest.raises(StoreUnavailable, match="is gone; put it back"):
                call()
        assert not path.exists()
        Path(f"{path}.away").rename(path)
        assert store.specs.find(None) == before
        with store.specs.feed(None) as again:
            store.specs.insert([spec("c")])
            assert next_batch(again) == Batch(frozenset("c"), gap=False)


def test_another_file_in_its_place_is_not_followed(url: str, path: Path, tmp_path: Path) -> None:
    with open_store(url) as store, store.specs.feed("default") as feed:
        (before,) = store.specs.insert([spec("a", x=1)])
        assert next_batch(feed).ids == {"a"}
        with open_store(f"sqlite:///{tmp_path}/new.db") as new:
            (after,) = new.specs.insert([spec("a", x=2)])
        assert after.revision != before.revision
        # what is written but not yet in the main file would be taken for the new file's
        pragma(store, "wal_checkpoint(TRUNCATE)")
        os.replace(tmp_path / "new.db", path)
        with pytest.raises(StoreUnavailable, match="was replaced, or lost changes"):
            feed.next(DEADLINE)
        for call in (
            lambda: store.specs.find(None),
            lambda: store.specs.revisions(None),
            lambda: store.specs.insert([spec("b")]),
            lambda: store.specs.delete(None),
            lambda: store.specs.feed(None),
        ):
            with pytest.raises(StoreUnavailable, match="put the old one back, or restart"):
                call()
    with open_store(url) as store:  # the operator has decided
        assert store.specs.find(None) == [after]


@pytest.mark.parametrize("copied", [False, True])
def test_the_old_file_is_followed_when_it_is_put_back(url: str, path: Path, copied: bool) -> None:
    with open_store(url) as store, store.specs.feed(None) as feed:
        store.specs.insert([spec("a")])
        assert next_batch(feed).ids == {"a"}
        pragma(store, "wal_checkpoint(TRUNCATE)")
        old = Path(f"{path}.old")
        shutil.copy(path, old) if copied else path.rename(old)
        path.unlink(missing_ok=True)
        with open_store(url) as other:  # as an `apply` does
            other.specs.insert([spec("b")])
        with pytest.raises(StoreUnavailable, match=r"was replaced|is gone"):
            feed.next(DEADLINE)
        with pytest.raises(StoreUnavailable, match="was replaced"):
            store.specs.find(None)
        for file in path.parent.glob(f"{path.name}-*"):
            file.unlink()
        old.rename(path)
        assert ids(store.specs.find(None)) == ["a"]
        with store.specs.feed(None) as again:
            store.specs.insert([spec("c")])
            assert next_batch(again).ids == {"c"}


def test_an_empty_file_in_its_place_stays_empty(url: str, path: Path) -> None:
    with open_store(url) as store:
        store.specs.insert([spec("a")])
        pragma(store, "wal_checkpoint(TRUNCATE)")
        path.unlink()
        path.touch()
        with pytest.raises(StoreUnavailable, match="was replaced"):
            store.specs.find(None)
        assert path.stat().st_size == 0


def test_a_backup_that_is_copied_into_the_file_is_not_followed(url: str, path: Path) -> None:
    with open_store(url) as store:
        store.specs.insert([spec("a")])
    shutil.copy(path, f"{path}.backup")
    with open_store(url) as store, store.specs.feed(None) as feed:
        store.specs.insert([spec("b")])
        assert next_batch(feed) == Batch(frozenset("b"), gap=False)
        with another(path) as target, another(Path(f"{path}.backup")) as source:
            source.backup(target)
        with pytest.raises(StoreUnavailable, match="lost changes that were seen in it"):
            feed.next(DEADLINE)
        with pytest.raises(StoreUnavailable, match="lost changes that were seen in it"):
            store.specs.find(None)
    with open_store(url) as store:
        assert ids(store.specs.find(None)) == ["a"]


def test_a_file_that_is_replaced_while_it_is_opened(
    url: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(url) as store:
        store.specs.insert([spec("old")])
    with open_store(f"sqlite:///{tmp_path}/new.db") as store:
        store.specs.insert([spec("new")])
    prepare = StoreDatabase._prepare

    def replace_and_prepare(
        database: StoreDatabase, connection: sqlite3.Connection, create: bool
    ) -> None:
        prepare(database, connection, create)
        if (tmp_path / "new.db").exists():
            os.replace(tmp_path / "new.db", path)

    monkeypatch.setattr(StoreDatabase, "_prepare", replace_and_prepare)
    with open_store(url) as store:
        assert ids(store.specs.find(None)) == ["new"]
        store.specs.insert([spec("newer")])
    with open_store(url) as store:
        assert ids(store.specs.find(None)) == ["new", "newer"]
