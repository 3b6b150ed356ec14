"""The entry points of installed packages: read once, and again when something is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenflow.plugins import offered


def install(folder: Path, package: str, *names: str) -> None:
    """What pip leaves of a package that offers a kind for each name."""
    there = folder / f"{package}-1.0.dist-info"
    there.mkdir()
    (there / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    kinds = "".join(f"{name} = {package}:Kind\n" for name in names)
    (there / "entry_points.txt").write_text(f"[greenflow.nodes]\n{kinds}")


def test_they_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    here = offered("greenflow.nodes")
    assert "snippet" in here.names
    monkeypatch.setattr("importlib.metadata.distributions", lambda: pytest.fail("read again"))
    assert offered("greenflow.nodes") is here
    assert "sqlite" in offered("greenflow.stores").names
    assert not offered("greenflow.nothing")


def test_what_is_installed_later_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "throttle" not in offered("greenflow.nodes").names
    install(tmp_path, "throttling", "throttle")
    os.utime(tmp_path, ns=(0, 1))  # in one tick of the clock of the file system
    assert "throttle" in offered("greenflow.nodes").names


def test_a_command_reads_them_once_and_patches_with_the_plugins_of_gevent(tmp_path: Path) -> None:
    there = tmp_path / "told-1.0.dist-info"
    there.mkdir()
    (there / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1.0\n")
    (there / "entry_points.txt").write_text(
        "[gevent.plugins.monkey.did_patch_all]\na = told:told\n"
    )
    (tmp_path / "told.py").write_text("def told(event): print('patched')\n")
    script = """
import importlib.metadata as metadata, sys
looks, distributions = [], metadata.distributions
metadata.distributions = lambda **by: looks.append(by) or distributions(**by)
before = metadata.entry_points
from greenflow.__main__ import main
sys.argv[1:] = ["eval", "-l", "text", "1"]
assert main() == 0
assert metadata.entry_points is before
print(len(looks))
"""
    # What is compiled is a change of its folder, too.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["patched", '"1"', "1"]
