"""Who asks, and why somebody is not let in.

Lives here: CallerIdentity, and Refused with the answer that a client gets (RFC 9110 15.5.2 and
15.5.4).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from greenflow.nodes.refusals import problem


class CallerIdentity(NamedTuple):
    """Who asks: what workflows see as `identity`."""

    name: str
    scheme: str
    scopes: list[str]
    claims: dict[str, Any] | None = None

    def told(self) -> dict[str, Any]:
        """As a value of a payload."""
        said: dict[str, Any] = {"name": self.name, "scheme": self.scheme, "scopes": self.scopes}
        return said if self.claims is None else said | {"claims": self.claims}


class Refused(Exception):
    """Somebody is not let in. The reason is for the log and for who asks: it never says what was
    sent, nor how near it was."""

    def __init__(self, reason: str, status: int = 401, error: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error  # of RFC 6750 3.1


def answer(refused: Refused, challenges: list[str]) -> dict[str, Any]:
    """What is answered, with how to come in."""
    told = problem(refused.status, str(refused))
    if challenges:
        told["header"]["WWW-Authenticate"] = [", ".join(challenges)]
    return told
