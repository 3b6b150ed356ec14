"""What a scalar means: the core schema of YAML 1.2 (1.2.2, section 10.3.2), whatever a %YAML line
says. `yes`, `on` and dates are strings; tags beyond the core schema are refused.
"""

from __future__ import annotations

import re
from typing import Any

from greenflow.spec.syntax import SyntaxFault, floating, integer, not_finite

TAG = "tag:yaml.org,2002:"

_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o([0-7]+)")
_HEXADECIMAL = re.compile(r"0x([0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMERIC = frozenset("0123456789+-.")


def plain(text: str, line: int, column: int) -> Any:
    """The value of a scalar without quotes."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMERIC:
        return text
    if _DECIMAL.fullmatch(text):
        return integer(text, 10, line, column)
    if found := _OCTAL.fullmatch(text):
        return integer(found[1], 8, line, column)
    if found := _HEXADECIMAL.fullmatch(text):
        return integer(found[1], 16, line, column)
    if _FLOAT.fullmatch(text):
        return floating(text, line, column)
    if _NOT_FINITE.fullmatch(text):
        raise not_finite(text, line, column)
    return text


def tagged(event: Any, line: int, column: int) -> Any:
    """The value of a scalar with a tag (`!!str 5`). Tags that call code in other readers are
    refused, as is every tag that is not of the core schema."""
    text, tag = event.value, event.tag
    if tag in ("!", TAG + "str"):
        return text
    wanted: dict[str, tuple[type, ...]] = {
        TAG + "null": (type(None),),
        TAG + "bool": (bool,),
        TAG + "int": (int,),
        TAG + "float": (float, int),
    }
    if tag not in wanted:
        raise SyntaxFault(line, column, f"the tag {tag} is not known here")
    value = plain(text, line, column)
    if type(value) not in wanted[tag]:
        raise SyntaxFault(line, column, f"{text!r} is no {tag.removeprefix(TAG)}")
    return float(value) if tag == TAG + "float" else value
