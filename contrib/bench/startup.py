"""What it costs to start: the import, and `greenflow version`, as whole OS processes."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter
from typing import Any

COMMANDS = {
    "python": ("-c", "pass"),
    "import_greenflow": ("-c", "import greenflow"),
    "import_runtime": ("-c", "from greenflow import Runtime"),
    "greenflow_version": ("-m", "greenflow", "version"),
}


def measure() -> dict[str, Any]:
    found = {}
    for name, arguments in COMMANDS.items():
        times = []
        for _ in range(7):
            begin = perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            times.append(perf_counter() - begin)
        found[f"{name}_s"] = sorted(times)[len(times) // 2]
    return found
