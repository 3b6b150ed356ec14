"""`greenflow doctor`: what it finds on machines and with settings that have something wrong."""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import sys
import zoneinfo
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from greenflow.cli import doctor
from greenflow.cli.doctor import Finding
from greenflow.config import Settings, ValuesSettings
from tests.cli.conftest import Command


def found(check: Any, settings: Settings | None = None) -> list[tuple[str, str]]:
    return [(each.check, each.state) for each in check(settings or Settings())]


def test_it_says_of_each_thing_how_it_is_and_changes_nothing(
    greenflow: Command, tmp_path: Path
) -> None:
    result = greenflow("doctor", "--output", "json")
    assert (result.code, result.err) == (0, "")
    states = {each["check"]: each["state"] for each in result.data}
    assert states["JavaScript"] in ("ok", "note")
    assert (states["store"], states["broker"], states["permissions"]) == ("note", "ok", "ok")
    assert "wrong" not in states.values()
    assert list(tmp_path.iterdir()) == []
    greenflow("apply", "-", stdin="{kind: nop, name: a}")
    rows = greenflow("doctor").rows
    assert ["store", "ok", "sqlite:///greenflow.db: 1 specs in default"] in rows


def test_what_is_wrong_is_said_without_secrets_and_the_exit_code_is_1(greenflow: Command) -> None:
    result = greenflow(
        "doctor",
        "--database",
        "mongodb://me:hunter22@127.0.0.1:1/x?serverSelectionTimeoutMS=50",
        "--broker-url",
        "redis://:hunter22@127.0.0.1:1/0",
    )
    assert result.code == 1
    states = {row[0]: row[1] for row in result.rows}
    assert (states["store"], states["broker"]) == ("wrong", "wrong")
    assert "hunter22" not in result.out + result.err
    assert greenflow("doctor", "--broker-url", "nothing://").code == 1
    result = greenflow("doctor", "--database", "sqlite:////nowhere/x.db")
    assert result.code == 1
    assert "/nowhere is no folder in which this user may make it" in result.out


def test_files_with_secrets_that_others_can_read(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "greenflow.toml").write_text('[broker]\nurl = "memory://"\n')
    (tmp_path / "greenflow.toml").chmod(0o644)
    (tmp_path / "variables").write_text("A=1\n")
    (tmp_path / "variables").chmod(0o604)
    greenflow("apply", "-", stdin="{kind: nop, name: a}")
    (tmp_path / "greenflow.db").chmod(0o644)
    result = greenflow("doctor", "-o", "json", GREENFLOW_ENVIRONMENT_FILES="variables")
    assert result.code == 0
    says = [each["says"] for each in result.data if each["check"] == "permissions"]
    assert says[0].startswith("variables: every user")
    assert says[0].endswith("`chmod o-rwx variables`")
    assert [each.split(":")[0] for each in says] == ["variables", str(tmp_path / "greenflow.db")]


@pytest.mark.parametrize(
    ("hard", "state"), [(1024, "note"), (65536, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_few_open_files_are_a_note(hard: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))
    assert found(doctor.files) == [("open files", state)]


def test_inotify_that_has_no_instance_or_few_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(doctor.inotify)[0][1] != "wrong"
    monkeypatch.setattr(doctor, "_limit_of", lambda what: 100)
    assert found(doctor.inotify) == [("inotify", "note")]
    monkeypatch.setattr(doctor, "_limit_of", lambda what: None)
    assert found(doctor.inotify) == [("inotify", "ok")]
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Refusing())
    assert found(doctor.inotify) == [("inotify", "wrong")]


class Refusing:
    """A C library on a machine that has nothing left, and no time."""

    def inotify_init1(self, _: int) -> int:
        return -1

    def adjtimex(self, _: object) -> int:
        return 5


def test_a_clock_that_is_not_synchronized_and_missing_zones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(ctypes, "CDLL", lambda *_: Refusing())
    monkeypatch.setattr(zoneinfo, "ZoneInfo", none)
    assert found(doctor.clock) == [("time zones", "note"), ("clock", "note")]


def test_an_extra_that_is_missing_is_a_note_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def some(name: str) -> ModuleType:
        if name in ("redis", "amqp"):
            raise ImportError(name=name)
        return sys

    monkeypatch.setattr(importlib, "import_module", some)
    assert list(doctor.extras(Settings())) == [
        Finding(
            "extra broker",
            "note",
            "amqp, redis not there; if it is needed: pip install 'greenflow[broker]'",
        )
    ]


def test_a_key_that_is_none_is_wrong() -> None:
    settings = Settings(values=ValuesSettings(key=["short"]))
    assert ("values.key", "wrong") in found(doctor.secrets, settings)


def test_the_folder_of_a_store_that_is_not_there_must_be_writable(tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    tmp_path.chmod(0o500)
    settings = Settings(database=f"sqlite:///{tmp_path}/x.db")
    assert found(doctor.store, settings) == [("store", "wrong")]
    tmp_path.chmod(0o700)


def test_a_machine_that_has_no_sandbox_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from greenflow.lang.javascript.pool import JavaScriptPool

    monkeypatch.setattr(JavaScriptPool, "sandbox", lambda _: "limits; not possible here: x (y)")
    assert list(doctor.javascript(Settings())) == [
        Finding("JavaScript", "note", "it runs with limits; not possible here: x (y)")
    ]
