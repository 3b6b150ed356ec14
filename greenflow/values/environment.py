"""The environment of specs from outside the settings: files, and variables of the OS process.

Lives here: how files of `KEY=VALUE` lines and folders of secrets are read, and which variables are
taken over. What specs do with it is values.py's.

The lines are those that Docker and Compose take for an environment file: blank lines and such that
begin with `#` are skipped, `export` before a KEY is too; a VALUE is the rest of the line without
blanks around it, or what is between two quotes, where double ones have the escapes `\\n`, `\\"` and
`\\\\`. Nothing in it is expanded. In a folder each file is a KEY and holds its value, as Docker and
Kubernetes mount secrets; one line end at its end does not belong to it. Hidden files are skipped.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Mapping

from greenflow.errors import GreenflowError

_LINE = re.compile(r"(?:export\s+)?([\w.-]+)\s*=\s*(.*?)\s*", re.DOTALL)
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SINGLE = re.compile(r"'([^']*)'")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class EnvironmentFault(GreenflowError):
    """A file of the environment cannot be read. The operator must act; what is in it is not
    shown."""

    exit_code = 2


def read_environment(paths: Iterable[str]) -> dict[str, str]:
    """What files and folders say; a later one beats an earlier one. Raises EnvironmentFault."""
    found: dict[str, str] = {}
    for path in paths:
        try:
            found |= _read_folder(path) if os.path.isdir(path) else _read_file(path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise EnvironmentFault(f"environment_files: {error.filename}: {reason}") from error
    return found


def inherited(patterns: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are named, or that a pattern with `*` fits. Raises EnvironmentFault for a
    name that is not set."""
    found: dict[str, str] = {}
    for pattern in patterns:
        names = [name for name in environ if fnmatch.fnmatchcase(name, pattern)]
        if not names and "*" not in pattern:
            raise EnvironmentFault(f"environment_inherit: the variable {pattern} is not set")
        found |= {name: environ[name] for name in names}
    return found


def _read_file(path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        value = None if match is None else _value(match[2])
        if match is None or value is None:
            reason = "expected KEY=VALUE" if match is None else "the quotes are not closed"
            raise EnvironmentFault(f"environment_files: {path}:{number}: {reason}")
        found[match[1]] = value
    return found


def _value(text: str) -> str | None:
    if text.startswith('"'):
        double = _DOUBLE.fullmatch(text)
        if double is None:
            return None
        return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), double[1])
    if text.startswith("'"):
        single = _SINGLE.fullmatch(text)
        return None if single is None else single[1]
    return text


def _read_folder(path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(os.listdir(path)):
        file = os.path.join(path, name)
        if not name.startswith(".") and os.path.isfile(file):
            found[name] = _text(file).removesuffix("\n").removesuffix("\r")
    return found


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode()
    except UnicodeDecodeError as error:
        raise EnvironmentFault(f"environment_files: {path}: is not UTF-8") from error
