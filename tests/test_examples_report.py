"""contrib/examples/report: nights that pass by a clock that is moved."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from greenflow.testing import ManualClock, flow

EXAMPLE = Path(__file__).parent.parent / "contrib" / "examples" / "report"
DAY = 24 * 3600.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run the example in."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_night_adds_a_line(folder: Path) -> None:
    clock = ManualClock(start=datetime.fromisoformat("2026-03-28T20:00:00+01:00"))
    with flow("report.yaml", clock=clock) as running:
        for night in (1, 2):
            clock.wait_for_sleepers()
            clock.advance(DAY)
            running.passed("report", "out", count=night)
            running.settle()
    assert (folder / "report.txt").read_text() == (
        "2026-03-28: 2 orders, 15.50 in all\n2026-03-29: 1 orders, 7.25 in all\n"
    )
    assert not (folder / "failures.txt").exists()


def test_a_night_that_was_slept_through_is_made_up_for(folder: Path) -> None:
    clock = ManualClock(start=datetime.fromisoformat("2026-03-28T20:00:00+01:00"))
    with flow("report.yaml", clock=clock) as running:
        clock.wait_for_sleepers()
        clock.set_time(datetime.fromisoformat("2026-03-29T09:00:00+02:00"))
        running.passed("report", "out", count=1)
    assert (folder / "report.txt").read_text() == "2026-03-28: 2 orders, 15.50 in all\n"


def test_what_fails_is_written_down(folder: Path) -> None:
    clock = ManualClock()
    (folder / "orders.csv").unlink()
    with flow("report.yaml", clock=clock) as running:
        clock.wait_for_sleepers()
        clock.advance(DAY)
        running.passed("failed", "out", count=1)
    assert "cannot read 'orders.csv'" in (folder / "failures.txt").read_text()
    assert not (folder / "report.txt").exists()
