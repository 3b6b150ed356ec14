"""Settings: which one holds, and how a wrong one is reported."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from greenflow.config import Settings, fields, of_languages
from greenflow.config.loading import SettingsError, load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "greenflow.toml") -> str:
    Path(name).write_text(text)
    return name


def test_without_anything_the_defaults_hold() -> None:
    settings = load({}, {})
    assert settings == Settings()
    assert settings.database == "sqlite:///greenflow.db"
    assert settings.namespace == "default"
    assert settings.grace == 30.0
    assert settings.listener.host == "127.0.0.1"
    assert settings.syscall.namespace is None
    assert (settings.log.level, settings.log.format, settings.output) == ("info", "auto", "table")
    assert settings.environment == {}
    assert settings.http.allow == []


def test_a_flag_beats_the_environment_that_the_file_and_that_the_default() -> None:
    write('[listener]\nhost = "file"\n')
    environ = {"GREENFLOW_LISTENER_HOST": "variable"}
    assert load({}, {}).listener.host == "file"
    assert load({}, environ).listener.host == "variable"
    assert load({"listener.host": "flag"}, environ).listener.host == "flag"
    assert load({"listener.host": None}, environ).listener.host == "variable"


def test_every_setting_is_reached_from_a_flag_a_variable_and_the_file() -> None:
    samples = {
        "grace": ("1m30s", 90.0),
        "hub_guard": ("50ms", 0.05),
        "output": ("json", "json"),
        "compat": ("uniflow-2025", "uniflow-2025"),
        "process.packets": ("5000", 5000),
        "process.children": ("50", 50),
        "lint.error": ("GF012,GF013", ["GF012", "GF013"]),
        "lint.warning": ("GF012", ["GF012"]),
        "lint.info": ("GF012", ["GF012"]),
        "lint.off": ("GF012", ["GF012"]),
        "history.keep": ("10", 10),
        "history.days": ("0.5", 0.5),
        "records.memory": ("10", 10),
        "records.memory_bytes": ("1000", 1000),
        "records.sample": ("0.5", 0.5),
        "records.rate": ("5", 5),
        "records.store": ("sqlite:///runs.db", "sqlite:///runs.db"),
        "records.store_days": ("0.5", 0.5),
        "records.store_bytes": ("1000", 1000),
        "process.open": ("500", 500),
        "javascript.workers": ("3", 3),
        "javascript.timeout": ("250ms", 0.25),
        "javascript.memory_mib": ("64", 64),
        "log.level": ("debug", "debug"),
        "log.format": ("text", "text"),
        "log.access": ("-", "-"),
        "log.access_format": ("combined", "combined"),
        "tracing.to": ("program", "program"),
        "tracing.sampled": ("0.5", 0.5),
        "values.key": ("one, two", ["one", "two"]),
        "broker.prefetch": ("8", 8),
        "broker.held": ("1000", 1000),
        "broker.waiting": ("1000", 1000),
        "broker.deliveries": ("3", 3),
        "broker.backoff": ("50ms", 0.05),
        "broker.backoff_most": ("5m", 300.0),
        "broker.visibility": ("5s", 5.0),
        "broker.timeout": ("2", 2.0),
        "broker.expires": ("1d", 86400.0),
        "admin.token": ("one, two", ["one", "two"]),
        "admin.hosts": ("ops.test", ["ops.test"]),
        "admin.delay": ("5s", 5.0),
        "http.allow": ("a.test, loopback,10.0.0.0/8", ["a.test", "loopback", "10.0.0.0/8"]),
    }
    for field in fields():
        if field.name.startswith(("environment", "languages")):
            continue  # maps; and what is read at once, see values/test_environment.py
        given, wanted = samples.get(field.name, ("some", "some"))
        group, _, last = field.name.rpartition(".")
        file = write((f"[{group}]\n" if group else "") + f'{last} = "{given}"\n', "one.toml")
        for settings in (
            load({field.name: given}, {}),
            load({}, {field.variable: given}),
            load({}, {}, file),
        ):
            value: object = settings
            for part in field.name.split("."):
                value = getattr(value, part)
            assert value == wanted, field.name


def test_languages_of_other_packages_have_tables_of_their_own() -> None:
    write(
        "[languages.lua]\nworkers = 3\n[languages.lua.limits]\ntime = 1.5\n"
        "[javascript]\nworkers = 4\n"
    )
    told = of_languages(load({}, {}))
    assert told["lua"] == {"workers": 3, "limits": {"time": 1.5}}
    assert told["javascript"].workers == 4
    write("[languages]\nlua = 3")
    with pytest.raises(SettingsError, match=r"greenflow.toml: languages\.lua: expected a table"):
        load({}, {})


def test_every_setting_says_what_it_is_for() -> None:
    described = {field.name: field.description for field in fields()}
    assert all(described.values())
    assert "listener.host" in described


def test_settings_cannot_be_changed() -> None:
    settings = load({}, {})
    with pytest.raises(AttributeError):
        settings.namespace = "other"  # type: ignore[misc]


def test_the_named_file_is_read_instead_of_the_default_one() -> None:
    write('namespace = "default-file"')
    write('namespace = "named"', "named.toml")
    write('namespace = "variable"', "variable.toml")
    assert load({}, {}).namespace == "default-file"
    assert load({}, {"GREENFLOW_CONFIG": "variable.toml"}).namespace == "variable"
    assert load({}, {"GREENFLOW_CONFIG": "variable.toml"}, "named.toml").namespace == "named"


def test_maps_are_joined_key_by_key() -> None:
    write('[environment]\nA = "file"\nB = "file"\nC = "file"\n')
    environ = {"GREENFLOW_ENVIRONMENT_B": "variable", "GREENFLOW_ENVIRONMENT_C": ""}
    settings = load({"environment": {"A": "flag"}}, environ)
    assert settings.environment == {"A": "flag", "B": "variable", "C": ""}


def test_an_empty_variable_is_not_set() -> None:
    assert load({}, {"GREENFLOW_DATABASE": ""}).database == Settings().database


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[listener]\nhots = "x"',
            "greenflow.toml: listener.hots: unknown setting; did you mean listener.host",
        ),
        ('databse = "x"', "greenflow.toml: databse: unknown setting; did you mean database"),
        ("[strange]\na = 1", "greenflow.toml: strange.a: unknown setting; known are database, "),
        ("[strange]", "greenflow.toml: strange: unknown setting; known are database, "),
        ("listener = 3", "greenflow.toml: listener: unknown setting"),
        ("[listener]\nhost = 5", "greenflow.toml: listener.host: expected a string, got a whole"),
        ("[database]\na = 5", "greenflow.toml: database: expected a string, got a table"),
        ('namespace = ""', "greenflow.toml: namespace: expected a string of length >= 1"),
        ('environment = "A"', "greenflow.toml: environment: expected a table, got a string"),
        ('environment = {A = "1", B = 2}', "greenflow.toml: environment.B: expected a string, got"),
        ('grace = "soon"', "greenflow.toml: grace: 'soon' is no duration: write seconds"),
        ("[http]\nallow = 5", "greenflow.toml: http.allow: expected a list, got a whole number"),
        ('[http]\nallow = ["10.0.0.1/8"]', "greenflow.toml: http.allow: 10.0.0.1/8 has host bits"),
        ('[http]\nallow = ["*.a.test"]', "greenflow.toml: http.allow: '*.a.test' does not appear"),
        ('[http]\nallow = ["127.1"]', "greenflow.toml: http.allow: '127.1' does not appear to be"),
        ("grace = -1", "greenflow.toml: grace: -1 is negative"),
        (
            '[log]\nlevel = "loud"',
            "greenflow.toml: log.level: 'loud' is not allowed: one of debug, info, warning, error",
        ),
        ('a = "', "greenflow.toml: not TOML: "),
    ],
)
def test_a_fault_in_the_file_names_the_file_the_setting_and_the_reason(
    text: str, message: str
) -> None:
    write(text)
    with pytest.raises(SettingsError) as caught:
        load({}, {})
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


def test_a_fault_in_a_variable_or_a_flag_names_it() -> None:
    with pytest.raises(SettingsError, match=r"^GREENFLOW_GRACE: grace: 'x' is no duration"):
        load({}, {"GREENFLOW_GRACE": "x"})
    with pytest.raises(SettingsError, match=r"^flag: output: 'xml' is not allowed"):
        load({"output": "xml"}, {})
    with pytest.raises(SettingsError, match=r"^flag: outptu: unknown setting; did you mean output"):
        load({"outptu": "json"}, {})


def test_a_named_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^missing.toml: cannot be read: No such file"):
        load({}, {}, "missing.toml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load({}, {"GREENFLOW_CONFIG": str(tmp_path)})
    Path("greenflow.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(SettingsError, match=r"^greenflow.toml: not TOML"):
        load({}, {})


def test_an_unknown_variable_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"GREENFLOW_DATABSE": "secret", "GREENFLOW_X": "1", "OTHER": "1"}
    assert load({}, environ) == Settings()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    first = caplog.messages[0]
    assert "GREENFLOW_DATABSE is ignored; did you mean GREENFLOW_DATABASE?" in first
    assert "secret" not in caplog.text
