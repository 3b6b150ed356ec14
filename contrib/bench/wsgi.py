"""The kind `wsgi` and `greenflow.wsgi:app`, beside the same function and Flask under gunicorn.

Every server is one OS process on core 0; wrk with 64 connections is on core 1. Rounds alternate,
so that what else the machine does meets all of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from contrib.bench.tools import PING, free_port, run, server, wrk

SECONDS = 3
ROUNDS = 3

FLOW = """
- {{kind: listener, name: http, port: {port}, links: {{out: {{name: old}}}}}}
- {{kind: wsgi, name: old, app: "contrib.bench.wsgi:{app}"}}
"""


def bare(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The least that a WSGI application can be."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"pong"]


def flask_app() -> Any:
    """The least that a Flask application can be."""
    import flask

    app = flask.Flask("bench")
    app.add_url_rule("/ping", view_func=lambda: "pong")
    return app


def gunicorn(port: int, app: str) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1"),
        *("-b", f"127.0.0.1:{port}", "--log-level", "error", app),
    ]


def measure(folder: Path) -> dict[str, Any]:
    database = f"sqlite:///{folder}/wsgi.db"
    os.environ["GREENFLOW_DATABASE"] = database
    file = folder / "ping.yaml"
    file.write_text(PING.format(port=free_port()))
    run(sys.executable, "-m", "greenflow", "apply", "-f", str(file))
    commands: dict[str, Callable[[int], list[str]]] = {
        "gunicorn_bare": lambda port: gunicorn(port, "contrib.bench.wsgi:bare"),
        "gunicorn_flask": lambda port: gunicorn(port, "contrib.bench.wsgi:flask_app()"),
        "gunicorn_greenflow": lambda port: gunicorn(port, "greenflow.wsgi:app"),
    }
    for name, app in (("node_bare", "bare"), ("node_flask", "flask_app()")):
        commands[name] = lambda port, name=name, app=app: _node(folder / f"{name}.yaml", port, app)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    try:
        with ExitStack() as stack:
            ports = {name: free_port() for name in commands}
            for name, command in commands.items():
                stack.enter_context(server(ports[name], *command(ports[name])))
                wrk(ports[name], 1)
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    found[name].append(wrk(port, SECONDS))
    finally:
        del os.environ["GREENFLOW_DATABASE"]
    rates = {name: median(r["requests_per_second"] for r in found[name]) for name in found}
    return {
        **{f"{name}_requests_per_second": rate for name, rate in rates.items()},
        "failed": sum(r["failed"] for rounds in found.values() for r in rounds),
        "node_to_gunicorn_bare": rates["node_bare"] / rates["gunicorn_bare"],
        "node_to_gunicorn_flask": rates["node_flask"] / rates["gunicorn_flask"],
        "greenflow_to_bare_under_gunicorn": rates["gunicorn_greenflow"] / rates["gunicorn_bare"],
    }


def _node(file: Path, port: int, app: str) -> list[str]:
    file.write_text(FLOW.format(port=port, app=app))
    return [sys.executable, "-m", "greenflow", "run", str(file)]
