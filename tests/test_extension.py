"""The example of a package with kinds of its own: built, installed, and its tests run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXTENSION = Path(__file__).parent.parent / "contrib" / "examples" / "extension"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A copy of the project, and an environment in which it is installed. Nothing is downloaded."""
    folder = tmp_path_factory.mktemp("extension")
    project = shutil.copytree(EXTENSION, folder / "project")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *offline]
    subprocess.run([*pip, "--target", str(folder / "there"), str(project)], check=True)
    return project, {**os.environ, "PYTHONPATH": str(folder / "there")}


def test_its_own_tests_pass(installed: tuple[Path, dict[str, str]]) -> None:
    project, environment = installed
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests"], cwd=project, env=environment, capture_output=True, text=True
    )
    assert "6 passed" in done.stdout, done.stdout


def test_the_command_line_knows_its_kinds(installed: tuple[Path, dict[str, str]]) -> None:
    project, environment = installed
    command = [sys.executable, "-m", "greenflow", "kinds", "throttle"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert "packets a second" in done.stdout
    assert "rejected" in done.stdout
