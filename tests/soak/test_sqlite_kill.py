"""kill -9 of a writer at 200 moments, which differ each time."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

from tests.faults.test_sqlite_kill import kill


def test_a_batch_is_wholly_old_or_wholly_new(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    kill(f"sqlite:///{tmp_path}/store.db", random.Random(seed), 200)
