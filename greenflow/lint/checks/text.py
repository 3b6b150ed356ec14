"""GF019, GF020, GF022, GF023: what is written, whatever it leads to.

Lives here: secrets in clear, keys of `env` that are not used, code that stands twice, and what is
written in another word than ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from greenflow.errors import SpecFault
from greenflow.lint.checks.validity import as_author_wrote, located
from greenflow.lint.finding import LintFinding, at
from greenflow.scheme.migration import other_words
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Entry

# Words of a field or a header that holds a secret.
_SECRET = re.compile(
    r"(?i)(?:^|[-_.])(?:password|passwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|authorization|credentials?)$"
)

# A password in a URL: `scheme://user:password@host`.
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@{}]+)@", re.IGNORECASE)

# Values that look like what well-known services give out; each begins so by its documentation.
_TOKENS = re.compile(
    r"\b(?:ghp_[A-Za-z0-9]{36}|github_pat_\w{20,}|xox[abpr]-[\w-]{10,}|AKIA[0-9A-Z]{16}"
    r"|sk_live_[A-Za-z0-9]{16,})|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)

# A secret that code holds: `"Authorization": "Bearer ..."`, `password = '...'`.
_IN_CODE = re.compile(
    r"(?i)(?:password|passwd|secret|token|api[-_]?key|access[-_]?key|authorization)[\"']?\s*[:=]\s*"
    r"[\"']((?:Bearer |Basic )?[^\s\"'{}$<>()]{6,})[\"']"
)

# What stands for a value that is put in: it is no secret.
_PLACEHOLDER = re.compile(r"\{\{.*\}\}")

# Code below so many lines, or characters, that stands twice is no copy worth a word.
_LINES, _CHARACTERS = 3, 60


def check(entries: Sequence[Entry], scheme: Scheme) -> Iterator[LintFinding]:
    """The findings about each spec, and about code that several have."""
    codes: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        yield from _secrets(entry, scheme)
        yield from _unused(entry)
        yield from _other_words(entry, scheme)
        yield from _same_code(entry, codes)


def _secrets(entry: Entry, scheme: Scheme) -> Iterator[LintFinding]:
    for path, key, text in _texts(entry.data):
        if path.startswith("$.annotations"):
            continue
        in_url = _URL.search(text)
        if (
            (_SECRET.search(key) and not _is_code(text) and _looks_secret(text))
            or (in_url and not _PLACEHOLDER.search(in_url[1]))
            or _TOKENS.search(text)
            or _IN_CODE.search(text)
        ):
            yield at(
                entry.document,
                "GF019",
                as_author_wrote(entry.document, scheme, path),
                "this looks like a secret in clear; keep it as a value and bind it with `env`",
            )


def _looks_secret(text: str) -> bool:
    return len(text) > 3 and not _PLACEHOLDER.search(text)


def _is_code(text: str) -> bool:
    """Whether it computes something: an expression of CEL on the payload."""
    return "self" in text or "(" in text


def _texts(value: Any, path: str = "$", key: str = "") -> Iterator[tuple[str, str, str]]:
    """Every string, with its path and the key that leads to it."""
    if isinstance(value, str):
        yield path, key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f"{path}.{name}", str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]", key)


def _unused(entry: Entry) -> Iterator[LintFinding]:
    env = entry.data.get("env") or {}
    rest = json.dumps({key: item for key, item in entry.data.items() if key != "env"})
    for key in env:
        if not re.search(rf"\{{\{{\s*\.(?:{re.escape(key)}\b|\s*\}}\}})", rest):
            yield at(entry.document, "GF020", f"$.env.{key}", f"nothing here uses {{{{ .{key} }}}}")


def _other_words(entry: Entry, scheme: Scheme) -> Iterator[LintFinding]:
    written = entry.document.data
    for word in other_words(written, scheme):
        said = f"`{word.before}` is `{word.after}`: write that"
        yield at(entry.document, "GF023", word.path, said)
    env = written.get("env")
    for key, value in env.items() if isinstance(env, Mapping) else ():
        if isinstance(value, list):
            said = "a list of one value is that value: write it alone"
            yield at(entry.document, "GF023", f"$.env.{key}", said)


def _same_code(entry: Entry, codes: dict[tuple[str, str], Entry]) -> Iterator[LintFinding]:
    code = entry.data.get("code")
    if not isinstance(code, str):
        return
    short = code.count("\n") + 1 < _LINES or len(code) < _CHARACTERS
    if short:
        return
    key = str(entry.data.get("language")), code.strip()
    other = codes.setdefault(key, entry)
    if other is not entry:
        line, _ = other.document.position("$.code")
        place = f"{other.document.source}:{line}"
        fault = SpecFault("$.code", f"the same code stands at {place}; a `template` says it once")
        yield located(entry.document, "GF022", fault)
