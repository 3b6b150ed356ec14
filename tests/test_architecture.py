"""contrib/docs/architecture.md says what is so: paths, rows of the layer contract, line counts."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "greenflow"
PAGE = (ROOT / "contrib" / "docs" / "architecture.md").read_text()

# How far a count may be off, as a part of it: a fix of three lines should not touch the page.
TOLERANCE = 0.2


def place(name: str) -> Path | None:
    """The file or folder of a path on the page: in greenflow/, or from the project's folder. A
    module is written without `.py`, for it may become a folder."""
    for start in (PACKAGE, ROOT):
        if (start / name).exists():
            return start / name
        if (start / f"{name}.py").is_file():
            return start / f"{name}.py"
    return None


def paths(page: str) -> list[str]:
    """What is written as a path: with a slash, or with the ending of a file."""
    words = re.findall(r"`([\w./-]+)`", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S))
    return [word for word in words if "/" in word or re.search(r"\.(py|cfg|md)$", word)]


@pytest.mark.parametrize("path", sorted(set(paths(PAGE)) - {"examples/KIND.flow.yaml"}))
def test_a_path_is_there(path: str) -> None:
    found = place(path)
    assert found is not None
    assert found.is_dir() or not path.endswith("/")


def test_rooms_stand_in_the_rows_of_the_contract() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = settings["importlinter:contract:layers"]["layers"].strip().split("\n")
    contract = [sorted(re.findall(r"greenflow\.(\w+)", line)) for line in lines]
    rows: dict[int, list[str]] = {}
    for number, room in re.findall(r"(?m)^\| (\d+) \| `(\w+)/?` \|", PAGE):
        rows.setdefault(int(number), []).append(room)
    assert [sorted(rows[number]) for number in sorted(rows, reverse=True)] == contract
    assert sorted(rows) == list(range(1, len(contract) + 1))


def test_a_room_is_written_as_what_it_is() -> None:
    for room in re.findall(r"(?m)^\| \d+ \| `(\w+/?)` \|", PAGE):
        assert (PACKAGE / room).is_dir() == room.endswith("/"), room


@pytest.mark.parametrize(("path", "count"), re.findall(r"`([\w/]+)` \((\d+) lines\)", PAGE))
def test_a_count_of_lines_is_about_right(path: str, count: str) -> None:
    file = place(path)
    assert file is not None
    lines = len(file.read_text().splitlines())
    assert abs(lines - int(count)) <= TOLERANCE * lines, lines


def test_the_kind_on_the_page_has_as_many_lines_as_it_says() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    (count,) = re.findall(r"a module in `nodes/`: (\d+) lines", PAGE)
    assert len(block.splitlines()) == int(count)


def test_every_group_of_entry_points_is_on_the_page() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    groups = set(settings["options.entry_points"]) - {"console_scripts", "pytest11"}
    assert groups == set(re.findall(r"`setup\.cfg`, `(greenflow\.\w+)`", PAGE))


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("net/", True),
        ("net/server", True),
        ("setup.cfg", True),
        ("tests/net/", True),
        ("net/lost", False),
        ("lost/", False),
    ],
)
def test_the_checker_itself(name: str, is_there: bool) -> None:
    assert (place(name) is not None) == is_there
    assert paths(f"see `{name}` and `text`") == [name]
