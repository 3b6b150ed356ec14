"""The methods of HTTP requests that clients send.

Lives here: METHODS, and what is wrong with a method that somebody wrote into a spec. A misspelt one
would be a route that no request ever takes.
"""

from __future__ import annotations

from difflib import get_close_matches

from greenflow.net.grammar import is_token

#: What our parser, llhttp, takes for a method, less CONNECT, which only proxies are asked: those of
#: RFC 9110, RFC 5789, WebDAV and its kin, UPnP, and PURGE, SOURCE and QUERY. A listener answers any
#: other with 501. The most common ones come first: of two that are equally close they are meant.
METHODS = (
    *("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"),
    *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),
    *("ACL", "BIND", "CHECKOUT", "LINK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR"),
    *("NOTIFY", "PURGE", "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE"),
    *("UNBIND", "UNLINK", "UNSUBSCRIBE"),
)

#: All of them, for who asks often.
KNOWN = frozenset(METHODS)


def fault_of(method: str, any_method: bool = False) -> str:
    """What is wrong with a method in a spec; empty if nothing is. In any case. With `any_method`
    every token will do (RFC 9110 9.1)."""
    if not is_token(method):
        return f"{method!r} is no method: it is no token (RFC 9110 5.6.2)"
    if any_method or method.upper() in KNOWN:
        return ""
    close = get_close_matches(method.upper(), METHODS, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    return (
        f"{method!r} is no method that a client sends; {hint}`any_method: true` beside it allows "
        "every name, for servers in front that pass it on"
    )
