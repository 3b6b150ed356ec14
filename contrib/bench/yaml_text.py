"""YAML: 500 specs from text to values with places, by the fast way and by the judge; and written.

PyYAML's C loader, the yardstick, reads the same text beside them. Without PyYAML (extra `bench`)
the ratios are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from greenflow.spec.syntax.yaml import parts_of_yaml, to_yaml
from greenflow.spec.syntax.yaml.composer import compose
from greenflow.spec.syntax.yaml.scanner import events

REPEATS = 7  # the best of so many: what the machine can do when nobody else uses it

SPEC = """\
---
# Orders that a customer sends
kind: listener
name: listener-{0}
namespace: shop
annotations: {{team: orders, turn: "{0}"}}
port: {1}
bodyLimit: 1048576
links:
  out: {{name: router-{0}}}
---
kind: router
name: router-{0}
namespace: shop
routes:
  - {{method: GET, path: "/orders-{0}", port: "out[0]"}}
  - method: POST
    path: /orders
    port: out[1]
links:
  out[0]: [{{name: answer-{0}}}]
  out[1]: [{{name: answer-{0}}}, {{name: log}}]
  error: {{name: log}}
---
kind: snippet
name: answer-{0}
namespace: shop
language: javascript
code: |
  export default function (order) {{
    const total = order.lines.map(line => line.price).reduce((a, b) => a + b, 0)
    return {{...order, total: total > 100 ? total * 0.9 : total}}
  }}
links:
  out: {{name: done}}
---
kind: sql
name: done
namespace: shop-{0}
url: "{{{{ .DATABASE_URL }}}}"
queries:
  - select id, name from orders where id = :id
timeout: 5s
retries: 3
isolated: false
"""

TEXT = "".join(SPEC.format(number, 10_000 + number) for number in range(125))  # 500 specs


def measure() -> dict[str, Any]:
    """Milliseconds, best of several interleaved runs, and what they are times the yardstick."""
    values = [part.value for part in parts_of_yaml(TEXT)]
    runs: dict[str, Callable[[], object]] = {
        "fast_way": lambda: placed(parts_of_yaml(TEXT)),
        "judge": lambda: placed(compose(events(TEXT))),
        "write": lambda: to_yaml(values),
    }
    if (yardstick := pyyaml()) is not None:
        runs["pyyaml"] = yardstick
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(REPEATS):
        for name, run in runs.items():
            begin = perf_counter()
            run()
            seconds[name] = min(seconds[name], perf_counter() - begin)
    found: dict[str, Any] = {f"{name}_ms": round(each * 1000, 1) for name, each in seconds.items()}
    if yardstick is not None:
        for name in ("fast_way", "judge"):
            found[f"{name}_times_pyyaml"] = round(seconds[name] / seconds["pyyaml"], 2)
    return found


def placed(parts: list[Any]) -> int:
    """Values, and the place of each of them."""
    for part in parts:
        part.place()
    return len(parts)


def pyyaml() -> Callable[[], object] | None:
    """Reads the same text by PyYAML's C loader; None where that is not installed."""
    try:
        import yaml

        loader = yaml.CSafeLoader
    except (ImportError, AttributeError):
        return None
    return lambda: list(yaml.load_all(TEXT, loader))
