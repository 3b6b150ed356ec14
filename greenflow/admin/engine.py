"""What the admin interface looks at: one runtime, as it is handed in.

Lives here: Engine, and nothing that runs. Whoever holds the parts of a runtime says where they are
(runtime/looking.py); a resource asks for nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from greenflow.admin.glancing import Glances
from greenflow.admin.problem import Problem

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.engine.services import Services
    from greenflow.records import Records
    from greenflow.table.table import Table

NOT_RUNNING = "the engine does not run: it starts, or has stopped"

#: The metrics as Prometheus reads them, in pieces, with the media type of the text.
Metrics = Callable[[], tuple[str, Iterable[bytes]]]


class Engine(ABC):
    """A runtime, whether it runs or not. Asked on the hub of the runtime only."""

    #: What a person calls it, and its namespace.
    name: str
    namespace: str
    settings: Settings
    #: Its store, without the secrets in a URL.
    store: str
    #: When it began, by time.time().
    began: float
    #: Whether it has been told to end, and is not ready for new work though it takes it still.
    is_leaving: bool = False

    @cached_property
    def glances(self) -> Glances:
        """Looks at all of its nodes."""
        return Glances()

    @property
    @abstractmethod
    def running(self) -> tuple[Table, Services] | None:
        """The table and the services; None while it does not run."""

    @property
    def metrics(self) -> Metrics | None:
        """The text of `/metrics`; None where there is none."""
        return None

    @property
    @abstractmethod
    def recorded(self) -> Records | None:
        """The records of what ran; None while it does not run."""

    @property
    @abstractmethod
    def is_followed(self) -> bool:
        """Whether the changes of the store are being followed."""

    @property
    @abstractmethod
    def is_draining(self) -> bool:
        """Whether its sources have stopped for good."""

    @abstractmethod
    def drain(self) -> None:
        """Begin to stop the sources, and to wait for what is under way, up to the grace."""

    @abstractmethod
    def call(self, node: str, payload: Any, port: str, timeout: float | None) -> Any:
        """What a node answers. Raises as `Runtime.call` does."""

    @property
    def records(self) -> Records:
        """What ran. Raises Problem while it does not run."""
        if self.recorded is None:
            raise Problem(409, NOT_RUNNING)
        return self.recorded

    @property
    def table(self) -> Table:
        """The symbols. Raises Problem while it does not run."""
        return self._parts[0]

    @property
    def services(self) -> Services:
        """What the nodes share. Raises Problem while it does not run."""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[Table, Services]:
        parts = self.running
        if parts is None:
            raise Problem(409, NOT_RUNNING)
        return parts
