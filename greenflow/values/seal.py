"""Data at rest: encrypted with the first of some keys, decrypted with any of them.

Lives here: Keys. What is encrypted is values.py's to say.

The cipher is Fernet of the package `cryptography` (AES-128-CBC with HMAC-SHA256), whose tokens are
checked before anything of them is used, and tell which of several keys they were made with. So keys
are rotated by putting a new one in front.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from greenflow.errors import GreenflowError
from greenflow.extras import install

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_MADE_BY = "make one with `openssl rand -base64 32`"


class KeyInvalid(GreenflowError):
    """A key of the setting `values.key` is none, or what it needs is not installed. The operator
    must act."""

    exit_code = 2


class Sealed(GreenflowError):
    """What is encrypted cannot be read with the keys that are there. The operator must act."""


class Keys:
    """Some keys, of 32 bytes in base64 each; the first one encrypts. Raises KeyInvalid."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys: list[Fernet] = [_fernet(key, at) for at, key in enumerate(keys, 1)]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def seal(self, data: Any) -> str:
        """The data, which JSON can hold, as text that only who has the key can read."""
        return self._keys[0].encrypt(json.dumps(data).encode()).decode()

    def open(self, text: str) -> Any:
        """The data of a text that `seal` made. Raises Sealed."""
        if not self._keys:
            raise Sealed("it is encrypted, and the setting values.key is not set")
        for key in self._keys:
            if (data := _opened(key, text)) is not None:
                return json.loads(data)
        raise Sealed(
            "it is encrypted with a key that is not among those of values.key, or was damaged"
        )

    def holds(self, text: str, data: Any) -> bool:
        """Whether the text is that data, encrypted with the first key."""
        return _opened(self._keys[0], text) == json.dumps(data).encode()


def _opened(key: Fernet, text: str) -> bytes | None:
    from cryptography.fernet import InvalidToken

    try:
        return key.decrypt(text.encode())
    except InvalidToken:
        return None


def _fernet(key: str, at: int) -> Fernet:
    try:
        from cryptography.fernet import Fernet
    except ImportError as error:
        raise KeyInvalid(
            f"values.key: the package cryptography is missing: {install('secrets')}"
        ) from error
    try:
        # Both alphabets of base64 (RFC 4648) are taken: tools write either.
        return Fernet(key.strip().replace("+", "-").replace("/", "_"))
    except ValueError:
        which = "the key" if at == 1 else f"key {at}"
        reason = f"{which} is not 32 bytes in base64; {_MADE_BY}"
        raise KeyInvalid(f"values.key: {reason}") from None
