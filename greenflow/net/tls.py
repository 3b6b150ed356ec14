"""TLS for a connection's socket, and the certificate of a listener, which may change.

Lives here: TlsSocket, which has the methods of a socket that a connection uses, and Certificate.
Encryption happens in memory (an SSLObject between two buffers), so nothing here waits, and nothing
is monkey-patched. The handshake happens inside the first calls of `recv`; its time-out is the
connection's own for the first request.

As with OpenSSL itself, a `send` that raised BlockingIOError has taken the bytes and must be
repeated with the same ones.
"""

from __future__ import annotations

import logging
import os
import ssl
import tempfile
from _socket import SHUT_RD, SHUT_WR, SO_LINGER
from _socket import socket as Socket
from contextlib import suppress
from time import monotonic
from typing import Any

from greenflow.errors import GreenflowError

# Plain bytes encrypted in one go: four records of RFC 8446 5.1. What the kernel does not take of
# them stays in memory.
SEND_BYTES = 64 * 1024

# Seconds between two looks at files of a certificate: how long a renewed one may take to be used.
LOOK_SECONDS = 1.0

# What begins a certificate or a key given as text (RFC 7468 2).
_PEM = "-----BEGIN "

logger = logging.getLogger("greenflow.net")


class CertificateError(GreenflowError):
    """A certificate or key cannot be used. The author of the spec must act."""


class Certificate:
    """What a listener shows to its clients. `certificate` (with the chain) and `key` are each a PEM
    text or the path of a file. Files are looked at again while it is used: a renewed certificate
    counts for new connections, and a broken one leaves the old one in use and is logged.

    Raises CertificateError.
    """

    def __init__(self, certificate: str, key: str) -> None:
        self._parts = certificate, key
        self._files = [part for part in self._parts if not part.lstrip().startswith(_PEM)]
        self._seen = self._look()
        self._context = self._load()
        self._look_at = monotonic() + LOOK_SECONDS

    def wrap(self, socket: Socket, received: bytes = b"") -> TlsSocket:
        """The server's side of a new connection, of which some bytes were received already."""
        if self._files and monotonic() >= self._look_at:
            self._refresh()
        return TlsSocket(socket, self._context, received)

    def _refresh(self) -> None:
        self._look_at = monotonic() + LOOK_SECONDS
        seen = self._look()
        if seen == self._seen:
            return
        try:
            self._context = self._load()
        except CertificateError as error:
            # Said once for each change of the files, which may be half written.
            logger.error("the old certificate stays in use: %s", error)
        else:
            logger.info("the certificate %s was renewed", self._files[0])
        self._seen = seen

    def _look(self) -> list[tuple[int, int, int] | None]:
        found: list[tuple[int, int, int] | None] = []
        for path in self._files:
            try:
                status = os.stat(path)
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return found

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # A client may ask for a new key exchange as often as it likes in TLS 1.2; nobody needs it.
        context.options |= ssl.OP_NO_RENEGOTIATION
        paths, written = [], []
        try:
            for part in self._parts:
                if part in self._files:
                    paths.append(part)
                    continue
                # OpenSSL reads its own files only; this one is the user's alone, and goes at once.
                descriptor, path = tempfile.mkstemp(suffix=".pem")
                written.append(path)
                with os.fdopen(descriptor, "w") as file:
                    file.write(part)
                paths.append(path)
            context.load_cert_chain(paths[0], paths[1], _no_password)
        except (OSError, ValueError) as error:
            raise CertificateError(self._explain(error)) from None
        finally:
            for path in written:
                os.unlink(path)
        return context

    def _explain(self, error: Exception) -> str:
        for path in self._files:
            try:
                with open(path, "rb"):
                    pass
            except OSError as unreadable:
                return f"{path}: {unreadable.strerror}"
        names = " and ".join(self._files) or "the certificate and key in the spec"
        return f"{names}: no certificate with its key in PEM form: {_reason(error)}"


def _no_password() -> str:
    raise ValueError("the key is encrypted; give one without a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "OpenSSL cannot read it"
    return str(error)


_HANDSHAKE, _OPEN, _ENDED = range(3)


class TlsSocket:
    """A socket whose bytes are encrypted: those methods of `_socket.socket` that are needed."""

    def __init__(
        self,
        socket: Socket,
        context: ssl.SSLContext,
        received: bytes = b"",
        *,
        server: str | None = None,
    ) -> None:
        """The server's side, or the client's if `server` names whom it speaks to."""
        self._socket: Any = socket
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server is None, server)
        self._received = received  # encrypted bytes that the next `recv` begins with
        self._phase = _HANDSHAKE
        self._pending = b""  # encrypted bytes that the kernel had no room for
        self._owed = 0  # plain bytes of a `send` that are in `_pending`
        self.fileno = socket.fileno

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done, and nobody has said goodbye."""
        return self._phase == _OPEN

    def greet(self) -> None:
        """For a client: begins the handshake, which goes on in `recv`. Raises OSError."""
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._flush()

    def recv(self, size: int) -> bytes:
        """All plain bytes that are there; none at the end. Raises BlockingIOError, OSError."""
        data, self._received = self._received or self._socket.recv(size), b""
        if self._phase == _ENDED:
            return bytes(data)  # only discarded any more
        if not data:
            # The end of the socket. OpenSSL is not told: it would send nothing any more, and who
            # sent a whole request may wait for the answer.
            return b""
        self._incoming.write(data)
        try:
            if self._phase == _HANDSHAKE:
                self._tls.do_handshake()
                self._phase = _OPEN
            plain = self._read(size)
        except ssl.SSLWantReadError:
            self._flush()
            raise BlockingIOError from None
        except ssl.SSLError:
            self._flush()  # the alert says why
            raise
        self._flush()
        return plain

    def _read(self, size: int) -> bytes:
        """What is decrypted, all of it: nothing would tell later that there is more."""
        pieces = []
        try:
            while piece := self._tls.read(size):
                pieces.append(piece)
            # The client ended its side; it may still read (RFC 8446 6.1). The socket is made to
            # have an end here too, so that the next `recv` is called for.
            with suppress(OSError):
                self._socket.shutdown(SHUT_RD)
        except ssl.SSLWantReadError:
            if not pieces:
                raise
        return b"".join(pieces)

    def send(self, data: bytes | memoryview) -> int:
        """How many of the bytes were sent. Raises BlockingIOError: repeat it with the same ones;
        OSError."""
        if self._phase != _OPEN:
            raise OSError("TLS is not open")
        if not self._owed:
            self._owed = self._tls.write(data[:SEND_BYTES])
        self._flush()
        if self._pending:
            raise BlockingIOError
        sent, self._owed = self._owed, 0
        return sent

    def sendmsg(self, buffers: tuple[bytes, ...]) -> int:
        """Like `send`, of the first buffer: a part may be sent."""
        return self.send(buffers[0])

    def _flush(self) -> None:
        """Hands the kernel what is encrypted. Raises OSError; `_pending` keeps what it has no room
        for."""
        data = self._pending + self._outgoing.read()
        try:
            while data:
                data = data[self._socket.send(data) :]
        except BlockingIOError:
            pass
        finally:
            self._pending = data

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """Sets an option of the socket. One that is to be reset says no goodbye (wire.py): what was
        broken off must not look whole."""
        if option == SO_LINGER:
            self._phase = _ENDED
        self._socket.setsockopt(level, option, value)

    def shutdown(self, how: int) -> None:
        """Ends the sending side; the client is told that this is the end (RFC 8446 6.1)."""
        self._say_goodbye()
        self._socket.shutdown(SHUT_WR)

    def _say_goodbye(self) -> None:
        if self._phase == _OPEN:
            self._phase = _ENDED
            # It raises because the client's own goodbye is not there; ours is written all the same.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()

    def close(self) -> None:
        """Closes the socket; the client is told if that needs no waiting."""
        try:
            with suppress(OSError):  # it is gone already
                self._say_goodbye()
        finally:
            self._socket.close()
