"""`python` nodes: what they take, each isolation at its work, 10,000 calls that raise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from contrib.bench.tools import (
    HERE,
    ab,
    descriptors,
    free_port,
    on_core,
    resident_kib,
    run,
    wait_for_port,
)

RAISING = 10_000

WORKFLOW = """
- {{kind: listener, name: http, protocol: http, port: {port}, links: {{out: {{name: f}}}}}}
- {{kind: python, name: f, call: "contrib.bench.python_functions:fail"}}
"""


def raising(folder: Path) -> dict[str, Any]:
    """Requests to a function that raises: lines in the log, and what is left behind."""
    port, log = free_port(), folder / "log"
    file = folder / "raising.yaml"
    file.write_text(WORKFLOW.format(port=port))
    command = on_core(0, sys.executable, "-m", "greenflow", "run", str(file))
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    with log.open("wb") as stderr:
        process: subprocess.Popen[bytes] = subprocess.Popen(command, stderr=stderr, env=environment)
    try:
        wait_for_port(port, process)
        ab(port, RAISING // 5, 16, "/")
        memory, files = resident_kib(process.pid), descriptors(process.pid)
        lines = log.read_text().count("\n")
        answers = ab(port, RAISING, 16, "/")
        return {
            "requests_per_second": answers["requests_per_second"],
            "log_lines_each": (log.read_text().count("\n") - lines) / RAISING,
            "rss_growth_mib": (resident_kib(process.pid) - memory) / 1024,
            "descriptors_growth": descriptors(process.pid) - files,
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def measure(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(run(sys.executable, "-m", "contrib.bench.python_runtime"))
    return {**results, f"{RAISING}_calls_that_raise": raising(folder)}
