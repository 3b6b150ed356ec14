"""Every command of contrib/docs, run as it stands; its output must be what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "contrib" / "docs"


def examples() -> Iterator[tuple[str, str]]:
    """Each command with its output."""
    for page in sorted(DOCS.glob("*.md")):
        for block in re.findall(
            r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
        ):
            for example in block.split("$ ")[1:]:
                command, _, output = example.partition("\n")
                yield command, output


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    for page in DOCS.glob("*.md"):
        assert set(re.findall(r"^```(\w+)", page.read_text(), re.MULTILINE)) <= {"console"}


@pytest.mark.parametrize(("command", "output"), list(examples()))
def test_a_command_says_what_the_page_says(command: str, output: str, tmp_path: Path) -> None:
    ours = shlex.join([sys.executable, "-m", "greenflow"])
    done = subprocess.run(
        ["bash", "-uc", re.sub(r"\bgreenflow\b", ours, command, count=1)],
        cwd=tmp_path,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.stdout == output
