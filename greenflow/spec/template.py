"""Placeholders in strings, `{{ .KEY }}` and `{{ .KEY.field }}`, and what they stand for.

Lives here: their grammar, and Scope, which renders values by it. Which strings of a spec are
rendered is decoding.py's, and where the values come from values/values.py's.

A string that is one placeholder and nothing else becomes the value, with its type; in other text
strings are inserted as they are and other values as JSON. What was inserted is not looked at again.
Every other `{{` is left as it is: texts of many languages have them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from typing import Any, Final

from greenflow.log.secret import strings

# The root itself, `{{ . }}`, stands in templates of `data` only: a spec has no use for it.
_KEYS = re.compile(r"\{\{\s*+((?:\.[\w-]++)++)\s*+\}\}")
_ROOT_OR_KEYS = re.compile(r"\{\{\s*+((?:\.[\w-]++)++|\.)\s*+\}\}")

#: What stands for a value that is not known while a spec is only checked.
PENDING: Final = object()


class Deferred(Exception):
    """It depends on a value that is not known yet."""


class Insertions:
    """What came of rendering: every string that was inserted, so that it can be kept out of logs,
    and whether something was left as it is because its value is not known."""

    def __init__(self) -> None:
        self.inserted: set[str] = set()
        self.deferred = False


class Scope:
    """What placeholders stand for: what lies in `root`, which messages call `what`.

    What is inserted is noted in `insertions`, but for what lies below the keys that are `public`.
    With `has_root`, `{{ . }}` stands for the root itself.
    """

    def __init__(
        self,
        root: Any,
        what: str,
        insertions: Insertions,
        *,
        public: Container[str] = (),
        has_root: bool = False,
    ) -> None:
        self.root, self.what, self.insertions, self.public = root, what, insertions, public
        self._placeholder = _ROOT_OR_KEYS if has_root else _KEYS

    def render(self, value: Any) -> Any:
        """The value with the placeholders of all its strings rendered.

        Raises LookupError for one that stands for nothing, Deferred for what is not known yet.
        """
        if isinstance(value, str):
            return self._rendered(value) if "{{" in value else value
        if isinstance(value, dict):
            return {key: self.render(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.render(item) for item in value]
        return value

    def _rendered(self, text: str) -> Any:
        whole = self._placeholder.fullmatch(text)
        if whole is not None:
            return self._value(whole[1])
        return self._placeholder.sub(lambda found: _written(self._value(found[1])), text)

    def _value(self, path: str) -> Any:
        value, here = self.root, self.what
        keys = path.split(".")[1:] if path != "." else []
        for key in keys:
            if value is PENDING:
                break
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise LookupError(f"{{{{ {path} }}}} stands for nothing: {_lack(value, here, key)}")
            here = f"{key!r} of {here}"
        if value is PENDING:
            self.insertions.deferred = True
            raise Deferred
        if not keys or keys[0] not in self.public:
            self.insertions.inserted.update(strings(value))
        return value


def _written(value: Any) -> str:
    """A value within a text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lack(value: Any, here: str, key: str) -> str:
    """Why there is nothing. Keys are named, values are not."""
    if isinstance(value, dict):
        return f"{here} has no {key!r}; it has {', '.join(sorted(value)) or 'nothing'}"
    if isinstance(value, list):
        return f"{here} is a list of {len(value)}, which has no {key!r}"
    return f"{here} is no map, and has no {key!r}"
