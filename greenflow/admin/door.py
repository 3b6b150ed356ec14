"""Where an engine can be reached: its socket or address, opened first and closed last.

Lives here: Door, which `greenflow run` holds, and what the setting `admin.address` may say. The
server is net/server's, with one handler for as long as it lives; it is none of the workflow's
listeners, and goes on while they drain.

Beyond loopback it is opened only with a token and TLS: whoever reaches it can stop the engine.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

from greenflow.admin.guarding import AdminGate
from greenflow.admin.interface import LIMITS, Interface, Way
from greenflow.admin.sockets import AdminRefused, make_folder, path_of, running_engines
from greenflow.net.server import UNIX, Place, Server, resolve

if TYPE_CHECKING:
    from greenflow.config.admin import AdminSettings

#: What the setting says for a socket in the folder of the user, and for none at all.
AUTO, NONE = "auto", "none"

HIGHEST_PORT = 65535

#: Seconds that answers under way have when the engine has ended.
GRACE = 1.0

#: What a new socket must not allow others.
_MASK = 0o177


class Door:
    """The server of an interface. Used on one hub, that of the engine."""

    def __init__(self, interface: Interface, settings: AdminSettings, name: str) -> None:
        """Open it. Raises AdminRefused, AddressInUse, OSError; CertificateError."""
        place, host = _place(settings.address, name)
        is_file = place.family == AF_UNIX
        if not is_file:
            _check_reach(place, settings)
        self._interface = interface
        tokens = () if is_file else settings.token  # the file is this user's alone
        way = Way(interface, AdminGate(tokens, [*settings.hosts, host]))
        self._server = _bound(place) if is_file else Server.bind(place)
        try:
            if settings.tls_cert and not is_file:
                from greenflow.net.tls import Certificate

                self._server.certificate = Certificate(settings.tls_cert, settings.tls_key or "")
            self._server.limits = LIMITS
            self._server.handler = way.serve
            self._server.start()
        except BaseException:
            self._server.stop(0.0)
            raise

    @property
    def address(self) -> str:
        """Where it is: `unix:PATH`, or `http://host:port`."""
        host, port = self._server.address
        if host.startswith(UNIX):
            return host
        scheme = "http" if self._server.certificate is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def close(self) -> None:
        """Close it: nobody can ask any more."""
        self._interface.close()
        self._server.stop(GRACE)


@contextmanager
def opened(interface: Interface, settings: AdminSettings, name: str) -> Iterator[Door | None]:
    """The door of an engine, open as long as that runs; none if the settings say so."""
    if settings.address == NONE:
        yield None
        return
    door = Door(interface, settings, name)
    try:
        yield door
    finally:
        door.close()


def _place(address: str, name: str) -> tuple[Place, str]:
    """What to listen on, and the host as it was written. Raises AdminRefused, OSError."""
    if address == AUTO:
        make_folder()
        running_engines()  # what killed engines left is removed
        return resolve(UNIX + path_of(name, os.getpid()), 0), ""
    if address.startswith(UNIX):
        return resolve(UNIX + os.path.abspath(address.removeprefix(UNIX)), 0), ""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise AdminRefused(
            f"the setting admin.address is auto, none, unix:PATH or HOST:PORT, not {address!r}"
        )
    host = host.strip("[]")
    return resolve(host, int(port)), host


def _check_reach(place: Place, settings: AdminSettings) -> None:
    """Raises AdminRefused for what others can reach, and is not guarded."""
    if settings.tls_cert and not settings.tls_key:
        raise AdminRefused("admin.tls_cert goes with admin.tls_key")
    if ip_address(place.host.partition("%")[0]).is_loopback:
        return
    needed = {"admin.token": settings.token, "admin.tls_cert": settings.tls_cert}
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise AdminRefused(
            f"the admin interface at {place} can be reached from other machines: set "
            f"{' and '.join(missing)}, or use 127.0.0.1"
        )


def _bound(place: Place) -> Server:
    """A server at a Unix socket that only this user may use from its first moment on."""
    before = os.umask(_MASK)
    try:
        return Server.bind(place)
    finally:
        os.umask(before)
