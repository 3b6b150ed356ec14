"""Every kind: happy path, error with and without an `error` link, null, a wrong type, an exit in
the middle. The table is in tests/nodes/matrix."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenflow.scheme.registry import Scheme
from tests.nodes.matrix import SITUATIONS, Missing, cells, rows, run

TABLE = rows()


def test_every_registered_kind_is_in_the_table() -> None:
    scheme = Scheme.installed()
    there = {scheme.node_type(name.partition(" ")[0]) for name in TABLE}
    assert [kind for kind in scheme.kinds() if scheme.node_type(kind) not in there] == []


def test_what_is_not_tried_has_its_reason() -> None:
    for row in TABLE.values():
        for situation in SITUATIONS:
            cell = row.cell(situation)
            assert not isinstance(cell, Missing) or len(cell.reason.split()) > 2


@pytest.mark.parametrize(("name", "situation"), list(cells()))
def test_a_kind_in_a_situation(
    name: str, situation: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(TABLE[name], situation, tmp_path, caplog)
