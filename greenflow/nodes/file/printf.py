"""Text from a format and arguments, as Go's `fmt.Printf` makes it.

Lives here: `printf`. The verbs are those of https://pkg.go.dev/fmt that have a meaning for
payloads: `%v %+v %s %q %d %b %o %x %X %c %e %E %f %F %g %G %t %T %%`, with the flags `+ - # 0` and
space, width and precision, also as `*`. Where Go writes its complaint into the text
(`%!d(string=x)`), this is an error, for nobody reads what a workflow prints.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from greenflow.errors import InvalidArgument
from greenflow.hub.breathing import pause, unhurried

#: The widest field, and the most digits. Go's limit is a million; a format may come from outside,
#: and each of its verbs would make a text of so many characters.
MAX_WIDTH = 10_000

#: Numbers of so many digits and more are written with an exponent (`1e+06`), by `%v` and `%g`.
EXPONENT_FROM = 6

_MOST_DIGITS = 12  # of a width that are read: so many are too many

_VERB = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(.?)", re.DOTALL)


def printf(format: str, arguments: list[Any]) -> str:
    """The text. Raises InvalidArgument for a verb that is none, or not one for its argument, and
    for too many or too few arguments."""
    left = deque(arguments)

    def take(verb: str) -> Any:
        if not left:
            raise InvalidArgument(
                f"the format wants more than the {len(arguments)} arguments given: nothing is left "
                f"for {verb}"
            )
        return left.popleft()

    def number(text: str | None, verb: str) -> int | None:
        found: Any = None
        if text is not None:  # Python reads no integers of thousands of digits
            found = take(verb) if text == "*" else int(text[:_MOST_DIGITS] or 0)
        if found is not None and (type(found) is not int or abs(found) > MAX_WIDTH):
            raise InvalidArgument(f"{verb}: a width is an integer up to {MAX_WIDTH:,}")
        return found

    def write(found: re.Match[str]) -> str:
        pause()
        flags, letter, verb = set(found[1]), found[4], found[0]
        if letter == "%":
            return "%"
        maker = _VERBS.get(letter)
        if maker is None:
            known = " ".join(f"%{known}" for known in _VERBS)
            raise InvalidArgument(f"{verb!r} is no verb; known are {known} %%")
        width, precision = number(found[2], verb), number(found[3], verb)
        if width is not None and width < 0:
            flags.add("-")
        argument = take(verb)
        try:
            text = maker(argument, flags, precision)
        except TypeError:
            reason = f"{verb} does not write what is {_type(argument)}; %v writes all"
            raise InvalidArgument() from TypeError(reason)
        return _padded(text, abs(width or 0), flags, letter)

    text = _VERB.sub(write, format)
    if left:
        raise InvalidArgument(
            f"the format takes {len(arguments) - len(left)} arguments, not {len(arguments)}"
        )
    return text


def _padded(text: str, width: int, flags: set[str], letter: str) -> str:
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and letter in "bdoxXeEfFgG":
        sign = text[:1] if text[:1] in ("+", "-", " ") else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _value(value: Any, flags: set[str], precision: int | None) -> str:
    """`%v`: as `fmt.Print` writes it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _integer(value, flags, None)
    if isinstance(value, float):
        return _float("g")(value, flags, precision)
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return f"[{' '.join(map(str, value))}]"
    if isinstance(value, list):
        return f"[{' '.join(_value(item, flags, precision) for item in unhurried(value))}]"
    if isinstance(value, dict):
        items = (
            f"{key}:{_value(value[key], flags, precision)}" for key in unhurried(sorted(value))
        )
        return f"map[{' '.join(items)}]"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)  # an error: its message


def _string(value: Any, flags: set[str], precision: int | None) -> str:
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
    elif isinstance(value, str | Exception):
        text = str(value)
    elif isinstance(value, datetime):
        text = value.isoformat()
    else:
        raise TypeError
    return text if precision is None else text[:precision]


_ESCAPES = {
    **{"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"},
    **{'"': '\\"', "\\": "\\\\"},
}


_QUOTED_AT_ONCE = 4096  # characters, in a millisecond


def _quoted(value: Any, flags: set[str], precision: int | None) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        inner = _character(value, flags, precision)
        escaped = {"'": "\\'", '"': '"'}.get(inner) or _escaped(inner, "+" in flags)
        return f"'{escaped}'"
    text = _string(value, flags, precision)
    if "#" in flags and "`" not in text and all(c == "\t" or c.isprintable() for c in text):
        return f"`{text}`"
    is_ascii = "+" in flags
    parts = (
        "".join([_escaped(c, is_ascii) for c in text[start : start + _QUOTED_AT_ONCE]])
        for start in unhurried(range(0, len(text), _QUOTED_AT_ONCE))
    )
    return f'"{"".join(parts)}"'


def _escaped(character: str, is_ascii: bool) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if character.isprintable() and (code < 0x7F or not is_ascii):
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _signed(text: str, is_negative: bool, flags: set[str]) -> str:
    return ("-" if is_negative else "+" if "+" in flags else " " if " " in flags else "") + text


def _in_base(base: str, prefix: str) -> Callable[[Any, set[str], int | None], str]:
    def make(value: Any, flags: set[str], precision: int | None) -> str:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON and JavaScript do not tell 3 from 3.0
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError
        digits = format(abs(value), base).rjust(precision or 0, "0")
        return _signed((prefix if "#" in flags else "") + digits, value < 0, flags)

    return make


_integer = _in_base("d", "")


def _hexadecimal(letter: str) -> Callable[[Any, set[str], int | None], str]:
    of_integers = _in_base(letter, f"0{letter}")

    def make(value: Any, flags: set[str], precision: int | None) -> str:
        if not isinstance(value, str | bytes | Exception):
            return of_integers(value, flags, precision)
        data = value if isinstance(value, bytes) else str(value).encode()
        digits = data[:precision].hex(" " if " " in flags else "\0").replace("\0", "")
        return digits.upper() if letter == "X" else digits

    return make


def _character(value: Any, flags: set[str], precision: int | None) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return chr(value) if 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000 else "\ufffd"


def _float(letter: str) -> Callable[[Any, set[str], int | None], str]:
    def make(value: Any, flags: set[str], precision: int | None) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        value = float(value)
        if value != value or value in (float("inf"), float("-inf")):
            name = "NaN" if value != value else "Inf"
            return _signed(name, value < 0, flags | ({"+"} if value > 0 else set()))
        size = abs(value)
        if precision is None and letter in "gG":
            text = _shortest(size)
            text = text.upper() if letter == "G" else text
        else:
            text = format(size, f".{6 if precision is None else precision}{letter}")
        return _signed(text, str(value).startswith("-"), flags)

    return make


def _shortest(size: float) -> str:
    """The fewest digits that mean this number; with an exponent where it is less than -4 or, as
    strconv's `g` has it, EXPONENT_FROM or more."""
    exact = Decimal(repr(size)).normalize()
    exponent = exact.adjusted()
    if not size or -4 <= exponent < EXPONENT_FROM:
        return format(exact, "f")
    first, *others = map(str, exact.as_tuple().digits)
    return f"{first}{'.' if others else ''}{''.join(others)}e{exponent:+03d}"


def _boolean(value: Any, flags: set[str], precision: int | None) -> str:
    if not isinstance(value, bool):
        raise TypeError
    return "true" if value else "false"


def _type(value: Any, flags: Any = None, precision: Any = None) -> str:
    """`%T`: what a payload is called here, which is not what Go calls it."""
    names = {
        **{type(None): "null", bool: "bool", int: "int", float: "float", str: "string"},
        **{bytes: "bytes", list: "list", dict: "map", datetime: "timestamp"},
    }
    return names.get(type(value), "error")


_VERBS: dict[str, Callable[[Any, set[str], int | None], str]] = {
    "v": _value,
    "s": _string,
    "q": _quoted,
    "d": _integer,
    "b": _in_base("b", "0b"),
    "o": _in_base("o", "0"),
    "x": _hexadecimal("x"),
    "X": _hexadecimal("X"),
    "c": _character,
    **{letter: _float(letter) for letter in "eEfFgG"},
    "t": _boolean,
    "T": _type,
}
