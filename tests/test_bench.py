"""contrib/bench: every benchmark is there, and what it imports of greenflow too. None is run."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "contrib" / "bench"
MODULES = sorted(BENCH.glob("*.py"))
# Imports, also those of programs that stand in a string.
IMPORT = re.compile(r"\bfrom (greenflow[\w.]*) import ([\w, ]+)")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "contrib.bench", *arguments],
        cwd=BENCH.parents[1],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path: Path) -> None:
    for module, names in IMPORT.findall(path.read_text()):
        for name in names.split(","):
            loaded = import_module(module)
            assert hasattr(loaded, name.strip()) or import_module(f"{module}.{name.strip()}")


def test_help_names_every_benchmark() -> None:
    asked = run("--help")
    assert (asked.returncode, asked.stderr) == (0, "")
    names = re.findall(r"^  (\w+)$", asked.stdout, re.MULTILINE)
    assert "startup" in names
    assert set(names) <= {path.stem for path in MODULES}
    measured = {
        path.stem for path in MODULES if re.search(r"^def measure\(", path.read_text(), re.M)
    }
    assert set(names) <= measured


def test_an_unknown_benchmark_is_refused() -> None:
    refused = run("speed")
    assert refused.returncode == 1
    assert refused.stderr.startswith("no benchmark 'speed'; there are startup, ")
