"""`greenflow schema`, and `apply` on the specs that the schema refuses."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.scheme.test_schema import BROKEN, SCHEMA


def test_apply_refuses_each_of_the_200(greenflow: Command, tmp_path: Path) -> None:
    lines = [json.dumps(case["spec"]) for case in BROKEN]
    (tmp_path / "broken.yaml").write_text("".join(f"- {line}\n" for line in lines))
    result = greenflow("apply", "-f", "broken.yaml")
    assert (len(BROKEN), len(set(lines)), result.code) == (200, 200, 3)
    told = {int(line.split(":")[1]) for line in result.err.splitlines()}
    assert told == set(range(1, 201))


def test_the_command_writes_it(greenflow: Command) -> None:
    assert greenflow("schema").data == SCHEMA
    assert greenflow("schema", "-o", "yaml").out.startswith("$schema: ")
