"""Workflows in the words of each generation of the Go engine, and in ours, do the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenflow.scheme.migration import migrate
from greenflow.scheme.registry import Scheme
from greenflow.testing import flow
from tests.cli.conftest import Command

EARLIER = """
- kind: listener
  name: web
  protocol: http
  port: 0
  links:
    out:
      - name: router
        port: in
    error:
      - name: catch
        port: in

- kind: router
  name: router
  routes:
    - method: POST
      path: /orders
      port: out[0]
  links:
    out[0]:
      - name: order
        port: in

- kind: block
  name: order
  specs:
    - kind: snippet
      language: cel
      code: 'has(self.body) ? self.body : []'
    - kind: call
      name: both
  links:
    out[0]:
      - name: each
        port: in
    out[1]:
      - name: receipt
        port: in

- kind: loop
  name: each
  links:
    out[0]:
      - name: pause
        port: in

- kind: sleep
  name: pause
  interval: 1000000
  links:
    out:
      - name: price
        port: in

- kind: snippet
  name: price
  language: javascript
  code: >
    export default function (args) {
      if (args.sku !== "A1") {
        throw new Error("unknown article");
      }
      return args.count * 5;
    }

- kind: snippet
  name: receipt
  language: javascript
  code: |
    export default function (args) {
      return { body: { prices: args }, status: 201 };
    }

- kind: switch
  name: catch
  matches:
    - when: self == "unknown article"
      port: out[0]
    - when: 'true'
      port: out[1]
  links:
    out[0]:
      - name: status_404
        port: in
    out[1]:
      - name: status_500
        port: in

- kind: snippet
  name: status_404
  language: json
  code: >
    {
      "body": {
        "error": "unknown"
      },
      "status": 404
    }

- kind: snippet
  name: status_500
  language: json
  code: '{"status": 500}'
"""

#: The same as the later generation writes it.
LATER = (
    EARLIER.replace("  links:", "  ports:")
    .replace("kind: call", "kind: pipe")
    .replace("kind: loop", "kind: for")
    .replace("kind: sleep", "kind: wait")
    .replace("when: 'true'", "when: true")
)

OURS = migrate(LATER, "later.yaml", Scheme.installed()).text

GENERATIONS = pytest.mark.parametrize(
    "specs", [EARLIER, LATER, OURS], ids=["earlier", "later", "ours"]
)


def test_the_generations_differ_in_words() -> None:
    assert LATER.count("ports:") == EARLIER.count("links:") == OURS.count("links:") > 5
    for word in ("ports:", "matches:", "pipe", "kind: for", "wait", "1000000"):
        assert word in LATER
        assert word not in OURS


@GENERATIONS
def test_a_workflow_runs_unchanged(specs: str) -> None:
    order: list[Any] = [{"sku": "A1", "count": 3}, {"sku": "A1", "count": 1}]
    with flow(specs) as running:
        response = running.request("POST", "/orders", order)
        assert (response.status, response.body) == (201, {"prices": [15, 5]})
        response = running.request("POST", "/orders", [{"sku": "C3", "count": 1}])
        assert (response.status, response.body) == (404, {"error": "unknown"})
        assert running.request("GET", "/orders").status == 405


@GENERATIONS
def test_it_is_stored_in_our_words(greenflow: Command, tmp_path: Path, specs: str) -> None:
    (tmp_path / "a.yaml").write_text(specs)
    assert greenflow("apply", "nodes", "-f", "a.yaml").code == 0
    stored = greenflow("get", "nodes", "-o", "json").data
    assert [spec for spec in stored if {"ports", "matches", "nodes"} & spec.keys()] == []
    assert greenflow("delete", "nodes", "-f", "a.yaml").code == 0
    assert greenflow("get", "specs", "-o", "json").data == []
