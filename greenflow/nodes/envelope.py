"""Whether a map is a message of HTTP, or the body of one (BEHAVIOUR 8.3, 11.1).

Lives here: the rules, which `listener` and `http` go by. What a message is made of is request.py's
and http.py's. Data that happens to have a `status` or a `path` is told from a message by its keys
and by what they hold; who does not want to be told says so in the spec.
"""

from __future__ import annotations

from typing import Any

#: All that a message may have.
KEYS = frozenset(
    ("method", "scheme", "host", "path", "query", "protocol", "header", "body", "status", "params")
)

#: What a request may have besides: what listeners and `auth` say of it, which is not sent on.
SAID = frozenset(("raw", "request_id", "identity"))

_REQUEST_KEYS = KEYS | SAID

# What every request has that came to a listener: other data may have an `identity`, too.
_CAME = frozenset(("method", "path", "protocol", "header"))

# At least one of them makes a map a response.
_RESPONSE_MARKS = frozenset(("status", "body", "header"))

# What may stand for a text in a header: a number is as good as its digits.
_TEXTS = frozenset((str, int, float))


def no_response(answer: Any) -> str:
    """Why the answer is no response, without what it holds; empty if it is one."""
    if type(answer) is not dict:
        return "it is no map"
    if _RESPONSE_MARKS.isdisjoint(answer):
        return "it has neither `status` nor `body` nor `header`"
    if not answer.keys() <= KEYS:
        return f"a response has no {_stranger(answer, KEYS)!r}"
    status = answer.get("status")
    if status is not None and not _is_status(status):
        return "its `status` is no whole number from 100 to 599"
    header = answer.get("header")
    if header is not None and not _is_header(header):
        return "its `header` is no map of strings or lists of strings"
    return ""


def no_request(payload: Any) -> str:
    """Why the payload of `http` is not meant as a request, without what it holds; empty if it is.
    Whether one can be made of its fields is another question."""
    if type(payload) is not dict:
        return "it is no map"
    if not payload:
        return "it is empty"
    if not payload.keys() <= _REQUEST_KEYS:
        return f"a request has no {_stranger(payload, _REQUEST_KEYS)!r}"
    if not SAID.isdisjoint(payload) and not payload.keys() >= _CAME:
        return "it has what a listener says of a request, and is none that came"
    status = payload.get("status")  # of an answer that is sent on
    if status is not None and not _is_status(status):
        return "its `status` is no whole number from 100 to 599"
    return ""


def _is_status(status: Any) -> bool:
    """0 is the status of who says none (BEHAVIOUR 8.4)."""
    return type(status) is int and (100 <= status <= 599 or status == 0)


def _is_header(header: Any) -> bool:
    if type(header) is not dict:
        return False
    for values in header.values():
        if type(values) is list:
            if not all(type(value) in _TEXTS for value in values):
                return False
        elif type(values) not in _TEXTS:
            return False
    return True


def _stranger(message: dict[str, Any], keys: frozenset[str]) -> str:
    return next(key for key in message if key not in keys)
