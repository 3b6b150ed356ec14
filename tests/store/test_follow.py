"""The feeds of an SQLite store, as far as no other test of feeds has them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
import pytest

from greenflow.errors import StoreUnavailable
from greenflow.store import Batch, Store, open_store, tables
from greenflow.store import follow as follower
from greenflow.store.database import APPLICATION, Database, Lane
from greenflow.store.sqlite import SqliteStore
from tests.store.tools import DEADLINE, documents, follow, ids, next_batch, python, run, spec


def test_a_write_through_the_same_store_does_not_wait_for_the_next_look(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "INTERVAL", 100 * DEADLINE)
    with open_store(url) as store, store.specs.feed(None) as feed:
        for at in range(3):
            store.specs.insert([spec(f"id {at}")])
            assert next_batch(feed).ids == {f"id {at}"}
        store.specs.delete(None)
        assert next_batch(feed).ids == {"id 0", "id 1", "id 2"}
