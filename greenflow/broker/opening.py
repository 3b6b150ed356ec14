"""How the setting `broker.url` becomes a broker.

Lives here: `open_broker`. A server is spoken to by a Transport, which packages offer through the
entry points `greenflow.brokers`: scheme = class that takes the URL, the namespace and the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenflow.broker.base import Broker
from greenflow.broker.memory import MemoryBroker
from greenflow.errors import BrokerMisconfigured
from greenflow.extras import reason
from greenflow.log.redactor import redact_url
from greenflow.plugins import offered

if TYPE_CHECKING:
    from greenflow.config import BrokerSettings
    from greenflow.hub.clock import Clock

ENTRY_POINTS = "greenflow.brokers"

MEMORY = "memory"


def open_broker(settings: BrokerSettings, namespace: str, clock: Clock) -> Broker:
    """The broker that the settings name, for the runtime of a namespace. No server need be there.

    Raises BrokerMisconfigured when the scheme is not known, its package is missing, or the URL says
    what the broker does not take.
    """
    scheme, separator, rest = settings.url.partition("://")
    if scheme == MEMORY and separator:
        if rest:
            name = redact_url(settings.url)
            raise BrokerMisconfigured(f"{name}: write memory:// and nothing more")
        return MemoryBroker(settings.waiting)
    from greenflow.broker.remote import RemoteBroker  # costs time that others need not take

    installed = {entry.name: entry for entry in offered(ENTRY_POINTS)}
    if not separator or scheme not in installed:
        schemes = ", ".join(f"{name}://" for name in sorted([MEMORY, *installed]))
        raise BrokerMisconfigured(
            f"{redact_url(settings.url)}: no such broker; installed are: {schemes}"
        )
    try:
        kind = installed[scheme].load()
    except ImportError as error:
        raise BrokerMisconfigured(
            f"{redact_url(settings.url)}: the broker {scheme}:// cannot be imported: "
            f"{reason(error, 'broker')}"
        ) from error
    return RemoteBroker(kind(settings.url, namespace, settings), namespace, settings, clock)
