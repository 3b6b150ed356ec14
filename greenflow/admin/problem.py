"""Errors of the admin interface, as RFC 9457 has them (application/problem+json).

Lives here: Problem, which a resource raises, and its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from greenflow.errors import GreenflowError, messages
from greenflow.log.secret import conceal
from greenflow.net.message import Response
from greenflow.net.problem import MEDIA_TYPE, UNNAMED

#: Characters of a detail: it is for a person.
MOST_DETAIL = 2000


class ProblemAnswer(msgspec.Struct, rename={"kind": "type"}):
    """What went wrong (RFC 9457 3.1)."""

    kind: str
    title: str
    status: int
    detail: str


class Problem(GreenflowError):
    """A request to the admin interface that is answered with an error: who sent it must act."""

    def __init__(self, status: int, detail: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status, self.headers = status, headers

    @classmethod
    def of(cls, error: GreenflowError) -> Problem:
        """The problem that an error of ours is. What is not there, or not active, is no fault of
        the interface: 404 and 409 instead of 5xx."""
        if isinstance(error, cls):
            return error
        told = ", because of ".join(dict.fromkeys(messages(error)))
        return cls(error.status if error.status < 500 else 409, told)

    def response(self) -> Response:
        """Its answer."""
        title = HTTPStatus(self.status).phrase
        detail = conceal(str(self))[:MOST_DETAIL]
        body = ProblemAnswer(UNNAMED, title, self.status, detail)
        headers = [("Content-Type", MEDIA_TYPE), *self.headers]
        return Response(self.status, headers, msgspec.json.encode(body))
