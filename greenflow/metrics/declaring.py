"""What a metric is.

Lives here: Metric, its value, and what may be asked of one by its name. The values are
collecting.py's.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from greenflow.histogram import COARSE, Histogram

Labels = tuple[str, ...]
"""The values of a metric's labels, in their order."""

Value = float | Histogram
"""A number; of a histogram or a summary all that was measured."""

Samples = dict[Labels, Value]

#: Every metric has it: what several runtimes count in one program stays apart.
NAMESPACE = "namespace"


class Metric(NamedTuple):
    """One metric. `labels` come after the namespace, which all have."""

    name: str
    type: Literal["counter", "gauge", "histogram", "summary"]
    labels: tuple[str, ...]
    help: str

    @property
    def unit(self) -> str:
        """What it is counted in, by its name as Prometheus wants it; empty for mere counts."""
        bare = self.name.removesuffix("_total")
        return next((unit for unit in ("seconds", "bytes") if bare.endswith(unit)), "")

    @property
    def series(self) -> int:
        """How many series there are for each set of labels."""
        sizes = {"histogram": len(COARSE) + 3, "summary": 2}
        return sizes.get(self.type, 1)

    @property
    def exposed(self) -> tuple[str, ...]:
        """The names of its series."""
        if self.type == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")
        if self.type == "summary":
            return (f"{self.name}_count", f"{self.name}_sum")
        return (self.name,)
