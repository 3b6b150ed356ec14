"""Where settings come from: flags, the environment, and a file.

Lives here: `load`, and `load_with_origins` for who shows them. Which settings there are is said
beside it, in `Settings`. A flag beats the environment, that beats the file, that beats the default
(BEHAVIOUR 17.5).

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
from typing import Any, NamedTuple

import msgspec

from greenflow.config import PREFIX, Setting, Settings, fields
from greenflow.errors import GreenflowError
from greenflow.spec.duration import parse_duration
from greenflow.values.environment import EnvironmentFault, inherited, read_environment

logger = logging.getLogger("greenflow.config")

#: The file that is read when no other is named and it is there.
DEFAULT_FILE = "greenflow.toml"

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

#: What is the name of a host; its last label is no number, else it would be an address.
_HOST_NAME = re.compile(r"(?:[\w-]+\.)*(?!\d+\.?\Z)[\w-]+\.?", re.ASCII)


class SettingsError(GreenflowError):
    """A setting is unknown or has a value that it cannot have. The operator must act."""

    exit_code = 2


class Loaded(NamedTuple):
    """Settings, and where each came from: by dotted names, a file, a variable or `flag`; a map has
    several, separated by commas. What is not in it has its default."""

    settings: Settings
    origins: dict[str, str]


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
    return load_with_origins(flags, environ, path).settings


def load_with_origins(
    flags: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    path: str | None = None,
) -> Loaded:
    """The same settings as `load`, with where they came from."""
    environ = os.environ if environ is None else environ
    known = {field.name: field for field in fields()}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
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
        if isinstance(checked, dict):
            values[name] = {**values.get(name, {}), **checked}
            origins[name] = _joined(origins.get(name), source)
        else:
            values[name], origins[name] = checked, source
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inside = tree
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[last] = value
    settings = msgspec.convert(tree, Settings)
    try:
        from_files = read_environment(settings.environment_files)
        from_process = inherited(settings.environment_inherit, environ)
    except EnvironmentFault as error:
        raise SettingsError(str(error)) from error
    if from_files:
        origins["environment"] = _joined(origins.get("environment"), "environment_files")
    if from_process:
        origins["environment"] = _joined(origins.get("environment"), "environment_inherit")
    environment = {**from_files, **from_process, **settings.environment}
    return Loaded(msgspec.structs.replace(settings, environment=environment), origins)


def _joined(origins: str | None, source: str) -> str:
    return source if origins in (None, source) else f"{origins}, {source}"


def _value(field: Setting, value: Any, source: str) -> Any:
    """The value as the type of its field. Text is read as what the field wants (BEHAVIOUR 1.5)."""
    name = field.name
    try:
        if field.is_duration:
            return parse_duration(value)
        if field.is_hosts:
            value = _hosts(value)
        if field.is_texts and isinstance(value, str):
            parts = [part.strip() for part in value.split(",") if part.strip()]
            if field.is_secret and value and not parts:
                raise ValueError("no key is in it; leave it out to do without")
            value = parts
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


def _from_file(path: str | None, known: Mapping[str, Setting]) -> Iterator[tuple[str, str, Any]]:
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
    table: Mapping[str, Any], prefix: str, known: Mapping[str, Setting]
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
    environ: Mapping[str, str], known: Mapping[str, Setting]
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


def _unknown(name: str, known: Mapping[str, Setting]) -> str:
    last = name.rpartition(".")[2]
    close = [  # also in what it is called itself: groups alone are alike by chance
        each
        for each in difflib.get_close_matches(name, known)
        if difflib.get_close_matches(last, [each.rpartition(".")[2]])
    ]
    hint = f"did you mean {close[0]}" if close else f"known are {', '.join(known)}"
    return f"unknown setting; {hint}"
