"""`greenflow version`, which is to cost little."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.cli.conftest import Command


@pytest.mark.parametrize("word", ["version", "--version"])
def test_it_prints_the_version(greenflow: Command, word: str) -> None:
    result = greenflow(word)
    assert (result.code, result.err) == (0, "")
    assert result.out.strip().endswith(version("greenflow"))


@pytest.mark.parametrize("word", ["version", "--help"])
def test_it_pays_for_no_heavy_import(word: str) -> None:
    program = (
        "import sys; from greenflow.__main__ import main; sys.argv[1:] = sys.argv[1:2]; main();"
        "heavy = {'gevent', 'msgspec', 'rich', 'yaml', 'ruamel.yaml', 'watchfiles',"
        " 'sqlite3', 'asyncio'};"
        "print('heavy:', heavy & set(sys.modules) if sys.argv[1] == 'version' else"
        " heavy & set(sys.modules) - {'msgspec'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, word], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("heavy: set()\n")
