"""Kinds that keep things: files and SQL."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.nodes.matrix import NO_NODE, Case, Exit, Missing, Row, Sent

TEXT = "one\ntwo\n"


def filled(cell: Callable[[Case], None]) -> Callable[[Case], None]:
    """With something in the file."""

    def run(case: Case) -> None:
        (case.folder / "file").write_text(TEXT)
        cell(case)

    return run


def content(expected: str, cell: Callable[[Case], None]) -> Callable[[Case], None]:
    """What is in the file afterwards."""

    def run(case: Case) -> None:
        cell(case)
        assert (case.folder / "file").read_text() == expected

    return run


GATED = ", links: {out: {name: gate}}}\n- {kind: probe, name: gate}"

ROWS = {
    "read": Row(
        flow="- {kind: read, name: n, filename: FOLDER/file" + GATED,
        happy=filled(Sent(3, "one")),
        error=Sent(None, error="No such file"),
        null=filled(Sent(None, TEXT)),
        wrong=filled(Sent(b"x", TEXT)),
        exits=filled(Exit(None)),
    ),
    "write": Row(
        flow="- {kind: write, name: n, filename: FOLDER/file" + GATED,
        happy=filled(content("three", Sent("three", 5))),
        error=Sent(math.nan, error="nan"),
        null=content("null\n", Sent(None, 5)),
        wrong=content('{"a":[1]}\n', Sent({"a": [1]}, 10)),
        exits=content("three", Exit("three")),
    ),
    "print": Row(
        flow="- {kind: print, name: n, filename: FOLDER/file" + GATED,
        happy=content("2 of a", Sent(["%d of %s", 2, "a"], 6)),
        error=Sent(["%d", "two"], error="%d"),
        null=content("null\n", Sent(None, 5)),
        wrong=content('{"a":1}\n', Sent({"a": 1}, 8)),
        exits=content("three", Exit("three")),
    ),
    "connection": Row(
        flow='- {kind: connection, name: n, driver: sqlite, source: ":memory:"}',
        happy=Missing(NO_NODE),
        error=Missing(NO_NODE),
        null=Missing(NO_NODE),
        wrong=Missing(NO_NODE),
        exits=Missing(NO_NODE),
    ),
    "sql": Row(
        flow='- {kind: sql, name: n, driver: sqlite, source: ":memory:"}',
        happy=Sent(["SELECT ? AS a", [1]], [{"a": 1}]),
        error=Sent("SELECT a FROM missing", error="no such table"),
        null=Sent(None, error="invalid argument"),
        wrong=Sent({"a": 1}, error="invalid argument"),
        exits=Exit("SELECT 1 AS a"),
    ),
}
