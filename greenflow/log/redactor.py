"""What is a secret by its look: taken out of a text (`redact`), or out of one URL (`redact_url`).

Lives here: the credentials of URLs, their options that name a secret, and the values of such keys
in any text. Secrets that are known, however they look, are secret.py's; both functions take those
out, too. Nobody else decides what of a URL may be shown.

A URL is taken apart, not searched: RFC 3986 says where its user information and its query end. A
person may have left a `/`, `?`, `#` or `@` of a password as it is, or have forgotten the host; such
a text has several meanings, and what is a secret in any likely one of them is hidden, rather more
than too little. The web's URLs (`http`, `https`, `ws`, `wss`) may hold an `@` in their path or
query, those of databases and brokers hold none.

Every loop here takes each character a fixed number of times: logs repeat what strangers sent, and a
long hostile text must not stop the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from greenflow.log.secret import MASK, conceal

# What follows `://` in a text, up to where a URL ends; others may begin in it.
_RUN = re.compile(r"(?<=://)[^\s\x00-\x1f\x7f\"'<>]++")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+")
_WEB = ("http", "https", "ws", "wss")

# One host of an authority: an address in brackets or a name, perhaps its port or the very word
# `port`, as help writes it, and what may follow it in a sentence. At the end of a URL the port may
# be missing: `cannot open http://host: refused`.
_HOST = re.compile(r"(?:\[[^\]]*+\]|[^:\[\]]*+)(?::(?:\d{1,5}|port)\W*)?", re.IGNORECASE)
_LAST_HOST = re.compile(_HOST.pattern + r"|[^:\[\]]*+:\W*", re.IGNORECASE)

# Separates one host of an authority from the next, one URL of a list from the next.
_BETWEEN_HOSTS = re.compile(r"[,;|]")

# A key and what stands between it and its value, in any text.
_KEY = re.compile(r"(?<![\w-])([\w-]++)[\"']?\s*+([:=])\s*+")
_SECRET = re.compile(
    r"passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key", re.IGNORECASE
)
_HEADER = re.compile(r"authorization|cookie", re.IGNORECASE)

# Options of a URL name secrets in more ways: here `key` is no word of a sentence.
_OPTION = re.compile(
    r"pass|pwd|secret|token|key|credential|mechanismproperties|signature|authorization|cookie"
    r"|\A(?:auth|jwt|pw|sig)\Z",
    re.IGNORECASE,
)

# How often the value of an option may hold a URL in a URL, each percent-encoded once more.
_DEEPEST = 3

# A quote that is not closed ends with the text.
_QUOTED = r"\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?"
_LIST = rf"\[\s*+(?:(?:{_QUOTED})[\s,]*+)*+\]?"
_VALUE = re.compile(rf"{_LIST}|{_QUOTED}|[^\s,;&\"'()\[\]{{}}]++", re.DOTALL)
# The value of such a header holds blanks and semicolons: it ends with its line or its quotes.
_HEADER_VALUE = re.compile(rf"{_LIST}|{_QUOTED}|[^\r\n\"'{{}}\[\]]++", re.DOTALL)


def redact(text: str) -> str:
    """`text` with the secrets in it replaced by `***`: those that are known (secret.py), the
    credentials and secret options of URLs, and the values of keys that name a password, secret,
    token, key, authorization or cookie."""
    return _mask_values(_mask_urls(conceal(text), _DEEPEST))


def redact_url(url: str) -> str:
    """The same of a text that is one URL as a whole, or should be: its host is shown, and neither
    its credentials nor its secret options, also where it is no URL."""
    url = conceal(url)
    scheme, separator, rest = url.partition("://")
    if separator and _SCHEME.fullmatch(scheme):
        is_web = scheme.lower() in _WEB
        between = f";{scheme}://"  # several servers, as AMQP clients take them
        each = (_mask_url(part, is_web, _DEEPEST) for part in rest.split(between))
        shown = f"{scheme}://{between.join(each)}"
    else:
        end = url.rfind("@")
        shown = _mask_options(url if end < 0 else MASK + url[end:], _DEEPEST)
    return _mask_values(shown)


def names_secret(key: str) -> bool:
    """Whether a key says of its value that it is a secret: in a text, `redact` masks that."""
    return _SECRET.search(key) is not None or _HEADER.search(key) is not None


def url_secrets(url: str) -> Iterator[str]:
    """The password of a URL, and the values of its options that name a password, secret or token,
    as they stand there and decoded."""
    scheme, _, rest = url.partition("://")
    end = _end_of_credentials(rest, scheme.lower() in _WEB)
    if end >= 0:
        password = rest[:end].partition(":")[2]
        yield from (password, unquote(password))
        rest = rest[end:]
    for piece in rest[_start_of_options(rest) :].split("&"):
        start = _start_of_secret(piece, _SECRET)
        if start >= 0:
            yield from (piece[start:], unquote(piece[start:]), unquote_plus(piece[start:]))


# -- URLs ------------------------------------------------------------------------------------------


def _mask_urls(text: str, depth: int) -> str:
    def masked(found: re.Match[str]) -> str:
        before = text[max(found.start() - 8, 0) : found.start() - 3]
        return _mask_run(found[0], before.lower().endswith(_WEB), depth)

    return _RUN.sub(masked, text)


def _mask_run(run: str, is_web: bool, depth: int) -> str:
    """`run` is what follows a `://`: the rest of a URL, and perhaps others behind it. Another one
    begins at a `://` unless that belongs to a password, or to the value of a secret option."""
    shown: list[str] = []
    url: list[str] = []
    in_password = in_option = False
    for part in run.split("://"):
        if not url:
            in_password = "@" not in part and not _has_hosts(part)
            in_option = _ends_in_secret(part, _start_of_options(part))
        else:
            in_password = in_password and "@" not in part
            in_option = _ends_in_secret(part, 0) if "&" in part else in_option
        url.append(part)
        if not in_password and not in_option:
            shown.append(_mask_url("://".join(url), is_web, depth))
            url, is_web = [], part[-5:].lower().endswith(_WEB)
    if url:
        shown.append(_mask_url("://".join(url), is_web, depth))
    return "://".join(shown)


def _ends_in_secret(part: str, start: int) -> bool:
    last = part[max(start, part.rfind("&") + 1) :]
    return _start_of_secret(last, _OPTION) >= 0


def _mask_url(rest: str, is_web: bool, depth: int) -> str:
    """`rest` is what follows the `://` of one URL."""
    end = _end_of_credentials(rest, is_web)
    if end >= 0:
        return MASK + _mask_options(rest[end:], depth)
    if not _has_hosts(rest):
        # No port, so it may be a password whose host was forgotten, and may hold a `?`, too.
        name, colon, _ = rest.partition(":")
        return name + colon + MASK if colon else rest
    return _mask_options(rest, depth)


def _authority(rest: str) -> str:
    """RFC 3986 3.2: up to the first slash, question mark or number sign."""
    return re.split("[/?#]", rest, maxsplit=1)[0]


def _has_hosts(rest: str) -> bool:
    authority = _authority(rest)
    return _are_hosts(authority, authority == rest)


def _are_hosts(authority: str, is_all: bool) -> bool:
    """Whether it is hosts and ports alone: one, or several as MongoDB has them. `is_all`: nothing
    of the URL stands behind it."""
    *hosts, last = _BETWEEN_HOSTS.split(authority)
    pattern = _LAST_HOST if is_all else _HOST
    return pattern.fullmatch(last) is not None and all(map(_HOST.fullmatch, hosts))


def _end_of_credentials(rest: str, is_web: bool) -> int:
    """Where the `@` is that the host stands behind, in the reading that hides most; else -1."""
    authority = _authority(rest)
    if not authority:
        # `sqlite:////srv/a@b.db` is a path; `redis:///user:password@host` has a slash too many.
        end = rest.rfind("@", 0, _start_of_options(rest))
        return end if ":" in rest[: max(end, 0)] else -1
    end = authority.rfind("@")
    host = authority[end + 1 :]
    if not host or not _are_hosts(host, authority == rest):
        return rest.rfind("@")  # what is no host is of the password, and so is any other sign
    has_password = ":" in authority[: max(end, 0)]
    if is_web and not has_password and "://" not in rest:
        return end
    return max(end, _last_at(rest, len(authority), is_web))


def _last_at(rest: str, start: int, is_web: bool) -> int:
    """Where the last `@` behind the authority is that can end a password nobody encoded: in the
    path, or in a query that is none. In the value of an option it stands for itself; but databases
    and brokers have none but secrets that would hold one."""
    options = max(_start_of_options(rest), start)
    last = rest.rfind("@", start, options)
    is_secret = False
    for piece in rest[options:].split("&"):
        if not is_secret or "=" in piece:
            secret = _start_of_secret(piece, _OPTION)
            is_secret = secret >= 0
            value = piece.find("=") if is_web else secret
            end = options + (len(piece) if value < 0 else value)
            last = max(last, rest.rfind("@", options, end))
        options += len(piece) + 1
    return last


# -- options of URLs -------------------------------------------------------------------------------


def _start_of_options(rest: str) -> int:
    """Where the query begins, or the fragment, or parameters of the path; at the end if nowhere."""
    found = re.search("[?#;]", rest)
    return len(rest) if found is None else found.start()


def _start_of_secret(piece: str, names: re.Pattern[str]) -> int:
    """Where the value of the first option begins whose name is a secret's; else -1. A piece is what
    stands between two `&`; a fragment or a `;` may begin in it."""
    start = 0
    for sign in re.finditer("[?#;=]", piece):
        if sign[0] == "=" and names.search(unquote(piece[start : sign.start()])):
            return sign.end()
        start = sign.end()
    return -1


def _mask_options(rest: str, depth: int) -> str:
    start = _start_of_options(rest)
    shown: list[str] = []
    is_secret = False
    for piece in rest[start:].split("&"):
        value = _start_of_secret(piece, _OPTION)
        if value >= 0:
            shown.append(piece[:value] + MASK)
            is_secret = True
        elif not is_secret or "=" in piece:  # else it is of the secret before, with an & in it
            shown.append(_mask_nested(piece, depth))
            is_secret = False
    return rest[:start] + "&".join(shown)


def _mask_nested(piece: str, depth: int) -> str:
    """An option that is no secret may have a URL for its value, percent-encoded or not."""
    name, sign, value = piece.partition("=")
    plain = value
    for _ in range(depth):
        shown = _mask_urls(plain, depth - 1)
        if shown != plain:
            return name + sign + (shown if plain == value else MASK)
        further = unquote(plain)
        if further == plain:
            break
        plain = further
    return piece


# -- keys and values in any text -------------------------------------------------------------------


def _mask_values(text: str) -> str:
    pieces: list[str] = []
    done = 0
    for found in _KEY.finditer(text):
        key, sign = found.groups()
        if _HEADER.search(key):
            pattern = _HEADER_VALUE
        elif _SECRET.search(key):
            pattern = _VALUE
        else:
            continue
        if found.start() < done or (sign == ":" and _is_prose(text, found.start(), key)):
            continue
        value = pattern.match(text, found.end())
        if value is not None:
            pieces += (text[done : found.end()], MASK)
            done = value.end()
    return "".join(pieces) + text[done:]


def _is_prose(text: str, start: int, key: str) -> bool:
    """Whether the colon after the key at `start` is followed by words, not by the key's value: the
    key ends the path of a fault (`$.tls.password: expected a string`), or a parser complains of an
    `unexpected token: x`. Such an error must stay readable."""
    if key.lower() == "token" and text[max(start - 11, 0) : start].lower().endswith("unexpected "):
        return True
    return text[max(start - 1, 0) : start] in (".", "]")
