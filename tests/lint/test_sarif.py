"""SARIF against its schema: all of it where that is at hand, and else what a log of ours needs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from greenflow.lint.linting import lint
from greenflow.lint.sarif import as_sarif
from greenflow.scheme.registry import Scheme
from tests.lint.test_cases import CASES
from tests.lint.test_lint import settings

# The path of sarif-schema-2.1.0.json as OASIS publishes it, which no package of Python has.
SCHEMA = "GREENFLOW_TEST_SARIF_SCHEMA"

_TEXT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_AT_LEAST_1 = {"type": "integer", "minimum": 1}


def closed(**properties: Any) -> dict[str, Any]:
    """An object that has these properties, all of them, and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def items(of: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": least}


# What SARIF 2.1.0 says of the objects that are in a log of ours (3.13, 3.14, 3.19, 3.27, 3.49).
OURS = closed(
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs=items(
        closed(
            tool=closed(
                driver=closed(
                    name={"type": "string", "minLength": 1},
                    version={"type": "string"},
                    rules=items(
                        closed(
                            id={"type": "string", "pattern": "^GF[0-9]{3}$"},
                            name={"type": "string", "minLength": 1},
                            shortDescription=_TEXT,
                            fullDescription=_TEXT,
                            defaultConfiguration=closed(level=_LEVEL),
                        ),
                        1,
                    ),
                )
            ),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results=items(
                closed(
                    ruleId={"type": "string"},
                    ruleIndex={"type": "integer", "minimum": 0},
                    level=_LEVEL,
                    message=_TEXT,
                    locations=items(
                        closed(
                            physicalLocation=closed(
                                artifactLocation=closed(uri={"type": "string", "minLength": 1}),
                                region=closed(startLine=_AT_LEAST_1, startColumn=_AT_LEAST_1),
                            )
                        ),
                        1,
                    ),
                    partialFingerprints={
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": {"type": "string"},
                    },
                )
            ),
        ),
        1,
    ),
)


def logs(tmp_path: Path) -> Iterator[Any]:
    """The log of each broken file, of all together, of nothing, and of places that are odd."""
    for number, (text, _) in enumerate(CASES.values()):
        folder = tmp_path / f"{number} ä %"
        folder.mkdir()
        (folder / "specs.yaml").write_text(text)
    (tmp_path / "fine.yaml").write_text("- {kind: nop, name: fine}\n")
    (tmp_path / "empty.yaml").write_text("")
    for path in (*sorted(tmp_path.iterdir()), tmp_path):
        report = lint([str(path)], Scheme.installed(), settings(), True).report
        yield json.loads(as_sarif(report, "1.2.3"))


def test_every_log_has_what_sarif_asks_of_it(tmp_path: Path) -> None:
    validator = jsonschema.Draft202012Validator(OURS)
    found = list(logs(tmp_path))
    assert sum(len(log["runs"][0]["results"]) for log in found) > len(CASES)
    for log in found:
        validator.validate(log)


if os.environ.get(SCHEMA):  # there is no package that has it

    def test_every_log_is_valid_by_the_published_schema(tmp_path: Path) -> None:
        schema = json.loads(Path(os.environ[SCHEMA]).read_text())
        validator = jsonschema.validators.validator_for(schema)(schema)
        for log in logs(tmp_path):
            validator.validate(log)
