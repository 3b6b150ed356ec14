"""`greenflow apply|get|delete values`, and specs that are rendered with them (BEHAVIOUR 16, 17)."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, Start, get, get_until

KEY, OTHER = (b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))
VALUES = "{id: one, name: db, annotations: {owner: shop}, data: {user: shop, password: hunter2}}\n"
SERVICE = """\
- kind: listener
  name: web
  protocol: http
  env: {PORT: {data: "{{ .PORT }}"}}
  port: "{{ .PORT }}"
  links: {out: [{name: says}]}
- kind: snippet
  name: says
  env: {DB: {name: db}}
  code: "{{ .DB.password }}"
"""


def stored(folder: Path) -> str:
    """All that is in the file of the store, as text."""
    with closing(sqlite3.connect(folder / "greenflow.db")) as connection:
        return str(connection.execute('SELECT document FROM "values"').fetchall())


def revision(greenflow: Command) -> str:
    return greenflow("get", "values").rows[0][3]


def test_a_value_is_applied_shown_without_its_data_and_deleted(
    greenflow: Command, tmp_path: Path
) -> None:
    (tmp_path / "values.yaml").write_text(VALUES)
    result = greenflow("apply", "values", "-f", "values.yaml")
    assert result.rows == [["created", "default", "db", "-", "one"]]
    assert greenflow("apply", "values", "-f", "values.yaml").rows[0][0] == "unchanged"
    rows = greenflow("get", "values").rows
    assert [[*row[:3], row[4]] for row in rows] == [["default", "db", "one", "no"]]
    shown = greenflow("get", "values", "-o", "json").data
    assert shown == [
        {
            "id": "one",
            "name": "db",
            "annotations": {"owner": "shop"},
            "namespace": "default",
            "data": "***",
        }
    ]
    revealed = greenflow("get", "values", "db", "-o", "json", "--reveal").data
    assert revealed == [{**shown[0], "data": {"user": "shop", "password": "hunter2"}}]
    assert greenflow("delete", "values", "-f", "values.yaml").rows[0][0] == "deleted"
    assert greenflow("get", "values").rows == []


def test_what_get_shows_cannot_take_the_place_of_data(greenflow: Command) -> None:
    greenflow("apply", "values", "-f", "-", stdin=VALUES)
    shown = greenflow("get", "values", "-o", "yaml").out
    result = greenflow("apply", "values", "-f", "-", stdin=shown)
    assert result.code == 3
    assert "$.data: '***' is what `get` shows in the place of data" in result.err
    revealed = greenflow("get", "values", "-o", "yaml", "--reveal").out
    result = greenflow("apply", "values", "-f", "-", stdin=revealed)
    assert result.rows[0][0] == "unchanged"


@pytest.mark.parametrize(
    "arguments", [["get", "--reveal", "-o", "json"], ["get", "values", "--reveal"]]
)
def test_only_data_of_values_is_revealed(greenflow: Command, arguments: list[str]) -> None:
    result = greenflow(*arguments)
    assert (result.code, result.out) == (2, "")


def test_with_a_key_data_is_encrypted_at_rest(greenflow: Command, tmp_path: Path) -> None:
    settings = {"GREENFLOW_VALUES_KEY": KEY}
    greenflow("apply", "values", "-f", "-", stdin=VALUES)
    assert "hunter2" in stored(tmp_path)
    done = greenflow("apply", "values", "-f", "-", stdin=VALUES, **settings)
    assert done.rows[0][0] == "changed"
    assert "hunter2" not in stored(tmp_path)
    assert '"owner":"shop"' in stored(tmp_path)
    assert greenflow("get", "values").rows[0][4] == "yes"
    done = greenflow("apply", "values", "-f", "-", stdin=VALUES, **settings)
    assert done.rows[0][0] == "unchanged"
    revealed = greenflow("get", "values", "-o", "json", "--reveal", **settings).data
    assert revealed[0]["data"]["password"] == "hunter2"


def test_keys_are_rotated_by_putting_a_new_one_in_front(greenflow: Command) -> None:
    greenflow("apply", "values", "-f", "-", stdin=VALUES, GREENFLOW_VALUES_KEY=KEY)
    both = {"GREENFLOW_VALUES_KEY": f"{OTHER},{KEY}"}
    text = greenflow("get", "values", "-o", "yaml", "--reveal", **both).out
    done = greenflow("apply", "values", "-f", "-", stdin=text, **both)
    assert done.rows[0][0] == "changed"
    new = {"GREENFLOW_VALUES_KEY": OTHER}
    assert "hunter2" in greenflow("get", "values", "-o", "yaml", "--reveal", **new).out


@pytest.mark.parametrize(
    ("key", "code", "why"),
    [
        ("", 1, "the value 'db': it is encrypted, and the setting values.key is not set"),
        (OTHER, 1, "the value 'db': it is encrypted with a key that is not among those"),
        ("CANARY", 2, "values.key: the key is not 32 bytes in base64"),
        (",", 2, "GREENFLOW_VALUES_KEY: values.key: no key is in it; leave it out to do without"),
    ],
)
def test_a_key_that_does_not_fit_is_an_error_of_one_line(
    greenflow: Command, key: str, code: int, why: str
) -> None:
    greenflow("apply", "values", "-f", "-", stdin=VALUES, GREENFLOW_VALUES_KEY=KEY)
    result = greenflow("get", "values", "--reveal", "-o", "json", GREENFLOW_VALUES_KEY=key)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(why)
    assert result.err.count("\n") == 1
    assert "CANARY" not in result.err


def test_values_of_files_are_followed_like_specs(
    greenflow: Command, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "flow.yaml").write_text(SERVICE)
    values = tmp_path / "values.yaml"
    values.write_text(VALUES)
    running = start("run", "flow.yaml", "--values", "values.yaml", "--environment", "PORT=0")
    port = running.port()
    assert get(port) == (200, "hunter2")
    values.write_text(VALUES.replace("hunter2", "hunter3"))
    get_until(port, "hunter3")
    running.line("applied the files of values: 0 created, 1 changed, 0 deleted")
    values.write_text("{name: db, data: 1, dta: 2}")
    running.line("$.dta: unknown field")
    values.write_text("{data: 1}")
    running.line("values.yaml:1:1: $: neither id nor name")
    values.write_text("[]")
    running.line("no value 'db' in namespace 'default'")
    assert get(port) == (200, "hunter3")
    values.write_text(VALUES)
    get_until(port, "hunter2")
    assert running.stop() == 0
    assert not [line for line in running.log if "hunter" in line]


def test_a_changed_value_of_a_store_reaches_a_runtime(
    greenflow: Command, start: Start, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"GREENFLOW_VALUES_KEY": KEY}
    greenflow("apply", "-f", "-", stdin=SERVICE)
    assert [row[-1] for row in greenflow("get").rows] == [
        "$.env.DB: no value 'db' in namespace 'default'",
        "links.out: node 'says' is inactive",
    ]
    (tmp_path / "greenflow.toml").write_text(f'[values]\nkey = "{KEY}"\n')
    (tmp_path / "env").write_text("PORT=0\n")
    options = ("--wait-for-sources", "--environment-files", "env", "--log-level", "debug")
    running = start("run", *options)
    running.line("says: inactive: $.env.DB: no value 'db' in namespace 'default'")
    greenflow("apply", "values", "-f", "-", stdin=VALUES, **settings)
    port = running.port()
    assert get(port) == (200, "hunter2")
    greenflow("apply", "values", "-f", "-", stdin=VALUES.replace("hunter2", "hunter3"), **settings)
    get_until(port, "hunter3")
    assert running.stop() == 0
    assert not [line for line in running.log if "hunter" in line or KEY in line]


def test_values_for_no_files_are_a_wrong_usage(greenflow: Command) -> None:
    result = greenflow("run", "--values", "values.yaml")
    assert result.code == 2
    assert "--values goes with FILEs" in result.err


def test_a_faulty_file_of_values_starts_nothing(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text("{kind: nop, name: a}")
    (tmp_path / "values.yaml").write_text("- {name: a, data: hunter2}\n- {name: a}\n- {nme: b}\n")
    result = greenflow("run", "flow.yaml", "--values", "values.yaml")
    assert (result.code, result.out) == (3, "")
    assert "values.yaml:2:4: $.name: 'a' is taken" in result.err
    assert "values.yaml:3:4: $.nme: unknown field" in result.err
    assert "hunter2" not in result.err


def test_a_key_of_the_environment_is_not_empty(greenflow: Command) -> None:
    for text in ("=x", "=", "KEY"):
        done = greenflow("test", "--environment", text)
        assert done.code == 2
        assert f"'{text}' is not KEY=VALUE" in done.err
