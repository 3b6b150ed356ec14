"""How much a command tells of what it did to many, and what its help ends with."""

from __future__ import annotations

import pytest

from greenflow.cli import COMMANDS
from tests.cli.conftest import Command


def specs(count: int) -> str:
    return "".join(f"- {{kind: nop, name: n{number}}}\n" for number in range(count))


def test_many_are_summed_up(greenflow: Command) -> None:
    applied = greenflow("apply", "-f", "-", stdin=specs(40))
    assert len(applied.rows) == 40
    applied = greenflow("apply", "-f", "-", stdin=specs(51))
    assert (applied.code, applied.err) == (0, "")
    assert applied.out == "40 unchanged, 11 created (--verbose lists them)\n"
    deleted = greenflow("delete", "-f", "-", stdin=specs(51))
    assert deleted.out == "51 deleted (--verbose lists them)\n"


@pytest.mark.parametrize("command", ["apply", "delete"])
def test_verbose_and_data_have_all(greenflow: Command, command: str) -> None:
    greenflow("apply", "-f", "-", stdin=specs(51))
    assert len(greenflow(command, "-v", "-f", "-", stdin=specs(51)).rows) == 51
    greenflow("apply", "-f", "-", stdin=specs(51))
    assert len(greenflow(command, "-f", "-", "-o", "json", stdin=specs(51)).data) == 51


@pytest.mark.parametrize("command", ["apply", "delete"])
def test_quiet_has_nothing_but_errors(greenflow: Command, command: str) -> None:
    greenflow("apply", "-f", "-", stdin=specs(2))
    done = greenflow(command, "--quiet", "-f", "-", stdin=specs(2))
    assert (done.code, done.out, done.err) == (0, "", "")
    failed = greenflow(command, "-q", "-f", "-", stdin="{kind: nop")
    assert (failed.code, failed.out) == (3, "")
    assert failed.err != ""
    both = greenflow(command, "-q", "-v", "-f", "-", stdin=specs(2))
    assert (both.code, both.out) == (2, "")
    assert "not both" in both.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_exit_codes(greenflow: Command, command: str) -> None:
    text = " ".join(greenflow(command, "--help").out.split())
    _, found, codes = text.rpartition(" Exit codes: ")
    assert found
    assert codes.startswith("0 ")
    assert ("; 5 stored" in codes) == (command == "apply")
