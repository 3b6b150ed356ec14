"""Cross-origin requests: who may read answers from a page of another origin.

Lives here: Cors, the policy of a listener, by the CORS protocol of the Fetch standard
(https://fetch.spec.whatwg.org/#http-cors-protocol). It answers preflights by itself and adds what a
browser wants to see to other answers, those too that the server gives by itself, as for a body over
its limit: without it a page learns that something failed, and not what. It guards readers of
answers in browsers, and nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from greenflow.net.message import Request, Respond, Response

# What a page may ask for when the listener does not say.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

# An origin as browsers write it: scheme, host, and the port if it is not the scheme's own.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

_ANY = "*"


class Cors:
    """A policy. `origins` holds origins or `*`; without `headers` every header may be sent.
    `max_age` is in seconds, for which a browser may remember the answer to a preflight."""

    def __init__(
        self,
        origins: Sequence[str],
        methods: Sequence[str] = METHODS,
        headers: Sequence[str] = (),
        expose: Sequence[str] = (),
        credentials: bool = False,
        max_age: float = 600.0,
    ) -> None:
        self._origins = frozenset(origins)
        self._methods, self._headers = ", ".join(methods), ", ".join(headers)
        self._expose, self._credentials = ", ".join(expose), credentials
        self._max_age = str(int(max_age))

    def preflight(self, request: Request) -> Response | None:
        """The answer to a preflight; None if the request is none."""
        if (
            request.method != "OPTIONS"
            or request.header("access-control-request-method") is None
            or request.header("origin") is None
        ):
            return None
        headers = self._common(request.header("origin"))
        if headers:
            wanted = self._headers or request.header("access-control-request-headers")
            headers += [
                ("Access-Control-Allow-Methods", self._methods),
                ("Access-Control-Max-Age", self._max_age),
                *([("Access-Control-Allow-Headers", wanted)] if wanted else []),
            ]
        vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        return Response(204, [*headers, ("Vary", vary)])

    def wrap(self, request: Request, respond: Respond) -> Respond:
        """`respond`, with the headers that the policy adds to an answer."""
        return partial(self._respond, request, respond)

    def _respond(self, request: Request, respond: Respond, response: Response) -> None:
        headers = list(response.headers)
        if any(name.lower() == "access-control-allow-origin" for name, _ in headers):
            respond(response)  # the workflow's own word
            return
        varies = [value for name, value in headers if name.lower() == "vary"]
        if varies and _ANY not in self._origins:
            headers = [each for each in headers if each[0].lower() != "vary"]
        response.headers = headers + self.headers_for(request.header("origin"), varies)
        respond(response)

    def headers_for(self, origin: str | None, varies: Sequence[str] = ()) -> list[tuple[str, str]]:
        """What an answer has for a page of that origin, which varies by these headers besides."""
        headers = self._common(origin)
        if self._expose:
            headers.append(("Access-Control-Expose-Headers", self._expose))
        if _ANY not in self._origins:
            headers.append(("Vary", ", ".join([*varies, "Origin"])))
        return headers

    def _common(self, origin: str | None) -> list[tuple[str, str]]:
        """What allows the origin; nothing if it is not allowed."""
        if origin is None or not (_ANY in self._origins or origin in self._origins):
            return []
        allowed = [("Access-Control-Allow-Origin", _ANY if _ANY in self._origins else origin)]
        if self._credentials:
            allowed.append(("Access-Control-Allow-Credentials", "true"))
        return allowed
