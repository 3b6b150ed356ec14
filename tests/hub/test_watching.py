"""Following files, with real files, folders and links."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from greenflow.hub import watching as files
from greenflow.hub.watching import FileChange, Watcher, follow

#: Seconds a change may take to be reported; it takes about 0.1.
DEADLINE = 60.0


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.fixture(autouse=True)
def no_thread_left(tmp_path: Path) -> Iterator[None]:
    before = native_threads()
    yield
    with gevent.Timeout(DEADLINE):
        while native_threads() > before:
            gevent.sleep(0.001)


def changes_until(watcher: Watcher, *wanted: tuple[str, Path]) -> set[FileChange]:
    """What is reported until all that is wanted has been; fails when it is not in time."""
    missing = {FileChange(event, str(path)) for event, path in wanted}
    seen: set[FileChange] = set()
    with gevent.Timeout(DEADLINE, AssertionError(f"not reported: {missing}, but {seen}")):
        while not missing <= seen:
            seen |= watcher.next() or set()
    return seen


def test_created_changed_and_deleted_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    with follow([str(file)]) as watcher:
        file.write_text("one")
        assert changes_until(watcher, ("created", file)) == {("created", str(file))}
        file.write_text("two!")
        assert changes_until(watcher, ("changed", file)) == {("changed", str(file))}
        file.unlink()
        assert changes_until(watcher, ("deleted", file)) == {("deleted", str(file))}


def test_a_file_saved_by_renaming_another_over_it_was_changed(tmp_path: Path) -> None:
    file, other = tmp_path / "shop.yaml", tmp_path / ".shop.yaml.swp"
    file.write_text("one")
    with follow([str(file)]) as watcher:
        for text in ("two", "six"):
            other.write_text(text)
            other.rename(file)
            assert changes_until(watcher, ("changed", file)) == {("changed", str(file))}


def test_a_file_deleted_and_created_again_is_still_followed(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("one")
    with follow([str(file)]) as watcher:
        file.unlink()
        changes_until(watcher, ("deleted", file))
        file.write_text("two")
        changes_until(watcher, ("created", file))
        file.write_text("three")
        changes_until(watcher, ("changed", file))


def test_the_folder_of_a_file_may_come_later_go_and_come_back(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "shop.yaml"
    with follow([str(file)]) as watcher:
        for _ in range(3):
            file.parent.mkdir(parents=True)
            file.write_text("one")
            changes_until(watcher, ("created", file))
            shutil.rmtree(tmp_path / "a")
            changes_until(watcher, ("deleted", file))


def test_a_followed_folder_may_be_moved_away_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "one").write_text("1")
    with follow([str(folder)]) as watcher:
        folder.rename(tmp_path / "old")
        changes_until(watcher, ("deleted", folder / "one"))
        folder.mkdir()
        (folder / "two").write_text("2")
        changes_until(watcher, ("created", folder / "two"))
        (folder / "two").write_text("22")
        changes_until(watcher, ("changed", folder / "two"))


def test_a_config_map_is_swapped_by_its_link(tmp_path: Path) -> None:
    """Kubernetes: shop.yaml -> ..data/shop.yaml, ..data -> ..2024_1, and ..data is renamed over."""
    for version in ("..2024_1", "..2024_2", "..2024_3"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "shop.yaml").write_text(version)
    data, file = tmp_path / "..data", tmp_path / "shop.yaml"
    data.symlink_to("..2024_1")
    file.symlink_to("..data/shop.yaml")
    for target in (file, tmp_path):
        with follow([str(target)]) as watcher:
            for version in ("..2024_2", "..2024_3", "..2024_1"):
                (tmp_path / "..data_tmp").symlink_to(version)
                (tmp_path / "..data_tmp").rename(data)
                assert changes_until(watcher, ("changed", file)) == {("changed", str(file))}


def test_a_link_leads_to_a_file_elsewhere(tmp_path: Path) -> None:
    real, link = tmp_path / "far" / "real", tmp_path / "near" / "link"
    real.parent.mkdir()
    link.parent.mkdir()
    real.write_text("one")
    link.symlink_to("../far/real")
    with follow([str(link)]) as watcher:
        real.write_text("two!")
        changes_until(watcher, ("changed", link))
        real.unlink()
        changes_until(watcher, ("deleted", link))
        real.write_text("three")
        changes_until(watcher, ("created", link))


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    one, two, folder = tmp_path / "one", tmp_path / "two", tmp_path / "folder"
    one.symlink_to("two")
    two.symlink_to("one")
    folder.mkdir()
    (folder / "self").symlink_to(".")
    with follow([str(one), str(folder)]) as watcher:
        (folder / "file").write_text("1")
        assert changes_until(watcher, ("created", folder / "file")) == {
            ("created", str(folder / "file"))
        }
        one.unlink()
        one.write_text("no link any more")
        changes_until(watcher, ("created", one))


def test_all_files_below_a_folder_are_followed_hidden_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with follow([str(tmp_path)]) as watcher:
        (tmp_path / ".git").mkdir()
        (tmp_path / ".git" / "index").write_text("1")
        (tmp_path / "deep" / ".hidden").write_text("1")
        (tmp_path / "new" / "deeper").mkdir(parents=True)
        (tmp_path / "new" / "deeper" / "file").write_text("1")
        (tmp_path / "deep" / "file").write_text("1")
        seen = changes_until(
            watcher,
            ("created", tmp_path / "new" / "deeper" / "file"),
            ("created", tmp_path / "deep" / "file"),
        )
        assert len(seen) == 2
        (tmp_path / "new" / "deeper" / "file").write_text("22")
        changes_until(watcher, ("changed", tmp_path / "new" / "deeper" / "file"))
        shutil.rmtree(tmp_path / "new")
        changes_until(watcher, ("deleted", tmp_path / "new" / "deeper" / "file"))


def test_a_path_is_reported_as_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("specs").mkdir()
    with follow(["specs", "./one.yaml"]) as watcher:
        monkeypatch.chdir("/")
        (tmp_path / "specs" / "a.yaml").write_text("1")
        (tmp_path / "one.yaml").write_text("1")
        seen: set[FileChange] = set()
        with gevent.Timeout(DEADLINE):
            while len(seen) < 2:
                seen |= watcher.next() or set()
    assert seen == {("created", "specs/a.yaml"), ("created", "./one.yaml")}


def test_what_happens_between_two_calls_is_not_lost(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    with follow([str(file)]) as watcher:
        file.write_text("one")
        changes_until(watcher, ("created", file))
        file.write_text("two!")
        gevent.sleep(0)
        changes_until(watcher, ("changed", file))


def test_a_burst_is_one_change(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    with follow([str(file)]) as watcher:
        for number in range(100):
            file.write_text("x" * number)
        assert changes_until(watcher, ("created", file)) == {("created", str(file))}
        assert watcher.next(0.2) is None


def test_a_file_that_came_and_went_is_no_change(tmp_path: Path) -> None:
    batches = [
        [{FileChange("created", "a")}, {FileChange("deleted", "a")}],
        [{FileChange("created", "b")}, {FileChange("changed", "b")}],
        [{FileChange("deleted", "c")}, {FileChange("created", "c")}],
        [{FileChange("changed", "d")}, {FileChange("deleted", "d")}],
    ]
    expected: list[set[tuple[str, str]]] = [
        set(),
        {("created", "b")},
        {("changed", "c")},
        {("deleted", "d")},
    ]
    assert [files._joined(deque(batch)) for batch in batches] == expected


def test_without_a_change_the_wait_ends_with_none(tmp_path: Path) -> None:
    with follow([str(tmp_path)]) as watcher:
        assert watcher.next(0) is None
        assert watcher.next(0.01) is None


def test_waiting_lets_other_greenlets_run(tmp_path: Path) -> None:
    with follow([str(tmp_path)]) as watcher:
        waiting = gevent.spawn(watcher.next)
        turns = 0
        while turns < 1000 and not waiting.ready():
            gevent.sleep(0)
            turns += 1
        (tmp_path / "file").write_text("1")
        assert waiting.get(timeout=DEADLINE) == {("created", str(tmp_path / "file"))}
        assert turns == 1000


def test_close_wakes_the_waiting_greenlet_and_may_be_called_again(tmp_path: Path) -> None:
    watcher = follow([str(tmp_path)])
    waiting = gevent.spawn(watcher.next)
    gevent.sleep(0)
    watcher.close()
    watcher.close()
    assert waiting.get(timeout=DEADLINE) is None
    assert watcher.next() is None


def test_a_killed_wait_loses_no_change(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with follow([str(file)]) as watcher:
        for number in range(5):
            waiting = gevent.spawn(watcher.next)
            gevent.sleep(0)
            waiting.kill()
            file.write_text("x" * number)
            changes_until(watcher, ("created" if number == 0 else "changed", file))


def test_many_watchers_work_and_starve_nothing(tmp_path: Path) -> None:
    """More than the hub's own thread pool has threads (10)."""
    watchers = [follow([str(tmp_path / str(number))]) for number in range(24)]
    waiting = [gevent.spawn(watcher.next) for watcher in watchers]
    with gevent.Timeout(DEADLINE):
        assert gevent.get_hub().threadpool.apply(sum, ([1, 2],)) == 3
    for number in range(24):
        (tmp_path / str(number)).write_text("1")
    gevent.joinall(waiting, timeout=DEADLINE)
    for number, greenlet in enumerate(waiting):
        assert greenlet.value == {("created", str(tmp_path / str(number)))}
    for watcher in watchers:
        watcher.close()
    gevent.get_hub().threadpool.kill()


@pytest.fixture
def without_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    import watchfiles._rust_notify

    def refuse(*arguments: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(watchfiles._rust_notify, "RustNotify", refuse)


@pytest.mark.usefixtures("without_notifications")
def test_where_the_system_refuses_to_notify_files_are_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    with follow([str(file)]) as watcher:
        file.write_text("1")
        changes_until(watcher, ("created", file))
        assert watcher.next(0.01) is None
    assert "Too many open files" in caplog.text


def test_what_the_system_does_not_tell_is_found_by_comparing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is notified when a folder two levels above is moved."""
    monkeypatch.setattr(files, "COMPARE_SECONDS", 0.1)
    file = tmp_path / "a" / "b" / "file"
    file.parent.mkdir(parents=True)
    file.write_text("1")
    with follow([str(file)]) as watcher:
        (tmp_path / "a").rename(tmp_path / "c")
        changes_until(watcher, ("deleted", file))
        file.parent.mkdir(parents=True)
        file.write_text("2")
        changes_until(watcher, ("created", file))


def test_a_file_among_many_in_a_busy_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with follow([str(file)]) as watcher:
        busy = gevent.spawn(_keep_busy, lambda n: (tmp_path / f"other{n % 10}").write_text("1"))
        file.write_text("1")
        assert changes_until(watcher, ("created", file)) == {("created", str(file))}
        busy.kill()


def _keep_busy(do: Callable[[int], object]) -> None:
    number = 0
    while True:
        do(number)
        number += 1
        gevent.sleep(0.001)
