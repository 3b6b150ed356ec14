"""`python -m contrib.bench [NAME...]`: measure, print JSON, keep it in contrib/bench/results."""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from contrib.bench.tools import HERE, versions

NAMES = (
    "startup",
    "core",
    "embed",
    "cel",
    "yaml_text",
    "javascript",
    "python_node",
    "system",
    "sql",
    "load",
    "requests",
    "bodies",
    "http_client",
    "wsgi",
    "connections",
    "websocket",
    "reload",
    "versions",
    "listener_edit",
    "leaks",
    "attacks",
    "stretches",
    "stretches_flows",
    "stretches_nodes",
    "mongo",
)


def main(names: list[str]) -> None:
    if {"-h", "--help"} & set(names):
        print("python -m contrib.bench [NAME...]: measures all of these, or those that are named\n")
        print(*(f"  {name}" for name in NAMES), sep="\n")
        return
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise SystemExit(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    results: dict[str, Any] = {"versions": versions()}
    for name in names or NAMES:
        sys.stderr.write(f"{name} ...\n")
        measure = import_module(f"contrib.bench.{name}").measure
        with tempfile.TemporaryDirectory() as folder:
            wants_folder = inspect.signature(measure).parameters
            results[name] = measure(Path(folder)) if wants_folder else measure()
    text = json.dumps(results, indent=2)
    kept = HERE / "results"
    kept.mkdir(exist_ok=True)
    (kept / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json").write_text(text + "\n")
    print(text)


main(sys.argv[1:])
