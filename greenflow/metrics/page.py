"""The table of all metrics, for contrib/docs/metrics.md: `python -m greenflow.metrics.page`.

Lives here: how the declarations are written for people. A test compares the page with it.
"""

from __future__ import annotations

from greenflow.metrics.catalogue import METRICS


def table() -> str:
    """Every metric in a table of Markdown."""
    lines = ["| metric | type | labels | unit | what it is for |", "|---|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(
            f"| `{metric.name}` | {metric.type} | {labels} | {metric.unit} | {metric.help} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
