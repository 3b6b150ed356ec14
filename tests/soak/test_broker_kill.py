"""kill -9 of runtimes, 10 times, while 2,000 messages flow through each of the servers."""

from __future__ import annotations

from pathlib import Path

from tests import brokers
from tests.broker.killing import check, kill_runtimes
from tests.broker.test_remote import every

KILLS, MESSAGES = 10, 2_000
VISIBILITY = 5.0  # seconds


@every
def test_every_message_is_processed_and_few_of_them_twice(
    kind: str, tmp_path: Path, templates: None
) -> None:
    outcome = kill_runtimes(brokers.server(kind), tmp_path, KILLS, MESSAGES, VISIBILITY)
    check(outcome, KILLS)
