"""What a setting is, in words: for `greenflow settings` and the page of all settings.

Lives here: the groups of the settings, and the type, the variable and a value of one as text. Which
settings there are is said in `Settings`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from greenflow.config import Setting, Settings, fields
from greenflow.spec.duration import format_duration
from greenflow.spec.fields import limits

_TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "map"}


class SettingGroup(NamedTuple):
    """Settings that stand together: under `[NAME]` in the file, those without a group under ``."""

    name: str
    about: str
    settings: tuple[Setting, ...]


def groups() -> Iterator[SettingGroup]:
    """All settings, by groups, in the order in which they are declared."""
    hints = get_type_hints(Settings)
    yield SettingGroup("", "", tuple(field for field in fields() if "." not in field.name))
    for declared in msgspec.structs.fields(Settings):
        name = declared.name
        inside = tuple(field for field in fields() if field.name.startswith(f"{name}."))
        if inside:
            yield SettingGroup(name, hints[name].__doc__ or "", inside)


def type_in_words(field: Setting) -> str:
    """What may be written for it, such as `whole number, 1 or more`."""
    if field.choices:
        return "one of " + ", ".join(field.choices)
    if field.is_duration:
        return "duration"
    if field.is_hosts:
        return "list of hosts"
    if field.is_texts:
        return "list of secrets" if field.is_secret else "list of texts"
    bare = get_args(field.type)[0]
    named = next(kind for kind in (get_origin(bare), bare, *get_args(bare)) if kind in _TYPES)
    # That a text is not empty is no news.
    return ", ".join(filter(None, (_TYPES[named], limits(field.type) if named is not str else "")))


def variable_in_words(field: Setting) -> str:
    """Its environment variable; one for each key of the environment of specs, and none for a map
    of maps."""
    if not isinstance(field.default, dict):
        return field.variable
    return f"{field.variable}_KEY" if field.name == "environment" else ""


def in_words(field: Setting, value: Any) -> str:
    """A value of it as it may be written in a variable; nothing for none."""
    if value in (None, [], {}):
        return ""
    if field.is_duration:
        return format_duration(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else str(value)
