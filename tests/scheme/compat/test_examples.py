"""Workflows of both releases of uniflow, written for this test (examples.yaml): each means under
the switch what it does in its release, and the same without one when it is migrated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from greenflow import Scheme
from greenflow.scheme.compat.releases import RELEASES
from greenflow.scheme.migration import migrate
from greenflow.spec.batch import check
from greenflow.spec.document import read, read_file
from greenflow.testing.cases import read_cases
from greenflow.values.values import Bindings

EXAMPLES: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(
    Path(__file__).with_name("examples.yaml").read_text()
)


def test_there_are_forty() -> None:
    assert len({example["name"] for example in EXAMPLES}) == len(EXAMPLES) >= 40
    assert {example["release"] for example in EXAMPLES} == {*RELEASES}


@pytest.mark.parametrize("migrated", [False, True], ids=["switch", "migrated"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["name"]))
def test_it_means_what_it_did(example: dict[str, Any], migrated: bool, tmp_path: Path) -> None:
    text, release, compat = example["specs"], RELEASES[example["release"]], example["release"]
    if migrated:
        result = migrate(text, "specs.yaml", Scheme.installed(), release)
        assert [note.split(": ")[1] for note in result.notes] == example.get("notes", [])
        text, compat = result.text, "none"
    (tmp_path / "specs.yaml").write_text(text)
    scheme = Scheme.installed(compat=compat)
    entries = check(read_file(str(tmp_path / "specs.yaml")), scheme, "default", named=False)
    specs = {entry.data["name"]: entry.data for entry in entries}
    for place, wanted in example.get("means", {}).items():
        name, field = place.split(".")
        spec = scheme.decode(specs[name], "default", bindings=Bindings())
        assert msgspec.to_builtins(getattr(spec, field)) == wanted, place
    if not example["cases"]:
        return
    suite = {
        "specs": ["specs.yaml"],
        "cases": example["cases"],
        "clock": "jump",
        "environment": example.get("environment", {}),
        "values": example.get("values", {}),
    }
    file = tmp_path / "cases.flow.yaml"
    file.write_text(json.dumps(suite))
    for case in read_cases(str(file), compat=compat):
        case.run()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["name"]))
def test_a_migrated_file_is_what_the_switch_makes_of_the_old_one(example: dict[str, Any]) -> None:
    release, scheme = RELEASES[example["release"]], Scheme.installed()
    result = migrate(example["specs"], "a.yaml", scheme, release)
    switched = Scheme.installed(compat=release.name)
    before = check(read(example["specs"], "a.yaml"), switched, "default", named=True)
    after = check(read(result.text, "a.yaml"), scheme, "default", named=True)
    assert [_ours(entry.data) for entry in after] == [_ours(entry.data) for entry in before]
    again = migrate(result.text, "a.yaml", scheme, release)
    assert (again.text, again.changes, again.notes) == (result.text, [], [])
    assert [line for line in result.text.splitlines() if "#" in line] == [
        line.replace("2000", "2s") for line in example["specs"].splitlines() if "#" in line
    ]


def _ours(data: Any) -> Any:
    """With our names of kinds, which what is stored may have by others."""
    if isinstance(data, list):
        return [_ours(item) for item in data]
    if not isinstance(data, dict):
        return data
    names = {"ports": "links", "nodes": "specs", "matches": "match", "value": "data"}
    kinds = {"wait": "sleep", "for": "loop", "pipe": "call", "rdb": "sql"}
    renewed = {names.get(key, key): _ours(value) for key, value in data.items()}
    if isinstance(kind := renewed.get("kind"), str):
        renewed["kind"] = kinds.get(kind, kind)
    return renewed
