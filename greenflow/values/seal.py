"""Data at rest: encrypted with the first of some keys, decrypted with any of them.

Lives here: Keys. What is encrypted is values.py's to say.

The cipher is Fernet of the package `cryptography` (AES-128-CBC with HMAC-SHA256), whose tokens are
checked before anything of them is used; its MultiFernet tries several keys in turn. So keys are
rotated by putting a new one in front.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from greenflow.errors import GreenflowError
from greenflow.extras import install

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

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
        self._all: MultiFernet | None = None
        if self._keys:
            from cryptography.fernet import MultiFernet

            self._all = MultiFernet(self._keys)

    def __bool__(self) -> bool:
        return self._all is not None

    def seal(self, data: Any) -> str:
        """The data, which JSON can hold, as text that only who has the key can read."""
        assert self._all is not None
        return self._all.encrypt(json.dumps(data).encode()).decode()

    def open(self, text: str) -> Any:
        """The data of a text that `seal` made. Raises Sealed."""
        if self._all is None:
            raise Sealed("it is encrypted, and the setting values.key is not set")
        data = _opened(self._all, text)
        if data is None:
            raise Sealed(
                "it is encrypted with a key that is not among those of values.key, or was damaged"
            )
        return json.loads(data)

    def holds(self, text: str, data: Any) -> bool:
        """Whether the text is that data, encrypted with the first key."""
        return _opened(self._keys[0], text) == json.dumps(data).encode()


def _opened(key: Fernet | MultiFernet, text: str) -> bytes | None:
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
