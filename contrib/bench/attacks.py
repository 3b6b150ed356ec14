"""Attacks on an open port: bodies that are bombs, and slow clients by the thousand.

A bomb must be refused, and cost the server little memory. While slow clients sit on it, a probe on
new connections must be served at once, and each of them must lose its connection in time.
"""

from __future__ import annotations

import re
import select
import shutil
import socket
import subprocess
import threading
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from contrib.bench.tools import on_core, ping, resident_kib

GIB = 1 << 30
PIECE_BYTES = 64 << 20  # of a bomb that is made at once
BOMB_BYTES = 10 * GIB

CLIENTS = 1000  # slow ones at one time
SLOW_SECONDS = 60
LARGE_BYTES = 256 * 1024  # what slow readers ask for; each copy is the server's memory
LOOK_SECONDS = 0.25  # between two looks at the kernel's table of connections
PROBE_SECONDS = 0.05  # between two probes

WORKFLOW = (
    """
- {{kind: listener, name: http, port: {port}, links: {{out: {{name: router}}}}}}
- kind: router
  name: router
  routes:
    - {{method: GET, path: /ping, port: "out[0]"}}
    - {{method: POST, path: /ping, port: "out[0]"}}
    - {{method: GET, path: /large, port: "out[1]"}}
  links: {{"out[0]": {{name: pong}}, "out[1]": {{name: large}}}}
- {{kind: snippet, name: pong, language: text, code: pong}}
- {{kind: snippet, name: large, language: text, code: """
    + "x" * LARGE_BYTES
    + "}}\n"
)


def measure(folder: Path) -> dict[str, Any]:
    with ping(folder, text=WORKFLOW) as (process, port, _):
        get(port)
        memory = Memory(process.pid)
        refused = {name: attack(port, memory, bomb) for name, bomb in bombs().items()}
        slow = {mode.name: slow_clients(port, memory, mode) for mode in MODES}
    return {"bombs": refused, "slow": slow}


class Memory:
    """The resident memory of the server, against that before the first attack."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = resident_kib(pid)

    def watch(self) -> None:
        """The peak begins anew."""
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")

    def peak_growth_mib(self) -> float:
        status = Path(f"/proc/{self._pid}/status").read_text()
        return (int(status.split("VmHWM:")[1].split()[0]) - self._before) / 1024


# Bombs


class Bomb(NamedTuple):
    """A request: its header section, and its body in pieces."""

    head: str
    body: Iterable[bytes]


def bombs() -> dict[str, Bomb]:
    once = gzip_of_zeros(BOMB_BYTES)
    found = {
        "gzip": coded("gzip", once),
        "gzip chunked": Bomb("Content-Encoding: gzip\r\n" + CHUNKED, chunks(pieces(once))),
        "gzip twice": coded("gzip, gzip", zlib.compress(once, 9, 31)),
        "br": coded("br", brotli_of_zeros(BOMB_BYTES)),
        "zstd": coded("zstd", zstd_of_zeros(BOMB_BYTES)),
        "zstd, br": coded("zstd, br", brotli_of(zstd_of_zeros(BOMB_BYTES))),
        "multipart of 1 GiB": Bomb(f"{MULTIPART}Content-Length: {GIB}\r\n", multipart()),
        "multipart of 1 GiB chunked": Bomb(MULTIPART + CHUNKED, chunks(multipart())),
        "multipart of small parts": coded("identity", SMALL_PARTS, MULTIPART),
        "100,000 headers": Bomb("".join(f"X-{i}: y\r\n" for i in range(100_000)), ()),
        "100,000 trailers": Bomb(CHUNKED, trailers()),
    }
    return found


CHUNKED = "Transfer-Encoding: chunked\r\n"
MULTIPART = "Content-Type: multipart/form-data; boundary=b\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
SMALL_PARTS = (PART + b"\r\n") * ((8 << 20) // (len(PART) + 2))


def coded(coding: str, body: bytes, more: str = "") -> Bomb:
    return Bomb(f"{more}Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n", [body])


def chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


def multipart() -> Iterator[bytes]:
    """One part of 1 GiB."""
    yield PART
    for _ in range(GIB // (1 << 20) - 1):
        yield bytes(1 << 20)


def trailers() -> Iterator[bytes]:
    yield b"0\r\n"
    for i in range(100_000):
        yield b"X-%d: y\r\n" % i


def gzip_of_zeros(size: int) -> bytes:
    """A gzip body. A full flush lets the same bytes stand for the next piece, too."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = bytes(PIECE_BYTES)
    block = stream.compress(piece) + stream.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(size // PIECE_BYTES):
        checksum = zlib.crc32(piece, checksum)
    end = checksum.to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little")
    return b"\x1f\x8b\x08" + bytes(7) + block * (size // PIECE_BYTES) + b"\x03\x00" + end


def brotli_of(body: bytes) -> bytes:
    import brotli

    return bytes(brotli.compress(body, quality=5))


def brotli_of_zeros(size: int) -> bytes:
    import brotli

    stream = brotli.Compressor(quality=5)
    piece = bytes(PIECE_BYTES)
    pieces = [stream.process(piece) for _ in range(size // PIECE_BYTES)]
    return b"".join((*pieces, stream.finish()))


def zstd_of_zeros(size: int) -> bytes:
    try:
        from compression import zstd
    except ImportError:  # before Python 3.14
        from backports import zstd

    stream = zstd.ZstdCompressor()
    piece = bytes(PIECE_BYTES)
    pieces = [stream.compress(piece) for _ in range(size // PIECE_BYTES)]
    return b"".join((*pieces, stream.flush()))


def attack(port: int, memory: Memory, bomb: Bomb) -> dict[str, Any]:
    """Send it until it is answered; the status, and what it cost."""
    memory.watch()
    sent, begin = 0, monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        head = f"POST /ping HTTP/1.1\r\nHost: bench\r\n{bomb.head}\r\n".encode()
        for piece in chain([head], bomb.body):
            view = memoryview(piece)
            while view and not select.select([client], [], [], 0)[0]:
                try:
                    client.sendall(view[: 1 << 16])
                except (BrokenPipeError, ConnectionResetError):
                    break
                sent += len(view[: 1 << 16])
                view = view[1 << 16 :]
            if view:
                break
        answer = client.recv(4096)
    status = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return {
        "status": int(status[1]) if status else None,
        "sent_bytes": sent,
        "seconds": monotonic() - begin,
        "peak_growth_mib": memory.peak_growth_mib(),
    }


# Slow clients


class Mode(NamedTuple):
    """A way to be slow, and the seconds that the listener's defaults leave it."""

    name: str
    options: tuple[str, ...]
    path: str
    limit_seconds: float


MODES = (
    Mode("headers", ("-H", "-i", "5"), "/ping", 10.0),
    Mode("bodies", ("-B", "-i", "5", "-s", "100000"), "/ping", 30.0),
    Mode("readers", ("-X", "-w", "64", "-y", "512", "-n", "1", "-z", "32"), "/large", 30.0),
)


def slow_clients(port: int, memory: Memory, mode: Mode) -> dict[str, Any]:
    """The attack for a minute, begun anew when all its connections were closed."""
    if shutil.which("slowhttptest") is None:
        raise SystemExit("slowhttptest is not installed (Debian: slowhttptest)")
    memory.watch()
    end = monotonic() + SLOW_SECONDS
    lives, probe = Lives(port), Probe(port)
    with lives, probe:
        while (left := end - monotonic()) > 1:
            subprocess.run(
                on_core(
                    *(1, "slowhttptest", *mode.options, "-c", str(CLIENTS), "-r", "500", "-v", "0"),
                    *("-l", str(int(left)), "-u", f"http://127.0.0.1:{port}{mode.path}"),
                ),
                check=False,  # it fails when the server closed its connections, as it should
                capture_output=True,
            )
    return {
        **lives.summary(),
        **probe.summary(),
        "limit_s": mode.limit_seconds,
        "peak_growth_mib": memory.peak_growth_mib(),
    }


class Background:
    """Something done again and again in a thread, until it is left."""

    def __init__(self, between: float) -> None:
        self._between = between
        self._thread = threading.Thread(target=self._run)
        self._ended = threading.Event()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._between):
            self.once()

    def once(self) -> None:
        raise NotImplementedError


class Lives(Background):
    """How long the server keeps its connections, as the kernel's table of them tells."""

    ESTABLISHED = "01"

    def __init__(self, port: int) -> None:
        super().__init__(LOOK_SECONDS)
        self._local = f":{port:04X}"
        self._since: dict[str, float] = {}
        self._ended_lives: list[float] = []
        self._most = 0

    def once(self) -> None:
        now, present = monotonic(), set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, state, *_ = line.split()
            if local.endswith(self._local) and state == self.ESTABLISHED:
                present.add(remote)
        for remote in self._since.keys() - present:
            self._ended_lives.append(now - self._since.pop(remote))
        for remote in present - self._since.keys():
            self._since[remote] = now
        self._most = max(self._most, len(present))

    def summary(self) -> dict[str, Any]:
        slow = sorted(life for life in self._ended_lives if life > 2 * LOOK_SECONDS)
        return {
            "connections_at_once": self._most,
            "closed": len(slow),
            "longest_s": slow[-1] if slow else None,
        }


class Probe(Background):
    """A client that wants an answer, on a new connection each time."""

    def __init__(self, port: int) -> None:
        super().__init__(PROBE_SECONDS)
        self._port = port
        self._took: list[float] = []
        self._failed = 0

    def once(self) -> None:
        begin = monotonic()
        try:
            get(self._port)
        except OSError:
            self._failed += 1
        else:
            self._took.append(monotonic() - begin)

    def summary(self) -> dict[str, Any]:
        ordered = sorted(self._took)
        return {
            "probes": len(ordered) + self._failed,
            "failed": self._failed,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
        }


def get(port: int) -> None:
    """One good request. Raises OSError if it is not answered well in five seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"pong")):
        raise OSError(f"not the answer that was wanted: {answer[:100]!r}")
