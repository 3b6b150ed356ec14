"""A RabbitMQ that is killed and started again, which takes it some seconds."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests import brokers
from tests.broker.test_remote import kill_server

# Seconds. RabbitMQ 3.10 that is killed in the first moments of a quorum queue finds no leader for
# it any more.
AGE = 5.0


def test_a_server_that_was_killed_and_came_back(caplog: pytest.LogCaptureFixture) -> None:
    with closing(brokers.another("rabbitmq")) as server:
        kill_server(server, caplog, AGE)
