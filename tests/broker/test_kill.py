"""kill -9 of a runtime while messages flow: each is processed, and few of them twice. tests/soak
has the same with more of both."""

from __future__ import annotations

from pathlib import Path

from tests import brokers
from tests.broker.killing import check, kill_runtimes
from tests.broker.test_remote import both

KILLS, MESSAGES = 2, 200
VISIBILITY = 1.0  # seconds


@both
def test_every_message_is_processed_and_few_of_them_twice(
    kind: str, tmp_path: Path, templates: None
) -> None:
    outcome = kill_runtimes(brokers.server(kind), tmp_path, KILLS, MESSAGES, VISIBILITY)
    check(outcome, KILLS)
