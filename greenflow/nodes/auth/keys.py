"""Keys and passwords: what a client sends as it is.

Lives here: Keyring and Users. What is compared are hashes, each with each, in a time that says
nothing of where they differ or which one it was.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Iterable
from hashlib import sha256

from greenflow.nodes.auth.identity import CallerIdentity, Refused
from greenflow.nodes.auth.spec import KeyEntry, UserEntry

# Characters of the longest key that is looked at: hashing one takes time in step with it.
LONGEST = 4096


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


class Keyring:
    """Keys that are good, and who has them."""

    def __init__(self, entries: Iterable[KeyEntry], scheme: str) -> None:
        self._scheme = scheme
        self._entries = [(_of(entry), entry) for entry in entries]

    def identify(self, key: str) -> CallerIdentity:
        """Who has the key. Raises Refused."""
        digest = _digest(key[: LONGEST + 1])
        owner: KeyEntry | None = None
        for known, entry in self._entries:  # all of them, whichever it is
            if hmac.compare_digest(known, digest):
                owner = entry
        if owner is None:
            raise Refused("the key is not known", error="invalid_token")
        return CallerIdentity(owner.name, self._scheme, owner.scopes)


def _of(entry: KeyEntry) -> bytes:
    return bytes.fromhex(entry.sha256) if entry.sha256 else _digest(entry.key or "")


class Users:
    """Names and passwords (RFC 7617)."""

    def __init__(self, entries: Iterable[UserEntry]) -> None:
        self._entries = [(_digest(f"{entry.name}:{entry.password}"), entry) for entry in entries]

    def identify(self, credentials: str) -> CallerIdentity:
        """Who has that name and password. Raises Refused."""
        try:
            text = b64decode(credentials.encode("ascii"), validate=True).decode()
        except ValueError:
            raise Refused("the credentials are not base64 of UTF-8 (RFC 7617)") from None
        digest = _digest(text[: LONGEST + 1])
        user: UserEntry | None = None
        for known, entry in self._entries:
            if hmac.compare_digest(known, digest):
                user = entry
        if user is None:
            raise Refused("the name or the password is wrong")
        return CallerIdentity(user.name, "basic", user.scopes)
