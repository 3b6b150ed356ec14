"""Operations from any OS thread.

Lives here: HomeOperations. What the operations are is operations.py's; how another thread has
something run on a hub is hub/thread.py's.
"""

from __future__ import annotations

from typing import Any

from greenflow.hub.thread import HomeHub
from greenflow.spec.signature import Signature
from greenflow.store.base import Record
from greenflow.store.operations import Operations


class HomeOperations(Operations):
    """The operations of a runtime, for any OS thread."""

    def __init__(self, home: HomeHub, inner: Operations) -> None:
        super().__init__(inner.collection, inner.scheme, inner.namespace, inner.scope)
        self._home = home

    def create(self, documents: Any, signature: Signature | None = None) -> list[Record]:
        return self._home.run(super().create, documents, signature)

    def apply(self, documents: Any, signature: Signature | None = None) -> list[Record]:
        return self._home.run(super().apply, documents, signature)

    def update(self, patches: Any, signature: Signature | None = None) -> list[Record]:
        return self._home.run(super().update, patches, signature)

    def read(self, filter: Any = None) -> list[Record]:
        return self._home.run(super().read, filter)

    def delete(self, filter: Any = None, signature: Signature | None = None) -> list[Record]:
        return self._home.run(super().delete, filter, signature)
