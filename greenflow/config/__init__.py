"""Settings: what an operator may say.

Lives here: `Settings` with every field's default and description, and what may be asked of it. Not
here: where settings come from (loading.py), and what a setting does. One setting has one name in
three spellings: `listener.host`, as it is called here and in errors; `host` under `[listener]` in
greenflow.toml; `GREENFLOW_LISTENER_HOST`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from greenflow.log.redactor import redact, redact_url, url_secrets
from greenflow.log.secret import MASK

#: What the environment variables of settings begin with.
PREFIX = "GREENFLOW_"

#: Marks a field that takes a duration.
_DURATION = {"format": "duration"}

#: Marks a field that takes a list of hosts, addresses and networks.
_HOSTS = {"format": "hosts"}

#: Marks a field that takes a list of texts, and one whose texts are secrets.
_TEXTS = {"format": "texts"}
_SECRETS = {"format": "secrets"}


class ListenerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What listeners do unless their spec says otherwise."""

    host: Annotated[
        str,
        Meta(min_length=1, description="address that listeners open unless their spec names one"),
    ] = "127.0.0.1"


class HttpSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where `http` and `websocket` nodes may go."""

    allow: Annotated[
        list[str],
        Meta(
            extra=_HOSTS,
            description="what a payload or a redirect may name for http and websocket nodes "
            "though it is not public: hosts, addresses, networks; private, loopback, link-local",
        ),
    ] = []


class BrokerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What carries the events of `trigger` nodes, and how often a failed one is delivered."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            description="what carries events: memory://, amqp://, redis:// or mongodb://HOST..., "
            "sqs://REGION",
        ),
    ] = "memory://"
    prefetch: Annotated[
        int,
        Meta(ge=1, le=10_000, description="messages that a trigger works on at a time"),
    ] = 32
    deliveries: Annotated[
        int,
        Meta(ge=1, description="how often a message is delivered before it is a dead letter"),
    ] = 5
    backoff: Annotated[
        float,
        Meta(
            extra=_DURATION,
            description="time before a message is delivered a second time; doubled each time",
        ),
    ] = 1.0
    backoff_most: Annotated[
        float, Meta(extra=_DURATION, description="time between two deliveries, at most")
    ] = 60.0
    dead_letters: Annotated[
        str, Meta(min_length=1, description="topic of messages that nobody could process")
    ] = "dead"
    visibility: Annotated[
        float,
        Meta(
            extra=_DURATION,
            description="time after which others get the messages of a runtime that says nothing "
            "(redis, mongodb, sqs)",
        ),
    ] = 30.0
    timeout: Annotated[
        float,
        Meta(extra=_DURATION, description="time in which a message must have been published"),
    ] = 5.0
    held: Annotated[
        int,
        Meta(ge=0, description="bytes of events that a process may publish before it commits"),
    ] = 16 * 1024 * 1024
    waiting: Annotated[
        int,
        Meta(ge=0, description="bytes of events that may wait for a trigger (memory)"),
    ] = 64 * 1024 * 1024
    expires: Annotated[
        float,
        Meta(
            extra=_DURATION,
            description="time for which messages wait when no runtime takes them; 0 for ever",
        ),
    ] = 604_800.0


class ProcessSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How much one event, request or run may do, with all that it begins; more is an error."""

    packets: Annotated[int, Meta(ge=1, description="packets handled for one process, in all")] = (
        10_000_000
    )
    children: Annotated[
        int, Meta(ge=1, description="children of one process, and theirs, at a time")
    ] = 100_000
    open: Annotated[int, Meta(ge=1, description="packets of one process that are unanswered")] = (
        100_000
    )


class SyscallSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the opcodes of syscall nodes may reach."""

    namespace: Annotated[
        str | None,
        Meta(description="namespace that nodes.read and nodes.delete see; * for all, default: own"),
    ] = None


class JavaScriptSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The OS processes that run JavaScript and TypeScript, and what a call may take there."""

    workers: Annotated[
        int, Meta(ge=1, le=1024, description="OS processes that run JavaScript; started when used")
    ] = 2
    timeout: Annotated[
        float,
        Meta(
            extra=_DURATION,
            description="how long a call may take unless its node says otherwise, as 1 or 500ms",
        ),
    ] = 1.0
    memory_mib: Annotated[
        int, Meta(ge=16, le=65536, description="memory that a call may take, in MiB")
    ] = 128


class ValuesSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How values are kept."""

    key: Annotated[
        list[str],
        Meta(
            extra=_SECRETS,
            description="encrypts the data of stored values: 32 bytes in base64; of several keys "
            "the first encrypts, and each decrypts",
        ),
    ] = []


class LintSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How bad each rule of `greenflow lint` is, if not as bad as it says itself."""

    error: Annotated[
        list[str], Meta(extra=_TEXTS, description="rules of lint that are errors")
    ] = []
    warning: Annotated[
        list[str], Meta(extra=_TEXTS, description="rules of lint that are warnings")
    ] = []
    info: Annotated[list[str], Meta(extra=_TEXTS, description="rules of lint that are hints")] = []
    off: Annotated[
        list[str], Meta(extra=_TEXTS, description="rules of lint that are not looked at")
    ] = []


class HistorySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the changes of what is stored are remembered: as long as either says."""

    keep: Annotated[
        int, Meta(ge=1, description="newest changes of a namespace that are remembered")
    ] = 1000
    days: Annotated[float, Meta(ge=0, description="days for which every change is remembered")] = (
        90.0
    )


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What goes to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least level logged")
    ] = "info"
    format: Annotated[
        Literal["auto", "text", "json"],
        Meta(description="text, json, or auto: text on a terminal, else json"),
    ] = "auto"


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
            extra=_DURATION,
            description="time that what is under way has to end before it is ended, as 30 or 1m30s",
        ),
    ] = 30.0
    hub_guard: Annotated[
        float,
        Meta(
            extra=_DURATION,
            description="how long a node may block all others before the log names it, as 100ms; "
            "0 for never",
        ),
    ] = 0.1
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
    lint: LintSettings = LintSettings()
    values: ValuesSettings = ValuesSettings()
    history: HistorySettings = HistorySettings()
    environment: Annotated[
        dict[str, str], Meta(description="values for {{ .KEY }} of specs that name no value")
    ] = {}
    environment_files: Annotated[
        list[str],
        Meta(
            extra=_TEXTS,
            description="files of KEY=VALUE lines that add to the environment of specs, or folders "
            "of files that each are one KEY",
        ),
    ] = []
    environment_inherit: Annotated[
        list[str],
        Meta(
            extra=_TEXTS,
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
            is_duration=meta.extra == _DURATION,
            is_hosts=meta.extra == _HOSTS,
            is_texts=meta.extra in (_TEXTS, _SECRETS),
            is_secret=meta.extra == _SECRETS,
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
