"""What every benchmark needs: servers as OS processes on one core, clients on the other, versions.

Figures on shared machines are noisy: quote ratios from one run, not digits.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__).parent
LIBRARIES = (
    *(
        "greenflow",
        "gevent",
        "greenlet",
        "httptools",
        "msgspec",
        "ruamel.yaml",
        "urllib3",
        "watchfiles",
    ),
)
START_SECONDS = 20.0  # a server that has not opened its port by then has failed

PING = """
- {{kind: listener, name: http, protocol: http, port: {port}, links: {{out: {{name: router}}}}}}
- kind: router
  name: router
  routes: [{{method: GET, path: /ping, port: "out[0]"}}]
  links: {{"out[0]": {{name: pong}}}}
- {{kind: snippet, name: pong, language: text, code: pong}}
"""


def versions() -> dict[str, str]:
    """What was measured, and on what."""
    found = {name: version(name) for name in LIBRARIES}
    return {
        **found,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
    }


def free_port() -> int:
    """A port that nothing listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_core(core: int, *command: str) -> list[str]:
    """The command, kept on one core."""
    return ["taskset", "-c", str(core), *command]


@contextmanager
def server(
    port: int, *command: str, log: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """An OS process on core 0 that listens on the port; `log` is where its errors go."""
    process = subprocess.Popen(on_core(0, *command), stdout=subprocess.DEVNULL, stderr=log)
    try:
        wait_for_port(port, process)
        yield process
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
        if process.returncode not in (0, -15) and errors:
            sys.stderr.write(errors.decode())


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when somebody listens there."""
    from time import monotonic, sleep

    end = monotonic() + START_SECONDS
    while monotonic() < end and process.poll() is None:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen on {port}")


@contextmanager
def ping(
    folder: Path,
    *options: str,
    text: str = PING,
    program: tuple[str, ...] = ("greenflow",),
    log: int = subprocess.PIPE,
) -> Iterator[tuple[Any, int, Path]]:
    """`greenflow run` of the ping workflow: its OS process, its port, its file. `program` is the
    module that runs it, and what that takes before the arguments; `log` is where its log goes."""
    port = free_port()
    file = folder / "ping.yaml"
    file.write_text(text.format(port=port))
    command = (sys.executable, "-m", *program, "run", str(file), *options)
    with server(port, *command, log=log) as process:
        yield process, port, file


def wrk(
    port: int,
    seconds: int,
    connections: int = 64,
    path: str = "/ping",
    script: Path | None = None,
) -> dict[str, float]:
    """Requests a second and the 99th percentile in ms, from core 1; errors count too."""
    options = [] if script is None else ["-s", str(script)]
    output = run(
        *on_core(1, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *options),
        f"http://127.0.0.1:{port}{path}",
    )
    percentile = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    requests = re.search(r"(\d+) requests in", output)
    if percentile is None or rate is None or requests is None:
        raise RuntimeError(f"wrk said what is not understood:\n{output}")
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    status = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    not_ok = int(status[1]) if status else 0
    return {
        "requests_per_second": float(rate[1]),
        "p99_ms": float(percentile[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[percentile[2]],
        "requests": int(requests[1]),
        "failed": not_ok + sum(map(int, errors.groups() if errors else ())),
    }


def ab(port: int, requests: int, concurrency: int, path: str = "/ping") -> dict[str, float]:
    """New connections, one request each, from core 1."""
    output = run(
        *on_core(1, "ab", "-q", "-r", "-n", str(requests), "-c", str(concurrency)),
        f"http://127.0.0.1:{port}{path}",
    )
    rate = re.search(r"Requests per second:\s+([\d.]+)", output)
    failed = re.search(r"Failed requests:\s+(\d+)", output)
    status = re.search(r"Non-2xx responses:\s+(\d+)", output)
    if rate is None or failed is None:
        raise RuntimeError(f"ab said what is not understood:\n{output}")
    return {
        "requests_per_second": float(rate[1]),
        "failed": int(failed[1]) + (int(status[1]) if status else 0),
    }


@contextmanager
def stalls() -> Iterator[list[float]]:
    """How long this thread's hub was held each time, in seconds; measured by waking every ms."""
    import gevent

    gaps = [0.0]

    def watch() -> None:
        while True:
            begin = perf_counter()
            gevent.sleep(0.001)
            gaps.append(perf_counter() - begin - 0.001)

    watcher = gevent.spawn(watch)
    gevent.sleep(0.002)
    try:
        yield gaps
        gevent.sleep(0.002)
    finally:
        watcher.kill()


def run(*command: str) -> str:
    """The output of a command that must succeed."""
    if shutil.which(command[0]) is None:
        raise SystemExit(f"{command[0]} is not installed (Debian: wrk, apache2-utils, util-linux)")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def resident_kib(pid: int) -> int:
    """The resident memory of an OS process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def reset_peak(pid: int) -> int:
    """Let the peak of the resident memory begin anew; returns the present one, in KiB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_kib(pid)


def peak_kib(pid: int) -> int:
    """The most resident memory that an OS process has had."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])


def cpu_seconds(pid: int) -> float:
    """The time that the first thread of an OS process has had a core; exact to nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def descriptors(pid: int) -> int:
    """How many file descriptors an OS process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
