"""The web's APIs that a snippet may use: what the WinterTC minimum common API has without I/O.

Lives here: which names come of which file, and what of them a snippet needs. The files beside this
one are JavaScript. Each is a function expression that is given a library, with all names that it
asks of it and some parts of realm.js, and returns an object of its own names; those with `$` in
front are for other files alone. A worker reads them once; a file is evaluated in an isolate when
somebody asks for one of its names (realm.js). A snippet that says none of the names has none of
the text either, so it pays nothing.

A snippet may come by a name without saying it: by `globalThis[name]`, by `eval`. So what says a
word that leads there has all of them.
"""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

#: The names of each file.
NAMES = {
    "exception": "DOMException $interface $need",
    "pairs": "$pairs $iterable",
    "timers": "setTimeout setInterval clearTimeout clearInterval queueMicrotask $timers",
    "text": "TextEncoder TextDecoder $utf8",
    "base64": "atob btoa",
    "host": "$host",
    "parser": "$parse $percent $url",
    "url": "URL",
    "search": "URLSearchParams $query",
    "clone": "structuredClone",
    "events": "Event CustomEvent ErrorEvent EventTarget $handler",
    "abort": "AbortController AbortSignal",
    "hash": "$hash",
    "crypto": "crypto Crypto CryptoKey SubtleCrypto",
    "forms": "Blob File FormData",
    "headers": "Headers",
    "machine": "self navigator performance reportError",
    "console": "$console",
}

#: Bytes of chance that the random numbers of an isolate come of: it has no source of its own.
SEED = 48

# Words that lead to names that are not said, and an escape in a name.
_OPEN = re.compile(r"""\b(?:globalThis|self|eval|Function)\b|[.\['"`]\s*constructor\b|\\u""")
_WORD = re.compile(r"\w+")
_LIBRARY = re.compile(r"\blibrary\.(\$?\w+)|const \{([^}]*)\} = library;")

# What `console` has beside the plain methods of realm.js, and beside what `%` in a text means.
_CONSOLE = (
    "assert clear count countReset dir dirxml group groupCollapsed groupEnd table time timeEnd "
    "timeLog trace"
)

# Encodings of one byte a character by their names in WHATWG Encoding 4.2, and where Python calls
# them otherwise. What Python leaves free below 0xA0 is a control character in those of Windows.
_PYTHON = {"windows-": "cp", "ibm": "cp", "macintosh": "mac_roman", "x-mac-": "mac_"}
_ENCODINGS = (
    "ibm866 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8 "
    "iso-8859-10 iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 koi8-r koi8-u macintosh "
    "x-mac-cyrillic windows-874 windows-1250 windows-1251 windows-1252 windows-1253 windows-1254 "
    "windows-1255 windows-1256 windows-1257 windows-1258"
)


def needed(source: str) -> str:
    """What an isolate is given of the web's APIs for a source, as JSON text; "" for nothing."""
    words = set(_WORD.findall(source))
    if _OPEN.search(source):
        files = frozenset(NAMES) - {"console"}
    else:
        files = frozenset(_file_of[word] for word in words & _file_of.keys())
    if "console" in source and (words & set(_CONSOLE.split()) or "%" in source):
        files |= {"console"}
    if not files:
        return ""
    seed = os.urandom(SEED).hex() if "crypto" in (whole := _whole(files)) else ""
    return _text(whole).replace("@SEED@", seed)


_file_of = {name: file for file, names in NAMES.items() for name in names.split() if name[0] != "$"}


def compact(text: str) -> str:
    """A script without what only its readers need, which every isolate would keep. No file here has
    a text of several lines."""
    return re.sub(r"^\s*//.*\n|^\s+|\s+// .*$", "", text, flags=re.MULTILINE)


@functools.cache
def _source(file: str) -> str:
    return compact(Path(__file__).with_name(f"{file}.js").read_text())


@functools.cache
def _whole(files: frozenset[str]) -> frozenset[str]:
    """The files with those that they need."""
    names = {name: file for file, names in NAMES.items() for name in names.split()}
    whole = set(files)
    pending = list(files)
    while pending:
        for one, several in _LIBRARY.findall(_source(pending.pop())):
            for name in [one, *several.replace(",", " ").split()]:
                file = names.get(name)
                if file is not None and file not in whole:
                    whole.add(file)
                    pending.append(file)
    return frozenset(whole)


@functools.cache
def _text(files: frozenset[str]) -> str:
    given: dict[str, Any] = {"seed": "@SEED@"}
    if "text" in files:
        given["tables"] = {name: _table(name) for name in _ENCODINGS.split()}
    ordered = sorted(files)
    return json.dumps(
        {
            "names": {file: NAMES[file].split() for file in ordered},
            "sources": {file: f"{_source(file)}\n//# sourceURL=web/{file}.js" for file in ordered},
            "given": given,
        }
    )


def _table(name: str) -> str:
    """The characters of the bytes from 0x80; U+FFFD for what is none."""
    high = bytes(range(0x80, 0x100))
    known = name
    for theirs, ours in _PYTHON.items():
        known = known.replace(theirs, ours)
    text = high.decode(known, "replace")
    if not name.startswith("windows-"):
        return text
    return "".join(
        chr(byte) if character == "\ufffd" and byte < 0xA0 else character
        for byte, character in zip(high, text, strict=True)
    )
