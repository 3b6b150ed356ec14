"""contrib/examples/orders, run as a user runs it, on a Redis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests import brokers, programs
from tests.test_examples import EXAMPLES, SECONDS, ask

ORDERS = EXAMPLES / "orders"
PAUSE = 0.05  # seconds between two questions


def test_orders(tmp_path: Path, templates: None) -> None:
    (tmp_path / "warehouse.py").write_text((ORDERS / "warehouse.py").read_text())
    specs = (ORDERS / "orders.yaml").read_text().replace("port: 8000", "port: 0")
    (tmp_path / "orders.yaml").write_text(specs)
    options = ["--broker-url", brokers.server("redis").url, "--namespace", brokers.namespace()]
    process = programs.Process(
        ("run", "orders.yaml", *options),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GREENFLOW_BROKER_BACKOFF": "10ms", "GREENFLOW_LOG_FORMAT": "json"},
    )
    assert process.stderr is not None
    try:
        messages = (json.loads(line)["message"] for line in process.stderr)
        said = next(message for message in messages if "listening on" in message)
        connection = HTTPConnection("127.0.0.1", int(said.rpartition(":")[2]), timeout=SECONDS)
        for sku in ("A1", "B2", "C3"):
            assert ask(connection, "POST", "/orders", f'{{"sku": "{sku}"}}')[:2] == (
                202,
                "accepted",
            )
        end = time.monotonic() + SECONDS
        while not (found := report(connection))["given up"] or len(found["reserved"]) < 2:
            assert time.monotonic() < end, found
            time.sleep(PAUSE)
        assert sorted(found["reserved"]) == ["A1", "B2"]
        assert found["given up"] == [["C3", "C3 is not to be found: LookupError", 5]]
        connection.close()
        process.send_signal(signal.SIGTERM)
        log = [json.loads(line)["message"] for line in process.stderr]
        assert process.wait(SECONDS) == 0
        assert sum("goes to the dead letters after delivery 5" in line for line in log) == 1
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def report(connection: HTTPConnection) -> Any:
    status, text, _ = ask(connection, "GET", "/orders")
    assert status == 200
    return json.loads(text)
