"""watch (BEHAVIOUR 14.watch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.flows import Flow, flow
from tests.waiting import until

WATCH = """
- {kind: watch, name: w, path: PATH, patterns: "*.csv", links: {out: {name: a}}}
- {kind: probe, name: a}
"""


def events(running: Flow) -> list[tuple[str, str]]:
    return [(p["event"], Path(p["path"]).name) for p in running.probes.of("a")]


def test_a_process_is_started_for_each_change_below_a_folder(tmp_path: Path) -> None:
    with flow(WATCH.replace("PATH", str(tmp_path))) as running:
        (tmp_path / "ignored.txt").write_text("x")
        (tmp_path / "a.csv").write_text("1")
        until(lambda: ("created", "a.csv") in events(running))
        (tmp_path / "a.csv").unlink()
        until(lambda: ("deleted", "a.csv") in events(running))
        assert not [name for _, name in events(running) if name == "ignored.txt"]
        until(lambda: not running.runtime.services.processes)


def test_a_changed_watch_follows_its_new_path(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with flow(WATCH.replace("PATH", str(first))) as running:
        (record,) = running.runtime.operations.update({"name": "w", "path": str(second)})
        running.followed(record.revision)
        (first / "old.csv").write_text("1")
        (second / "new.csv").write_text("1")
        until(lambda: ("created", "new.csv") in events(running))
        assert ("created", "old.csv") not in events(running)


def test_a_file_is_followed_by_itself_and_told_of_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1")
    with flow(WATCH.replace("PATH", str(path))) as running:
        (tmp_path / "b.csv").write_text("1")
        path.write_text("22")
        until(lambda: bool(events(running)))
        path.unlink()
        until(lambda: len(events(running)) == 2)
        assert events(running) == [("changed", "a.csv"), ("deleted", "a.csv")]


def test_changes_wait_while_it_is_paused(tmp_path: Path) -> None:
    with flow(WATCH.replace("PATH", str(tmp_path))) as running:
        node: Any = running.runtime.table.find("w").version.node
        (tmp_path / "a.csv").write_text("1")
        until(lambda: len(events(running)) == 1)
        node.pause()
        (tmp_path / "b.csv").write_text("1")
        (tmp_path / "a.csv").unlink()
        until(lambda: node._turns._free < 1_000)  # it has noticed, and holds
        assert len(events(running)) == 1
        node.resume()
        until(lambda: {("created", "b.csv"), ("deleted", "a.csv")} <= set(events(running)))


def test_a_paused_one_can_be_stopped(tmp_path: Path) -> None:
    with flow(WATCH.replace("PATH", str(tmp_path))) as running:
        node: Any = running.runtime.table.find("w").version.node
        node.pause()
        (tmp_path / "a.csv").write_text("1")
        until(lambda: node._turns._free < 1_000)
    assert events(running) == []
