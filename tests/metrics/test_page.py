"""The page of metrics, the dashboard and the alerts speak of what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from greenflow.metrics.catalogue import METRICS
from greenflow.metrics.page import table
from greenflow.spec.syntax.yaml import parts_of_yaml

CONTRIB = Path(__file__).parents[2] / "contrib"
NAMES = {name for metric in METRICS for name in metric.exposed}
LABELS = {
    name: {"namespace", "le", *metric.labels} for metric in METRICS for name in metric.exposed
}
PROCESS = {
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
}
# What Prometheus adds to each series.
TARGET = {"instance", "job"}


def asked(expression: str) -> set[str]:
    """The metrics that an expression of PromQL asks for."""
    return set(re.findall(r"\b((?:greenflow|process)_\w+)", expression))


def check(expression: str) -> None:
    names = asked(expression)
    assert names, expression
    assert names <= NAMES | PROCESS, names - NAMES - PROCESS
    allowed = set().union(*(LABELS.get(name, set()) for name in names)) | TARGET
    for grouping in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in grouping.split(",")} <= allowed, expression
    for matchers in re.findall(r"\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)=~?\"", matchers)) <= allowed, expression


def expressions(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", ()))
        yield from expressions(panel.get("panels", []))


def test_the_page_is_made_of_the_declarations() -> None:
    path = CONTRIB / "docs" / "metrics.md"
    said = "the table of contrib/docs/metrics.md is old: python -m greenflow.metrics.page"
    assert f"\n{table()}\n" in path.read_text(), said
    for name in asked(path.read_text()):
        known = NAMES | PROCESS | {metric.name for metric in METRICS}
        assert name in known or name.endswith("_"), name


def test_the_dashboard_asks_for_what_there_is() -> None:
    board = json.loads((CONTRIB / "deploy" / "grafana.json").read_text())
    found = list(expressions(board["panels"]))
    assert len(found) > 20
    for expression in found:
        check(expression)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    # Whatever is counted is shown.
    shown = set().union(*map(asked, found))
    for metric in METRICS:
        if metric.type != "gauge":
            assert shown & set(metric.exposed), metric.name


def test_the_alerts_ask_for_what_there_is() -> None:
    (part,) = parts_of_yaml((CONTRIB / "deploy" / "alerts.yaml").read_text())
    (group,) = part.value["groups"]
    assert len(group["rules"]) > 8
    for rule in group["rules"]:
        check(rule["expr"])
        assert rule["annotations"]["summary"]
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        grouped = re.findall(r"by \(([^)]*)\)", rule["expr"])
        if grouped:
            assert used <= {label.strip() for text in grouped for label in text.split(",")}
