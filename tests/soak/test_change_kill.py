"""kill -9 of a writer at 30 moments, which differ each time, on every store that outlives it."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

import pytest

from greenflow.store.mongo import pending
from tests.faults.test_change_kill import PLACES, end_transactions
from tests.faults.test_sqlite_kill import kill

KILLS = 30

# Seconds after a report at which the writer is killed, at most: a batch of 500 documents takes some
# 30 ms with SQLite, and a quarter of a second with the others.
LATEST = {"sqlite": 0.04, "mongodb": 0.3, "mongodb-standalone": 0.3}


@pytest.mark.parametrize("place", PLACES)
def test_a_change_is_there_with_its_documents_or_not_at_all(
    place: str, tmp_path: Path, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "PATIENCE", 0.1)
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    kill(PLACES[place](tmp_path), random.Random(seed), KILLS, LATEST[place], end_transactions)
