"""URLs of outgoing requests: strict reading, and what a Location means (RFC 3986).

Functions of text without state or I/O. What can be read in two ways is refused, for whoever checks
a host and whoever connects to it must see the same one: white space, control characters,
backslashes, percent signs in a host, two `@`. A host is in lower case, ASCII (IDNA), an IPv6
address without its brackets. Errors do not repeat the URL, which may hold a password.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from greenflow.net.ip import read_ipv6, write

PORTS = {"http": 80, "https": 443}

# RFC 3986 appendix B.
_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?")

# RFC 3986 2 has none of these; browsers drop some of them and read a backslash as a slash.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")

_AUTHORITY = re.compile(r"(?:([^@]*)@)?(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]@:%]+))(?::([0-9]{0,5}))?")

# What a resolver takes. The underscore is in no host name of RFC 1123, but in many that are used.
_NAME = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")

# What stays as it is in a path, and in a query (RFC 3986 3.3, 3.4); what is percent-encoded
# already stays so.
_PATH_SAFE = "/:@!$&'()*+,;=~%"
_QUERY_SAFE = _PATH_SAFE + "?"

# A percent sign that encodes nothing (RFC 3986 2.1).
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Url(NamedTuple):
    """A URL or a part of one; what is not given is empty, the port of its scheme if not given.

    `path` and `query` are percent-encoded; the query is None if there is no `?`. `user` is
    `name:password`, decoded, or None.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str | None = None
    user: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port (RFC 6454 4)."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host, and port unless it is that of the scheme: the Host header (RFC 9110 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """The request target in origin form (RFC 9112 3.2.1)."""
        path = self.path or "/"
        return path if self.query is None else f"{path}?{self.query}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def __repr__(self) -> str:
        return f"<Url {self}>"  # user and query may be secrets


def parse_url(text: str) -> Url:
    """A URL, or one that leaves out its first parts: `//host/path`, `/path`. Raises ValueError."""
    scheme, authority, path, query = _split(text)
    if authority is None and (scheme or not path.startswith("/")) and text:
        raise ValueError("a URL begins with http://, https://, // or /")
    path, query = quote_path(path), query and _quoted(query, _QUERY_SAFE)
    if authority is None:
        return Url("", "", 0, path, query)
    user, host, port = parse_authority(authority)
    return Url(scheme, host, port or PORTS.get(scheme, 0), path, query, user)


def join(base: Url, location: str) -> Url:
    """Where a Location leads from there (RFC 3986 5.2.2, RFC 9110 10.2.2), its fragment left out.

    `location` is a header: its bytes read as ISO-8859-1. Raises ValueError.
    """
    text = "".join(c if c < "\x80" else f"%{ord(c):02X}" for c in location).replace(" ", "%20")
    scheme, authority, path, query = _split(text)
    if authority is not None:
        user, host, port = parse_authority(authority)
        if user is not None:
            raise ValueError("it holds a user name")
        scheme = scheme or base.scheme
        port = port or PORTS[scheme]
    elif scheme:
        raise ValueError("it names a scheme and no host")
    else:
        scheme, host, port = base.origin
        if not path:
            path, query = base.path, base.query if query is None else query
        elif not path.startswith("/"):
            path = base.path.rpartition("/")[0] + "/" + path
    path = remove_dot_segments(quote_path(path)) if path else ""
    return Url(scheme, host, port, path, query and _quoted(query, _QUERY_SAFE))


def _split(text: str) -> tuple[str, str | None, str, str | None]:
    """Scheme, authority, path and query. Raises ValueError."""
    if _AMBIGUOUS.search(text):
        raise ValueError("a URL has no blanks, backslashes or control characters")
    match = _URL.fullmatch(text)
    assert match is not None  # every text without a line break matches
    scheme, authority, path, query = match.groups()
    scheme = (scheme or "").lower()
    if scheme not in ("", *PORTS):
        raise ValueError(f"the scheme is http or https, not {scheme}")
    return scheme, authority, path, query


def parse_authority(text: str) -> tuple[str | None, str, int]:
    """User, host and port; 0 if there is no port. Raises ValueError."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError(
            "no host, or one that can be read in two ways; a host is a name or address"
        )
    user, address, name, digits = match.groups()
    port = int(digits) if digits else 0
    if port > 65535 or (digits and not port):
        raise ValueError(f"the port {digits} is not from 1 to 65535")
    host = write(read_ipv6(address)) if address else _host_name(name)
    return unquote(user) if user is not None else None, host, port


def _host_name(name: str) -> str:
    """A host name as a resolver takes it (RFC 3490 for what is not ASCII)."""
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError("a host name that IDNA (RFC 3490) does not have") from error
    name = name.lower()
    if _NAME.fullmatch(name) is None:
        raise ValueError("a host name is letters, digits, hyphens and dots")
    return name


def quote_path(path: str) -> str:
    """The path with what may not stand in one percent-encoded; what is encoded stays so. Raises
    ValueError for half of a surrogate pair."""
    return _quoted(path, _PATH_SAFE)


def _quoted(text: str, safe: str) -> str:
    return quote(_STRAY_PERCENT.sub("%25", text), safe)


def remove_dot_segments(path: str) -> str:
    """The path, which begins with a slash, without `.` and `..`, encoded ones too (RFC 3986 5.2.4,
    URL standard 4.1); it never leads above its root."""
    kept: list[str] = []
    segment = ""
    for segment in path.split("/")[1:]:
        segment = segment.replace("%2e", ".").replace("%2E", ".") if "%2" in segment else segment
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segment in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
