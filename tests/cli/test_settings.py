"""`greenflow settings`."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from greenflow.config import fields
from tests.cli.conftest import Command

KEY = base64.b64encode(b"k" * 32).decode()


def test_every_setting_is_listed_with_its_default(greenflow: Command) -> None:
    rows = greenflow("settings").rows
    assert [row[0] for row in rows] == [field.name for field in fields()]
    assert {row[2] for row in rows} == {"default"}
    assert ["grace", "30s", "default"] in rows
    assert ["values.key", "-", "default"] in rows


def test_it_says_where_each_came_from(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "greenflow.toml").write_text(
        'grace = 5\nhub_guard = 0\n[log]\nlevel = "error"\n[environment]\nA = "1"\n'
    )
    rows = greenflow(
        "settings", "--log-level", "info", GREENFLOW_GRACE="7", GREENFLOW_ENVIRONMENT_B="2"
    ).rows
    assert ["grace", "7s", "GREENFLOW_GRACE"] in rows
    assert ["hub_guard", "0s", "greenflow.toml"] in rows
    assert ["log.level", "info", "flag"] in rows
    [environment] = [row for row in rows if row[0] == "environment"]
    assert environment[2] == "greenflow.toml, GREENFLOW_ENVIRONMENT_B"


def test_the_file_that_is_named_is_said(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text('listener.host = "::1"')
    result = greenflow("settings", "listener", GREENFLOW_CONFIG="ours.toml")
    assert result.rows == [["listener.host", "::1", "ours.toml"]]
    assert greenflow("settings", "listener.host", "--config", "ours.toml").rows == result.rows


@pytest.mark.parametrize("form", ["table", "wide", "json", "yaml"])
def test_secrets_are_masked(greenflow: Command, tmp_path: Path, form: str) -> None:
    (tmp_path / "greenflow.toml").write_text(
        'database = "mongodb://flow:hunter2@db.example/shop"\n'
        '[environment]\nPIN = "hunter3"\n[languages.lua]\ntokens = ["hunter4"]\nworkers = 7'
    )
    (tmp_path / "shop.env").write_text("PASSWORD=hunter5\n")
    result = greenflow(
        "settings",
        "-o",
        form,
        GREENFLOW_VALUES_KEY=KEY,
        GREENFLOW_ENVIRONMENT_FILES="shop.env",
        GREENFLOW_BROKER_URL="redis://:hunter6@cache.example",
    )
    assert result.code == 0
    assert "hunter" not in result.out
    assert KEY not in result.out
    assert {"db.example", "cache.example", "PIN", "workers"} <= set(
        re.findall(r"[\w.]+", result.out)
    )


def test_json_has_all_of_it(greenflow: Command) -> None:
    assert greenflow("settings", "log.level", "-o", "json").data == [
        {
            "name": "log.level",
            "value": "info",
            "from": "default",
            "variable": "GREENFLOW_LOG_LEVEL",
            "default": "info",
            "description": "the least level logged",
        }
    ]


def test_what_is_no_setting_is_an_error(greenflow: Command) -> None:
    result = greenflow("settings", "listner")
    assert (result.code, result.out) == (2, "")
    assert "did you mean 'listener'?" in result.err
    assert greenflow("settings", "log", "--markdown").code == 2


def test_the_page_is_what_the_settings_declare(greenflow: Command) -> None:
    page = Path(__file__).parents[2] / "contrib" / "docs" / "settings.md"
    written = greenflow("settings", "--markdown", COLUMNS="40").out
    said = (
        "contrib/docs/settings.md is old: greenflow settings --markdown >contrib/docs/settings.md"
    )
    assert page.read_text() == written, said
    names = re.findall(r"^\| `([\w.]+)` \|", written, re.MULTILINE)
    assert sorted(names) == sorted(field.name for field in fields())
