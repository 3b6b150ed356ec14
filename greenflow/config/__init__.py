"""Settings: what an operator may say.

Lives here: `Settings`, and what may be asked of it. Its groups, each field with default and
description, are groups.py's. Not here: where settings come from (loading.py), and what a setting
does. One setting has one name in three spellings: `listener.host`, as it is called here and in
errors; `host` under `[listener]` in greenflow.toml; `GREENFLOW_LISTENER_HOST`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from greenflow.config.admin import AdminSettings
from greenflow.config.groups import (
    BrokerSettings,
    HistorySettings,
    HttpSettings,
    JavaScriptSettings,
    LintSettings,
    ListenerSettings,
    LogSettings,
    ProcessSettings,
    RecordsSettings,
    SyscallSettings,
    TracingSettings,
    ValuesSettings,
)
from greenflow.config.marks import DURATION, HOSTS, SECRETS, TEXTS
from greenflow.log.redactor import redact, redact_url, url_secrets
from greenflow.log.secret import MASK

__all__ = [
    "PREFIX",
    "AdminSettings",
    "BrokerSettings",
    "Compat",
    "HistorySettings",
    "HttpSettings",
    "JavaScriptSettings",
    "LintSettings",
    "ListenerSettings",
    "LogSettings",
    "ProcessSettings",
    "Setting",
    "Settings",
    "SyscallSettings",
    "TracingSettings",
    "ValuesSettings",
    "fields",
    "of",
    "of_languages",
    "secrets",
    "shown",
]

#: What the environment variables of settings begin with.
PREFIX = "GREENFLOW_"

#: The releases of uniflow whose meanings specs may have (scheme/compat/releases.py), or none.
Compat = Literal["none", "uniflow-2024", "uniflow-2025"]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one run of the command line."""

    database: Annotated[
        str,
        Meta(
            min_length=1,
            description="store of the specs: memory://, sqlite:///PATH or mongodb://HOST/NAME",
        ),
    ] = "sqlite:///greenflow.db"
    namespace: Annotated[
        str, Meta(min_length=1, description="namespace to run, and of specs that name none")
    ] = "default"
    grace: Annotated[
        float,
        Meta(
            extra=DURATION,
            description="time that what is under way has to end before it is ended, as 30 or 1m30s",
        ),
    ] = 30.0
    hub_guard: Annotated[
        float,
        Meta(
            extra=DURATION,
            description="how long a node may block all others before the log names it, as 100ms; "
            "0 for never",
        ),
    ] = 0.1
    compat: Annotated[
        Compat,
        Meta(description="specs that come in mean what they mean to a release of uniflow"),
    ] = "none"
    output: Annotated[
        Literal["table", "wide", "json", "yaml"],
        Meta(description="form of data on standard output; wide is a table with more columns"),
    ] = "table"
    listener: ListenerSettings = ListenerSettings()
    http: HttpSettings = HttpSettings()
    broker: BrokerSettings = BrokerSettings()
    process: ProcessSettings = ProcessSettings()
    syscall: SyscallSettings = SyscallSettings()
    javascript: JavaScriptSettings = JavaScriptSettings()
    languages: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="what languages of other packages are told: a table for each"),
    ] = {}
    log: LogSettings = LogSettings()
    admin: AdminSettings = AdminSettings()
    lint: LintSettings = LintSettings()
    values: ValuesSettings = ValuesSettings()
    history: HistorySettings = HistorySettings()
    tracing: TracingSettings = TracingSettings()
    records: RecordsSettings = RecordsSettings()
    environment: Annotated[
        dict[str, str], Meta(description="values for {{ .KEY }} of specs that name no value")
    ] = {}
    environment_files: Annotated[
        list[str],
        Meta(
            extra=TEXTS,
            description="files of KEY=VALUE lines that add to the environment of specs, or folders "
            "of files that each are one KEY",
        ),
    ] = []
    environment_inherit: Annotated[
        list[str],
        Meta(
            extra=TEXTS,
            description="variables of the OS process that add to the environment of specs; "
            "PREFIX_* for all that begin so",
        ),
    ] = []

    def __repr__(self) -> str:
        """Without passwords, keys, and what specs may see."""
        parts = (
            f"{field.name}={shown(field, of(self, field.name))!r}"
            for field in fields(type(self))
            if of(self, field.name) != field.default
        )
        return f"Settings({', '.join(parts)})"


class Setting(NamedTuple):
    """One setting: its name, its type with what limits it, its default, and what it is for."""

    name: str
    type: Any
    default: Any
    description: str
    is_duration: bool
    is_hosts: bool
    is_texts: bool
    is_secret: bool

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper().replace(".", "_")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values it may have, where they can be counted."""
        bare = get_args(self.type)[0]
        return get_args(bare) if get_origin(bare) is Literal else ()


@functools.cache  # to read the annotations takes some milliseconds, and every runtime asks
def fields(struct: type[Struct] = Settings) -> tuple[Setting, ...]:
    """Every setting as it is declared, nested ones with their dotted names."""
    return tuple(_declared(struct, ""))


def _declared(struct: type[Struct], prefix: str) -> Iterator[Setting]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        kind = hints[field.name]
        if get_origin(kind) is not Annotated:
            yield from _declared(kind, f"{prefix}{field.name}.")
            continue
        default = field.default
        if default is msgspec.NODEFAULT:
            default = field.default_factory()
        meta = get_args(kind)[1]
        yield Setting(
            prefix + field.name,
            kind,
            default,
            meta.description,
            is_duration=meta.extra == DURATION,
            is_hosts=meta.extra == HOSTS,
            is_texts=meta.extra in (TEXTS, SECRETS),
            is_secret=meta.extra == SECRETS,
        )


def of(settings: Settings, name: str) -> Any:
    """A setting, by its dotted name."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def of_languages(settings: Settings) -> dict[str, Any]:
    """What each language is told, by its name (greenflow.lang.hold). One of another package finds
    its table under `languages`, and checks it itself."""
    return {**settings.languages, "javascript": settings.javascript}


def secrets(settings: Settings) -> Iterator[str]:
    """What of the settings must not be shown: keys, and the secrets in URLs. The environment of
    specs becomes a secret when it is rendered."""
    for field in fields():
        value = of(settings, field.name)
        if field.is_secret:
            yield from value
        elif isinstance(value, str):
            yield from url_secrets(value)


def shown(field: Setting, value: Any) -> Any:
    """A value of the setting as it may be shown: keys, the texts in maps and the secrets in URLs
    are masked."""
    if field.is_secret:
        return MASK if value else value
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    return redact_url(value) if "://" in value else redact(value)


def _masked(value: Any) -> Any:
    """The value with each text in it masked; nobody knows which ones are secrets."""
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return MASK if isinstance(value, str) else value
