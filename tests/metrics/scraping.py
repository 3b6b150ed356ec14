"""What is scraped, read by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """An exposition, taken apart."""

    def __init__(self, text: str) -> None:
        self.families: dict[str, Metric] = {}
        for family in text_string_to_metric_families(text):
            assert family.name not in self.families, f"{family.name} comes twice"
            self.families[family.name] = family
        self.values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in self.families.values():
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.values, f"{key} comes twice"
                self.values[key] = sample.value

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the only series of that name that has these labels; None if none has."""
        found = [
            value
            for (each, its), value in self.values.items()
            if each == name and labels.items() <= dict(its).items()
        ]
        assert len(found) <= 1, found
        return found[0] if found else None

    @property
    def names(self) -> set[str]:
        """The names of all series."""
        return {name for name, _ in self.values}
