"""Settings: what an operator may say, where, and what holds when several say it.

Lives here: `Settings` with every field's default and description, and `load`. Not here: what a
setting does. A flag beats the environment, that beats the file, that beats the default
(BEHAVIOUR 17.5). One setting has one name in three spellings: `listener.host`, as it is called
here and in errors; `host` under `[listener]` in greenflow.toml; `GREENFLOW_LISTENER_HOST`.

An error in a file or variable is found before anything starts, and names the place. A variable
that is not known only warns, for it may be meant for another version on the same machine.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Struct

from greenflow.duration import parse_duration
from greenflow.environment import EnvironmentFault, inherited, read_environment
from greenflow.errors import GreenflowError
from greenflow.log import redact
from greenflow.secret import MASK

logger = logging.getLogger("greenflow.config")

#: The file that is read when no other is named and it is there.
DEFAULT_FILE = "greenflow.toml"

#: What the environment variables of settings begin with.
PREFIX = "GREENFLOW_"

#: The variable that names the file; the flag is `--config`.
FILE_VARIABLE = "GREENFLOW_CONFIG"

_TYPE = re.compile(r"`(\w+)[^`]*`")
_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "a boolean",
    "object": "a table",
    "array": "a list",
}

#: Marks a field that takes a duration.
_DURATION = {"format": "duration"}

#: Marks a field that takes a list of hosts, addresses and networks.
_HOSTS = {"format": "hosts"}

#: Marks a field that takes a list of texts, and one whose texts are secrets.
_TEXTS = {"format": "texts"}
_SECRETS = {"format": "secrets"}

#: The password of a URL. Greedy: it may hold a @ that nobody encoded.
_PASSWORD = re.compile(r"://[^/@:]*:(\S+)@")

#: What is the name of a host; its last label is no number, else it would be an address.
_HOST_NAME = re.compile(r"(?:[\w-]+\.)*(?!\d+\.?\Z)[\w-]+\.?", re.ASCII)


class SettingsError(GreenflowError):
    """A setting is unknown or has a value that it cannot have. The operator must act."""

    exit_code = 2


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
    expires: Annotated[
        float,
        Meta(
            extra=_DURATION,
            description="time for which messages wait when no runtime takes them; 0 for ever",
        ),
    ] = 604_800.0


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
        Literal["table", "json", "yaml"], Meta(description="form of data on standard output")
    ] = "table"
    listener: ListenerSettings = ListenerSettings()
    http: HttpSettings = HttpSettings()
    broker: BrokerSettings = BrokerSettings()
    syscall: SyscallSettings = SyscallSettings()
    javascript: JavaScriptSettings = JavaScriptSettings()
    log: LogSettings = LogSettings()
    values: ValuesSettings = ValuesSettings()
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
        shown = (
            f"{field.name}={_shown(field, of(self, field.name))!r}"
            for field in fields(type(self))
            if of(self, field.name) != field.default
        )
        return f"Settings({', '.join(shown)})"


class Field(NamedTuple):
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


def fields(struct: type[Struct] = Settings, prefix: str = "") -> Iterator[Field]:
    """Every setting as it is declared, nested ones with their dotted names."""
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        kind = hints[field.name]
        if get_origin(kind) is not Annotated:
            yield from fields(kind, f"{prefix}{field.name}.")
            continue
        default = field.default
        if default is msgspec.NODEFAULT:
            default = field.default_factory()
        meta = get_args(kind)[1]
        yield Field(
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


def secrets(settings: Settings) -> Iterator[str]:
    """What of the settings must not be shown: keys, and the passwords of URLs. The environment of
    specs becomes a secret when it is rendered."""
    for field in fields():
        value = of(settings, field.name)
        if field.is_secret:
            yield from value
        elif isinstance(value, str) and (found := _PASSWORD.search(value)):
            yield found[1]
            yield unquote(found[1])


def _shown(field: Field, value: Any) -> Any:
    if field.is_secret:
        return MASK
    if field.name == "environment":
        return dict.fromkeys(value, MASK)
    return redact(value) if isinstance(value, str) else value


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    path: str | None = None,
) -> Settings:
    """The settings of a run. `flags` maps dotted names to values, None for a flag not given;
    `environ` is os.environ unless given; `path` is the file that `--config` names.

    Raises SettingsError for an unknown setting in a flag or file, for a value that a setting cannot
    have, and for a file that was named and cannot be read.
    """
    environ = os.environ if environ is None else environ
    known = {field.name: field for field in fields()}
    values: dict[str, Any] = {}
    file = path or environ.get(FILE_VARIABLE) or None
    for source, name, value in (
        *_from_file(file, known),
        *_from_environment(environ, known),
        *(("flag", name, value) for name, value in flags.items() if value is not None),
    ):
        if name not in known:
            raise SettingsError(f"{source}: {name}: {_unknown(name, known)}")
        checked = _value(known[name], value, source)
        # Maps are joined key by key: a flag that adds one key does not take the file's away.
        values[name] = {**values.get(name, {}), **checked} if isinstance(checked, dict) else checked
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inside = tree
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[last] = value
    settings = msgspec.convert(tree, Settings)
    try:
        outside = {
            **read_environment(settings.environment_files),
            **inherited(settings.environment_inherit, environ),
        }
    except EnvironmentFault as error:
        raise SettingsError(str(error)) from error
    return msgspec.structs.replace(settings, environment={**outside, **settings.environment})


def _value(field: Field, value: Any, source: str) -> Any:
    """The value as the type of its field. Text is read as what the field wants (BEHAVIOUR 1.5)."""
    name = field.name
    try:
        if field.is_duration:
            return parse_duration(value)
        if field.is_hosts:
            value = _hosts(value)
        if field.is_texts and isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        return msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError as error:
        # msgspec says "Expected `str`, got `int` - at `$.KEY`".
        reason, _, path = str(error).partition(" - at `$")
        reason = _TYPE.sub(lambda found: _WORDS.get(found[1], found[1]), reason)
        reason = reason[0].lower() + reason[1:]
        if path and isinstance(value, dict):
            name += "." + next(key for key, item in value.items() if not isinstance(item, str))
    except ValueError as error:
        reason = str(error)
    if field.choices:
        reason = f"{value!r} is not allowed: one of {', '.join(field.choices)}"
    raise SettingsError(f"{source}: {name}: {reason}")


def _hosts(value: Any) -> Any:
    """Hosts, addresses and networks as a list; in one text they are separated by commas. Raises
    ValueError for what is none of them."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    for host in value if isinstance(value, list) else []:
        if isinstance(host, str) and _HOST_NAME.fullmatch(host) is None:
            ip_network(host.strip("[]"))
    return value


def _from_file(path: str | None, known: Mapping[str, Field]) -> Iterator[tuple[str, str, Any]]:
    if path is None and not os.path.exists(DEFAULT_FILE):
        return
    name = path or DEFAULT_FILE
    try:
        with open(name, "rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{name}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: not TOML: {error}") from error
    for setting, value in _flatten(table, "", known):
        yield name, setting, value


def _flatten(
    table: Mapping[str, Any], prefix: str, known: Mapping[str, Field]
) -> Iterator[tuple[str, Any]]:
    """Tables of settings as dotted names. What is not known is passed on: `load` refuses it."""
    groups = {name.rpartition(".")[0] for name in known}
    for key, value in table.items():
        name = prefix + key
        if isinstance(value, dict) and name not in known and (value or name in groups):
            yield from _flatten(value, f"{name}.", known)
        else:
            yield name, value


def _from_environment(
    environ: Mapping[str, str], known: Mapping[str, Field]
) -> Iterator[tuple[str, str, Any]]:
    variables = {field.variable: field for field in known.values()}
    environment = variables["GREENFLOW_ENVIRONMENT"].variable + "_"
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable.startswith(environment) and variable not in {environment, *variables}:
            yield variable, "environment", {variable.removeprefix(environment): value}
        elif variable in variables:
            # An empty variable is one that is not set: containers can often do no better.
            if value:
                yield variable, variables[variable].name, value
        else:
            close = difflib.get_close_matches(variable, variables, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            logger.warning("unknown environment variable %s is ignored%s", variable, hint)


def _unknown(name: str, known: Mapping[str, Field]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}" if close else f"known are {', '.join(known)}"
    return f"unknown setting; {hint}"
